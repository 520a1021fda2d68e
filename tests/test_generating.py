"""Series that never were, and gaps that are drawn."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models

STEP = np.timedelta64(600, "s")


def record(rows=60):
    t = np.arange(rows)
    rng = np.random.default_rng(0)
    y = {"a": np.sin(0.4 * t) + 0.1 * rng.normal(size=rows), "b": np.exp(np.cos(0.4 * t))}
    times = np.datetime64("2024-01-01", "ns") + t * STEP
    ds = xr.Dataset({k: ("time", v) for k, v in y.items()}, coords={"time": times})
    ds["a"].attrs["units"] = "m"
    return ds


@pytest.fixture(scope="module")
def post():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = models.LinearKoopman(1, window=12, normalised=True)
        return assim.infer(model, record(), inference.Prior(6), key=jax.random.key(0), pointwise=0)


@pytest.fixture(scope="module")
def made(post):
    return assim.generate(post, 40, key=jax.random.key(1))["generated"].to_dataset()


def test_series_are_labelled_in_units_of_the_file(made):
    assert made["a"].dims == ("sample", "step") and made.sizes == {"sample": 40, "step": 12}
    assert made["a"].attrs["units"] == "m"
    assert made["step"].values[1] == STEP
    assert float(made["a"].std()) > 0.1


def test_the_same_key_gives_the_same_series_and_each_has_its_own(post, made):
    again = assim.generate(post, 40, key=jax.random.key(1))["generated"].to_dataset()
    xr.testing.assert_identical(again, made)
    assert len(np.unique(made["a"].values[:, 0])) == 40


@pytest.fixture(scope="module")
def holed():
    ds = record(20)
    ds["b"][5:12] = np.nan
    return ds


@pytest.fixture(scope="module")
def filled(post, holed):
    return assim.generate(post, 30, key=jax.random.key(2), given=holed)["generated"].to_dataset()


def test_what_was_read_stays_and_what_was_not_is_drawn(filled, holed):
    assert filled["b"].dims == ("sample", "time")
    seen = np.isfinite(holed["b"].values)
    np.testing.assert_allclose(
        filled["b"].values[:, seen],
        np.broadcast_to(holed["b"].values[seen], (30, seen.sum())),
        rtol=1e-6,
    )
    assert (filled["b"].values[:, ~seen].std(axis=0) > 0).all()


def test_the_kalman_filter_serves_its_draws(post, holed):
    an = assim.assimilate(post, holed, filters.Kalman(), key=jax.random.key(3), members=4)
    assert an["analysis"]["a_mean"].sizes["time"] == 20
    assert np.isfinite(an["innovation"]["a_log_score"]).all()


@pytest.mark.slow
def test_an_ensemble_filter_serves_its_draws_in_units_of_the_file(post, holed):
    an = assim.assimilate(post, holed, filters.EnKF(30), key=jax.random.key(4), members=0)
    read, units = holed["b"].values, record()["b"]
    seen = np.isfinite(read)
    before, after = (
        abs(read - an[k]["b_mean"].values.squeeze())[seen].mean()
        for k in ("background", "analysis")
    )
    assert after < 0.8 * before
    for name in ("b_mean", "b_sd"):
        assert (an["analysis"][name] > 0).all() and (an["analysis"][name] < units.max()).all()
    assert np.isfinite(an["innovation"]["a_log_score"]).all()


def test_the_smoother_serves_its_draws_and_a_gap_is_wider(post, holed):
    smooth = assim.reconstruct(post, holed, key=jax.random.key(3), members=4)["smoothed"]
    whole = assim.reconstruct(post, record(20), key=jax.random.key(3), members=4)["smoothed"]
    spread, known = (s["b_sd"].mean(("chain", "draw"))[8] for s in (smooth, whole))
    assert float(spread) > 1.2 * float(known)


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"num": 0}, ValueError, "ask for one series or more"),
        ({"length": 1}, ValueError, "two rows or more"),
    ],
)
def test_what_makes_no_series_is_refused(post, settings, error, told):
    with pytest.raises(error, match=told):
        assim.generate(post, **({"num": 2} | settings), key=jax.random.key(0))


def test_a_model_that_goes_on_from_a_record_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = assim.infer(
            models.Persistence(), record(), inference.Prior(2), key=jax.random.key(0), pointwise=0
        )
    with pytest.raises(TypeError, match="begins at no time of its own: use assim.forecast"):
        assim.generate(other, 2, key=jax.random.key(0))


def test_inputs_need_a_plan():
    ds = record()
    ds["lamp"] = ("time", np.arange(60) % 5.0)
    model = models.LinearKoopman(1, window=12, controls=("lamp",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = assim.infer(model, ds, inference.Prior(3), key=jax.random.key(0), pointwise=0)
    with pytest.raises(ValueError, match="inputs lamp: give them along time by plan="):
        assim.generate(post, 2, key=jax.random.key(0))
    made = assim.generate(post, 2, key=jax.random.key(0), plan=ds[["lamp"]].isel(time=slice(0, 8)))
    assert made["generated"].sizes["step"] == 8
