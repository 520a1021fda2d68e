"""Sensors that are stuck, scaled, drifting or silent are told by name; healthy ones are left alone."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference, models
from assim.diagnosing import _still

LENGTH = 400


def rig(seed: int, length: int = LENGTH) -> xr.Dataset:
    """Three sensors of one slow thing, each with an error of its own."""
    rng = np.random.default_rng(seed)
    x = np.zeros(length)
    for t in range(1, length):
        x[t] = 0.95 * x[t - 1] + 0.3 * rng.normal()
    times = np.datetime64("2020-01-01", "ns") + np.arange(length) * np.timedelta64(1, "s")
    read = {
        n: gain * x + 0.1 * rng.normal(size=length)
        for n, gain in zip("abc", (1, 2, -1), strict=True)
    }
    return xr.Dataset({n: ("time", y, {"units": "K"}) for n, y in read.items()}, {"time": times})


@pytest.fixture(scope="module")
def post() -> xr.DataTree:
    model = models.Autoregressive(
        (1, 2, 3), (), calendar=(), mask_rate=0.25, noise=models.Normal(varying=False)
    )
    method = inference.Laplace(inference.GaussNewton(), num_draws=30)
    fitted = assim.infer(model, rig(0), method, key=jax.random.key(0), pointwise=0)
    return assim.accustom(fitted, rig(1), num_draws=20)


def broken(how: str) -> xr.Dataset:
    ds = rig(2)
    late = np.arange(LENGTH) >= 200
    b = ds["b"].values
    bad = {
        "stuck": np.full(LENGTH, b[200]),
        "scaled": 3.0 * b,
        "drifting": b + 0.1 * (np.arange(LENGTH) - 200),
        "dead": np.zeros(LENGTH),
        "silent": np.full(LENGTH, np.nan),
    }[how]
    return ds.assign(b=("time", np.where(late, bad, b), ds["b"].attrs))


def test_a_healthy_rig_is_not_suspected(post):
    signs = assim.diagnose(post, rig(2))
    assert float((signs["suspicion"] > 0).mean()) < 0.05
    # the scale of a sensor that is not read is that of what the one most like it tells
    assert 0.6 < float(signs["innovation"].median()) < 1.4
    assert float(signs["ratio"].median()) == pytest.approx(1.0, abs=0.5)


@pytest.mark.parametrize(
    ("how", "flag"), [("stuck", 2), ("dead", 2), ("scaled", 1), ("drifting", 1), ("silent", 4)]
)
def test_a_broken_sensor_is_told_by_name(how, flag, post):
    suspicion = assim.diagnose(post, broken(how))["suspicion"]
    before, after = suspicion.isel(time=slice(50, 200)), suspicion.isel(time=slice(240, None))
    assert float((before > 0).mean()) < 0.02
    share = (after > 0).mean("time")
    assert float(share.sel(variable="b")) > 0.8
    assert float((after.sel(variable="b") == flag).mean()) > 0.5
    assert float(share.sel(variable=["a", "c"]).max()) < 0.05  # excused, though b tells of them


def test_a_forecast_says_which_sensor(post, key):
    with pytest.warns(UserWarning, match="The sensor 'b' does not move, at 1 of 1 times"):
        fc = assim.forecast(
            post, broken("stuck").isel(time=slice(0, 300)), 3, key=key, origins="last"
        )
    assert fc["health"]["suspicion"].dims == ("init_time", "variable")
    assert fc["health"]["suspicion"].sel(variable="b").item() == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        calm = assim.forecast(post, rig(2).isel(time=slice(0, 150)), 3, key=key, origins="last")
    assert not calm["health"]["suspicion"].any()


def test_what_is_usual_stays_in_the_file(post, tmp_path):
    post.to_netcdf(tmp_path / "post.nc")
    there = assim.diagnose(tmp_path / "post.nc", rig(2).isel(time=slice(0, 60)))
    xr.testing.assert_allclose(there, assim.diagnose(post, rig(2).isel(time=slice(0, 60))))
    assert there["suspicion"].attrs["flag_meanings"].split()[2] == "does_not_move"


def test_refusals_are_one_sentence(post):
    with pytest.raises(ValueError, match="does not know what is usual"):
        assim.diagnose(post.drop_nodes("usual"), rig(2))
    with pytest.raises(ValueError, match="judges no sensor"):
        assim.accustom(post, rig(1), rows=1)
    with pytest.raises(ValueError, match="give a longer one"):
        assim.accustom(post, rig(1).isel(time=slice(0, 5)))
    blind = models.Autoregressive(2, (), calendar=(), mask_rate=0.0)
    tree = assim.infer(blind, rig(0), inference.Prior(2), key=jax.random.key(0), pointwise=0)
    with pytest.raises(ValueError, match="has not learned to do without one"):
        assim.accustom(tree, rig(1))
    still = assim.infer(
        models.Persistence(), rig(0), inference.Prior(2), key=jax.random.key(0), pointwise=0
    )
    with pytest.raises((TypeError, ValueError)):
        assim.accustom(still, rig(1))


def test_equal_readings_are_counted_past_gaps():
    y = np.array([1.0, 1.0, np.nan, 1.0, 2.0, np.nan, np.nan, np.nan])[None, :, None]
    equal, age = (told[0, :, 0] for told in _still(y))
    np.testing.assert_array_equal(equal, [0, 1, 1, 2, 0, 0, 0, 0])
    np.testing.assert_array_equal(age, [0, 0, 1, 0, 0, 1, 2, 3])


def test_a_slow_sensor_and_a_run_that_has_ended_are_not_silent(post):
    """What is usual of a slow sensor is that it is seldom read; after its last reading a run tells nothing."""
    slow = [ds.assign(c=ds["c"].where(np.arange(LENGTH) % 15 == 0)) for ds in (rig(1), rig(2))]
    seldom = assim.accustom(post, slow[0], num_draws=5)
    assert not (assim.diagnose(seldom, slow[1])["suspicion"] == 4).any()
    ended = rig(2).where(np.arange(LENGTH) < 300)
    late = assim.diagnose(post, ended.reindex(time=rig(2)["time"]))["suspicion"]
    assert not late.isel(time=slice(300, None)).any()
