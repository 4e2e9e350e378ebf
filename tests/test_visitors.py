import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from liverseg.errors import NoRoom, Replaced
from liverseg.page.result_cache import ResultCache, content_key
from liverseg.page.visitors import MOST_REPLACED, REPLACED_S, Basis, Visitors, id_of, new_folder
from liverseg.volume import Probability, Segmentation, Spacing, Volume

KB = 1024


def a_volume(kilobytes=2, value=0, **settings):
    return Volume(np.full((1, 1, kilobytes * KB // 2), value, np.int16), **settings)


def opened(volume, truth=None):
    """The change of a study when a scan was read."""
    return lambda study: study.opened(volume, truth, None, new_folder(study.served.parent))


def waits_for(folder):
    """The change of a study when a ground truth came before its scan."""
    return lambda study: replace(study, waiting_truth=folder)


def a_segmentation(kilobytes=1):
    return Segmentation(np.zeros((1, 1, kilobytes * KB), np.uint8))


@pytest.fixture
def visitors(tmp_path):
    """Makes `Visitors` with limits."""
    return partial(Visitors, tmp_path)


def opens(visitors, key, volume=None, address="", **how):
    """A visitor opens a scan in one event."""
    with visitors.event(key, address):
        visitors.begun(key)
        return visitors.update(key, opened(volume or a_volume(), **how))


ANN, BOB, CID = (character * 64 for character in "abc")


def test_nothing_is_kept_of_who_has_opened_nothing(visitors, tmp_path):
    here = visitors(grace_s=-1)
    for key in (f"{number:064x}" for number in range(300)):
        with here.event(key):
            assert here.of(key) is None
    here.sweep()
    assert len(here) == 0
    assert not here._known
    assert list(tmp_path.iterdir()) == []


def test_each_visitor_has_a_study_and_a_folder_of_their_own(visitors):
    here = visitors()
    ann, bob = opens(here, ANN), here.begun(BOB)
    assert here.of(ANN) is ann
    assert ann.served != bob.served
    assert here.of(BOB).scan is None


def test_folders_are_private_and_do_not_give_away_the_key(visitors):
    study = visitors().begun(ANN)
    assert ANN not in str(study.served)
    assert len(study.served.name) == 64
    assert study.served.stat().st_mode & 0o777 == 0o700


def test_nobody_can_guess_a_folder_from_those_of_others(visitors):
    names = [here.begun(key).served.name for here in (visitors(), visitors()) for key in (ANN, BOB)]
    assert len(set(names)) == 4


def test_closing_frees_memory_and_files(visitors, tmp_path):
    here = visitors()
    study = here.begun(ANN)
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    for folder in (study.served, waiting):
        (folder / "file").write_text("x")
    here.update(ANN, waits_for(waiting))
    here.close(ANN)
    assert len(here) == 0
    assert not waiting.exists()
    assert not study.served.exists()


def test_work_that_ends_after_its_visitor_left_is_not_kept(visitors):
    here = visitors()
    here.begun(ANN)
    here.close(ANN)
    with pytest.raises(Replaced):
        here.update(ANN, opened(a_volume()))
    assert len(here) == 0


def test_what_was_found_in_another_scan_is_not_kept(visitors):
    here, first, second = visitors(), a_volume(), a_volume(value=1)
    bases = [Basis(opens(here, ANN, volume), "scan") for volume in (first, second)]
    with pytest.raises(Replaced):
        here.update(ANN, lambda study: study.segmented(a_segmentation()), bases[0])
    study = here.update(ANN, lambda study: study.with_truth(a_segmentation()), bases[1])
    assert here.of(ANN) is study
    assert study.truth is not None


def test_files_of_a_scan_that_another_replaced_are_served_until_the_tab_has_heard_of_it(
    visitors,
):
    here = visitors()
    folders = [opens(here, ANN, a_volume(value=k)).served for k in range(MOST_REPLACED + 2)]
    here.sweep()
    assert [folder.exists() for folder in folders] == [False, *[True] * (MOST_REPLACED + 1)]
    assert here.folders() == set(folders[1:])
    here._known[ANN].replaced[0] = folders[1], time.monotonic() - REPLACED_S - 1
    here.sweep()
    assert [folder.exists() for folder in folders] == [False, False, *[True] * MOST_REPLACED]
    here.close(ANN)
    assert not any(folder.exists() for folder in folders)


def test_a_scan_for_which_there_is_no_room_leaves_the_files_of_the_last_as_they_were(visitors):
    here = visitors(max_bytes=3 * KB)
    with here.stream(id_of(BOB)):
        served = opens(here, ANN, a_volume(1)).served
        opens(here, BOB, a_volume(1))
        with pytest.raises(NoRoom):
            opens(here, ANN, a_volume(3))
    assert here.of(ANN).served == served
    assert served not in [folder for folder, _ in here._known[ANN].replaced]


def test_the_least_recently_used_study_is_given_up_over_the_limit(visitors):
    here = visitors(max_bytes=5 * KB)
    opens(here, ANN)
    opens(here, BOB)
    here.of(ANN)
    opens(here, CID)
    assert here.of(BOB) is None
    assert here.of(ANN) and here.of(CID)


def test_the_newest_study_stays_even_when_it_alone_is_over_the_limit(visitors):
    here = visitors(max_bytes=KB)
    opens(here, ANN)
    assert here.of(ANN).scan is not None


def test_a_scan_in_which_work_goes_on_is_never_given_up(visitors):
    here = visitors(max_bytes=3 * KB)
    opens(here, ANN)
    with here.event(ANN), pytest.raises(NoRoom):
        opens(here, BOB)
    assert here.of(ANN).scan is not None
    assert here.of(BOB).scan is None  # as it was before
    opens(here, BOB)
    assert here.of(ANN) is None


def test_a_scan_that_somebody_looks_at_is_not_given_up_for_a_new_one(visitors):
    here = visitors(max_bytes=3 * KB)
    with here.stream(id_of(ANN)):
        opens(here, ANN)
        with pytest.raises(NoRoom):
            opens(here, BOB)
    opens(here, CID)
    assert here.of(ANN) is None


def test_a_class_behind_one_address_loses_nothing_to_who_opens_hundreds_at_another(visitors):
    here = visitors(max_bytes=100 * KB)
    students = [f"{number:064x}" for number in range(30)]
    with ExitStack() as tabs:
        for key in students:
            tabs.enter_context(here.stream(id_of(key)))
            opens(here, key, address="school")
        for number in range(300):
            with suppress(NoRoom):
                opens(here, f"{number + 1000:064x}", address="attacker")
        assert all(here.of(key).scan is not None for key in students)
    assert here._bytes("attacker") < 50 * KB


def test_who_is_over_the_share_of_an_address_displaces_only_what_is_there(visitors):
    here = visitors(max_bytes=8 * KB)  # the share is 6 KB
    opens(here, ANN, address="school")
    for number in range(5):
        opens(here, f"{number + 1000:064x}", address="attacker")
    assert here.of(ANN).scan is not None
    assert here._bytes("attacker") == 6 * KB


def test_a_study_counts_scan_truth_labels_and_probabilities(visitors):
    probability = Probability(np.zeros((1, 1, KB), np.uint8), (0, 0, 0))
    prediction = Segmentation(a_segmentation().labels, probability, probability)
    here = visitors()
    opens(here, ANN, truth=a_segmentation())
    study = here.update(ANN, lambda study: study.segmented(prediction))
    assert study.nbytes == (2 + 1 + 3) * KB


def test_uploads_that_wait_count_as_well(visitors, tmp_path):
    here = visitors(max_bytes=5 * KB)
    for key in (ANN, BOB):
        waiting = tmp_path / f"zip-{key[0]}"
        waiting.mkdir()
        (waiting / "scan.zip").write_bytes(bytes(3 * KB))
        here.begun(key)
        assert here.update(key, waits_for(waiting)).nbytes == 3 * KB
    assert len(here) == 1
    assert here.update(BOB, waits_for(None)).nbytes == 0


def test_an_unused_study_is_swept(visitors):
    here = visitors(max_age_s=-1)
    with here.stream(id_of(ANN)):
        opens(here, ANN)
        assert here.sweep() == [ANN]
    assert len(here) == 0


def test_a_visitor_is_here_while_a_tab_or_an_event_says_so(visitors):
    here = visitors(grace_s=-1)
    with here.stream(id_of(ANN)):
        opens(here, ANN)
        assert here.sweep() == []
        with here.stream(id_of(ANN)):  # the tab found its connection again before the end was seen
            pass
        assert here.sweep() == []
    assert here.sweep() == [ANN]
    with here.event(BOB, is_program=True):  # which has no tab
        here.begun(BOB)
        assert here.sweep() == []
    assert here.sweep() == [BOB]


def test_work_for_a_tab_that_never_says_it_is_there_is_swept(visitors):
    here = visitors(grace_s=-1)
    with here.event(ANN):
        here.begun(ANN)
        assert here.sweep() == [ANN]


def test_work_does_not_keep_a_tab_here_that_was_closed(visitors):
    here = visitors(grace_s=0.2)
    with here.event(ANN):
        here.begun(ANN)
        time.sleep(0.3)
        here.of(ANN)
        assert here.sweep() == [ANN]


def test_a_connection_that_breaks_for_a_moment_frees_nothing(visitors):
    here = visitors(grace_s=60)
    with here.stream(id_of(ANN)):
        opens(here, ANN)
    assert here.sweep() == []
    assert here.is_here(id_of(ANN))


def test_what_a_job_leaves_behind_after_its_tab_was_closed_is_swept(visitors):
    here = visitors(grace_s=-1)
    with here.stream(id_of(ANN)):
        opens(here, ANN)
    with here.event(ANN):
        assert here.sweep() == [ANN]
        with pytest.raises(Replaced):
            here.update(ANN, opened(a_volume()))
    assert len(here) == 0


def test_who_has_left_is_forgotten(visitors):
    here = visitors(grace_s=-1)
    with here.stream(id_of(ANN)):
        pass
    here.sweep()
    assert not here._streams
    assert not here.is_here(id_of(ANN))


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
