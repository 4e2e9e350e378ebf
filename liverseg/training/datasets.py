"""The data sets people have, as labelled cases.

slice folders, 3D-IRCADb-01, `public_sets` → LabelledScan        phantoms → LabelledScan
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ..errors import DataError, UploadError
from ..sentences import say
from ..volume import Spacing
from .labelled_scan import APART_MM, ASSUMED_SPACING, UNANNOTATED, LabelledScan, as_labelled_scan
from .public_sets import ATLAS, Located, locate
from .split import SIDES, named_patients, patient_of, random_sides, split_cases

SMALL = (24, 128, 128)  # (z, y, x) of synthetic patients that stand in for a data set
TISSUE_HU = (-100, 300)  # where sets that were copied from one another are alike


def read_data(root: Path) -> Iterator[LabelledScan]:
    """Reads whichever of these data sets a folder holds.

    Args:
        root: of one data set; or no folder but "phantom", for eight small synthetic patients.

    Raises:
        DataError: where it holds none, or several: sets share patients under several names.
    """
    root = Path(root)
    if is_phantom(root):
        yield from read_phantoms(8, shape=SMALL)
    elif (root / "ct").is_dir():
        yield from read_slice_folders(root / "ct")
        yield from read_pictures(root / "msd_slices")
    else:
        located = locate(root)
        ircadb = {"3D-IRCADb-01"} if next(root.rglob("PATIENT_DICOM"), None) else set()
        sources = sorted({one.source for one in located} | ircadb)
        if not sources:
            raise DataError(say("data.none_here", data=root))
        if len(sources) > 1:
            raise DataError(say("data.several_sets", data=root, sets=tuple(sources)))
        yield from read_ircadb(root) if ircadb else read_located(located)


def is_phantom(root: Path) -> bool:
    """Whether synthetic patients are meant: by the word, where it is no folder's name."""
    return root.name == "phantom" and not root.exists()


def read_sides(root: Path, cases: Iterable[LabelledScan] | None = None) -> dict[str, list[str]]:
    """A data set's own `split.json`, or a random split by patient where it has none.

    Args:
        root: of the data set.
        cases: all of it, where it has been read already.

    Raises:
        DataError: for a split of patients that `cases` does not hold, as when half of a data set
            is here.
    """
    path = Path(root) / "split.json"
    if not path.is_file():
        return random_sides(read_data(root) if cases is None else cases)
    stored = json.loads(path.read_text(encoding="utf-8"))
    sides = {side: stored[side] for side in SIDES}
    if cases is not None:
        known = {name for case in cases for name in (case.name, case.patient)}
        _check_complete(root, [name for side in SIDES for name in sides[side]], known)
    return sides


def cases_of_side(root: Path, split: str) -> Iterator[LabelledScan]:
    """The cases of one side of a data set (see `read_data`), one at a time.

    Raises:
        DataError: after the last one, where split.json names patients who were not among them.
    """
    sides, found = read_sides(root), set()
    for case in read_data(root):
        mine = split_cases([case], sides)[split]
        found |= {name for one in mine for name in (one.name, one.patient)}
        yield from mine
    _check_complete(root, sides[split], found)


def _check_complete(root: Path, named: Iterable[str], found: set[str]) -> None:
    absent = {name for name in named if not named_patients([name]) & found}
    if absent:
        raise DataError(say("data.split_names_others", data=root, patients=tuple(sorted(absent))))


def read_slice_folders(root: Path) -> Iterator[LabelledScan]:
    """Reads `<case>/case.json` with `z####.webp` and `z####_label.png` for each slice.

    Gray values are 8-bit and span case.json's `window_hu`.
    """
    for folder in sorted(path for path in Path(root).iterdir() if path.is_dir()):
        if not (folder / "case.json").is_file():
            raise DataError(say("data.incomplete", found=folder, missing="case.json"))
        about = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        paths = [folder / f"z{z:04d}.webp" for z in about["slices"]]
        spacing = Spacing(*(about.get("spacing_zyx_mm") or ASSUMED_SPACING))
        yield LabelledScan(
            about["case"],
            patient_of(about["patient"]),
            np.stack([_gray_to_hu(_read_gray(path), about["window_hu"]) for path in paths]),
            np.stack([_read_gray(_label_of(path)) for path in paths]),
            np.array(about["slices"]) * spacing.z,
            spacing.y,
            measured=about.get("spacing_zyx_mm") is not None,
            stored_hu=tuple(about["window_hu"]),
        )


def read_pictures(folder: Path, window_hu: tuple[int, int] = (-40, 160)) -> Iterator[LabelledScan]:
    """Reads single slices `<patient>_<slice>.webp` with `..._label.png`, liver only.

    Each stands alone, as an uploaded picture does; label 1 may hold unannotated tumors.
    """
    patients: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).glob("*.webp")):
        patients.setdefault(path.stem.split("_")[0], []).append(path)
    for name, paths in patients.items():
        labels = np.stack([_read_gray(_label_of(path)) for path in paths])
        yield LabelledScan(
            f"{name}_pictures",
            patient_of(name.replace("lits", "lits_")),
            np.stack([_gray_to_hu(_read_gray(path), window_hu) for path in paths]),
            np.where(labels > 0, UNANNOTATED, 0).astype(np.uint8),
            np.arange(len(paths)) * APART_MM,
            ASSUMED_SPACING.y * 512 / labels.shape[-1],
            measured=False,
        )


def read_ircadb(root: Path) -> Iterator[LabelledScan]:
    """Reads 3D-IRCADb-01: `3Dircadb1.<n>/PATIENT_DICOM` and `MASKS_DICOM/<name>`."""
    scans = sorted(Path(root).rglob("PATIENT_DICOM"), key=_first_number)
    for scan in tqdm(scans, "scans", leave=False):
        name = f"ircad_{_first_number(scan):02d}"
        yield _read_pair(name, scan, scan.parent / "MASKS_DICOM")


def read_located(located: list[Located]) -> Iterator[LabelledScan]:
    """Reads scans of public sets in NIfTI.

    Several of AbdomenAtlas may be one scan, since the sets that it was made of share patients;
    they are one patient then, who is told by the HU.
    """
    patients: dict[str, str] = {}
    for one in tqdm(located, "scans", leave=False):
        case = _read_pair(one.name, one.scan, *one.masks)
        patient = one.patient
        if one.source == ATLAS:
            patient = patients.setdefault(_content(case.hu), patient)
        labels = case.labels
        if not one.annotated:
            labels = np.where(labels > 0, np.uint8(UNANNOTATED), np.uint8(0))
        yield replace(case, patient=patient_of(patient), labels=labels)


def _content(hu: np.ndarray) -> str:
    """sha256 of a scan's size and of how often each HU of soft tissue is in it, however it lies."""
    counts = np.bincount(np.clip(hu, *TISSUE_HU).ravel() - TISSUE_HU[0])
    return hashlib.sha256(repr((sorted(hu.shape), counts.tolist())).encode()).hexdigest()


def _read_pair(name: str, scan: Path, *truth: Path) -> LabelledScan:
    """A scan and its ground truth, read as an upload is; DataError where they cannot be."""
    from ..reading.upload import read_scan, read_truth

    for path in truth:
        if not path.exists():
            raise DataError(say("data.incomplete", found=scan, missing=path.name))
    try:
        volume = read_scan(scan, follow_links=True)
        labels = read_truth(truth, volume, follow_links=True)
    except UploadError as error:
        raise DataError(say("data.unreadable_scan", scan=scan, why=error.args[0])) from error
    return as_labelled_scan(name, patient_of(name), volume, labels)


def read_phantoms(count: int, seed: int = 0, **options: Any) -> Iterator[LabelledScan]:
    """Makes synthetic abdomens, each a patient of its own; options as for `make_phantom`."""
    from ..phantom import make_phantom

    for k in range(seed, seed + count):
        yield as_labelled_scan(f"phantom_{k}", f"phantom_{k}", *make_phantom(k, **options))


def _read_gray(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise DataError(say("data.unreadable_picture", path=path))
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., 0])


def _gray_to_hu(gray: np.ndarray, window_hu: tuple[int, int]) -> np.ndarray:
    low, high = window_hu
    return np.rint(low + gray * ((high - low) / 255)).astype(np.int16)


def _label_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_label.png")


def _first_number(scan: Path) -> int:
    """The patient's number in `3Dircadb1.<n>`."""
    return int(re.findall(r"\d+", scan.parent.name)[-1])
