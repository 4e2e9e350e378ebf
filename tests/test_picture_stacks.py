"""Pictures that are no single stack: slices with masks, several volumes, copies and previews."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from liverseg.errors import ChoiceNeeded, NotAScan
from liverseg.reading.upload import read_scan, read_truth

COUNT = 6
z, y, x = np.indices((COUNT, 96, 96))
LIVER = ((y - 42) / 22) ** 2 + ((x - 36) / 18) ** 2 + ((z - 1.5) / 4) ** 2 < 1
TUMOR = LIVER & (((y - 42) / 9) ** 2 + ((x - 34) / 8) ** 2 < 1)
BODY = ((y - 48) / 36) ** 2 + ((x - 48) / 42) ** 2 < 1


def grays(seed: int = 0) -> np.ndarray:
    """(z, y, x) uint8 that look like slices in a liver window."""
    noise = np.random.default_rng(seed).integers(0, 40, z.shape)
    return (np.where(LIVER, 190, np.where(BODY, 110, 0)) + noise).astype(np.uint8)


def overlay(gray: np.ndarray) -> np.ndarray:
    colored = np.stack([gray] * 3, axis=-1)
    colored[LIVER, 0] = 255
    return colored


CT, MASK = grays(), (LIVER * 255).astype(np.uint8)
TINY = CT[:, ::2, ::2]
SLICES = {"ct": CT, "mask": MASK, "tiny": TINY, "overlay": overlay(CT), "other": grays(1)}
SLICES["red"] = np.stack([MASK, MASK * 0, MASK * 0], axis=-1)
SLICES |= {f"ct{k}": grays(10 + k) for k in range(3)}
SLICES |= {
    "tumor": (TUMOR * 255).astype(np.uint8),
    "three": (MASK // 2 + TUMOR * 128).astype(np.uint8),
}


def save(folder: Path, layout: dict[str, str]) -> Path:
    """Writes stacks of pictures; `{k}` in a name is the slice, `{n}` the slice counted from 1."""
    for name, what in layout.items():
        for k, plane in enumerate(SLICES[what]):
            path = folder / name.format(k=k, n=k + 1, letter="abcdefgh"[k])
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(plane).save(path)
            if "{" not in name:
                break
    return folder


BESIDE = {
    "folders": {"images/slice_{k}.png": "ct", "masks/slice_{k}.png": "mask"},
    "suffix": {"slice_{k}.png": "ct", "slice_{k}_mask.png": "mask"},
    "prefix": {"img_{k}.png": "ct", "label_{k}.png": "mask"},
    "upper case": {"IMAGES/SLICE_{n}.PNG": "ct", "LABELS/SLICE_{n}.PNG": "mask"},
    "deep folders": {"a/b/ct/001/{k}.png": "ct", "a/b/gt/001/{k}.png": "mask"},
    "one folder per slice": {"{n}/image.png": "ct", "{n}/seg.png": "mask"},
    "two formats of one name": {"{k:03d}.jpg": "ct", "{k:03d}.png": "mask"},
    "JPEG masks": {"im{k}.jpg": "ct", "im{k}_GT.jpg": "mask"},
    "spaces": {"scan {n}.png": "ct", "scan {n} - Segmentation.png": "mask"},
    "camel case": {"caseSlice{k}.png": "ct", "caseSlice{k}Annotation.png": "mask"},
    "names without numbers": {"{letter}.png": "ct", "{letter}_mask.png": "mask"},
    "Spanish": {"corte_{k}.png": "ct", "máscara_{k}.png": "mask"},
    "LiTS": {"volume-2_slice_{k}.png": "ct", "segmentation-2_slice_{k}.png": "mask"},
    "overlays too": {"ct/{k}.png": "ct", "mask/{k}.png": "mask", "overlay/{k}.png": "overlay"},
    "a preview too": {"ct/{k}.png": "ct", "mask/{k}.png": "mask", "preview.jpg": "tiny"},
    "names that say nothing": {"a/{k}.png": "ct", "b/{k}.png": "mask"},
    "one of several in one folder": {"slice_{k}.png": "ct", "slice_{k}_liver.png": "mask"},
    "colored masks": {"ct/{k}.png": "ct", "x/{k}.png": "red"},
    "counted on": {"p_{k}_a.png": "ct", "p_{k}_b.png": "mask"},
}


@pytest.mark.parametrize("layout", BESIDE.values(), ids=BESIDE)
def test_masks_beside_slices_are_left_out_offered_and_read_as_truth(tmp_path, layout):
    folder = save(tmp_path / "upload", layout)
    volume = read_scan(folder)
    assert volume.shape == CT.shape
    assert volume.hu[:, BODY[0]].min() > -40  # no mask among them
    codes = [notice.code for notice in volume.notices]
    assert codes[:2] == ["upload.left_out", "upload.masks_beside"]
    assert "6 masks" in volume.notices[0]
    truth = read_truth(folder, volume)
    assert abs(truth.liver.sum() / LIVER.sum() - 1) < 0.03


def test_masks_too_rough_to_be_read_are_left_out_all_the_same(tmp_path):
    volume = read_scan(save(tmp_path, {"CT/{k}.png": "ct", "Ground/{k}.jpg": "three"}))
    assert volume.shape == CT.shape
    assert "6 masks" in volume.notices[0]


def test_masks_of_liver_and_tumors_beside_slices(tmp_path):
    layout = {"ct/{k}.png": "ct", "liver/{k}.png": "mask", "tumor/{k}.png": "tumor"}
    volume = read_scan(save(tmp_path / "upload", layout))
    truth = read_truth(tmp_path / "upload", volume)
    assert np.array_equal(truth.liver, LIVER)
    assert np.array_equal(truth.tumor, TUMOR)


def test_masks_among_slices_of_one_pattern_are_told_by_their_pixels(tmp_path):
    for k in range(COUNT):
        Image.fromarray(CT[k]).save(tmp_path / f"{2 * k:05d}.png")
        Image.fromarray(MASK[k]).save(tmp_path / f"{2 * k + 1:05d}.png")
    volume = read_scan(tmp_path)
    assert volume.shape[0] == COUNT
    assert np.array_equal(read_truth(tmp_path, volume).liver, LIVER)


SEVERAL = {
    "numbers in names": {
        f"volume-{n}_slice_{{k}}.jpg": f"ct{i}" for i, n in enumerate((2, 10, 11))
    },
    "numbers without words": {f"{n}_{{k}}.png": f"ct{i}" for i, n in enumerate((2, 10, 11))},
    "series of images": {f"IM-{n:04d}-{{k:04d}}.jpg": f"ct{i}" for i, n in enumerate((1, 2, 3))},
    "phases": {f"slice_{{k}}_phase_{i}.png": f"ct{i}" for i in range(3)},
    "slice first": {f"slice_{{k}}_patient_{n}.png": f"ct{i}" for i, n in enumerate((2, 10, 11))},
    "words": {f"{name}_{{k}}.png": f"ct{i}" for i, name in enumerate(("anna", "bob", "eve"))},
    "folders": {f"patient{n}/{{k}}.png": f"ct{i}" for i, n in enumerate((1, 2, 3))},
    "folders numbered on": {f"p{i}/{{k}}{i}.png": f"ct{i}" for i in range(3)},
}


@pytest.mark.parametrize("layout", SEVERAL.values(), ids=SEVERAL)
def test_slices_of_several_volumes_are_a_choice(tmp_path, layout):
    folder = save(tmp_path / "upload", layout)
    with pytest.raises(ChoiceNeeded) as needed:
        read_scan(folder)
    assert len(set(needed.value.choice.options)) == 3
    first = read_scan(folder, choose="scan=0")
    assert first.shape == CT.shape
    assert "12 pictures" in first.notices[0]
    found = {read_scan(folder, choose=one).hu.tobytes() for one in needed.value.choice.answers}
    assert len(found) == 3


def test_equal_volumes_of_different_names_are_asked_for_too(tmp_path):
    layout = {f"volume-{n}_slice_{{k}}.jpg": "ct" for n in (2, 10)}
    with pytest.raises(ChoiceNeeded):
        read_scan(save(tmp_path, layout))


def test_the_masks_of_the_chosen_volume_are_its_truth(tmp_path):
    for name, what in {"p1": "mask", "p2": "tumor"}.items():
        save(tmp_path / "upload", {f"{name}/img/{{k}}.png": "ct1", f"{name}/mask/{{k}}.png": what})
    with pytest.raises(ChoiceNeeded):
        read_scan(tmp_path / "upload")
    volume = read_scan(tmp_path / "upload", choose="scan=1")
    assert "6 masks" in volume.notices[0]
    truth = read_truth(tmp_path / "upload", volume, choose="scan=1")
    assert np.count_nonzero(truth.labels) == TUMOR.sum()
    with pytest.raises(ChoiceNeeded) as needed:
        read_truth(tmp_path / "upload", volume)
    assert needed.value.choice.question == "masks"
    truth = read_truth(tmp_path / "upload", volume, choose="masks=0")
    assert np.array_equal(truth.liver, LIVER)


@pytest.mark.parametrize(
    "layout",
    [
        {"{k:03d}.png": "ct", "{k:03d}.jpg": "ct"},
        {"png/{k:03d}.png": "ct", "jpg/{k:03d}.jpg": "ct"},
        {"{k}.png": "ct", "{n:03d}.jpeg": "ct"},
    ],
)
def test_a_slice_in_two_formats_is_read_once_and_without_loss(tmp_path, layout):
    volume = read_scan(save(tmp_path / "twice", layout))
    once = read_scan(save(tmp_path / "once", {"{k}.png": "ct"}))
    assert np.array_equal(volume.hu, once.hu)
    assert "6 duplicate slices" in volume.notices[0]


@pytest.mark.parametrize(
    ("layout", "left_out"),
    [
        ({"{k}.png": "ct", "preview.jpg": "tiny"}, "1 picture"),
        ({"{k}.png": "ct", "THUMBS/{k}.jpg": "tiny"}, "6 pictures"),
        ({"ct/{k}.png": "ct", "drawn/{k}.png": "overlay"}, "6 pictures"),
        ({"{k}.png": "ct", "{k}_overlay.png": "overlay"}, "6 pictures"),
    ],
)
def test_previews_and_overlays_are_left_out(tmp_path, layout, left_out):
    volume = read_scan(save(tmp_path, layout))
    assert volume.shape == CT.shape
    assert left_out in volume.notices[0]


def test_two_windows_of_one_scan_are_a_choice(tmp_path):
    with pytest.raises(ChoiceNeeded):
        read_scan(save(tmp_path, {"liver/{k}.png": "ct", "lung/{k}.png": "other"}))


ONE = [
    {"IMG_20240101_1203{k}_{k}.png": "ct"},
    {"1.2.840.{k}.png": "ct"},
    {"{n}/slice.png": "ct"},
    {"{letter}.png": "ct"},
    {"1.2.{k}{k}7_z{n}.jpg": "ct"},
    {"liver_segmentation_data/CT/{k}.png": "ct"},
    {"masks/CT_{k}.png": "ct"},
]


@pytest.mark.parametrize("layout", ONE, ids=str)
def test_one_scan_stays_one_whatever_its_names(tmp_path, layout):
    assert read_scan(save(tmp_path, layout)).shape == CT.shape


@pytest.mark.parametrize("what", ["mask", "three"])
@pytest.mark.parametrize("name", ["masks/{k}.jpg", "{k}.jpg", "a/{k}.png"])
def test_masks_alone_are_never_a_scan(tmp_path, what, name):
    with pytest.raises(NotAScan, match="mask"):
        read_scan(save(tmp_path, {name: what}))


def test_slices_beside_masks_in_the_truth_are_left_out_and_said(tmp_path):
    volume = read_scan(save(tmp_path / "scan", {"{k}.png": "ct"}))
    both = save(tmp_path / "both", {"ct/{k}.png": "ct", "gt/{k}.png": "mask"})
    truth = read_truth(both, volume)
    assert np.array_equal(truth.liver, LIVER)
    assert "6 pictures" in truth.notices[0]


def test_the_page_may_send_the_words_and_numbers_of_names_only(tmp_path):
    """As `upload_box.js` makes of volume-2_slice_7.png and of its mask."""
    layout = {f"qaaaa volume {n} slice {{k}}.png": f"ct{n}" for n in (0, 1)}
    layout |= {f"qaaaa segmentation {n} slice {{k}}.png": "mask" for n in (0, 1)}
    folder = save(tmp_path / "upload", layout)
    volume = read_scan(folder, choose="scan=1")
    assert (
        "6 masks, 12 pictures" in volume.notices[0] or "12 pictures, 6 masks" in volume.notices[0]
    )
    assert np.array_equal(read_truth(folder, volume, choose="scan=1").liver, LIVER)


def test_masks_of_some_slices_beside_them_are_their_truth(tmp_path):
    folder = save(tmp_path / "upload", {"ct/{k}.png": "ct", "gt/{k}.png": "mask"})
    for k in (0, 4, 5):
        (folder / "gt" / f"{k}.png").unlink()
    volume = read_scan(folder)
    assert volume.shape == CT.shape and "3 masks" in volume.notices[0]
    assert np.array_equal(read_truth(folder, volume).liver[1:4], LIVER[1:4])
