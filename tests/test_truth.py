"""Ground truth of every kind, on the scan's grid or refused."""

import struct

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from liverseg.errors import BrokenFile, TruthMismatch, UploadError
from liverseg.reading.structure_names import structure_of
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import LIVER, TUMOR, Spacing, Volume
from tests.helpers.make_dicom import (
    body,
    changed,
    ct,
    seg,
    series,
    set_pixels,
    to_bytes,
    write,
)

COUNT = 5
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def labels(count: int = COUNT) -> np.ndarray:
    """(z, y, x) 0, 1, 2, different on every slice and without symmetry."""
    found = np.zeros((count, 12, 16), np.uint8)
    for k in range(count):
        found[k, 3 : 9 - k % 2, 5 : 12 + k % 3] = LIVER
        found[k, 4:6, 6 : 8 + k % 2] = TUMOR
    return found


@pytest.fixture
def scan(tmp_path):
    return read_scan(write(series(COUNT), tmp_path / "scan"))


@pytest.fixture
def picture_scan(tmp_path):
    return read_scan(save_pictures(np.stack([body(k) + 100 for k in range(COUNT)]) % 256, tmp_path))


def mask_slices(mask: np.ndarray, **attributes) -> list:
    """3D-IRCADb's masks: 8 bits, 0 and 255, Modality CT, the scan's geometry."""
    return [
        ct(5.0 * k, stored=plane.astype(np.uint8) * 255, RescaleIntercept=0, **attributes)
        for k, plane in enumerate(mask)
    ]


def write_masks(folder, found: np.ndarray, **attributes):
    write(mask_slices(found > 0, **attributes), folder / "MASKS_DICOM" / "liver")
    write(mask_slices(found == TUMOR, **attributes), folder / "MASKS_DICOM" / "livertumor01")
    return folder / "MASKS_DICOM"


def save_nifti(found: np.ndarray, folder, affine: np.ndarray | None = None, dtype=np.uint8):
    """Labels in LPS as NIfTI; on the scan's grid unless an LPS affine is given."""
    if affine is None:
        affine = np.diag([0.8, 0.7, 5.0, 1.0])
        affine[:3, 3] = (-100, -200, 0)
    image = nibabel.Nifti1Image(found.transpose(2, 1, 0).astype(dtype), LPS_TO_RAS @ affine)
    nibabel.save(image, folder / "truth.nii.gz")
    return folder / "truth.nii.gz"


def save_pictures(planes: np.ndarray, folder, name: str = "m_{}.png", **options):
    folder = folder / "pictures"
    folder.mkdir(exist_ok=True)
    for k, plane in enumerate(planes):
        Image.fromarray(plane.astype(np.uint8)).save(folder / name.format(k), **options)
    return folder


def test_a_volume_made_in_memory_lies_nowhere(tmp_path):
    volume = Volume(np.stack([body(k) for k in range(COUNT)]), Spacing(5, 0.7, 0.8))
    for path in (write_masks(tmp_path, labels()), save_nifti(labels(), tmp_path)):
        truth = read_truth(path, volume)
        assert np.array_equal(truth.labels, labels())
        assert truth.notices[0].code == "truth.file_order"


# ---------------------------------------------------------------- DICOM masks


def test_ircadb_masks_are_read_by_position_and_folder_name(scan, tmp_path):
    truth = read_truth(write_masks(tmp_path, labels()), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ()


def test_masks_of_other_structures_are_ignored(scan, tmp_path):
    folder = write_masks(tmp_path, labels())
    write(mask_slices(np.ones((COUNT, 12, 16))), folder / "livercyst")
    write(mask_slices(np.ones((COUNT, 12, 16))), folder / "spleen")
    assert np.array_equal(read_truth(folder, scan).labels, labels())


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("liver", LIVER),
        ("Liver", LIVER),
        ("livertumor", TUMOR),
        ("livertumors", TUMOR),
        ("livertumor07", TUMOR),
        ("livertumour1", TUMOR),
        ("livercyst", None),
        ("liverkyste", None),
        ("tumor", None),  # an adrenal one in case 7
        ("metastasectomie", None),
        ("leftsurretumor", None),
        ("spleen", None),
        ("liver_old", None),
        ("P1_liver", LIVER),
        ("liver_mask", LIVER),
        ("liver (1)", LIVER),
        ("liver_lesions", TUMOR),
        ("liver_vessels", None),
    ],
)
def test_names_of_3d_ircadb(name, structure):
    assert structure_of(name) == structure


def test_tumor_outside_the_liver_mask_is_liver_too(scan, tmp_path):
    found = labels()
    folder = tmp_path / "MASKS_DICOM"
    write(mask_slices(found == LIVER), folder / "liver")
    write(mask_slices(found == TUMOR), folder / "livertumor")
    truth = read_truth(folder, scan)
    assert np.array_equal(truth.liver, found > 0)
    assert np.array_equal(truth.tumor, found == TUMOR)


def test_masks_are_matched_by_position_not_by_number(scan, tmp_path):
    folder = tmp_path / "MASKS_DICOM" / "liver"
    slices = mask_slices(labels() > 0)
    for k, dataset in enumerate(slices):
        dataset.InstanceNumber = (3 * k + 1) % COUNT
    write(slices[::-1], folder)
    assert np.array_equal(read_truth(folder.parent, scan).liver, labels() > 0)


def test_some_slices_without_mask_are_background(scan, tmp_path):
    slices = mask_slices(labels() > 0)
    truth = read_truth(write(slices[1:3], tmp_path / "liver"), scan)
    assert np.array_equal(truth.liver[1:3], labels()[1:3] > 0)
    assert not truth.liver[[0, 3, 4]].any()


@pytest.mark.parametrize("nowhere", [False, True])
def test_a_label_map_saved_as_dicom_keeps_its_tumors(scan, tmp_path, nowhere):
    slices = [ct(5.0 * k, stored=plane, RescaleIntercept=0) for k, plane in enumerate(labels())]
    for k, dataset in enumerate(slices):
        dataset.InstanceNumber = k
        if nowhere:
            changed(dataset, ImagePositionPatient=None)
    assert np.array_equal(read_truth(write(slices, tmp_path / "any"), scan).labels, labels())


def test_masks_outside_the_scan_are_left_out_and_said(tmp_path):
    scan = read_scan(write(series(3), tmp_path / "scan"))
    truth = read_truth(write(mask_slices(labels() > 0), tmp_path / "liver"), scan)
    assert np.array_equal(truth.liver, labels()[:3] > 0)
    assert "2 masks lie where the scan has no slice" in truth.notices[0]


def test_masks_without_positions_are_laid_on_in_order(scan, tmp_path):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    slices = mask_slices(labels() > 0, **nowhere)
    for k, dataset in enumerate(slices):
        dataset.InstanceNumber = k
    truth = read_truth(write(slices, tmp_path / "liver"), scan)
    assert np.array_equal(truth.liver, labels() > 0)
    assert truth.notices[0].code == "truth.file_order"


def test_fewer_masks_without_positions_are_refused_with_both_sizes(scan, tmp_path):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    slices = mask_slices(labels()[:3] > 0, **nowhere)
    with pytest.raises(TruthMismatch, match="16×12×3 voxels, the scan 16×12×5"):
        read_truth(write(slices, tmp_path / "liver"), scan)


def test_flattened_masks_of_one_structure_are_taken_as_liver(scan, tmp_path):
    paths = []
    for k, dataset in enumerate(mask_slices(labels() > 0)):
        folder = tmp_path / f"a1b2{k}"  # as gradio stores each uploaded file
        folder.mkdir()
        (folder / f"image_{k}").write_bytes(to_bytes(dataset))
        paths.append(folder / f"image_{k}")
    truth = read_truth(paths, scan)
    assert np.array_equal(truth.liver, labels() > 0)
    assert "taken as liver" in truth.notices[0]


def test_flattened_masks_of_two_structures_are_refused(scan, tmp_path):
    both = [*mask_slices(labels() > 0), *mask_slices(labels() == TUMOR)]
    with pytest.raises(TruthMismatch, match="zip of MASKS_DICOM"):
        read_truth(write(both, tmp_path / "flat"), scan)


def test_only_other_structures_are_refused(scan, tmp_path):
    folder = write(mask_slices(labels() > 0), tmp_path / "MASKS_DICOM" / "spleen")
    with pytest.raises(TruthMismatch, match="None of the masks is a liver"):
        read_truth(folder.parent, scan)


def test_the_scan_dropped_as_truth_is_refused(scan, tmp_path):
    with pytest.raises(TruthMismatch, match="may be a scan"):
        read_truth(tmp_path / "scan", scan)


# ---------------------------------------------------------------- DICOM SEG


@pytest.mark.parametrize("order", [-1, 1])
@pytest.mark.parametrize("fractional", [False, True])
def test_seg_is_matched_by_position_and_segment(scan, tmp_path, order, fractional):
    masks = {"Spleen": np.ones((COUNT, 12, 16)), "Liver": labels() > 0, "Lesion": labels() == TUMOR}
    if fractional:
        masks["Liver"] = np.where(labels() > 0, 0.5, 0.4)
    found = seg(masks, order=order, fractional=fractional)
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ()


def test_seg_frames_may_leave_out_empty_slices(scan, tmp_path):
    found = seg({"Liver": labels() > 0})
    del found.PerFrameFunctionalGroupsSequence[-1]
    found.NumberOfFrames = COUNT - 1
    found.PixelData = found.PixelData[: 12 * 16 * (COUNT - 1) // 8]
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.liver[1:], labels()[1:] > 0)
    assert not truth.liver[0].any()


def test_seg_on_another_grid_is_resampled_and_said(scan, tmp_path):
    fine = np.zeros((10, 12, 16), bool)
    fine[2:8, 3:9, 4:12] = True
    found = seg({"Liver": fine}, gap_mm=2.5)
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.liver[:, 5, 6], [False, True, True, True, False])
    assert "another grid (16×12×10 voxels)" in truth.notices[0]


def test_seg_without_liver_is_refused(scan, tmp_path):
    with pytest.raises(TruthMismatch, match="called liver"):
        read_truth(write([seg({"Spleen": labels() > 0})], tmp_path / "seg"), scan)


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 128, 255)])
def test_a_label_map_may_be_dicom_images(scan, tmp_path, values):
    stored = np.array(values, np.uint8)[labels()]
    images = [ct(5.0 * k, stored=plane, RescaleIntercept=0) for k, plane in enumerate(stored)]
    truth = read_truth(write(images, tmp_path / "labels"), scan)
    assert np.array_equal(truth.labels, labels())


def test_a_tumor_of_another_organ_is_not_one_of_the_liver(scan, tmp_path):
    found = seg({"Liver": labels() > 0, "Kidney tumor": labels() == 0})
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels > 0, labels() > 0)
    assert not truth.tumor.any()


@pytest.mark.parametrize(
    ("liver", "tumor"),
    [
        ("Liver (without tumor)", "Liver tumor"),
        ("Tumor-free liver", "Metastasis"),
        ("Leber", "Tumor"),
    ],
)
def test_seg_labels_of_other_wordings(scan, tmp_path, liver, tumor):
    found = seg({liver: labels() == LIVER, tumor: labels() == TUMOR})
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels, labels())


@pytest.mark.parametrize("other", ["Renal mass", "Splenic lesion", "Muscle mass", "Nierentumor"])
def test_a_mass_elsewhere_is_no_tumor_of_the_liver(scan, tmp_path, other):
    found = seg({"Liver": labels() > 0, other: labels() == 0})
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.liver, labels() > 0)
    assert not truth.tumor.any()


def test_the_vessels_of_a_liver_are_not_the_liver(scan, tmp_path):
    found = seg({"liver_vessels": labels() == 0, "liver": labels() > 0})
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels > 0, labels() > 0)


@pytest.mark.parametrize("label", ["Segment_1", "segmentation", ""])
def test_a_lone_segment_without_a_name_is_taken_as_liver_and_that_is_said(scan, tmp_path, label):
    truth = read_truth(write([seg({label: labels() > 0})], tmp_path / "seg"), scan)
    assert np.array_equal(truth.liver, labels() > 0)
    assert "taken as liver" in truth.notices[0]


def test_two_segments_without_names_are_refused(scan, tmp_path):
    found = seg({"Segment_1": labels() > 0, "Segment_2": labels() == TUMOR})
    with pytest.raises(TruthMismatch, match="Name the segments"):
        read_truth(write([found], tmp_path / "seg"), scan)


def test_seg_without_positions_is_broken(scan, tmp_path):
    found = seg({"Liver": labels() > 0})
    for groups in found.PerFrameFunctionalGroupsSequence:
        del groups.PlanePositionSequence
    with pytest.raises(BrokenFile):
        read_truth(write([found], tmp_path / "seg"), scan)


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "a byte each"])
@pytest.mark.parametrize("columns", [16, 15])
def test_a_seg_of_single_bits_in_runs_is_read(tmp_path, packed, columns):
    found = seg({"Liver": labels()[..., :columns] > 0, "Liver tumor": labels()[..., :columns] == 2})
    planes = np.unpackbits(np.frombuffer(found.PixelData, np.uint8), bitorder="little")
    planes = planes[: int(found.NumberOfFrames) * found.Rows * columns]
    frames = []
    for plane in planes.reshape(-1, found.Rows * columns):
        content = np.packbits(plane, bitorder="little") if packed else plane
        runs = b"".join(bytes([0, value]) for value in content.tolist())
        frames.append(struct.pack("<16I", 1, 64, *[0] * 14) + runs + b"\x80" * (len(runs) % 2))
    found.PixelData = encapsulate(frames)
    found["PixelData"].VR = "OB"
    found.file_meta.TransferSyntaxUID = RLELossless
    slices = series(COUNT)
    for dataset in slices:
        set_pixels(dataset, dataset.pixel_array[:, :columns].copy())
    scan = read_scan(write(slices, tmp_path / "scan"))
    truth = read_truth(write([found], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels, labels()[..., :columns])
    found.PixelData = encapsulate([frame[:70] for frame in frames])
    with pytest.raises(BrokenFile):
        read_truth(write([found], tmp_path / "seg"), scan)


def test_a_seg_dropped_as_the_scan_is_refused_with_advice(tmp_path):
    with pytest.raises(UploadError, match="as ground truth"):
        read_scan(write([seg({"Liver": labels() > 0})], tmp_path / "seg"))


# ---------------------------------------------------------------- NIfTI labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_nifti_labels_are_read(scan, tmp_path, dtype):
    truth = read_truth(save_nifti(labels(), tmp_path, dtype=dtype), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ()


@pytest.mark.parametrize(
    ("stored", "meant"), [((0, 1), (0, 1)), ((0, 255), (0, 1)), ((0, 127, 255), (0, 1, 2))]
)
def test_masks_and_gray_labels_are_understood(scan, tmp_path, stored, meant):
    found = np.minimum(labels(), len(stored) - 1)
    truth = read_truth(save_nifti(np.array(stored, np.uint8)[found], tmp_path), scan)
    assert np.array_equal(truth.labels, np.array(meant, np.uint8)[found])


@pytest.mark.parametrize("values", [(0, 1, 5), (0, 5, 10), (0, 3, 2), (0, 0, 255, 6, 7)])
def test_numbers_of_organs_are_not_taken_for_a_tumor(scan, tmp_path, values):
    """TotalSegmentator has 5 for the liver, and 1 for the spleen."""
    found = np.array(values, np.uint8)[np.arange(COUNT * 12 * 16).reshape(labels().shape) % 3]
    found[0, 0, : len(values)] = values
    with pytest.raises(TruthMismatch, match="0 background, 1 liver, 2 tumor"):
        read_truth(save_nifti(found, tmp_path), scan)


def named_masks(folder, **masks):
    """A folder of NIfTI masks by name."""
    folder.mkdir()
    for name, mask in masks.items():
        save_nifti(mask, folder).rename(folder / f"{name}.nii.gz")
    return folder


def test_nifti_masks_are_joined_by_their_names(scan, tmp_path):
    found = labels()
    folder = named_masks(
        tmp_path / "a", liver=found == LIVER, liver_tumor=found == TUMOR, spleen=found == 0
    )
    truth = read_truth(folder, scan)
    assert np.array_equal(truth.labels, found)
    assert truth.notices == ("Left out: 1 NIfTI file.",)


@pytest.mark.parametrize(
    "names", [("liver", "tumor"), ("liver_mask", "liver_tumor_mask"), ("P1_liver", "P1_livertumor")]
)
def test_nifti_masks_have_many_names(scan, tmp_path, names):
    liver, tumor = names
    folder = named_masks(tmp_path / "a", **{liver: labels() > 0, tumor: labels() == TUMOR})
    truth = read_truth(folder, scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ()


def test_nifti_masks_of_several_tumors_and_a_label_map_among_them(scan, tmp_path):
    found, upper = labels(), np.zeros(labels().shape, bool)
    upper[COUNT // 2 :] = True
    parts = {"livertumor01": (found == TUMOR) & upper, "livertumor02": (found == TUMOR) & ~upper}
    for name, liver in (("a", found > 0), ("b", found)):
        truth = read_truth(named_masks(tmp_path / name, liver=liver, **parts), scan)
        assert np.array_equal(truth.labels, found)


def test_nifti_masks_whose_names_say_nothing_are_refused(scan, tmp_path):
    with pytest.raises(TruthMismatch, match="2 NIfTI files, and their names do not say"):
        read_truth(named_masks(tmp_path / "a", one=labels() > 0, two=labels() == TUMOR), scan)
    both = named_masks(tmp_path / "b", liver=labels() > 0, Liver=labels() > 0)
    with pytest.raises(TruthMismatch, match="2 NIfTI files"):
        read_truth(both, scan)


def test_the_scan_beside_its_labels_is_left_out(scan, tmp_path):
    hu = np.stack([body(k) for k in range(COUNT)])
    folder = tmp_path / "lits"
    folder.mkdir()
    save_nifti(hu, folder, dtype=np.int16).rename(folder / "volume-0.nii.gz")
    save_nifti(labels(), folder).rename(folder / "segmentation-0.nii.gz")
    truth = read_truth(folder, scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ("Left out: 1 NIfTI file.",)


@pytest.mark.parametrize("axcodes", ["LPS", "LAS", "RAS", "PIR"])
def test_labels_saved_without_the_scans_header_are_laid_on_as_the_scan_is_stored(tmp_path, axcodes):
    """`nibabel.Nifti1Image(labels, np.eye(4))`, made from the scan's array."""
    lps = [
        nibabel.Nifti1Image(one, LPS_TO_RAS @ np.diag([0.8, 0.7, 5.0, 1.0]))
        for one in (
            np.stack([body(k) for k in range(COUNT)]).transpose(2, 1, 0),
            labels().transpose(2, 1, 0),
        )
    ]
    ornts = [nibabel.orientations.axcodes2ornt(codes) for codes in ("LPS", axcodes)]
    turn = nibabel.orientations.ornt_transform(*ornts)
    stored, masks = (image.as_reoriented(turn) for image in lps)
    nibabel.save(stored, tmp_path / "scan.nii")
    nibabel.save(nibabel.Nifti1Image(np.asarray(masks.dataobj), np.eye(4)), tmp_path / "truth.nii")
    truth = read_truth(tmp_path / "truth.nii", read_scan(tmp_path / "scan.nii"))
    assert np.array_equal(truth.labels, labels())
    assert truth.notices[0].code == "truth.file_order"


@pytest.mark.parametrize(
    ("kept", "words"),
    [((), "is empty"), ((LIVER,), "has no tumors"), ((TUMOR,), "no liver around")],
)
def test_what_a_truth_does_not_hold_is_said(scan, tmp_path, kept, words):
    found = np.where(np.isin(labels(), kept), labels(), 0)
    assert words in " ".join(read_truth(save_nifti(found, tmp_path), scan).notices)


def test_nifti_labels_on_another_grid_are_resampled_and_said(scan, tmp_path):
    fine = np.repeat(np.repeat(np.repeat(labels(), 2, 0), 2, 1), 2, 2)
    affine = np.diag([0.4, 0.35, 2.5, 1.0])
    affine[:3, 3] = (-100 - 0.2, -200 - 0.175, -1.25)
    truth = read_truth(save_nifti(fine, tmp_path, affine), scan)
    assert np.array_equal(truth.labels, labels())
    assert "32×24×10 voxels" in truth.notices[0]


def test_nifti_labels_elsewhere_in_space_are_refused(scan, tmp_path):
    affine = np.diag([0.8, 0.7, 5.0, 1.0])
    affine[:3, 3] = (400, 300, 700)
    with pytest.raises(TruthMismatch, match="outside the scan"):
        read_truth(save_nifti(labels(), tmp_path, affine), scan)


def test_another_size_without_geometry_is_refused_with_both_sizes(picture_scan, tmp_path):
    with pytest.raises(TruthMismatch, match="16×12×4 voxels, the scan 16×12×5"):
        read_truth(save_nifti(labels(4), tmp_path), picture_scan)


@pytest.mark.parametrize("values", ["scan", "probability", "organs"])
def test_what_is_no_label_map_is_refused(scan, tmp_path, values):
    found = {
        "scan": np.stack([body(k) for k in range(COUNT)]),
        "probability": labels() * 0.3,
        "organs": np.arange(COUNT * 12 * 16).reshape(COUNT, 12, 16) % 90,
    }[values]
    with pytest.raises(TruthMismatch):
        read_truth(save_nifti(found, tmp_path, dtype=np.float32), scan)


def test_labels_of_a_gappy_scan_are_laid_on_in_order(tmp_path):
    slices = series(COUNT + 1)
    del slices[2]
    scan = read_scan(write(slices, tmp_path / "scan"))
    truth = read_truth(save_nifti(labels(), tmp_path), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices[0].code == "truth.file_order"


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 127, 255), (0, 128, 255), (0, 100, 200)])
def test_png_labels_are_understood(picture_scan, tmp_path, values):
    folder = save_pictures(np.array(values)[labels()], tmp_path, "truth_{}.png")
    paths = sorted(folder.glob("truth_*"))
    assert np.array_equal(read_truth(paths, picture_scan).labels, labels())


@pytest.mark.parametrize("value", [1, 128, 255])
def test_png_masks_are_liver(picture_scan, tmp_path, value):
    folder = save_pictures((labels() > 0) * value, tmp_path, "truth_{}.png")
    truth = read_truth(sorted(folder.glob("truth_*")), picture_scan)
    assert np.array_equal(truth.labels, (labels() > 0).astype(np.uint8))


def test_colors_are_liver_and_the_smaller_tumor(picture_scan, tmp_path):
    colors = np.array([(0, 0, 0), (0, 200, 0), (200, 0, 0)], np.uint8)
    folder = save_pictures(colors[labels()], tmp_path, "truth_{}.png")
    truth = read_truth(sorted(folder.glob("truth_*")), picture_scan)
    assert np.array_equal(truth.labels, labels())


def test_palette_and_alpha_masks_are_understood(picture_scan, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for k, plane in enumerate(labels()):
        if k % 2:
            image = Image.fromarray(plane, "P")
            image.putpalette([0, 0, 0, 10, 250, 10, 250, 10, 10])
        else:
            colors = np.array([(0, 0, 0, 0), (10, 250, 10, 255), (250, 10, 10, 255)], np.uint8)
            image = Image.fromarray(colors[plane])
        image.save(folder / f"{k}.png")
    assert np.array_equal(read_truth(folder, picture_scan).labels, labels())


def test_jpeg_masks_count_from_half(picture_scan, tmp_path):
    mask = np.zeros((COUNT, 12, 16), np.uint8)
    mask[:, :8, :8] = 255  # JPEG's own blocks, so that it stays exact
    folder = save_pictures(mask, tmp_path, "truth_{}.jpg", quality=95)
    truth = read_truth(sorted(folder.glob("truth_*")), picture_scan)
    assert np.array_equal(truth.liver, mask > 0)


def test_pictures_of_liver_and_tumor_in_folders_are_joined(picture_scan, tmp_path):
    save_pictures((labels() > 0) * 255, tmp_path).rename(tmp_path / "liver")
    save_pictures((labels() == TUMOR) * 255, tmp_path).rename(tmp_path / "livertumor")
    truth = read_truth([tmp_path / "liver", tmp_path / "livertumor"], picture_scan)
    assert np.array_equal(truth.labels, labels())


def test_another_number_or_size_of_pictures_is_refused_with_both(picture_scan, tmp_path):
    folder = save_pictures(labels()[:2] * 100, tmp_path, "few_{}.png")
    with pytest.raises(TruthMismatch, match="2 pictures, the scan 5 slices"):
        read_truth(sorted(folder.glob("few_*")), picture_scan)
    folder = save_pictures(labels()[:, :10] * 100, tmp_path, "small_{}.png")
    with pytest.raises(TruthMismatch, match="16×10 pixels, the scan 16×12"):
        read_truth(sorted(folder.glob("small_*")), picture_scan)


def test_the_pictures_of_the_scan_dropped_as_truth_are_refused(picture_scan, tmp_path):
    with pytest.raises(TruthMismatch, match="many gray values"):
        read_truth(tmp_path / "pictures", picture_scan)


def test_png_masks_of_a_dicom_scan_are_laid_on_with_a_notice(scan, tmp_path):
    truth = read_truth(save_pictures(labels(), tmp_path), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices[0].code == "truth.file_order"


# ---------------------------------------------------------------- nothing usable, real files


def test_nothing_usable_as_truth_is_refused(scan, tmp_path):
    (tmp_path / "note.txt").write_text("no mask")
    with pytest.raises(TruthMismatch, match="No masks"):
        read_truth(tmp_path / "note.txt", scan)


def test_contours_as_truth_are_refused_with_a_way_out(scan, tmp_path):
    contours = ct(Modality="RTSTRUCT", PixelData=None)
    with pytest.raises(TruthMismatch, match=r"1 RTSTRUCT contour file.*3D Slicer"):
        read_truth(write([contours], tmp_path / "truth"), scan)


def test_unused_files_beside_the_truth_are_counted(scan, tmp_path):
    folder = write_masks(tmp_path, labels())
    (folder / "readme").write_text("x" * 300)
    assert read_truth(folder, scan).notices == ("Left out: 1 other file.",)


def test_a_lying_slice_is_matched_in_lps(tmp_path):
    """The masks of a scan whose rows are flipped are flipped with it."""
    flipped = {
        "ImageOrientationPatient": [-1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.7, 0.8],
    }
    slices = [
        changed(ct(5.0 * k, hu=body(k)), ImagePositionPatient=[50, -200, 5.0 * k], **flipped)
        for k in range(COUNT)
    ]
    masks = [
        changed(mask, ImagePositionPatient=[50, -200, 5.0 * k], **flipped)
        for k, mask in enumerate(mask_slices(labels() > 0))
    ]
    scan = read_scan(write(slices, tmp_path / "scan"))
    truth = read_truth(write(masks, tmp_path / "liver"), scan)
    assert np.array_equal(truth.liver, labels()[:, :, ::-1] > 0)
