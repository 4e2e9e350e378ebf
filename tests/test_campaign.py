"""The long ones, by command only: `python -m pytest -n 0 -m campaign`, one after the other.

CI runs small samples of each.
"""

from statistics import median

import pytest

from tests.benchmarks.load import run
from tests.fuzz.fuzz import fuzz

pytestmark = pytest.mark.campaign


def test_a_hundred_thousand_damaged_uploads_are_read_or_refused():
    summary = fuzz(100_000)
    assert not summary.findings, str(summary)
    assert summary.slowest_seconds < 10


def test_a_class_of_thirty_at_full_size_gets_its_results_whoever_attacks(tmp_path):
    loads = []
    for hostile in (0, 5):
        folder = tmp_path / f"{hostile}"
        folder.mkdir()
        loads.append(run(folder, 26, 4, shape=(60, 512, 512), hostile=hostile))
    alone, attacked = loads
    for load in loads:
        assert all(visit.right for visit in load.visits)
        assert (load.open_studies, load.files) == (0, 0)
    assert alone.in_order
    assert median(attacked.begun) <= 1.5 * median(alone.begun)
