"""Worlds seen by a network through the verbs, and what stays or is planned beside a record."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr
from numpyro.infer.autoguide import AutoDelta

import assim
from assim import inference, models

KEY, STEP = jax.random.key(0), np.timedelta64(600, "s")


def record(rows: int = 60) -> xr.Dataset:
    t, rng = np.arange(rows), np.random.default_rng(0)
    y = {"a": np.sin(0.4 * t) + 0.1 * rng.normal(size=rows), "b": np.exp(np.cos(0.4 * t))}
    times = np.datetime64("2024-01-01", "ns") + t * STEP
    return xr.Dataset({k: ("time", v) for k, v in y.items()}, {"time": times})


def fitted(
    model: models.LinearKoopman | models.KoopmanVAE, ds: xr.Dataset, key=KEY, **settings: object
) -> xr.DataTree:
    plain = {"num_steps": 30, "ascent": None, "guide": AutoDelta, "num_draws": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return assim.infer(model, ds, inference.SVI(**(plain | settings)), key=key, pointwise=0)


def network(**settings: object) -> models.KoopmanVAE:
    return models.KoopmanVAE(1, 1, window=12, stride=4, hidden=(4,), **settings)


@pytest.mark.slow
def test_a_world_seen_by_a_network_serves_every_verb_and_its_key_alone_decides():
    ds = record()
    post, again = (fitted(network(variety=models.Flow(2, (4,))), ds) for _ in range(2))
    other = fitted(network(variety=models.Flow(2, (4,))), ds, jax.random.key(1))
    assert (other["posterior"]["emission.weight"] != post["posterior"]["emission.weight"]).any()
    for name, value in post["posterior"].data_vars.items():
        np.testing.assert_array_equal(value, again["posterior"][name])
    made = assim.generate(post, 20, key=KEY)["generated"]
    assert dict(made["a"].sizes) == {"sample": 20, "step": 12}
    assert float(made["a"].std()) > 0.1
    holed = ds.isel(time=slice(0, 20)).copy(deep=True)
    holed["b"][5:12] = np.nan
    filled = assim.generate(post, 10, key=KEY, given=holed)["generated"]
    seen = np.isfinite(holed["b"].values)
    np.testing.assert_allclose(
        filled["b"].values[:, seen], holed["b"].values[None, seen].repeat(10, 0)
    )
    assert (filled["b"].values[:, ~seen].std(axis=0) > 0).all()
    told = assim.reconstruct(post, holed, key=KEY)
    assert np.isfinite(told["smoothed"]["b_mean"]).all()
    ahead = assim.forecast(post, ds, 6, key=KEY, num_draws=None, paths=20)["predictions"]
    assert np.isfinite(ahead["b"]).all() and float(ahead["b"].std()) > 0


@pytest.mark.slow
def test_a_bound_on_windows_that_are_held_out_is_told(key):
    post = fitted(network(), record(120), held_out=0.25, num_steps=400)
    held = post["sample_stats"]["held_out"].values
    told = held[np.isfinite(held) & (held != 0)]
    assert told.size
    assert told[-1] < told[0]


@pytest.mark.slow
def test_a_plan_moves_a_forecast_beside_what_stays():
    ds = record()
    lamp = (np.arange(60) // 10 % 2).astype(float)
    ds["a"] = ds["a"] + 3 * lamp
    ds["lamp"], ds["depth"] = ("time", lamp), ((), 12.0)
    model = models.LinearKoopman(1, 1, window=12, stride=4, controls=("lamp", "depth"))
    post = fitted(model, ds, num_steps=300)
    later = ds["time"].values[-1] + STEP * np.arange(1, 7)

    def planned(value: float) -> xr.DataArray:
        plan = xr.Dataset({"lamp": ("time", np.full(6, value))}, {"time": later})
        known = xr.concat([ds.drop_vars("depth"), plan], "time").assign(depth=ds["depth"])
        origin = ds["time"].values[-1:]
        return assim.forecast(post, known, 6, key=KEY, origins=origin)["predictions"]["a"]

    on, off = planned(1.0), planned(0.0)
    assert np.isfinite(on).all()
    assert float((on - off).isel(lead_time=-1).mean()) > 0.1
