"""Means of dependent values: how far they can be trusted, and how far apart independent ones lie."""

import numpy as np
import pytest
import xarray as xr

from assim import scoring


def ar(coefficient: float, count: int, seed: int, places: int = 1) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, places))
    for t in range(1, count):
        values[t] = coefficient * values[t - 1] + (1 - coefficient**2) ** 0.5 * values[t]
    return xr.DataArray(values, dims=["time", "place"])


def test_correlation_time_is_that_of_an_autoregression():
    found = [scoring.correlation_time(ar(0.8, 4000, seed).values[:, 0]) for seed in range(6)]
    assert np.mean(found) == pytest.approx(1.8 / 0.2, rel=0.12)
    assert scoring.correlation_time(np.random.default_rng(0).normal(size=4000)) < 1.3
    assert scoring.correlation_time(np.ones(50)) == 1.0


def test_autocorrelation_is_that_of_an_autoregression():
    series = ar(0.7, 3000, 0, places=4)
    series[100:140] = np.nan
    np.testing.assert_allclose(scoring.autocorrelation(series, 3), [0.7, 0.49, 0.343], atol=0.04)


@pytest.mark.parametrize(
    ("coefficient", "least"), [pytest.param(0.0, 0.9, marks=pytest.mark.slow), (0.9, 0.88)]
)
def test_block_intervals_hold_the_mean_of_dependent_values(coefficient, least):
    series = ar(coefficient, 1000, 1, places=300)
    bounds = scoring.block_interval(series, 0.95)
    held = ((bounds.sel(bound="lower") < 0) & (bounds.sel(bound="upper") > 0)).mean()
    assert least <= float(held) <= 0.98
    naive = scoring.block_interval(series, 0.95, block=1)
    held = ((naive.sel(bound="lower") < 0) & (naive.sel(bound="upper") > 0)).mean()
    assert (float(held) < 0.6) is (coefficient > 0)


def test_block_intervals_leave_missing_times_out():
    series = ar(0.0, 60, 2)[:, 0]
    gaps = xr.DataArray(np.repeat(series.values, 2), dims="time")
    gaps[1::2] = np.nan
    np.testing.assert_allclose(
        scoring.block_interval(gaps, block=5), scoring.block_interval(series, block=5)
    )
    assert scoring.block_interval(series[:1]).isnull().all()


def test_a_pattern_that_travels_is_not_taken_as_independent():
    wave = ar(0.9, 400, 3, places=1)[:, 0].values
    ring = np.stack([np.roll(wave, -3 * s) for s in range(4)], axis=1)
    still = xr.DataArray(ar(0.0, 400, 4, places=4).values, dims=["time", "place"])
    travelling = xr.DataArray(ring, dims=["time", "place"])
    assert scoring.steps_apart(still) == 1
    assert scoring.steps_apart(travelling) >= 9
