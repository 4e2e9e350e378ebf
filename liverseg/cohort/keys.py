"""Names each study by what its files hold, and remembers locally which files that were.

A key is a hash, so that no result is called after a patient. `sources.csv` says which path each key
is; it stays on this disk, and saves a second reading of files that have not changed since.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .studies import Study

SOURCES = "sources.csv"
COLUMNS = ("key", "content", "stamp", "scan", "prediction", "truth")
DIGITS = 20  # of a key
CHUNK = 2**20


@dataclass(frozen=True)
class Keyed:
    """A study with its key.

    Attributes:
        study: as found.
        key: of its files, and of what segments them.
        content: the hash of its files alone.
        stamp: of their sizes and times.
    """

    study: Study
    key: str
    content: str
    stamp: str


def keyed_studies(
    studies: list[Study], out: Path, segmenter: str, threads: int, told: Callable[[int], object]
) -> list[Keyed]:
    """Every study with its key, and sources.csv written.

    Args:
        studies: as found.
        out: where sources.csv is.
        segmenter: identity of the networks, which make what no prediction is given for.
        threads: files that are read at once.
        told: called with how many studies more have a key.
    """
    known = _known(out / SOURCES)

    def keyed(study: Study) -> Keyed:
        stamp = _stamp(study)
        content = known.get((*_paths(study), stamp)) or _content(study)
        by = "" if study.prediction or study.problem else segmenter
        told(1)
        return Keyed(study, _digest([content, by])[:DIGITS], content, stamp)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(keyed, studies))
    _write(out / SOURCES, found)
    return found


def _paths(study: Study) -> tuple[str, str, str]:
    scan, prediction, truth = (
        ";".join(map(str, part)) for part in (study.scan, study.prediction, study.truth)
    )
    return scan, prediction, truth


def _known(path: Path) -> dict[tuple[str, ...], str]:
    """Content by paths and stamp, as an earlier run wrote it."""
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            return {
                (line["scan"], line["prediction"], line["truth"], line["stamp"]): line["content"]
                for line in csv.DictReader(lines)
            }
    except (OSError, KeyError, csv.Error):
        return {}


def _write(path: Path, found: Iterable[Keyed]) -> None:
    beside = path.with_name(f".{path.name}")
    with beside.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(COLUMNS)
        writer.writerows((one.key, one.content, one.stamp, *_paths(one.study)) for one in found)
    beside.replace(path)


def _stamp(study: Study) -> str:
    seen = []
    for file, name in _files(study):
        try:
            about = file.stat()
            seen.append([name, about.st_size, about.st_mtime_ns])
        except OSError:
            seen.append([name, -1, -1])
    return _digest(seen)[:DIGITS]


def _content(study: Study) -> str:
    """Of a scan the files alone, in whatever folder; of masks the names too: they say what is what.

    What cannot be read counts by its path, so that it fails as a study of its own.
    """
    hashes: list = [[], [], []]
    for part, paths in enumerate((study.scan, study.prediction, study.truth)):
        for file, name in _files_of(paths):
            try:
                digest = _file_digest(file)
            except OSError:
                digest = _digest([str(file)])
            hashes[part].append([digest, name if part else ""])
        hashes[part].sort()
    return _digest([*hashes, str(study.problem or "")])


def _files(study: Study) -> Iterator[tuple[Path, str]]:
    for paths in (study.scan, study.prediction, study.truth):
        yield from _files_of(paths)


def _files_of(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Every file with its name below the path that was given; a lone file has none."""
    for path in paths:
        if not path.is_dir():
            yield path, "" if len(tuple(paths)) == 1 else path.name
        for where, folders, names in os.walk(path):
            folders.sort()
            for name in sorted(names):
                file = Path(where) / name
                yield file, str(file.relative_to(path))


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(plain: list) -> str:
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()
