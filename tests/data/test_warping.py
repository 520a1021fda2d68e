"""The map of a channel to a normal law."""

import numpy as np
import pytest
from scipy import stats

from assim.data.scaling import Scaling, fit_scaling, normalised
from assim.data.warping import KNOTS, Warp, fit_warp


@pytest.fixture
def skewed():
    rng = np.random.default_rng(0)
    return np.stack([rng.exponential(size=4000), rng.integers(0, 4, 4000)], axis=-1).astype(float)


def test_quantiles_become_those_of_a_normal_law(skewed):
    warp = fit_warp(skewed, [False, False])
    w = warp.forward(skewed)[:, 0]
    assert stats.kstest(w, "norm").statistic < 0.02
    assert warp.knots[0].shape[1] <= KNOTS


def test_repeated_values_stand_at_the_middle_of_their_ranks(skewed):
    told = fit_warp(skewed, [False, False]).knots[1]
    counts = np.array([(skewed[:, 1] == k).sum() for k in range(4)])
    middle = (np.cumsum(counts) - counts / 2) / 4000
    np.testing.assert_allclose(told, [range(4), stats.norm.ppf(middle)], rtol=1e-12)


def test_it_has_an_inverse_and_a_slope_beyond_its_ends_too(skewed):
    warp = fit_warp(skewed, [False, False])
    v = np.array([[-3.0, -1.0], [0.5, 1.5], [20.0, 7.0]])
    w = warp.forward(v)
    for c in range(2):
        np.testing.assert_allclose(warp.inverse(w[:, c], c), v[:, c], rtol=1e-9)
    slope = (warp.forward(v + 1e-6) - warp.forward(v - 1e-6)) / 2e-6
    np.testing.assert_allclose(np.exp(warp.log_slope(v)), slope, rtol=1e-5)


def test_missing_values_count_for_nothing_and_a_channel_may_stay(skewed):
    holed = np.concatenate([skewed, np.full((100, 2), np.nan)])
    one, two = (fit_warp(x, [False, True]) for x in (skewed, holed))
    np.testing.assert_array_equal(one.knots[0], two.knots[0])
    assert two.knots[1] is None
    np.testing.assert_array_equal(two.forward(skewed)[:, 1], skewed[:, 1])


def test_a_scaling_carries_it_there_and_back_with_its_jacobian(skewed):
    y = skewed[None, :, :1]
    scaling = normalised(y, fit_scaling(y, ("lower",), [(0.0, np.inf)]))
    assert scaling.laws == ("real",) and scaling.supports == ("lower",)
    z = scaling.forward(y)
    np.testing.assert_allclose(scaling.inverse(z[0]), y[0], rtol=1e-9)
    np.testing.assert_allclose(scaling.inverse(z[0, :, 0], 0, 0), y[0, :, 0], rtol=1e-9)
    assert scaling.inverse(np.full((1, 1), -30.0))[0, 0] == 0.0  # no wind blows backwards
    at = np.array([[[0.3], [2.0]]])
    slope = (scaling.forward(at + 1e-6) - scaling.forward(at - 1e-6)) / 2e-6
    np.testing.assert_allclose(np.exp(scaling.log_jacobian(at)), slope, rtol=1e-5)
    np.testing.assert_allclose(scaling.error(at, np.full_like(at, 1e-6)), slope * 1e-6, rtol=1e-3)
    assert scaling.error(at, np.zeros_like(at)).max() == 0.0
    again = Scaling.from_dict(scaling.to_dict())
    np.testing.assert_array_equal(again.forward(y), z)
    assert isinstance(again.warp, Warp)
