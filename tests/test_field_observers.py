"""A gain from fit to analysis: what is held, what the Observer makes of readings, what is refused."""

import dataclasses
import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.filters import Straight
from tests.test_fields import front, later, readings

HELD = ("net", "generator", "noise")
MODEL = models.SemilinearOperator(modes=5, width=6, layers=1, substeps=1, error=0.3)
GAIN = models.Gain(width=6, layers=1, memory=2, readings=models.Readings(error=(0.05, 0.3)))


def fitted(model, steps, **more):
    """A fit on travelling waves, one draw."""
    method = inference.EnsembleMAP(1, num_steps=steps, batch_size=8, learning_rate=1e-2)
    with warnings.catch_warnings():  # that more steps would do better is true, and no matter here
        warnings.filterwarnings("ignore", message="The members were still moving")
        train = more.pop("train", front(40, 8, key=jax.random.key(1)))
        return assim.infer(model, train, method, key=jax.random.key(0), pointwise=0, **more)


@pytest.fixture(scope="module")
def operator():
    return fitted(MODEL, 400)


@pytest.fixture(scope="module")
def post(operator):
    model = dataclasses.replace(MODEL, gain=GAIN, horizon=8)
    return fitted(model, 300, init=operator, hold=HELD)


@pytest.mark.slow
def test_what_is_held_stays_and_the_tree_comes_back(operator, post, tmp_path):
    for name, value in operator["posterior"].data_vars.items():
        np.testing.assert_array_equal(post["posterior"][name], value)
    post.to_netcdf(tmp_path / "observer.nc")
    again = assim.restore(tmp_path / "observer.nc")
    assert again.model.gain == GAIN and again.model.horizon == 8
    assert any(name.startswith("gain.corrector") for name in again.sites)


@pytest.mark.slow
def test_the_observer_finds_the_field_and_knows_how_well(post, key):
    truth = later(front(40, key=key))
    seen = readings(truth, key=key)
    told = assim.assimilate(post, seen, filters.Observer(), key=key)
    mean, sd = (told["analysis"][f"h_{part}"].squeeze() for part in ("mean", "sd"))
    error = np.sqrt(((mean - truth["h"]) ** 2).mean("x"))
    assert error[10:].mean() < 0.25 * truth["h"].std()
    cover = (abs(mean - truth["h"]) < 1.645 * sd)[5:].mean()
    assert 0.6 < cover <= 1.0
    assert "log_likelihood" in told.children
    assert told["analysis"]["h"].sizes["draw"] == 1 or "draw" in told["analysis"]["h"].dims


@pytest.mark.slow
def test_a_gap_widens_what_it_believes(post, key):
    truth = later(front(30, key=key))
    seen = readings(truth, key=key)
    seen = seen.assign(h=seen["h"].where(seen["time"] < seen["time"][15]))
    told = assim.assimilate(post, seen, filters.Observer(), key=key)
    sd = told["analysis"]["h_sd"].squeeze().mean("x").values
    assert (np.diff(sd[15:]) > 0).mean() > 0.9
    np.testing.assert_array_equal(
        told["analysis"]["h_mean"][..., 15:, :], told["background"]["h_mean"][..., 15:, :]
    )


@pytest.mark.slow
def test_the_same_posterior_serves_an_ensemble(post, key):
    truth = later(front(20, key=key))
    chosen = filters.LETKF(20, 8.0, Straight((32.0,)), 1.05)
    told = assim.assimilate(post, readings(truth, key=key), chosen, key=key)
    error = np.sqrt(((told["analysis"]["h_mean"] - truth["h"]) ** 2).mean("x"))
    assert error[5:].mean() < 0.4 * truth["h"].std()


@pytest.mark.slow
def test_two_calls_give_what_one_gives(post, key):
    truth = later(front(24, key=key))
    seen = readings(truth, key=key)
    whole = assim.assimilate(post, seen, filters.Observer(), key=key)
    first = assim.assimilate(post, seen.isel(time=slice(0, 12)), filters.Observer(), key=key)
    rest = assim.assimilate(post, seen, filters.Observer(), key=key, resume=first)
    both = xr.concat([first["analysis"]["h_mean"], rest["analysis"]["h_mean"]], "time")
    np.testing.assert_array_equal(both, whole["analysis"]["h_mean"])


@pytest.mark.slow
def test_readings_alone_teach_a_gain(operator, key):
    gain = dataclasses.replace(GAIN, readings=None)
    model = dataclasses.replace(MODEL, gain=gain, horizon=8)
    full = front(40, 8, key=jax.random.key(1))
    noise = 0.3 * np.asarray(jax.random.normal(key, full["h"].shape))
    there = np.asarray(jax.random.uniform(jax.random.key(5), full["h"].shape)) < 0.4
    seen = (full["h"] + noise).where(there).to_dataset(name="h")
    post = fitted(model, 150, init=operator, hold=HELD, train=seen)
    loss = post["sample_stats"]["loss"].values
    assert loss[-30:].mean() < loss[:10].mean()
    truth = later(front(30, key=key))
    told = assim.assimilate(post, readings(truth, key=key), filters.Observer(), key=key)
    error = np.sqrt(((told["analysis"]["h_mean"].squeeze() - truth["h"]) ** 2).mean("x"))
    assert error[10:].mean() < 0.5 * truth["h"].std()


@pytest.mark.slow
def test_the_published_observer_follows_measured_fields(key):
    model = models.PublishedNODA(modes=5, width=6, layers=1, horizon=6, weight=0.0, error=0.1)
    alone = fitted(model, 300)
    post = fitted(dataclasses.replace(model, weight=0.1), 200, init=alone, hold=("net", "noise"))
    truth = later(front(20, key=key))
    noise = 0.1 * np.asarray(jax.random.normal(key, truth["h"].shape))
    told = assim.assimilate(post, truth + noise, filters.Observer(), key=key)
    error = np.sqrt(((told["analysis"]["h_mean"].squeeze() - truth["h"]) ** 2).mean("x"))
    assert error[5:].mean() < 0.25 * truth["h"].std()
    assert (told["analysis"]["h_sd"] == 0).all()


def test_what_cannot_be_is_said(key):
    train = front(20, 2, key=key)
    operator = assim.infer(MODEL, train, inference.Prior(1), key=key, pointwise=0)
    truth = later(front(20, key=key))
    with pytest.raises(TypeError, match=r"without a gain: use ETKF"):
        assim.assimilate(operator, readings(truth, key=key), filters.Observer(), key=key)
    with pytest.raises(ValueError, match="same family with other settings"):
        fitted(dataclasses.replace(MODEL, width=8, gain=GAIN), 10, init=operator)
    with pytest.raises(ValueError, match=r"hold='net' keeps values of an earlier posterior"):
        fitted(MODEL, 10, hold="net")
