"""Segmentations on their way out lie where the scan was, and carry nothing of the person."""

import csv
import io
import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK

from liverseg.errors import UploadError
from liverseg.page.downloads import offered, write_file
from liverseg.page.number_table import number_table
from liverseg.page.visitors import SegmentedStudy
from liverseg.phantom.files import lps_affine, write_dicom
from liverseg.reading.upload import read_scan, read_truth
from liverseg.scores.findings import Findings, find
from liverseg.volume import Segmentation, Source, Spacing, Volume
from liverseg.writing.dicom_seg import reason_against, write_dicom_seg
from liverseg.writing.labels import write_nifti, write_png
from liverseg.writing.report import report
from liverseg.writing.tables import to_csv, to_json
from tests.helpers.make_dicom import body, changed, enhanced, series, write

SHAPE = (6, 20, 30)
SPACING = Spacing(2.5, 0.5, 0.8)
IDENTITY = "fast-0123456789ab"
BOX = (slice(1, 3), slice(4, 10), slice(7, 21))  # off-center on every axis
TUMOR = (slice(1, 2), slice(5, 8), slice(8, 11))


def segmentation() -> Segmentation:
    labels = np.zeros(SHAPE, np.uint8)
    labels[BOX], labels[TUMOR] = 1, 2
    return Segmentation(labels)


def scan(kind="dicom", **source) -> Volume:
    rng = np.random.default_rng(0)
    hu = rng.integers(-100, 200, SHAPE).astype(np.int16)
    volume = Volume(hu, SPACING, notices=("The slices were sorted.",))
    source.setdefault("affine", lps_affine(volume))
    positions = [(source["affine"] @ (0, 0, z, 1))[:3] for z in range(SHAPE[0])]
    source.setdefault("positions_mm", np.array(positions))
    return Volume(hu, SPACING, notices=volume.notices, source=Source(kind, **source))


def centroid_mm(volume: Volume, mask: np.ndarray) -> np.ndarray:
    """LPS mm."""
    z, y, x = np.argwhere(mask).mean(axis=0)
    return (volume.source.affine @ (x, y, z, 1))[:3]


def nifti_centroid_mm(path, at_least=1) -> np.ndarray:
    """LPS mm, from the file's own sform."""
    image = nibabel.load(path)
    index = np.argwhere(np.asarray(image.dataobj) >= at_least).mean(axis=0)
    return nibabel.affines.apply_affine(image.affine, index) * (-1, -1, 1)


OBLIQUE = np.array([[0.8, 0, 0, -3], [0, 0.48, -0.7, 12], [0, 0.14, 2.4, 100], [0, 0, 0, 1]])


@pytest.mark.parametrize("affine", [lps_affine(scan()), OBLIQUE], ids=["straight", "oblique"])
def test_nifti_lies_where_the_dicom_was(tmp_path, affine):
    volume = scan(affine=affine)
    write_nifti(segmentation(), volume, tmp_path / "s.nii.gz")
    expected = centroid_mm(volume, segmentation().liver)
    np.testing.assert_allclose(nifti_centroid_mm(tmp_path / "s.nii.gz"), expected, atol=1e-4)


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "PIR", "SAL"])
def test_nifti_labels_have_the_axes_of_the_nifti_scan(tmp_path, axcodes):
    volume = scan("nifti", axcodes=tuple(axcodes))
    write_nifti(segmentation(), volume, tmp_path / "s.nii")
    image = nibabel.load(tmp_path / "s.nii")
    assert "".join(nibabel.aff2axcodes(image.affine)) == axcodes
    expected = centroid_mm(volume, segmentation().tumor)
    np.testing.assert_allclose(nifti_centroid_mm(tmp_path / "s.nii", 2), expected, atol=1e-4)


def test_nifti_has_both_forms_millimeters_and_no_text(tmp_path):
    write_nifti(segmentation(), scan(), tmp_path / "s.nii.gz")
    header = nibabel.load(tmp_path / "s.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
    assert header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(header.get_sform(), header.get_qform(), atol=1e-5)
    assert all(not header[key].item() for key in ("descrip", "aux_file", "db_name", "intent_name"))


def forms_of(path) -> list[tuple[int, np.ndarray]]:
    header = nibabel.load(path).header
    return [
        (int(header[name]), form)
        for name, form in (("sform_code", header.get_sform()), ("qform_code", header.get_qform()))
    ]


MOVED = np.diag([-0.8, -0.5, 2.5, 1.0])
MOVED[:3, 3] = (-15, 20, 10)


@pytest.mark.parametrize("codes", [(2, 1), (1, 2), (0, 1), (4, 0), (1, 1)])
@pytest.mark.parametrize("axcodes", ["LPS", "PIR"])
def test_nifti_labels_keep_both_forms_and_codes_of_the_scan(tmp_path, codes, axcodes):
    hu = np.stack([body(k) for k in range(6)]).transpose(2, 1, 0)
    affine = np.diag([-0.8, -0.5, 2.5, 1.0])
    image = nibabel.Nifti1Image(hu, affine)
    ornts = [nibabel.orientations.axcodes2ornt(one) for one in ("LPS", axcodes)]
    turn = nibabel.orientations.ornt_transform(*ornts)
    back = nibabel.orientations.inv_ornt_aff(turn, hu.shape)
    image = image.as_reoriented(turn)
    image.set_sform(affine @ back if codes[0] else None, codes[0])
    image.set_qform(MOVED @ back if codes[1] else None, codes[1])
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = read_scan(tmp_path / "scan.nii.gz")
    path = write_nifti(labels_of(volume), volume, tmp_path / "s.nii.gz")
    for found, expected in zip(forms_of(path), forms_of(tmp_path / "scan.nii.gz"), strict=True):
        assert found[0] == expected[0]
        if found[0]:
            np.testing.assert_allclose(found[1], expected[1], atol=1e-4)
    images = [SimpleITK.ReadImage(str(one)) for one in (path, tmp_path / "scan.nii.gz")]
    for point in ((0, 0, 0), tuple(count - 1 for count in images[0].GetSize())):
        places = [one.TransformIndexToPhysicalPoint(point) for one in images]
        np.testing.assert_allclose(*places, atol=1e-3)
    np.testing.assert_array_equal(read_truth(path, volume).labels, labels_of(volume).labels)


@pytest.mark.parametrize("about", ["x", "y", "both"])
@pytest.mark.parametrize("degrees", [0, 0.002, 3, 14, -14])
def test_two_programs_find_a_tilted_scans_labels_at_one_place(tmp_path, degrees, about):
    """The slices of a tilted gantry are shifted against one another, which ITK cannot hold."""
    tilt = np.radians(degrees)
    along_x, along_y = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    if about in ("x", "both"):
        along_y = np.array([0, np.cos(tilt), np.sin(tilt)])
    if about in ("y", "both"):
        along_x = np.cross(along_y, [-np.sin(tilt), 0, np.cos(tilt)])
        along_x /= np.linalg.norm(along_x)
    axes = [*along_x, *along_y]
    slices = [changed(one, ImageOrientationPatient=axes) for one in series(12)]
    volume = read_scan(write(slices, tmp_path / "ct"))
    labels = np.ones(volume.shape, np.uint8)  # to the first and the last slice
    labels[:, 0], labels[[0, -1], 3:5, 2:9] = 0, 2
    given = Segmentation(labels)
    path = write_nifti(given, volume, tmp_path / "s.nii.gz")
    (s_code, sform), (q_code, qform) = forms_of(path)
    assert (s_code, q_code) == (1, 1)
    image, stored = SimpleITK.ReadImage(str(path)), np.asarray(nibabel.load(path).dataobj)
    for corner in itertools.product(*([0, count - 1] for count in stored.shape)):
        place = (sform @ (*corner, 1))[:3] * (-1, -1, 1)
        np.testing.assert_allclose((qform @ (*corner, 1))[:3] * (-1, -1, 1), place, atol=0.1)
        found = image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose(found, place, atol=0.1)
    for z, y, x in np.argwhere(given.labels)[::7]:  # each voxel within half a pixel of its place
        place = (volume.affine @ (x, y, z, 1))[:3]
        index = image.TransformPhysicalPointToIndex(place.tolist())
        assert image[index] == given.labels[z, y, x]
    assert np.count_nonzero(stored) == np.count_nonzero(given.labels)
    np.testing.assert_array_equal(read_truth(path, volume).labels, given.labels)


def test_a_straightened_scan_keeps_all_its_values(tmp_path):
    axes = [1, 0, 0, 0, float(np.cos(0.2)), float(np.sin(0.2))]
    slices = [changed(one, ImageOrientationPatient=axes) for one in series(12)]
    volume = read_scan(write(slices, tmp_path / "ct"))
    again = read_scan(write_nifti(volume, volume, tmp_path / "s.nii.gz"))
    assert "geometry.tilted" not in [said.code for said in again.notices]
    for plane, straight in zip(volume.hu, again.hu, strict=True):
        np.testing.assert_array_equal(
            np.sort(plane[plane > -1000]), np.sort(straight[straight > -1000])
        )


def test_nifti_of_uneven_slices_gets_their_mean_distance(tmp_path):
    positions = np.array([(5, 6, z) for z in (0, 2, 4, 6, 8, 12)], float)
    source = Source("dicom", positions_mm=positions)
    volume = Volume(scan().hu, SPACING._replace(z=None), source=source)
    write_nifti(segmentation(), volume, tmp_path / "s.nii")
    image = nibabel.load(tmp_path / "s.nii")
    np.testing.assert_allclose(image.header.get_zooms(), (0.8, 0.5, 12 / 5), rtol=1e-6)
    np.testing.assert_allclose(image.affine[:3, 3], (-5, -6, 0))


def test_a_scan_from_nowhere_gets_a_file_from_nowhere(tmp_path):
    volume = Volume(scan().hu, source=Source("nifti", axcodes=("P", "S", "R")))
    write_nifti(segmentation(), volume, tmp_path / "s.nii")
    image = nibabel.load(tmp_path / "s.nii")
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (0, 0)
    as_stored = segmentation().labels.transpose(1, 0, 2)[:, :, ::-1]  # y to P, z to S, x to R
    np.testing.assert_array_equal(np.asarray(image.dataobj), as_stored)


def test_pictures_hold_the_labels_and_look_like_the_page(tmp_path):
    from PIL import Image

    paths = write_png(segmentation(), tmp_path)
    assert len(paths) == SHAPE[0]
    pictures = [Image.open(path) for path in paths]
    np.testing.assert_array_equal(np.stack(pictures), segmentation().labels)
    assert pictures[1].convert("RGB").getpixel((9, 6)) == (230, 159, 0)


# --- DICOM SEG ----------------------------------------------------------------------------------


def uploaded(folder, change=None) -> Volume:
    """A scan whose headers are those of real files, one per slice, in the order of z."""
    paths = write_dicom(scan(), folder)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    for header in headers:
        header.PatientName, header.PatientBirthDate = "Secret^Name", "19500102"
        header.InstitutionName = "Secret hospital"
        if change:
            change(header)
    return scan(headers=tuple(headers))


@pytest.fixture
def written(tmp_path):
    volume = uploaded(tmp_path / "ct")
    write_dicom_seg(segmentation(), volume, tmp_path / "seg.dcm", IDENTITY)
    return volume, tmp_path / "seg.dcm"


def by_position(path, segment: int) -> np.ndarray:
    """A reader of its own: (z, y, x) bool of one segment by ImagePositionPatient."""
    dataset = pydicom.dcmread(path)
    frames = dataset.pixel_array
    found = np.zeros(SHAPE, bool)
    affine = lps_affine(scan())
    for frame, groups in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber == segment:
            position = groups.PlanePositionSequence[0].ImagePositionPatient
            z = (float(position[2]) - affine[2, 3]) / affine[2, 2]
            found[round(z)] = frame
    return found


def test_two_readers_find_every_voxel_where_it_was(written):
    _, path = written
    seg = highdicom.seg.segread(path)
    labels = segmentation()
    for number, mask in ((1, labels.liver), (2, labels.tumor)):
        volume = seg.get_volume(segment_numbers=[number], combine_segments=False)
        index = np.argwhere(volume.array[..., 0]).mean(axis=0)
        center = nibabel.affines.apply_affine(volume.affine, index)
        np.testing.assert_allclose(center, centroid_mm(scan(), mask), atol=1e-3)
        np.testing.assert_array_equal(by_position(path, number), mask)


def test_dcmqi_reads_the_seg_as_it_was_meant(written, tmp_path):
    """A reader with nothing in common with the writer: C++, DCMTK and ITK."""
    _, path = written
    where = ["--outputDirectory", str(tmp_path), "--prefix", "read", "--outputType", "nii"]
    run = subprocess.run(
        [dcmqi_program("segimage2itkimage"), "--inputDICOM", str(path), *where],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    meta = json.loads((tmp_path / "read-meta.json").read_text())
    labels = segmentation()
    for number, mask in ((1, labels.liver), (2, labels.tumor)):
        image = nibabel.load(tmp_path / f"read-{number}.nii.gz")
        assert np.count_nonzero(np.asarray(image.dataobj)) == mask.sum()
        center = nifti_centroid_mm(tmp_path / f"read-{number}.nii.gz")
        np.testing.assert_allclose(center, centroid_mm(scan(), mask), atol=1e-3)
        (segment,) = meta["segmentAttributes"][number - 1]
        code = segment["SegmentedPropertyTypeCodeSequence"]["CodeValue"]
        assert code == {1: "10200004", 2: "108369006"}[number]


def dcmqi_program(name: str) -> str:
    """The path of one of dcmqi's programs, which pip puts beside Python."""
    return shutil.which(name, path=str(Path(sys.executable).parent))


def test_the_seg_refers_to_the_uploaded_slices(written):
    volume, path = written
    seg = highdicom.seg.segread(path)
    uids = {str(uid) for _, _, uid in seg.get_source_image_uids()}
    assert uids == {str(volume.source.headers[z].SOPInstanceUID) for z in (1, 2)}
    assert seg.StudyInstanceUID == volume.source.headers[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == volume.source.headers[0].FrameOfReferenceUID


def test_the_segments_are_coded(written):
    seg = highdicom.seg.segread(written[1])
    liver, tumor = (seg.get_segment_description(n) for n in (1, 2))
    assert (liver.segmented_property_type.value, liver.segmented_property_category.value) == (
        "10200004",
        "123037004",
    )
    assert (tumor.segmented_property_type.value, tumor.segmented_property_category.value) == (
        "108369006",
        "49755003",
    )
    assert tumor.anatomic_regions[0].value == "10200004"
    assert tumor.algorithm_identification.version == IDENTITY
    assert tumor.algorithm_type.value == "AUTOMATIC"


def test_the_seg_names_nobody(written):
    text = str(pydicom.dcmread(written[1]))
    assert "Secret" not in text
    assert "19500102" not in text
    assert "PHANTOM" in text  # the patient ID, by which archives file a SEG with its scan


def test_without_tumors_there_is_one_segment(tmp_path):
    liver_only = Segmentation((segmentation().labels > 0).astype(np.uint8))
    write_dicom_seg(liver_only, uploaded(tmp_path), tmp_path / "seg.dcm", IDENTITY)
    assert highdicom.seg.segread(tmp_path / "seg.dcm").number_of_segments == 1


def test_a_scan_without_frame_of_reference_gets_one(tmp_path):
    def change(header):
        del header.FrameOfReferenceUID

    write_dicom_seg(segmentation(), uploaded(tmp_path, change), tmp_path / "seg.dcm", IDENTITY)
    np.testing.assert_array_equal(by_position(tmp_path / "seg.dcm", 1), segmentation().liver)


@pytest.mark.parametrize("flip", [(1, 0), (0, 1), (1, 1)], ids=["columns", "rows", "both"])
def test_files_whose_rows_run_the_other_way_get_their_own_pixels(tmp_path, flip):
    flip_x, flip_y = flip

    def change(header):
        step_x, step_y = SPACING.x * (SHAPE[2] - 1), SPACING.y * (SHAPE[1] - 1)
        x, y, z = header.ImagePositionPatient
        header.ImagePositionPatient = [x + flip_x * step_x, y + flip_y * step_y, z]
        header.ImageOrientationPatient = [1 - 2 * flip_x, 0, 0, 0, 1 - 2 * flip_y, 0]

    write_dicom_seg(segmentation(), uploaded(tmp_path, change), tmp_path / "seg.dcm", IDENTITY)
    expected = segmentation().liver[:, :: 1 - 2 * flip_y, :: 1 - 2 * flip_x]
    np.testing.assert_array_equal(by_position(tmp_path / "seg.dcm", 1), expected)


def test_a_transposed_file_gets_its_own_pixels(tmp_path):
    def change(header):
        header.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
        header.Rows, header.Columns = header.Columns, header.Rows
        header.PixelSpacing = [SPACING.x, SPACING.y]

    write_dicom_seg(segmentation(), uploaded(tmp_path, change), tmp_path / "seg.dcm", IDENTITY)
    frames = pydicom.dcmread(tmp_path / "seg.dcm").pixel_array
    np.testing.assert_array_equal(frames[0], segmentation().liver[1].T)


def test_refusals_are_sentences(tmp_path):
    path = tmp_path / "seg.dcm"
    empty = Segmentation(np.zeros(SHAPE, np.uint8))
    with pytest.raises(UploadError, match="uploaded as DICOM"):
        write_dicom_seg(segmentation(), scan("nifti"), path, IDENTITY)
    with pytest.raises(UploadError, match="cannot refer"):
        write_dicom_seg(segmentation(), scan(), path, IDENTITY)
    with pytest.raises(UploadError, match="no liver"):
        write_dicom_seg(empty, uploaded(tmp_path / "ct"), path, IDENTITY)
    assert not path.exists()


NO_REFERENCE = {
    "a frame of reference each": lambda k: {"FrameOfReferenceUID": f"1.2.{k}"},
    "a study each": lambda k: {"StudyInstanceUID": f"1.2.{k}"},
    "a series each": lambda k: {"SeriesInstanceUID": f"1.2.{k}"},
    "one UID for all": lambda k: {"SOPInstanceUID": "1.2.3"},
    "one without UID": lambda k: {"SOPInstanceUID": None} if k == 1 else {},
    "empty study": lambda k: {"StudyInstanceUID": ""},
    "empty series": lambda k: {"SeriesInstanceUID": ""},
    "missing series": lambda k: {"SeriesInstanceUID": None},
    "missing class": lambda k: {"SOPClassUID": None},
    "another class": lambda k: {"SOPClassUID": "1.2.3"},
    "a class of multi-frame files": lambda k: {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2.1"},
    "words": lambda k: {"StudyInstanceUID": "anonymous"},
    "long": lambda k: {"SeriesInstanceUID": "1." * 40 + "1"},
}


def dicom_scan(folder, odd) -> Volume:
    """Read from files, the k-th of which has some odd attributes."""
    slices = series(4)
    for k, dataset in enumerate(slices):
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        changed(dataset, **odd(k))
    return read_scan(write(slices, folder))


def labels_of(volume: Volume) -> Segmentation:
    labels = np.zeros(volume.shape, np.uint8)
    labels[1:3, 3:9, 7:12] = 1
    return Segmentation(labels)


@pytest.mark.parametrize("odd", NO_REFERENCE)
def test_a_seg_is_not_offered_where_it_cannot_refer_to_its_slices(tmp_path, odd):
    volume = dicom_scan(tmp_path / "ct", NO_REFERENCE[odd])
    assert volume.shape[0] == 4
    labels, path = labels_of(volume), tmp_path / "s.dcm"
    reason = reason_against(labels, volume)
    assert reason.code == "seg.no_reference"
    with pytest.raises(UploadError) as refused:
        write_dicom_seg(labels, volume, path, IDENTITY)
    assert refused.value.args == (reason,)
    assert not path.exists()
    assert "seg" not in offered_for(volume, labels)
    assert "nifti" in offered_for(volume, labels)


def offered_for(volume: Volume, labels: Segmentation) -> list[str]:
    findings = Findings(volume, labels, IDENTITY, None)
    study = SegmentedStudy(served=Path(), volume=volume, prediction=labels, findings=findings)
    return offered(study)


SOME_REFERENCE = {
    "no frame of reference": lambda k: {"FrameOfReferenceUID": None},
    "an empty frame of reference": lambda k: {"FrameOfReferenceUID": ""},
    "a frame of reference on some": lambda k: {"FrameOfReferenceUID": None} if k else {},
    "rounded spacing": lambda k: {"PixelSpacing": ["0.7", "0.8001" if k % 2 else "0.8"]},
    "rounded orientation": lambda k: {"ImageOrientationPatient": [1, k * 1e-5, 0, 0, 1, 0]},
    "tilted": lambda k: {"ImageOrientationPatient": [1, 0, 0, 0, 0.99027, 0.13917]},
    "capture": lambda k: {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"},
    "two thicknesses": lambda k: {"SliceThickness": ["5", "5"]},
    "no patient": lambda k: {"PatientID": None, "SliceThickness": None},
}


@pytest.mark.parametrize("odd", SOME_REFERENCE)
def test_a_seg_is_made_for_all_others_and_comes_back(tmp_path, odd):
    volume = dicom_scan(tmp_path / "ct", SOME_REFERENCE[odd])
    labels, path = labels_of(volume), tmp_path / "s.dcm"
    assert "seg" in offered_for(volume, labels)
    write_dicom_seg(labels, volume, path, IDENTITY)
    np.testing.assert_array_equal(read_truth(path, volume).labels, labels.labels)


def test_a_seg_of_nothing_or_of_a_multi_frame_file_is_not_offered(tmp_path):
    volume = dicom_scan(tmp_path / "ct", lambda k: {})
    empty = Segmentation(np.zeros(volume.shape, np.uint8))
    assert "seg" not in offered_for(volume, empty)
    assert reason_against(empty, volume).code == "seg.nothing_found"
    multi = read_scan(write([enhanced(4)], tmp_path / "multi"))
    assert "seg" not in offered_for(multi, labels_of(multi))


# --- and back again -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows_and_columns",
    [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 1, 0), (1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0)],
    ids=["straight", "columns reversed", "rows reversed", "transposed"],
)
@pytest.mark.parametrize("suffix", [".dcm", ".nii.gz"])
def test_liverseg_reads_its_own_files_as_ground_truth(tmp_path, rows_and_columns, suffix):
    for path in write_dicom(scan(), tmp_path / "ct"):
        dataset = pydicom.dcmread(path)
        dataset.ImageOrientationPatient = list(rows_and_columns)
        dataset.save_as(path)
    volume = read_scan(tmp_path / "ct")
    labels = np.zeros(volume.shape, np.uint8)
    labels[1:3, 3:9, 7:18], labels[2, 4:7, 8:11] = 1, 2
    path = tmp_path / f"segmentation{suffix}"
    if suffix == ".dcm":
        write_dicom_seg(Segmentation(labels), volume, path, IDENTITY)
    else:
        write_nifti(Segmentation(labels), volume, path)
    np.testing.assert_array_equal(read_truth(path, volume).labels, labels)


def test_liverseg_reads_its_own_pictures_as_ground_truth(tmp_path):
    for name, gray in zip("abc", scan().hu, strict=False):
        cv2.imwrite(str(tmp_path / f"{name}.png"), (gray + 100).clip(0, 255).astype(np.uint8))
    volume = read_scan(sorted(tmp_path.glob("*.png")))
    labels = Segmentation(segmentation().labels[:3].copy())
    paths = write_png(labels, tmp_path)
    np.testing.assert_array_equal(read_truth(paths, volume).labels, labels.labels)


def test_a_real_scans_files_lie_where_its_own_mask_does(uploads, tmp_path):
    volume = read_scan(uploads / "ircad_01_PATIENT_DICOM.zip")
    truth = read_truth(uploads / "ircad_01_liver.nii.gz", volume)
    write_nifti(truth, volume, tmp_path / "s.nii.gz")
    np.testing.assert_allclose(
        nifti_centroid_mm(tmp_path / "s.nii.gz"),
        nifti_centroid_mm(uploads / "ircad_01_liver.nii.gz"),
        atol=0.01,
    )
    write_dicom_seg(truth, volume, tmp_path / "s.dcm", IDENTITY)
    np.testing.assert_array_equal(read_truth(tmp_path / "s.dcm", volume).labels, truth.labels)


# --- tables -------------------------------------------------------------------------------------


@pytest.fixture
def result():
    volume, prediction = scan(), segmentation()
    truth = Segmentation(np.roll(prediction.labels, 1, axis=2))
    return find(volume, prediction, IDENTITY, truth)


def test_json_says_what_it_is_and_what_was_measured(result):
    measurements, scores = result.measurements, result.scores
    stored = json.loads(to_json(result))
    assert stored["weights"] == IDENTITY
    assert "not for diagnosis" in stored["disclaimer"]
    assert stored["notices"][0] == "The slices were sorted."
    assert stored["shape_zyx"] == list(SHAPE)
    assert stored["measurements"]["liver_ml"] == measurements.liver_ml
    assert stored["scores"]["liver"]["dice"] == scores.liver.dice
    assert stored["scores"]["slices"][0]["liver"]["dice"] is None


@pytest.mark.parametrize("kind", ["json", "csv", "html"])
def test_what_was_assumed_about_the_truth_stands_beside_its_scores(result, tmp_path, kind):
    truth = Segmentation(result.truth.labels, notices=("The masks were laid on as stored.",))
    text = write_file(kind, replace(result, truth=truth), tmp_path).read_text(encoding="utf-8")
    assert "The masks were laid on as stored." in text
    assert "The slices were sorted." in text


def test_json_without_truth_has_no_scores(result):
    alone = find(result.volume, result.prediction, IDENTITY)
    assert json.loads(to_json(alone))["scores"] is None


def test_csv_holds_the_measured_numbers(result):
    measurements, scores = result.measurements, result.scores
    rows = list(csv.DictReader(io.StringIO(to_csv(result))))
    value = {(r["quantity"], r["tumor"], r["slice"]): r["value"] for r in rows}
    assert float(value["Liver volume", "", ""]) == measurements.liver_ml
    assert float(value["Long axis", "1", ""]) == measurements.lesions[0].long_axis_mm
    assert value["First slice", "1", ""] == "2"  # z 1, counted from 1 as on the page
    assert float(value["Dice, liver", "", ""]) == scores.liver.dice
    assert float(value["Dice, tumor", "", "2"]) == scores.slices[1].tumor.dice
    assert value["Dice, liver", "", "1"] == ""  # no Dice on an empty slice
    assert value["Weights", "", ""] == IDENTITY
    assert "not for diagnosis" in rows[-1]["value"]
    assert {r["unit"] for r in rows if r["quantity"] == "Liver volume"} == {"mL"}


@pytest.mark.parametrize(
    ("slices", "side", "code"),
    [
        ((0, 0), 0, "doubt.no_liver"),
        ((3, 7), 2, "doubt.small_liver"),
        ((0, 7), 60, "doubt.cut_liver"),
        ((2, 8), 60, None),
    ],
)
def test_what_can_be_no_whole_liver_is_said(slices, side, code):
    labels = np.zeros((10, 64, 64), np.uint8)
    labels[slice(*slices), :side, :side] = 1
    volume = Volume(np.zeros(labels.shape, np.int16), Spacing(10.0, 2.0, 2.0))
    found = find(volume, Segmentation(labels), IDENTITY).notices
    assert [sentence.code for sentence in found] == [code] * bool(code)


def test_the_scan_has_a_name_that_is_no_patients():
    findings = find(scan(), segmentation(), IDENTITY)
    for name, named in (
        (f"CT, {SHAPE[0]} slices", findings),
        ("Synthetic case 8", replace(findings, synthetic=8)),
    ):
        assert json.loads(to_json(named))["scan"] == name
        assert f"Scan,,,{name}" in to_csv(named).replace('"', "")
        assert name in report(named)


def scored_without_tumors(**how) -> Findings:
    labels = segmentation()
    truth = Segmentation(np.minimum(labels.labels, 1))
    assert labels.tumor.any() and not truth.tumor.any()
    return find(scan(), labels, IDENTITY, truth, **how)


def test_a_truth_without_tumors_says_nothing_about_those_that_were_found():
    findings = scored_without_tumors()
    scores = json.loads(to_json(findings))["scores"]
    assert set(scores["tumor"].values()) == {None}
    assert {one["tumor"]["dice"] for one in scores["slices"]} == {None}
    assert (scores["lesions"]["precision"], scores["lesions"]["recall"]) == (None, None)
    assert scores["liver"]["dice"] == 1
    lines = csv.DictReader(io.StringIO(to_csv(findings)))
    rows = {row["quantity"]: row["value"] for row in lines if not row["slice"]}
    assert rows["Dice, tumor"] == "" and rows["Dice, liver"] == "1.0"
    assert rows["Status"] == "unknown"
    (liver, tumor), *_ = [(row["liver"], row["tumor"]) for row in number_table(findings)[1]["rows"]]
    assert (liver, tumor) == ("1.000", "–")
    words = report(findings)
    assert "<td>False positive</td>" not in words
    assert '<th scope="row">Dice</th><td>1.000</td><td>–</td>' in words


def test_where_a_truth_says_that_there_are_no_tumors_found_ones_are_false():
    findings = scored_without_tumors(counts_false=True)
    assert findings.scores.tumor.dice == 0
    assert findings.scores.lesions.precision == 0
    assert "<td>False positive</td>" in report(findings)
