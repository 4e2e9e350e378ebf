import nibabel
import numpy as np
import pydicom
import pytest

from liverseg.phantom import make_phantom
from liverseg.phantom.files import placed, write_dicom, write_ircadb_masks
from liverseg.volume import Spacing, Volume
from liverseg.writing.labels import write_nifti

SPACING = Spacing(6.0, 3.0, 2.5)


@pytest.fixture(scope="module")
def patient():
    return make_phantom(1, shape=(8, 64, 80), spacing=SPACING, tumors=2, diameter_mm=(15, 20))


@pytest.fixture(scope="module")
def folder(patient, tmp_path_factory):
    scan, truth = patient
    folder = tmp_path_factory.mktemp("phantom")
    write_dicom(scan, folder / "PATIENT_DICOM", extension="")
    write_ircadb_masks(truth, scan, folder)
    write_nifti(scan, placed(scan), folder / "scan.nii.gz")
    write_nifti(truth, placed(scan), folder / "truth.nii")
    return folder


def read_slices(folder) -> list[pydicom.Dataset]:
    slices = [pydicom.dcmread(path) for path in folder.iterdir()]
    return sorted(slices, key=lambda dataset: dataset.ImagePositionPatient[2])


def test_the_series_holds_the_hu_and_their_geometry(patient, folder):
    scan, _ = patient
    slices = read_slices(folder / "PATIENT_DICOM")
    assert len(slices) == scan.shape[0]
    for hu, dataset in zip(scan.hu, slices, strict=True):
        stored = dataset.pixel_array * dataset.RescaleSlope + dataset.RescaleIntercept
        np.testing.assert_array_equal(stored, hu)
        assert dataset.PixelSpacing == [SPACING.y, SPACING.x]
        assert dataset.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    heights = [dataset.ImagePositionPatient[2] for dataset in slices]
    np.testing.assert_allclose(np.diff(heights), SPACING.z)


def test_the_series_is_ct_with_uids_of_its_own_and_a_fictitious_patient(folder):
    slices = read_slices(folder / "PATIENT_DICOM")
    assert {dataset.SOPClassUID.name for dataset in slices} == {"CT Image Storage"}
    assert len({dataset.SOPInstanceUID for dataset in slices}) == len(slices)
    assert len({dataset.SeriesInstanceUID for dataset in slices}) == 1
    assert all(dataset.SOPInstanceUID.is_valid for dataset in slices)
    assert {str(dataset.PatientName) for dataset in slices} == {"Phantom^Synthetic"}
    for dataset in slices:
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID


def test_uids_depend_on_the_patient_and_on_nothing_else(patient, tmp_path):
    scan, _ = patient
    other = Volume(scan.hu + np.int16(1), scan.spacing)
    uids = []
    for number, volume in enumerate((scan, scan, other)):
        paths = write_dicom(volume, tmp_path / str(number))
        uids.append(pydicom.dcmread(paths[0]).SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]


def test_masks_lie_as_in_3d_ircadb(patient, folder):
    _, truth = patient
    root = folder / "MASKS_DICOM"
    assert {path.name for path in root.iterdir()} == {"liver", "livertumor"}
    for name, mask in (("liver", truth.liver), ("livertumor", truth.tumor)):
        for z, plane in enumerate(mask):
            dataset = pydicom.dcmread(root / name / f"image_{z}")
            assert dataset.Modality == "CT"
            assert dataset.pixel_array.dtype == np.uint8
            np.testing.assert_array_equal(dataset.pixel_array, np.where(plane, 255, 0))
    mask, scan = (read_slices(folder / at)[3] for at in ("MASKS_DICOM/liver", "PATIENT_DICOM"))
    assert mask.ImagePositionPatient == scan.ImagePositionPatient
    assert mask.SeriesInstanceUID != scan.SeriesInstanceUID


def test_a_healthy_liver_has_no_folder_of_tumors(tmp_path):
    scan, truth = make_phantom(2, shape=(4, 32, 32), tumors=0)
    root = write_ircadb_masks(truth, scan, tmp_path)
    assert [path.name for path in root.iterdir()] == ["liver"]


def test_nifti_and_dicom_put_a_voxel_in_the_same_place(patient, folder):
    scan, truth = patient
    image, labels = nibabel.load(folder / "scan.nii.gz"), nibabel.load(folder / "truth.nii")
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, scan.hu)
    np.testing.assert_array_equal(np.asarray(labels.dataobj).T, truth.labels)
    dataset = read_slices(folder / "PATIENT_DICOM")[5]
    lps = np.add(dataset.ImagePositionPatient, (7 * SPACING.x, 4 * SPACING.y, 0))
    ras = image.affine @ (7, 4, 5, 1)
    np.testing.assert_allclose(ras[:3], lps * (-1, -1, 1))
    np.testing.assert_allclose(labels.affine, image.affine)


def test_a_volume_without_spacing_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match="known spacing"):
        write_dicom(Volume(np.zeros((2, 4, 4), np.int16)), tmp_path)


@pytest.mark.parametrize("scan_name", ["PATIENT_DICOM", "scan.nii.gz"])
def test_a_phantom_reads_back_exactly(patient, folder, scan_name):
    from liverseg.reading.upload import read_scan, read_truth

    scan, truth = patient
    read = read_scan(folder / scan_name)
    np.testing.assert_array_equal(read.hu, scan.hu)
    assert read.notices == ()
    np.testing.assert_allclose(read.spacing, scan.spacing, atol=1e-5)
    for truth_name in ("MASKS_DICOM", "truth.nii"):
        np.testing.assert_array_equal(read_truth(folder / truth_name, read).labels, truth.labels)
