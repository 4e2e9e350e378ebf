"""PNG and JPEG slices of every depth and color."""

import zipfile
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from liverseg.errors import BrokenFile, NotAScan, TooLarge
from liverseg.reading.pictures import PICTURE_WINDOW_HU
from liverseg.reading.upload import read_scan

GREY = (np.arange(24 * 32).reshape(24, 32) * 255 // (24 * 32 - 1)).astype(np.uint8)
LOW, HIGH = PICTURE_WINDOW_HU


def as_hu(gray: np.ndarray) -> np.ndarray:
    return np.rint(LOW + gray / 255 * (HIGH - LOW)).astype(np.int16)


def save(pixels: np.ndarray | Image.Image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def rgba(gray: np.ndarray, alpha: int = 255) -> np.ndarray:
    return np.dstack([gray, gray, gray, np.full_like(gray, alpha)])


def test_a_gray_picture_spans_the_window_assumed(tmp_path):
    volume = read_scan(save(GREY, tmp_path / "slice.png"))
    assert np.array_equal(volume.hu[0], as_hu(GREY))
    assert (volume.hu.min(), volume.hu.max()) == (LOW, HIGH)
    assert volume.windowed == PICTURE_WINDOW_HU
    assert volume.spacing is None
    assert volume.source.kind == "picture"
    assert f"{LOW} to {HIGH} HU" in " ".join(volume.notices)


@pytest.mark.parametrize(
    "picture",
    [
        np.dstack([GREY, GREY, GREY]),
        rgba(GREY),
        Image.fromarray(GREY).convert("LA"),
        Image.fromarray(GREY).convert("P"),
        GREY.astype(np.uint16) * 257,
    ],
    ids=["rgb", "rgba", "gray with alpha", "palette", "16 bit"],
)
def test_every_way_to_store_gray_reads_the_same(tmp_path, picture):
    volume = read_scan(save(picture, tmp_path / "slice.png"))
    assert np.array_equal(volume.hu[0], as_hu(GREY))
    assert len(volume.notices) == 1


def test_a_jpeg_reads_nearly_the_same(tmp_path):
    volume = read_scan(save(GREY, tmp_path / "slice.jpg", quality=95))
    assert np.abs(volume.hu[0] - as_hu(GREY)).max() < 20


def test_the_extension_does_not_matter(tmp_path):
    path = save(GREY, tmp_path / "slice.png")
    path.rename(tmp_path / "upload")
    assert read_scan(tmp_path / "upload").shape == (1, 24, 32)


def test_transparent_is_black(tmp_path):
    pixels = rgba(GREY)
    pixels[:5, :, 3] = 0
    volume = read_scan(save(pixels, tmp_path / "slice.png"))
    assert (volume.hu[0, :5] == LOW).all()
    assert np.array_equal(volume.hu[0, 5:], as_hu(GREY[5:]))


def test_numbers_in_names_may_have_thousands_of_digits(tmp_path):
    names = {"1" * 5000: 0, "0" * 4999 + "12": 40, "7": 80, "2" + "0" * 5000: 120}
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as made:
        for name, gray in names.items():
            stream = BytesIO()
            save_to = Image.fromarray(GREY // 2 + np.uint8(gray))
            save_to.save(stream, "PNG")
            made.writestr(f"{name}.png", stream.getvalue())
    volume = read_scan(tmp_path / "pictures.zip")
    assert np.array_equal(np.argsort(volume.hu[:, 0, 0]), [2, 1, 0, 3])


def test_several_pictures_are_in_the_natural_order_of_their_names(tmp_path):
    for k in range(12):
        save(np.roll(GREY, k, axis=1), tmp_path / f"slice_{k}.png")
    volume = read_scan(tmp_path)
    assert np.array_equal(volume.hu, [as_hu(np.roll(GREY, k, axis=1)) for k in range(12)])


def test_a_name_may_hold_a_digit_that_is_no_number(tmp_path):
    for k in range(2):
        save(np.roll(GREY, k, axis=1), tmp_path / "cm²" / f"slice{k}.png")
    assert len(read_scan(tmp_path).hu) == 2


def test_a_few_colored_marks_are_said_and_a_color_picture_is_refused(tmp_path):
    pixels = np.dstack([GREY, GREY, GREY])
    pixels[2:4, 2:6] = (255, 255, 0)
    volume = read_scan(save(pixels, tmp_path / "marked.png"))
    assert "colored" in " ".join(volume.notices)
    assert volume.hu[0, 2, 2] == as_hu(np.array(226))
    photo = np.dstack([GREY, 255 - GREY, np.full_like(GREY, 200)])
    with pytest.raises(NotAScan, match="color picture"):
        read_scan(save(photo, tmp_path / "photo.png"))


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        ((GREY > 200) * np.uint8(255), "mask.png"),
        ((GREY > 200).astype(np.uint8), "mask.png"),
        ((GREY > 200) * np.uint8(255), "mask.jpg"),
        (np.digitize(GREY, [100, 200]).astype(np.uint8), "labels.png"),
        (np.array([0, 127, 255], np.uint8)[np.digitize(GREY, [100, 200])], "labels.png"),
        (Image.fromarray((GREY > 200) * np.uint8(255)).convert("1"), "mask.png"),
    ],
)
def test_masks_in_the_scan_box_are_refused(tmp_path, picture, name):
    with pytest.raises(NotAScan, match="mask"):
        read_scan(save(picture, tmp_path / name))


@pytest.mark.parametrize("offset", [0, 32768])
def test_16_bit_values_of_unknown_meaning_are_refused(tmp_path, offset):
    raw = (GREY.astype(np.uint16) * 8 + offset).astype(np.uint16)
    with pytest.raises(NotAScan, match="16-bit"):
        read_scan(save(raw, tmp_path / "slice.png"))


def test_pictures_of_two_sizes_are_refused_with_both(tmp_path):
    save(GREY, tmp_path / "a.png")
    save(GREY[:20], tmp_path / "b.png")
    with pytest.raises(NotAScan, match="32×24 and 32×20"):
        read_scan(tmp_path)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_cut_picture_is_refused(tmp_path, format, keep):
    stream = BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(stream, format)
    content = stream.getvalue()
    (tmp_path / "slice").write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(BrokenFile):
        read_scan(tmp_path)


def test_a_picture_of_too_many_pixels_is_refused_from_its_header(tmp_path):
    save(Image.new("1", (20_000, 20_000)), tmp_path / "bomb.png")
    with pytest.raises(TooLarge, match="too many pixels"):
        read_scan(tmp_path)


def test_a_real_slice_saved_as_a_picture_is_read(real_data, tmp_path):
    path = next((real_data / "ct").glob("*/z*[0-9].webp"))
    with Image.open(path) as image:
        gray = np.asarray(image.convert("L"))
    volume = read_scan(save(gray, tmp_path / "slice.png"))
    assert np.array_equal(volume.hu[0], as_hu(gray))
