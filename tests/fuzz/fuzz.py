"""Damages good files by the thousand and reads them: `python -m tests.fuzz.fuzz --count 100000`.

Whatever happens to a file, `read_scan` and `read_truth` may only read it or raise UploadError, soon
and without keeping memory. Case k of a seed is always the same, so that a finding can be repeated
with `--first k --count 1`.
"""

import argparse
import gzip
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from liverseg.errors import UploadError
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import Volume
from tests.fuzz.seeds import Seed, make_seeds

SECONDS = 10  # after which a case counts as hanging
WARM_UP = 200  # cases before memory is looked at for the first time
HEAD = 1500  # bytes in which most damage is done, for there the structure is
EDGES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0", b"\xff\xff", b"\xff\x7f", b"\0\0\0\0")
EDGES += (b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"\xfe\xff\x00\xe0")
NUMBERS = (b"-1", b"0", b"1e308", b"-1e308", b"nan", b"inf", b"9" * 12, b"1e-308", b"", b"a\\b")


class Hang(BaseException):
    """A case took longer than SECONDS; no `except Exception` may catch it."""


@dataclass
class Summary:
    """What a run found.

    Attributes:
        count: cases run.
        read, refused: how many were read, and refused by UploadError.
        findings: for every other outcome the case, the error and where it was raised.
        slowest_seconds: of one case.
        growth_mb: memory kept since the warm-up; None where it cannot be told.
        seconds: of the whole run.
    """

    count: int = 0
    read: int = 0
    refused: int = 0
    findings: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    growth_mb: float | None = None
    seconds: float = 0.0

    def __str__(self):
        growth = "not measured" if self.growth_mb is None else f"{self.growth_mb:.0f} MB"
        lines = [
            f"{self.count} cases in {self.seconds:.0f} s: {self.read} read, {self.refused} "
            f"refused, {len(self.findings)} findings.",
            f"Slowest {self.slowest_seconds:.2f} s, memory growth {growth}.",
        ]
        return "\n".join([*lines, *self.findings])


def fuzz(
    count: int, seed: int = 0, *, first: int = 0, progress: Callable[[int], None] | None = None
) -> Summary:
    """Reads `count` damaged uploads.

    Args:
        count: how many.
        seed: of the pseudo-random damage.
        first: number of the first case.
        progress: called with the number of each case before it is run.
    """
    summary, start, rest_mb = Summary(), time.perf_counter(), None
    with TemporaryDirectory(prefix="liverseg-fuzz-") as scratch:
        seeds, volume = make_seeds(Path(scratch, "seeds"))
        for case in range(first, first + count):
            if progress:
                progress(case)
            if summary.count == WARM_UP:
                rest_mb = _resident_mb()
            _run(
                case, random.Random(f"{seed}/{case}"), seeds, volume, Path(scratch, "case"), summary
            )
    if rest_mb is not None:
        summary.growth_mb = _resident_mb() - rest_mb
    summary.seconds = time.perf_counter() - start
    return summary


def main(argv: list[str]) -> int:
    """The command; 1 where there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    arguments = parser.parse_args(argv)

    def progress(case: int) -> None:
        if case % 1000 == 0:
            print(f"case {case}", file=sys.stderr)

    summary = fuzz(arguments.count, arguments.seed, first=arguments.first, progress=progress)
    print(summary)
    return int(bool(summary.findings))


def _run(
    case: int,
    rng: random.Random,
    seeds: list[Seed],
    volume: Volume,
    folder: Path,
    summary: Summary,
) -> None:
    """One case: writes the damaged upload, reads it, notes what happened."""
    seed = rng.choice(seeds)
    _write(_damaged_files(seed, rng, seeds), folder)
    start = time.perf_counter()
    try:
        with _time_limit():
            read_scan(folder) if seed.box == "scan" else read_truth(folder, volume)
        summary.read += 1
    except UploadError:
        summary.refused += 1
    except (Exception, Hang) as error:
        *_, inner = traceback.extract_tb(error.__traceback__)
        where = f"{Path(inner.filename).name}:{inner.lineno}"
        summary.findings.append(f"case {case}, {seed.kind}: {type(error).__name__} in {where}")
    summary.slowest_seconds = max(summary.slowest_seconds, time.perf_counter() - start)
    summary.count += 1


def _write(files: dict[str, bytes], folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _damaged_files(seed: Seed, rng: random.Random, seeds: list[Seed]) -> dict[str, bytes]:
    """The seed's files, one or all of them damaged."""
    files = dict(seed.files)
    names = list(files) if rng.random() < 0.2 else [rng.choice(list(files))]
    state = rng.getstate()
    for name in names:
        rng.setstate(state)  # the same damage in all, so that a series stays one
        if files[name].startswith(b"\x1f\x8b") and rng.random() < 0.7:
            files[name] = gzip.compress(damaged(gzip.decompress(files[name]), rng, seeds), 1)
        else:
            files[name] = damaged(files[name], rng, seeds)
    return files


def damaged(content: bytes, rng: random.Random, seeds: list[Seed]) -> bytes:
    """A file with one to eight changes, most of them near its beginning."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 8))):
        end = min(len(content), HEAD) if rng.random() < 0.7 else len(content)
        at = rng.randrange(end) if end else 0
        content = rng.choice(CHANGES)(content, at, rng, seeds)
    return content


def _flip(content: bytes, at: int, rng: random.Random, seeds: list[Seed]) -> bytes:
    byte = content[at] ^ (1 << rng.randrange(8)) if content else 0
    return content[:at] + bytes([byte]) + content[at + 1 :]


def _overwrite(content: bytes, at: int, rng: random.Random, seeds: list[Seed]) -> bytes:
    edge = rng.choice(EDGES) if rng.random() < 0.8 else rng.randbytes(rng.randint(1, 8))
    return content[:at] + edge + content[at + len(edge) :]


def _number(content: bytes, at: int, rng: random.Random, seeds: list[Seed]) -> bytes:
    """Another decimal string of the same length where the next one is."""
    found = re.compile(rb"[-0-9.\\]{1,32}").search(content, at)
    if not found:
        return content
    value = rng.choice(NUMBERS)[: len(found[0])].ljust(len(found[0]))
    return content[: found.start()] + value + content[found.end() :]


def _cut(content: bytes, at: int, rng: random.Random, seeds: list[Seed]) -> bytes:
    return content[:at] + (b"" if rng.random() < 0.3 else content[at + rng.randint(1, 64) :])


def _repeat(content: bytes, at: int, rng: random.Random, seeds: list[Seed]) -> bytes:
    piece = content[at : at + rng.randint(1, 200)]
    return content[:at] + piece * rng.choice((2, 2, 3, 50)) + content[at + len(piece) :]


def _splice(content: bytes, at: int, rng: random.Random, seeds: list[Seed]) -> bytes:
    """A piece of another seed put in or put over."""
    other = rng.choice(list(rng.choice(seeds).files.values()))
    start = rng.randrange(len(other))
    piece = other[start : start + rng.randint(1, 400)]
    return content[:at] + piece + content[at + rng.choice((0, len(piece))) :]


CHANGES = (_flip, _flip, _overwrite, _overwrite, _number, _number, _cut, _repeat, _splice)


@contextmanager
def _time_limit():
    """Raises Hang after SECONDS, where the system has alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(signum, frame):
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _resident_mb() -> float | None:
    """Memory of this process; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
