"""Ground truth of every kind, on the scan's grid or refused."""

import struct
import zlib

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from liverseg.errors import BrokenFile, ChoiceNeeded, TruthMismatch, UploadError
from liverseg.reading.picture_masks import OUR_COLORS
from liverseg.reading.structure_names import Said, said, said_by_path, structures_of
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import BACKGROUND, LIVER, TUMOR, Segmentation, Spacing, Volume
from liverseg.writing import colors
from liverseg.writing.colors import rgb
from liverseg.writing.labels import write_png
from tests.helpers.make_dicom import (
    body,
    changed,
    ct,
    group,
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
    truth = read_truth(folder, scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ("2 masks of other structures were ignored.",)


@pytest.mark.parametrize("deeper", ["", "dicom"])
def test_dicom_folders_may_have_any_names_for_liver_and_tumor(scan, tmp_path, deeper):
    write(mask_slices(labels() > 0), tmp_path / "masks" / "Leber" / deeper)
    write(mask_slices(labels() == TUMOR), tmp_path / "masks" / "Metastasen" / deeper)
    truth = read_truth(tmp_path / "masks", scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ()


def test_dicom_masks_of_tumors_alone_are_tumors(scan, tmp_path):
    truth = read_truth(write(mask_slices(labels() == TUMOR), tmp_path / "GTV"), scan)
    assert np.array_equal(truth.tumor, labels() == TUMOR)
    assert [notice.code for notice in truth.notices] == ["truth.only_tumors"]


NAMES = {
    Said.LIVER: """
        liver; Liver; P1_liver; liver_mask; liver (1); liver_gt_final; Whole Liver; Leber; Foie;
        fegato; hígado; Fígado; lever; liver parenchyma; liver_portal_phase; Liver_minus_Tumor;
        LiverMinusTumor; liverminustumor; Non-tumor liver; nontumorliver; liver w/o tumor;
        Tumor-free liver; Liver (without tumor); Liver excluding the lesions; Leber ohne Tumor;
        Foie sans tumeur; hígado sin tumor; fegato senza lesioni; fígado sem tumor;
        lever zonder tumor; Liver and tumor; Liver + tumor; Liver incl. tumors; Leber mit Tumor;
        lever met tumor; tumorfreie Leber; gesunde Leber; foie sain; parenchyme hépatique;
        Liver-GTV; LiverMinusGTV; liver less tumor; liver_no_mets; non-lesional liver
    """,
    Said.TUMOR: """
        livertumor; livertumors; livertumor07; livertumour1; liver_tumor; liver_lesions; livermets;
        HCC; GTVliver; Lebertumor; Leberläsion; Lebermetastasen; Leberkrebs; tumeur du foie;
        Métastase hépatique; fegato lesione; higado_tumor; Fígado lesão; Cancro do fígado;
        levertumor; Hepatic metastasis; colorectal liver metastases; hepatocellular carcinoma;
        liver metastases of colon cancer; Liver_GTV; tumor_in_liver; GT_liver_tumor; lésions du foie
    """,
    Said.SOME_TUMOR: """
        tumor; Tumour; GTV; GTV_1; GTVp; mets; metastasis; metastases; cancer; CCC; case01_lesion;
        Läsion; lésion; lesiones; Tumore; Metastase; metástasis; lesões; uitzaaiingen; Karzinom
    """,
    Said.MAYBE_LIVER: "liver_old; smith_liver; cirrhotic liver",
    Said.OTHER: """
        livercyst; liverkyste; metastasectomie; leftsurretumor; spleen; liver_vessels; Renal mass;
        Kidney tumor; Nierentumor; Muscle mass; Splenic lesion; portal vein; Liver segment 4;
        left lobe of the liver; peritumoral liver; no tumor; CTV; Milz
    """,
    Said.NOTHING: "segmentation-0; volume-2; Oliver; delivery; mask; 01; Segment_1; a1b2; пациент",
}


@pytest.mark.parametrize(
    ("name", "what"),
    [(name.strip(), what) for what, names in NAMES.items() for name in names.split(";")],
)
def test_names_of_structures_in_seven_languages(name, what):
    assert said(name) == what


@pytest.mark.parametrize(
    ("names", "structures"),
    [
        (["Liver", "Tumor"], [LIVER, TUMOR]),
        (["Tumor"], [TUMOR]),
        (["Liver", "Spleen", "Lesion"], [LIVER, None, TUMOR]),
        (["liver", "tumor", "venoussystem"], [LIVER, None, None]),  # of 3D-IRCADb: adrenal
        (["liver", "livertumor", "tumor", "leftsurretumor"], [LIVER, TUMOR, None, None]),
        (["liver", "liver_old"], [LIVER, None]),
        (["smith_liver", "smith_tumor"], [LIVER, TUMOR]),
        (["smith_liver", "jones_liver"], [None, None]),
        (["mask", "scan"], [None, None]),
    ],
)
def test_names_are_understood_together(names, structures):
    assert structures_of(names, [said(name) for name in names]) == structures


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        (("livertumors", "01"), Said.TUMOR),
        (("Liver", "dicom", "1"), Said.LIVER),
        (("liver", "anna_b", "mask"), Said.NOTHING),
        (("Liver Tumor Segmentation", "segmentation-0"), Said.NOTHING),
        (("Task03_Liver", "labelsTr", "liver_1"), Said.LIVER),
        (("liver_project", "spleen"), Said.OTHER),
        (("body", "masks", "1"), Said.NOTHING),
        (("HCC_001", "segmentation"), Said.NOTHING),
    ],
)
def test_a_name_that_says_nothing_leaves_it_to_its_folder(parts, what):
    assert said_by_path(parts) == what


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


@pytest.mark.parametrize(
    ("values", "attributes"),
    [
        ((1024, 1025, 1026), {"RescaleIntercept": -1024}),  # as ITK's writer stores labels
        ((0, 1, 2), {"RescaleIntercept": -1024}),  # the rescale is the scan's
        ((0, 2, 4), {"RescaleIntercept": 0, "RescaleSlope": 0.5}),
        ((0, 10, 20), {"RescaleIntercept": -0.0, "RescaleSlope": "0.1"}),
        ((0, 1000, 2000), {"RescaleIntercept": 0}),
        ((0, 1, 2), {"RescaleIntercept": 0, "RescaleSlope": 0}),
        ((0, 16, 32), {"BitsStored": 12, "HighBit": 15, "RescaleIntercept": 0}),
    ],
)
@pytest.mark.parametrize("name", ["labels", "liver"])
def test_the_rescale_of_dicom_labels_counts(scan, tmp_path, values, attributes, name):
    stored = np.array(values, np.uint16)[labels()]
    images = [ct(5.0 * k, stored=plane, **attributes) for k, plane in enumerate(stored)]
    truth = read_truth(write(images, tmp_path / name), scan)
    assert np.array_equal(truth.labels, labels())


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ((0, 1, 5), "truth.two_values"),  # organs
        ((0, 3, 2), "truth.two_values"),
        ((7, 8, 9), "truth.no_background"),
    ],
)
@pytest.mark.parametrize("name", ["labels", "liver"])
def test_dicom_labels_of_unknown_meaning_are_refused(scan, tmp_path, values, code, name):
    stored = np.array(values, np.uint8)[labels()]
    images = [ct(5.0 * k, stored=plane, RescaleIntercept=0) for k, plane in enumerate(stored)]
    with pytest.raises(TruthMismatch) as refusal:
        read_truth(write(images, tmp_path / name), scan)
    assert refusal.value.code == code


def test_dicom_labels_of_many_organs_are_refused(scan, tmp_path):
    """Each slice has three values, and all together have more."""
    images = [
        ct(5.0 * k, stored=np.uint8(plane + k * (plane > 0)), RescaleIntercept=0)
        for k, plane in enumerate(labels())
    ]
    with pytest.raises(TruthMismatch, match="6 different values"):
        read_truth(write(images, tmp_path / "labels"), scan)


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
    assert truth.notices[0].code == "truth.file_numbers"


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
    assert truth.notices == ("1 mask of another structure was ignored.",)


def coded(found, *concepts):
    """A SEG whose segments have these types: (code, meaning) and, if any, an anatomic region."""
    for segment, (code, meaning, *region) in zip(found.SegmentSequence, concepts, strict=True):
        segment.SegmentedPropertyTypeCodeSequence = [group(CodeValue=code, CodeMeaning=meaning)]
        if region:
            segment.AnatomicRegionSequence = [group(CodeValue="", CodeMeaning=region[0])]
    return found


@pytest.mark.parametrize(
    ("labels_and_codes", "codes"),
    [
        ({"Segment_1": ("10200004", "Liver"), "Segment_2": ("108369006", "Neoplasm")}, []),
        ({"Smith": ("10200004", "Liver"), "2": ("25370001", "Hepatocellular carcinoma")}, []),
        ({"Leber": ("85756007", "Tissue"), "Tumoren": ("85756007", "Tissue")}, []),
        ({"Liver": ("10200004", "Liver"), "Liver a": ("4147007", "Mass", "Liver")}, []),
        (
            {"Liver": ("10200004", "Liver"), "Liver b": ("108369006", "Neoplasm")},
            ["truth.code_over_label"],
        ),
    ],
)
def test_the_coded_concepts_of_a_seg_count_before_its_labels(
    scan, tmp_path, labels_and_codes, codes
):
    masks = (labels() > 0, labels() == TUMOR)
    found = seg(dict(zip(labels_and_codes, masks, strict=True)))
    truth = read_truth(write([coded(found, *labels_and_codes.values())], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels, labels())
    assert set(codes) <= {notice.code for notice in truth.notices}


def test_a_coded_tumor_of_another_organ_is_ignored(scan, tmp_path):
    found = seg({"a": labels() > 0, "b": labels() == 0, "Kidney": labels() == 0})
    codes = ("10200004", "Liver"), ("108369006", "Neoplasm", "Kidney"), ("108369006", "Neoplasm")
    truth = read_truth(write([coded(found, *codes)], tmp_path / "seg"), scan)
    assert np.array_equal(truth.labels, (labels() > 0).astype(np.uint8))
    assert truth.notices[0] == "2 masks of other structures were ignored."


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


@pytest.mark.parametrize(
    ("liver", "tumor"), [("liver_{}.dcm", "tumor_{}.dcm"), ("Leber{}", "Lebermetastase{}")]
)
def test_dicom_masks_in_one_folder_may_be_named_by_their_files(scan, tmp_path, liver, tumor):
    write(mask_slices(labels() > 0), tmp_path / "masks", liver)
    write(mask_slices(labels() == TUMOR), tmp_path / "masks", tumor)
    truth = read_truth(tmp_path / "masks", scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ()


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


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.int32])
def test_labels_scaled_by_a_header_are_rounded(scan, tmp_path, dtype):
    """nibabel scales floats under the header of an integer image: 1.0000153, or 1.0039."""
    path = save_nifti(labels(), tmp_path, dtype=np.float64)
    image = nibabel.load(path)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), image.affine, header), tmp_path / "b.nii")
    truth = read_truth(tmp_path / "b.nii", scan)
    assert np.array_equal(truth.labels, labels())


@pytest.mark.parametrize("error", [1e-7, -1e-7, 2e-4, 0.01])
def test_labels_but_for_rounding_are_labels(scan, tmp_path, error):
    found = labels() + error * (np.arange(16) % 3 - 1)
    truth = read_truth(save_nifti(found, tmp_path, dtype=np.float64), scan)
    assert np.array_equal(truth.labels, labels())


@pytest.mark.parametrize("error", [0.1, 0.5, np.nan])
def test_what_is_between_labels_is_refused(scan, tmp_path, error):
    found = labels() + error * (np.arange(16) == 7)
    with pytest.raises(TruthMismatch, match="other values than labels"):
        read_truth(save_nifti(found, tmp_path, dtype=np.float64), scan)


@pytest.mark.parametrize("sizes", [(0.8, 0.7, 5.0), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("origin", [(0, 0, 0), (1, 1, 1), (-1, -1, 1)])
def test_labels_without_a_true_place_are_laid_on_with_a_notice(scan, tmp_path, sizes, origin):
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = origin
    truth = read_truth(save_nifti(labels(), tmp_path, affine), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices[0].code == "truth.file_order"


def test_labels_that_lost_only_their_origin_keep_their_axes(scan, tmp_path):
    """dcm2niix stores rows from the back to the front, and says so."""
    affine = np.diag([0.8, -0.7, 5.0, 1.0])
    truth = read_truth(save_nifti(labels()[:, ::-1], tmp_path, affine), scan)
    assert np.array_equal(truth.labels, labels())


def test_labels_in_place_of_a_scan_that_lost_its_own_are_laid_on(tmp_path):
    hu = np.stack([body(k) for k in range(COUNT)])
    scan = read_scan(save_nifti(hu, tmp_path, np.diag([0.8, 0.7, 5.0, 1.0]), np.int16))
    truth = read_truth(save_nifti(labels(), tmp_path), scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices[0].code == "truth.file_order"


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


@pytest.mark.parametrize("name", ["liver_tumor", "case01_lesion", "GTV", "HCC_1", "Metastasen"])
def test_a_lone_nifti_mask_is_what_its_name_says(scan, tmp_path, name):
    mask = (labels() == TUMOR) * np.uint8(255)
    truth = read_truth(named_masks(tmp_path / "a", **{name: mask}), scan)
    assert np.array_equal(truth.labels, (labels() == TUMOR) * np.uint8(TUMOR))
    assert [notice.code for notice in truth.notices] == ["truth.only_tumors"]


@pytest.mark.parametrize("name", ["liver_tumor", "segmentation-1", "liver", "Leber_mit_Tumor"])
def test_a_lone_label_map_keeps_its_labels_whatever_its_name(scan, tmp_path, name):
    truth = read_truth(named_masks(tmp_path / "a", **{name: labels()}), scan)
    assert np.array_equal(truth.labels, labels())


def test_a_lone_mask_named_as_another_structure_is_doubted(scan, tmp_path):
    truth = read_truth(named_masks(tmp_path / "a", spleen=labels() > 0), scan)
    assert truth.notices[0].code == "truth.other_name"


@pytest.mark.parametrize(
    "names",
    [
        ("liver", "tumor"),
        ("liver_mask", "liver_tumor_mask"),
        ("P1_liver", "P1_livertumor"),
        ("foie_sans_tumeur", "metastases"),
        ("smith_liver", "smith_gtv"),
    ],
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


@pytest.mark.parametrize(
    ("ct", "mask"), [("liver_ct", "liver_mask"), ("liver_tumor_ct", "segmentation")]
)
def test_a_scan_that_is_named_after_what_it_shows_is_left_out(scan, tmp_path, ct, mask):
    hu = np.stack([body(k) for k in range(COUNT)])
    folder = tmp_path / "both"
    folder.mkdir()
    save_nifti(hu, folder, dtype=np.int16).rename(folder / f"{ct}.nii.gz")
    save_nifti(labels(), folder).rename(folder / f"{mask}.nii.gz")
    truth = read_truth(folder, scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices == ("Left out: 1 NIfTI file.",)


def test_labels_without_a_background_are_refused(scan, tmp_path):
    with pytest.raises(TruthMismatch, match="no background"):
        read_truth(save_nifti(np.minimum(labels() + 1, 2), tmp_path), scan)


def test_a_truth_that_fills_the_border_is_doubted(picture_scan, tmp_path):
    folder = save_pictures((labels() == 0) * 255, tmp_path, "truth_{}.png")
    truth = read_truth(sorted(folder.glob("truth_*")), picture_scan)
    codes = [notice.code for notice in truth.notices]
    assert codes == ["truth.touches_border", "truth.no_tumors"]


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


COLORS = [
    [(0, 0, 0), (0, 200, 0), (200, 0, 0)],
    [(0, 0, 0), (200, 0, 0), (0, 200, 0)],
    [(0, 0, 0), (0, 0, 255), (255, 255, 255)],
]


@pytest.mark.parametrize("colors", COLORS)
def test_of_two_colors_the_one_inside_the_other_is_the_tumor_and_that_is_said(
    picture_scan, tmp_path, colors
):
    folder = save_pictures(np.array(colors, np.uint8)[labels()], tmp_path, "truth_{}.png")
    truth = read_truth(sorted(folder.glob("truth_*")), picture_scan)
    assert np.array_equal(truth.labels, labels())
    assert truth.notices[0].code == "truth.color_inside"


@pytest.mark.parametrize("colors", COLORS)
def test_what_two_colors_side_by_side_show_is_a_choice(picture_scan, tmp_path, colors):
    """A liver and its tumors, or another organ, whichever is larger."""
    found = np.where(np.arange(16) < 7, LIVER, TUMOR) * (labels() > 0)
    folder = save_pictures(np.array(colors, np.uint8)[found], tmp_path, "truth_{}.png")
    masks = sorted(folder.glob("truth_*"))
    with pytest.raises(ChoiceNeeded, match="neither inside the other") as needed:
        read_truth(masks, picture_scan)
    answers = needed.value.choice.answers
    read = {read_truth(masks, picture_scan, choose=one).labels.tobytes() for one in answers}
    swapped = np.array([BACKGROUND, TUMOR, LIVER], np.uint8)[found]
    alone = [np.where(found == label, LIVER, BACKGROUND) for label in (LIVER, TUMOR)]
    expected = {one.astype(np.uint8).tobytes() for one in (found, swapped, *alone)}
    assert read == expected and len(answers) == 4


def test_one_color_is_the_liver(picture_scan, tmp_path):
    for color in ((255, 0, 0), (0, 0, 200), (255, 128, 0)):
        colors = np.array([(0, 0, 0), color], np.uint8)[(labels() > 0).astype(int)]
        folder = save_pictures(colors, tmp_path, "truth_{}.png")
        truth = read_truth(sorted(folder.glob("truth_*")), picture_scan)
        assert np.array_equal(truth.labels, (labels() > 0).astype(np.uint8))


def test_the_colors_of_our_own_export_are_known():
    known = {int.from_bytes(rgb(colors.LIVER)): LIVER, int.from_bytes(rgb(colors.TUMOR)): TUMOR}
    assert known == OUR_COLORS


@pytest.mark.parametrize("as_rgb", [False, True])
@pytest.mark.parametrize("kept", [(1, 2), (1,), (2,), ()])
def test_our_own_pictures_come_back_exactly(picture_scan, tmp_path, kept, as_rgb):
    found = np.where(np.isin(labels(), kept), labels(), 0).astype(np.uint8)
    found[1] = 0
    found[2] *= found[2] == TUMOR
    (tmp_path / "export").mkdir()
    for path in write_png(Segmentation(found), tmp_path / "export"):
        if as_rgb:
            Image.open(path).convert("RGB").save(path)
    truth = read_truth(tmp_path / "export", picture_scan)
    assert np.array_equal(truth.labels, found)


def save_palette(found: np.ndarray, folder, palette: list[int], **options):
    """Pictures whose indices are given."""
    folder.mkdir()
    for k, plane in enumerate(found):
        image = Image.fromarray(plane.astype(np.uint8), "P")
        image.putpalette(palette)
        image.save(folder / f"{k}.png", **options)
    return folder


@pytest.mark.parametrize(
    "palette",
    [
        [0, 0, 0, 10, 250, 10, 250, 10, 10],
        [0, 0, 0, 128, 0, 0, 0, 128, 0],
        [68, 1, 84, 33, 145, 140, 253, 231, 37],  # the background has a color too
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
)
@pytest.mark.parametrize("options", [{}, {"bits": 2}, {"bits": 4}, {"bits": 8}])
def test_the_index_of_a_palette_is_the_label(picture_scan, tmp_path, palette, options):
    folder = save_palette(labels(), tmp_path / "masks", palette, **options)
    assert np.array_equal(read_truth(folder, picture_scan).labels, labels())
    lone = save_palette((labels() == TUMOR) * 2, tmp_path / "lone", palette, **options)
    assert np.array_equal(read_truth(lone, picture_scan).tumor, labels() == TUMOR)


def test_indices_in_the_order_of_colors_are_no_labels(picture_scan, tmp_path):
    """As programs number the colors that they find in a picture."""
    order = np.array([2, 0, 1])[labels()]  # black last
    palette = [10, 250, 10, 250, 10, 10, 0, 0, 0]
    truth = read_truth(save_palette(order, tmp_path / "a", palette), picture_scan)
    assert np.array_equal(truth.labels, labels())
    swapped = np.array([0, 2, 1])[labels()]
    with pytest.raises(TruthMismatch, match="inside its tumors"):
        read_truth(save_palette(swapped, tmp_path / "b", palette[-3:] + palette[:6]), picture_scan)


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


def gray_png(plane: np.ndarray, bits: int) -> bytes:
    """A gray PNG of 1, 2, 4 or 16 bits, some of which Pillow does not write."""
    shifts = np.arange(8 - bits, -1, -bits) if bits < 8 else [0]
    rows = np.zeros((len(plane), -(-plane.shape[1] * bits // 8)), np.uint8)
    if bits < 8:
        for index, shift in enumerate(shifts):
            part = plane[:, index :: len(shifts)].astype(np.uint8) << shift
            rows[:, : part.shape[1]] |= part.astype(np.uint8)
        stored = [row.tobytes() for row in rows]
    else:
        stored = [row.astype(">u2").tobytes() for row in plane]
    head = struct.pack(">IIBBBBB", plane.shape[1], len(plane), bits, 0, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in stored))
    chunks = ((b"IHDR", head), (b"IDAT", content), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.mark.parametrize(
    ("bits", "values"),
    [
        (1, (0, 1, 1)),
        (2, (0, 1, 2)),
        (2, (0, 1, 3)),
        (2, (0, 3, 3)),
        (4, (0, 1, 2)),
        (4, (0, 7, 15)),
        (4, (0, 1, 1)),
        (4, (0, 0, 2)),
        (16, (0, 1, 2)),
        (16, (0, 1000, 2000)),
        (16, (0, 65535, 65535)),
    ],
)
def test_gray_masks_may_have_any_number_of_bits(picture_scan, tmp_path, bits, values):
    stored = np.array(values)[labels()]
    for k, plane in enumerate(stored):
        (tmp_path / f"truth_{k}").write_bytes(gray_png(plane, bits))
    truth = read_truth(sorted(tmp_path.glob("truth_*")), picture_scan)
    meant = np.array([0, LIVER, LIVER if values[1] == values[2] else TUMOR])
    meant[1] *= values[1] > 0
    assert np.array_equal(truth.labels, meant[labels()])


def test_a_darker_gray_inside_a_brighter_one_is_refused(picture_scan, tmp_path):
    folder = save_pictures(np.array([0, 255, 128])[labels()], tmp_path, "truth_{}.png")
    with pytest.raises(TruthMismatch, match="inside its tumors"):
        read_truth(sorted(folder.glob("truth_*")), picture_scan)


SIZE = 160


@pytest.fixture(scope="module")
def discs():
    """(2, y, x) 0, 1, 2: a liver with a tumor, and below it a liver without."""
    y, x = np.indices((SIZE, SIZE))
    found = ((y - 70) ** 2 + (x - 60) ** 2 < 40**2).astype(np.uint8)
    return np.stack([found + ((y - 60) ** 2 + (x - 50) ** 2 < 14**2), found])


@pytest.fixture(scope="module")
def wide_scan():
    return Volume(np.zeros((2, SIZE, SIZE), np.int16), windowed=(-40, 160))


def smoothed(image: Image.Image) -> Image.Image:
    wider = image.resize((221, 221), Image.Resampling.BILINEAR)
    return wider.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


@pytest.mark.parametrize(
    ("values", "has_tumor"),
    [
        ((0, 127, 255), True),
        ((0, 100, 200), True),
        ((0, 60, 180), True),
        ((0, 255, 255), False),
        ((0, 100, 100), False),
        ((0, 20, 20), False),
        (((0, 0, 0), (255, 0, 0), (0, 255, 0)), True),
        (((0, 0, 0), (0, 255, 0), (255, 0, 0)), True),
        (((0, 0, 0), (0, 0, 255), (0, 0, 255)), False),
        (((0, 0, 0), (86, 180, 233), (230, 159, 0)), True),
        (((0, 0, 0), (120, 60, 0), (120, 60, 0)), False),
    ],
)
@pytest.mark.parametrize("how", ["jpeg 75", "jpeg 95", "smoothed"])
def test_masks_after_jpeg_or_smoothing_keep_their_areas(
    discs, wide_scan, tmp_path, values, has_tumor, how
):
    for k, plane in enumerate(np.array(values, np.uint8)[discs]):
        image = Image.fromarray(plane)
        if how == "smoothed":
            smoothed(image).save(tmp_path / f"{k}.png")
        else:
            image.save(tmp_path / f"{k}.jpg", quality=int(how.split()[1]))
    if how == "jpeg 75" and values[1] == (86, 180, 233):  # so small and pale, it is too coarse
        with pytest.raises(TruthMismatch):
            read_truth(tmp_path, wide_scan)
        return
    truth = read_truth(tmp_path, wide_scan)
    meant = discs if has_tumor else np.minimum(discs, LIVER)
    for structure in (LIVER, TUMOR):
        found, right = (np.count_nonzero(one >= structure) for one in (truth.labels, meant))
        assert found == pytest.approx(right, rel=0.03)
    wrong = np.count_nonzero(truth.labels != meant)
    assert wrong < 0.04 * np.count_nonzero(meant)


def test_smoothed_grays_in_a_palette_are_read_as_grays(discs, wide_scan, tmp_path):
    for k, plane in enumerate(np.array([0, 127, 255], np.uint8)[discs]):
        smoothed(Image.fromarray(plane)).convert("P").save(tmp_path / f"{k}.png")
    found = read_truth(tmp_path, wide_scan)
    assert found.liver.sum() == pytest.approx((discs > 0).sum(), rel=0.03)
    assert found.tumor.sum() == pytest.approx((discs == TUMOR).sum(), rel=0.03)


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 1, 1), (0, 3, 6)])
def test_labels_too_faint_for_jpeg_are_refused(discs, wide_scan, tmp_path, values):
    for k, plane in enumerate(np.array(values, np.uint8)[discs]):
        Image.fromarray(plane).save(tmp_path / f"{k}.jpg", quality=90)
    with pytest.raises(TruthMismatch, match="so faintly"):
        read_truth(tmp_path, wide_scan)


def test_many_grays_and_photographs_are_no_masks(discs, wide_scan, tmp_path):
    noise = np.random.default_rng(0).integers(0, 60, discs.shape)
    for name, planes in (
        ("organs", np.array([0, 80, 160])[discs] + 60 * (np.arange(SIZE) > 110)),
        ("noise", discs * 60 + (discs > 0) * noise),
        ("slope", discs.astype(bool) * (np.arange(SIZE) + 60)),
    ):
        (tmp_path / name).mkdir()
        for k, plane in enumerate(planes.astype(np.uint8)):
            Image.fromarray(plane).save(tmp_path / name / f"{k}.jpg", quality=95)
        with pytest.raises(TruthMismatch):
            read_truth(tmp_path / name, wide_scan)


def test_a_small_jpeg_mask_is_read(picture_scan, tmp_path):
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


def test_png_masks_say_in_folders_or_names_what_they_show(picture_scan, tmp_path):
    liver, tumor = labels() > 0, labels() == TUMOR
    for folder, name, mask in (
        ("a/Leber", "{}.png", liver),
        ("a/Läsion 1", "{}.png", tumor & (np.arange(16) < 7)),
        ("a/Läsion 2", "{}.png", tumor & (np.arange(16) >= 7)),
        ("a/Milz", "{}.png", labels() == 0),
        ("b", "liver_{}.png", liver),
        ("b", "liver_tumor_{}.png", tumor),
        ("b", "spleen_{}.png", labels() == 0),
    ):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for k, plane in enumerate(mask):
            Image.fromarray(plane * np.uint8(255)).save(tmp_path / folder / name.format(k))
    for folder in ("a", "b"):
        truth = read_truth(tmp_path / folder, picture_scan)
        assert np.array_equal(truth.labels, labels())
        assert truth.notices == ("1 mask of another structure was ignored.",)
    truth = read_truth(tmp_path / "a" / "Läsion 1", picture_scan)
    assert truth.tumor.any()
    assert [notice.code for notice in truth.notices] == ["truth.only_tumors"]


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
    assert truth.notices[0].code == "truth.file_numbers"


# ---------------------------------------------------------------- nothing usable, real files


def test_nothing_usable_as_truth_is_refused(scan, tmp_path):
    (tmp_path / "note.txt").write_text("no mask")
    with pytest.raises(TruthMismatch, match="No masks"):
        read_truth(tmp_path / "note.txt", scan)


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
