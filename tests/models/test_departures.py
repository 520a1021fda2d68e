"""Departures from persistence: what they look at, the posterior in closed form, gaps, and the ends of a record."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpyro.infer.util import log_density
from scipy import stats

import assim
from assim.inference import Exact
from assim.inference.laplace import curvature
from assim.inference.loop import Watch
from assim.models import Departures
from assim.models.departures.recent import Look
from assim.problem import pose
from assim.registry import made_from, settings_of
from assim.series import Layout, cut, origins_with_truth
from assim.statespace import Context
from tests.references import make_series

MODEL = Departures(horizon=4, lags=(1, 3), memory=6)
LAYOUT = Layout(("a", "b"), ("real", "real"), (True, True), (), 0, 600.0)
LOOK, TURNING = (Look((1, 3), 6, 0.4, ("real", kind)) for kind in ("real", "circle"))


DRAWS = 20_000
EVERY = [(h, c) for h in range(4) for c in range(2)]


def posed():
    series, needs = make_series(), MODEL.needs()
    pairs = origins_with_truth(series, needs.context, needs.horizon, overhang=needs.overhang)
    return pose(MODEL, series, jnp.asarray(pairs), LAYOUT, key=jax.random.key(0))


@pytest.fixture(scope="module")
def problem():
    return posed()


@pytest.fixture(scope="module")
def draws(problem):
    return Exact(DRAWS).run(problem, key=jax.random.key(1), watch=Watch()).sites


@pytest.fixture(scope="module")
def middle():
    """A window in the middle of the record."""
    return cut(make_series(), 0, 120, context=6, horizon=4, step=600.0)


@pytest.fixture(scope="module")
def persistent(problem):
    """The state space whose weights are 0."""
    return problem.bind({"precision": jnp.ones((4, 2)), "weights": jnp.zeros((4, 2, 3))})


def counted():
    """Constants by hand: channel sd 2 and 1, steps of 0.5 and 0.1, changes that grow by 1 with lead and age."""
    grown = 1.0 + np.add.outer(np.arange(7.0), np.arange(2.0))[..., None] * np.ones(2)
    return {
        "mean": jnp.array([1.0, 3.0]),
        "sd": jnp.array([2.0, 1.0]),
        "step_sd": jnp.array([0.5, 0.1]),
        "aged_sd": jnp.asarray(grown),
    }


@pytest.fixture
def window():
    """Six rows: a channel that turns past half a circle, and one with gaps."""
    values = np.array([[0.0, 3.1], [0.5, 3.0], [9.9, 3.1], [1.5, -3.1], [1.0, -3.0], [2.0, -3.1]])
    present = np.ones((6, 2), bool)
    present[2, 0] = False
    return jnp.asarray(values), jnp.asarray(present)


def test_features_are_the_level_and_increments_over_the_lags(window):
    found = TURNING(*window, counted()).features
    turn = 2 * np.pi
    share = 0.4 / np.sqrt(3)
    rate = [0.5 / 2 * (2.0 - 1.0) / 2, 0.1 * (turn - 3.1 - 3.0)]
    first = [share * 1.0 / 0.5, share * -0.1 / 0.1]
    third = [0.0, share * (turn - 6.2) / (0.1 * np.sqrt(3))]  # row 2 of the first is missing
    np.testing.assert_allclose(found, np.stack([rate, first, third], -1), rtol=2e-3)


def test_unrest_is_the_root_of_recent_increments(window):
    found = TURNING(*window, counted()).spread[0]
    turn = 2 * np.pi
    steps = np.array(
        [[1.0, -1.0], [np.nan, 1.0], [np.nan, (turn - 6.2) / 0.1], [-1.0, 1.0], [2, -1]]
    )
    fading = np.exp(-2 * np.arange(5)[::-1] / 6)
    fading /= fading.sum()
    square = fading @ np.where(np.isnan(steps), 1.0, steps**2)  # a missing one is of the usual size
    np.testing.assert_allclose(found, ((square + 0.1) / 1.1) ** 0.25, rtol=2e-3)


def test_at_rest_the_spread_is_what_a_change_comes_to_at_that_age(window):
    values, _ = window
    for age in range(7):
        present = jnp.asarray(np.arange(6)[:, None] < 6 - age) & jnp.ones((6, 2), bool)
        told = TURNING(jnp.zeros_like(values), present, counted())
        still = (0.1 / 1.1) ** 0.25
        expected = np.array([1.0 + age, 2.0 + age])
        assert (told.spread[:, 0] >= still * expected * 0.999).all()
        if age == 6:
            np.testing.assert_allclose(told.spread[:, 0], expected, rtol=1e-6)  # usual unrest
            np.testing.assert_array_equal(told.level, counted()["mean"])
            assert (told.features == 0).all()


def test_changes_are_counted_over_what_was_read(problem):
    series = make_series()
    y, mask = np.asarray(series.main.y)[0], np.asarray(series.main.mask)[0]
    y = np.where(mask, y, np.nan)

    def size(distance, lead):  # pairs of which the later is a target and the earlier in its context
        change = (y[distance:] - y[:-distance])[max(lead - distance, 0) :]
        return np.sqrt(np.nanmean(change**2, axis=0))

    c = problem.constants
    aged = np.array([[size(a + h, h) for h in range(1, 5)] for a in range(6)])
    np.testing.assert_allclose(c["lead_sd"], aged[0], rtol=1e-4)
    every = np.concatenate([aged, np.broadcast_to(c["sd"], (1, 4, 2))])
    np.testing.assert_allclose(c["aged_sd"], np.maximum.accumulate(every), rtol=1e-4)


def solved(problem, lead, channel):
    """The textbook's posterior of one lead and channel in float64: mean, precision, shape, rate."""
    told, unit = problem.examples, np.asarray(problem.constants["lead_sd"], float)[lead, channel]
    recent = told.recent
    kept = np.asarray(told.mask)[:, lead, channel]
    x = np.asarray(recent.features, float)[kept, channel]
    y = np.asarray(told.y, float)[kept, lead, channel] - np.asarray(recent.level)[kept, channel]
    v = np.asarray(recent.spread, float)[kept, lead, channel] / unit
    share, y = 1 / (lead + 1), y / unit
    w = share / v**2
    precision = np.eye(x.shape[1]) + (x.T * w) @ x
    mean = np.linalg.solve(precision, (x.T * w) @ y)
    alpha = problem.model.shape
    rate = alpha + 0.5 * ((w * y**2).sum() - mean @ precision @ mean)
    return mean, precision, alpha + 0.5 * share * kept.sum(), rate


def test_prior_and_likelihood_have_the_posterior_in_closed_form(x64):
    problem = posed()
    exact = {at: solved(problem, *at) for at in EVERY}
    rng = np.random.default_rng(1)

    def apart():
        sites = {
            "precision": jnp.asarray(rng.uniform(0.5, 3.0, (4, 2))),
            "weights": jnp.asarray(rng.normal(size=(4, 2, 3))),
        }
        told = 0.0
        for at, (mean, precision, shape, rate) in exact.items():
            tau, w = sites["precision"][at], sites["weights"][at]
            told += stats.gamma.logpdf(tau, shape, scale=1 / rate)
            told += stats.multivariate_normal.logpdf(w, mean, np.linalg.inv(precision) / tau)
        return float(log_density(problem, (), {}, sites)[0]) - told

    assert apart() == pytest.approx(apart(), rel=1e-9)


def test_draws_are_of_that_posterior(problem, draws):
    assert draws["weights"].shape == (1, DRAWS, 4, 2, 3)
    for at in EVERY:
        mean, precision, shape, rate = solved(problem, *at)
        tau, w = draws["precision"][0, :, *at], draws["weights"][0, :, *at]
        assert tau.mean() == pytest.approx(shape / rate, rel=0.02)
        sd = np.sqrt(np.diag(np.linalg.inv(precision)) * rate / (shape - 1))
        np.testing.assert_allclose(w.mean(0), mean, atol=5 * sd.max() / DRAWS**0.5)
        white = np.sqrt(tau)[:, None] * (w - mean)
        np.testing.assert_allclose(np.cov(white.T) @ precision, np.eye(3), atol=0.08)


def test_neighbouring_leads_are_drawn_alike(draws):
    found = np.corrcoef(draws["precision"][0, :, 2:, 0].T)
    assert found[0, 1] > 0.95


def test_what_comes_is_students_t(problem, draws, middle):
    recent = LOOK(middle.context.y, middle.context.mask, problem.constants)
    unit = np.asarray(problem.constants["lead_sd"], float)
    off = np.linspace(-2, 2, 5)[:, None, None] * unit
    y = np.asarray(recent.level) + off
    bound = jax.jit(jax.vmap(lambda theta: problem.bind(theta)(recent).log_prob(y)))
    found = bound({k: jnp.asarray(v[0]) for k, v in draws.items()})
    mixture = np.asarray(jax.nn.logsumexp(found, axis=0)) - np.log(DRAWS)
    for h, c in EVERY:
        mean, precision, shape, rate = solved(problem, h, c)
        x = np.asarray(recent.features, float)[c]
        inner = (float(recent.spread[h, c]) / unit[h, c]) ** 2 + x @ np.linalg.solve(precision, x)
        loc = float(recent.level[c]) + unit[h, c] * mean @ x
        scale = unit[h, c] * np.sqrt(rate / shape * inner)
        expected = stats.t.logpdf(y[:, h, c], 2 * shape, loc, scale)
        np.testing.assert_allclose(mixture[:, h, c], expected, atol=0.06)


def test_laplace_counts_readings_as_the_likelihood_does(problem):
    v = {"precision": jnp.zeros((4, 2)), "weights": jnp.zeros((4, 2, 3))}  # precisions of 1
    found = curvature(problem, v, ("weights",), 4096, watch=Watch()).reshape(8, 3, 8, 3)
    for number, at in enumerate(EVERY):
        np.testing.assert_allclose(
            found[number, :, number], solved(problem, *at)[1], rtol=1e-3, atol=1e-3
        )


def test_overlapping_windows_share_what_they_tell():
    np.testing.assert_array_equal(MODEL.share()[:, 0], [1, 1 / 2, 1 / 3, 1 / 4])


def test_every_reading_counts_at_every_lead_that_has_an_origin(problem):
    mask = np.asarray(make_series().main.mask)[0]
    count = np.asarray(problem.examples.mask).sum(0)
    np.testing.assert_array_equal(count, [mask[h:].sum(0) for h in range(1, 5)])


def test_a_gap_widens_the_forecast(problem, persistent, middle, key):
    wide = []
    for age in range(7):
        told = jnp.arange(6)[:, None] < 6 - age
        values = jnp.where(told, 1.0 + jnp.zeros((6, 2)), 0.0)
        still = Context(values, jnp.broadcast_to(told, (6, 2)), values, jnp.zeros((6, 0)))
        x = persistent.init(still, key=key).sample(key)
        density = persistent.predict(x, middle.spans, middle.u)
        level = jnp.ones(2) if age < 6 else problem.constants["mean"]
        np.testing.assert_allclose(density.loc, jnp.broadcast_to(level, (4, 2)), rtol=1e-6)
        wide.append(density.scale)
    assert (np.diff(wide, axis=0)[:5] > 0).all()
    assert (np.diff(wide, axis=0) >= 0).all()


def test_a_known_error_is_counted_once(persistent, middle, key):
    error = jnp.array([0.2, 0.1])
    x = persistent.init(middle.context, key=key).sample(key)
    whole = persistent.predict(x, middle.spans, middle.u).scale
    known = eqx.tree_at(lambda s: s.constants["error_sd"], persistent, error)
    own = known.predict(x, middle.spans, middle.u).scale
    np.testing.assert_allclose(own**2 + error**2, whole**2, rtol=1e-5)
    path = jax.jit(jax.vmap(lambda k: known.path(x, middle.spans, middle.u, key=k)))
    np.testing.assert_allclose(path(jax.random.split(key, 4000)).std(0), whole, rtol=0.06)
    loud = eqx.tree_at(lambda s: s.constants["error_sd"], persistent, 99 * error)
    np.testing.assert_allclose(loud.predict(x, middle.spans, middle.u).scale, 0.3 * whole)


def test_what_is_no_target_is_not_learned_from(problem, middle, key):
    layout = Layout(("a", "b"), ("real", "real"), (True, False), (), 0, 600.0)
    mask = MODEL.prepare(middle, layout, problem.constants, key=key).mask
    np.testing.assert_array_equal(mask, middle.mask & np.array([True, False]))


def test_settings_come_back_from_json():
    model = Departures(3, [1, 2], 5, targets="a")
    assert made_from(settings_of(model)) == model
    assert model.needs().targets == ("a",)


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"horizon": 0}, "at least 1 step"),
        ({"lags": ()}, "needs lags that increase"),
        ({"lags": (0, 1)}, "increase from 1"),
        ({"lags": (3, 1)}, "increase from 1"),
        ({"lags": (1, 36)}, "stay below the memory"),
        ({"trend": 0.0}, "a prior without width"),
        ({"shape": -1.0}, "a prior without width"),
    ],
)
def test_settings_that_make_no_model_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Departures(**settings)


def masts():
    """Two masts, hourly: a direction, a speed that is 0 at times, and a gap of ten hours."""
    rng = np.random.default_rng(5)
    steps = rng.normal(size=(3, 2, 200))
    turned, speed, warm = np.cumsum(20 * steps[0], -1) % 360, np.cumsum(steps[1], -1), steps[2]
    speed = np.maximum(5 * np.sin(speed / 5), 0.0)
    speed[1, 150:160] = np.nan
    units = {"standard_name": "wind_from_direction", "units": "degree"}
    channels = {
        "direction": (("station", "time"), turned, units),
        "speed": (("station", "time"), speed, {"standard_name": "wind_speed", "units": "m s-1"}),
        "warm": (("station", "time"), warm, {"units": "K"}),
    }
    time = np.datetime64("2020-01-01", "ns") + np.arange(200) * np.timedelta64(1, "h")
    return xr.Dataset(channels, {"time": time, "station": ["north", "south"]})


def test_stations_directions_and_bounds_pass_the_doors(key):
    ds = masts()
    post = assim.infer(MODEL, ds.isel(time=slice(140)), Exact(200), key=key)
    assert np.isfinite(post["log_likelihood"]["y"]).all()
    at = ds["time"].values[[149, 153, 159]]
    ahead = assim.forecast(post, ds, 4, key=key, origins=at)
    drawn = ahead["predictions"].to_dataset()
    assert drawn["station"].values.tolist() == ["north", "south"]
    assert all(np.isfinite(v).all() for v in drawn.data_vars.values())
    assert drawn["direction"].min() >= 0 and drawn["direction"].max() <= 360
    assert drawn["speed"].min() == 0
    spread = drawn["speed"].sel(station="south").std(("chain", "draw"))[:, 0]
    assert spread[0] < spread[1] < spread[2]
    told = ahead["log_score"]["speed"].sel(station="south")
    assert np.isfinite(told[2]).all() and not np.isfinite(told[1]).any()
