"""Public data sets as people have them on disk, in small."""

import json

import nibabel
import numpy as np
import pytest

from liverseg.errors import DataError
from liverseg.network.recipe import Recipe
from liverseg.network.weights import load_config, write_config
from liverseg.phantom.files import placed
from liverseg.training.datasets import read_data
from liverseg.training.labelled_scan import UNANNOTATED, LabelledScan
from liverseg.training.public_sets import traceable
from liverseg.training.record import check_unseen
from liverseg.training.split import random_sides, split_cases
from liverseg.volume import Segmentation, Spacing, Volume
from liverseg.writing.labels import write_nifti

SHAPE = (5, 20, 24)


def scan(seed: int) -> tuple[Volume, np.ndarray]:
    """A noisy body with a liver and, in it, a lesion; the labels are of the scan's shape."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 4:16, 6:18] = 1
    labels[2, 7:11, 8:12] = 2
    noise = np.random.default_rng(seed).integers(-20, 20, SHAPE)
    hu = (np.choose(labels, [-60, 100, 50]) + noise).astype(np.int16)
    return Volume(hu, Spacing(2.5, 3.0, 3.0)), labels


def write(path, image, volume):
    write_nifti(image, placed(volume), path)


def write_pair(scan_path, masks_path, seed):
    volume, labels = scan(seed)
    write(scan_path, volume, volume)
    write(masks_path, Segmentation(labels), volume)
    return labels


def write_atlas(root, number, seed, lesions=True, masks=None):
    """As AbdomenAtlas 3 (with lesions) or 1 has it; `masks` is another tree for the masks."""
    volume, labels = scan(seed)
    case = f"BDMAP_{number:08d}"
    write(root / case / "ct.nii.gz", volume, volume)
    folder = (masks or root) / case / "segmentations"
    for name, mask in (("liver", labels > 0), ("liver_lesion", labels == 2), ("aorta", labels < 0)):
        if lesions or name != "liver_lesion":
            write(folder / f"{name}.nii.gz", Segmentation(mask.astype(np.uint8)), volume)
    return labels


@pytest.mark.parametrize("apart", [True, False])
def test_abdomenatlas_is_read_with_its_lesions(apart, tmp_path):
    masks = tmp_path / "label" if apart else None
    labels = write_atlas(tmp_path / "ct" / "more", 7, seed=0, masks=masks)
    (tmp_path / "ct").rename(tmp_path / "image_only")  # `ct` is the folder of another form
    (case,) = read_data(tmp_path)
    assert (case.name, case.patient) == ("bdmap_00000007", "bdmap_00000007")
    np.testing.assert_array_equal(case.labels, labels)


def test_masks_of_abdomenatlas_that_were_cropped_are_put_where_they_belong(tmp_path):
    labels = write_atlas(tmp_path, 1, seed=0)
    for path in (tmp_path / "BDMAP_00000001" / "segmentations").iterdir():
        nibabel.save(nibabel.load(path).slicer[2:, 1:-2], path)
    (case,) = read_data(tmp_path)
    np.testing.assert_array_equal(case.labels, labels)


def test_livers_of_abdomenatlas_without_masks_of_lesions_are_not_annotated(tmp_path):
    labels = write_atlas(tmp_path, 1, seed=0, lesions=False)
    (case,) = read_data(tmp_path)
    np.testing.assert_array_equal(case.labels, np.where(labels, UNANNOTATED, 0))


def test_scans_that_abdomenatlas_holds_twice_are_of_one_patient(tmp_path):
    for number, seed in ((1, 0), (2, 1), (3, 0), (4, 2), (5, 3)):
        write_atlas(tmp_path, number, seed)
    path = tmp_path / "BDMAP_00000003" / "ct.nii.gz"
    turned = nibabel.as_closest_canonical(nibabel.load(path))
    nibabel.save(turned, path)  # as another program stores it
    cases = list(read_data(tmp_path))
    assert [case.patient[-1] for case in cases] == ["1", "2", "1", "4", "5"]
    for seed in range(4):
        split = split_cases(cases, random_sides(cases, seed))
        sides = {case.name[-1]: side for side in split for case in split[side]}
        assert sides["1"] == sides["3"]


PHASES = ("nocontrast", "arterial", "venous", "delayed")


def test_trials_has_four_scans_of_a_patient(tmp_path):
    for number in (3, 12):
        for seed, phase in enumerate(PHASES):
            case, name = f"TriALS_{number}", f"TriALS_{number}_{phase}.nii.gz"
            images, masks = (
                tmp_path / "Task_2" / name for name in ("imagesTr", "labelsTr (Task 2)")
            )
            labels = write_pair(images / case / name, masks / case / name, seed)
    write(masks / case / f"{case}_combined.nii.gz", Segmentation(labels), scan(0)[0])
    cases = list(read_data(tmp_path))
    assert {case.patient for case in cases} == {"trials_003", "trials_012"}
    assert {case.name for case in cases if case.patient == "trials_012"} == {
        f"trials_012_{phase}" for phase in PHASES
    }
    np.testing.assert_array_equal(cases[0].labels, labels)


def test_trials_and_msd_converted_for_nnu_net_are_what_they_were(tmp_path):
    names = ("TriALS_3_venous", "liver_28")
    for name in names:
        root = tmp_path / name
        write_pair(
            root / "imagesTr" / f"{name}_0000.nii.gz", root / "labelsTr" / f"{name}.nii.gz", 0
        )
    (trials,), (msd,) = (read_data(tmp_path / name) for name in names)
    assert (trials.name, trials.patient) == ("trials_003_venous", "trials_003")
    assert (msd.name, msd.patient) == ("lits_028", "ircad_01")


def write_other(root, labels):
    write_pair(root / "imagesTr" / "case_7_0000.nii.gz", root / "labelsTr" / "case_7.nii.gz", 0)
    if labels:
        (root / "dataset.json").write_text(json.dumps({"labels": labels}))


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "liver", "2": "cancer"},  # as MSD
        {"background": 0, "liver": 1, "lesion": 2},  # as nnU-Net 2
    ],
)
def test_another_set_in_nnu_net_s_form_keeps_its_names(labels, tmp_path):
    write_other(tmp_path, labels)
    (case,) = read_data(tmp_path)
    assert (case.name, case.patient) == ("case_7", "case_7")
    assert set(np.unique(case.labels)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"0": "background", "1": "Vessel", "2": "Tumour"}, "does not name label 1 the liver"),
        ({"background": 0, "liver": 1, "spleen": 2}, "does not name label 1 the liver"),
        ({"background": 0, "liver": [1, 2], "tumor": 2}, "does not name label 1 the liver"),
        (None, "has no dataset.json"),
    ],
)
def test_a_set_whose_labels_are_others_or_unknown_is_refused(labels, sentence, tmp_path):
    write_other(tmp_path, labels)
    with pytest.raises(DataError, match=sentence):
        list(read_data(tmp_path))


def test_several_sets_in_one_folder_are_refused_and_named(tmp_path):
    write_pair(tmp_path / "LiTS" / "volume-3.nii", tmp_path / "LiTS" / "segmentation-3.nii", 0)
    write_atlas(tmp_path / "Atlas", 1, seed=1)
    with pytest.raises(DataError, match="several data sets: AbdomenAtlas, LiTS"):
        list(read_data(tmp_path))
    assert [case.name for case in read_data(tmp_path / "LiTS")] == ["lits_003"]


def test_masks_that_are_missing_are_named(tmp_path):
    write_atlas(tmp_path, 1, seed=0)
    (tmp_path / "BDMAP_00000001" / "segmentations" / "liver.nii.gz").unlink()
    with pytest.raises(DataError, match=r"has no liver\.nii\.gz: the data set is not complete"):
        list(read_data(tmp_path))


def test_an_empty_folder_is_told_what_could_be_in_it(tmp_path):
    with pytest.raises(DataError, match=r"TriALS, AbdomenAtlas.*Unpack the data set there"):
        list(read_data(tmp_path))


@pytest.mark.parametrize(
    ("learned", "scored", "fine"),
    [
        ("bdmap_00000001", "lits_003", False),
        ("bdmap_00000001", "ircad_08", False),
        ("lits_003", "bdmap_00000001", False),
        ("bdmap_00000001", "trials_003", True),
        ("bdmap_00000001", "bdmap_00000002", True),
        ("lits_003", "ircad_08", True),
    ],
)
def test_whom_abdomenatlas_hides_is_not_scored(learned, scored, fine, tmp_path):
    assert traceable({learned}, {scored}) == fine
    write_config(tmp_path, Recipe(), {}, {"learned": [learned]})
    labels = np.zeros((1, 2, 2), np.uint8)
    case = LabelledScan(scored, scored, labels.astype(np.int16), labels, np.zeros(1), 1.0)
    if fine:
        check_unseen(load_config(tmp_path), [case])
    else:
        with pytest.raises(DataError, match="under other names"):
            check_unseen(load_config(tmp_path), [case])
