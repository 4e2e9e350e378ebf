"""Labelled scans for training, from the data sets people have, split by patient and never else.

    slice folders, 3D-IRCADb-01, LiTS / MSD Task03, phantoms → Case → cache on disk → split

Labels are 0 background, 1 liver, 2 tumor and 3, liver on a slice whose tumors nobody annotated:
liver for the liver network, left out of every tumor loss and score.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .volume import TUMOR, Segmentation, Spacing, Volume

UNANNOTATED = 3  # liver on a slice whose tumors were not annotated
UNKNOWN_SPACING = Spacing(1.25, 0.75, 0.75)  # mm, for training scans that do not say: LiTS' median
APART_MM = 1e3  # between single slices of different places: too far to be neighbours
LITS_OF_IRCADB = range(28, 48)  # LiTS volume v is 3D-IRCADb-01 patient v - 27
SIDES = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Case:
    """One labelled scan, or the labelled slices that are known of it.

    Attributes:
        name: of the scan, unique in a data set.
        patient: whose it is; several scans may be of one patient.
        hu: (z, y, x) int16.
        labels: (z, y, x) uint8: 0 background, 1 liver, 2 tumor, 3 liver without annotated tumors.
        z_mm: (z,) float, where each slice lies; slices may be missing between two.
        pixel_mm: side of a pixel.
    """

    name: str
    patient: str
    hu: np.ndarray
    labels: np.ndarray
    z_mm: np.ndarray
    pixel_mm: float

    def __post_init__(self):
        if self.hu.shape != self.labels.shape or self.z_mm.shape != self.hu.shape[:1]:
            raise ValueError(
                f"hu, labels and z_mm must fit, got {self.hu.shape}, {self.labels.shape} "
                f"and {self.z_mm.shape}"
            )


def case_of(name: str, patient: str, volume: Volume, truth: Segmentation) -> Case:
    """A case from a scan and its ground truth; unknown spacing is assumed."""
    spacing = volume.spacing or UNKNOWN_SPACING
    z_mm = np.arange(volume.shape[0]) * (spacing.z or UNKNOWN_SPACING.z)
    return Case(name, patient, volume.hu, truth.labels, z_mm, spacing.y)


# --- data sets ----------------------------------------------------------------------------------


def read_slice_folders(root: Path) -> Iterator[Case]:
    """Reads `<case>/case.json` with `z####.webp` and `z####_label.png` for each slice.

    Grey values are 8-bit and span case.json's `window_hu`.
    """
    for folder in sorted(path.parent for path in Path(root).glob("*/case.json")):
        about = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        paths = [folder / f"z{z:04d}.webp" for z in about["slices"]]
        spacing = Spacing(*(about.get("spacing_zyx_mm") or UNKNOWN_SPACING))
        yield Case(
            about["case"],
            about["patient"],
            np.stack([_gray_to_hu(_read_gray(path), about["window_hu"]) for path in paths]),
            np.stack([_read_gray(_label_of(path)) for path in paths]),
            np.array(about["slices"]) * spacing.z,
            spacing.y,
        )


def read_pictures(folder: Path, window_hu: tuple[int, int] = (-40, 160)) -> Iterator[Case]:
    """Reads single slices `<patient>_<slice>.webp` with `..._label.png`, liver only.

    Each stands alone, as an uploaded picture does; label 1 may hold unannotated tumors.
    """
    patients: dict[str, list[Path]] = {}
    for path in sorted(Path(folder).glob("*.webp")):
        patients.setdefault(path.stem.split("_")[0], []).append(path)
    for name, paths in patients.items():
        labels = np.stack([_read_gray(_label_of(path)) for path in paths])
        yield Case(
            f"{name}_pictures",
            _lits_patient(int(name[4:])) if name.startswith("lits") else name,
            np.stack([_gray_to_hu(_read_gray(path), window_hu) for path in paths]),
            np.where(labels > 0, UNANNOTATED, 0).astype(np.uint8),
            np.arange(len(paths)) * APART_MM,
            UNKNOWN_SPACING.y * 512 / labels.shape[-1],
        )


def read_ircadb(root: Path) -> Iterator[Case]:
    """Reads 3D-IRCADb-01: `3Dircadb1.<n>/PATIENT_DICOM` and `MASKS_DICOM/<name>`."""
    from .upload import read_scan, read_truth

    for scan in sorted(Path(root).rglob("PATIENT_DICOM"), key=_first_number):
        volume = read_scan(scan)
        truth = read_truth(scan.parent / "MASKS_DICOM", volume)
        name = f"ircad_{_first_number(scan):02d}"
        yield case_of(name, name, volume, truth)


def read_nifti_pairs(root: Path) -> Iterator[Case]:
    """Reads LiTS (`volume-N.nii`, `segmentation-N.nii`) or MSD Task03 (`imagesTr`, `labelsTr`)."""
    from .upload import read_scan, read_truth

    for scan in sorted(Path(root).rglob("*.nii*"), key=lambda path: int(_digits(path.name))):
        truth = _truth_of(scan)
        if truth is not None:
            number = int(_digits(scan.name))
            volume = read_scan(scan)
            patient = _lits_patient(number)
            yield case_of(f"lits_{number:03d}", patient, volume, read_truth(truth, volume))


def read_phantoms(count: int, seed: int = 0, **options) -> Iterator[Case]:
    """Makes synthetic abdomens, each a patient of its own; options as for `make_phantom`."""
    from .phantom import make_phantom

    for k in range(seed, seed + count):
        yield case_of(f"phantom_{k}", f"phantom_{k}", *make_phantom(k, **options))


# --- cache --------------------------------------------------------------------------------------


def pack(cases: Iterable[Case], folder: Path) -> list[Case]:
    """Writes cases once to a folder and returns them memory-mapped, so that any number fits."""
    for case in cases:
        place = Path(folder) / case.name
        place.mkdir(parents=True, exist_ok=True)
        for key in ("hu", "labels", "z_mm"):
            np.save(place / f"{key}.npy", getattr(case, key))
        about = {"patient": case.patient, "pixel_mm": case.pixel_mm}
        (place / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return open_packed(folder)


def open_packed(folder: Path) -> list[Case]:
    """What `pack` wrote, memory-mapped and sorted by name."""
    cases = []
    for path in sorted(Path(folder).glob("*/about.json")):
        arrays = {
            key: np.load(path.parent / f"{key}.npy", mmap_mode="r")
            for key in ("hu", "labels", "z_mm")
        }
        about = json.loads(path.read_text(encoding="utf-8"))
        cases.append(Case(name=path.parent.name, **about, **arrays))
    return cases


# --- split --------------------------------------------------------------------------------------


def split_cases(cases: Iterable[Case], sides: Mapping[str, Iterable[str]]) -> dict[str, list[Case]]:
    """Puts each case on the side that names its patient or itself.

    Args:
        cases: to split; patients that no side names are for training.
        sides: patients or case names of "train", "val" and "test".

    Raises:
        ValueError: where one patient would be on two sides.
    """
    split: dict[str, list[Case]] = {side: [] for side in SIDES}
    side_of: dict[str, str] = {}
    for case in cases:
        own = {case.name, case.patient}
        for side in [side for side in SIDES if own & set(sides[side])] or ["train"]:
            if side_of.setdefault(case.patient, side) != side:
                raise ValueError(
                    f"patient {case.patient} would be in {side_of[case.patient]} and in {side}; "
                    "split by patient"
                )
            split[side].append(case)
    return split


def random_sides(cases: Iterable[Case], seed: int = 0, held_out: float = 0.2) -> dict[str, list]:
    """Patients of "train", "val" and "test" at random, those with tumors shared out evenly.

    Args:
        cases: of at least three patients.
        seed: of the shuffle.
        held_out: part of the patients in "val", and again in "test"; at least one each.
    """
    tumor: dict[str, bool] = {}
    for case in cases:
        tumor[case.patient] = tumor.get(case.patient, False) or bool((case.labels == TUMOR).any())
    if len(tumor) < len(SIDES):
        raise ValueError(f"a split needs at least 3 patients, got {len(tumor)}")
    shuffled = np.random.default_rng(seed).permutation(sorted(tumor))
    ordered = sorted(map(str, shuffled), key=tumor.__getitem__, reverse=True)
    every = max(3, round(1 / held_out))
    return {
        "train": [p for k, p in enumerate(ordered) if k % every > 1],
        "val": [p for k, p in enumerate(ordered) if k % every == 0],
        "test": [p for k, p in enumerate(ordered) if k % every == 1],
    }


def _read_gray(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError(f"{path} is not a readable picture")
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., 0])


def _gray_to_hu(gray: np.ndarray, window_hu) -> np.ndarray:
    low, high = window_hu
    return np.rint(low + gray * ((high - low) / 255)).astype(np.int16)


def _label_of(path: Path) -> Path:
    return path.with_name(f"{path.stem}_label.png")


def _truth_of(scan: Path) -> Path | None:
    """The label file of a LiTS or MSD scan; None for a file that is no scan."""
    if scan.name.startswith("volume-"):
        candidates = list(scan.parent.parent.rglob(scan.name.replace("volume", "segmentation")))
    elif scan.parent.name == "imagesTr" and not scan.name.startswith("."):
        candidates = [scan.parent.with_name("labelsTr") / scan.name]
    else:
        candidates = []
    return next((path for path in candidates if path.is_file()), None)


def _lits_patient(number: int) -> str:
    """LiTS holds the 3D-IRCADb-01 patients; both names must mean one patient."""
    return f"ircad_{number - 27:02d}" if number in LITS_OF_IRCADB else f"lits_{number:03d}"


def _digits(text: str) -> str:
    return (re.findall(r"\d+", text.split(".")[0]) or ["0"])[-1]


def _first_number(scan: Path) -> int:
    """The patient's number in `3Dircadb1.<n>`."""
    return int(re.findall(r"\d+", scan.parent.name)[-1])
