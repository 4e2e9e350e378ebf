"""TIFF stacks as scans and as masks."""

import itertools
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from liverseg.errors import BrokenFile, NotAScan, TooLarge
from liverseg.reading.upload import read_scan, read_truth
from liverseg.volume import LIVER, TUMOR
from tests.helpers.make_dicom import body

CALIBRATION = {"unit": "mm", "spacing": 5.0, "axes": "ZYX"}
RESOLUTION = (1 / 0.7, 1 / 0.8)  # pixels per mm along x and y


def hu(count: int = 6) -> np.ndarray:
    """(z, y, x) int16 HU."""
    return np.stack([body(k, (60, 40)) for k in range(count)])


def grays() -> np.ndarray:
    """(z, y, x) uint8."""
    return np.random.default_rng(0).integers(0, 256, (6, 60, 40), np.uint8)


def masks() -> np.ndarray:
    """(z, y, x) uint8 labels."""
    labels = np.zeros((6, 60, 40), np.uint8)
    labels[1:, 10:30, 5:25], labels[2, 15:20, 10:14] = LIVER, TUMOR
    return labels


def codes(read) -> list[str]:
    return [said.code for said in read.notices]


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [">i2", "<i2", "<f4", ">f4", "<i4"])
def test_signed_values_and_fractions_are_hounsfield_units(tmp_path, dtype, compression):
    array = hu().astype(dtype)
    tifffile.imwrite(tmp_path / "ct.tif", array, byteorder=dtype[0], compression=compression)
    if compression and dtype[0] == ">":  # Pillow would exchange the bytes twice
        with pytest.raises(NotAScan) as refusal:
            read_scan(tmp_path)
        assert refusal.value.code == "picture.tiff_packed"
        return
    volume = read_scan(tmp_path)
    assert np.array_equal(volume.hu, hu())
    assert volume.spacing is None
    assert volume.windowed is None
    assert codes(volume) == ["picture.tiff_order", "picture.tiff_no_sizes"]


def test_sizes_and_values_are_those_of_imagejs_calibration(tmp_path):
    stored = (hu().astype(np.int32) + 32768).astype(np.uint16)
    about = CALIBRATION | {"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "Gray Value"}
    path = tmp_path / "ct.tif"
    tifffile.imwrite(path, stored, imagej=True, resolution=RESOLUTION, metadata=about)
    volume = read_scan(path)
    assert np.array_equal(volume.hu, hu())
    assert volume.spacing == pytest.approx((5.0, 0.8, 0.7))
    assert codes(volume) == ["picture.tiff_order"]


def test_eight_bits_are_a_window_with_the_sizes_of_imagej(tmp_path):
    for k, plane in enumerate(grays()):
        (tmp_path / "png").mkdir(exist_ok=True)
        Image.fromarray(plane).save(tmp_path / "png" / f"{k}.png")
    path = tmp_path / "ct.tif"
    tifffile.imwrite(path, grays(), imagej=True, resolution=RESOLUTION, metadata=CALIBRATION)
    volume, pictures = read_scan(path), read_scan(tmp_path / "png")
    assert np.array_equal(volume.hu, pictures.hu)
    assert volume.windowed == pictures.windowed
    assert volume.spacing == pytest.approx((5.0, 0.8, 0.7))
    assert codes(volume) == ["picture.no_hu_but_sizes"]


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_compressed_pages_are_decoded(tmp_path, compression):
    first, *others = map(Image.fromarray, grays())
    path = tmp_path / "ct.tif"
    first.save(path, save_all=True, append_images=others, compression=compression)
    tifffile.imwrite(tmp_path / "plain.tif", grays())
    assert np.array_equal(read_scan(path).hu, read_scan(tmp_path / "plain.tif").hu)


def test_signed_bytes_are_a_window_too(tmp_path):
    tifffile.imwrite(tmp_path / "signed.tif", (grays().astype(np.int16) - 128).astype(np.int8))
    tifffile.imwrite(tmp_path / "plain.tif", grays())
    signed, plain = (read_scan(tmp_path / f"{name}.tif") for name in ("signed", "plain"))
    assert np.array_equal(signed.hu, plain.hu)


def test_unsigned_words_without_calibration_are_no_hounsfield_units(tmp_path):
    tifffile.imwrite(tmp_path / "ct.tif", (hu() + 1024).astype(np.uint16))
    with pytest.raises(NotAScan) as refusal:
        read_scan(tmp_path)
    assert refusal.value.code == "picture.sixteen_bits"


def test_single_pages_are_slices_in_the_order_of_their_names(tmp_path):
    for k, plane in enumerate(hu(12)):
        tifffile.imwrite(tmp_path / f"slice{k}.tif", plane)
    assert np.array_equal(read_scan(tmp_path).hu, hu(12))


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.int8, 1), *itertools.product([np.uint8, np.uint16, np.int16, np.float32], [1, 127])],
)
def test_a_stack_of_masks_is_laid_on_slice_by_slice(tmp_path, dtype, scale):
    tifffile.imwrite(tmp_path / "ct.tif", hu())
    tifffile.imwrite(tmp_path / "mask.tif", (masks().astype(np.int32) * scale).astype(dtype))
    truth = read_truth(tmp_path / "mask.tif", read_scan(tmp_path / "ct.tif"))
    assert np.array_equal(truth.labels, masks())


def test_stacks_of_liver_and_tumor_go_by_their_names(tmp_path):
    tifffile.imwrite(tmp_path / "ct.tif", hu())
    (tmp_path / "truth").mkdir()
    tifffile.imwrite(tmp_path / "truth" / "liver.tif", (masks() > 0).astype(np.uint8) * 255)
    tifffile.imwrite(tmp_path / "truth" / "tumor.tif", (masks() == TUMOR).astype(np.uint8) * 255)
    truth = read_truth(tmp_path / "truth", read_scan(tmp_path / "ct.tif"))
    assert np.array_equal(truth.labels, masks())


def test_a_mask_is_no_scan(tmp_path):
    for name, array in (("bytes", masks()), ("words", masks().astype(np.int16))):
        tifffile.imwrite(tmp_path / f"{name}.tif", array)
        with pytest.raises(NotAScan) as refusal:
            read_scan(tmp_path / f"{name}.tif")
        assert refusal.value.code == "picture.mask_not_scan"


def test_thumbnails_are_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "ct.tif") as writer:
        for plane in hu():
            writer.write(plane)
            writer.write(np.ascontiguousarray(plane[::4, ::4]), subfiletype=1)
    assert np.array_equal(read_scan(tmp_path).hu, hu())


# ---------------------------------------------------------------- hostile files


def test_a_chain_of_pages_that_bites_its_tail_is_damage(tmp_path):
    tifffile.imwrite(tmp_path / "ct.tif", hu())
    content = bytearray((tmp_path / "ct.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * count, first)
    (tmp_path / "ct.tif").write_bytes(content)
    with pytest.raises(BrokenFile):
        read_scan(tmp_path)


def test_a_hundred_thousand_pages_are_refused_before_one_is_decoded(tmp_path):
    page = struct.pack("<HHHIIHHIIH", 2, 256, 3, 1, 8, 257, 3, 1, 8, 0)[:26]
    content = bytearray(b"II*\0" + struct.pack("<I", 8))
    for _ in range(100_000):
        content += page + struct.pack("<I", len(content) + len(page) + 4)
    (tmp_path / "ct.tif").write_bytes(content)
    with pytest.raises(TooLarge):
        read_scan(tmp_path)


@pytest.mark.parametrize("width", [1_000_000, 60_000])
def test_a_page_that_announces_too_much_is_refused(tmp_path, width):
    tifffile.imwrite(tmp_path / "ct.tif", grays())
    content = (tmp_path / "ct.tif").read_bytes()
    changed = content.replace(
        struct.pack("<HHI", 256, 4, 1) + struct.pack("<I", 40),
        struct.pack("<HHI", 256, 4, 1) + struct.pack("<I", width),
    )
    changed = changed.replace(
        struct.pack("<HHIHH", 256, 3, 1, 40, 0), struct.pack("<HHII", 256, 4, 1, width)
    )
    assert changed != content
    (tmp_path / "ct.tif").write_bytes(changed)
    with pytest.raises((TooLarge, NotAScan)):
        read_scan(tmp_path)


@pytest.mark.parametrize("c1", ["nan", "0", "inf"])
def test_a_calibration_that_makes_no_sense_is_refused(tmp_path, c1):
    about = CALIBRATION | {"cf": 0, "c0": -32768.0, "c1": c1}
    tifffile.imwrite(tmp_path / "ct.tif", hu().astype(np.uint16), imagej=True, metadata=about)
    with pytest.raises(BrokenFile):
        read_scan(tmp_path)


def test_a_stack_of_which_one_page_is_left_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "ct.tif", grays(), imagej=True, metadata=CALIBRATION)
    content = bytearray((tmp_path / "ct.tif").read_bytes())
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<I", content, first + 2 + 12 * count, 0)
    (tmp_path / "ct.tif").write_bytes(content)
    with pytest.raises(NotAScan) as refusal:
        read_scan(tmp_path)
    assert refusal.value.code == "picture.pages_missing"
