"""Which studies are unlike the others, and what is said about them."""

import numpy as np
import pytest

from liverseg.cohort import outliers
from liverseg.cohort.outliers import COUNTS, FAIL, METRICS, PASS, REVIEW, judge, name_of, robust_z
from liverseg.cohort.row import row_of
from liverseg.scores.findings import find
from liverseg.volume import Probability, Segmentation, Spacing, Volume


def usual(count=30, **numbers):
    """Rows of studies that are alike, but for chance."""
    rng = np.random.default_rng(0)
    return [
        {
            "liver_ml": float(rng.normal(1500, 100)),
            "liver_dice": float(rng.normal(0.95, 0.01)),
            "liver_parts": 1,
            "cut_by_end": False,
            **numbers,
        }
        for _ in range(count)
    ]


def test_robust_z_is_that_of_iglewicz_and_hoaglin():
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 100])
    assert robust_z(values)[8] == pytest.approx(0.6745 * (100 - 5) / 2)
    assert robust_z(values)[4] == 0


def test_where_most_are_one_value_the_others_still_stand_out():
    values = np.array([1.0] * 20 + [5.0])
    assert robust_z(values)[20] > outliers.UNUSUAL_Z
    assert not robust_z(np.ones(20)).any()


def test_unknown_numbers_stay_unknown_and_few_say_nothing():
    assert np.isnan(robust_z(np.array([np.nan, *range(20)]))[0])
    assert not robust_z(np.array([1.0, 2, 3, 1000])).any()


def test_what_both_opinions_find_fails_with_the_reason_in_words():
    rows = usual()
    rows[7]["liver_ml"] = 5000.0
    verdict = judge(rows)[7]
    assert verdict.verdict == FAIL
    assert verdict.reason.startswith("Liver volume is 5000, far above the median of ")
    assert judge(rows)[0].verdict == PASS
    assert judge(rows)[0].reason == ""


def test_without_scikit_learn_one_opinion_is_for_review(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    rows = usual()
    rows[7]["liver_ml"] = 5000.0
    assert judge(rows)[7].verdict == REVIEW
    assert not outliers.has_second_opinion()


def test_a_good_score_is_no_outlier_and_a_bad_one_is():
    rows = usual()
    rows[3]["liver_dice"], rows[4]["liver_dice"] = 1.0, 0.5
    verdicts = judge(rows)
    assert verdicts[3].score < outliers.UNUSUAL_Z
    assert verdicts[4].score > outliers.UNUSUAL_Z
    assert "far below" in verdicts[4].reason


def test_no_liver_fails_and_a_cut_one_is_for_review_however_few_studies_there_are():
    verdicts = judge([{"liver_parts": 0}, {"liver_parts": 1, "cut_by_end": True}])
    assert [one.verdict for one in verdicts] == [FAIL, REVIEW]
    assert judge([]) == []


def test_every_metric_has_a_name():
    assert all(name_of(key) for key in {**METRICS, **COUNTS})


def test_without_a_truth_there_are_numbers_that_need_none():
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[1:, 4:10, 4:10] = labels[1:, 14:18, 14:18] = 1
    values = np.full((1, 1, 4), 255, np.uint8)
    values[..., :3] = 0, 128, 128
    prediction = Segmentation(labels, Probability(values, (1, 4, 4)))
    row = row_of(
        find(Volume(np.full(labels.shape, 60, np.int16), Spacing(2, 1, 1)), prediction, "")
    )
    assert row["liver_parts"] == 2
    assert row["cut_by_end"] is True
    assert row["uncertain_share"] == pytest.approx(2 / 3)
    assert row["liver_hu_mean"] == 60
    assert "liver_dice" not in row
