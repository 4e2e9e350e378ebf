"""Labelled scans packed into a folder once and memory-mapped from then on."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..sentences import say
from .labelled_scan import LabelledScan

MANIFEST = "manifest.json"


def packed(
    source: Path | str, folder: Path, read: Callable[[Path], Iterable[LabelledScan]]
) -> list[LabelledScan]:
    """The cases of a data set, packed where they are not yet, so that any number fits.

    A manifest that is written last tells a whole cache from one whose writing was cut short, which
    is written again. A cache of other data is not touched.

    Args:
        source: the data set.
        folder: of the cache.
        read: what reads the data set.

    Raises:
        DataError: the folder holds other data.
    """
    source, manifest = Path(source), Path(folder) / MANIFEST
    wanted = fingerprint(source)
    if manifest.is_file():
        if json.loads(manifest.read_text(encoding="utf-8"))["source"] != wanted:
            raise DataError(say("data.other_cache", folder=folder, wanted=source))
        return open_packed(folder)
    shutil.rmtree(folder, ignore_errors=True)
    pack(read(source), folder)
    manifest.write_text(json.dumps({"source": wanted}), encoding="utf-8")
    return open_packed(folder)


def fingerprint(source: Path) -> str:
    """sha256 of the names and sizes of a data set's files, wherever it lies."""
    files = sorted(path for path in source.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(source).as_posix()} {path.stat().st_size}" for path in files]
    return hashlib.sha256("\n".join(lines or [source.name]).encode()).hexdigest()


def pack(cases: Iterable[LabelledScan], folder: Path) -> None:
    """Writes cases to a folder."""
    for case in cases:
        place = Path(folder) / case.name
        place.mkdir(parents=True, exist_ok=True)
        for key in ("hu", "labels", "z_mm"):
            np.save(place / f"{key}.npy", getattr(case, key))
        about = {key: getattr(case, key) for key in ("patient", "pixel_mm", "measured")}
        (place / "about.json").write_text(json.dumps(about), encoding="utf-8")


def open_packed(folder: Path) -> list[LabelledScan]:
    """What `pack` wrote, memory-mapped and sorted by name."""
    cases = []
    for path in sorted(Path(folder).glob("*/about.json")):
        arrays = {
            key: np.load(path.parent / f"{key}.npy", mmap_mode="r")
            for key in ("hu", "labels", "z_mm")
        }
        about = json.loads(path.read_text(encoding="utf-8"))
        cases.append(LabelledScan(name=path.parent.name, **about, **arrays))
    return cases
