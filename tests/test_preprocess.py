import numpy as np
import pytest

from liverseg.network.preprocess import (
    Square,
    around,
    from_network,
    neighbor_step,
    to_network,
    whole_slice,
)
from liverseg.network.recipe import Recipe
from liverseg.volume import Spacing

RECIPE = Recipe()
GRIDS = [(512, 512), (100, 50), (38, 23)]


def blocks(shape_yx):
    """A mask of rectangles with even edges, which every network grid here can hold."""
    mask = np.zeros(shape_yx, bool)
    height, width = shape_yx
    mask[height // 4 : height // 2, width // 4 : 3 * width // 4] = True
    mask[-4:, -4:] = True
    mask[:4, :4] = True
    return mask


@pytest.mark.parametrize("shape_yx", GRIDS)
def test_a_mask_comes_back_from_the_network_grid_where_it_was(shape_yx):
    mask = blocks(shape_yx)
    low, high = RECIPE.window_hu
    square = whole_slice(shape_yx)
    seen = to_network(
        np.where(mask, high, low).astype(np.int16), square, RECIPE.size, RECIPE.window_hu
    )
    back = from_network(seen, square, shape_yx)
    assert back.shape == shape_yx
    np.testing.assert_array_equal(back >= 0.5, mask)


@pytest.mark.parametrize("shape_yx", GRIDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_from_network_keeps_the_dtype_and_is_zero_outside_the_square(shape_yx, dtype):
    square = Square(2, 3, 15)
    back = from_network(np.ones((256, 256), dtype), square, shape_yx)
    assert back.dtype == dtype
    expected = np.zeros(shape_yx, dtype)
    expected[2:17, 3:18] = 1
    np.testing.assert_array_equal(back, expected)


def test_the_window_becomes_zero_to_one():
    low, high = RECIPE.window_hu
    hu = np.full((256, 256), (low + high) // 2, np.int16)
    hu[0], hu[1] = -1024, 3071
    seen = to_network(hu, whole_slice(hu.shape), RECIPE.size, RECIPE.window_hu)
    assert seen.dtype == np.float32
    assert seen[0].max() == 0
    assert seen[1].min() == 1
    np.testing.assert_allclose(seen[2], 0.5, atol=1 / 255)


def test_a_square_over_the_edge_shows_air():
    hu = np.full((40, 60), 3000, np.int16)
    seen = to_network(hu, Square(-10, 0, 60), RECIPE.size, RECIPE.window_hu)
    assert seen[0].max() == 0  # above the slice
    assert seen[128].min() == 1
    assert seen[-1].max() == 0  # below


def test_around_is_the_smallest_centered_square_with_its_margin():
    mask = np.zeros((3, 100, 100), bool)
    mask[0, 20:30, 40:60] = True
    mask[2, 25:36, 45:50] = True
    square = around(mask, margin=4)
    assert square == Square(14, 36, 28)  # 20 wide + 2 x 4; rows 20 to 35 centered


@pytest.mark.parametrize(
    ("spacing", "step"),
    [
        (None, 1),
        (Spacing(None, 1, 1), 1),
        (Spacing(5.0, 1, 1), 1),
        (Spacing(1.5, 1, 1), 2),
        (Spacing(0.5, 1, 1), 6),
    ],
)
def test_the_neighbors_are_about_three_millimeters_away(spacing, step):
    assert neighbor_step(spacing, RECIPE) == step
