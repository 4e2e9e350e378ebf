"""CT series as scanners, archives and people leave them, each as real files."""

import random

import numpy as np
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

from liverseg.errors import (
    BrokenFile,
    ChoiceNeeded,
    NoDecoder,
    NotAScan,
    UploadError,
    WrongModality,
)
from liverseg.phantom import make_phantom
from liverseg.reading.dicom import pixels
from liverseg.reading.upload import read_scan
from tests.helpers.make_dicom import (
    COLUMNS,
    GDCM_SYNTAXES,
    INTERCEPT,
    ROWS,
    body,
    changed,
    ct,
    enhanced,
    group,
    in_syntax,
    series,
    set_pixels,
    to_bytes,
    write,
)


def expected(count: int) -> np.ndarray:
    return np.stack([body(k) for k in range(count)])


def notices(volume) -> str:
    return " ".join(volume.notices)


# ---------------------------------------------------------------- an ordinary series


def test_an_ordinary_series_is_read_exactly_and_silently(tmp_path):
    volume = read_scan(write(series(4), tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))
    assert volume.spacing == pytest.approx((5.0, 0.7, 0.8))
    assert volume.notices == ()
    assert volume.windowed is None
    assert volume.source.kind == "dicom"
    assert volume.source.affine[:3, 3] == pytest.approx((-100, -200, 0))
    assert np.diag(volume.source.affine) == pytest.approx((0.8, 0.7, 5.0, 1.0))
    assert volume.source.positions_mm[:, 2] == pytest.approx((0, 5, 10, 15))


def test_order_comes_from_positions_not_from_names_or_numbers(tmp_path):
    slices = series(6)
    for k, dataset in enumerate(slices):
        dataset.InstanceNumber = (k * 5 + 2) % 6
    random.Random(1).shuffle(slices)
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(6))


def test_headers_for_a_seg_are_in_the_order_of_z_and_hold_no_more_than_needed(tmp_path):
    slices = series(3)
    for dataset in slices:
        dataset.InstitutionName = "Canary Hospital"
        dataset.add_new((0x0029, 0x1010), "LO", "private canary")
    volume = read_scan(write(slices[::-1], tmp_path / "scan"))
    assert [header.ImagePositionPatient[2] for header in volume.source.headers] == [0, 5, 10]
    assert "canary h" not in str(volume.source.headers).lower()
    assert "private canary" not in str(volume.source.headers)
    assert "PixelData" not in volume.source.headers[0]
    assert "Canary" not in repr(volume)


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        *[syntax for syntax in GDCM_SYNTAXES if syntax != JPEG2000],
    ],
)
def test_lossless_encodings_are_read_exactly(tmp_path, syntax):
    volume = read_scan(write(series(3, syntax=syntax), tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(3))
    assert volume.notices == ()


def test_lossy_compression_is_said(tmp_path):
    volume = read_scan(write(series(3, syntax=JPEG2000), tmp_path / "scan"))
    assert "compressed with loss" in notices(volume)
    declared = read_scan(write(series(3, LossyImageCompression="01"), tmp_path / "declared"))
    assert "compressed with loss" in notices(declared)


def test_an_unknown_compression_is_named_in_words(tmp_path):
    slices = series(2)
    for dataset in slices:
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.201")
        dataset.PixelData = encapsulate([b"\xff\x4f" + bytes(60)])
    with pytest.raises(NoDecoder, match="High-Throughput JPEG 2000"):
        read_scan(write(slices, tmp_path / "scan"))


# ---------------------------------------------------------------- 1, 2: several series, localizers


def test_two_good_series_are_a_choice_described_without_header_text(tmp_path):
    write(series(4), tmp_path / "a")
    other = generate_uid()
    write(series(6, 2.5, SeriesInstanceUID=other, SeriesDescription="Canary"), tmp_path / "b")
    with pytest.raises(ChoiceNeeded) as refusal:
        read_scan(tmp_path)
    assert refusal.value.choice.options == ("6 slices, 2.5 mm, 16×12", "4 slices, 5 mm, 16×12")
    assert "Canary" not in str(refusal.value)
    assert read_scan(tmp_path, choose="scan=0").shape[0] == 6
    chosen = read_scan(tmp_path, choose="scan=1")
    assert chosen.shape[0] == 4
    assert "6 slices of another series" in notices(chosen)


def test_equal_choices_can_be_told_apart(tmp_path):
    write(series(4), tmp_path / "a")
    write(series(4, start_mm=100, SeriesInstanceUID=generate_uid()), tmp_path / "b")
    with pytest.raises(ChoiceNeeded) as refusal:
        read_scan(tmp_path)
    assert len(set(refusal.value.choice.options)) == 2


def test_a_choice_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UploadError, match="no such option"):
        read_scan(write(series(4), tmp_path / "a"), choose="scan=3")


def test_two_patients_are_a_choice_even_with_one_series_uid(tmp_path):
    write(series(4), tmp_path / "a")
    write(series(5, StudyInstanceUID=generate_uid()), tmp_path / "b")
    with pytest.raises(ChoiceNeeded):
        read_scan(tmp_path)


@pytest.mark.parametrize(
    "attribute", ["AcquisitionNumber", "ConvolutionKernel", "ImageType", "AcquisitionTime"]
)
def test_two_phases_or_reconstructions_in_one_series_are_told_apart(tmp_path, attribute):
    first, second = {
        "AcquisitionNumber": (1, 2),
        "ConvolutionKernel": ("B30f", "B70f"),
        "ImageType": (["ORIGINAL", "PRIMARY"], ["DERIVED", "PRIMARY"]),
        "AcquisitionTime": ("101500", "101600"),
    }[attribute]
    write(series(4, **{attribute: first}), tmp_path / "one")
    for path in write(
        [changed(ct(k * 5.0, hu=body(k + 40)), **{attribute: second}) for k in range(4)],
        tmp_path / "two",
    ).iterdir():
        path.rename(tmp_path / "one" / f"b{path.name}")
    with pytest.raises(ChoiceNeeded) as refusal:
        read_scan(tmp_path / "one")
    assert len(refusal.value.choice.options) == 2


# ---------------------------------------------------------------- passes of one series


def phase(count: int, start_mm: float, first: int, gap_mm: float = 5.0, **attributes) -> list:
    """Slices that show `body(first)` and following, numbered from there."""
    return [
        ct(start_mm + k * gap_mm, hu=body(first + k), **{"InstanceNumber": first + k, **attributes})
        for k in range(count)
    ]


TELLS = [
    {"AcquisitionNumber": 2},
    {"AcquisitionTime": "120500"},
    {"AcquisitionDateTime": "20200101120500"},
    {"TemporalPositionIdentifier": 2},
    {"TemporalPositionIndex": 2},
    {"NominalPercentageOfCardiacPhase": 70},
    {"TriggerTime": 400},
    {"StackID": "2"},
    {"ConvolutionKernel": "soft"},
    {"ImageType": "VENOUS"},
]
SECOND_STARTS = {"same places": 0, "half a step": 2.5, "two fifths": 2, "next station": 33}


@pytest.mark.parametrize("attributes", TELLS, ids=lambda attributes: next(iter(attributes)))
@pytest.mark.parametrize("start", SECOND_STARTS)
def test_passes_of_one_series_are_a_choice_wherever_they_lie(tmp_path, attributes, start):
    """All slices have the same number, so that only the attribute tells."""
    two = phase(8, 0, 1, InstanceNumber=1)
    two += phase(8, SECOND_STARTS[start], 50, InstanceNumber=1)
    two += phase(8, SECOND_STARTS[start] + 0.7, 100, InstanceNumber=1, StackID="3", KVP=80)
    (name, value) = next(iter(attributes.items()))
    for k, other in enumerate((0, value, 7)):
        for dataset in two[8 * k : 8 * k + 8]:
            changed(dataset, **{name: other if isinstance(value, int) else str(other)})
    folder = write(two, tmp_path / "scan")
    with pytest.raises(ChoiceNeeded) as refusal:
        read_scan(folder)
    assert len(refusal.value.choice.options) == 3
    found = {read_scan(folder, choose=f"scan={k}").hu[0].max() - body(0).max() for k in range(3)}
    assert found == {1, 50, 100}
    assert all(
        read_scan(folder, choose=f"scan={k}").spacing.z == pytest.approx(5) for k in range(3)
    )


@pytest.mark.parametrize("start", SECOND_STARTS)
def test_passes_are_told_apart_by_their_instance_numbers(tmp_path, start):
    two = phase(8, 0, 1) + phase(8, SECOND_STARTS[start], 50)
    folder = write(two, tmp_path / "scan")
    with pytest.raises(ChoiceNeeded):
        read_scan(folder)
    assert {read_scan(folder, choose=f"scan={k}").hu[0].max() - body(0).max() for k in (0, 1)} == {
        1,
        50,
    }


@pytest.mark.parametrize("start", SECOND_STARTS)
def test_passes_are_told_apart_by_times_that_go_on(tmp_path, start):
    two = phase(8, 0, 1) + phase(8, SECOND_STARTS[start], 50)
    for k, dataset in enumerate(two):
        dataset.InstanceNumber, dataset.AcquisitionTime = None, f"1200{k:02d}.5"
    with pytest.raises(ChoiceNeeded):
        read_scan(write(two, tmp_path / "scan"))


@pytest.mark.parametrize(("start", "gap_mm"), [(2, 5), (1, 5), (33, 5), (2.2, 3), (33, 4)])
def test_passes_are_told_apart_by_two_regular_grids_alone(tmp_path, start, gap_mm):
    two = phase(8, 0, 1) + phase(8, start, 50, gap_mm)
    for dataset in two:
        dataset.InstanceNumber = 1
    folder = write(two, tmp_path / "scan")
    with pytest.raises(ChoiceNeeded):
        read_scan(folder)
    found = [read_scan(folder, choose=f"scan={k}") for k in (0, 1)]
    assert {volume.hu[0].max() - body(0).max() for volume in found} == {1, 50}
    assert {volume.spacing.z for volume in found} == {5, gap_mm}


def halves(k: int) -> dict:
    return {"AcquisitionNumber": 1 + k // 4, "AcquisitionTime": f"12000{k // 4}"}


ONE_PASS = {
    "a time each": lambda k: {"AcquisitionTime": f"1200{k:02d}"},
    "an acquisition each": lambda k: {"AcquisitionNumber": k},
    "two of each acquisition": lambda k: {"AcquisitionNumber": k // 2},
    "two halves": halves,
    "numbers from the head": lambda k: {"InstanceNumber": 20 - k},
    "numbers at random": lambda k: {"InstanceNumber": k * 5 % 8},
    "thickness rounded otherwise": lambda k: {"SliceThickness": "5.0" if k % 2 else "5"},
    "one odd slice": lambda k: {"ConvolutionKernel": "sharp" if k == 4 else "soft"},
    "two odd slices": lambda k: {"AcquisitionNumber": int(k in (3, 4))},
}


@pytest.mark.parametrize("kind", ONE_PASS)
def test_one_pass_is_one_scan_whatever_its_attributes_say(tmp_path, kind):
    slices = series(8)
    for k, dataset in enumerate(slices):
        changed(dataset, **ONE_PASS[kind](k))
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(8))
    assert volume.notices == ()


@pytest.mark.parametrize("left_out", [[3], [3, 4], [2, 5], [1, 2, 6]])
def test_missing_slices_make_no_second_pass(tmp_path, left_out):
    slices = [one for k, one in enumerate(series(10)) if k not in left_out]
    assert "Slices are missing" in notices(read_scan(write(slices, tmp_path / "scan")))


def a_study_each(count: int) -> list:
    """As ITK writes a series unless told otherwise."""
    return [changed(dataset, StudyInstanceUID=generate_uid()) for dataset in series(count)]


def a_series_each(count: int) -> list:
    """As some anonymizers leave one."""
    return [changed(dataset, SeriesInstanceUID=generate_uid()) for dataset in series(count)]


@pytest.mark.parametrize("make", [a_study_each, a_series_each])
def test_slices_that_each_claim_to_be_a_series_are_put_together_and_that_is_said(tmp_path, make):
    volume = read_scan(write(make(5), tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(5))
    assert volume.spacing == pytest.approx((5.0, 0.7, 0.8))
    assert "put together by their positions" in notices(volume)
    assert volume.source.headers == ()  # a DICOM SEG refers to one series


@pytest.mark.parametrize("odd", [{"gap": True}, {"PixelSpacing": [0.9, 0.9]}, {"place": True}])
def test_lone_slices_that_make_no_stack_stay_a_choice(tmp_path, odd):
    slices = a_series_each(5)
    if "gap" in odd:
        del slices[2]
    elif "place" in odd:
        changed(slices[2], ImagePositionPatient=[-100, -200, 5])
    else:
        changed(slices[2], **odd)
    with pytest.raises(ChoiceNeeded):
        read_scan(write(slices, tmp_path / "scan"))


@pytest.mark.parametrize(
    "image_type", [["DERIVED", "SECONDARY", "REFORMATTED", "MIP"], ["DERIVED", "X", "CT_SOM5 MIP"]]
)
def test_a_projection_is_left_out_and_refused_alone(tmp_path, image_type):
    write(series(4), tmp_path / "scan")
    projections = series(3, ImageType=image_type, SeriesInstanceUID=generate_uid())
    write(projections, tmp_path / "mip")
    assert notices(read_scan(tmp_path)) == "Left out: 3 projections of many slices (MIP)."
    with pytest.raises(NotAScan, match="Export the CT slices that were projected"):
        read_scan(tmp_path / "mip")


def test_a_localizer_and_a_sagittal_series_are_left_out_and_counted(tmp_path):
    scan = write(series(4), tmp_path)
    write([ct(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])], tmp_path / "scout")
    sagittal = series(2, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    write(sagittal, tmp_path / "sagittal")
    volume = read_scan(scan)
    assert volume.shape[0] == 4
    assert notices(volume) == "Left out: 2 non-axial slices, 1 localizer."


@pytest.mark.parametrize("word", ["LOCALIZER", "SCOUT", "REF_SURVIEW"])
def test_a_lone_localizer_is_refused_as_one(tmp_path, word):
    with pytest.raises(NotAScan, match="1 localizer"):
        read_scan(write([ct(0, ImageType=["ORIGINAL", "PRIMARY", word])], tmp_path / "a"))


def test_a_slice_without_position_among_others_is_left_out(tmp_path):
    slices = [*series(4), ct(0, ImagePositionPatient=None, ImageOrientationPatient=None)]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert volume.shape[0] == 4
    assert "1 slice without a position" in notices(volume)


# ---------------------------------------------------------------- 3, 4, 5: gaps and duplicates


@pytest.mark.parametrize(
    "pair", [("0.6835", "0.683594"), ("0.6845", "0.68451"), ("0.70049", "0.70051"), ("1", "1.0009")]
)
@pytest.mark.parametrize("alone", [False, True], ids=["a series", "a series each"])
def test_pixel_spacing_that_is_rounded_otherwise_is_one_scan(tmp_path, pair, alone):
    slices = series(6)
    for k, dataset in enumerate(slices):
        dataset.PixelSpacing = [pair[k % 2], pair[k % 2 and k > 2]]
        if alone:
            dataset.SeriesInstanceUID = generate_uid()
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(6))
    assert volume.spacing == pytest.approx((5.0, float(pair[0]), float(pair[0])), rel=1e-3)


def test_pixel_spacing_of_another_reconstruction_is_another_scan(tmp_path):
    slices = [*series(4), *series(5, PixelSpacing=[0.7, 0.803])]
    with pytest.raises(ChoiceNeeded):
        read_scan(write(slices, tmp_path / "scan"))


def test_a_missing_slice_names_the_gap_and_withholds_volumes(tmp_path):
    slices = series(8, start_mm=-2)
    del slices[3]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert volume.shape[0] == 7
    assert volume.spacing == pytest.approx((None, 0.7, 0.8))
    assert volume.voxel_ml is None
    assert "one gap of 10 mm after z = 8 mm (others 5 mm)" in notices(volume)
    assert volume.source.positions_mm.shape == (7, 3)
    assert volume.source.affine is None


def test_uneven_slices_name_both_distances(tmp_path):
    heights = [0, 4, 8, 12, 19, 26, 33]
    volume = read_scan(write([ct(z, hu=body(k)) for k, z in enumerate(heights)], tmp_path / "a"))
    assert volume.spacing.z is None
    assert "from 4 to 7 mm" in notices(volume)


def test_rounded_positions_are_not_uneven(tmp_path):
    heights = [0.0, 1.25, 2.51, 3.75, 5.0, 6.24, 7.5]
    volume = read_scan(write([ct(z, hu=body(k)) for k, z in enumerate(heights)], tmp_path / "a"))
    assert volume.spacing.z == pytest.approx(1.25)
    assert volume.notices == ()


def test_duplicates_are_dropped_and_counted(tmp_path):
    slices = series(4)
    copy = ct(5.0, hu=body(1), SOPInstanceUID=generate_uid())
    volume = read_scan(write([*slices, slices[2], copy], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))
    assert "2 duplicate slices" in notices(volume)


def test_a_folder_uploaded_twice_is_one_scan(tmp_path):
    folder = write(series(4), tmp_path / "scan")
    volume = read_scan([folder, folder])
    assert volume.shape[0] == 4
    assert volume.spacing.z == pytest.approx(5)


def test_different_images_at_one_position_are_no_volume(tmp_path):
    slices = [*series(4), ct(5.0, hu=body(50))]
    with pytest.raises(NotAScan, match="same position"):
        read_scan(write(slices, tmp_path / "scan"))


def test_images_at_one_position_do_not_hide_a_scan(tmp_path):
    write(series(4), tmp_path / "scan")
    monitoring = [ct(10.0, hu=body(k), SeriesInstanceUID="1.2.3") for k in range(20, 30)]
    write(monitoring, tmp_path / "monitoring")
    volume = read_scan(tmp_path)
    assert volume.shape[0] == 4
    assert "10 slices at the same place as others" in notices(volume)


# ---------------------------------------------------------------- 6, 7, 8: how slices lie


def tilted(degrees: float, **attributes) -> list:
    """Slices of a tilted gantry: the table moves along z, the planes are turned about x."""
    angle = np.radians(degrees)
    orientation = [1, 0, 0, 0, np.cos(angle), np.sin(angle)]
    return series(
        5, ImageOrientationPatient=[round(value, 8) for value in orientation], **attributes
    )


@pytest.mark.parametrize("tag", [None, 0, 14, -14])
def test_a_tilted_gantry_is_seen_in_the_geometry_with_and_without_its_tag(tmp_path, tag):
    volume = read_scan(write(tilted(14, GantryDetectorTilt=tag), tmp_path / "scan"))
    assert volume.spacing.z == pytest.approx(5 * np.cos(np.radians(14)), abs=1e-3)
    assert "tilted by 14°" in notices(volume)
    assert volume.source.affine[:3, 2] == pytest.approx((0, 0, 5))


def test_a_tilt_that_only_the_tag_names_is_said(tmp_path):
    volume = read_scan(write(series(4, GantryDetectorTilt=-12), tmp_path / "scan"))
    assert volume.spacing.z == pytest.approx(5)
    assert volume.notices[-1].code == "geometry.tilt_not_seen"


def test_slightly_oblique_slices_are_read_with_a_notice(tmp_path):
    angle = np.radians(8)
    orientation = [1, 0, 0, 0, np.cos(angle), np.sin(angle)]
    normal = np.cross(orientation[:3], orientation[3:])
    slices = [
        ct(
            hu=body(k),
            ImageOrientationPatient=orientation,
            ImagePositionPatient=list(5 * k * normal),
        )
        for k in range(4)
    ]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert volume.spacing.z == pytest.approx(5)
    assert "oblique by 8°" in notices(volume)
    assert "tilted" not in notices(volume)


@pytest.mark.parametrize(
    "orientation", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [1, 0, 0, 0, 0.8, 0.6]]
)
def test_sagittal_coronal_and_steep_slices_are_refused(tmp_path, orientation):
    with pytest.raises(NotAScan, match="not axial"):
        read_scan(write(series(3, ImageOrientationPatient=orientation), tmp_path / "scan"))


def stored_as(hu: np.ndarray, orientation: str) -> tuple[np.ndarray, list[float], tuple[int, int]]:
    """An LPS slice stored otherwise: pixels, cosines, and the LPS index of its first pixel."""
    transpose, flip_y, flip_x = (letter in orientation for letter in "tyx")
    pixels = hu[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    x, y = [-1 if flip_x else 1, 0, 0], [0, -1 if flip_y else 1, 0]
    first = (hu.shape[0] - 1 if flip_y else 0, hu.shape[1] - 1 if flip_x else 0)
    return (pixels.T, [*y, *x], first) if transpose else (pixels, [*x, *y], first)


@pytest.mark.parametrize("orientation", ["", "x", "y", "xy", "t", "tx", "ty", "txy"])
@pytest.mark.parametrize("position", ["HFS", "FFS", "HFP"])
def test_every_way_to_lie_becomes_lps_whatever_patient_position_says(
    tmp_path, orientation, position
):
    slices = []
    for k in range(3):
        pixels, cosines, (y, x) = stored_as(body(k), orientation)
        slices.append(
            ct(
                hu=pixels,
                ImageOrientationPatient=cosines,
                ImagePositionPatient=[-100 + 0.8 * x, -200 + 0.7 * y, 5.0 * k],
                PixelSpacing=[0.8, 0.7] if "t" in orientation else [0.7, 0.8],
                PatientPosition=position,
            )
        )
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(3))
    assert volume.spacing == pytest.approx((5, 0.7, 0.8))
    assert volume.source.affine[:3, 3] == pytest.approx((-100, -200, 0))
    assert np.diag(volume.source.affine) == pytest.approx((0.8, 0.7, 5, 1))


# ---------------------------------------------------------------- 9, 10, 16: missing geometry


def test_a_lone_slice_without_geometry_is_read_without_mm(tmp_path):
    lone = ct(ImagePositionPatient=None, ImageOrientationPatient=None)
    volume = read_scan(write([lone], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(1))
    assert volume.spacing is None
    assert "nothing is given in mm" in notices(volume)


@pytest.mark.parametrize(
    "keyword",
    [
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
        "PixelRepresentation",
        "Modality",
        "ImageType",
        "RescaleType",
        "SliceThickness",
        "FrameOfReferenceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "InstanceNumber",
    ],
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70"])
def test_an_attribute_that_a_writer_left_out_does_not_matter(tmp_path, keyword, syntax):
    slices = [changed(dataset, **{keyword: None}) for dataset in series(3, syntax=syntax)]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(3))
    assert volume.notices == ()


def test_a_series_without_positions_is_ordered_by_instance_number(tmp_path):
    slices = series(4, ImagePositionPatient=None, ImageOrientationPatient=None)
    volume = read_scan(write(slices[::-1], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))
    assert volume.voxel_ml is None
    assert "order of their instance numbers" in notices(volume)


@pytest.mark.parametrize("number", [None, 1])
def test_a_series_without_positions_and_numbers_is_refused(tmp_path, number):
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
    with pytest.raises(NotAScan, match="order is unknown"):
        read_scan(write(series(4, InstanceNumber=number, **nowhere), tmp_path / "scan"))


@pytest.mark.parametrize("orientation", [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [1, 0, 0]])
def test_an_orientation_that_is_none_counts_as_missing(tmp_path, orientation):
    volume = read_scan(write(series(3, ImageOrientationPatient=orientation), tmp_path / "scan"))
    assert volume.spacing is None


def test_a_position_that_no_scanner_has_counts_as_missing(tmp_path):
    slices = series(3)
    for k, dataset in enumerate(slices):
        dataset.ImagePositionPatient = [0, 0, -1e38 + k]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert volume.spacing is None
    assert "nan" not in notices(volume)


@pytest.mark.parametrize("spacing", [None, [0, 0], [0.7], [0.7, 0.8, 0.9], [700, 800], [-0.7, 0.8]])
def test_an_unusable_pixel_spacing_gives_no_mm_at_all(tmp_path, spacing):
    volume = read_scan(write(series(4, PixelSpacing=spacing), tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))
    assert volume.spacing is None
    assert "no usable pixel spacing" in notices(volume)


@pytest.mark.parametrize("shape", [(100, 50), (23, 38), (65, 56), (9, 9)])
def test_odd_matrices_keep_their_shape(tmp_path, shape):
    slices = [ct(k * 5.0, hu=body(k, shape)) for k in range(3)]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, [body(k, shape) for k in range(3)])


def test_a_single_slice_has_no_z_spacing(tmp_path):
    volume = read_scan(write(series(1), tmp_path / "scan"))
    assert volume.spacing == pytest.approx((None, 0.7, 0.8))
    assert volume.source.affine is not None


def test_slices_of_two_sizes_in_one_series_are_a_choice(tmp_path):
    other = [ct(k * 5.0, hu=body(k, (20, 20))) for k in range(4)]
    with pytest.raises(ChoiceNeeded):
        read_scan(write([*series(4), *other], tmp_path / "scan"))


# ---------------------------------------------------------------- 11, 12, 13, 14: values


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_without_rescale_hu_is_unknown(tmp_path, missing):
    with pytest.raises(NotAScan, match="do not say how"):
        read_scan(write(series(3, **{missing: None}), tmp_path / "scan"))


def test_without_rescale_stored_hu_is_recognised_by_its_air(tmp_path):
    slices = [
        ct(k * 5.0, stored=body(k), RescaleSlope=None, RescaleIntercept=None) for k in range(3)
    ]
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(3))
    assert "do not say how" in notices(volume)


def raised(plane):
    """HU of a body as a scanner stores them: 1024 higher, and -2000 outside the circle."""
    stored = plane.astype(np.int16) + 1024
    stored[0] = -2000
    return stored


@pytest.mark.parametrize("rescale", [(None, None), (1, None), (1, 0)])
def test_an_offset_that_is_missing_is_noticed_in_spite_of_dark_padding(tmp_path, rescale):
    volume, _ = make_phantom(3, shape=(6, 96, 96))
    slope, intercept = rescale
    slices = [
        ct(5.0 * k, stored=raised(plane), RescaleSlope=slope, RescaleIntercept=intercept)
        for k, plane in enumerate(volume.hu)
    ]
    with pytest.raises(NotAScan, match="about 1024 above Hounsfield units"):
        read_scan(write(slices, tmp_path / "scan"))


@pytest.mark.parametrize(
    "rescale", [(0, -1024), (1000, -1024), (-1, 0), (1e-6, 0), (1, 1e9), (1, 8000)]
)
def test_an_absurd_rescale_is_refused(tmp_path, rescale):
    slope, intercept = rescale
    slices = series(3, RescaleSlope=slope, RescaleIntercept=intercept)
    with pytest.raises(NotAScan, match="Hounsfield"):
        read_scan(write(slices, tmp_path / "scan"))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_a_lost_offset_is_refused(tmp_path, dtype):
    """The stored values were copied with intercept 0, so air would be 24 HU."""
    slices = [
        ct(5.0 * k, stored=(body(k) - INTERCEPT).astype(dtype), RescaleIntercept=0)
        for k in range(3)
    ]
    with pytest.raises(NotAScan, match=r"go from 24 to \d+.*go below 0"):
        read_scan(write(slices, tmp_path / "scan"))


def test_a_small_detail_without_air_and_fat_is_read(tmp_path):
    detail = [ct(5.0 * k, hu=body(k)[3:11, 4:14] + 30) for k in range(3)]
    assert read_scan(write(detail, tmp_path / "scan")).hu.min() >= 0


def test_fractional_slopes_of_each_slice_are_applied(tmp_path):
    slices = [
        ct(5.0 * k, stored=np.rint((body(k) + 1000) / slope).astype(np.uint16))
        for k, slope in enumerate((0.25, 0.5, 2))
    ]
    for dataset, slope in zip(slices, (0.25, 0.5, 2), strict=True):
        changed(dataset, RescaleSlope=slope, RescaleIntercept=-1000)
    volume = read_scan(write(slices, tmp_path / "scan"))
    assert np.abs(volume.hu - expected(3)).max() <= 1


def test_values_are_clipped_to_what_ct_can_say(tmp_path):
    hu = body()
    hu[0, 0], hu[0, 1] = 4000, -1100
    stored = (hu + 2000).astype(np.uint16)
    volume = read_scan(write([ct(stored=stored, RescaleIntercept=-2000)], tmp_path / "scan"))
    assert volume.hu[0, 0, :2].tolist() == [3071, -1024]


def padded(value: int, dtype: type) -> np.ndarray:
    """A slice stored with its corners padded by `value`."""
    stored = body().astype(np.int64) - (0 if np.dtype(dtype).kind == "i" else INTERCEPT)
    stored[0, :3] = stored[-1, -2:] = value
    return stored.astype(dtype)


@pytest.mark.parametrize(
    ("value", "dtype", "declared", "vr"),
    [
        (-2000, np.int16, -2000, "SS"),
        (-2000, np.int16, 63536, "US"),  # the signed value with an unsigned VR
        (-1500, np.int16, -1500, "SS"),
        (-32768, np.int16, -32768, "SS"),
        (-32768, np.int16, None, "SS"),
        (3000, np.int16, 3000, "SS"),  # would be metal
        (0, np.uint16, 0, "US"),
        (4095, np.uint16, 4095, "US"),
        (63536, np.uint16, 63536, "US"),
        (63536, np.uint16, None, "US"),
    ],
)
def test_padding_in_every_disguise_becomes_air(tmp_path, value, dtype, declared, vr):
    intercept = 0 if np.dtype(dtype).kind == "i" else INTERCEPT
    dataset = ct(stored=padded(value, dtype), RescaleIntercept=intercept)
    if declared is not None:
        dataset.add_new("PixelPaddingValue", vr, declared)
    volume = read_scan(write([dataset], tmp_path / "scan"))
    assert (volume.hu[0, 0, :3] == -1024).all()
    assert (volume.hu[0, -1, -2:] == -1024).all()
    assert np.array_equal(volume.hu[0, 3:-1], body()[3:-1])


def test_a_range_of_padding_values_becomes_air(tmp_path):
    stored = padded(-2000, np.int16)
    stored[0, 0] = -1900
    dataset = ct(stored=stored, RescaleIntercept=0)
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1800)
    volume = read_scan(write([dataset], tmp_path / "scan"))
    assert (volume.hu[0, 0, :3] == -1024).all()


def test_a_padding_value_that_tissue_has_too_spares_the_tissue(tmp_path):
    stored = padded(0, np.int16)
    stored[6, 8] = 0  # water
    dataset = ct(stored=stored, RescaleIntercept=0)
    dataset.add_new("PixelPaddingValue", "SS", 0)
    volume = read_scan(write([dataset], tmp_path / "scan"))
    assert volume.hu[0, 6, 8] == 0
    assert np.array_equal(volume.hu[0, 4:-1], stored[4:-1])
    assert (volume.hu[0, 0, :3] == -1024).all()


def test_monochrome1_does_not_invert_hounsfield_units(tmp_path):
    slices = series(3, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


def test_junk_above_bits_stored_is_ignored(tmp_path):
    slices = []
    for k in range(3):
        stored = (body(k) - INTERCEPT).astype(np.uint16) | 0xA000
        slices.append(ct(5.0 * k, stored=stored, BitsStored=12, HighBit=11))
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", RLELossless])
@pytest.mark.parametrize("signed", [0, 1])
def test_values_that_begin_at_the_highest_bit_are_moved_down(tmp_path, syntax, signed):
    slices = []
    for k in range(3):
        values = body(k).astype(np.int64) if signed else body(k).astype(np.int64) + 1024
        stored = (values << 4 & 0xFFFF).astype(np.uint16)
        bits = {"BitsStored": 12, "HighBit": 15, "PixelRepresentation": signed}
        dataset = changed(ct(5.0 * k, stored=stored), **bits)
        dataset.RescaleIntercept = 0 if signed else -1024
        slices.append(in_syntax(dataset, syntax))
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


@pytest.mark.parametrize(
    ("bits_stored", "high_bit", "left", "good"),
    [
        (12, 15, 0, True),  # as most files are, and only the header is wrong
        (16, 11, 0, True),
        (12, 11, 4, False),
        (16, 11, 4, False),
        (12, 13, 4, False),
        (12, 13, 2, True),
    ],
)
def test_a_header_that_is_wrong_about_bits_gives_the_right_hu_or_a_refusal(
    tmp_path, bits_stored, high_bit, left, good
):
    slices = [
        ct(
            5.0 * k,
            stored=(body(k).astype(np.uint16) + 1024) << left,
            BitsStored=bits_stored,
            HighBit=high_bit,
        )
        for k in range(3)
    ]
    if good:
        assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))
    else:
        with pytest.raises(NotAScan, match="which bits"):
            read_scan(write(slices, tmp_path / "scan"))


def test_sixteen_bits_whose_header_says_twelve_are_refused(tmp_path):
    """Moved down by four bits they would look like a CT of low contrast."""
    slices = [
        ct(5.0 * k, stored=body(k), BitsStored=12, HighBit=15, RescaleIntercept=0) for k in range(3)
    ]
    for dataset in slices:
        dataset.PixelRepresentation = 1
        dataset.PixelData = (np.frombuffer(dataset.PixelData, np.int16) * 3 + 1).tobytes()
    with pytest.raises(NotAScan, match="which bits"):
        read_scan(write(slices, tmp_path / "scan"))


def test_compressed_images_whose_header_is_wrong_about_bits_are_refused(tmp_path):
    dataset = changed(in_syntax(ct(), "1.2.840.10008.1.2.4.90"), BitsStored=12, HighBit=15)
    with pytest.raises(NotAScan, match="which bits"):
        read_scan(write([dataset], tmp_path / "scan"))


def test_twelve_bit_signed_values_are_sign_extended(tmp_path):
    stored = (body().astype(np.int64) & 0x0FFF).astype(np.uint16)
    dataset = ct(
        stored=stored, BitsStored=12, HighBit=11, PixelRepresentation=1, RescaleIntercept=0
    )
    assert np.array_equal(read_scan(write([dataset], tmp_path / "scan")).hu[0], body())


def test_signed_values_declared_unsigned_keep_their_sign(tmp_path):
    slices = [
        ct(5.0 * k, stored=body(k), PixelRepresentation=0, RescaleIntercept=0) for k in range(3)
    ]
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


def test_j2k_signedness_against_the_header_is_put_right(tmp_path):
    slices = []
    for k in range(3):
        dataset = in_syntax(ct(5.0 * k, stored=body(k)), "1.2.840.10008.1.2.4.90")
        slices.append(changed(dataset, PixelRepresentation=0, RescaleIntercept=0))
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


# ---------------------------------------------------------------- 15: enhanced CT


def test_an_enhanced_ct_is_read_by_its_per_frame_groups(tmp_path):
    volume = read_scan(write([enhanced(5)], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(5))
    assert volume.spacing == pytest.approx((5, 0.7, 0.8))
    assert volume.source.positions_mm[:, 2] == pytest.approx((0, 5, 10, 15, 20))
    assert volume.source.headers == ()


def test_a_legacy_converted_ct_is_read(tmp_path):
    """As highdicom, and archives, turn a series of old into one file."""
    slices = series(4)
    for k, dataset in enumerate(slices):
        for keyword in ("StudyID", "AccessionNumber", "StudyDate", "StudyTime", "Manufacturer"):
            setattr(dataset, keyword, "")
        for keyword in ("PatientBirthDate", "PatientSex", "ReferringPhysicianName"):
            setattr(dataset, keyword, "")
        dataset.SeriesNumber, dataset.AcquisitionNumber = 1, k
    converted = LegacyConvertedEnhancedCTImage(
        slices, generate_uid(), series_number=2, sop_instance_uid=generate_uid(), instance_number=1
    )
    volume = read_scan(write([converted], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))
    assert volume.spacing == pytest.approx((5.0, 0.7, 0.8))


def test_a_concatenation_of_enhanced_files_is_one_scan(tmp_path):
    first, second = enhanced(4), enhanced(4)
    for groups in second.PerFrameFunctionalGroupsSequence:
        groups.PlanePositionSequence[0].ImagePositionPatient[2] += 20
    volume = read_scan(write([first, second], tmp_path / "scan"))
    assert np.array_equal(volume.hu, np.concatenate([expected(4), expected(4)]))
    assert volume.spacing.z == pytest.approx(5)


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_a_compressed_enhanced_ct_is_read_whatever_says_where_its_frames_begin(tmp_path, table):
    dataset = enhanced(4)
    frames = []
    for k in reversed(range(4)):
        single = ct(hu=body(k), syntax="1.2.840.10008.1.2.4.90")
        frames.append(next(generate_frames(single.PixelData, number_of_frames=1)))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    if table == "extended":
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = (
            encapsulate_extended(frames)
        )
    else:
        dataset.PixelData = encapsulate(frames, has_bot=table == "basic")
    dataset["PixelData"].is_undefined_length = True
    volume = read_scan(write([dataset], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))


def test_a_frame_in_several_fragments_is_put_together(tmp_path):
    slices = series(3, syntax="1.2.840.10008.1.2.4.70")
    for dataset in slices:
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        dataset.PixelData = encapsulate([frame], fragments_per_frame=3)
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


def test_an_enhanced_perfusion_map_is_refused(tmp_path):
    dataset = enhanced(3, FrameType=["DERIVED", "PRIMARY", "VOLUME", "RCBF"])
    with pytest.raises(NotAScan, match="perfusion map"):
        read_scan(write([dataset], tmp_path / "scan"))


def test_frames_of_another_quantity_are_refused(tmp_path):
    dataset = enhanced(3)
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.PixelValueTransformationSequence[0].RescaleType = "MGML"
    with pytest.raises(NotAScan, match="another quantity than HU"):
        read_scan(write([dataset], tmp_path / "scan"))


CAPTURE = "1.2.840.10008.5.1.4.1.1.7.3"  # multi-frame grayscale word secondary capture


def test_a_multi_frame_capture_with_places_and_rescale_is_a_scan(tmp_path):
    capture = changed(enhanced(4), SOPClassUID=CAPTURE)
    assert np.array_equal(read_scan(write([capture], tmp_path / "scan")).hu, expected(4))
    for groups in capture.PerFrameFunctionalGroupsSequence:
        del groups.PixelValueTransformationSequence, groups.CTImageFrameTypeSequence
    capture.RescaleSlope, capture.RescaleIntercept = 1, INTERCEPT
    del capture.SharedFunctionalGroupsSequence
    capture.ImageOrientationPatient, capture.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.8]
    volume = read_scan(write([capture], tmp_path / "without groups"))
    assert np.array_equal(volume.hu, expected(4))
    assert volume.spacing == pytest.approx((5.0, 0.7, 0.8))


@pytest.mark.parametrize("lacks", ["RescaleIntercept", "place", "spacing"])
def test_a_multi_frame_capture_without_them_is_none(tmp_path, lacks):
    capture = changed(enhanced(4), SOPClassUID=CAPTURE)
    if lacks == "spacing":
        del capture.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    for groups in capture.PerFrameFunctionalGroupsSequence:
        if lacks == "place":
            del groups.PlanePositionSequence
        elif lacks == "RescaleIntercept":
            del groups.PixelValueTransformationSequence
    with pytest.raises(NotAScan, match=r"4 screenshots|1 screenshot"):
        read_scan(write([capture], tmp_path / "scan"))


@pytest.mark.parametrize("word", ["LOCALIZER", "RCBF", "MIP", "SCREEN SAVE"])
@pytest.mark.parametrize("of_file", ["VOLUME", "MIXED", "LOCALIZER"])
def test_frames_of_another_class_are_left_out(tmp_path, word, of_file):
    slices = enhanced(5)
    slices.ImageType = ["ORIGINAL", "PRIMARY", of_file, "NONE"]
    first = slices.PerFrameFunctionalGroupsSequence[0]
    first.CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", word, "NONE"]
    volume = read_scan(write([slices], tmp_path / "scan"))
    assert np.array_equal(volume.hu, expected(4))
    assert notices(volume).startswith("Left out: 1 ")


def test_a_file_of_localizers_only_is_one(tmp_path):
    slices = enhanced(3, FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"])
    with pytest.raises(NotAScan, match=r"1 localizer\)"):
        read_scan(write([slices], tmp_path / "scan"))


def test_a_phase_in_each_multi_frame_file_is_a_choice(tmp_path):
    first, second = enhanced(4), enhanced(4)
    second.PixelData = (np.frombuffer(second.PixelData, np.uint16) + 9).astype(np.uint16).tobytes()
    folder = write([first, second], tmp_path / "scan")
    with pytest.raises(ChoiceNeeded):
        read_scan(folder)
    found = [read_scan(folder, choose=f"scan={k}").hu for k in (0, 1)]
    assert {int(hu.max()) - int(expected(4).max()) for hu in found} == {0, 9}


@pytest.mark.parametrize("keyword", ["TemporalPositionIndex", "StackID", "FrameAcquisitionNumber"])
@pytest.mark.parametrize("shift", [0, 2.5])
def test_phases_in_one_multi_frame_file_are_a_choice(tmp_path, keyword, shift):
    slices = enhanced(12)
    for k, groups in enumerate(slices.PerFrameFunctionalGroupsSequence):
        place = [-100.0, -200.0, 5.0 * (k // 2) + shift * (k % 2)]
        groups.PlanePositionSequence[0].ImagePositionPatient = place
        groups.FrameContentSequence = [group(**{keyword: str(k % 2) if "ID" in keyword else k % 2})]
    folder = write([slices], tmp_path / "scan")
    with pytest.raises(ChoiceNeeded):
        read_scan(folder)
    found = [read_scan(folder, choose=f"scan={k}") for k in (0, 1)]
    assert [volume.spacing.z for volume in found] == [5, 5]
    assert {int(volume.hu.max() - body(0).max()) for volume in found} == {11, 10}


def test_multi_frame_without_positions_is_refused_with_advice(tmp_path):
    dataset = ct()
    set_pixels(dataset, np.zeros((3, 8, 8), np.uint16))
    with pytest.raises(NotAScan, match="single slices"):
        read_scan(write([dataset], tmp_path / "scan"))


def test_an_enhanced_ct_with_fewer_groups_than_frames_is_refused(tmp_path):
    dataset = enhanced(3)
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    with pytest.raises(UploadError):
        read_scan(write([dataset], tmp_path / "scan"))


# ---------------------------------------------------------------- 17, 18, 23: not a CT in HU


@pytest.mark.parametrize(
    ("modality", "word"),
    [
        ("MR", "MR image"),
        ("PT", "PET image"),
        ("CR", "X-ray image"),
        ("DX", "X-ray image"),
        ("US", "ultrasound image"),
        ("NM", "nuclear medicine image"),
    ],
)
def test_another_modality_is_named_first(tmp_path, modality, word):
    with pytest.raises(WrongModality, match=word):
        read_scan(write(series(3, Modality=modality), tmp_path / "scan"))


@pytest.mark.parametrize("modality", ["SR", "RTSTRUCT", "ECG", "KO", "XX", ""])
def test_documents_are_no_scan(tmp_path, modality):
    document = ct(Modality=modality, SOPClassUID="1.2.3", PixelData=None)
    with pytest.raises(NotAScan, match="No CT images"):
        read_scan(write([document], tmp_path / "scan"))


def test_contours_are_refused_with_a_way_out(tmp_path):
    contours = ct(Modality="RTSTRUCT", SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3", PixelData=None)
    with pytest.raises(NotAScan, match=r"1 RTSTRUCT contour file.*as ground truth"):
        read_scan(write([contours], tmp_path / "scan"))


def test_documents_and_other_modalities_among_the_slices_are_counted(tmp_path):
    others = [ct(Modality=word, SOPClassUID="1.2.3", PixelData=None) for word in ("SR", "PR", "KO")]
    others += [ct(Modality="PT"), ct(Modality="MR")]
    volume = read_scan(write([*series(4), *others], tmp_path / "scan"))
    assert volume.shape[0] == 4
    assert notices(volume) == (
        "Left out: 2 presentation states, 1 MR image, 1 PET image, 1 report."
    )


def test_a_color_screenshot_is_left_out(tmp_path):
    screenshot = ct(stored=np.zeros((8, 8), np.uint8))
    changed(screenshot, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    screenshot.PixelData = bytes(8 * 8 * 3)
    volume = read_scan(write([*series(4), screenshot], tmp_path / "scan"))
    assert notices(volume) == "Left out: 1 color screenshot."
    with pytest.raises(NotAScan, match="color screenshot"):
        read_scan(write([screenshot], tmp_path / "alone"))


def test_a_secondary_capture_is_left_out_unless_it_is_complete(tmp_path):
    capture = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    with pytest.raises(NotAScan, match="secondary capture"):
        read_scan(write(series(3, PixelSpacing=None, **capture), tmp_path / "incomplete"))
    assert read_scan(write(series(3, **capture), tmp_path / "complete")).shape[0] == 3


def test_an_image_without_pixels_is_no_scan(tmp_path):
    with pytest.raises(NotAScan, match="without an image"):
        read_scan(write(series(3, PixelData=None), tmp_path / "scan"))


def test_eight_bit_copies_are_refused_as_windowed(tmp_path):
    gray = (np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 256).astype(np.uint8)
    copies = [ct(5.0 * k, stored=gray + k, RescaleIntercept=0) for k in range(3)]
    with pytest.raises(NotAScan, match="already windowed"):
        read_scan(write(copies, tmp_path / "scan"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_masks_in_the_scan_box_are_refused(tmp_path, dtype):
    masks = [
        ct(5.0 * k, stored=np.where(body(k) > -100, 255, 0).astype(dtype), RescaleIntercept=0)
        for k in range(3)
    ]
    with pytest.raises(NotAScan, match="mask"):
        read_scan(write(masks, tmp_path / "scan"))


def test_masks_beside_the_scan_are_left_out_even_with_its_series_uid(tmp_path):
    write(series(3), tmp_path / "PATIENT_DICOM")
    masks = [
        ct(5.0 * k, stored=np.where(body(k) > -100, 255, 0).astype(np.uint8), RescaleIntercept=0)
        for k in range(3)
    ]
    write(masks, tmp_path / "MASKS_DICOM" / "liver")
    volume = read_scan(tmp_path)
    assert np.array_equal(volume.hu, expected(3))
    assert "3 8-bit pictures" in notices(volume)


def test_burned_in_text_is_warned_of(tmp_path):
    for name, attributes in {
        "yes": {"BurnedInAnnotation": "YES"},
        "secondary": {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        "converted": {"ConversionType": "WSD"},
    }.items():
        volume = read_scan(write(series(3, **attributes), tmp_path / name))
        assert "text burned into them" in notices(volume)
    declared = {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "BurnedInAnnotation": "NO"}
    assert read_scan(write(series(3, **declared), tmp_path / "no")).notices == ()


# ---------------------------------------------------------------- 20, 21: damaged files and litter


def test_a_truncated_slice_is_left_out_and_its_gap_named(tmp_path):
    folder = write(series(6), tmp_path / "scan")
    path = next(path for path in folder.iterdir() if b"\\10.0" in path.read_bytes())
    path.write_bytes(path.read_bytes()[:-40])
    volume = read_scan(folder)
    assert volume.shape[0] == 5
    assert "1 damaged slice" in notices(volume)
    assert "one gap of 10 mm after z = 5 mm" in notices(volume)


def test_only_truncated_slices_are_broken(tmp_path):
    folder = write(series(3), tmp_path / "scan")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenFile):
        read_scan(folder)


def test_litter_is_ignored_and_counted(tmp_path):
    folder = write(series(3), tmp_path / "scan")
    (folder / "README.txt").write_text("read me" * 100)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(300))
    (folder / "Thumbs.db").write_bytes(bytes(600))
    (folder / "empty").write_bytes(b"")
    directory = changed(
        group(DirectoryRecordSequence=[]), SOPClassUID="1.2.840.10008.1.3.10", SOPInstanceUID="1.2"
    )
    directory.file_meta = ct().file_meta
    (folder / "DICOMDIR").write_bytes(to_bytes(directory))
    volume = read_scan(folder)
    assert volume.shape[0] == 3
    assert notices(volume) == "Left out: 3 other files, 1 DICOMDIR file, 1 empty file."


def test_a_header_longer_than_the_first_look_is_read_on(tmp_path):
    items = [group(ImageComments="x" * 900) for _ in range(150)]
    slices = series(3, SourceImageSequence=items)
    for dataset in slices:
        dataset["SourceImageSequence"].is_undefined_length = True
    assert np.array_equal(read_scan(write(slices, tmp_path / "scan")).hu, expected(3))


def test_files_without_preamble_or_meta_information_are_read(tmp_path):
    folder = write(series(3, syntax=ImplicitVRLittleEndian), tmp_path / "scan")
    for path in folder.iterdir():
        content = path.read_bytes()
        start = content.index(b"\x08\x00\x08\x00")  # ImageType is the first element
        path.write_bytes(content[start:])
    assert np.array_equal(read_scan(folder).hu, expected(3))


def test_empty_uids_of_anonymised_files_do_not_matter(tmp_path):
    empty = {
        "SOPClassUID": "",
        "SOPInstanceUID": "",
        "SeriesInstanceUID": "",
        "StudyInstanceUID": "",
    }
    slices = series(3)
    folder = tmp_path / "scan"
    folder.mkdir()
    for k, dataset in enumerate(slices):
        changed(dataset, **empty).save_as(folder / str(k), enforce_file_format=False)
    assert np.array_equal(read_scan(folder).hu, expected(3))


def test_undecodable_slices_all_at_one_place_are_damaged(tmp_path):
    slices = [ct(stored=body().astype(np.uint16) + k, SOPInstanceUID=f"1.{k}") for k in range(3)]
    for one in slices:
        one.PixelData = one.PixelData[:50]
    with pytest.raises(BrokenFile) as refused:
        read_scan(write(slices, tmp_path))
    assert refused.value.code == "dicom.damaged_pixels"


def test_a_damaged_slice_beside_a_good_one_at_its_place_is_left_out(tmp_path):
    slices = series(3)
    damaged = ct(5.0, hu=body(7), PixelData=b"12")
    volume = read_scan(write([*slices, damaged], tmp_path))
    assert volume.shape[0] == 3
    assert any("1 damaged slice" in notice for notice in volume.notices)


def test_a_file_of_two_phases_is_decoded_once(tmp_path, monkeypatch):
    one = enhanced(8)
    for k, groups in enumerate(one.PerFrameFunctionalGroupsSequence):
        groups.PlanePositionSequence[0].ImagePositionPatient = [0.0, 0.0, 5.0 * (k // 2)]
        groups.FrameContentSequence = [group(TemporalPositionIndex=k % 2)]
    write([one], tmp_path)
    opened = []
    whole = pixels.read_dataset
    monkeypatch.setattr(pixels, "read_dataset", lambda *a: opened.append(a) or whole(*a))
    with pytest.raises(ChoiceNeeded):
        read_scan(tmp_path)
    assert len(opened) == 1
    volume = read_scan(tmp_path, choose="scan=1")
    assert len(opened) == 3
    assert volume.shape[0] == 4
