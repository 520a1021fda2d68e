"""Transforms: there and back, their slopes by finite differences, and what they are fitted to."""

import json

import numpy as np
import pytest

from assim.data.scaling import AT_BOUND, INTERNAL_BOUNDS, TURN, Scaling, fit_scaling

SUPPORTS = ("real", "lower", "lower", "upper", "both", "circle")
POWER = np.array([1.0, 1.0, 0.5, 1.0, 1.0, 1.0])


@pytest.fixture
def scaling():
    """Two stations, a channel of every kind; the third is intermittent."""
    centre = np.array([[10.0, 0, 0, 0, 50, 0], [-3.0, 0, 0, 0, 50, 0]])
    scale = np.array([[2.0, 3, 8, 5, 25, 360 / TURN], [0.1, 1, 2, 4, 25, 360 / TURN]])
    return Scaling(SUPPORTS, centre, scale, POWER)


@pytest.fixture
def readings():
    """Inside every support, shape (2, 300, 6)."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, 300, 6)) * 4
    y[..., 1:3] = np.abs(y[..., 1:3]) + 0.01
    y[..., 3] = -np.abs(y[..., 3]) - 0.01
    y[..., 4] = rng.uniform(0.1, 99.9, y.shape[:2])
    y[..., 5] = rng.uniform(0, 359.9, y.shape[:2])
    return y


def back(scaling, z):
    return np.stack([scaling.inverse(v, run) for run, v in enumerate(z)])


def test_there_and_back(scaling, readings):
    np.testing.assert_allclose(back(scaling, scaling.forward(readings)), readings, rtol=1e-12)


def test_there_and_back_of_one_channel(scaling, readings):
    z = scaling.forward(readings)
    for run in range(2):
        for c in range(6):
            one = scaling.inverse(z[run, :, c], run, c)
            np.testing.assert_allclose(one, readings[run, :, c], rtol=1e-12)


def test_float32_stays_float32_and_inside(scaling):
    z = np.random.default_rng(1).normal(size=(10_000, 6)).astype(np.float32) * 10
    y = scaling.inverse(z)
    assert y.dtype == np.float32
    assert y[:, 5].min() >= 0
    assert y[:, 5].max() < 360


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("angle", [-1e-20, -1e-9, TURN, -TURN, 7 * TURN, np.pi, -np.pi])
def test_a_direction_lies_below_its_period(scaling, angle, dtype):
    y = scaling.inverse(np.full(6, angle, dtype))[5]
    assert 0 <= y < 360


def test_the_jacobian_is_the_slope(scaling, readings):
    step = 1e-6
    up, down = scaling.forward(readings + step), scaling.forward(readings - step)
    slope = np.log(np.abs(up - down) / (2 * step))
    np.testing.assert_allclose(scaling.log_jacobian(readings), slope, atol=1e-6)


def test_bounds_land_on_the_internal_bounds_and_take_no_jacobian(scaling):
    low = np.array([np.nan, 0, 0, np.nan, 0, np.nan])
    high = np.array([np.nan, np.nan, np.nan, 0, 100, np.nan])
    for at, row in ((low, 0), (high, 1)):
        z = scaling.forward(np.broadcast_to(at, (2, 1, 6)))[:, 0]
        told = scaling.log_jacobian(np.broadcast_to(at, (2, 1, 6)))[:, 0]
        for c in np.flatnonzero(np.isfinite(at)):
            assert (z[:, c] == INTERNAL_BOUNDS[SUPPORTS[c]][row]).all()
            assert (told[:, c] == 0).all()


def test_beyond_a_bound_is_at_it(scaling):
    y = np.array([[0.0, -1, -1, 1, -5, 0], [0, 1, 1, -1, 150, 0]])
    z = scaling.forward(y[None, :, :].repeat(2, axis=0))
    np.testing.assert_array_equal(z[:, 0, 1:5], [[0, 0, 0, -2]] * 2)
    np.testing.assert_array_equal(z[:, 1, 4], [2, 2])


def test_what_float32_takes_for_the_bound_is_scored_as_at_it(scaling):
    """A point mass and a density must not meet in one score."""
    nearly = np.nextafter(100.0, 0) * np.ones((2, 1, 6))
    z = scaling.forward(nearly)
    assert (z.astype(np.float32)[..., 4] == 2).all()
    assert (scaling.log_jacobian(nearly)[..., 4] == 0).all()
    inside = 100 - 25 * 2 * AT_BOUND * np.ones((2, 1, 6))
    assert (scaling.forward(inside).astype(np.float32)[..., 4] < 2).all()
    assert (scaling.log_jacobian(inside)[..., 4] != 0).all()


def test_missing_stays_missing(scaling):
    nothing = np.full((2, 3, 6), np.nan)
    assert np.isnan(scaling.forward(nothing)).all()
    assert np.isnan(back(scaling, nothing)).all()


def test_errors_are_the_slope_times_the_sd(scaling, readings):
    sd = np.full(readings.shape, 1e-5)
    told = np.exp(scaling.log_slope(readings)) * sd
    np.testing.assert_allclose(scaling.error(readings, sd), told, rtol=1e-3)


def test_the_error_of_a_dry_gauge_is_finite(scaling):
    """The slope of a square root has none at zero: the error is how far one sd moves the reading."""
    told = scaling.error(np.zeros((2, 1, 6)), np.full((2, 1, 6), 0.08))[..., 2]
    np.testing.assert_allclose(told[:, 0], [0.1, 0.2])
    assert (scaling.error(np.zeros((2, 1, 6)), np.zeros((2, 1, 6))) == 0).all()


def test_json_gives_back_every_digit(scaling):
    again = Scaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    assert again.supports == scaling.supports
    for part in ("centre", "scale", "power"):
        np.testing.assert_array_equal(getattr(again, part), getattr(scaling, part))


def test_stations_are_chosen_in_the_order_asked_for(scaling):
    turned = scaling.select([1, 0])
    np.testing.assert_array_equal(turned.centre, scaling.centre[::-1])
    np.testing.assert_array_equal(turned.scale, scaling.scale[::-1])


INF = np.inf
BOUNDS = {"real": (-INF, INF), "lower": (0, INF), "upper": (-INF, 0), "both": (0, 100)}


def fitted(values, support, bounds=None):
    return fit_scaling(values, (support,), [bounds or BOUNDS[support]])


def test_a_real_channel_gets_zero_mean_and_unit_variance_at_each_station():
    y = np.random.default_rng(0).normal([[[3.0]], [[-100.0]]], [[[2.0]], [[0.5]]], (2, 500, 1))
    y[0, :100] = np.nan
    z = fitted(y, "real").forward(y)
    np.testing.assert_allclose(np.nanmean(z, axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(np.nanstd(z, axis=1), 1)


def test_a_lower_channel_keeps_its_zero():
    y = np.random.default_rng(0).gamma(2, 3, (1, 500, 1))
    scaling = fitted(y, "lower")
    assert (scaling.centre == 0).all()
    assert (scaling.power == 1).all()
    np.testing.assert_allclose(scaling.scale[0, 0], y.std())


def test_an_intermittent_channel_gets_a_square_root():
    rng = np.random.default_rng(0)
    y = np.where(rng.random((1, 500, 1)) < 0.8, 0, rng.gamma(1, 3, (1, 500, 1)))
    scaling = fitted(y, "lower")
    assert scaling.power[0] == 0.5
    np.testing.assert_allclose(scaling.forward(y), np.sqrt(y / (4 * y.std())), rtol=1e-6, atol=1e-9)


def test_two_bounds_and_circles_need_no_data():
    nothing = np.full((1, 5, 1), np.nan)
    both, circle = fitted(nothing, "both"), fitted(nothing, "circle", (0.0, 24.0))
    np.testing.assert_allclose(both.forward([[[0.0], [50], [100]]])[0, :, 0], [-2, 0, 2])
    np.testing.assert_allclose(circle.forward([[[6.0]]]), TURN / 4)


def test_a_station_with_too_little_to_say_takes_the_spread_of_all():
    y = np.random.default_rng(0).normal(0, 2, (3, 400, 1))
    y[1] = np.nan
    y[2] = 7.0
    scaling = fitted(y, "real")
    np.testing.assert_allclose(scaling.scale[1:, 0], np.nanstd(y))
    assert scaling.scale[0, 0] == pytest.approx(y[0].std())
    assert scaling.centre[2, 0] == 7
    assert scaling.centre[1, 0] == pytest.approx(np.nanmean(y))
