"""What something was made of, as hashes that change when it does: files, code, scans, arrays.

Caches, checkpoints, weights and results keep these beside them, written last, so that none of them
is taken for one of other data, of another recipe or of other code.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..network.weights import PACKAGE, sha256
from ..sentences import say
from .labelled_scan import LabelledScan


def of_files(root: Path) -> str:
    """Of a data set: names and contents of all its files, wherever it lies.

    Contents, since the spacing in a header or in case.json can change without a file's size.

    Raises:
        DataError: there is no file.
    """
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    if not paths:
        raise DataError(say("data.none_here", data=root))
    with ThreadPoolExecutor() as pool:
        lines = [
            f"{path.relative_to(root).as_posix()} {content}"
            for path, content in zip(paths, pool.map(sha256, paths), strict=True)
        ]
    return of_text(*lines)


@cache
def of_code(*parts: str) -> str:
    """Of this package's source.

    Args:
        parts: rooms or modules, as "reading" or "training/datasets.py".
    """
    paths: set[Path] = set()
    for part in parts:
        place = PACKAGE / part
        found = {place} if place.is_file() else set(place.rglob("*.py"))
        if not found:
            raise ValueError(f"liverseg has no {part}")
        paths |= found
    lines = [f"{path.relative_to(PACKAGE).as_posix()} {sha256(path)}" for path in sorted(paths)]
    return of_text(*lines)


def of_scans(cases: Iterable[LabelledScan]) -> str:
    """Of scans with their labels, patients and places, in any order."""
    return of_text(*sorted(f"{case.name} {case.digest}" for case in cases))


def of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Of arrays in their order, as a network's weights are."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def of_text(*lines: str) -> str:
    """Of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
