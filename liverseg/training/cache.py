"""Labelled scans packed into a folder once and memory-mapped from then on."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..sentences import say
from . import fingerprint
from .datasets import is_phantom
from .labelled_scan import LabelledScan

MANIFEST = "manifest.json"
ARRAYS, FIELDS = ("hu", "labels", "z_mm"), ("patient", "pixel_mm", "measured", "stored_hu")
CODE = ("reading", "phantom", "training", "volume.py")  # what decides how a data set is read


def packed(
    source: Path | str,
    folder: Path,
    read: Callable[[Path], Iterable[LabelledScan]],
    code: tuple[str, ...] = (),
) -> list[LabelledScan]:
    """The cases of a data set, packed where they are not yet, so that any number fits.

    A manifest that is written last says of which files and by which code the cache was made, and
    what belongs to it. A cache that is not whole or was made by other code is made anew, one of
    other data is not touched.

    Args:
        source: the data set.
        folder: of the cache.
        read: what reads the data set.
        code: where `read` is written, besides `CODE`.

    Raises:
        DataError: the folder holds other data, or the data set holds no scan.
    """
    source, folder = Path(source), Path(folder)
    if folder.resolve().is_relative_to(source.resolve()):
        raise DataError(say("data.cache_inside", folder=folder, data=source))
    data = fingerprint.of_text("phantom") if is_phantom(source) else fingerprint.of_files(source)
    made_by = fingerprint.of_code(*CODE, *code)
    manifest = folder / MANIFEST
    if manifest.is_file():
        made = json.loads(manifest.read_text(encoding="utf-8"))
        if made["source"] != data:
            raise DataError(say("data.other_cache", folder=folder, wanted=source))
        if made.get("code") == made_by and made.get("files") == _files(folder):
            return open_packed(folder)
    shutil.rmtree(folder, ignore_errors=True)
    pack(read(source), folder)
    cases = open_packed(folder)
    if not cases:
        raise DataError(say("data.none_here", data=source))
    made = {"source": data, "code": made_by, "files": _files(folder)}
    manifest.write_text(json.dumps(made, indent=1), encoding="utf-8")
    return cases


def _files(folder: Path) -> dict[str, int]:
    """Size of each file that belongs to a cache, by name."""
    paths = sorted(path for path in folder.glob("*/*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}


def pack(cases: Iterable[LabelledScan], folder: Path) -> None:
    """Writes cases to a folder."""
    for case in cases:
        place = Path(folder) / case.name
        place.mkdir(parents=True, exist_ok=True)
        for key in ARRAYS:
            np.save(place / f"{key}.npy", getattr(case, key))
        about = {key: getattr(case, key) for key in (*FIELDS, "digest")}
        (place / "about.json").write_text(json.dumps(about), encoding="utf-8")


def open_packed(folder: Path) -> list[LabelledScan]:
    """What `pack` wrote, memory-mapped and sorted by name."""
    cases = []
    for path in sorted(Path(folder).glob("*/about.json")):
        arrays = {key: np.load(path.parent / f"{key}.npy", mmap_mode="r") for key in ARRAYS}
        about = json.loads(path.read_text(encoding="utf-8"))
        stored_hu = about.pop("stored_hu")
        digest = about.pop("digest")
        case = LabelledScan(
            path.parent.name, **about, **arrays, stored_hu=stored_hu and tuple(stored_hu)
        )
        vars(case)["digest"] = digest  # so that it is not worked out of all voxels again
        cases.append(case)
    return cases
