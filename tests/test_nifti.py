"""NIfTI scans in any orientation, with any header."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest

from liverseg.errors import BrokenFile, ChoiceNeeded, NotAScan, TooLarge, UploadError
from liverseg.phantom import make_phantom
from liverseg.reading.upload import read_scan, read_truth
from tests.helpers.make_dicom import body, series, write

SPACING_MM = (5.0, 0.7, 0.8)  # z, y, x
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
AXCODES = [
    "".join(letters)
    for axes in itertools.permutations(("LR", "PA", "SI"))
    for letters in itertools.product(*axes)
]


def scan(count: int = 6) -> np.ndarray:
    """(z, y, x) int16 HU in LPS."""
    return np.stack([body(k) for k in range(count)])


def nifti(hu: np.ndarray, axcodes: str = "LPS", dtype: type = np.int16) -> nibabel.Nifti1Image:
    """An LPS array stored along other axes, with the affine that says so."""
    affine = LPS_TO_RAS @ np.diag([*SPACING_MM[::-1], 1.0])
    affine[:3, 3] = (100, 200, -50)
    image = nibabel.Nifti1Image(hu.transpose(2, 1, 0).astype(dtype), affine, dtype=dtype)
    lps, wanted = (nibabel.orientations.axcodes2ornt(codes) for codes in ("LPS", axcodes))
    return image.as_reoriented(nibabel.orientations.ornt_transform(lps, wanted))


def save(image: nibabel.Nifti1Image, folder, name: str = "scan.nii.gz"):
    nibabel.save(image, folder / name)
    return folder / name


def notices(volume) -> str:
    return " ".join(volume.notices)


@pytest.mark.parametrize("axcodes", AXCODES)
def test_every_stored_orientation_becomes_lps(tmp_path, axcodes):
    volume = read_scan(save(nifti(scan(), axcodes), tmp_path))
    assert np.array_equal(volume.hu, scan())
    assert volume.spacing == pytest.approx(SPACING_MM)
    assert volume.source.kind == "nifti"
    assert volume.source.axcodes == tuple(axcodes)
    assert volume.source.affine[:3, 3] == pytest.approx((-100, -200, -50))
    assert np.diag(volume.source.affine) == pytest.approx((*SPACING_MM[::-1], 1))
    assert volume.notices == ()


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "scan", "patient.name.bin"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_the_extension_and_the_version_do_not_matter(tmp_path, name, kind):
    image = nifti(scan(), "RAS")
    content = kind(np.asarray(image.dataobj), image.affine).to_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert np.array_equal(read_scan(path).hu, scan())


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float32, np.float64])
def test_stored_types_become_rounded_clipped_hu(tmp_path, dtype):
    hu = scan().astype(dtype)
    hu[0, 0, :2] = 4000, -1100
    volume = read_scan(save(nifti(hu, dtype=dtype), tmp_path))
    assert volume.hu[0, 0, :2].tolist() == [3071, -1024]
    assert np.array_equal(volume.hu[1:], scan()[1:])


def test_scaling_is_applied(tmp_path):
    image = nifti(scan())
    image.header.set_slope_inter(0.5, -1024)
    stored = nibabel.Nifti1Image(((scan() + 1024) * 2).transpose(2, 1, 0), image.affine)
    stored.header.set_slope_inter(0.5, -1024)
    raw = nibabel.Nifti1Image(np.zeros_like(stored.dataobj), stored.affine, stored.header)
    raw.header.set_data_dtype(np.int16)
    content = bytearray(raw.to_bytes())
    content[112:120] = np.array([0.5, -1024], "<f4").tobytes()
    content[352:] = np.asfortranarray(stored.dataobj).astype("<i2").tobytes("F")
    (tmp_path / "scan.nii").write_bytes(content)
    assert np.array_equal(read_scan(tmp_path).hu, scan())


def test_what_is_not_a_number_becomes_air(tmp_path):
    hu = scan().astype(np.float32)
    hu[0, 0, 0], hu[0, 0, 1] = np.nan, -np.inf
    assert (read_scan(save(nifti(hu, dtype=np.float32), tmp_path)).hu[0, 0, :2] == -1024).all()


def test_the_sform_counts_before_the_qform(tmp_path):
    image = nifti(scan(), "LPS")
    image.set_qform(np.diag([3.0, 3.0, 3.0, 1.0]), code=1)
    image.set_sform(image.affine, code=1)
    assert read_scan(save(image, tmp_path)).spacing == pytest.approx(SPACING_MM)


SCANNER = LPS_TO_RAS @ np.diag([*SPACING_MM[::-1], 1.0])
SCANNER[:3, 3] = (100, 200, -50)
MOVED = SCANNER.copy()
MOVED[:3, 3] = (115, 180, -40)
TURNED = MOVED @ np.diag([-1.0, 1, 1, 1])  # as a left-handed program says it
ELSEWHERE = SCANNER.copy()
ELSEWHERE[:3, 3] = (500, 500, 500)


def two_forms(array: np.ndarray, sform, qform, dtype=np.int16) -> nibabel.Nifti1Image:
    """(z, y, x) stored as (x, y, z) under two forms, each None or an affine."""
    image = nibabel.Nifti1Image(array.transpose(2, 1, 0).astype(dtype), None)
    image.set_sform(sform, 0 if sform is None else 2)
    image.set_qform(qform, 0 if qform is None else 1)
    return image


def half_labelled(count: int = 6) -> np.ndarray:
    labels = np.zeros(scan(count).shape, np.uint8)
    labels[1:4, 2:9, 3:7], labels[2, 3:5, 4:6] = 1, 2
    return labels


@pytest.mark.parametrize("second", [MOVED, TURNED], ids=["moved", "turned"])
@pytest.mark.parametrize(
    "forms", ["as the scan", "q q", "s s", "- q", "q -", "- s", "elsewhere q", "elsewhere s", "q s"]
)
def test_a_truth_with_one_of_two_forms_lies_on_the_scan_voxel_by_voxel(tmp_path, forms, second):
    volume = read_scan(save(two_forms(scan(), SCANNER, second), tmp_path))
    names = {"s": SCANNER, "q": second, "-": None, "elsewhere": ELSEWHERE}
    own = [names[name] for name in forms.replace("as the scan", "s q").split()]
    path = save(two_forms(half_labelled(), *own, dtype=np.uint8), tmp_path, "truth.nii.gz")
    truth = read_truth(path, volume)
    stored = lambda lps: lps if volume.source.axcodes[0] == "L" else lps[..., ::-1]  # noqa: E731
    assert np.array_equal(stored(truth.labels), half_labelled())
    assert truth.notices == ()


def test_masks_that_go_by_different_forms_lie_on_one_another(tmp_path):
    volume = read_scan(save(two_forms(scan(), SCANNER, MOVED), tmp_path))
    liver = two_forms(half_labelled() > 0, MOVED, MOVED, np.uint8)
    tumor = two_forms(half_labelled() == 2, SCANNER, SCANNER, np.uint8)
    (tmp_path / "truth").mkdir()
    save(liver, tmp_path / "truth", "liver.nii.gz")
    save(tumor, tmp_path / "truth", "liver_tumor.nii.gz")
    assert np.array_equal(read_truth(tmp_path / "truth", volume).labels, half_labelled())


def test_the_form_that_a_dicom_scan_has_counts(tmp_path):
    volume = read_scan(write(series(6), tmp_path / "ct"))
    place = LPS_TO_RAS @ volume.affine
    path = save(two_forms(half_labelled(), ELSEWHERE, place, np.uint8), tmp_path, "truth.nii")
    assert np.array_equal(read_truth(path, volume).labels, half_labelled())


def test_a_truth_of_another_matrix_or_place_is_put_by_its_own_form(tmp_path):
    volume = read_scan(save(two_forms(scan(), SCANNER, MOVED), tmp_path))
    larger = np.pad(half_labelled(), ((0, 2), (0, 0), (0, 0)))
    path = save(two_forms(larger, SCANNER, SCANNER, np.uint8), tmp_path, "truth.nii.gz")
    truth = read_truth(path, volume)
    assert np.array_equal(truth.labels, half_labelled())
    assert truth.notices
    near = SCANNER.copy()
    near[2, 3] -= 5.0  # a slice lower
    path = save(two_forms(half_labelled(), near, near, np.uint8), tmp_path, "truth.nii.gz")
    assert np.array_equal(read_truth(path, volume).labels[:-1], half_labelled()[1:])


def test_a_qform_of_no_numbers_is_said_to_be_guessed(tmp_path):
    image = nifti(scan(), "LAS")
    image.header["sform_code"], image.header["qform_code"] = 0, 1
    content = bytearray(_with_header(image))
    content[256:268] = np.full(3, np.nan, "<f4").tobytes()  # the quaternion
    (tmp_path / "scan.nii").write_bytes(content)
    volume = read_scan(tmp_path)
    assert np.array_equal(volume.hu, scan())
    assert "guessed" in notices(volume)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4)),
        np.full((4, 4), np.nan),
        np.diag([1e9, 1, 1, 1]),
        np.diag([0.8, 0.7, 5, 1]) - [[0] * 4, [0] * 4, [0, 0, 0, 1e38], [0] * 4],  # by the fuzzer
    ],
)
def test_a_bad_sform_gives_way_to_the_qform(tmp_path, bad):
    image = nifti(scan(), "LPS")
    image.set_qform(image.affine, code=1)
    image.header["sform_code"] = 1
    for row, values in zip(("srow_x", "srow_y", "srow_z"), bad, strict=False):
        image.header[row] = values
    path = tmp_path / "scan.nii"
    path.write_bytes(_with_header(image))
    volume = read_scan(path)
    assert np.array_equal(volume.hu, scan())
    assert volume.spacing == pytest.approx(SPACING_MM)
    assert volume.notices == ()


def _with_header(image: nibabel.Nifti1Image) -> bytes:
    """The image's bytes with its header exactly as set, which nibabel would put in order."""
    header = image.header.binaryblock
    content = image.to_bytes()
    return content[:76] + header[76:108] + content[108:252] + header[252:328] + content[328:]


def test_without_forms_the_orientation_is_said_to_be_guessed(tmp_path):
    image = nifti(scan(), "LAS")  # what readers of such files assume
    image.header["sform_code"] = image.header["qform_code"] = 0
    path = tmp_path / "scan.nii"
    path.write_bytes(_with_header(image))
    volume = read_scan(path)
    assert np.array_equal(volume.hu, scan())
    assert volume.spacing == pytest.approx(SPACING_MM)
    assert "guessed" in notices(volume)
    assert volume.source.affine is None


def test_without_forms_and_sizes_nothing_is_in_mm(tmp_path):
    image = nifti(scan(), "LAS")
    image.header["sform_code"] = image.header["qform_code"] = 0
    image.header["pixdim"][1:4] = 0
    path = tmp_path / "scan.nii"
    path.write_bytes(_with_header(image))
    volume = read_scan(path)
    assert volume.spacing is None
    assert "no voxel size" in notices(volume)


def test_an_identity_affine_is_doubted(tmp_path):
    image = nibabel.Nifti1Image(scan().transpose(2, 1, 0), np.eye(4))
    assert "exactly 1 mm" in notices(read_scan(save(image, tmp_path)))


@pytest.mark.parametrize(("unit", "factor"), [("meter", 0.001), ("mm", 1), ("micron", 1000)])
def test_units_are_respected(tmp_path, unit, factor):
    image = nifti(scan())
    scaled = nibabel.Nifti1Image(
        np.asarray(image.dataobj), np.diag([factor, factor, factor, 1]) @ image.affine
    )
    scaled.header.set_xyzt_units(unit)
    assert read_scan(save(scaled, tmp_path)).spacing == pytest.approx(SPACING_MM, rel=1e-4)


def test_one_volume_in_four_dimensions_is_read(tmp_path):
    image = nifti(scan())
    four = nibabel.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)
    assert np.array_equal(read_scan(save(four, tmp_path)).hu, scan())


def test_several_volumes_over_time_are_refused(tmp_path):
    image = nifti(scan())
    four = nibabel.Nifti1Image(np.stack([np.asarray(image.dataobj)] * 3, axis=-1), image.affine)
    with pytest.raises(NotAScan, match="3 volumes"):
        read_scan(save(four, tmp_path))


def test_a_single_slice_in_two_dimensions_is_read(tmp_path):
    image = nibabel.Nifti1Image(body().T, LPS_TO_RAS @ np.diag([0.8, 0.7, 5, 1]))
    volume = read_scan(save(image, tmp_path))
    assert np.array_equal(volume.hu[0], body())
    assert volume.spacing == pytest.approx((None, 0.7, 0.8))


def test_a_sheared_affine_is_a_tilted_gantry(tmp_path):
    image = nifti(scan())
    affine = image.affine.copy()
    affine[1, 2] = 5 * np.tan(np.radians(14))
    volume = read_scan(save(nibabel.Nifti1Image(np.asarray(image.dataobj), affine), tmp_path))
    assert volume.spacing.z == pytest.approx(5)
    assert "tilted by 14°" in notices(volume)


def test_an_oblique_volume_is_refused_from_20_degrees(tmp_path):
    image = nifti(scan())
    angle = np.radians(30)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    oblique = nibabel.Nifti1Image(np.asarray(image.dataobj), turn @ image.affine)
    with pytest.raises(NotAScan, match="oblique by 30°"):
        read_scan(save(oblique, tmp_path))


@pytest.mark.parametrize(
    "labels",
    [
        (scan() > -100).astype(np.int16),
        (scan() > -100) * 255,
        np.digitize(scan(), [-100, 30, 60]),
        np.zeros(scan().shape),
    ],
)
def test_masks_in_the_scan_box_are_refused(tmp_path, labels):
    with pytest.raises(NotAScan, match="mask"):
        read_scan(save(nifti(labels, dtype=np.int16), tmp_path))


@pytest.mark.parametrize("offset", [1024, 2000])
def test_values_without_air_and_fat_are_no_hounsfield_units(tmp_path, offset):
    """An MR image, or a CT whose offset was lost."""
    with pytest.raises(NotAScan, match="go below 0"):
        read_scan(save(nifti(scan() + offset), tmp_path))


@pytest.mark.parametrize("changed", ["normalized", "empty"])
def test_values_without_any_contrast_are_no_hounsfield_units(tmp_path, changed):
    hu = scan().astype(np.float32)
    hu = (hu - hu.mean()) / hu.std() * 3 if changed == "normalized" else np.full_like(hu, -1000)
    with pytest.raises(NotAScan, match="this is not a CT"):
        read_scan(save(nifti(hu, dtype=np.float32), tmp_path))


def test_an_offset_that_was_not_taken_away_is_noticed_in_spite_of_dark_padding(tmp_path):
    hu = make_phantom(3, shape=(6, 96, 96))[0].hu + 1024
    hu[:, 0] = -1024
    with pytest.raises(NotAScan, match="about 1024 above Hounsfield units"):
        read_scan(save(nifti(hu), tmp_path))


def test_a_scan_that_was_scaled_is_not_called_a_mask(tmp_path):
    hu = make_phantom(3, shape=(6, 96, 96))[0].hu
    scaled = np.clip((hu + 100) / 300, 0, 1).astype(np.float32)
    with pytest.raises(NotAScan, match="from 0 to 1, so the scan was scaled"):
        read_scan(save(nifti(scaled, dtype=np.float32), tmp_path))


def test_a_mask_beside_the_scan_is_left_out(tmp_path):
    save(nifti(scan()), tmp_path, "volume-1.nii.gz")
    save(nifti(scan() > 0, dtype=np.uint8), tmp_path, "segmentation-1.nii.gz")
    volume = read_scan(tmp_path)
    assert np.array_equal(volume.hu, scan())
    assert "1 mask" in notices(volume)


def test_two_scans_are_a_choice(tmp_path):
    save(nifti(scan(6)), tmp_path, "a.nii.gz")
    save(nifti(scan(4)), tmp_path, "b.nii.gz")
    with pytest.raises(ChoiceNeeded) as refusal:
        read_scan(tmp_path)
    assert set(refusal.value.choice.options) == {"6 slices, 5 mm, 16×12", "4 slices, 5 mm, 16×12"}
    chosen = read_scan(tmp_path, choose="scan=1")
    assert refusal.value.choice.options[1].startswith(f"{len(chosen.hu)} slices")


@pytest.mark.parametrize("dtype", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_colors_and_complex_numbers_are_refused(tmp_path, dtype):
    with pytest.raises(NotAScan, match="colors or complex"):
        read_scan(save(nibabel.Nifti1Image(np.zeros((8, 8, 4), dtype), np.eye(4)), tmp_path))


def test_half_a_pair_is_refused_with_advice(tmp_path):
    pair = nibabel.Nifti1Pair(scan().transpose(2, 1, 0), np.eye(4))
    nibabel.save(pair, tmp_path / "scan.img")
    with pytest.raises(NotAScan, match=r"one \.nii\.gz"):
        read_scan(tmp_path / "scan.hdr")


@pytest.mark.parametrize("keep", [200, 360, -10])
@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_a_cut_file_is_refused(tmp_path, name, keep):
    path = save(nifti(scan()), tmp_path, name)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UploadError):
        read_scan(path)


def test_absurd_sizes_are_refused_from_the_header(tmp_path):
    content = bytearray(nifti(scan()).to_bytes())
    content[42:48] = np.array([20000, 20000, 20000], "<i2").tobytes()
    (tmp_path / "big.nii").write_bytes(content)
    with pytest.raises(TooLarge, match="20000 × 20000 × 20000"):
        read_scan(tmp_path)
    content[42:48] = np.array([500, -500, 500], "<i2").tobytes()
    (tmp_path / "big.nii").write_bytes(content)
    with pytest.raises(BrokenFile):
        read_scan(tmp_path)


def test_the_real_nifti_is_read(uploads):
    volume = read_scan(uploads / "totalseg_3mm_ct.nii.gz")
    assert volume.shape == (112, 101, 122)
    assert volume.spacing == pytest.approx((3, 3, 3))
    assert (volume.hu[:, 50].mean(axis=1) > -900).any()
