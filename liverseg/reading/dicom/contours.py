"""RTSTRUCT as ground truth: the contours of its ROIs, filled on the scan's slices.

Libraries that do this (rt-utils, dicompyler-core, platipy, pyradise) read from paths, bring
matplotlib, VTK or a second OpenCV, or are not kept up; and drawing functions fill one polygon and
its border. So pydicom reads, and a pixel belongs to an ROI if its center lies inside an odd number
of the ROI's contours (the even-odd rule), which makes holes of inner contours and of keyholes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from ...errors import BrokenFile, TooLarge, TruthMismatch
from ...sentences import Sentence, say
from ...volume import Segmentation, Volume
from ..alignment import others_ignored
from ..archive import Member
from ..geometry import FARTHEST_MM
from ..segments import Segment, structures_in
from .file import DAMAGE, read_dataset
from .seg import of_other_study

CONTOUR_BYTES = 50_000_000  # of one file, twice
MOST_POINTS, MOST_CONTOURS = 2_000_000, 50_000  # of the liver and its tumors
CLOSED = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", ""}
CONTOUR_DATA = Tag("ContourData")
FLAT_MM = 0.5  # by which the points of a contour may lie off its plane
SAME_PLANE_MM = 0.1  # contours of one plane
ON_A_SLICE, NEARLY = 0.2, 0.01  # of the distance of slices
TUMOR_TYPE = "GTV"  # of RTROIInterpretedType
EDGES_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class _Slices:
    """A scan's slices in space.

    Attributes:
        corner, step_x, step_y, step_z: (3,) mm of the first voxel, and from one voxel to the next.
        shape: (z, y, x).
    """

    corner: np.ndarray
    step_x: np.ndarray
    step_y: np.ndarray
    step_z: np.ndarray
    shape: tuple[int, int, int]

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector, in the direction in which slices are counted."""
        normal = np.cross(self.step_x, self.step_y)
        normal = normal / np.linalg.norm(normal)
        return normal * np.sign(normal @ self.step_z)

    @property
    def distance(self) -> float:
        """mm from slice to slice along the normal."""
        return float(self.step_z @ self.normal)

    def numbers(self, points: np.ndarray) -> np.ndarray:
        """On which slice, in fractions, (n, 3) points in mm lie."""
        return (points - self.corner) @ self.normal / self.distance

    def pixels(self, points: np.ndarray, z: int) -> np.ndarray:
        """(n, 2) x and y, in pixels of a slice, of (n, 3) points in mm above or below it."""
        inside = points - self.corner - z * self.step_z
        steps = (self.step_x, self.step_y)
        return np.stack([inside @ step / (step @ step) for step in steps], axis=1)


def read_contours(members: list[Member], volume: Volume) -> Segmentation:
    """The liver and tumor ROIs of one or several RTSTRUCT files, on the scan's grid.

    Raises:
        TruthMismatch: no ROI is a liver or a tumor, or they do not lie in the scan's slices.
        BrokenFile, TooLarge: a file cannot be read.
    """
    slices = _slices(volume)
    labels = np.zeros(volume.shape, np.uint8)
    notices: dict[Sentence, None] = {}
    others, outside, drawn = 0, 0, False
    members[0].budget.allow(labels.size)
    for member in members:
        try:
            dataset = read_dataset(member, CONTOUR_BYTES)
            rois = _rois(dataset)
            found = structures_in([segment for segment, _ in rois], is_alone=len(members) == 1)
            notices |= dict.fromkeys((*found.said, *of_other_study(dataset, volume)))
            others += found.ignored
            left = [MOST_CONTOURS, MOST_POINTS]
            for (_, contours), structure in zip(rois, found.of, strict=True):
                if structure is None:
                    continue
                planes = list(_points(contours, left))
                beyond, between = _draw(labels, planes, structure, slices)
                outside += beyond
                drawn = drawn or bool(planes)
                if between:
                    notices[say("truth.contours_between")] = None
        except DAMAGE:
            raise BrokenFile(say("truth.contours_damaged")) from None
    if not drawn:
        raise TruthMismatch(say("truth.seg_without_liver"))
    if not labels.any():
        raise TruthMismatch(say("truth.outside"))
    said = (say("truth.outside_slices", count=outside),) if outside else ()
    return Segmentation(labels, notices=(*notices, *others_ignored(others), *said))


def _slices(volume: Volume) -> _Slices:
    if volume.affine is None or volume.source is None or volume.source.kind == "picture":
        raise TruthMismatch(say("truth.contours_need_place"))
    affine = volume.affine
    step_x, step_y, step_z = affine[:3, :3].T
    return _Slices(affine[:3, 3], step_x, step_y, step_z, volume.shape)


def _rois(dataset: Dataset) -> list[tuple[Segment, list[Dataset]]]:
    """Each ROI's names, and its contours, whose points are not parsed yet."""
    contours = {
        int(one.ReferencedROINumber): list(one.get("ContourSequence") or [])
        for one in dataset.get("ROIContourSequence") or []
    }
    observations = {
        int(one.ReferencedROINumber): one for one in dataset.get("RTROIObservationsSequence") or []
    }
    rois = []
    for roi in dataset.get("StructureSetROISequence") or []:
        number = int(roi.ROINumber)
        segment = _segment(roi, observations.get(number, Dataset()))
        if contours.get(number):
            rois.append((segment, contours[number]))
    return rois


def _segment(roi: Dataset, observation: Dataset) -> Segment:
    name = str(roi.get("ROIName") or "")
    codes = observation.get("RTROIIdentificationCodeSequence") or [Dataset()]
    code, meaning = (str(codes[0].get(key) or "") for key in ("CodeValue", "CodeMeaning"))
    interpreted = str(observation.get("RTROIInterpretedType") or "").strip().upper()
    if not meaning and interpreted == TUMOR_TYPE and not name.strip(" _-0123456789"):
        name = TUMOR_TYPE
    return Segment(name, code, meaning)


def _points(contours: list[Dataset], left: list[int]) -> Iterator[np.ndarray]:
    """(n, 3) mm of each closed contour.

    Args:
        contours: of one ROI.
        left: how many contours, and points, may still come; they are counted down.
    """
    for contour in contours:
        if str(contour.get("ContourGeometricType") or "").strip().upper() not in CLOSED:
            continue
        left[0] -= 1
        element = contour.get_item(CONTOUR_DATA)
        if element is None or not element.value:
            continue
        if isinstance(element.value, bytes):  # not parsed: pydicom makes an object of each number
            left[1] -= element.value.count(b"\\") // 3
            texts = element.value.rstrip(b"\0 ").split(b"\\") if left[1] >= 0 else []
            numbers = np.array([float(text) for text in texts])
        else:
            numbers = np.array(element.value, float)
            left[1] -= len(numbers) // 3
        if min(left) < 0:
            raise TooLarge(say("truth.too_many_contours", points_m=MOST_POINTS // 10**6))
        if len(numbers) % 3 or not np.isfinite(numbers).all():
            raise ValueError
        if np.abs(numbers).max(initial=0) > FARTHEST_MM:
            raise ValueError
        if len(numbers) >= 9:
            yield numbers.reshape(-1, 3)


def _draw(
    labels: np.ndarray, contours: list[np.ndarray], structure: int, slices: _Slices
) -> tuple[int, bool]:
    """Fills one ROI; a slice has what was drawn nearest to it, if that is near.

    Returns:
        How many planes of contours lie beyond the scan, and whether some lie between slices.
    """
    if not contours:
        return 0, False
    numbers = []
    for points in contours:
        found = slices.numbers(points)
        if np.ptp(found) * slices.distance > FLAT_MM:
            raise TruthMismatch(say("truth.contours_tilted"))
        numbers.append(float(found.mean()))
    order = np.argsort(numbers, kind="stable")
    ordered = np.array(numbers)[order]
    is_new = np.diff(ordered, prepend=-np.inf) > SAME_PLANE_MM / slices.distance
    planes = [order[part] for part in np.split(np.arange(len(order)), np.flatnonzero(is_new)[1:])]
    places = np.array([np.mean([numbers[index] for index in plane]) for plane in planes])
    half = max(1.0, float(np.diff(places).min())) / 2 if len(places) > 1 else 0.5
    used = set()
    for z in range(slices.shape[0]):
        nearest = int(np.abs(places - z).argmin())
        apart = z - places[nearest]
        if not -half < apart - NEARLY <= half:
            continue
        used.add(nearest)
        polygons = [slices.pixels(contours[index], z) for index in planes[nearest]]
        here = np.where(filled(polygons, slices.shape[1:]), np.uint8(structure), np.uint8(0))
        np.maximum(labels[z], here, out=labels[z])
    off = np.abs(places - np.rint(places))[sorted(used)]
    between = bool(half > 0.5 + ON_A_SLICE or off.max(initial=0) > ON_A_SLICE)
    last = slices.shape[0] - 1
    beyond = np.count_nonzero((places < -half) | (places > last + half))
    return int(beyond), between


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels whose center lies inside an odd number of polygons, bool of `shape` (y, x).

    Args:
        polygons: (n, 2) x and y of each, in pixels, 0 at the center of the first.
        shape: of the picture; what lies outside is cut off.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), bool)
    for polygon in polygons:
        ends = np.roll(polygon, -1, axis=0)
        for start in range(0, len(polygon), EDGES_AT_ONCE):
            part = slice(start, start + EDGES_AT_ONCE)
            crossings ^= _crossings(polygon[part], ends[part], crossings.shape)
    return np.logical_xor.accumulate(crossings, axis=1)[:, :columns]


def _crossings(starts: np.ndarray, ends: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Where lines along the rows cross an odd number of edges, in front of which pixel center."""
    rows, columns = shape
    low, high = (np.ceil(pick(starts[:, 1], ends[:, 1])) for pick in (np.minimum, np.maximum))
    low, high = (np.clip(end, 0, rows).astype(int) for end in (low, high))
    counts = high - low
    edge = np.repeat(np.arange(len(starts)), counts)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + low[edge]
    rise = ends[edge, 1] - starts[edge, 1]
    run = ends[edge, 0] - starts[edge, 0]
    x = starts[edge, 0] + (row - starts[edge, 1]) * run / rise
    column = np.clip(np.ceil(x), 0, columns - 1).astype(int)
    found = np.bincount(row * columns + column, minlength=rows * columns)
    return (found & 1).astype(bool).reshape(shape)
