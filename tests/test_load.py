"""Visitors at once, as `tests/benchmarks/load.py` lets them come, but fewer."""

import pytest

from liverseg.page.visitors import MAX_STUDY_BYTES
from tests.benchmarks.load import run

pytestmark = pytest.mark.slow


def check(load):
    """What has to be so, whoever else comes."""
    assert [visit.wrong for visit in load.visits if not visit.right] == []
    # a small scan can be done before its first stage is told
    assert all(0 < visit.begun <= visit.done for visit in load.programs)
    assert (load.open_studies, load.files) == (0, 0)
    assert load.left_mb < load.rest_mb + 800  # the networks, and results that a class would share


def test_visitors_at_once_all_get_their_own_result_and_leave_nothing(tmp_path):
    load = run(tmp_path, programs=4, browsers=1, shape=(12, 96, 96))
    check(load)
    assert load.peak_mb < load.rest_mb + 1000
    assert load.in_order
    assert max(place for visit in load.programs for place in visit.places) >= 2
    assert ("right results", "5 of 5") in load.rows


def test_strangers_who_do_their_worst_take_nothing_from_the_others(tmp_path):
    load = run(tmp_path, programs=3, browsers=1, shape=(12, 96, 96), hostile=1)
    check(load)
    assert load.peak_mb < load.rest_mb + 1500 + MAX_STUDY_BYTES / 2**20  # theirs count, too
    assert load.refused >= 50
    assert load.answers.keys() >= {200, 403, 404, 429}
