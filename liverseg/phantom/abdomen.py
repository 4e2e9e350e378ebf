"""A synthetic portal-venous abdominal CT with exact labels of liver and tumors.

The anatomy is described in mm by signed distances, painted on a grid of about 1.5 mm with soft
edges, enlarged to the scan's grid and covered with the noise of a CT reconstruction. The labels
are cut from the same distances.
"""

import cv2
import numpy as np

from ..volume import HU_MAX, HU_MIN, LIVER, TUMOR, Segmentation, Spacing, Volume
from .lesions import Lesions
from .liver import liver_distance, paint_liver
from .organs import Tissue, build_organs
from .scene import Canvas
from .wall import build_wall

EXTENT_MM = (150.0, 384.0, 384.0)  # (z, y, x) that holds the liver and the body around it
LIVER_MM = (0.0, -20.0, -50.0)  # what a grid too small for the body looks at
LONE_SLICE_MM = 2.5  # thickness of a single slice
WORKING_MM = 1.5  # in-plane distance at which anatomy is painted
THIN_MM = 3.0  # thicker slices are the mean of several thin ones
SLICE_OVERLAP = 0.15  # part of each neighbor in a slice
NOISE_MM = (0.35, 1.4)  # widths between which a reconstruction's noise lives
EDGE_GAIN, EDGE_MM, MOST_EDGE_HU = 0.6, 0.9, 70.0  # how a reconstruction enhances edges
STREAK = 1.3  # how much wider than high its grains are: the body is thickest from side to side

Shape = tuple[int, int, int]  # (z, y, x) voxels


def make_phantom(
    seed: int = 0,
    *,
    shape: Shape = (60, 512, 512),
    spacing: Spacing | None = None,
    tumors: int | None = None,
    diameter_mm: tuple[float, float] = (6.0, 45.0),
    contrast_hu: tuple[float, float] | None = None,
    cysts: int | None = None,
) -> tuple[Volume, Segmentation]:
    """Makes a patient; the same seed has the same anatomy on every grid and with any lesions.

    Args:
        seed: which patient.
        shape: (z, y, x) voxels.
        spacing: mm; None for the one at which the grid covers `EXTENT_MM`. z may be None where
            there is only one slice.
        tumors: how many; None for one to five.
        diameter_mm: the range of their longest diameter.
        contrast_hu: the range of their difference from the liver, negative for darker ones; the
            nearer to 0 the harder to see. Rim and core of a large one differ from the rest. None
            for the usual mixture.
        cysts: how many; None for none to two. They belong to the liver, not to its tumors.

    Returns:
        The scan and its labels. ValueError where so many tumors do not fit into the liver.
    """
    spacing = _spacing_for(shape, spacing)
    anatomy, lesion, grain = (np.random.default_rng([seed, part]) for part in range(3))
    axes = _axes(shape, spacing)
    step = max(1, round(WORKING_MM / min(spacing.y, spacing.x)))
    thickness = spacing.z or LONE_SLICE_MM
    layers = 1 if thickness <= THIN_MM else 3
    working = (_finer(axes[0], layers, thickness), *(_coarser(a, step) for a in axes[1:]))
    size = tuple(anatomy.uniform((0.87, 0.93, 0.93), (0.97, 1.07, 1.07)).tolist())
    canvas = Canvas(anatomy, working, size, edge_mm=step * min(spacing.y, spacing.x))
    tissue = Tissue.draw(anatomy)
    room = build_wall(canvas, fat_mm=float(anatomy.uniform(6, 28)))
    build_organs(canvas, anatomy, room, tissue)
    liver = liver_distance(canvas, anatomy, room)
    paint_liver(canvas, anatomy, liver, tissue)
    lesions = Lesions(canvas, lesion, liver, layers)
    _add_lesions(lesions, lesion, tumors, diameter_mm, contrast_hu, cysts)
    middle = slice(layers // 2, None, layers)
    labels = _labels(liver[middle], lesions.tumor[middle], step, shape)
    hu = canvas.hu.reshape(shape[0], layers, *canvas.hu.shape[1:]).mean(axis=1)
    _overlap(hu)
    return Volume(_scan(hu, grain, step, shape, spacing), spacing), Segmentation(labels)


def _spacing_for(shape: Shape, spacing: Spacing | None) -> Spacing:
    if spacing is not None:
        return Spacing(*spacing)
    z, y, x = (extent / n for extent, n in zip(EXTENT_MM, shape, strict=True))
    return Spacing(z if shape[0] > 1 else None, y, x)


def _axes(shape: Shape, spacing: Spacing) -> list[np.ndarray]:
    """Positions of the voxels in mm along z, y, x."""
    axes = []
    for n, step, extent, liver in zip(shape, spacing, EXTENT_MM, LIVER_MM, strict=True):
        step = step or LONE_SLICE_MM
        middle = liver * max(0.0, 1 - n * step / extent)
        axes.append(middle + (np.arange(n) - (n - 1) / 2) * step)
    return axes


def _add_lesions(
    lesions: Lesions,
    rng: np.random.Generator,
    tumors: int | None,
    diameter_mm: tuple[float, float],
    contrast_hu: tuple[float, float] | None,
    cysts: int | None,
) -> None:
    """The largest tumors first, then the cysts; arguments as in `make_phantom`."""
    count = int(rng.integers(1, 6)) if tumors is None else tumors
    smallest, largest = np.log(diameter_mm)
    for diameter in sorted(np.exp(rng.uniform(smallest, largest, count)), reverse=True):
        contrast = rng.uniform(*contrast_hu) if contrast_hu else _usual_contrast(rng)
        if not lesions.add_tumor(float(diameter), float(contrast)) and tumors is not None:
            raise ValueError(f"no room for {tumors} tumors of {diameter_mm} mm in this liver")
    for _ in range(int(rng.integers(0, 3)) if cysts is None else cysts):
        lesions.add_cyst(float(rng.uniform(5, 22)))


def _usual_contrast(rng: np.random.Generator) -> float:
    """Most tumors are darker than the liver in this phase, one in six is brighter."""
    return rng.uniform(22, 45) if rng.random() < 1 / 6 else rng.uniform(-70, -25)


def _labels(liver: np.ndarray, tumor: np.ndarray, step: int, shape: Shape) -> np.ndarray:
    """(z, y, x) uint8, cut from the distances on the working grid."""
    labels = np.zeros(shape, np.uint8)
    for plane, liver_plane, tumor_plane in zip(labels, liver, tumor, strict=True):
        plane[_enlarge(liver_plane, step, shape) < 0] = LIVER
        plane[(_enlarge(tumor_plane, step, shape) < 0) & (plane == LIVER)] = TUMOR
    return labels


def _overlap(hu: np.ndarray) -> None:
    """Slices see a little of their neighbors."""
    if len(hu) > 2:
        hu[1:-1] += SLICE_OVERLAP * (hu[:-2] - 2 * hu[1:-1] + hu[2:])


def _scan(
    hu: np.ndarray, rng: np.random.Generator, step: int, shape: Shape, spacing: Spacing
) -> np.ndarray:
    """(z, y, x) int16: the painted HU on the scan's grid with a reconstruction's noise."""
    scan = np.empty(shape, np.int16)
    noise_hu = float(rng.uniform(10, 20))
    for z, plane in enumerate(hu):
        noise = _noise(rng, shape[1:], spacing)
        large = _enlarge(plane, step, shape)
        edges = large - cv2.GaussianBlur(large, (0, 0), EDGE_MM / spacing.x)
        large += np.clip(EDGE_GAIN * edges, -MOST_EDGE_HU, MOST_EDGE_HU)
        scan[z] = np.clip(np.rint(large + noise_hu * noise), HU_MIN, HU_MAX)
    return scan


def _noise(rng: np.random.Generator, shape: tuple[int, int], spacing: Spacing) -> np.ndarray:
    """(y, x) float32 of standard deviation 1: white noise less its finest and coarsest parts."""
    white = rng.standard_normal(shape, dtype=np.float32)
    fine, coarse = (max(width / spacing.x, 0.3) for width in NOISE_MM)
    noise: np.ndarray = cv2.GaussianBlur(white, (0, 0), STREAK * fine, sigmaY=fine)
    noise -= 0.7 * cv2.GaussianBlur(white, (0, 0), STREAK * coarse, sigmaY=coarse)
    return noise / noise.std()


def _finer(axis: np.ndarray, layers: int, thickness: float) -> np.ndarray:
    """The positions of `layers` thin slices in each slice."""
    offsets = ((np.arange(layers) + 0.5) / layers - 0.5) * thickness
    return (axis[:, None] + offsets).ravel()


def _coarser(axis: np.ndarray, step: int) -> np.ndarray:
    """The middles of every `step` positions; the last may lie beyond the end."""
    if step == 1:
        return axis
    middles = (np.arange(-(-len(axis) // step)) + 0.5) * step - 0.5
    return axis[0] + middles * (axis[1] - axis[0])


def _enlarge(plane: np.ndarray, step: int, shape: Shape) -> np.ndarray:
    """From the working grid to the scan's, (y, x); the inverse of `_coarser`."""
    if step == 1:
        return plane
    large = cv2.resize(plane, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return large[: shape[1], : shape[2]]
