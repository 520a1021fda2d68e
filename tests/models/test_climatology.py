"""Climatology recovers the hour of day, in mean and in spread, and knows nothing of the present."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference
from assim.models import Climatology

KEY = jax.random.key(0)
DAYS = 60


def mean(hour):
    return 12.0 + 5.0 * np.cos(2 * np.pi * (hour - 15) / 24)


def spread(hour):
    return np.where((hour >= 6) & (hour < 18), 2.0, 1.0)


@pytest.fixture(scope="module")
def forecasts():
    """Two days of forecasts, from two origins, of sixty days of hourly readings."""
    rng = np.random.default_rng(0)
    time = np.datetime64("2020-03-01", "ns") + np.arange(24 * DAYS) * np.timedelta64(1, "h")
    hour = np.arange(time.size) % 24
    temperature = mean(hour) + spread(hour) * rng.normal(size=hour.size)
    direction = (rng.normal(0, 25, hour.size)) % 360
    data = {
        "t": ("time", temperature, {"units": "degC", "standard_name": "air_temperature"}),
        "d": ("time", direction, {"units": "degree", "standard_name": "wind_from_direction"}),
    }
    ds = xr.Dataset(data, {"time": time})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        method = inference.Laplace(
            inference.GaussNewton(), inference.Ascent(400, 0.02, None, polish=30), num_draws=200
        )
        post = assim.infer(Climatology(), ds, method, key=KEY, pointwise=0)
    return assim.forecast(post, ds, "24h", origins=list(time[[100, 581]]), num_draws=None, key=KEY)


def test_the_hour_of_day_has_its_mean_and_spread(forecasts):
    p = forecasts["predictions"]["t"].isel(init_time=0)
    hour = p["valid_time"].dt.hour.values
    found = p.mean(["chain", "draw"]).values
    assert np.abs(found - mean(hour)).max() < 0.7
    day = spread(hour) > 1.5
    sd = p.std(["chain", "draw"]).values
    assert sd[day].mean() == pytest.approx(2.0, rel=0.15)
    assert sd[~day].mean() == pytest.approx(1.0, rel=0.25)


def test_the_present_state_does_not_matter(forecasts):
    p = forecasts["predictions"]["t"].mean(["chain", "draw"])
    same = p.assign_coords(hour=p["valid_time"].dt.hour)
    for lead in range(0, 23, 7):
        first = same.isel(init_time=0, lead_time=lead + 1)
        other = same.isel(init_time=1, lead_time=lead)
        assert int(first["hour"]) == int(other["hour"])
        assert abs(float(first - other)) < 0.7


def test_a_direction_around_north_stays_there(forecasts):
    d = np.deg2rad(forecasts["predictions"]["d"].values)
    assert d.min() >= 0
    assert d.max() < 2 * np.pi
    assert np.cos(d).mean() > 0.8


def test_deviations_are_no_more_persistent_than_the_record(forecasts):
    p = forecasts["predictions"]["t"].isel(init_time=0, chain=0)
    z = ((p - p.mean("draw")) / p.std("draw")).values
    assert abs(np.mean(z[:, 1:] * z[:, :-1])) < 0.1
