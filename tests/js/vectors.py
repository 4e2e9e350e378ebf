"""What the package says about small made-up scans, for the viewer's scripts to agree with."""

import gzip
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from scipy import ndimage
from skimage import measure

from liverseg.network.cascade import level
from liverseg.page.viewer.packing import middle_out, pack_scan_steps
from liverseg.scores.lesions import number_lesions
from liverseg.scores.metrics import compare, dice
from liverseg.scores.surfaces import surface_distances
from liverseg.volume import HU_MAX, HU_MIN, Segmentation, Spacing, Volume, affine_of

SHAPE = (7, 24, 30)
SPACING = Spacing(2.5, 0.7, 0.8)


def blob(seed: int, shape: tuple[int, ...] = SHAPE, part: float = 0.3) -> np.ndarray:
    """A smooth random mask that holds about a part of all voxels."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return noise > np.quantile(noise, 1 - part)


def labels(seed: int) -> np.ndarray:
    """(z, y, x) uint8: a liver with tumors in it."""
    liver = blob(seed, part=0.4)
    return liver * np.where(blob(seed + 100, part=0.3), np.uint8(2), np.uint8(1))


def made() -> dict:
    """All vectors, JSON-ready."""
    return {
        "shape": SHAPE,
        "spacing": SPACING._asdict(),
        "scores": [scores(seed) for seed in range(4)],
        "hd95": [*(hd95(seed) for seed in range(6)), hd95(9, slices=1)],
        "grown": [grown(mm) for mm in (-1.5, -0.8, 0.9, 2.0)],
        "components": components(),
        "thresholds": thresholds(),
        "levels": [[k / 200, level(k / 200)] for k in range(1, 200)],
        "middle_out": {str(n): middle_out(n) for n in (1, 2, 5, 8)},
        "hu": packed_hu(),
        "planes": planes(),
        "outlines": [outline(seed) for seed in range(4)],
        "links": links(),
        "nifti": {"labels": labels(1).ravel().tolist(), "affine": affine()[:3].tolist()},
    }


def scores(seed: int) -> dict:
    """Labels of both masks, and what `compare` says of them."""
    prediction, truth = labels(seed), labels(seed + 1)
    if seed == 3:
        prediction = np.minimum(prediction, 1)  # no tumor was found
        truth = np.minimum(truth, 1)
    volume = Volume(np.zeros(SHAPE, np.int16), SPACING)
    found = compare(Segmentation(prediction), Segmentation(truth), volume, surfaces=False)
    return {
        "prediction": prediction.ravel().tolist(),
        "truth": truth.ravel().tolist(),
        "scan": {name: vars(getattr(found, name)) for name in ("liver", "tumor")},
        "slices": [
            {name: vars(getattr(one, name)) for name in ("liver", "tumor")} for one in found.slices
        ],
    }


def hd95(seed: int, slices: int = SHAPE[0]) -> dict:
    """Two masks and their HD95; of a single slice, of their contours."""
    shape = (slices, *SHAPE[1:])
    first, second = blob(seed, shape), blob(seed + 50, shape, part=0.2)
    spacing = SPACING if slices > 1 else SPACING._replace(z=None)
    volume = Volume(np.zeros(shape, np.int16), spacing)
    found = surface_distances(first, second, volume)
    masks = {"first": first, "second": second}
    return {
        "shape": shape,
        "mm": found.hd95_mm,
        **{name: mask.ravel().astype(int).tolist() for name, mask in masks.items()},
    }


def grown(mm: float) -> dict:
    """A slice's mask whose outline moved outwards by mm."""
    mask = blob(3, SHAPE[1:])
    sampling = (SPACING.y, SPACING.x)
    distance = ndimage.distance_transform_edt(~mask if mm > 0 else mask, sampling=sampling)
    moved = distance <= mm if mm > 0 else distance > -mm
    return {"mm": mm, "mask": mask.ravel().astype(int).tolist(), "moved": moved.ravel().tolist()}


def components() -> dict:
    """The parts of a mask that hang together by faces: their sizes, the largest first."""
    mask = blob(5, part=0.2)
    _, voxels = number_lesions(mask)
    return {"indices": np.flatnonzero(mask).tolist(), "voxels": voxels.tolist()}


def thresholds() -> dict:
    """Probabilities in a box of the scan, masks at some thresholds, and Dice for every level."""
    rng, corner, box = np.random.default_rng(0), (1, 3, 4), (5, 16, 20)
    inside = tuple(slice(c, c + n) for c, n in zip(corner, box, strict=True))
    values = {name: np.zeros(SHAPE, np.uint8) for name in ("liver", "tumor")}
    for name, seed in (("liver", 1), ("tumor", 101)):
        smooth = ndimage.gaussian_filter(blob(seed).astype(float), 1)[inside]
        values[name][inside] = (255 * smooth + rng.integers(0, 40, box)).clip(0, 255)
    truth = labels(1)

    def masks(liver: float, tumor: float) -> np.ndarray:
        found = (values["liver"] >= level(liver)).astype(np.uint8)
        return np.where((found > 0) & (values["tumor"] >= level(tumor)), np.uint8(2), found)

    own = {"liver": 0.4, "tumor": 0.3}
    in_liver = values["liver"] >= level(own["liver"])
    curves = {
        "liver": [dice(values["liver"] >= max(k, 1), truth > 0) for k in range(1, 256)],
        "tumor": [dice(in_liver & (values["tumor"] >= k), truth == 2) for k in range(1, 256)],
    }
    return {
        "truth": truth.ravel().tolist(),
        "corner": corner,
        "box": box,
        **{name: array[inside].ravel().tolist() for name, array in values.items()},
        "moved": [
            {"thresholds": pair, "labels": masks(**pair).ravel().tolist()}
            for pair in ({"liver": 0.2, "tumor": 0.7}, {"liver": 0.61, "tumor": 0.5}, own)
        ],
        "curves": {"thresholds": own, **curves},
    }


def packed_hu() -> dict:
    """HU of slices, and the bytes in which they travel to the browser."""
    hu = np.random.default_rng(0).integers(HU_MIN, HU_MAX + 1, SHAPE).astype(np.int16)
    hu[:, 0] = np.resize([HU_MIN, HU_MAX], SHAPE[2])
    with tempfile.TemporaryDirectory() as folder:
        *_, value = pack_scan_steps(Volume(hu), Path(folder))
        content = b"".join(gzip.decompress(path.read_bytes()) for path in value["ct"])
    return {"hu": hu.ravel().tolist(), "range": value["hu_range"], "bytes": list(content)}


def planes() -> list[dict]:
    """Where the pixels of pictures in three planes lie in the array, seen as radiologists do."""
    index = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    pictures = {  # the head is up; patients are seen from their feet, front and left side
        "axial": index,
        "coronal": index[::-1].transpose(1, 0, 2),
        "sagittal": index[::-1].transpose(2, 0, 1),
    }
    found = []
    for name, stack in pictures.items():
        for number, row, column in (
            (0, 0, 0),
            (1, 2, 3),
            (2, 5, 4),
            tuple(np.subtract(stack.shape, 1)),
        ):
            z, y, x = np.unravel_index(stack[number, row, column], SHAPE)
            place = {"slice": int(number), "row": int(row), "column": int(column)}
            voxel = {"z": int(z), "y": int(y), "x": int(x)}
            found.append(
                {"plane": name, **place, "index": int(stack[number, row, column]), "voxel": voxel}
            )
    return found


def outline(seed: int) -> dict:
    """Closed outlines of a slice's mask: how many, and the area inside, holes taken away."""
    mask = blob(seed + 20, SHAPE[1:])
    lines = measure.find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="low")
    areas = [_area(line[:-1, 1], line[:-1, 0]) for line in lines]
    return {"mask": mask.ravel().astype(int).tolist(), "count": len(lines), "area": abs(sum(areas))}


def _area(x: np.ndarray, y: np.ndarray) -> float:
    """Of a polygon, with a sign (shoelace formula)."""
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def links() -> list[dict]:
    """Addresses of synthetic cases."""
    cases = [
        {"case": "12", "size": "small", "contrast": "faint"},
        {"case": "0", "size": "any", "contrast": "any"},
    ]
    return [{**case, "search": f"?{urlencode(case)}"} for case in cases]


def affine() -> np.ndarray:
    """(4, 4) of a scan that begins off the origin and is tilted a little."""
    moved = affine_of(SPACING)
    moved[:3, 3], moved[1, 2] = (-12.5, 30.25, 700.0), 0.25
    return moved
