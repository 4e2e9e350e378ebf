"""Finds the studies in a tree of files by the layouts that people have, or reads a list of them.

3D-IRCADb (PATIENT_DICOM, MASKS_DICOM), LiTS (volume-N, segmentation-N), MSD and nnU-Net (imagesTr,
labelsTr), TotalSegmentator (ct, segmentations), BIDS-style (sub-X_ct, sub-X_dseg), and any folders
and zips of DICOM. Scans and masks that have one name are one study; which are masks, names say.
"""

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..sentences import Sentence, say

MASK_WORDS = {
    *("seg", "segs", "segmentation", "segmentations", "dseg", "label", "labels", "labelstr"),
    *("labelsts", "mask", "masks", "truth", "groundtruth", "gt", "annotation", "annotations"),
}
STRUCTURES = {"liver", "tumor", "tumors", "tumour", "tumours", "livertumor", "lesion", "lesions"}
# Words of a layout, which say nothing about whose files these are.
LAYOUT = MASK_WORDS | {
    *("volume", "scan", "image", "images", "imagestr", "imagests", "img", "ct", "anat", "dicom"),
    *("patient", "derivatives", "pred", "prediction", "predictions", "ground"),
}
NEVER = {"labelled_dicom", "meshes_vtk"}  # of 3D-IRCADb: the same masks once more
NIFTI = (".nii.gz", ".nii")
DICOM = (".dcm", ".ima")
DICOM_MAGIC = b"DICM"  # after 128 bytes
LOOKED_INTO = 3  # files of a folder
COLUMNS = ("scan", "prediction", "truth")


@dataclass(frozen=True)
class Study:
    """What belongs together.

    Attributes:
        scan, prediction, truth: paths of each; none of a prediction where the networks are to make
            it, none of a truth where there is none.
        problem: why nothing can be done, known before anything was read.
    """

    scan: tuple[Path, ...]
    prediction: tuple[Path, ...] = ()
    truth: tuple[Path, ...] = ()
    problem: Sentence | None = None


@dataclass(frozen=True)
class _Unit:
    """A file, a folder or a zip that holds a scan or masks."""

    path: Path
    name: str
    is_mask: bool


def find_studies(root: Path, predictions: Path | None = None) -> list[Study]:
    """All studies below a folder, or in a list.

    Args:
        root: a folder; or a CSV file with the columns scan, prediction and truth, of which only the
            first must be filled, with paths relative to its folder.
        predictions: a folder with masks that are named as the scans are; each study gets its own.

    Raises:
        DataError: there is none.
    """
    if root.is_file():
        studies = list(_listed(root))
    else:
        units = list(_units(root))
        masks = _by_name(unit for unit in units if unit.is_mask)
        studies = [
            Study((unit.path,), truth=tuple(_nearest(unit.path, masks[unit.name])))
            for unit in units
            if not unit.is_mask and not _is_below(unit.path, predictions)
        ]
    if not studies:
        raise DataError(say("cohort.no_studies", root=root))
    return _with_predictions(studies, root, predictions) if predictions else studies


def _listed(path: Path) -> Iterator[Study]:
    with path.open(newline="", encoding="utf-8-sig") as lines:
        table = csv.DictReader(lines)
        if "scan" not in (table.fieldnames or ()):
            raise DataError(say("cohort.no_scan_column", columns=COLUMNS))
        for line in table:
            scan, prediction, truth = (
                tuple(path.parent / part for part in (line.get(column) or "").split(";") if part)
                for column in COLUMNS
            )
            if scan:
                yield Study(scan, prediction, truth)


def _with_predictions(studies: list[Study], root: Path, predictions: Path) -> list[Study]:
    by_name = _by_name(_units(predictions, all_masks=True))
    paired = []
    for study in studies:
        name = _name(study.scan[0], root if root.is_dir() else root.parent)
        found = by_name[name]
        if len(found) > 1:  # as the scans are ordered in folders, so may be the predictions
            where = _folders(study.scan[0], root)
            found = [path for path in found if _folders(path, predictions) == where] or found
        problem = study.problem
        if not found:
            problem = say("cohort.no_prediction")
        elif len({path.parent for path in found}) > 1:
            problem = say("cohort.several_predictions", count=len(found))
        paired.append(Study(study.scan, tuple(found), study.truth, problem))
    return paired


def _units(root: Path, all_masks: bool = False) -> Iterator[_Unit]:
    """What may be a scan or its masks, in the order of the paths."""
    for where, folders, files in os.walk(root):
        folder = Path(where)
        folders[:] = sorted(name for name in folders if _is_looked_at(name))
        files = sorted(name for name in files if _is_looked_at(name))
        masks = all_masks or _has_mask_word(folder, root)
        has_dicom = any(map(_is_dicom, [folder / name for name in files[:LOOKED_INTO]]))
        if has_dicom and not all_masks:
            top = _top_of_masks(folder, root) if masks else folder
            yield _Unit(top, _name(top, root), masks)
            if masks:
                folders.clear()
        for name in files:
            path = folder / name
            lower = name.lower()
            if lower.endswith((*NIFTI, ".zip")) or (all_masks and lower.endswith(DICOM)):
                is_mask = masks or bool(_words(_stem(path)) & MASK_WORDS) or _is_structure(path)
                yield _Unit(path, _name(path, root), is_mask)
        if all_masks and has_dicom and not any(name.lower().endswith(DICOM) for name in files):
            yield _Unit(folder, _name(folder, root), True)


def _by_name(units: Iterable[_Unit]) -> dict[str, list[Path]]:
    by_name: dict[str, list[Path]] = defaultdict(list)
    for unit in units:
        if unit.path not in by_name[unit.name]:  # a folder of masks is met once for each structure
            by_name[unit.name].append(unit.path)
    return by_name


def _nearest(scan: Path, masks: list[Path]) -> list[Path]:
    """Those that share most folders with the scan: others may have a scan of that name too."""
    shared = [len(os.path.commonpath([scan, mask])) for mask in masks]
    near = [mask for mask, count in zip(masks, shared, strict=True) if count == max(shared)]
    folders = [path for path in near if path.is_dir()]
    return folders or near  # a zip beside the folder that was packed into it is the same again


def _name(path: Path, root: Path) -> str:
    """Whose files these are: what a name says beyond the layout, else the folder's above."""
    while True:
        stem = re.sub(r"_0000$", "", _stem(path).lower())  # of nnU-Net: the first channel
        stem = re.sub(r"_(label|desc|space)-[a-z0-9]+", "", stem)  # of BIDS
        words = [word for word in re.split(r"[^a-z0-9.]+", stem) if word and word not in LAYOUT]
        if words and not set(words) <= STRUCTURES:
            return " ".join(words)
        if path in (root, path.parent):
            return ""
        path = path.parent


def _folders(path: Path, root: Path) -> str:
    return os.path.relpath(path.parent, root if root.is_dir() else root.parent)


def _stem(path: Path) -> str:
    for ending in (*NIFTI, ".zip", *DICOM):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _words(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", name.lower()))


def _is_structure(path: Path) -> bool:
    words = set(re.split(r"[^a-z0-9]+", _stem(path).lower()))  # liver_0 is a patient of MSD
    return words <= STRUCTURES


def _has_mask_word(folder: Path, root: Path) -> bool:
    parts = folder.relative_to(root).parts
    return any(_words(part) & MASK_WORDS for part in parts)


def _top_of_masks(folder: Path, root: Path) -> Path:
    """The folder whose name says that it holds masks, where those below name the structures."""
    above = [one for one in (folder, *folder.parents) if one.is_relative_to(root)]
    return next(one for one in reversed(above) if _words(one.name) & MASK_WORDS and one != root)


def _is_looked_at(name: str) -> bool:
    return not name.startswith(".") and name.lower().split(".")[0] not in NEVER


def _is_below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.is_relative_to(folder)


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in DICOM:
        return True
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == DICOM_MAGIC
    except OSError:
        return False
