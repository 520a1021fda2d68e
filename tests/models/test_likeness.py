"""What stands in for a sensor that was not read: the formula, what is counted, and that forecasts gain by it."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim.data.scaling import INTERNAL_BOUNDS
from assim.inference import GaussNewton, Laplace
from assim.models import Autoregressive, Direct, Normal
from assim.models.autoregressive.likeness import Standing, grown, likeness, memory, standing
from assim.problem import prepare
from tests.references import make_problem, make_series

MEAN, SD = np.array([1.0, -2.0, 0.5]), np.array([2.0, 0.5, 1.0])
R = np.array([[0.0, 0.6, -0.9], [0.6, 0.0, 0.3], [-0.9, 0.3, 0.0]])
KEPT = np.array([[1.0, 0.9, 0.8, 0.7, 0.0]] * 3).T
CONSTANTS = {
    k: jnp.asarray(v) for k, v in (("mean", MEAN), ("sd", SD), ("likeness", R), ("memory", KEPT))
}
VALUES = np.random.default_rng(0).normal(size=(4, 3))
REAL = ("real",) * 3


def stands(present, values=VALUES, supports=REAL):
    return standing(jnp.asarray(values), jnp.asarray(present), CONSTANTS, supports)


def test_the_sensor_most_like_it_tells_the_level_of_one_not_read():
    found = stands(np.array([[0, 1, 1]] * 4, bool))
    z = (VALUES[-1, 2] - MEAN[2]) / SD[2]
    np.testing.assert_allclose(found.level, [MEAN[0] - SD[0] * 0.9 * z, *VALUES[-1, 1:]], rtol=1e-6)
    np.testing.assert_allclose(found.told, [-0.9, 0.0, 0.0])
    assert found.age.tolist() == [4, 0, 0]


def test_one_that_was_not_read_either_tells_nothing():
    found = stands(np.array([[0, 1, 0]] * 4, bool))
    z = (VALUES[-1, 1] - MEAN[1]) / SD[1]
    expected = [MEAN[0] + SD[0] * 0.6 * z, VALUES[-1, 1], MEAN[2] + SD[2] * 0.3 * z]
    np.testing.assert_allclose(found.level, expected, rtol=1e-6)
    nothing = stands(np.zeros((4, 3), bool))
    np.testing.assert_allclose(nothing.level, MEAN)
    assert not nothing.told.any() and nothing.age.tolist() == [4, 4, 4]


def test_an_old_reading_tells_less_and_may_give_way_to_a_fresh_one():
    old = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0]], bool)
    assert stands(old).told[0] == pytest.approx(-0.9 * 0.7)
    old[:, 1] = [True, False, False, False]
    older = stands(old)
    z = (VALUES[0, 2] - MEAN[2]) / SD[2]
    assert older.level[0] == pytest.approx(MEAN[0] - SD[0] * 0.9 * 0.7 * z, rel=1e-6)
    fresh = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0]], bool)
    weaker = CONSTANTS | {"memory": jnp.asarray(KEPT).at[3].set(0.5)}
    found = standing(jnp.asarray(VALUES), jnp.asarray(fresh), weaker, REAL)
    assert found.told[0] == pytest.approx(0.6)


def test_an_old_reading_of_its_own_comes_before_what_others_tell():
    found = stands(np.array([[1, 1, 1], [0, 1, 1], [0, 1, 1], [0, 1, 1]], bool))
    assert found.level[0] == pytest.approx(VALUES[0, 0], rel=1e-6)
    assert found.told[0] == 0 and found.age[0] == 3


def test_what_is_told_is_no_wilder_than_eight_deviations_and_inside_its_bounds():
    values = np.where(np.arange(3) == 2, -1e6, VALUES)
    alone = np.array([[0, 0, 1]] * 4, bool)
    assert stands(alone, values).level[0] == pytest.approx(MEAN[0] + SD[0] * 0.9 * 8, rel=1e-6)
    low = INTERNAL_BOUNDS["lower"][0]
    bounded = stands(alone, -values, ("lower", "real", "real"))
    assert bounded.level[0] == low


def test_memory_is_the_correlation_over_the_age():
    phi, rng = 0.9, np.random.default_rng(3)
    x = np.zeros(100_000)
    for t, e in enumerate(rng.normal(size=x.size - 1)):
        x[t + 1] = phi * x[t] + np.sqrt(1 - phi**2) * e
    aged = np.array([[(x[k:] - x[:-k]).std()] for k in range(1, 5)])
    found = np.asarray(memory(jnp.asarray(aged), jnp.ones(1)))[:, 0]
    np.testing.assert_allclose(found, [1, phi, phi**2, phi**3, 0], atol=0.02)


def test_likeness_is_the_correlation_over_pairs_unless_it_could_be_chance():
    rng = np.random.default_rng(1)
    y = rng.normal(size=(400, 5))
    y[:, 1] = 0.8 * y[:, 0] + 0.6 * y[:, 1]
    y[:, 3] = y[:, 0]  # a copy, and a direction that is one
    y[:, 4] = y[:, 0]
    mask = rng.random(y.shape) < 0.7
    circular = np.array([False, False, False, False, True])
    found = likeness(jnp.asarray(y + 3.0), jnp.asarray(mask), circular)
    both = mask[:, 0] & mask[:, 1]
    expected = np.corrcoef(y[both, 0], y[both, 1])[0, 1]
    assert found[0, 1] == pytest.approx(expected, abs=1e-4) and found[1, 0] == found[0, 1]
    assert found[0, 3] == pytest.approx(1.0, abs=1e-4)
    assert not found[2].any() and not found[4].any() and not jnp.diag(found).any()


def test_channels_that_hold_still_or_are_never_read_together_are_not_alike():
    y = np.random.default_rng(2).normal(size=(200, 3))
    y[:, 2] = 0.0
    mask = np.ones(y.shape, bool)
    mask[:100, 0], mask[100:, 1] = False, False
    found = likeness(jnp.asarray(y), jnp.asarray(mask), np.zeros(3, bool))
    assert np.isfinite(found).all() and not found.any()


def remembering(phi, length, channels, rng):
    """Independent channels of order one and variance one."""
    x = np.zeros((length, channels))
    for t, e in enumerate(rng.normal(size=(length - 1, channels))):
        x[t + 1] = phi * x[t] + np.sqrt(1 - phi**2) * e
    return x


@pytest.mark.parametrize(
    ("phi", "noise", "runs"),
    [(0.95, 0.0, 1), (-0.95, 0.0, 1), (0.995, 1.0, 1), (0.3, 0.0, 4)],
    ids=["slow", "alternating", "slow under noise", "runs with offsets"],
)
def test_channels_that_know_nothing_of_each_other_are_seldom_taken_for_alike(phi, noise, runs):
    rng = np.random.default_rng(4)
    y = remembering(phi, 800, 60, rng) + noise * rng.normal(size=(800, 60))
    if runs > 1:
        y += 3 * np.repeat(rng.normal(size=(runs, 60)), 800 // runs, axis=0)
    z = jnp.asarray((y - y.mean(0)) / y.std(0))
    taken = np.asarray(likeness(z, jnp.ones(z.shape, bool), np.zeros(60, bool)) != 0)
    assert taken.sum() / (60 * 59) < 0.01


def test_slow_channels_that_are_alike_are_taken_for_it():
    rng = np.random.default_rng(5)
    x = remembering(0.98, 800, 1, rng)
    y = np.concatenate([x, -x + 0.3 * remembering(0.98, 800, 1, rng)], axis=1)
    z = jnp.asarray((y - y.mean(0)) / y.std(0))
    found = likeness(z, jnp.ones(z.shape, bool), np.zeros(2, bool))
    assert found[0, 1] == pytest.approx(np.corrcoef(y.T)[0, 1], abs=1e-4) and found[0, 1] < -0.8


def test_few_windows_tell_of_no_likeness():
    z = jnp.asarray(np.repeat(np.random.default_rng(6).normal(size=(20, 1)), 2, axis=1))
    assert not likeness(z, jnp.ones(z.shape, bool), np.zeros(2, bool)).any()


def test_the_error_grows_to_that_of_a_prediction_from_the_other():
    rho, share, h = 0.9, 0.8, 3
    rng = np.random.default_rng(2)
    x = np.zeros(200_000)
    for t, e in enumerate(rng.normal(size=x.size - 1)):
        x[t + 1] = rho * x[t] + np.sqrt(1 - rho**2) * e
    other = share * x + np.sqrt(1 - share**2) * rng.normal(size=x.size)
    direct = x[h:] - rho**h * x[:-h]
    by_other = x[h:] - share * rho**h * other[:-h]
    change = np.sqrt(2 * (1 - rho**h))
    constants = {
        "lead_sd": jnp.full((1, 1), change),
        "sd": jnp.ones(1),
        "error_sd": jnp.zeros(1),
        "growth": jnp.ones((1, 5, 1)),
    }
    never = jnp.array([4])
    told = grown(constants, Standing(jnp.zeros(1), never, jnp.array([share])))
    assert told[0, 0] == pytest.approx(by_other.std() / direct.std(), rel=0.01)
    alone = grown(constants, Standing(jnp.zeros(1), never, jnp.zeros(1)))
    assert alone[0, 0] == pytest.approx(1 / np.sqrt(1 - rho ** (2 * h)), rel=1e-5)
    read = grown(constants, Standing(jnp.zeros(1), jnp.array([0]), jnp.zeros(1)))
    assert read[0, 0] == 1.0


def test_where_nothing_tells_the_error_is_that_of_the_oldest_age_counted():
    model = Autoregressive(4, (), calendar=(), mask_rate=0.0, noise=Normal(varying=False))
    c = make_problem(model, make_series(4, 600, 1, 0.1), key=jax.random.key(0)).constants
    at = Standing(jnp.zeros(1), jnp.array([4]), jnp.zeros(1))
    np.testing.assert_allclose(grown(c, at), c["growth"][:, -1], rtol=1e-4)


@pytest.mark.parametrize("decoding", [None, Direct(2)], ids=["iterated", "direct"])
def test_a_forecast_of_a_dead_sensor_starts_from_its_twin(decoding, key):
    series = make_series(5, 300, 2, 0.0)
    y = series.main.y
    twin = y.at[..., 1].set(2.0 * y[..., 0] + 0.01 * y[..., 1])
    mask = series.main.mask.at[0, 190:200, 1].set(False)
    where = lambda s: (s.streams["main"].y, s.streams["main"].mask)  # noqa: E731
    series = eqx.tree_at(where, series, (twin, mask))
    model = Autoregressive(3, (), calendar=(), mask_rate=0.0, decoding=decoding)
    problem = make_problem(model, series, key=key)
    layout, constants = problem.layout, problem.constants
    pairs = jnp.array([[0, 199], [0, 180]], jnp.int32)
    examples = prepare(model, series, pairs, layout, constants, model.needs(), key=key)
    dead, alive = (jax.tree.map(lambda leaf, i=i: leaf[i], examples) for i in (0, 1))
    off = (dead.level[1] - twin[0, 199, 1]) / constants["sd"][1]
    assert (
        abs(off) < 0.15 and abs(twin[0, 199, 1] - constants["mean"][1]) > 0.5 * constants["sd"][1]
    )
    assert (dead.unit[:, 1] > alive.unit[:, 1]).all()
    assert (dead.unit[:, 1] < constants["lead_sd"][:, 1] * constants["growth"][:, -1, 1]).all()


def test_a_forecast_without_a_sensor_gains_by_its_twin(key):
    rng, length = np.random.default_rng(6), 500
    x = np.zeros(length)
    for t in range(1, length):
        x[t] = 0.97 * x[t - 1] + 0.25 * rng.normal()
    times = np.datetime64("2020-01-01", "ns") + np.arange(length) * np.timedelta64(1, "s")
    read = {"a": x + 0.02 * rng.normal(size=length), "b": 5 - 3 * x}
    ds = xr.Dataset({n: ("time", y, {"units": "K"}) for n, y in read.items()}, {"time": times})
    hidden = {"mask_rate": 0.3, "mask_whole": 0.7}  # what a missing sensor is worth is learned
    model = Autoregressive(3, (), calendar=(), noise=Normal(varying=False), **hidden)
    train = ds.isel(time=slice(0, 400))
    post = assim.infer(model, train, Laplace(GaussNewton(), num_draws=20), key=key, pointwise=0)
    late = xr.DataArray(np.arange(length) >= 400, dims="time")
    asked = {"origins": times[410:-2:4], "key": jax.random.key(1), "paths": 20}
    told = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no reading is said, and is the point
        for how, record in {
            "read": ds,
            "silent": ds.assign(a=ds["a"].where(~late)),
            "both": ds.where(~late),
        }.items():
            told[how] = assim.forecast(post, record, 1, **asked)
    crps = assim.compare(told, truth=ds)["crps"].sel(variable="a").isel(lead_time=0)
    assert float(crps.sel(model="silent")) < 1.5 * float(crps.sel(model="read"))
    assert float(crps.sel(model="both")) > 2 * float(crps.sel(model="silent"))
