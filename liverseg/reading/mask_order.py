"""Masks without a place: to which slice of a scan each belongs.

They belong to the scan's files in the order in which files are numbered, which may run from the
head: in the names of files, or by InstanceNumber. Whether that is right shows in the scan: inside
a liver mask that lies on its liver, densities are alike.
"""

from dataclasses import replace

import numpy as np

from ..sentences import say
from ..volume import Segmentation, Volume

AS_STORED = say("truth.file_order")  # nothing but their order is known
BY_NUMBER = say("truth.file_numbers")
FITTING_HU = (-20, 250)  # median of a liver or its tumors
CLIPPED_HU = (-200, 300)  # so that air and bone do not count more than other organs
NARROWER = 1.25  # by which densities spread less in the right order; in 87 of 87 livers they do
MOST_VOXELS = 200_000  # that are looked at


def slices_for(numbers: tuple[np.ndarray, ...], volume: Volume) -> tuple[np.ndarray, bool]:
    """The slice of a scan that each of as many masks belongs to.

    Args:
        numbers: of the masks, as `Source.numbers`; the masks come in their own order.
        volume: the scan.

    Returns:
        (z,) indices, and whether the numbers of masks and scan say so, in which they then differ
        by nothing, or by where they begin.
    """
    scans = volume.source.numbers if volume.source else ()
    count = len(volume.hu)
    for may_begin_elsewhere in (False, True):
        for own in numbers:
            for theirs in scans:
                if _correspond(own, theirs, may_begin_elsewhere):
                    slices = np.empty(count, int)
                    slices[np.argsort(own)] = np.argsort(theirs)
                    return slices, True
    for theirs in scans:
        steps = np.diff(theirs)
        if (steps > 0).all() or (steps < 0).all():
            return np.argsort(theirs), False
    return np.arange(count), count == 1


def some_slices_for(numbers: np.ndarray | None, volume: Volume) -> np.ndarray | None:
    """The slices that have masks, where there are fewer masks than slices and their numbers say so.

    Args:
        numbers: in the names of the masks.
        volume: the scan.

    Returns:
        (n,) indices; None where the scan's files have no such numbers, or where the masks may have
        been counted anew.
    """
    scans = volume.source.numbers if volume.source else ()
    if numbers is None or not scans:
        return None
    theirs = scans[0]
    if numbers.min() <= theirs.min() or not np.isin(numbers, theirs).all():
        return None
    order = np.argsort(theirs)
    return order[np.searchsorted(theirs, numbers, sorter=order)]


def _correspond(own: np.ndarray, theirs: np.ndarray, may_begin_elsewhere: bool) -> bool:
    if len(own) != len(theirs):
        return False
    first, second = np.sort(own), np.sort(theirs)
    if may_begin_elsewhere:
        first, second = first - first[0], second - second[0]
    return np.array_equal(first, second)


def laid_by_content(truth: Segmentation, volume: Volume) -> Segmentation:
    """A ground truth whose slices may be in the reverse order, as it fits the scan better.

    Args:
        truth: with a notice that its masks have no place, or any other, which is returned as it is.
        volume: the scan, with its voxels.
    """
    codes = [getattr(notice, "code", "") for notice in truth.notices]
    known = next((one for one in (AS_STORED, BY_NUMBER) if one.code in codes), None)
    if known is None:
        return truth
    fits = _fits_as_it_lies(truth.labels, volume.hu)
    if fits is None:
        return truth
    said = say("truth.order_fits" if fits else "truth.order_reversed")
    notices = tuple(
        said if code == known.code else notice
        for code, notice in zip(codes, truth.notices, strict=True)
    )
    if fits:
        return replace(truth, notices=notices)
    return replace(truth, labels=np.ascontiguousarray(truth.labels[::-1]), notices=notices)


def _fits_as_it_lies(labels: np.ndarray, hu: np.ndarray) -> bool | None:
    """Whether what is labelled is more of one density so than in reverse; None where both are."""
    step = max(1, np.count_nonzero(labels) // MOST_VOXELS)
    found = []
    for scan in (hu, hu[::-1]):
        values = [
            scan[z].ravel()[np.flatnonzero(labels[z])[::step]]
            for z in np.flatnonzero(labels.any((1, 2)))
        ]
        if not values:
            return None
        clipped = np.clip(np.concatenate(values), *CLIPPED_HU)
        found.append((float(clipped.std()), float(np.median(clipped))))
    (spread, median), (reverse_spread, reverse_median) = found
    is_liver, reverse_is_liver = (
        FITTING_HU[0] <= one <= FITTING_HU[1] for one in (median, reverse_median)
    )
    if is_liver != reverse_is_liver:
        return is_liver
    if reverse_spread > NARROWER * spread:
        return True
    return False if spread > NARROWER * reverse_spread else None
