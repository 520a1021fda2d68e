"""Intervals hold what they promise where readings are missing and their error is known."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference
from assim.models import VAR, Autoregressive

TRAIN, TEST = 2000, 1200
METHODS = {
    "linear": (VAR(3), None),
    "network": (
        Autoregressive((1, 2, 3), (16,), calendar=()),
        inference.SVI(num_steps=2000, ascent=inference.Ascent(1000)),
    ),
}


def record(seed):
    """An autoregression read with an error of 0.2 or 0.6 that the file knows, 15 % missing and gaps of 8 rows."""
    rng = np.random.default_rng(seed)
    length = TRAIN + TEST
    y = np.zeros(length)
    for t in range(1, length):
        y[t] = 0.85 * y[t - 1] + 0.5 * rng.normal()
    sd = np.where(rng.random(length) < 0.5, 0.2, 0.6)
    seen = y + sd * rng.normal(size=length)
    seen[rng.random(length) < 0.15] = np.nan
    for start in range(40, length, 100):
        seen[start : start + 8] = np.nan
    time = np.datetime64("2020-01-01", "ns") + np.arange(length) * np.timedelta64(600, "s")
    return xr.Dataset({"y": ("time", seen), "y_sd": ("time", sd)}, {"time": time})


@pytest.mark.slow
@pytest.mark.parametrize(("model", "method"), METHODS.values(), ids=METHODS)
def test_nine_readings_in_ten_lie_in_the_interval(model, method, key):
    ds = record(0)
    k_fit, k_forecast = jax.random.split(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        post = assim.infer(model, ds.isel(time=slice(0, TRAIN)), method, key=k_fit, pointwise=0)
    origins = ds["time"].values[TRAIN + 10 : -6 : 3]
    tree = assim.forecast(post, ds, 6, origins=origins, key=k_forecast)
    p = tree["predictions"]["y"]
    low, high = (p.quantile(q, ["chain", "draw"]) for q in (0.05, 0.95))
    truth = ds["y"].sel(time=p["valid_time"])
    inside = ((truth > low) & (truth < high)).where(truth.notnull())
    by_lead = inside.mean("init_time").values
    assert np.all((by_lead > 0.85) & (by_lead < 0.95)), by_lead
    rows = np.searchsorted(ds["time"].values, origins)
    in_gap = xr.DataArray(np.isin(rows % 100, np.arange(42, 48)), dims="init_time")
    deep = float(inside.where(in_gap).mean())
    assert 0.82 < deep < 0.97, deep
    width = (high - low).isel(lead_time=0)
    blind, fresh = (float(width.where(where).mean()) for where in (in_gap, ~in_gap))
    climate = 2 * 1.645 * np.sqrt(0.5**2 / (1 - 0.85**2) + (0.2**2 + 0.6**2) / 2)
    assert blind > 0.9 * climate > 1.1 * fresh
    if not model.hidden:
        assert blind == pytest.approx(climate, rel=0.1)
