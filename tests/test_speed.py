"""The tables of the speed measurement, with an engine that costs nothing."""

import time

import numpy as np
import pytest

from liverseg.evaluation.readme_tables import speed_text
from liverseg.network.recipe import Recipe
from liverseg.network.weights import Weights
from liverseg.volume import Spacing, Volume
from tests.benchmarks import speed as bench


class Engine:
    """Everything bright is liver; `pause_s` a batch."""

    batch_size, identity = 4, "bright"
    recipe = Recipe(size=32, filters=(4, 8))

    def __init__(self, pause_s):
        self.pause_s = pause_s

    def predict(self, network, images):
        time.sleep(self.pause_s)
        return [(image[..., 1] > 0.6).astype(np.float32) for image in images]


@pytest.fixture
def scan():
    hu = np.random.default_rng(0).normal(0, 20, (12, 64, 64)).astype(np.int16)
    hu[:, :8] = -1000
    hu[2:10, 20:40, 20:40] += 120
    return Volume(hu, Spacing(5.0, 2.0, 2.0))


@pytest.fixture
def engines():
    return {"fast": Engine(0.01), "reference": Engine(0.03)}


def test_the_networks_are_compared_with_the_reference(engines, scan):
    (fast, fast_ms, ratio), (reference, _, one) = bench.network(engines, scan)
    assert (fast, reference, one) == ("fast", "reference", "1.00")
    assert float(fast_ms) >= 2.5  # 10 ms for four slices
    assert float(ratio) < 0.9


def test_the_whole_path_is_reading_and_masks(engines, scan):
    for name, *figures in bench.whole_path(engines, scan):
        read, first, masks, total, ratio, processor, _ = map(float, figures)
        assert 0 < first < masks
        assert total == pytest.approx(read + masks, abs=0.02)
        assert (ratio == 1) == (name == "reference")
        assert processor > 0


def test_tables_are_markdown_and_kept_by_title(capsys, tmp_path):
    out = tmp_path / "speed.json"
    bench.keep(out, "Old", ("a", "b"), [(0, "w")])
    bench.keep(out, "Other", ("c",), [(3,)])
    capsys.readouterr()
    bench.keep(out, "Old", ("a", "b"), [(1, "x"), (2, "y")])
    text = "**Old**\n\n| a | b |\n| --- | --- |\n| 1 | x |\n| 2 | y |\n"
    assert capsys.readouterr().out == f"{text}\n"
    weights = Weights(tmp_path, Recipe(), {}, {})
    assert speed_text(weights) == f"{text}\n**Other**\n\n| c |\n| --- |\n| 3 |"


def test_speed_that_was_not_measured_is_not_said(tmp_path):
    assert speed_text(Weights(tmp_path, Recipe(), {}, {})) == "Not measured yet."


def test_memory_is_unknown_where_the_system_does_not_say():
    assert bench._memory_mb("no such process", "VmRSS") is None
    assert bench._or_unknown(None) == "unknown"
