"""What is accepted all the same, but said."""

import nibabel
import numpy as np
import pytest

from liverseg.reading.upload import read_scan, read_truth
from liverseg.reading.workers import Readers
from liverseg.volume import LIVER, TUMOR
from tests.helpers.make_dicom import changed, ct, enhanced, seg, series, write


def codes(found) -> list[str]:
    return [said.code for said in found.notices]


def scan_of(tmp_path, **attributes):
    slices = [changed(one, **attributes) for one in series(5)]
    return read_scan(write(slices, tmp_path / "scan"))


@pytest.fixture
def scan(tmp_path):
    return scan_of(tmp_path)


@pytest.mark.parametrize(
    ("photometric", "code"),
    [("MONOCHROME1", "dicom.inverted_gray"), ("PALETTE COLOR", "dicom.palette")],
)
def test_other_ways_to_show_a_ct_change_no_value_and_are_said(tmp_path, scan, photometric, code):
    other = scan_of(tmp_path / "other", PhotometricInterpretation=photometric)
    assert np.array_equal(other.hu, scan.hu)
    assert codes(other) == [code]


SPECTRAL = [
    ["DERIVED", "PRIMARY", "AXIAL", "CT_SOM5 DUAL", "IODINE"],
    ["DERIVED", "SECONDARY", "AXIAL", "MONO_70KEV"],
    ["ORIGINAL", "PRIMARY", "VOLUME", "VMI"],
    ["DERIVED", "PRIMARY", "VOLUME", "MAT_SPECIFIC"],
    ["DERIVED", "PRIMARY", "AXIAL", "VIRTUAL NON CONTRAST"],
    ["DERIVED", "PRIMARY", "AXIAL", "Z EFF"],
]


@pytest.mark.parametrize("words", SPECTRAL, ids=lambda words: words[-1])
def test_maps_of_two_energies_are_said(tmp_path, words):
    assert "dicom.spectral" in codes(scan_of(tmp_path, ImageType=words))


@pytest.mark.parametrize("words", [["ORIGINAL", "PRIMARY", "AXIAL"], ["DERIVED", "PRIMARY", "MPR"]])
def test_an_ordinary_ct_needs_no_word(tmp_path, words):
    assert codes(scan_of(tmp_path, ImageType=words)) == []


def test_the_frames_of_an_enhanced_ct_say_it_themselves(tmp_path):
    dataset = enhanced(5, FrameType=["DERIVED", "PRIMARY", "VOLUME", "MAT_REMOVED"])
    assert "dicom.spectral" in codes(read_scan(write([dataset], tmp_path / "scan")))


@pytest.mark.parametrize("in_worker", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_a_seg_of_another_study_is_said(tmp_path, in_worker, other):
    volume = scan_of(tmp_path, StudyInstanceUID="1.2.3")
    dataset = seg({"liver": np.ones((5, 12, 16), np.uint8)})
    dataset.StudyInstanceUID = "1.2.4" if other else "1.2.3"
    path = write([dataset], tmp_path / "truth")
    if in_worker:
        readers = Readers()
        truth = readers.read_truth(path, volume)
        readers.close()
    else:
        truth = read_truth(path, volume)
    assert ("truth.other_study" in codes(truth)) == other
    assert truth.liver.all()


def test_masks_of_inverted_grays_are_said(tmp_path, scan):
    mask = np.zeros((5, 12, 16), np.uint8)
    mask[:, 3:9, 5:12] = 255
    slices = [ct(5.0 * k, stored=plane, RescaleIntercept=0) for k, plane in enumerate(mask)]
    for one in slices:
        one.PhotometricInterpretation = "MONOCHROME1"
    truth = read_truth(write(slices, tmp_path / "liver"), scan)
    assert np.array_equal(truth.liver, mask > 0)
    assert "truth.inverted_masks" in codes(truth)


@pytest.mark.parametrize("apart", [False, True])
def test_a_second_label_away_from_the_liver_is_said(tmp_path, scan, apart):
    labels = np.zeros((5, 12, 16), np.uint8)
    labels[1:4, 2:8, 1:7] = LIVER
    if apart:
        labels[2, 9:11, 12:15] = TUMOR
    else:  # bulging out of the liver
        labels[2, 3:5, 4:8] = TUMOR
    image = nibabel.Nifti1Image(labels.transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ scan.affine)
    nibabel.save(image, tmp_path / "labels.nii.gz")
    truth = read_truth(tmp_path / "labels.nii.gz", scan)
    assert ("truth.tumors_apart" in codes(truth)) == apart
