"""`infer`: methods by default, warm starts, checkpoints, trees that survive a file, and what cannot be fitted."""

import dataclasses
import json
import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference, inferring
from assim.inference import variational
from assim.models import VAR, Autoregressive, Direct, Persistence
from tests.inference.toys import interrupt

SVI = inference.SVI(num_steps=250, ascent=None, batch_size=64)
TIME = np.datetime64("2020-01-01", "ns") + np.arange(400) * np.timedelta64(600, "s")


def record(seed=0, times=400, stations=None):
    """An autoregression of two channels with 15 % missing and one long gap; temperature with a known error."""
    rng = np.random.default_rng(seed)
    shape = (stations or 1, times)
    y = np.zeros((2, *shape))
    for t in range(1, times):
        y[..., t] = 0.8 * y[..., t - 1] + rng.normal(size=y.shape[:2])
    y[rng.random(y.shape) < 0.15] = np.nan
    y[0, :, times // 2 : times // 2 + 30] = np.nan
    dims, values = (("station", "time"), y) if stations else (("time",), y[:, 0])
    data = {
        "t": (dims, 10 + values[0], {"units": "degC", "standard_name": "air_temperature"}),
        "t_sd": (dims, np.full(values[0].shape, 0.1)),
        "w": (dims, np.abs(values[1]), {"units": "m s-1", "standard_name": "wind_speed"}),
    }
    coords = {"time": TIME[:times]}
    if stations:
        coords["station"] = [f"mast {i}" for i in range(stations)]
    return xr.Dataset(data, coords)


def fit(model, ds, method=None, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return assim.infer(model, ds, method, **settings)


def same(one, two):
    assert set(one.data_vars) == set(two.data_vars)
    for name, value in one.data_vars.items():
        np.testing.assert_array_equal(value.values, two[name].values, err_msg=name)


@pytest.fixture(scope="module")
def post():
    return fit(VAR(2), record(), key=jax.random.key(1))


def test_a_small_model_gets_its_exact_gaussian(post):
    assert json.loads(post.attrs["method"])["type"] == "Laplace"
    assert set(post.children) >= {
        *("posterior", "sample_stats", "observed_data", "posterior_predictive", "log_likelihood"),
        *("constant_data", "constant_parameters", "belief"),
    }
    assert post.attrs["likelihood"] == "exact"
    assert all(v.dims[:2] == ("chain", "draw") for v in post["posterior"].data_vars.values())


def test_only_what_was_observed_is_judged(post):
    seen, ds = post["observed_data"]["y"], record()
    read = np.flatnonzero((ds["t"].notnull() | ds["w"].notnull()).values)
    newest = ds.isel(time=read[-200:])
    expected = sum(int(newest[n].notnull().sum()) for n in ("t", "w"))
    assert seen.sizes["obs_id"] == expected
    for name in ("t", "w"):
        cells = seen[seen["variable"].values == name]
        told = ds[name].sel(time=cells["time"].values)
        np.testing.assert_allclose(cells.values, told.values, rtol=1e-6)
    assert post["log_likelihood"]["y"].sizes["obs_id"] == expected


def test_the_density_is_in_file_units(post):
    """A change of units moves every log density by the log of its factor."""
    kelvin = record()
    kelvin["t"] = (kelvin["t"] * 10).assign_attrs(kelvin["t"].attrs)
    kelvin["t_sd"] = kelvin["t_sd"] * 10
    other = fit(VAR(2), kelvin, key=jax.random.key(1))
    is_t = post["observed_data"]["y"]["variable"].values == "t"
    one, two = (p["log_likelihood"]["y"].mean(["chain", "draw"]).values for p in (post, other))
    np.testing.assert_allclose((one - two)[is_t], np.log(10), atol=0.05)
    np.testing.assert_allclose((one - two)[~is_t], 0.0, atol=0.05)


def test_the_tree_is_exact_through_a_file(post, tmp_path):
    path = tmp_path / "post.nc"
    post.to_netcdf(path, engine="h5netcdf")
    back = assim.tree.read_tree(path)
    assert set(back.children) == set(post.children)
    assert dict(back.attrs) == dict(post.attrs)
    for name, group in post.children.items():
        same(group.to_dataset(), back[name].to_dataset())
    fitted = assim.restore(path)
    assert fitted.model == VAR(2)
    np.testing.assert_array_equal(fitted.tail["t"], post["belief"]["t"])


def test_the_end_of_the_record_is_kept_without_its_packing():
    ds = record(times=120)
    ds["t"].encoding = {
        "dtype": "int16",
        "scale_factor": 1.0,
        "_FillValue": -1,
        "chunksizes": (120,),
    }
    tail = assim.infer(Persistence(2, 3), ds, inference.Prior(2), key=jax.random.key(0))["belief"]
    np.testing.assert_array_equal(tail["t"], ds["t"].isel(time=slice(-4, None)))
    assert not tail["t"].encoding
    assert {"t", "t_sd", "w"} == set(tail.data_vars)


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, monkeypatch):
    ds, key = record(times=200), jax.random.key(2)
    whole = fit(VAR(1), ds, SVI, key=key, pointwise=0)
    path = tmp_path / "fit"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, variational, at=1)
        fit(VAR(1), ds, SVI, key=key, pointwise=0, checkpoint=path)
    assert list(tmp_path.iterdir())
    resumed = fit(VAR(1), ds, SVI, key=key, pointwise=0, checkpoint=path)
    same(whole["posterior"].to_dataset(), resumed["posterior"].to_dataset())
    same(whole["sample_stats"].to_dataset(), resumed["sample_stats"].to_dataset())
    with pytest.raises(ValueError, match="belongs to another run"):
        fit(VAR(1), ds, SVI, key=jax.random.key(3), pointwise=0, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another run"):
        fit(VAR(1), ds, SVI, key=key, pointwise=0, checkpoint=path, init=whole)


def test_a_fit_starts_from_an_earlier_one_and_keeps_its_scaling(post):
    later = record(seed=5)
    later["t"] = later["t"] + 3
    few = inference.SVI(num_steps=1, ascent=None, init_scale=1e-4, learning_rate=1e-5)
    new = fit(VAR(2), later, few, init=post, key=jax.random.key(4))
    assert new.attrs["scaling"] == post.attrs["scaling"]
    assert new.attrs["data_fingerprint"] != post.attrs["data_fingerprint"]
    assert json.loads(new.attrs["init"])[0] == post.attrs["data_fingerprint"]
    start = post["posterior"]["net.skip.weight"].values[0, -1]
    np.testing.assert_allclose(
        new["posterior"]["net.skip.weight"][0].mean("draw"), start, atol=1e-3
    )
    same(new["constant_parameters"].to_dataset()[["constants.mean"]],
         post["constant_parameters"].to_dataset()[["constants.mean"]])  # fmt: skip


def test_an_earlier_fit_of_another_model_is_refused(post):
    with pytest.raises(ValueError, match="other settings"):
        assim.infer(VAR(3), record(), init=post, key=jax.random.key(0))
    with pytest.raises(ValueError, match="holds a Autoregressive and you gave a Persistence"):
        assim.infer(Persistence(), record(), init=post, key=jax.random.key(0))


def test_the_prior_gives_its_predictive():
    ds = record(times=120)
    tree = assim.infer(VAR(1), ds, inference.Prior(20), key=jax.random.key(0), pointwise=10)
    assert {"prior", "prior_predictive"} <= set(tree.children)
    assert tree["prior_predictive"]["y"].sizes["draw"] == 20


def test_several_leads_are_a_composite_likelihood():
    model = Autoregressive(2, (), decoding=Direct(3), calendar=())
    tree = assim.infer(
        model, record(times=120), inference.Prior(3), key=jax.random.key(0), pointwise=0
    )
    assert tree.attrs["likelihood"] == "composite"
    assert "log_likelihood" not in tree.children


def test_stations_are_fitted_together_and_keep_their_names():
    tree = assim.infer(
        VAR(1),
        record(times=100, stations=3),
        inference.Prior(4),
        key=jax.random.key(0),
        pointwise=5,
    )
    assert set(tree["observed_data"]["y"]["station"].values) == {"mast 0", "mast 1", "mast 2"}
    assert tree["belief"]["t"].sizes == {"station": 3, "time": 2}


class Counted(inference.Prior):
    """Draws of the prior, and how many windows there were."""

    def run(self, problem, *, key, watch, start=None):
        draws = inference.Prior.run(self, problem, key=key, watch=watch, start=start)
        return dataclasses.replace(draws, curves={"windows": np.array([problem.num_data])})


def test_a_random_part_of_a_long_record_is_fitted_and_that_is_said(monkeypatch):
    monkeypatch.setattr(inferring, "MOST_WINDOWS", 50)
    with pytest.warns(UserWarning, match="has 285 windows; 50 of them, chosen at random"):
        tree = assim.infer(
            VAR(1),
            record(times=100, stations=3),
            Counted(4),
            key=jax.random.key(0),
            pointwise=0,
        )
    assert tree["sample_stats"]["windows"].item() == 50


class Doubtful(inference.Prior):
    """Draws of the prior, and a word on them."""

    def run(self, problem, *, key, watch, start=None):
        draws = inference.Prior.run(self, problem, key=key, watch=watch, start=start)
        told = {"k_hat": 0.9}
        return dataclasses.replace(draws, advice=("Fit longer: num_steps=200.",), diagnostics=told)


def test_what_did_not_converge_is_said_and_kept():
    with pytest.warns(UserWarning, match="Fit longer"):
        tree = assim.infer(
            VAR(1), record(times=60), Doubtful(2), key=jax.random.key(0), pointwise=0
        )
    assert tree.attrs["advice"] == "Fit longer: num_steps=200."
    assert tree["sample_stats"].attrs["advice"] == "Fit longer: num_steps=200."
    assert tree.attrs["k_hat"] == tree["sample_stats"].attrs["k_hat"] == 0.9


def damaged(change):
    ds = record(times=60)
    return change(ds)


def constant(ds):
    return ds.assign(t=ds["t"] * 0 + 4)


def missing(ds):
    return ds.assign(t=ds["t"] * np.nan)


def irregular(ds):
    return ds.isel(
        time=np.sort(np.random.default_rng(0).choice(60, 40, replace=False))
    ).assign_coords(
        time=ds["time"].values[:40] + np.cumsum(np.arange(40) % 7) * np.timedelta64(97, "s")
    )


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        (VAR(1), lambda ds: ds.isel(time=slice(0, 8)), "usable windows.*shorter context .lags"),
        (VAR(1), lambda ds: ds.isel(time=slice(0, 2)), "at least 3 are needed"),
        (VAR(1), constant, "'t' is constant"),
        (VAR(1), missing, "'t' has no usable value"),
        (VAR(1), irregular, "assim.align"),
        (VAR(1, targets="x"), lambda ds: ds, "no variable 'x'"),
        (VAR(1, covariates=("t", "w")), lambda ds: ds, "none to forecast"),
        (VAR(60), lambda ds: ds, "0 usable windows"),
        (VAR(1), lambda ds: ds.rename(time="when"), "no 'time' dimension"),
        (VAR(1, controls="t", covariates="t"), lambda ds: ds, "'t' is named as a control and"),
        (VAR(1, targets="t", covariates="t"), lambda ds: ds, "'t' is named as a covariate and"),
        (VAR(1, calendar=("moon",)), lambda ds: ds, "'moon'.* is unknown"),
    ],
    ids=range(12),
)
def test_what_cannot_be_fitted_is_refused_in_one_sentence(model, change, words):
    with pytest.raises(ValueError, match=words) as caught:
        assim.infer(model, damaged(change), key=jax.random.key(0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [0, None, jax.random.split(jax.random.key(0), 2)], ids=repr)
def test_what_is_no_key_is_refused_before_the_fit(key):
    with pytest.raises(TypeError, match=r"is not a random key: give key=jax\.random\.key\(0\)"):
        assim.infer(VAR(1), xr.Dataset(), key=key)


def test_a_checkpoint_that_cannot_be_written_is_refused_before_the_fit(tmp_path):
    with pytest.raises(OSError, match="cannot be written"):
        assim.infer(
            VAR(1), record(), SVI, key=jax.random.key(0), checkpoint=tmp_path / "no" / "fit"
        )
