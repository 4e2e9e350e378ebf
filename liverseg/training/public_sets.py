"""Where public data sets in NIfTI keep each scan and its masks, and whose scan it is.

| set | scan | masks | labels |
|---|---|---|---|
| LiTS | `volume-N.nii` | `segmentation-N.nii` | 1 liver, 2 tumor |
| MSD Task03 | `imagesTr/liver_N.nii.gz` | `labelsTr/liver_N.nii.gz` | 1 liver, 2 tumor |
| TriALS | `imagesTr/[C/]C_PHASE.nii.gz` | `labelsTr*/` likewise | 1 liver, 2 lesion |
| AbdomenAtlas | `BDMAP_N/ct.nii.gz` | `BDMAP_N/segmentations/liver[_lesion].nii.gz` | 0, 1 |
| nnU-Net's form | `imagesTr/NAME_0000.nii.gz` | `labelsTr/NAME.nii.gz` | by dataset.json |

AbdomenAtlas comes as one tree, or as one of scans and one of masks. Version 1 of it has no masks of
lesions, so that its livers are livers of which nobody said where tumors are. The conversion of
TriALS for nnU-Net (github.com/xmed-lab/TriALS) says how its files are named. Other sets, as LiMT,
whose files nothing that is published describes, are read in nnU-Net's form.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError
from ..sentences import say

LITS, MSD, TRIALS = "LiTS", "MSD Task03_Liver", "TriALS"
ATLAS, OTHER = "AbdomenAtlas", "nnU-Net"
PHASE = re.compile(r"no_?contrast|arterial|venous|delayed", re.IGNORECASE)
ATLAS_CASE = re.compile(r"BDMAP_(\d+)")
ATLAS_PATIENT, ATLAS_HOLDS = "bdmap_", ("lits_", "ircad_")
TUMOR_WORDS = ("tumor", "tumour", "cancer", "lesion")


class Located(NamedTuple):
    """One scan of a public set.

    Attributes:
        source: the set.
        name: of the scan, unique in the set.
        patient: whose it is.
        scan: its file.
        masks: its masks' files, which may be missing.
        annotated: whether somebody said where tumors are.
    """

    source: str
    name: str
    patient: str
    scan: Path
    masks: tuple[Path, ...]
    annotated: bool = True


def locate(root: Path) -> list[Located]:
    """The scans of public sets below a folder, sorted by name.

    Raises:
        DataError: where labels of a set in nnU-Net's form are not liver and tumor.
    """
    found: list[Located] = []
    for scan in Path(root).rglob("*.nii*"):
        if scan.name.startswith("."):
            continue
        if scan.name.startswith("volume-"):
            found.append(_lits(scan))
        elif scan.parent.name.startswith("imagesTr") or scan.parent.parent.name == "imagesTr":
            found.append(_in_images_tr(scan))
    return sorted([*found, *_atlas(Path(root))], key=lambda located: located.name)


def traceable(learned: Iterable[str], patients: Iterable[str]) -> bool:
    """Whether names tell that none of one group is one of another.

    AbdomenAtlas holds LiTS, MSD and with them 3D-IRCADb-01 under numbers of its own, and nothing
    that is published says which is which (Li et al., "AbdomenAtlas", 2024).
    """
    one, other = set(learned), set(patients)
    return not any(
        any(name.startswith(ATLAS_PATIENT) for name in first)
        and any(name.startswith(ATLAS_HOLDS) for name in second)
        for first, second in ((one, other), (other, one))
    )


def _lits(scan: Path) -> Located:
    name = scan.name.replace("volume", "segmentation")
    masks = next(scan.parent.parent.rglob(name), scan.with_name(name))
    number = f"lits_{_number(scan):03d}"
    return Located(LITS, number, number, scan, (masks,))


def _in_images_tr(scan: Path) -> Located:
    """A scan of MSD, TriALS or another set in nnU-Net's form."""
    images = scan.parent if scan.parent.name.startswith("imagesTr") else scan.parent.parent
    stem = scan.name.split(".")[0].removesuffix("_0000")
    ending = scan.name.removeprefix(scan.name.split(".")[0])
    folders = sorted(images.parent.glob("labelsTr*")) or [images.with_name("labelsTr")]
    inside = scan.parent.relative_to(images)
    places = [folder / inside / f"{stem}{ending}" for folder in folders]
    masks = (next((place for place in places if place.is_file()), places[0]),)
    about = images.parent / "dataset.json"
    if about.is_file():
        _check_labels(about)
    phase = PHASE.search(stem)
    if re.fullmatch(r"liver_\d+", stem):
        name = f"lits_{_number(scan):03d}"
        return Located(MSD, name, name, scan, masks)
    if phase and re.search(r"\d", stem):
        patient = f"trials_{int(re.findall(r'[0-9]+', stem)[0]):03d}"
        return Located(TRIALS, f"{patient}_{phase[0].lower()}", patient, scan, masks)
    if not about.is_file():
        raise DataError(say("data.no_labels_named", folder=images.parent))
    return Located(OTHER, stem, stem, scan, masks)


def _check_labels(about: Path) -> None:
    """DataError unless dataset.json, of MSD or of nnU-Net 2, says 1 liver and 2 tumor."""
    stored = json.loads(about.read_text(encoding="utf-8")).get("labels", {})
    words = {_label(key, value): str(_word(key, value)).lower() for key, value in stored.items()}
    tumor = words.get(2, "")
    if "liver" not in words.get(1, "") or not any(word in tumor for word in TUMOR_WORDS):
        raise DataError(say("data.other_labels", file=about))


def _label(key: str, value: Any) -> int | None:
    return int(key) if key.isdecimal() else value if isinstance(value, int) else None


def _word(key: str, value: Any) -> Any:
    return value if key.isdecimal() else key


def _atlas(root: Path) -> Iterator[Located]:
    folders = {}
    for masks in root.rglob("segmentations"):
        case = ATLAS_CASE.fullmatch(masks.parent.name)
        if case:
            folders[case[0]] = masks
    for scan in root.rglob("ct.nii*"):
        case = ATLAS_CASE.fullmatch(scan.parent.name)
        if case:
            masks = folders.get(case[0], scan.with_name("segmentations"))
            ending = scan.name.removeprefix("ct")
            liver, lesions = (masks / f"{name}{ending}" for name in ("liver", "liver_lesion"))
            name = f"{ATLAS_PATIENT}{case[1]}"
            known = lesions.is_file()
            yield Located(ATLAS, name, name, scan, (liver, lesions) if known else (liver,), known)


def _number(scan: Path) -> int:
    return int(re.findall(r"\d+", scan.name.split(".")[0].removesuffix("_0000"))[-1])
