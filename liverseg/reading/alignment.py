"""Masks onto a scan's grid: by position where both have one, resampled where geometry says how."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..errors import TruthMismatch
from ..sentences import Sentence, say
from ..volume import LIVER, TUMOR, Segmentation, Volume
from .geometry import Grid, gaps_of, repeated
from .mask_order import AS_STORED

SAME_PLACE = 0.5  # of a pixel, and of the distance to the next slice
SAME_SIZE = 0.01  # of a pixel's size
NO_PLACE_MM = 1.0  # of an origin that says nothing
ENOUGH_INSIDE = 0.5  # of what is labelled has to lie inside the scan


def size_mismatch(found: tuple[int, ...], volume: Volume) -> TruthMismatch:
    """The refusal of a ground truth of another size; sizes are (z, y, x) or (y, x)."""
    needed = volume.shape[-len(found) :]
    code = "truth.size_pixels" if len(found) == 2 else "truth.size_voxels"
    return TruthMismatch(say(code, found=_sizes(found), needed=_sizes(needed)))


def _sizes(shape: tuple[int, ...]) -> str:
    """Columns first, as people say it."""
    return "×".join(str(count) for count in (*shape[-2:][::-1], *shape[:-2]))


def same_grid(affine: np.ndarray, shape: tuple[int, int, int], volume: Volume) -> bool:
    """Whether two grids of one size lie within half a voxel of one another at all corners."""
    if shape != volume.shape or volume.affine is None:
        return False
    corners = _corners(shape)
    to_scan = np.linalg.inv(volume.affine) @ affine
    return bool((np.abs((to_scan @ corners - corners)[:3]) < SAME_PLACE).all())


def place_is_lost(affine: np.ndarray, shape: tuple[int, int, int], volume: Volume) -> bool:
    """Whether two grids of one size lie apart only because one of them lost its place.

    Their voxels have one size too, or 1 mm. Programs that do not know an origin write 0 or, as in
    LiTS, 1.

    Args:
        affine: (4, 4) voxel (x, y, z, 1) to LPS mm, of `shape` (z, y, x).
        shape: of one grid.
        volume: the other.
    """
    if volume.affine is None or sorted(shape) != sorted(volume.shape):
        return False
    sizes, needed = (
        np.sort(np.linalg.norm(one[:3, :3], axis=0)) for one in (affine, volume.affine)
    )
    if not np.allclose(sizes, needed, rtol=SAME_SIZE) and not (sizes == 1).all():
        return False
    return _begins_at_nothing(affine, shape) or _begins_at_nothing(volume.affine, volume.shape)


def _begins_at_nothing(affine: np.ndarray, shape: tuple[int, int, int]) -> bool:
    """Whether one of a grid's corners is where programs put it that do not know better."""
    corners = (affine @ _corners(shape))[:3]
    return bool((np.abs(corners).max(axis=0) <= NO_PLACE_MM).any())


def _corners(shape: tuple[int, int, int]) -> np.ndarray:
    """(4, 8) the voxels (x, y, z, 1) at the corners."""
    z, y, x = (count - 1 for count in shape)
    return np.array(np.meshgrid([0, x], [0, y], [0, z], [1])).reshape(4, -1)


def resampled(labels: np.ndarray, affine: np.ndarray, volume: Volume) -> np.ndarray:
    """Labels of one grid on the scan's, by nearest neighbor.

    Args:
        labels: (z, y, x) uint8.
        affine: (4, 4) its voxel (x, y, z, 1) to LPS mm.
        volume: its affine must be known.

    Raises:
        TruthMismatch: most of what is labelled lies outside the scan.
    """
    assert volume.affine is not None
    to_truth = np.linalg.inv(affine) @ volume.affine
    matrix = to_truth[:3, :3][::-1, ::-1]  # (x, y, z) to (z, y, x)
    offset = to_truth[:3, 3][::-1]
    # "constant" would take a voxel on the very edge, but for rounding, to lie outside
    how = {"order": 0, "mode": "grid-constant", "prefilter": False}
    placed = ndimage.affine_transform(labels, matrix, offset, output_shape=volume.shape, **how)
    expected = np.count_nonzero(labels) / abs(np.linalg.det(matrix))
    if np.count_nonzero(placed) < ENOUGH_INSIDE * expected:
        raise TruthMismatch(say("truth.outside"))
    return placed


def slice_at(grid: Grid, shape: tuple[int, int], volume: Volume) -> int | None:
    """The scan's slice that has this grid, or None.

    Args:
        grid: of a mask of `shape` (y, x).
        shape: its size.
        volume: its positions and spacing must be known.
    """
    positions, spacing = volume.positions_mm, volume.spacing
    assert positions is not None and spacing is not None
    sizes = np.linalg.norm(grid.step_y), np.linalg.norm(grid.step_x)
    if shape != volume.shape[1:] or not np.allclose(sizes, spacing[1:], rtol=SAME_SIZE):
        return None
    distances = np.linalg.norm(positions - grid.corner_mm, axis=1)
    z = int(distances.argmin())
    tolerance = SAME_PLACE * min(spacing.y, spacing.x)
    if len(positions) > 1:
        gaps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        tolerance = min(tolerance, SAME_PLACE * gaps.min())
    return z if distances[z] <= tolerance else None


def few_values(pixels: np.ndarray, most: int) -> dict[int, int]:
    """How often each value of a mask occurs; given up after `most` + 1, without sorting millions.

    Args:
        pixels: integers, any shape.
        most: which a mask may have.
    """
    counts: dict[int, int] = {}
    left = pixels.ravel()
    while left.size and len(counts) <= most:
        others = left[left != left[0]]
        counts[int(left[0])] = left.size - others.size
        left = others
    return counts


@dataclass(frozen=True, eq=False)
class MaskPlane:
    """One mask of one slice.

    Attributes:
        structure: LIVER or TUMOR.
        mask: (y, x) in LPS, 0 outside the structure.
        grid: where it lies, or None.
        z: the slice of the scan that it belongs to where nothing says where it lies, or None for
            the next one.
    """

    structure: int
    mask: np.ndarray
    grid: Grid | None
    z: int | None = None


Placed = tuple[MaskPlane, Grid]  # and where it lies


def assembled(
    planes: list[MaskPlane], volume: Volume, unplaced: Sentence = AS_STORED
) -> Segmentation:
    """Masks of slices as a Segmentation; the tumors are made part of the liver.

    Args:
        planes: in any order where they and the scan have positions; else of each structure as many
            as the scan has slices, in its order.
        volume: the scan they were drawn on.
        unplaced: what to say where they have no positions.
    """
    placed = [(plane, plane.grid) for plane in planes if plane.grid is not None]
    if volume.positions_mm is None or len(placed) < len(planes):
        return _by_order(planes, volume, unplaced)
    labels = np.zeros(volume.shape, np.uint8)
    elsewhere: list[Placed] = []
    for plane, grid in placed:
        z = slice_at(grid, plane.mask.shape, volume)
        if z is None:
            elsewhere.append((plane, grid))
        else:
            _draw(labels[z], plane)
    if len(elsewhere) == len(planes) or _any_between(elsewhere, volume):
        return _resampled_planes(placed, volume)
    outside = sum(bool(plane.mask.any()) for plane, _ in elsewhere)
    notices = (say("truth.outside_slices", count=outside),) if outside else ()
    return Segmentation(labels, notices=notices)


def _any_between(placed: list[Placed], volume: Volume) -> bool:
    """Whether a mask lies between two slices of a scan without gaps."""
    if volume.positions_mm is None or volume.affine is None:
        return False
    heights = volume.positions_mm[:, 2]
    return any(heights.min() < grid.corner_mm[2] < heights.max() for _, grid in placed)


def _draw(labels: np.ndarray, plane: MaskPlane) -> None:
    """Writes a mask into one slice's labels; a tumor is never overwritten by the liver."""
    np.maximum(labels, np.where(plane.mask, np.uint8(plane.structure), np.uint8(0)), out=labels)


def _by_order(planes: list[MaskPlane], volume: Volume, unplaced: Sentence) -> Segmentation:
    labels = np.zeros(volume.shape, np.uint8)
    for structure in (LIVER, TUMOR):
        ones = [plane for plane in planes if plane.structure == structure]
        if ones and (found := (len(ones), *ones[0].mask.shape)) != volume.shape:
            raise size_mismatch(found, volume)
        for z, plane in enumerate(ones):
            if plane.mask.shape != volume.shape[1:]:
                raise size_mismatch(plane.mask.shape, volume)
            _draw(labels[z if plane.z is None else plane.z], plane)
    return Segmentation(labels, notices=(unplaced,))


def _resampled_planes(placed: list[Placed], volume: Volume) -> Segmentation:
    """Masks that lie on a grid of their own."""
    planes, grids = [plane for plane, _ in placed], [grid for _, grid in placed]
    normal = np.cross(grids[0].step_x, grids[0].step_y)
    normal /= np.linalg.norm(normal)
    heights = np.array([grid.corner_mm @ normal for grid in grids])
    places = repeated(heights)
    shape = (int(places.max()) + 1, *planes[0].mask.shape)
    distinct = np.array([heights[places == place].mean() for place in range(shape[0])])
    gaps = gaps_of(distinct, distinct)
    if volume.affine is None or not gaps.spacing_mm or len({p.mask.shape for p in planes}) > 1:
        raise size_mismatch(shape, volume)
    labels = np.zeros(shape, np.uint8)
    for plane, place in zip(planes, places, strict=True):
        _draw(labels[place], plane)
    low, high = (grids[int(places.tolist().index(place))] for place in (0, shape[0] - 1))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 3] = low.step_x, low.step_y, low.corner_mm
    affine[:3, 2] = (high.corner_mm - low.corner_mm) / (shape[0] - 1)
    return Segmentation(resampled(labels, affine, volume), notices=(resampled_notice(shape),))


def resampled_notice(shape: tuple[int, int, int]) -> Sentence:
    """What a person has to know of a ground truth that was on another grid, (z, y, x)."""
    return say("truth.resampled", size=_sizes(shape))


def others_ignored(count: int) -> tuple[Sentence, ...]:
    """Says how many masks of other structures were not used."""
    return (say("truth.others_ignored", count=count),) if count else ()
