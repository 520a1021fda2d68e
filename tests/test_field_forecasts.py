"""Forecasts of fields: what came is scored, the variance is parted in two, months are as long as they are."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import norm

import assim
from assim import filters, inference, models
from assim.statespace import Span
from tests.test_fields import front, later, readings

SECOND = Span(jnp.asarray(1.0), jnp.zeros(0))
MODEL = models.SemilinearOperator(modes=4, width=4, layers=1, substeps=1, error=0.3)


@pytest.fixture(scope="module")
def post():
    """Two operators of the prior that differ: what is tested is arithmetic, not skill."""
    train = front(20, 4, key=jax.random.key(1))
    made = assim.infer(MODEL, train, inference.Prior(2), key=jax.random.key(0))
    made["posterior"] = 0.5 * made["posterior"].to_dataset()
    apart = xr.DataArray([[-0.3, 0.3]], dims=["chain", "draw"])
    return changed(made, **{"net.head.bias": lambda v: v + apart})


def changed(tree, **sites):
    """A posterior with other values of some sites."""
    again = tree.copy()
    again["posterior"] = (
        tree["posterior"].to_dataset().map(lambda v: sites.get(str(v.name), lambda same: same)(v))
    )
    return again


def quiet(tree):
    """The same posterior without noise of any kind."""
    silent = dict.fromkeys(("noise.feature", "noise.floor"), lambda v: v * 0.0 - 10.0)
    return changed(tree, **silent)


def systems(tree):
    """Its state spaces, one for each draw."""
    fitted = assim.restore(tree)
    sites = fitted.sites
    count = next(iter(sites.values())).shape[1]
    return [fitted.state_space({k: v[0, i] for k, v in sites.items()}) for i in range(count)]


@eqx.filter_jit
def flow(ssm, x, span=SECOND):
    return ssm.flow(x, span)


@eqx.filter_jit
def noise_of(ssm, x):
    return ssm.process_noise(x, SECOND).variance


def test_what_came_is_scored_by_the_mixture_of_all_paths(post, key):
    truth = later(front(12, key=key))
    hole = truth.copy(deep=True)
    hole["h"][11, 5] = np.nan
    told = assim.forecast(post, hole, 2, key=key, origins=[truth["time"].values[9]], num_draws=2)
    score = told["log_score"]["h"]
    assert score.dims == ("init_time", "lead_time", "x")
    paths = told["predictions"]["h"].values[0, :, 0]
    starts = [np.repeat(truth["h"].values[[9]], 2, axis=0), paths[:, 0]]
    for lead, before in enumerate(starts):
        y, each = truth["h"].values[10 + lead], []
        for ssm, x in zip(systems(post), before.astype(np.float32), strict=True):
            sd = np.sqrt(noise_of(ssm, x))
            each.append(norm.logpdf(y, flow(ssm, x), sd))
        wanted = logsumexp(each, axis=0) - np.log(2)
        known = np.isfinite(hole["h"].values[10 + lead])
        np.testing.assert_allclose(score[0, lead][known], wanted[known], rtol=2e-3, atol=2e-3)
        assert np.isnan(score[0, lead][~known]).all()


def test_many_paths_are_scored_alike_in_blocks_and_alone(post, key):
    truth, at = later(front(12, key=key)), {"num_draws": None}
    several = assim.forecast(quiet(post), truth, 2, key=key, origins="2s", **at)
    alone = assim.forecast(quiet(post), truth, 2, key=key, origins=truth["time"].values[[9]], **at)
    assert several["predictions"].sizes["draw"] == 50
    for group in ("uncertainty", "log_score", "predictions"):
        one = several[group].to_dataset().sel(init_time=truth["time"].values[[9]])
        xr.testing.assert_identical(one, alone[group].to_dataset())
    few = assim.forecast(
        quiet(post), truth, 2, key=key, origins=truth["time"].values[[9]], num_draws=2
    )
    np.testing.assert_allclose(alone["log_score"]["h"], few["log_score"]["h"], rtol=1e-4, atol=1e-4)


def test_the_variance_is_parted_into_noise_and_what_the_draws_differ_by(post, key):
    truth = later(front(12, key=key))
    noisy = changed(post, **dict.fromkeys(("noise.feature", "noise.floor"), lambda v: v * 0))
    told = assim.forecast(noisy, truth, 1, key=key, origins="last", num_draws=50)
    parts = told["uncertainty"]["h"]
    assert parts.dims == ("component", "init_time", "lead_time", "x")
    assert parts.attrs["units"] == "(m)2" and "log_score" not in told.children
    x = truth["h"].values[-1].astype(np.float32)
    noise = [noise_of(ssm, x).mean() for ssm in systems(noisy)]
    flows = np.stack([flow(ssm, x) for ssm in systems(noisy)])
    wanted = flows.var(axis=0, ddof=1).mean()
    mean = parts.mean("x")[:, 0, 0]
    np.testing.assert_allclose(mean.sel(component="aleatoric"), np.mean(noise), rtol=0.5)
    np.testing.assert_allclose(mean.sel(component="epistemic"), wanted, rtol=0.25)
    still = assim.forecast(quiet(post), truth, 1, key=key, origins="last")["uncertainty"]["h"]
    np.testing.assert_allclose(still[1, 0, 0], flows.var(axis=0, ddof=1), rtol=1e-3, atol=1e-6)
    assert float(still[0].max()) < 1e-8


def test_one_draw_tells_nothing_of_the_draws(post, key):
    told = assim.forecast(post, later(front(6, key=key)), 1, key=key, origins="last", num_draws=1)
    parts = told["uncertainty"]["h"]
    assert np.isnan(parts.sel(component="epistemic")).all()
    assert (parts.sel(component="aleatoric") > 0).all()


@pytest.mark.slow
def test_what_an_analysis_leaves_unknown_is_aleatoric(post, key):
    truth = later(front(8, key=key))
    alike = changed(quiet(post), **{k: first_alone for k in post["posterior"].data_vars})
    told = assim.assimilate(alike, readings(truth, key=key), filters.ETKF(24), key=key)
    wide = told["analysis"].to_dataset()
    wide["h"] = wide["h"] + jax.random.normal(key, wide["h"].shape)
    told["analysis"] = wide
    ahead = assim.forecast(alike, told, 1, key=key, origins="last")
    parts, paths = ahead["uncertainty"]["h"].mean("x")[:, 0, 0], ahead["predictions"]["h"]
    spread = paths.var(("chain", "draw"), ddof=1).mean()
    np.testing.assert_allclose(parts.sel(component="aleatoric"), spread, rtol=0.25)
    assert parts.sel(component="epistemic") < 0.15 * spread
    assert "log_score" not in ahead.children


def first_alone(v):
    return v.copy(data=np.broadcast_to(v.values[:, :1], v.shape))


def test_runs_stores_and_tables_know_the_scores(post, tmp_path, key):
    truth = later(front(9, 2, key=key))
    told = assim.forecast(post, truth, 2, key=key, origins="2s", num_draws=4)
    assert told["log_score"]["h"].dims == ("run", "init_time", "lead_time", "x")
    assert told["uncertainty"]["h"].dims[:2] == ("component", "run")
    store = assim.forecast(
        post, truth, 2, key=key, origins="2s", num_draws=4, to=tmp_path / "a.zarr"
    )
    for group in ("predictions", "uncertainty", "log_score"):
        xr.testing.assert_equal(store[group].to_dataset().load(), told[group].to_dataset())
    table = assim.compare({"operator": told}, truth=truth)
    mean = told["log_score"]["h"].mean(("run", "init_time", "x"))
    np.testing.assert_allclose(
        table["log_score"].sel(model="operator", variable="h"), mean, rtol=1e-6
    )


@pytest.mark.slow
def test_a_variational_fit_forecasts_with_spread(key):
    """One path of each draw of the guide, which differ by noise and by what is not known of the parameters."""
    method = inference.SVI(400, learning_rate=2e-2, batch_size=16, num_draws=4, ascent=None)
    train = front(20, 4, key=jax.random.key(1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The ELBO was still rising")
        fitted = assim.infer(MODEL, train, method, key=key, pointwise=0)
    assert fitted["posterior"].sizes["draw"] == 4
    truth = later(front(12, key=key))
    past = truth.isel(time=slice(0, 10))
    told = assim.forecast(fitted, past, 2, key=key, origins="2s", num_draws=4)
    paths = told["predictions"]["h"]
    wanted = truth["h"].sel(time=told["predictions"]["valid_time"])
    error = np.sqrt(((paths.mean(("chain", "draw")) - wanted) ** 2).mean())
    assert error < 0.5 * truth["h"].std()
    assert (paths.std(("chain", "draw")) > 0).where(wanted.notnull(), True).all()
    parts = told["uncertainty"]["h"].mean(("init_time", "x"))
    assert (parts > 0).all()  # noise, and what the draws differ by
