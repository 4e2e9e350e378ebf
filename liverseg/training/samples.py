"""What the networks are trained on: one random, augmented slice after another.

A sample depends on its random generator only, so that a resumed training sees what it would have
seen. Input comes from the same functions as in `segment`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import cv2
import numpy as np

from ..network.preprocess import Square, around, to_network, tumor_window, whole_slice
from ..network.recipe import Recipe
from ..volume import BACKGROUND, LIVER, TUMOR
from .augment import affine_matrix, random_bend, random_contrast, random_intensity, warp
from .drawn_lesions import Slab, insert_cysts, insert_notches, insert_organs, insert_tumors
from .labelled_scan import APART_MM, UNANNOTATED, LabelledScan, clipped

FARTHEST_MM = 9.0  # a slice farther away is no neighbor
NEIGHBOR_MM = (1.0, 5.5)  # where `Recipe.neighbor_mm` is jittered
LONE_CHANCE = 0.08  # of a slice that repeats itself, as a single picture does
LESION_CHANCE = 0.35  # of tumors drawn into a liver that the liver network shall outline whole
ORGAN_CHANCE = 0.35  # of something drawn beside the liver, which is no tumor of it
NOTCH_CHANCE = {"liver": 0.15, "tumor": 0.1}  # of fluid or fat that reaches into the liver
CYST_CHANCE = 0.08  # of fluid drawn into what the tumor network shall not take for a tumor
PICTURE_LIVER_HU = 100.0  # assumed where HU are not the scanner's, to know what fluid looks like
CONTRAST_CHANCE = 0.25  # of another phase of contrast agent than the scan's
BLUR_MARGIN = 8  # pixels of a slice that a blur before shrinking reaches, and one for rounding
PICTURE_CHANCE = {"liver": 0.4, "tumor": 0.2}  # of a picture instead of a slice of a scan

View = Callable[[LabelledScan, Recipe], tuple[Square, tuple[int, int]]]  # see `tumor_view`


class Sample(NamedTuple):
    """One slice of network input and what is wanted.

    Attributes:
        image: (size, size, 3) float32 in [0, 1].
        mask: (size, size) bool.
        weight: (size, size) float32, of each pixel in the loss.
    """

    image: np.ndarray
    mask: np.ndarray
    weight: np.ndarray


class Samples(Protocol):
    """A source of samples."""

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """One sample of that size."""


def neighbors(case: LabelledScan, z: int, distance_mm: float) -> tuple[int, int]:
    """The slices below and above that are nearest to a distance; at an end, the slice itself."""
    found = []
    for side in (slice(max(0, z - 5), z), slice(z + 1, z + 6)):
        candidates = np.arange(len(case.z_mm))[side]
        gaps = np.abs(case.z_mm[candidates] - case.z_mm[z])
        candidates, gaps = candidates[gaps <= FARTHEST_MM], gaps[gaps <= FARTHEST_MM]
        found.append(int(candidates[np.abs(gaps - distance_mm).argmin()]) if len(gaps) else z)
    return found[0], found[1]


def case_input(
    case: LabelledScan, z: int, square: Square, window_hu: tuple[int, int], recipe: Recipe
) -> np.ndarray:
    """(size, size, 3) float32 in [0, 1]: a slice of a case as a network sees it."""
    below, above = neighbors(case, z, recipe.neighbor_mm)
    channels = [to_network(case.hu[k], square, recipe.size, window_hu) for k in (below, z, above)]
    return np.stack(channels, -1)


def is_picture(case: LabelledScan) -> bool:
    """Whether its slices stand alone."""
    return len(case.z_mm) == 1 or bool(np.diff(case.z_mm).min() >= APART_MM)


class LiverSamples:
    """Whole slices of all patients alike: a quarter without liver, two fifths pictures.

    Pictures are of many more patients than scans are. Tumors are drawn into a third of the livers,
    since few of the patients have large ones.
    """

    def __init__(
        self,
        cases: list[LabelledScan],
        recipe: Recipe,
        synthetic: float = LESION_CHANCE,
        notches: float = NOTCH_CHANCE["liver"],
        pictures: float = PICTURE_CHANCE["liver"],
    ):
        """Looks where the liver is in each case.

        Args:
            cases: scans and pictures.
            recipe: for size and window.
            synthetic: part of the livers with tumors drawn into them.
            notches: part of the livers that fluid or fat is drawn into from outside.
            pictures: part of the samples from pictures, where there are both.
        """
        self.recipe, self.synthetic, self.notches = recipe, synthetic, notches
        self.pictures = pictures
        self._scans = _by_patient([case for case in cases if not is_picture(case)])
        self._pictures = _by_patient([case for case in cases if is_picture(case)])
        self._with_liver = {case.name: np.any(case.labels, axis=(1, 2)) for case in cases}

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """See `Samples.draw`."""
        picture = bool(self._pictures) and (not self._scans or rng.random() < self.pictures)
        case = _choose_case(rng, self._pictures if picture else self._scans)
        has_liver = self._with_liver[case.name]
        z = _choose_slice(rng, has_liver, ~has_liver, 0.75)
        channels, distance_mm = _channels(rng, case, z)
        square = whole_slice(case.hu.shape[1:])
        size_and_window = self.recipe.size, self.recipe.window_hu
        hu, labels = np.asarray(case.hu), np.asarray(case.labels)
        planes = {k: to_network(hu[k], square, *size_and_window) for k in set(channels)}
        image = cv2.merge([planes[k] for k in channels])
        mask = _resize_mask(labels[z] != BACKGROUND, self.recipe.size)
        full = self.recipe.size
        slab = Slab(case.pixel_mm * square.side / full, distance_mm, self.recipe.window_hu)
        if has_liver[z] and rng.random() < self.synthetic:
            insert_tumors(rng, image, mask > 0.5, slab)
        if has_liver[z] and rng.random() < self.notches:
            mask[insert_notches(rng, image, mask > 0.5, slab)] = 0
        center = (full - 1) / 2 + rng.uniform(-0.08, 0.08, 2) * full
        scale, degrees = np.exp(rng.uniform(-0.25, 0.27)), rng.uniform(-13, 13)
        bend = random_bend(rng, full, 0.035 * full) if rng.random() < 0.3 else None
        image, mask = warp(image, mask, affine_matrix(center, full, scale, degrees), full, bend)
        if size != full:
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            mask = _resize_mask(mask, size) > 0.5
        if rng.random() < CONTRAST_CHANCE:
            low, high = self.recipe.window_hu
            image = random_contrast(rng, image, -low / (high - low))
        image = random_intensity(rng, image, 1.4 if picture else 1.0, len(set(channels)) == 1)
        return Sample(image, mask, np.ones(mask.shape, np.float32))


def tumor_view(case: LabelledScan, recipe: Recipe) -> tuple[Square, tuple[int, int]]:
    """What the tumor network sees of a case, and its window, by the annotated liver."""
    liver = case.labels != BACKGROUND
    square = around(liver, round(recipe.tumor_margin_mm / case.pixel_mm))
    return square, tumor_window(case.hu[liver], recipe)


class TumorSamples:
    """Parts of the square around a jittered liver, at the scale the tumor network sees.

    Liver of which nobody said whether it is tumor counts in no loss; slices of nothing else are
    left out. What lies beside the liver counts: a predicted liver holds some of it.
    """

    def __init__(
        self,
        cases: list[LabelledScan],
        recipe: Recipe,
        real: float = 0.5,
        synthetic: float = 0.3,
        cysts: float = CYST_CHANCE,
        organs: float = ORGAN_CHANCE,
        notches: float = NOTCH_CHANCE["tumor"],
        view: View = tumor_view,
    ):
        """Looks where tumors are.

        Args:
            cases: pictures among them are of use only once `pseudo_label` has seen them.
            recipe: for size and margin.
            real: part of the samples from slices with tumors.
            synthetic: part of the samples with tumors drawn into a slice that has none.
            cysts: part of the samples with cysts drawn into the liver.
            organs: part of the samples with something drawn beside the liver.
            notches: part of the samples with fluid or fat drawn into the liver from outside.
            view: what the network sees of a case.
        """
        self.recipe = recipe
        self.real, self.synthetic = real, synthetic
        self.cysts, self.organs, self.notches = cysts, organs, notches
        self._tumor, self._clean, self._square, self._window = {}, {}, {}, {}
        for case in cases:
            tumor = (case.labels == TUMOR).any(axis=(1, 2))
            self._tumor[case.name] = tumor
            self._clean[case.name] = (case.labels == LIVER).any(axis=(1, 2)) & ~tumor
            if tumor.any() or self._clean[case.name].any():
                self._square[case.name], self._window[case.name] = view(case, recipe)
        scans = [case for case in cases if not is_picture(case)]
        pictures = [case for case in cases if is_picture(case)]
        self._scans, self._pictures = (
            tuple(
                _by_patient([case for case in group if slices[case.name].any()])
                for slices in (self._tumor, self._clean)
            )
            for group in (scans, pictures)
        )

    def draw(self, rng: np.random.Generator, size: int) -> Sample:
        """See `Samples.draw`."""
        scans, pictures = any(self._scans), any(self._pictures)
        picture = pictures and (not scans or rng.random() < PICTURE_CHANCE["tumor"])
        with_tumor, without = self._pictures if picture else self._scans
        real = bool(with_tumor) and (rng.random() < self.real or not without)
        case = _choose_case(rng, with_tumor if real else without)
        z = _choose(rng, (self._tumor if real else self._clean)[case.name])
        channels, distance_mm = _channels(rng, case, z)
        image, masks, scale = self._crop(rng, case, z, channels, size, real)
        liver, tumor, unknown = (np.ascontiguousarray(mask) for mask in np.moveaxis(masks, -1, 0))
        window_hu: tuple[float, float] = self._window[case.name]
        if picture:
            low, high = self.recipe.tumor_window_hu
            window_hu = low + PICTURE_LIVER_HU, high + PICTURE_LIVER_HU
        slab = Slab(case.pixel_mm / scale, distance_mm, window_hu)
        if not real and rng.random() < self.synthetic / (1 - self.real):
            tumor = insert_tumors(rng, image, liver, slab)
        if rng.random() < self.cysts:
            insert_cysts(rng, image, liver & ~tumor & ~unknown, slab)
        if rng.random() < self.organs:
            insert_organs(rng, image, liver, slab)
        if rng.random() < self.notches:
            notch = insert_notches(rng, image, liver, slab)
            tumor, unknown = tumor & ~notch, unknown & ~notch
        weight = (tumor | ~unknown).astype(np.float32)
        image = random_intensity(rng, image, lone=len(set(channels)) == 1)
        return Sample(image, tumor, weight)

    def _crop(
        self,
        rng: np.random.Generator,
        case: LabelledScan,
        z: int,
        channels: tuple[int, int, int],
        size: int,
        real: bool,
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Image, masks (size, size, 3) of liver, tumor and what is neither, and the scale."""
        low, high = self._window[case.name]
        hu, labels = np.asarray(case.hu), np.asarray(case.labels)[z]
        side = self._square[case.name].side + rng.uniform(-10, 10) / case.pixel_mm
        scale = self.recipe.size / max(side, 1) * float(np.exp(rng.uniform(-0.2, 0.2)))
        lesion = real and rng.random() < 0.8
        middle = divmod(
            _choose(rng, labels == TUMOR if lesion else labels != BACKGROUND), hu.shape[2]
        )
        center = np.array(middle[::-1]) + rng.uniform(-0.3, 0.3, 2) * size / scale
        matrix = affine_matrix(center, size, scale, rng.uniform(-15, 15))
        bend = random_bend(rng, size, 0.03 * size) if rng.random() < 0.2 else None
        # only what of the slice is seen
        y, x = _seen(matrix, size, bend, hu.shape[1:])
        matrix[:, 2] += matrix[:, :2] @ (x.start, y.start)
        planes = {
            k: clipped(hu[k, y, x], (low, high), case).astype(np.float32) for k in set(channels)
        }
        image: np.ndarray = cv2.merge([planes[k] for k in channels])
        image -= low
        image /= high - low
        if scale < 0.75:  # as INTER_AREA does when it shrinks
            image = cv2.GaussianBlur(image, (0, 0), 0.35 / scale)
        part = labels[y, x]
        kinds = part != BACKGROUND, part == TUMOR, part == UNANNOTATED
        masks = cv2.merge([kind.astype(np.float32) for kind in kinds])
        return *warp(image, masks, matrix, size, bend), scale


def _by_patient(cases: list[LabelledScan]) -> list[list[LabelledScan]]:
    patients: dict[str, list[LabelledScan]] = {}
    for case in cases:
        patients.setdefault(case.patient, []).append(case)
    return list(patients.values())


def _choose_case(rng: np.random.Generator, patients: list[list[LabelledScan]]) -> LabelledScan:
    """Every patient alike, however many scans there are of one."""
    scans = patients[rng.integers(len(patients))]
    return scans[rng.integers(len(scans))]


def _choose_slice(
    rng: np.random.Generator, wanted: np.ndarray, other: np.ndarray, chance: float
) -> int:
    """A slice of `wanted` with that chance, else of `other`; of the one there is."""
    first = wanted.any() and (rng.random() < chance or not other.any())
    return _choose(rng, wanted if first else other)


def _choose(rng: np.random.Generator, wanted: np.ndarray) -> int:
    """The index of one element that is True, counted row by row."""
    indices = np.flatnonzero(wanted)
    return int(indices[rng.integers(len(indices))])


def _channels(
    rng: np.random.Generator, case: LabelledScan, z: int
) -> tuple[tuple[int, int, int], float]:
    """The three slices of one input and the distance they are meant to be apart."""
    if is_picture(case) or rng.random() < LONE_CHANCE:
        return (z, z, z), 0.0
    distance_mm = rng.uniform(*NEIGHBOR_MM)
    below, above = neighbors(case, z, distance_mm)
    return (below, z, above), distance_mm


def _seen(
    matrix: np.ndarray, size: int, bend: np.ndarray | None, shape_yx: tuple[int, ...]
) -> tuple[slice, slice]:
    """Rows and columns of a slice that `warp` takes a square from, and a margin for a blur."""
    beyond = 0.0 if bend is None else float(np.abs(bend).max())
    ends = -beyond, size - 1 + beyond
    corners = np.array([(x, y, 1.0) for x in ends for y in ends])
    found = corners @ cv2.invertAffineTransform(matrix).T
    first = np.clip(
        np.floor(found.min(0)).astype(int) - BLUR_MARGIN, 0, np.array(shape_yx)[::-1] - 1
    )
    stop = np.clip(
        np.ceil(found.max(0)).astype(int) + 1 + BLUR_MARGIN, first + 1, np.array(shape_yx)[::-1]
    )
    return slice(first[1], stop[1]), slice(first[0], stop[0])


def _resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32: the part of each pixel that is in the mask."""
    return cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
