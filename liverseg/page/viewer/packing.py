"""A scan and its results as the browser gets them: small JSON and gzipped bytes in files.

The CT travels once, with its exact HU. Slices are stored from the middle outwards, the first one in
a file of its own, so that it can be looked at while the others are packed and arrive; each as its
differences from pixel to pixel, see `_write_slices`. Prediction and truth share a byte: prediction
+ 4 truth.

Files stand in a value as Paths; the component makes of them what Gradio serves.
"""

import gzip
import hashlib
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...scores.findings import Findings
from ...scores.measurements import Lesion
from ...scores.metrics import Scores
from ...volume import HU_MAX, HU_MIN, Probability, Segmentation, Volume, affine_of, name_of
from ..synthetic_case import SyntheticCase

if TYPE_CHECKING:
    from ...network.cascade import Step

GZIP_WBITS = 16 + zlib.MAX_WBITS


def pack_scan_steps(
    volume: Volume, folder: Path, case: SyntheticCase | None = None
) -> Iterator[dict]:
    """A scan for the viewer, without any mask: its middle slice at once, then all of it.

    Args:
        volume: the scan.
        folder: this scan's own, which the page serves.
        case: of a synthetic scan, whose number and difficulty are shown.
    """
    positions = volume.source.positions_mm if volume.source else None
    order = middle_out(len(volume.hu))
    value: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "case": asdict(case) if case else None,
        "name": name_of(volume, case.number if case else None),
        "shape": list(volume.shape),
        "spacing_mm": list(volume.spacing) if volume.spacing else None,
        "slice_mm": None if positions is None else [round(float(p[2]), 2) for p in positions],
        "affine": _affine(volume),
        "windowed": list(volume.windowed) if volume.windowed else None,
        "hu_range": [HU_MIN, HU_MAX],
        "ct": [],
        "state": "scan",
        "progress": None,
        "previews": [],
        "result": None,
    }
    for some in filter(None, (order[:1], order[1:])):
        file = _write_slices(volume.hu, some, folder)
        value = {**value, "ct": [*value["ct"], file]}
        yield value


def pack_preview(value: dict, step: "Step", *, folder: Path) -> dict:
    """The scan with the masks found so far, and what is being done.

    Args:
        value: from `pack_scan_steps` or the `pack_preview` before.
        step: from `segment_steps`; its labels are added to those of the steps before.
        folder: the scan's.
    """
    previews = value["previews"]
    if step.labels is not None and len(step.z):
        previews = [
            *previews,
            {"z": [int(z) for z in step.z], "labels": _write(step.labels, folder)},
        ]
    progress = {"stage": step.stage, "done": int(step.done), "total": int(step.total)}
    return {**value, "state": "preview", "progress": progress, "previews": previews}


def pack_masks(
    value: dict,
    prediction: Segmentation | None,
    truth: Segmentation | None,
    thresholds: tuple[float, float],
    *,
    folder: Path,
    counts_false: bool = False,
) -> dict:
    """The scan with its final masks, of which nothing was measured yet; previews are over.

    Args:
        value: from any of the functions here.
        prediction: of the networks; None where there is only a ground truth.
        truth: the ground truth on the same grid, or None; at least one of both is there.
        thresholds: liver's and tumor's, at which `prediction` was made.
        folder: the scan's.
        counts_false: see `find`.
    """
    result: dict[str, Any] = {
        "predicted": prediction is not None,
        "truth": truth is not None,
        "tumors_scored": truth is not None and (counts_false or bool(truth.tumor.any())),
        "labels": _write(_in_one_byte(prediction, truth), folder),
        "thresholds": {"liver": thresholds[0], "tumor": thresholds[1]},
        "probability": None,
        "scores": None,
        "lesions": None,
    }
    if prediction and prediction.liver_probability and prediction.tumor_probability:
        result["probability"] = {
            "liver": _pack_probability(prediction.liver_probability, folder),
            "tumor": _pack_probability(prediction.tumor_probability, folder),
        }
    state = "result" if prediction else "scan"
    return {**value, "state": state, "progress": None, "previews": [], "result": result}


def pack_result(
    value: dict,
    findings: Findings,
    thresholds: tuple[float, float],
    *,
    folder: Path,
    counts_false: bool = False,
) -> dict:
    """As `pack_masks`, with the list of lesions and, with ground truth, the surface distances."""
    masks = findings.prediction, findings.truth
    value = pack_masks(value, *masks, thresholds, folder=folder, counts_false=counts_false)
    numbers = {
        "scores": _surface_scores(findings.scores) if findings.scores else None,
        "lesions": _lesions(findings),
    }
    return {**value, "result": value["result"] | numbers}


def middle_out(slices: int) -> list[int]:
    """The order in which slices are stored: the middle one first; the browser knows it too."""
    middle = slices // 2
    return sorted(range(slices), key=lambda z: (abs(z - middle), z))


def _affine(volume: Volume) -> list[list[float]] | None:
    """Three rows, voxel (x, y, z, 1) to LPS mm; None where the files do not say."""
    if volume.source is not None and volume.source.affine is not None:
        return volume.source.affine[:3].tolist()
    if volume.spacing is None or volume.spacing.z is None:
        return None
    return affine_of(volume.spacing)[:3].tolist()


def _in_one_byte(prediction: Segmentation | None, truth: Segmentation | None) -> np.ndarray:
    """(z, y, x) uint8, prediction + 4 truth; one of both may be missing."""
    if truth is None:
        assert prediction is not None
        return prediction.labels
    true = truth.labels << 2
    return true if prediction is None else prediction.labels | true


def _write_slices(hu: np.ndarray, order: list[int], folder: Path) -> Path:
    """Gzipped HU of some slices of (z, y, x) int16, one at a time.

    Each slice is stored as its differences along the rows, the first one from `HU_MIN`, zig-zag
    coded so that small ones are small numbers whatever their sign (0, -1, 1, -2 as 0, 1, 2, 3):
    first the low byte of all, then the high byte of all.
    """
    # differences repeat themselves in air only: looking for anything else would be in vain
    packer = zlib.compressobj(1, wbits=GZIP_WBITS, strategy=zlib.Z_RLE)
    path = folder / f"{secrets.token_hex(16)}.bin"
    with path.open("wb") as file:
        for z in order:
            steps = np.diff(hu[z].ravel(), prepend=np.int16(HU_MIN))
            zigzag = ((steps << 1) ^ (steps >> 15)).view(np.uint16)
            for part in (zigzag, zigzag >> 8):
                file.write(packer.compress(part.astype(np.uint8).data))
        file.write(packer.flush())
    return path


def _pack_probability(probability: Probability, folder: Path) -> dict:
    corner, shape = probability.corner, probability.values.shape
    return {
        "corner": [int(c) for c in corner],
        "shape": list(shape),
        "values": _write(probability.values, folder),
    }


def _surface_scores(scores: Scores) -> dict:
    """What the browser cannot count from voxels."""
    return {
        name: {"assd_mm": found.assd_mm, "hd95_mm": found.hd95_mm}
        for name, found in (("liver", scores.liver), ("tumor", scores.tumor))
    }


def _lesions(findings: Findings) -> list[dict]:
    """The predicted lesions, then the missed ones of the truth."""
    lesions, scores = findings.measurements.lesions, findings.scores
    if scores is None:
        return [_lesion(lesion, None) for lesion in lesions]
    status = {match.number: match.status for match in scores.lesions.predicted}
    listed = [_lesion(lesion, status[lesion.number]) for lesion in lesions]
    missed = {match.number for match in scores.lesions.truth if match.status == "missed"}
    true_lesions = findings.truth_measurements.lesions if findings.truth_measurements else ()
    return listed + [
        _lesion(lesion, "missed") for lesion in true_lesions if lesion.number in missed
    ]


def _lesion(lesion: Lesion, status: str | None) -> dict:
    return {
        "number": lesion.number,
        "status": status,
        "volume_ml": lesion.volume_ml,
        "long_axis_mm": lesion.long_axis_mm,
        "short_axis_mm": lesion.short_axis_mm,
        "long_axis": lesion.long_axis,
        "short_axis": lesion.short_axis,
        "first_slice": lesion.first_slice,
        "last_slice": lesion.last_slice,
        "center": lesion.centroid_zyx,
        "hu_mean": lesion.hu_mean,
        "hu_sd": lesion.hu_sd,
    }


def _write(array: np.ndarray, folder: Path) -> Path:
    """Gzipped bytes in a file named by their digest: what is there already is not sent again."""
    content = np.ascontiguousarray(array).data.cast("B")
    path = folder / f"{hashlib.blake2b(content, digest_size=16).hexdigest()}.bin"
    if not path.exists():
        path.write_bytes(gzip.compress(content, 1))
    return path
