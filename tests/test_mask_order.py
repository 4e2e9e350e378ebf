"""Masks without a place: by the numbers of files, and by what they show in the scan."""

import nibabel
import numpy as np
import pytest
from PIL import Image

from liverseg.errors import TruthMismatch
from liverseg.reading.mask_order import laid_by_content, slices_for
from liverseg.reading.upload import read_scan, read_truth
from liverseg.reading.workers import Readers
from liverseg.volume import Segmentation, Source, Volume
from tests.helpers.make_dicom import ct, write

COUNT = 10
z, y, x = np.indices((COUNT, 48, 48))
LIVER = ((y - 22) / 12) ** 2 + ((x - 18) / 10) ** 2 + ((z - 6.5) / 3.5) ** 2 < 1
BODY = ((y - 24) / 20) ** 2 + ((x - 24) / 22) ** 2 < 1
HU = np.where(LIVER, 110, np.where(BODY, -80, -1000)) + np.random.default_rng(0).integers(
    -9, 9, z.shape
)
NOWHERE = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def scan_of(folder, hu=HU, name="i{:04d},0000b.dcm", head_first=True, **attributes):
    """A DICOM scan whose files are numbered from the head, or from the feet."""
    folder.mkdir(parents=True, exist_ok=True)
    order = range(COUNT - 1, -1, -1) if head_first else range(COUNT)
    for number, k in enumerate(order):
        tags = {"InstanceNumber": number + 1, **attributes}
        path = write([ct(5.0 * k, hu=hu[k].astype(np.int16), **tags)], folder / "one")
        next(path.iterdir()).rename(folder / name.format(number))
    path.rmdir()
    return read_scan(folder)


def masks_of(folder, head_first=True, name="liver_GT_{:03d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    order = range(COUNT - 1, -1, -1) if head_first else range(COUNT)
    for number, k in enumerate(order):
        Image.fromarray(LIVER[k] * np.uint8(255)).save(folder / name.format(number))
    return folder


@pytest.mark.parametrize("head_first", [True, False])
@pytest.mark.parametrize("name", ["liver_GT_{:03d}.png", "{}.png", "1{:03d}_m.png"])
def test_pictures_belong_to_the_files_in_the_order_of_their_numbers(tmp_path, head_first, name):
    scan = scan_of(tmp_path / "scan", head_first=head_first)
    truth = read_truth(masks_of(tmp_path / "masks", head_first, name), scan)
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == "truth.order_fits"


def test_numbers_decide_where_densities_say_nothing(tmp_path):
    flat = np.where(BODY, 50, -1000) + np.random.default_rng(0).integers(-9, 9, z.shape)
    scan = scan_of(tmp_path / "scan", flat)
    truth = read_truth(masks_of(tmp_path / "masks"), scan)
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == "truth.file_numbers"


def test_instance_numbers_count_where_names_say_nothing(tmp_path):
    flat = np.where(BODY, 50, -1000)
    scan_of(tmp_path / "scan", flat)
    for k, path in enumerate(sorted((tmp_path / "scan").iterdir())):
        path.rename(path.with_name("qwertzuiop"[k]))
    truth = read_truth(masks_of(tmp_path / "masks"), read_scan(tmp_path / "scan"))
    assert np.array_equal(truth.liver, LIVER)


@pytest.mark.parametrize("of_scan", [True, False])
def test_densities_decide_against_the_order_of_numbers_and_that_is_said(tmp_path, of_scan):
    """As of masks that a program wrote from the feet, whatever the files' numbers."""
    scan = scan_of(tmp_path / "scan", head_first=of_scan)
    truth = read_truth(masks_of(tmp_path / "masks", head_first=not of_scan), scan)
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == "truth.order_reversed"


@pytest.mark.parametrize("head_first", [True, False])
def test_dicom_masks_without_geometry_lie_by_their_instance_numbers(tmp_path, head_first):
    scan = scan_of(tmp_path / "scan", name="{:03d}")
    order = range(COUNT - 1, -1, -1) if head_first else range(COUNT)
    masks = [
        ct(stored=LIVER[k].astype(np.uint8), InstanceNumber=n + 1, RescaleIntercept=0, **NOWHERE)
        for n, k in enumerate(order)
    ]
    truth = read_truth(write(masks, tmp_path / "liver"), scan)
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == ("truth.order_fits" if head_first else "truth.order_reversed")


@pytest.mark.parametrize("head_first", [True, False])
def test_a_nifti_without_a_place_lies_as_it_fits(tmp_path, head_first):
    scan = scan_of(tmp_path / "scan")
    found = LIVER[::-1] if head_first else LIVER
    image = nibabel.Nifti1Image(found.transpose(2, 1, 0).astype(np.uint8), np.eye(4))
    nibabel.save(image, tmp_path / "truth.nii.gz")
    truth = read_truth(tmp_path / "truth.nii.gz", scan)
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == ("truth.order_fits" if head_first else "truth.order_reversed")


def test_pictures_of_a_picture_scan_are_turned_where_names_do_not_correspond(tmp_path):
    grays = np.where(LIVER, 190, np.where(BODY, 110, 0)) + np.random.default_rng(0).integers(
        0, 9, z.shape
    )
    (tmp_path / "scan").mkdir()
    for k in range(COUNT):
        Image.fromarray(grays[k].astype(np.uint8)).save(tmp_path / "scan" / f"s{k * 2}.png")
    scan = read_scan(tmp_path / "scan")
    truth = read_truth(masks_of(tmp_path / "masks", head_first=True), scan)
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == "truth.order_reversed"


def test_the_order_is_found_in_the_process_that_has_the_voxels(tmp_path):
    scan = scan_of(tmp_path / "scan")
    readers = Readers()
    try:
        truth = readers.read_truth(masks_of(tmp_path / "masks", head_first=False), scan)
    finally:
        readers.close()
    assert np.array_equal(truth.liver, LIVER)
    assert truth.notices[0].code == "truth.order_reversed"


def test_numbers_that_begin_elsewhere_correspond():
    source = Source("dicom", numbers=(np.array([9, 7, 4]),))
    volume = Volume(np.zeros((3, 2, 2), np.int16), source=source)
    slices, is_known = slices_for((np.array([1, 4, 6]),), volume)
    assert slices.tolist() == [2, 1, 0] and is_known
    slices, is_known = slices_for((np.array([1, 2, 3]),), volume)
    assert slices.tolist() == [2, 1, 0] and not is_known


def test_a_truth_with_a_place_is_never_turned():
    volume = Volume(np.ascontiguousarray(HU[::-1]).astype(np.int16))
    truth = Segmentation(LIVER.astype(np.uint8))
    assert laid_by_content(truth, volume) is truth


@pytest.mark.parametrize("head_first", [True, False])
def test_slices_without_a_mask_are_empty_where_numbers_say_which_they_are(tmp_path, head_first):
    scan = scan_of(tmp_path / "scan", head_first=head_first)
    folder = masks_of(tmp_path / "masks", head_first)
    removed = [path for path in folder.iterdir() if not np.asarray(Image.open(path)).any()]
    first = folder / "liver_GT_000.png"
    for path in {*removed, first}:
        path.unlink()
    truth = read_truth(folder, scan)
    expected = LIVER.copy()
    expected[-1 if head_first else 0] = False
    assert np.array_equal(truth.liver, expected)
    assert "truth.slices_without_masks" in [notice.code for notice in truth.notices]


def test_fewer_masks_that_may_be_counted_anew_are_refused(tmp_path):
    scan = scan_of(tmp_path / "scan")
    folder = masks_of(tmp_path / "masks")
    (folder / "liver_GT_009.png").unlink()
    with pytest.raises(TruthMismatch, match="9 pictures, the scan 10 slices"):
        read_truth(folder, scan)
