from dataclasses import replace

import numpy as np
import pytest

from liverseg.errors import Replaced
from liverseg.page.result_cache import ResultCache, content_key
from liverseg.page.visitors import Studies
from liverseg.volume import Probability, Segmentation, Spacing, Volume

KB = 1024


def a_volume(kilobytes=2, value=0, **settings):
    return Volume(np.full((1, 1, kilobytes * KB // 2), value, np.int16), **settings)


def opened(volume, truth=None):
    """The change of a study when a scan was read."""
    return lambda study: study.opened(volume, truth, None)


def waits_for(folder):
    """The change of a study when a ground truth came before its scan."""
    return lambda study: replace(study, waiting_truth=folder)


def a_segmentation(kilobytes=1):
    return Segmentation(np.zeros((1, 1, kilobytes * KB), np.uint8))


@pytest.fixture
def open_studies(tmp_path):
    def make(**limits):
        for name in ("private", "served"):
            (tmp_path / name).mkdir()
        return Studies(tmp_path / "private", tmp_path / "served", **limits)

    return make


def test_each_visitor_has_a_study_and_folders_of_his_own(open_studies):
    studies = open_studies()
    ann, bob = studies.of("ann"), studies.of("bob")
    assert studies.of("ann") is ann
    assert len({ann.folder, ann.served, bob.folder, bob.served}) == 4
    studies.update("ann", opened(a_volume()))
    assert studies.of("bob").scan is None


def test_folders_are_private_and_do_not_give_away_the_session(open_studies):
    study = open_studies().of("session-of-ann")
    assert "ann" not in str(study.served)
    assert len(study.served.name) == 64
    assert study.served.stat().st_mode & 0o777 == 0o700


def test_nobody_can_guess_a_folder_from_those_of_others(tmp_path):
    names = []
    for process in "ab":
        for name in ("private", "served"):
            (tmp_path / process / name).mkdir(parents=True)
        studies = Studies(tmp_path / process / "private", tmp_path / process / "served")
        studies_of = [studies.of(visitor) for visitor in ("ann", "bob")]
        names += [path.name for study in studies_of for path in (study.folder, study.served)]
    assert len(set(names)) == 8


def test_closing_frees_memory_and_files(open_studies):
    studies = open_studies()
    study = studies.of("ann")
    (study.folder / "upload").write_text("x")
    (study.served / "ct.bin").write_text("x")
    studies.close("ann")
    assert len(studies) == 0
    assert not study.folder.exists()
    assert not study.served.exists()


def test_work_that_ends_after_its_visitor_left_is_not_kept(open_studies):
    studies = open_studies()
    studies.of("ann")
    studies.close("ann")
    with pytest.raises(Replaced):
        studies.update("ann", opened(a_volume()))
    assert len(studies) == 0


def test_what_was_found_in_another_scan_is_not_kept(open_studies):
    studies, first, second = open_studies(), a_volume(), a_volume(value=1)
    for volume in (first, second):
        studies.of("ann")
        studies.update("ann", opened(volume))
    with pytest.raises(Replaced):
        studies.update("ann", lambda study: study.segmented(a_segmentation()), first)
    study = studies.update("ann", lambda study: study.with_truth(a_segmentation()), second)
    assert studies.of("ann") is study
    assert study.truth is not None


def test_the_least_recently_used_study_is_given_up_over_the_limit(open_studies):
    studies = open_studies(max_bytes=5 * KB)
    for visitor in ("ann", "bob"):
        studies.of(visitor)
        studies.update(visitor, opened(a_volume(2)))
    studies.of("ann")
    studies.of("cid")
    studies.update("cid", opened(a_volume(2)))
    assert studies.of("ann").scan is not None
    assert studies.of("cid").scan is not None
    assert studies.of("bob").scan is None


def test_the_newest_study_stays_even_when_it_alone_is_over_the_limit(open_studies):
    studies = open_studies(max_bytes=KB)
    studies.of("ann")
    studies.update("ann", opened(a_volume(2)))
    assert studies.of("ann").scan is not None


def test_a_study_counts_scan_truth_labels_and_probabilities(open_studies):
    probability = Probability(np.zeros((1, 1, KB), np.uint8), (0, 0, 0))
    prediction = Segmentation(a_segmentation().labels, probability, probability)
    studies = open_studies()
    studies.of("ann")
    studies.update("ann", opened(a_volume(2), a_segmentation()))
    study = studies.update("ann", lambda study: study.segmented(prediction))
    assert study.nbytes == (2 + 1 + 3) * KB


def test_uploads_that_wait_count_as_well(open_studies):
    studies = open_studies(max_bytes=5 * KB)
    for visitor in ("ann", "bob"):
        study = studies.of(visitor)
        (study.folder / "zip").mkdir()
        (study.folder / "zip" / "scan.zip").write_bytes(bytes(3 * KB))
        study = studies.update(visitor, waits_for(study.folder / "zip"))
        assert study.nbytes == 3 * KB
    assert len(studies) == 1
    assert studies.update("bob", waits_for(None)).nbytes == 0


def test_an_unused_study_is_swept(open_studies):
    studies = open_studies(max_age_s=-1)
    studies.of("ann")
    studies.sweep()
    assert len(studies) == 0


def test_a_visitor_who_left_is_swept_soon_but_not_when_he_comes_back(open_studies):
    studies = open_studies(grace_s=-1, late_s=-1)
    for visitor in ("ann", "bob"):
        studies.enter(visitor)
        studies.leave(visitor)
    studies.enter("ann")
    studies.sweep()
    assert len(studies) == 1
    studies.leave("ann")
    studies.sweep()
    assert len(studies) == 0


@pytest.mark.parametrize("swept_before", [False, True])
def test_an_event_on_its_way_when_the_tab_was_closed_does_not_bring_its_visitor_back(
    open_studies, swept_before
):
    studies = open_studies(grace_s=-1)
    studies.enter("ann")
    studies.leave("ann")
    if swept_before:
        studies.sweep()
    study = studies.enter("ann")
    studies.update("ann", opened(a_volume()))
    studies.sweep()
    assert len(studies) == 0
    assert not study.folder.exists()


def test_what_a_long_event_leaves_behind_after_its_visitor_left_is_swept(open_studies):
    studies = open_studies(grace_s=-1, late_s=-1)
    studies.enter("ann")
    studies.leave("ann")
    studies.sweep()
    studies.of("ann")  # the event that began before goes on
    studies.update("ann", opened(a_volume()))
    studies.sweep()
    assert len(studies) == 0


def test_who_has_left_is_forgotten_in_time(open_studies):
    studies = open_studies(max_age_s=-1)
    studies.leave("ann")
    studies.sweep()
    assert not studies._left


def test_equal_voxels_have_one_key_and_whatever_changes_the_result_changes_it():
    spacing = Spacing(1, 1, 1)
    key = content_key(a_volume(spacing=spacing), "weights")
    assert key == content_key(a_volume(spacing=spacing), "weights")
    others = [
        content_key(a_volume(value=1, spacing=spacing), "weights"),
        content_key(a_volume(spacing=Spacing(2, 1, 1)), "weights"),
        content_key(a_volume(), "weights"),
        content_key(a_volume(spacing=spacing, windowed=(0, 1)), "weights"),
        content_key(a_volume(spacing=spacing), "other weights"),
    ]
    assert key not in others
    assert len(set(others)) == len(others)


def test_the_oldest_results_are_given_up_over_the_limit():
    results = ResultCache(max_bytes=2 * KB)
    for key in "ab":
        results.put(key, a_segmentation(1))
    assert results.get("a") is not None
    results.put("c", a_segmentation(1))
    assert results.get("b") is None
    assert results.get("a") is not None
    assert results.get("c") is not None


def test_a_result_larger_than_the_limit_is_not_kept():
    results = ResultCache(max_bytes=KB)
    results.put("a", a_segmentation(2))
    assert len(results) == 0
