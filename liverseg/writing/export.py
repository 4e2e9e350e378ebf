"""Results to take away: NIfTI, PNG, CSV and JSON. The DICOM SEG and the report have own modules.

Nothing identifying is written: no header text, file names or UIDs.
"""

import csv
import io
import json
from pathlib import Path

import nibabel
import numpy as np
from nibabel.orientations import axcodes2ornt, ornt_transform

from ..scores.glossary import EXPLANATIONS
from ..scores.measurements import Measurements
from ..scores.metrics import Scores
from ..volume import Segmentation, Volume, notices
from .colors import LIVER, TUMOR, rgb

DISCLAIMER = "Teaching demo, not for diagnosis."
CONVENTIONS = (
    "z counts slices from 0 at the feet; points are (z, y, x) in voxels, y to the back and x to "
    "the patient's left; lengths in mm, areas in mm², volumes in mL, densities in HU; null is "
    "undefined or unknown."
)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
PALETTE = (0, 0, 0, *rgb(LIVER), *rgb(TUMOR))  # of labels 0, 1, 2


def write_nifti(segmentation: Segmentation, volume: Volume, path: Path | str) -> None:
    """Writes labels (0 background, 1 liver, 2 tumor) where the scan was.

    A NIfTI scan's labels get its own axes, so that the arrays fit voxel by voxel. Uneven slices
    get their mean distance, as converters of DICOM give them, and a single slice 1 mm. Where the
    scan does not say where it was, neither does the file (sform and qform code 0).
    """
    source = volume.source
    affine = _affine(volume)
    labels = np.ascontiguousarray(segmentation.labels.transpose(2, 1, 0))
    image = nibabel.Nifti1Image(labels, LPS_TO_RAS @ (np.eye(4) if affine is None else affine))
    if source and source.axcodes:
        stored = axcodes2ornt(source.axcodes)
        image = image.as_reoriented(ornt_transform(axcodes2ornt("LPS"), stored))
    code = "unknown" if affine is None else "scanner"
    image.set_sform(image.affine, code)
    image.set_qform(image.affine, code)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def _affine(volume: Volume) -> np.ndarray | None:
    """(4, 4) float, voxel (x, y, z, 1) to LPS mm; None where that is unknown."""
    source = volume.source
    if source is None and volume.spacing:
        return np.diag([volume.spacing.x, volume.spacing.y, volume.spacing.z or 1.0, 1.0])
    if source is None or source.affine is not None or source.positions_mm is None:
        return source and source.affine
    affine = np.diag([volume.spacing.x, volume.spacing.y, 1.0, 1.0])
    affine[:3, 3] = source.positions_mm[0]
    affine[:3, 2] = np.diff(source.positions_mm, axis=0).mean(axis=0)
    return affine


def write_png(segmentation: Segmentation, folder: Path | str) -> list[Path]:
    """Writes one palette PNG for each slice: index 0 background, 1 liver, 2 tumor.

    Returns:
        The files, in the order of z.
    """
    from PIL import Image

    paths = []
    width = len(str(len(segmentation.labels)))
    for number, labels in enumerate(segmentation.labels, start=1):
        picture = Image.fromarray(labels, mode="P")
        picture.putpalette(PALETTE)
        paths.append(Path(folder) / f"segmentation_{number:0{width}d}.png")
        picture.save(paths[-1], optimize=True)
    return paths


def to_json(
    volume: Volume,
    segmentation: Segmentation,
    measurements: Measurements,
    scores: Scores | None,
    identity: str,
    truth: Segmentation | None = None,
) -> str:
    """Everything measured, as JSON text.

    Args:
        volume, segmentation: for their notices and the scan's size.
        measurements: of the segmentation.
        scores: None where there is no ground truth.
        identity: of the weights.
        truth: for its notices.
    """
    report = {
        "disclaimer": DISCLAIMER,
        "weights": identity,
        "conventions": CONVENTIONS,
        "shape_zyx": list(volume.shape),
        "spacing_zyx_mm": list(volume.spacing) if volume.spacing else None,
        "notices": notices(volume, truth, segmentation),
        "measurements": measurements.to_dict(),
        "scores": scores.to_dict() if scores else None,
    }
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(
    volume: Volume,
    segmentation: Segmentation,
    measurements: Measurements,
    scores: Scores | None,
    identity: str,
    truth: Segmentation | None = None,
) -> str:
    """The chief numbers of `to_json` for a spreadsheet: one a row, slices counted from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("quantity", "tumor", "slice", "value", "unit"))
    writer.writerows(_measurement_rows(measurements))
    if scores:
        writer.writerows(_score_rows(scores))
    writer.writerow(("Weights", "", "", identity, ""))
    for sentence in [*notices(volume, truth, segmentation), DISCLAIMER]:
        writer.writerow(("Note", "", "", sentence, ""))
    return text.getvalue()


def _measurement_rows(found: Measurements):
    for key in ("liver_ml", "tumor_ml", "burden_percent", "liver_hu_mean"):
        yield _row(key, getattr(found, key))
    yield "Tumors", "", "", len(found.lesions), ""
    for lesion in found.lesions:
        for key in ("volume_ml", "long_axis_mm", "short_axis_mm", "hu_mean"):
            yield _row(key, getattr(lesion, key), tumor=lesion.number)
        yield "First slice", lesion.number, "", lesion.first_slice + 1, ""
        yield "Last slice", lesion.number, "", lesion.last_slice + 1, ""
    for name, areas in (("Liver", found.liver_area_mm2), ("Tumor", found.tumor_area_mm2)):
        for number, area in enumerate(areas or (), start=1):
            yield f"{name} area", "", number, area, "mm²"


def _score_rows(scores: Scores):
    for structure in ("liver", "tumor"):
        for key, value in vars(getattr(scores, structure)).items():
            yield _row(key, value, structure)
    yield _row("lesion_precision", scores.lesions.precision)
    yield _row("lesion_recall", scores.lesions.recall)
    for match in scores.lesions.predicted:
        yield "Status", match.number, "", match.status, ""
    for one in scores.slices:
        for structure in ("liver", "tumor"):
            yield _row("dice", getattr(one, structure).dice, structure, number=one.z + 1)


def _row(key: str, value: float | None, structure: str = "", tumor="", number=""):
    known = EXPLANATIONS[key]
    name = f"{known.name}, {structure}" if structure else known.name
    return name, tumor, number, "" if value is None else value, known.unit
