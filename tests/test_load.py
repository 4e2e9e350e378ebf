"""Visitors at once, as `tests/benchmarks/load.py` lets them come, but fewer."""

import pytest

from tests.benchmarks.load import run

pytestmark = pytest.mark.slow


def test_visitors_at_once_all_get_their_own_result_and_leave_nothing(tmp_path):
    load = run(tmp_path, programs=4, browsers=1, shape=(12, 96, 96))
    assert all(visit.right for visit in load.visits)
    assert load.in_order
    assert max(place for visit in load.programs for place in visit.places) >= 2
    assert load.peak_mb < load.rest_mb + 1000
    assert load.open_studies == 0
    assert load.files == 0
    assert ("right results", "5 of 5") in load.rows
