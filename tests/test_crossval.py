"""`lfo_cv` against the exact predictive density of the linear autoregression with known noise."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.stats import multivariate_normal

import assim
from assim.data.framing import Selection, describe_frame, frame_of
from assim.inference import AbstractMethod, Ascent, GaussNewton, Laplace, Prior
from assim.models import Autoregressive, Direct
from assim.problem import pose, prepare
from assim.series import Layout, Series, origins_with_truth
from tests.references import Conjugate, conjugate, linear_model

FIRST, TIMES, DRAWS = 28, 40, 400
SCORED = 36
METHOD = Laplace(GaussNewton(), Ascent(num_steps=50, polish=40), num_draws=DRAWS)


def make_record(seed: int, times: int = TIMES) -> xr.Dataset:
    """Draw an autoregression of order one in two channels, 15 % missing and nothing at row 35."""
    rng = np.random.default_rng(seed)
    y = np.zeros((times, 2))
    for t in range(1, times):
        y[t] = 0.8 * y[t - 1] + 0.5 * rng.normal(size=2)
    y[np.random.default_rng(0).random(y.shape) < 0.15] = np.nan
    y[35] = np.nan
    time = np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(10, "m")
    channels = {"a": ("time", 10 + y[:, 0]), "b": ("time", 0.1 * y[:, 1])}
    return xr.Dataset(channels, {"time": time})


@pytest.fixture(scope="module")
def record():
    return make_record(0)


def densities(ds: xr.Dataset, block: np.ndarray) -> tuple[float, float]:
    """The log predictive density of the scored times in `block` given what came before; its error at DRAWS draws.

    The record is cut before the block, posed and solved; later rows of the block see the true earlier ones:
    y | past ~ N(X m, X C X' + s^2), and E p^2 = (4 pi s^2)^(-n/2) N(y; X m, X C X' + s^2 / 2).
    """
    model, key = linear_model(), jax.random.key(0)
    before = frame_of(ds.sel(time=ds["time"] < block[0]), Selection())
    layout, series = Layout.of(before), Series.of(before)
    pairs = jnp.asarray(origins_with_truth(series, 2, 1))
    problem = pose(model, series, pairs, layout, key=key)
    frame = frame_of(ds, Selection(), like=describe_frame(before))
    rows = np.searchsorted(frame.times, block)
    ahead = jnp.stack([jnp.zeros(len(rows), int), jnp.asarray(rows) - 1], axis=1)
    constants, needs = problem.constants, model.needs()
    e = prepare(model, Series.of(frame), ahead, layout, constants, needs, key=key)
    lead_sd = np.asarray(problem.constants["lead_sd"], float)[0]
    x = np.concatenate([np.asarray(e.features, float), np.ones((len(rows), 1))], axis=1)
    target = (np.asarray(e.y, float)[:, 0] - np.asarray(e.level, float)) / lead_sd
    jacobian = frame.scaling.log_jacobian(frame.y)[0, rows] - np.log(lead_sd)
    log_p, log_square = 0.0, 0.0
    exact: Conjugate = conjugate(problem)
    for c, told in enumerate(np.asarray(e.mask)[:, 0].T):
        if told.any():
            y, loc = target[told, c], x[told] @ exact.mean[c]
            spread, variance = (
                x[told] @ exact.cov[c] @ x[told].T,
                model.noise.scale**2 * np.eye(told.sum()),
            )
            log_p += multivariate_normal.logpdf(y, loc, spread + variance)
            log_square += multivariate_normal.logpdf(y, loc, spread + variance / 2)
            log_square -= told.sum() / 2 * np.log(4 * np.pi * model.noise.scale**2)
            jacobian_here = jacobian[told, c].sum()
            log_p, log_square = log_p + jacobian_here, log_square + 2 * jacobian_here
    return log_p, np.sqrt(np.expm1(log_square - 2 * log_p) / DRAWS)


class Watched(AbstractMethod):
    """A method that notes how often JAX has compiled before each of its runs."""

    method: AbstractMethod
    compiled: list
    noted: list

    def run(self, problem, *, key, watch, start=None):
        self.noted.append(self.compiled[0])
        return self.method.run(problem, key=key, watch=watch, start=start)


def watched():
    compiled = [0]

    def heard(event, duration, **about):
        compiled[0] += event.startswith("/jax/core/compile")

    jax.monitoring.register_event_duration_secs_listener(heard)
    return Watched(METHOD, compiled, [])


def hold_compiled_once(noted, refits):
    """The fit to the whole record and the first refit may compile, and no other."""
    assert len(noted) == 1 + refits
    assert noted[0] > 0
    assert noted[2:] == noted[2:3] * (refits - 1)


@pytest.mark.parametrize("horizon", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_exact_scores_are_those_of_the_conjugate_predictive(record, key, horizon):
    method = watched()
    first = FIRST + 4
    found = assim.lfo_cv(
        linear_model(),
        record,
        method,
        key=key,
        min_observations=first,
        forecast_horizon=horizon,
        how="exact",
    )
    seen = record.to_dataarray().notnull().any("variable").values
    times = record["time"].values[seen & (np.arange(TIMES) > 0)]
    assert record["time"].values[35] not in times
    blocks = [times[i : i + horizon] for i in range(first, len(times) - horizon + 1)]
    exact, error = np.array([densities(record, block) for block in blocks]).T
    np.testing.assert_array_equal(found.elpd_i["time"], [b[0] for b in blocks])
    assert np.max(np.abs(found.elpd_i.values - exact) / error) < 4
    assert abs(found.elpd - exact.sum()) < 3 * np.sqrt((error**2).sum())
    assert found.n_refits == found.n_data_points == len(blocks)
    assert found.forecast_horizon == horizon
    hold_compiled_once(method.noted, len(blocks))


@pytest.mark.slow
def test_weights_between_refits_agree_with_the_exact_scores(record):
    settings = {"min_observations": FIRST}
    found = [
        assim.lfo_cv(linear_model(), record, METHOD, key=jax.random.key(i), **settings)
        for i in range(12)
    ]
    times = found[0].elpd_i["time"].values
    exact = sum(densities(record, times[i : i + 1])[0] for i in range(len(times)))
    sums = np.array([f.elpd for f in found])
    assert abs(sums.mean() - exact) < 4 * sums.std(ddof=1) / np.sqrt(len(sums))
    assert all(f.n_refits < len(times) / 2 for f in found)
    assert found[0].pareto_k.shape == times.shape


def test_a_refit_at_every_origin_is_exact(record, key):
    post = assim.infer(linear_model(), record, METHOD, key=key)
    settings = {"key": key, "min_observations": FIRST + 4}
    exact = assim.lfo_cv(post, record, how="exact", **settings)
    with pytest.warns(UserWarning, match="refits out of"):
        forced = assim.lfo_cv(post, record, k_threshold=-10.0, **settings)
    np.testing.assert_allclose(forced.elpd_i.values, exact.elpd_i.values, rtol=1e-12)
    assert exact.n_samples == DRAWS


@pytest.mark.slow
def test_all_refits_compile_once(record, key):
    """Of a model of another size, whichever test ran before."""
    method, first = watched(), FIRST + 3
    assim.lfo_cv(linear_model(lags=3), record, method, key=key, min_observations=first, how="exact")
    hold_compiled_once(method.noted, SCORED - first)


def test_stations_are_scored_together(key):
    both = xr.concat([make_record(0), make_record(1)], "station").assign_coords(station=["x", "y"])
    settings = {"key": key, "min_observations": FIRST + 5, "how": "exact"}
    found = assim.lfo_cv(linear_model(), both, Prior(20), **settings)
    assert np.isfinite(found.elpd_i).all()
    assert found.n_data_points == SCORED - FIRST - 5


def test_a_tree_of_another_record_is_refused(record, key):
    post = assim.infer(linear_model(), record, METHOD, key=key, pointwise=0)
    with pytest.raises(ValueError, match="fitted on another record"):
        assim.lfo_cv(post, make_record(1), key=key, min_observations=FIRST)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"min_observations": 0}, "each is at least 1, and their sum at most 36"),
        ({"min_observations": SCORED}, "do not fit a record with 36 scored times"),
        ({"min_observations": FIRST, "how": "quick"}, "choose 'approx' or 'exact'"),
        ({"min_observations": 5}, "usable windows before 2020-.*raise min_observations"),
    ],
)
def test_settings_that_do_not_fit_are_refused(record, key, settings, said):
    with pytest.raises(ValueError, match=said):
        assim.lfo_cv(linear_model(), record, METHOD, key=key, **settings)


def test_weights_are_refused_where_the_fit_scores_more_than_one_step(record, key):
    direct = Autoregressive(2, (), decoding=Direct(3), calendar=(), mask_rate=0.0)
    with pytest.raises(ValueError, match="how='exact'"):
        assim.lfo_cv(direct, record, METHOD, key=key, min_observations=FIRST)
