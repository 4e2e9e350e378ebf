"""Slices in space: from the planes their headers name to one LPS grid.

Everything is decided by ImagePositionPatient and ImageOrientationPatient; the order of files, their
names, InstanceNumber and PatientPosition say nothing once these two are there. Positions are the
center of a slice's first pixel in LPS mm.

Tolerances follow facts seen in real series and in dicom-numpy, dicom2nifti and highdicom.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..sentences import Sentence, say

UNIFORM_FRACTION, UNIFORM_MM = 0.02, 0.05  # a gap may differ from the median by the larger
SAME_POSITION_MM = 0.01
MAX_OBLIQUE_DEGREES = 20  # from here on a slice is no axial one
NOTED_DEGREES = 0.5
NOTED_OBLIQUE_DEGREES = 2
FARTHEST_MM = 100_000  # from a scanner's origin; absurd positions swallow the distances in them
SHIFT_MM = 1.0  # by which slices may lie off the line through the stack


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one slice lies.

    Attributes:
        position_mm: (3,) center of the first pixel.
        along_row, along_column: (3,) unit vectors of growing column and row index.
    """

    position_mm: np.ndarray
    along_row: np.ndarray
    along_column: np.ndarray

    @property
    def normal(self) -> np.ndarray:
        """(3,) unit vector, made to point to the head (or up its main axis)."""
        normal = np.cross(self.along_row, self.along_column)
        return normal * np.sign(normal[np.argmax(np.abs(normal))])

    @property
    def degrees_off_axial(self) -> float:
        """Angle between the slice's normal and the body's long axis."""
        return float(np.degrees(np.arccos(min(1.0, abs(self.normal[2])))))


def plane_from(
    position: tuple[float, ...] | None, orientation: tuple[float, ...] | None
) -> Plane | None:
    """The plane of DICOM's two attributes; None where they are missing or not a plane."""
    if position is None or orientation is None or max(map(abs, position)) > FARTHEST_MM:
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01:
        return None
    return Plane(np.array(position), row / lengths[0], column / lengths[1])


@dataclass(frozen=True)
class Orientation:
    """How a slice's pixels become LPS: transpose first, then flip."""

    transpose: bool
    flip_y: bool
    flip_x: bool

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """(rows, columns) as (y, x), a view."""
        if self.transpose:
            pixels = pixels.T
        return pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def undo(self, pixels: np.ndarray) -> np.ndarray:
        """(y, x) as (rows, columns), a view: the inverse of `apply`."""
        pixels = pixels[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return pixels.T if self.transpose else pixels


AS_STORED = Orientation(False, False, False)


def orientation_of(plane: Plane) -> Orientation:
    """The nearest of the eight ways to lie in an axial plane."""
    transpose = abs(plane.along_row[0]) < abs(plane.along_row[1])
    x, y = _directions(plane, transpose)
    return Orientation(transpose, bool(y[1] < 0), bool(x[0] < 0))


def _directions(plane: Plane, transpose: bool) -> tuple[np.ndarray, np.ndarray]:
    """(3,) unit vectors along x and along y, before flips."""
    return (
        (plane.along_column, plane.along_row)
        if transpose
        else (plane.along_row, plane.along_column)
    )


@dataclass(frozen=True, eq=False)
class Grid:
    """One slice's pixels on LPS axes.

    Attributes:
        corner_mm: (3,) center of the LPS pixel (y=0, x=0).
        step_x, step_y: (3,) mm from one pixel to the next.
    """

    corner_mm: np.ndarray
    step_x: np.ndarray
    step_y: np.ndarray


def grid_of(plane: Plane, pixel_mm: tuple[float, float], shape: tuple[int, int]) -> Grid:
    """A slice's grid from its plane, its (row, column) pixel spacing and its (rows, columns)."""
    orientation = orientation_of(plane)
    sizes, counts = pixel_mm[::-1], shape[::-1]  # along the row first
    if orientation.transpose:
        sizes, counts = sizes[::-1], counts[::-1]
    steps = [
        direction * size
        for direction, size in zip(_directions(plane, orientation.transpose), sizes, strict=True)
    ]
    corner = plane.position_mm.astype(float)
    for axis, flipped in enumerate((orientation.flip_x, orientation.flip_y)):
        if flipped:
            corner = corner + steps[axis] * (counts[axis] - 1)
            steps[axis] = -steps[axis]
    return Grid(corner, *steps)


@dataclass(frozen=True)
class Gaps:
    """The distances between neighboring slices along their normal.

    Attributes:
        spacing_mm: the distance, None where it is not the same everywhere or there is one slice.
        notices: a sentence that names missing slices or uneven distances.
    """

    spacing_mm: float | None
    notices: tuple[Sentence, ...] = ()


def gaps_of(distances_mm: np.ndarray, heights_mm: np.ndarray) -> Gaps:
    """Judges the spacing of slices.

    Args:
        distances_mm: (z,) positions along the normal, ascending.
        heights_mm: (z,) their z in LPS, which a person finds again in any viewer.
    """
    if len(distances_mm) < 2:
        return Gaps(None)
    gaps = np.diff(distances_mm)
    usual = float(np.median(gaps))
    tolerance = max(UNIFORM_FRACTION * usual, UNIFORM_MM)
    odd = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if not odd.size:
        return Gaps(float(distances_mm[-1] - distances_mm[0]) / len(gaps))
    multiples = np.round(gaps[odd] / usual)
    if not (multiples >= 2).all() or (np.abs(gaps[odd] - multiples * usual) > 2 * tolerance).any():
        found = say("geometry.uneven_slices", low=float(gaps.min()), high=float(gaps.max()))
    else:
        code = "geometry.missing_slices" if len(odd) == 1 else "geometry.missing_slices_often"
        where = {"mm": float(gaps[odd].max()), "z": float(heights_mm[odd[0]]), "usual": usual}
        found = say(code, count=len(odd), **where)
    return Gaps(None, (found,))


def tilt_notices(
    planes: list[Plane], declared_degrees: float | None = None
) -> tuple[tuple[Sentence, ...], bool]:
    """What is to be said about slanting slices, and whether they lie on one line.

    Args:
        planes: in the order of the stack.
        declared_degrees: GantryDetectorTilt, where the header has it.
    """
    notices, straight, tilt = [], True, 0.0
    normal = planes[0].normal
    if len(planes) > 1:
        positions = np.array([plane.position_mm for plane in planes])
        step = positions[-1] - positions[0]
        along = (positions - positions[0]) @ normal / (step @ normal)
        off_line = np.linalg.norm(positions - positions[0] - along[:, None] * step, axis=1)
        straight = bool(off_line.max() <= SHIFT_MM)
        tilt = np.degrees(np.arccos(min(1.0, abs(step @ normal) / np.linalg.norm(step))))
    if not straight:
        notices.append(say("geometry.shifted", mm=float(off_line.max())))
    elif tilt > NOTED_DEGREES:
        notices.append(say("geometry.tilted", degrees=float(tilt)))
    elif declared_degrees is not None and abs(declared_degrees) > NOTED_DEGREES:
        notices.append(say("geometry.tilt_not_seen", degrees=abs(declared_degrees)))
    if planes[0].degrees_off_axial > NOTED_OBLIQUE_DEGREES and tilt <= NOTED_DEGREES:
        notices.append(say("geometry.oblique", degrees=planes[0].degrees_off_axial))
    return tuple(notices), straight


def repeated(distances_mm: np.ndarray) -> np.ndarray:
    """(n,) group number of each position, ascending; slices of one group lie on one another."""
    order = np.argsort(distances_mm, kind="stable")
    is_new = np.diff(distances_mm[order], prepend=-np.inf) > SAME_POSITION_MM
    groups = np.empty(len(order), int)
    groups[order] = np.cumsum(is_new) - 1
    return groups


def has_repeats(distances_mm: np.ndarray) -> bool:
    """Whether two slices lie at one position."""
    return max(Counter(repeated(distances_mm).tolist()).values()) > 1
