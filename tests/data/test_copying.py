"""Copies among channels: linear ones, rounded ones, and those that only look like copies."""

import numpy as np
import pytest

from assim.data.copying import EXACT, FEWEST, copies

Y = np.random.default_rng(0).normal(size=(1, 50, 3))


def beside(*more):
    return np.concatenate([Y, *(np.reshape(column, (*Y.shape[:2], -1)) for column in more)], axis=2)


def test_a_factor_and_an_offset_make_no_difference():
    assert copies(Y) == []
    assert copies(beside(Y[..., 1])) == [(1, 3)]
    assert copies(beside(280 - 1e-3 * Y[..., 0], 1e5 + Y[..., 2], 7 * Y[..., 0])) == [
        (0, 3, 5),
        (2, 4),
    ]


def test_rounding_to_single_precision_makes_no_difference():
    kelvin = (15 + 8 * Y[..., 0]).astype(np.float32) + np.float32(273.15)
    assert copies(beside(kelvin)) == [(0, 3)]


@pytest.mark.parametrize(("factor", "found"), [(0.9, [(0, 3)]), (1.1, [])])
def test_the_correlation_has_a_bound(factor, found):
    one, other = np.linalg.qr(Y[0] - Y[0].mean(axis=0))[0].T[:2]
    near = one + factor * np.sqrt(EXACT) * other
    y = np.stack([one, Y[0, :, 1], Y[0, :, 2], near], axis=1)[None]
    assert copies(y) == found


def test_it_is_a_copy_wherever_both_were_read():
    rng = np.random.default_rng(1)
    copy = 2 * Y[..., 0] + 1
    y = np.where(rng.random((1, 50, 4)) < 0.5, np.nan, beside(copy))
    assert np.isfinite(y[..., [0, 3]]).all(axis=-1).sum() >= FEWEST
    assert copies(y) == [(0, 3)]
    y[0, :, 0] = np.where(np.cumsum(np.isfinite(y[0, :, 3])) < FEWEST, Y[0, :, 0], np.nan)
    assert copies(y) == []


def test_what_does_not_vary_where_both_were_read_is_no_copy():
    still = np.where(np.arange(50) < 25, 4.0, Y[0, :, 1])
    y = beside(still)
    y[0, 25:, 0] = np.nan
    assert copies(y) == []


def test_each_run_has_an_offset_of_its_own():
    y = np.random.default_rng(2).normal(size=(3, 20, 2)) + 1e3 * np.arange(3)[:, None, None]
    y[1, :, 1] = np.nan
    assert copies(y) == []
    y[..., 1] = 3 * y[..., 0] - np.array([1e4, 0.0, -1e4])[:, None]
    assert copies(y) == [(0, 1)]


def test_nothing_read_at_all_is_no_copy():
    assert copies(np.full((2, 20, 3), np.nan)) == [] and copies(Y[:, :2]) == []
