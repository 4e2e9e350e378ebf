"""Data sets as labelled cases, and a split that keeps a patient on one side."""

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from liverseg.errors import DataError
from liverseg.network.recipe import Recipe
from liverseg.phantom import make_phantom
from liverseg.phantom.files import placed, write_dicom, write_ircadb_masks
from liverseg.training import fingerprint
from liverseg.training.augment import SHADING, random_contrast, random_intensity, with_shading
from liverseg.training.cache import MANIFEST, packed
from liverseg.training.datasets import (
    cases_of_side,
    read_data,
    read_phantoms,
    read_sides,
    read_slice_folders,
)
from liverseg.training.drawn_lesions import (
    CYST_HU,
    SOLID_HU,
    UNLIKE_HU,
    Slab,
    insert_cysts,
    insert_notches,
    insert_organs,
    insert_tumors,
)
from liverseg.training.labelled_scan import UNANNOTATED, LabelledScan
from liverseg.training.pseudo_labels import pseudo_label
from liverseg.training.samples import LiverSamples, TumorSamples, is_picture, neighbors
from liverseg.training.split import random_sides, split_cases
from liverseg.volume import Segmentation, Spacing, Volume
from liverseg.writing.labels import write_nifti

SMALL = Recipe(size=64, filters=(4, 8))


def make_case(name="a", patient="a", tumor=2, slices=6, z_mm=2.5) -> LabelledScan:
    """A square liver of 100 HU; `tumor` is the label of the lesion in slices 2 and 3."""
    labels = np.zeros((slices, 96, 96), np.uint8)
    labels[1:5, 20:70, 20:70] = 1
    labels[2:4, 30:40, 30:40] = tumor
    hu = np.choose(labels, [-100, 100, 50, 100]).astype(np.int16)
    return LabelledScan(name, patient, hu, labels, np.arange(slices) * z_mm, 0.75)


def test_scans_of_one_patient_on_two_sides_are_refused():
    cases = [make_case("first", "p"), make_case("second", "p")]
    sides = {"train": ["first"], "val": ["second"], "test": []}
    with pytest.raises(ValueError, match="Patient p would be in train and in val"):
        split_cases(cases, sides)


def test_a_patient_that_two_sides_name_is_refused():
    sides = {"train": [], "val": ["p"], "test": ["p"]}
    with pytest.raises(ValueError, match="Patient p would be in val and in test"):
        split_cases([make_case("a", "p")], sides)


def test_all_scans_of_a_patient_go_where_the_patient_is_named():
    cases = [make_case("a", "p"), make_case("b", "p"), make_case("c", "q")]
    split = split_cases(cases, {"train": [], "val": ["p"], "test": []})
    assert [case.name for case in split["val"]] == ["a", "b"]
    assert [case.name for case in split["train"]] == ["c"]
    assert split["test"] == []


def test_a_random_split_shares_out_patients_with_tumors():
    cases = [make_case(f"s{k}", f"p{k // 2}", tumor=1 + (k < 10)) for k in range(20)]
    sides = random_sides(cases, seed=3)
    assert sorted(name for side in sides.values() for name in side) == sorted(
        {case.patient for case in cases}
    )
    split = split_cases(cases, sides)
    for side in ("val", "test"):
        assert {bool((case.labels == 2).any()) for case in split[side]} == {True, False}
    assert random_sides(cases, seed=3) == sides


def test_two_patients_are_too_few_for_a_split():
    with pytest.raises(ValueError, match="at least 3 patients, but there are 1"):
        random_sides([make_case()])


@pytest.fixture
def data(tmp_path):
    """A data set of one file, which the tests' own readers do not look at."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "volume-0.nii").write_bytes(b"voxels")
    return tmp_path / "data"


def test_packed_cases_come_back_as_they_were(data, tmp_path):
    case = dataclasses.replace(make_case("lits_001", "ircad_01"), stored_hu=(-40, 160))
    reads = []

    def read(source):
        reads.append(source)
        yield case

    (written,) = packed(data, tmp_path / "cache", read)
    (again,) = packed(data, tmp_path / "cache", read)
    assert len(reads) == 1
    for found in (written, again):
        assert (found.name, found.patient, found.pixel_mm) == ("lits_001", "ircad_01", 0.75)
        assert (found.stored_hu, found.digest) == ((-40, 160), case.digest)
        np.testing.assert_array_equal(found.hu, case.hu)
        np.testing.assert_array_equal(found.labels, case.labels)
        np.testing.assert_array_equal(found.z_mm, case.z_mm)


def test_a_cache_that_was_cut_short_is_written_again(data, tmp_path):
    cases = [make_case("a", "p"), make_case("b", "q")]

    def read_and_stop(source):
        yield cases[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(data, tmp_path / "cache", read_and_stop)
    found = packed(data, tmp_path / "cache", lambda source: cases)
    assert [case.name for case in found] == ["a", "b"]
    (tmp_path / "cache" / MANIFEST).unlink()
    found = packed(data, tmp_path / "cache", lambda source: cases[1:])
    assert [case.name for case in found] == ["b"]


@pytest.mark.parametrize("damage", ["scan lost", "file lost", "file cut", "other code"])
def test_a_cache_that_is_not_what_was_written_is_written_again(damage, data, tmp_path, monkeypatch):
    cases, folder = [make_case("a", "p"), make_case("b", "q")], tmp_path / "cache"
    packed(data, folder, lambda source: cases)
    match damage:
        case "scan lost":
            shutil.rmtree(folder / "b")
        case "file lost":
            (folder / "b" / "about.json").unlink()
        case "file cut":
            path = folder / "b" / "labels.npy"
            path.write_bytes(path.read_bytes()[:-100])
        case "other code":
            monkeypatch.setattr(fingerprint, "of_code", lambda *parts: "of tomorrow")
    again = []
    found = packed(data, folder, lambda source: again.append(source) or cases)
    assert again == [data]
    assert [(case.name, case.digest) for case in found] == [(c.name, c.digest) for c in cases]


def test_an_empty_folder_is_refused_and_takes_no_cache_for_its_own(tmp_path):
    packed(Path("phantom"), tmp_path / "cache", lambda source: [make_case()])
    for name in ("LiTS", "phantom"):
        (tmp_path / name).mkdir()
        for cache in ("cache", "new"):
            with pytest.raises(ValueError, match=f"{name} holds no slice folders"):
                packed(tmp_path / name, tmp_path / cache, read_data)


def test_a_data_set_without_any_scan_is_refused(tmp_path):
    (tmp_path / "data" / "ct").mkdir(parents=True)
    (tmp_path / "data" / "split.json").write_text('{"train": [], "val": [], "test": []}')
    with pytest.raises(ValueError, match="holds no slice folders"):
        packed(tmp_path / "data", tmp_path / "cache", read_data)
    assert not (tmp_path / "cache" / MANIFEST).exists()


def test_a_cache_inside_its_data_set_is_refused(data):
    with pytest.raises(ValueError, match="lies inside the data set"):
        packed(data, data / "work" / "cache", read_data)


def test_a_cache_of_other_data_is_refused_and_kept(tmp_path):
    for name in ("first", "second"):
        write_slice_folder(tmp_path / name / "ct" / name, make_case(name, name))
    packed(tmp_path / "first", tmp_path / "cache", read_data)
    with pytest.raises(ValueError, match="holds the cache of other data"):
        packed(tmp_path / "second", tmp_path / "cache", read_data)
    (tmp_path / "first").rename(tmp_path / "moved")
    (case,) = packed(tmp_path / "moved", tmp_path / "cache", read_data)
    assert case.name == "first"


def test_a_spacing_that_was_corrected_since_is_noticed(tmp_path):
    write_slice_folder(tmp_path / "data" / "ct" / "a", make_case())
    packed(tmp_path / "data", tmp_path / "cache", read_data)
    about = tmp_path / "data" / "ct" / "a" / "case.json"
    about.write_text(about.read_text().replace("0.75", "0.85"))  # as long as before
    with pytest.raises(ValueError, match="holds the cache of other data"):
        packed(tmp_path / "data", tmp_path / "cache", read_data)


@pytest.mark.parametrize("change", ["hu", "labels", "z_mm", "pixel_mm", "patient", "measured"])
def test_a_scan_s_digest_tells_it_from_one_that_differs_anywhere(change):
    case = make_case()
    now = getattr(case, change)
    other = {"patient": "q", "measured": False}.get(change)
    changed = dataclasses.replace(case, **{change: now + 1 if other is None else other})
    assert case.digest == make_case("another name").digest
    assert case.digest != changed.digest


def test_half_of_a_data_set_is_not_taken_for_a_whole_one(phantom, tmp_path):
    volume, truth = phantom
    lits, msd, ircadb = (tmp_path / name for name in ("lits", "msd", "ircadb"))
    for folder in (lits, msd / "imagesTr"):
        folder.mkdir(parents=True)
    write_nifti(volume, placed(volume), lits / "volume-3.nii")
    write_nifti(volume, placed(volume), msd / "imagesTr" / "liver_3.nii.gz")
    write_dicom(volume, ircadb / "3Dircadb1.2" / "PATIENT_DICOM")
    (tmp_path / "slices" / "ct" / "lits_003").mkdir(parents=True)
    for root, missing in (
        (lits, "segmentation-3.nii"),
        (msd, "liver_3.nii.gz"),
        (ircadb, "MASKS_DICOM"),
        (tmp_path / "slices", "case.json"),
    ):
        with pytest.raises(DataError, match=f"has no {missing}: the data set is not complete"):
            list(read_data(root))
    (lits / "volume-3.nii").write_bytes(b"half")
    write_nifti(truth, placed(volume), lits / "segmentation-3.nii")
    with pytest.raises(DataError, match=r"volume-3\.nii cannot be read"):
        list(read_data(lits))


def test_a_stored_split_of_patients_who_are_not_there_is_refused(tmp_path):
    write_slice_folder(tmp_path / "ct" / "a", make_case("a", "p"))
    sides = {"train": [], "val": [], "test": ["p", "lits_009"]}
    (tmp_path / "split.json").write_text(json.dumps(sides))
    with pytest.raises(DataError, match="names lits_009, whom"):
        read_sides(tmp_path, list(read_data(tmp_path)))
    scored = cases_of_side(tmp_path, "test")
    assert next(scored).patient == "p"
    with pytest.raises(DataError, match="names lits_009, whom"):
        next(scored)


def write_slice_folder(folder, case: LabelledScan, window=(-100, 200)):
    folder.mkdir(parents=True)
    about = {
        "case": case.name,
        "patient": case.patient,
        "window_hu": window,
        "spacing_zyx_mm": [2.5, 0.75, 0.75],
        "slices": list(range(0, 2 * len(case.hu), 2)),
    }
    (folder / "case.json").write_text(json.dumps(about))
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
    for z, hu, labels in zip(about["slices"], case.hu, case.labels, strict=True):
        gray = np.rint((np.clip(hu, *window) - window[0]) * (255 / (window[1] - window[0])))
        cv2.imwrite(str(folder / f"z{z:04d}.webp"), gray.astype(np.uint8), lossless)
        cv2.imwrite(str(folder / f"z{z:04d}_label.png"), labels)


def test_a_slice_folder_is_read_in_hu_with_its_gaps(tmp_path):
    case = make_case("a", "p")
    write_slice_folder(tmp_path / "ct" / "a", case)
    (read,) = read_slice_folders(tmp_path / "ct")
    assert np.abs(read.hu - case.hu).max() <= 1
    np.testing.assert_array_equal(read.labels, case.labels)
    np.testing.assert_allclose(np.diff(read.z_mm), 5.0)
    assert (read.name, read.patient) == ("a", "p")


def test_single_pictures_stand_alone_and_keep_their_patient(tmp_path):
    write_slice_folder(tmp_path / "ct" / "ircad_08", make_case("ircad_08", "ircad_08"))
    pictures = tmp_path / "msd_slices"
    pictures.mkdir()
    for name in ("lits035_10", "lits035_11", "other00001_3"):
        cv2.imwrite(str(pictures / f"{name}.webp"), np.full((64, 64), 128, np.uint8))
        cv2.imwrite(str(pictures / f"{name}_label.png"), np.eye(64, dtype=np.uint8))
    cases = list(read_data(tmp_path))
    assert [case.name for case in cases] == ["ircad_08", "lits035_pictures", "other00001_pictures"]
    assert [is_picture(case) for case in cases] == [False, True, True]
    assert set(np.unique(cases[1].labels)) == {0, UNANNOTATED}
    assert neighbors(cases[1], 0, 3.0) == (0, 0)
    split = split_cases(cases, {"train": [], "val": [], "test": ["ircad_08"]})
    assert [case.name for case in split["test"]] == ["ircad_08", "lits035_pictures"]


def test_a_folder_without_a_data_set_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no slice folders"):
        list(read_data(tmp_path))


def test_neighbors_are_the_slices_nearest_to_a_distance():
    case = make_case(z_mm=1.0, slices=8)
    assert neighbors(case, 4, 3.0) == (1, 7)
    assert neighbors(case, 4, 0.2) == (3, 5)
    assert neighbors(case, 0, 3.0) == (0, 3)
    assert neighbors(make_case(z_mm=10.0), 2, 3.0) == (2, 2)


def test_liver_samples_count_unannotated_liver_as_liver():
    rng = np.random.default_rng(0)
    samples = LiverSamples([make_case(tumor=UNANNOTATED)], SMALL)
    drawn = [samples.draw(rng, 32) for _ in range(20)]
    assert all(s.image.shape == (32, 32, 3) and s.image.dtype == np.float32 for s in drawn)
    assert all(s.image.min() >= 0 and s.image.max() <= 1 for s in drawn)
    assert {s.mask.any() for s in drawn} == {np.True_, np.False_}
    # the lesion's place is liver too: the mask has no hole
    assert max(s.mask.mean() for s in drawn) > 0.15


def test_tumor_samples_never_show_a_slice_whose_tumors_were_not_annotated():
    seen = set()

    class Noted(TumorSamples):
        def _crop(self, rng, case, z, channels, size, real):
            seen.add(z)
            return super()._crop(rng, case, z, channels, size, real)

    case = make_case()
    case.labels[2:4][case.labels[2:4] > 0] = UNANNOTATED
    samples, rng = Noted([case], SMALL, synthetic=0), np.random.default_rng(0)
    drawn = [samples.draw(rng, 32) for _ in range(20)]
    assert seen == {1, 4}
    assert not any(s.mask.any() for s in drawn)


def test_half_of_the_tumor_samples_come_from_slices_with_tumors():
    samples, rng = TumorSamples([make_case()], SMALL, synthetic=0), np.random.default_rng(0)
    drawn = [samples.draw(rng, 32) for _ in range(60)]
    assert 15 <= sum(s.mask.any() for s in drawn) <= 40
    assert all((s.weight == 1).all() for s in drawn)


def test_liver_that_nobody_annotated_counts_in_no_tumor_loss():
    case = make_case()
    case.labels[:, 50:70] *= UNANNOTATED
    samples, rng = TumorSamples([case], SMALL, synthetic=0), np.random.default_rng(0)
    drawn = [samples.draw(rng, 32) for _ in range(20)]
    assert {value for s in drawn for value in np.unique(s.weight)} == {0, 1}
    assert all((s.weight[s.mask] == 1).all() for s in drawn)


class Teacher:
    """Sure of the dark, unsure of what is less dark."""

    recipe = SMALL

    def predict(self, image):
        gray = image[..., 1]
        return np.select([gray < 0.45, gray < 0.6], [0.9, 0.3], 0)


def test_a_teacher_labels_what_it_is_sure_of():
    case = make_case(tumor=UNANNOTATED)
    case.hu[2:4, 30:40, 30:40], case.hu[2, 50:60, 50:60] = 30, 80
    case.labels[2:4, 20:70, 20:70] = UNANNOTATED
    labels = pseudo_label(case, Teacher()).labels
    assert (labels[2, 32:38, 32:38] == 2).all()
    assert (labels[2, 52:58, 52:58] == UNANNOTATED).all()
    assert (labels[3, 52:58, 52:58] == 1).all()
    np.testing.assert_array_equal(labels > 0, case.labels > 0)
    annotated = make_case()
    assert pseudo_label(annotated, Teacher()) is annotated


def test_pictures_that_a_teacher_labelled_are_learned_from():
    picture = dataclasses.replace(make_case("p", "p"), z_mm=np.arange(6) * 1e3)
    samples = TumorSamples([picture], SMALL, synthetic=0)
    assert any(samples.draw(np.random.default_rng(k), 32).mask.any() for k in range(20))


def test_contrast_agent_brightens_what_is_brighter_than_water():
    image = np.linspace(0, 1, 11, dtype=np.float32)[:, None, None].repeat(3, -1)
    for seed in range(5):
        changed = random_contrast(np.random.default_rng(seed), image, 0.2)
        np.testing.assert_array_equal(changed[:3], image[:3])
        assert changed.max() <= 1
        assert not np.array_equal(changed, image)


def test_shading_is_smooth_faint_and_alike_in_the_three_slices():
    image = np.full((64, 64, 3), 0.5, np.float32)
    image[:8] = 0  # air
    for seed in range(8):
        changed = with_shading(np.random.default_rng(seed), image)
        shade = (changed - image)[8:]
        assert (changed[:8] == 0).all()
        assert 0 < np.abs(shade).max() < 1.5 * SHADING
        np.testing.assert_array_equal(shade[..., 0], shade[..., 2])
        assert np.abs(np.diff(shade, axis=1)).max() < SHADING / 2


@pytest.mark.parametrize("liver_hu", [60, 100, 150])
def test_scans_stored_in_8_bits_are_cut_off_as_uploads_are(liver_hu):
    """Fat and bone lie beyond the window, but the stored scan ends inside it."""
    uploaded = make_case()
    uploaded.hu[uploaded.labels == 1] = liver_hu
    uploaded.hu[:, :, 60:64] = 400
    hu = np.clip(uploaded.hu, -40, 160).astype(np.int16)
    stored = dataclasses.replace(uploaded, hu=hu, stored_hu=(-40, 160))
    drawn = [
        TumorSamples([case], SMALL).draw(np.random.default_rng(seed), 32).image
        for seed in range(8)
        for case in (uploaded, stored)
    ]
    for k in range(0, len(drawn), 2):
        np.testing.assert_array_equal(drawn[k], drawn[k + 1])
    low, high = liver_hu - 130, liver_hu + 70
    assert low < -40 or high > 160  # so a part of the window was lost


def test_the_noise_of_a_lone_slice_is_the_same_in_the_three_channels():
    """As in an uploaded picture, and in a scan whose neighbors are too far away."""
    flat = np.full((48, 48), 0.5, np.float32)
    others = np.stack([flat, flat + np.float32(0.1), flat], -1)
    noisy = 0
    for seed in range(40):
        one = np.stack([flat] * 3, -1)
        lone = random_intensity(np.random.default_rng(seed), one, lone=True)
        np.testing.assert_array_equal(lone[..., 0], lone[..., 1])
        np.testing.assert_array_equal(lone[..., 1], lone[..., 2])
        three = random_intensity(np.random.default_rng(seed), others)
        noisy += not np.array_equal(three[..., 0], three[..., 2])
    assert noisy > 10  # of slices that differ, each has its own


def test_a_picture_s_sample_is_one_slice_three_times_as_an_uploaded_picture_is():
    picture = dataclasses.replace(make_case(), z_mm=np.arange(6) * 1e3)
    all_drawn = {"synthetic": 1.0, "notches": 1.0}
    for samples in (
        LiverSamples([picture], SMALL, **all_drawn),
        TumorSamples([picture], SMALL, real=0.0, cysts=1.0, organs=1.0, **all_drawn),
    ):
        for seed in range(12):
            image = samples.draw(np.random.default_rng(seed), 32).image
            np.testing.assert_allclose(image[..., 1:], image[..., :-1], atol=1e-4)  # of rounding


def test_a_sample_depends_on_its_generator_only():
    cases = [make_case()]
    one, two = (TumorSamples(cases, SMALL).draw(np.random.default_rng(5), 32) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.mask, two.mask)


SLAB = Slab(0.75, 3.0, (-40, 160))


def square_liver() -> tuple[np.ndarray, np.ndarray]:
    """An even slice of 80 HU in that window, and its liver."""
    liver = np.zeros((96, 96), bool)
    liver[20:76, 20:76] = True
    return np.full((96, 96, 3), 0.6, np.float32), liver


def median_hu(image: np.ndarray, mask: np.ndarray) -> float:
    low, high = SLAB.window_hu
    return float(np.median(image[..., 1][mask])) * (high - low) + low


def test_synthetic_tumors_stay_in_the_liver_and_change_only_it():
    changed = 0
    for seed in range(12):
        image, liver = square_liver()
        label = insert_tumors(np.random.default_rng(seed), image, liver, SLAB)
        assert not (label & ~liver).any()
        np.testing.assert_allclose(image[:12], 0.6, atol=1e-6)
        if label.sum() > 20:
            changed += 1
            assert abs(float(image[..., 1][label].mean()) - 0.6) > 0.01
    assert changed >= 6


def test_no_tumor_is_drawn_where_there_is_hardly_any_liver():
    image = np.full((32, 32, 3), 0.6, np.float32)
    lesion = np.eye(32, dtype=bool), SLAB
    label = insert_tumors(np.random.default_rng(0), image, *lesion)
    insert_cysts(np.random.default_rng(0), image, *lesion)
    assert not label.any()
    assert (image == np.float32(0.6)).all()


def test_cysts_are_as_dark_as_fluid_and_synthetic_tumors_are_not():
    low, high = SLAB.window_hu
    cysts = 0
    for seed in range(12):
        image, liver = square_liver()
        label = insert_tumors(np.random.default_rng(seed), image, liver, SLAB)
        if label.any():
            assert median_hu(image, label) > SOLID_HU - 5
        image, liver = square_liver()
        insert_cysts(np.random.default_rng(seed), image, liver, SLAB)
        np.testing.assert_allclose(image[:12], 0.6, atol=1e-6)
        darkest_hu = image[..., 1].min() * (high - low) + low
        if darkest_hu < 70:
            cysts += 1
            assert darkest_hu > CYST_HU[0] - 1
    assert cysts >= 6


def test_organs_are_drawn_beside_the_liver_in_the_body_and_do_not_look_like_it():
    slab = Slab(1.5, 3.0, (-40, 160))
    body = cv2.circle(np.zeros((128, 128), np.uint8), (64, 64), 55, 1, cv2.FILLED).astype(bool)
    liver = np.zeros((128, 128), bool)
    liver[40:80, 25:60] = True
    drawn = 0
    for seed in range(24):
        image = np.where(body, np.float32(0.5), np.float32(0))[..., None].repeat(3, -1)  # 60 HU
        before = image.copy()
        insert_organs(np.random.default_rng(seed), image, liver, slab)
        changed = np.abs(image - before).max(-1) > 0.02
        assert not changed[cv2.erode(liver.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0].any()
        assert not changed[~body].any()
        if changed.any():
            drawn += 1
            assert np.abs(image - before).max() * 200 > 15
    assert drawn >= 12


def test_beside_no_liver_nothing_is_drawn():
    image = np.full((96, 96, 3), 0.6, np.float32)
    nothing = np.zeros((96, 96), bool)
    insert_organs(np.random.default_rng(0), image, nothing, SLAB)
    assert not insert_notches(np.random.default_rng(0), image, nothing, SLAB).any()
    assert (image == np.float32(0.6)).all()


def test_notches_lie_over_the_outline_and_are_as_dark_as_fluid_or_fat():
    drawn = 0
    for seed in range(24):
        image, liver = square_liver()
        notch = insert_notches(np.random.default_rng(seed), image, liver, SLAB)
        far = cv2.dilate(notch.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
        np.testing.assert_allclose(image[..., 1][far], 0.6, atol=1e-3)
        if notch.sum() > 100:
            drawn += 1
            assert 0 < (notch & liver).sum() < liver.sum()
            assert (notch & ~liver).any()
            assert median_hu(image, notch) <= SOLID_HU + 1
    assert drawn >= 12


def test_a_notch_does_not_look_like_the_liver():
    none = 0
    for seed in range(24):
        image, liver = np.full((96, 96, 3), 0.3, np.float32), square_liver()[1]  # 20 HU
        notch = insert_notches(np.random.default_rng(seed), image, liver, SLAB)
        none += not notch.any()
        if notch.any():
            assert median_hu(image, notch) < 20 - UNLIKE_HU + 1
    assert 3 <= none < 24


def test_what_a_notch_covers_is_no_liver(monkeypatch):
    monkeypatch.setattr(
        "liverseg.training.samples.random_intensity", lambda rng, image, *_, **__: image
    )
    case = make_case()
    case = dataclasses.replace(case, hu=np.maximum(case.hu, 40))  # tissue all around
    without, source = (
        LiverSamples([case], SMALL, synthetic=0.0, notches=chance) for chance in (0.0, 1.0)
    )
    smaller = 0
    for seed in range(24):
        sample = source.draw(np.random.default_rng(seed), 64)
        smaller += sample.mask.sum() < without.draw(np.random.default_rng(seed), 64).mask.sum()
        assert sample.weight.all()
    assert smaller >= 6


@pytest.mark.parametrize("drawn", ["cysts", "organs", "notches"])
def test_cysts_organs_and_notches_are_drawn_and_are_no_tumors(monkeypatch, drawn):
    monkeypatch.setattr(
        "liverseg.training.samples.random_intensity", lambda rng, image, lone: image
    )
    case = make_case(tumor=1)
    case = dataclasses.replace(case, hu=np.maximum(case.hu, 40))  # tissue all around
    others = {"synthetic": 0.0, "cysts": 0.0, "organs": 0.0, "notches": 0.0}
    without, source = (TumorSamples([case], SMALL, **others | {drawn: k}) for k in (0.0, 1.0))
    changed = 0
    for seed in range(12):
        sample = source.draw(np.random.default_rng(seed), 64)
        plain = without.draw(np.random.default_rng(seed), 64)
        changed += not np.array_equal(sample.image, plain.image)
        assert not sample.mask.any()
        assert sample.weight.all()
    assert changed >= 6


def test_the_official_split_of_the_real_data_keeps_patients_apart(real_data):
    cases = [
        LabelledScan(
            about["case"], about["patient"], *[np.zeros((1, 1, 1), np.uint8)] * 2, np.zeros(1), 1
        )
        for about in map(json.loads, (p.read_text() for p in real_data.glob("ct/*/case.json")))
    ]
    split = split_cases(cases, read_sides(real_data, cases))
    assert {side: len(scans) for side, scans in split.items()} == {"train": 19, "val": 5, "test": 5}


@pytest.fixture(scope="module")
def phantom():
    """A coarse abdomen and its truth."""
    return make_phantom(1, shape=(8, 64, 64), spacing=Spacing(20.0, 6.0, 6.0))


def check_against_phantom(case: LabelledScan, volume, truth):
    assert np.abs(case.hu.astype(int) - volume.hu).max() <= 1
    np.testing.assert_array_equal(case.labels > 0, truth.liver)
    np.testing.assert_array_equal(case.labels == 2, truth.tumor)
    assert case.pixel_mm == pytest.approx(6.0)
    np.testing.assert_allclose(np.diff(case.z_mm), 20.0)


def test_an_ircadb_folder_is_read_patient_by_patient(phantom, tmp_path):
    volume, truth = phantom
    for number in (2, 10):
        folder = tmp_path / f"3Dircadb1.{number}"
        write_dicom(volume, folder / "PATIENT_DICOM")
        write_ircadb_masks(truth, volume, folder)
    cases = list(read_data(tmp_path))
    assert [case.patient for case in cases] == ["ircad_02", "ircad_10"]
    check_against_phantom(cases[1], volume, truth)


def test_lits_and_msd_files_are_read_and_know_the_ircadb_patients(phantom, tmp_path):
    volume, truth = phantom
    lits, msd = tmp_path / "lits", tmp_path / "msd"
    for folder in (lits, msd / "imagesTr", msd / "labelsTr"):
        folder.mkdir(parents=True)
    write_nifti(volume, placed(volume), lits / "volume-28.nii")
    write_nifti(truth, placed(volume), lits / "segmentation-28.nii")
    write_nifti(volume, placed(volume), msd / "imagesTr" / "liver_100.nii.gz")
    write_nifti(truth, placed(volume), msd / "labelsTr" / "liver_100.nii.gz")
    (of_lits,), (of_msd,) = read_data(lits), read_data(msd)
    assert (of_lits.name, of_lits.patient) == ("lits_028", "ircad_01")
    assert (of_msd.name, of_msd.patient) == ("lits_100", "lits_100")
    check_against_phantom(of_lits, volume, truth)
    check_against_phantom(of_msd, volume, truth)


LITS = (5, 7, 8, 9, 10, 12, 14, 15, 28, 50)


@pytest.mark.parametrize("source", ["lits", "msd", "slices", "pictures"])
def test_lits_volumes_of_one_patient_are_one_patient_wherever_they_are_read(source, tmp_path):
    write_lits(tmp_path, source, LITS)
    cases = list(read_data(tmp_path))
    patients = {case.name[4:].strip("_")[:3]: case.patient for case in cases}
    assert {patients[f"{k:03d}"] for k in (7, 8, 9, 10)} == {"lits_007"}
    assert patients["014"] == patients["015"] == "lits_014"
    assert patients["028"] == "ircad_01"
    assert len(set(patients.values())) == len(LITS) - 4


@pytest.mark.parametrize("seed", range(4))
def test_no_patient_of_lits_is_on_two_sides_of_a_split_that_nobody_stored(seed, tmp_path):
    write_lits(tmp_path, "lits", LITS)
    cases = list(read_data(tmp_path))
    split = split_cases(cases, random_sides(cases, seed))
    sides = {case.name: side for side in split for case in split[side]}
    assert len({sides[f"lits_{k:03d}"] for k in (7, 8, 9, 10)}) == 1
    assert sides["lits_014"] == sides["lits_015"]
    assert set(sides.values()) == {"train", "val", "test"}


def test_a_split_that_parts_the_scans_of_a_lits_patient_is_refused(tmp_path):
    write_lits(tmp_path, "slices", (7, 8))
    sides = {"train": ["lits_007"], "val": ["lits_008"], "test": []}
    with pytest.raises(ValueError, match="Patient lits_007 would be in train and in val"):
        split_cases(read_data(tmp_path), sides)


def write_lits(root, source, numbers):
    """A little of LiTS: as published, as MSD Task03, as slice folders, or as single pictures."""
    case = make_case(slices=6)
    volume = Volume(case.hu[:, ::4, ::4], Spacing(2.5, 3.0, 3.0))
    truth = Segmentation(np.ascontiguousarray(case.labels[:, ::4, ::4]))
    if source == "pictures":
        (root / "ct").mkdir()
    for number in numbers:
        scan, labels = {
            "lits": (f"Batch/volume-{number}.nii", f"Batch/segmentation-{number}.nii"),
            "msd": (f"imagesTr/liver_{number}.nii.gz", f"labelsTr/liver_{number}.nii.gz"),
        }.get(source, ("", ""))
        if scan:
            for path, one in ((root / scan, volume), (root / labels, truth)):
                path.parent.mkdir(exist_ok=True)
                write_nifti(one, placed(volume), path)
        elif source == "slices":
            name = f"lits_{number:03d}"
            write_slice_folder(
                root / "ct" / name, dataclasses.replace(case, name=name, patient=name)
            )
        else:
            picture = root / "msd_slices" / f"lits{number:03d}_10"
            picture.parent.mkdir(exist_ok=True)
            cv2.imwrite(f"{picture}.webp", np.full((64, 64), 128, np.uint8))
            cv2.imwrite(f"{picture}_label.png", np.eye(64, dtype=np.uint8))


def test_phantoms_are_patients_of_their_own():
    cases = list(read_phantoms(2, shape=(4, 64, 64), spacing=Spacing(40.0, 6.0, 6.0)))
    assert [case.patient for case in cases] == ["phantom_0", "phantom_1"]
    assert all(set(np.unique(case.labels)) <= {0, 1, 2} for case in cases)
    assert any((case.labels > 0).any() for case in cases)
