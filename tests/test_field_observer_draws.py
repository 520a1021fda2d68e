"""An observer of three draws: what it makes of gaps, of two calls, of draws that differ, and what rolls on."""

import warnings

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from tests.test_field_forecasts import flow, quiet, systems
from tests.test_fields import front, later, readings

MODEL = models.SemilinearOperator(
    modes=4,
    width=4,
    layers=1,
    features=4,
    horizon=4,
    error=0.3,
    gain=models.Gain(width=4, layers=1, memory=1, readings=models.Readings(error=(0.05, 0.3))),
)
METHOD = inference.EnsembleMAP(3, num_steps=200, batch_size=8, learning_rate=2e-2)
TIMES = 14


@pytest.fixture(scope="module")
def post():
    """Of the prior, near its middle: most of what is tested is arithmetic, not skill."""
    train = front(41, 2, key=jax.random.key(1))
    made = assim.infer(MODEL, train, inference.Prior(3), key=jax.random.key(0), pointwise=0)
    made["posterior"] = 0.15 * made["posterior"].to_dataset()
    return made


@pytest.fixture(scope="module")
def fitted():
    train = front(41, 2, key=jax.random.key(1))
    with warnings.catch_warnings():  # that more steps would do better is true, and no matter here
        warnings.filterwarnings("ignore", message="The members were still moving")
        return assim.infer(MODEL, train, METHOD, key=jax.random.key(0), pointwise=0)


@pytest.fixture(scope="module")
def truth():
    return later(front(TIMES, key=jax.random.key(2)))


@pytest.fixture(scope="module")
def seen(truth):
    """Of which nothing is read at four times."""
    read = readings(truth, key=jax.random.key(3))
    rows = np.arange(TIMES)
    return read.assign(h=read["h"].where(xr.DataArray((rows < 7) | (rows > 10), dims="time")))


@pytest.fixture(scope="module")
def told(post, seen):
    return assim.assimilate(post, seen, filters.Observer(), key=jax.random.key(4))


def of_draw(tree, draw):
    """The posterior of one draw."""
    again = tree.copy()
    again["posterior"] = tree["posterior"].to_dataset().isel(draw=[draw])
    return again


@pytest.mark.slow
def test_readings_tell_each_draw_of_the_field(fitted, seen, truth):
    told = assim.assimilate(fitted, seen, filters.Observer(), key=jax.random.key(4))
    mean = told["analysis"]["h_mean"]
    assert mean.dims == ("chain", "draw", "time", "x") and mean.sizes["draw"] == 3
    error = np.sqrt(((mean - truth["h"]) ** 2).mean(("chain", "x")))
    assert float(error.isel(time=slice(4, 7)).max()) < 0.6 * float(truth["h"].std())
    sd = told["analysis"]["h_sd"].isel(time=slice(4, 7))
    assert 0.02 < float(sd.min()) and float(sd.max()) < 2.0 * float(truth["h"].std())


def test_each_draw_is_moved_to_its_readings(told, seen):
    at = {"x": seen["position_0"].values.astype(int), "chain": 0}
    before, after = (told[g]["h_mean"].isel(at).values for g in ("background", "analysis"))
    y = seen["h"].values
    read = np.isfinite(y)
    away = [np.abs(mean - y)[:, read].mean(axis=1) for mean in (before, after)]
    assert (away[1] < 0.8 * away[0]).all()


def test_an_analysis_is_spread_as_its_draws_differ(post, told, seen):
    means = told["analysis"]["h_mean"]
    assert (means.std("draw").isel(time=slice(1, None)) > 1e-4).all()
    alone = assim.assimilate(of_draw(post, 1), seen, filters.Observer(), key=jax.random.key(4))
    for group in ("background", "analysis"):
        for name in ("h_mean", "h_sd"):
            each = told[group][name].isel(chain=0, draw=1)
            np.testing.assert_allclose(alone[group][name], each, rtol=1e-3, atol=1e-3)


def test_one_draw_is_told_by_a_hundred_members_that_roll_on(post, seen):
    """They are spread as the observer says of itself, and so is what they foretell."""
    alone = of_draw(post, 0)
    told = assim.assimilate(alone, seen, filters.Observer(), key=jax.random.key(4))
    analysis = told["analysis"].isel(time=-1)
    assert analysis["h"].sizes["draw"] == 100 and analysis["h_sd"].dims == ("x",)
    np.testing.assert_allclose(analysis["h"].std(("chain", "draw")), analysis["h_sd"], rtol=0.35)
    ahead = assim.forecast(alone, told, 2, key=jax.random.key(6), origins="last")["predictions"]
    spread = ahead["h"].std(("chain", "draw")).isel(init_time=0, lead_time=0)
    assert ahead["h"].sizes["draw"] == 100
    assert float(spread.mean()) > 0.5 * float(analysis["h_sd"].mean())


def test_innovations_are_those_of_the_mixture_of_draws(told, seen):
    """Their variance is that of a draw, and of what the draws differ by."""
    at = seen["position_0"].values.astype(int)
    each = told["background"]["h_mean"].isel(chain=0, x=at)
    residual = seen["h"].values - each.mean("draw")
    found = told["innovation"]["h"]
    read = np.isfinite(found.values)
    np.testing.assert_allclose(found.values[read], residual.values[read], atol=1e-3)
    least = (each.var("draw") + 0.3**2).values
    assert (told["innovation"]["h_sd"].values[read] ** 2 >= 0.999 * least[read]).all()


def test_a_time_without_readings_is_left_as_predicted_and_others_are_surer(told):
    gap = slice(7, 11)
    analysis, background = (told[g].to_dataset().isel(time=gap) for g in ("analysis", "background"))
    np.testing.assert_array_equal(analysis["h_mean"], background["h_mean"])
    np.testing.assert_array_equal(analysis["h_sd"], background["h_sd"])
    after, before = (told[g]["h_sd"].mean(("chain", "x")) for g in ("analysis", "background"))
    read = np.r_[0:7, 11:14]
    assert (after < before).isel(time=read).all()


def test_two_calls_give_what_one_gives(post, told, seen):
    first = assim.assimilate(
        post, seen.isel(time=slice(0, 9)), filters.Observer(), key=jax.random.key(4)
    )
    rest = assim.assimilate(post, seen, filters.Observer(), key=jax.random.key(4), resume=first)
    for name in ("h_mean", "h_sd"):
        both = xr.concat([tree["analysis"][name] for tree in (first, rest)], "time")
        np.testing.assert_array_equal(both, told["analysis"][name])


@pytest.mark.slow
def test_its_analysis_rolls_on_each_member_by_its_own_draw(post, seen, key):
    calm = quiet(post)
    told = assim.assimilate(calm, seen, filters.Observer(), key=key)
    ahead = assim.forecast(calm, told, 2, key=key, origins="last")["predictions"]["h"]
    assert ahead.dims == ("chain", "draw", "init_time", "lead_time", "x")
    assert ahead.sizes["draw"] == 3 and ahead["init_time"] == seen["time"][-1]
    for draw, ssm in enumerate(systems(calm)):
        x = told["analysis"]["h"].values[0, draw, -1].astype(np.float32)
        for lead in range(2):
            x = flow(ssm, x)
            np.testing.assert_allclose(ahead[0, draw, 0, lead], x, atol=1e-3)
    noisy = assim.forecast(post, told, 2, key=key, origins="last")["predictions"]["h"]
    assert (noisy.std("draw") > 0).all()


@pytest.mark.slow
def test_the_same_posterior_serves_an_ensemble(fitted, seen, truth):
    told = assim.assimilate(fitted, seen, filters.ETKF(9, 1.05), key=jax.random.key(5))
    assert told["analysis"]["h"].sizes["draw"] == 9
    error = ((told["analysis"]["h_mean"] - truth["h"]) ** 2).isel(time=slice(4, 7)).mean() ** 0.5
    assert error < truth["h"].std()
