"""A known system with unknown parameters, from a labelled record at its own times to a tree and back."""

import json
import warnings
from collections.abc import Callable

import arviz as az
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr
from scipy.stats import multivariate_normal

import assim
from assim import filters
from assim.inference import NUTS, SVI, Ascent, EnsembleMAP, GaussNewton, Laplace, Prior, Stein
from assim.models import Mechanistic
from assim.statespace import AbstractAdditiveNoise
from assim.systems import Lorenz96, OrnsteinUhlenbeck
from assim.tree import read_tree

SYSTEM = OrnsteinUhlenbeck(*jnp.array([[100.0, -2.0], [5.0, 1.0], [3.0, 1.0], [0.5, 0.1]]))
MODEL = Mechanistic(SYSTEM, {"tau": dist.LogNormal(0.0, 1.0), "mean": dist.Normal(0.0, 50.0)})
SHORT = Ascent(num_steps=100, polish=20)
PLAIN = ("diverged", "still", "not found yet", "max_tree_depth", "do not yet agree")


def record(times: int = 60, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.uniform(0.2, 2.0, times))
    key = jax.random.key(seed)
    return assim.twin_experiment(SYSTEM, at, key=key, missing=0.2, sd=0.3)[1]


def fit(model: Mechanistic, ds: xr.Dataset, method=None, **settings) -> xr.DataTree:
    """Infer; that so short a fit has not converged is expected, and no other warning is."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        post = assim.infer(model, ds, method, **{"key": jax.random.key(1)} | settings)
    assert [w for w in said if not any(p in str(w.message) for p in PLAIN)] == []
    return post


@pytest.fixture(scope="module")
def post():
    return fit(MODEL, record(), Prior(30))


def names() -> list[str]:
    return list(SYSTEM.channels())


def test_the_tree_is_that_of_any_model(post):
    assert post.attrs["likelihood"] == "marginal"
    assert {"posterior", "prior", "prior_predictive", "constant_data"} <= set(post.children)
    assert post["posterior"]["tau"].dims == ("chain", "draw", "tau_dim_0")
    for group in ("log_likelihood", "posterior_predictive"):
        assert post[group]["y"].sizes == {"chain": 1, "draw": 30, "obs_id": post_cells(post)}


def post_cells(post: xr.DataTree) -> int:
    return post["observed_data"].sizes["obs_id"]


def test_readings_stand_at_their_own_times_in_their_own_units(post):
    ds, seen = record(), post["observed_data"]["y"]
    assert np.unique(np.diff(ds["time"].values)).size > 10
    assert seen.size == sum(int(ds[n].notnull().sum()) for n in names())
    for name in names():
        cells = seen[seen["variable"].values == name]
        np.testing.assert_allclose(cells, ds[name].sel(time=cells["time"].values), rtol=1e-6)
    known = post["constant_data"]["sd"]
    np.testing.assert_allclose(known, 0.3, rtol=1e-6)


def test_the_log_likelihood_is_that_of_all_readings_at_once(post):
    """For each draw, by the covariance of the whole record."""
    ds, told = record(), post["log_likelihood"]["y"].sum("obs_id").values[0]
    seconds = (ds["time"].values - ds["time"].values[0]) / np.timedelta64(1, "s")
    for draw in (0, 7):
        exact = 0.0
        for c, name in enumerate(names()):
            read = ds[name].notnull().values
            t = seconds[read]
            tau = float(post["posterior"]["tau"][0, draw, c])
            mean = float(post["posterior"]["mean"][0, draw, c])
            noise = float(SYSTEM.error[c]) ** 2 + 0.3**2
            law = multivariate_normal(
                np.full(t.size, mean),
                float(SYSTEM.sd[c]) ** 2 * np.exp(-abs(t[:, None] - t) / tau)
                + noise * np.eye(t.size),
            )
            exact += law.logpdf(ds[name].values[read])
        assert told[draw] == pytest.approx(exact, rel=2e-4)


def test_what_is_predicted_is_one_time_ahead(post):
    """Of a draw whose process forgets at once: its mean, and its own spread with the error."""
    free = Mechanistic(SYSTEM, {"tau": dist.Normal(1e-3, 1e-9)})
    tree = fit(free, record(), Prior(400))
    y = tree["posterior_predictive"]["y"]
    for c, name in enumerate(names()):
        cells = y.isel(obs_id=np.flatnonzero(y["variable"].values == name))
        spread = float(np.hypot(np.hypot(SYSTEM.sd[c], SYSTEM.error[c]), 0.3))
        assert float(cells.mean()) == pytest.approx(float(SYSTEM.mean[c]), abs=0.1 * spread)
        assert float(cells.std()) == pytest.approx(spread, rel=0.05)


def test_the_newest_times_alone_are_told_where_that_is_asked():
    tree = fit(MODEL, record(), Prior(3), pointwise=4)
    read = record().to_dataarray().sel(variable=names()).notnull().any("variable").values
    newest = record()["time"].values[read][-4:]
    np.testing.assert_array_equal(np.unique(tree["observed_data"]["y"]["time"].values), newest)
    assert "log_likelihood" not in fit(MODEL, record(), Prior(3), pointwise=0).children


def test_the_tree_gives_the_model_back_through_a_file(post, tmp_path):
    post.to_netcdf(tmp_path / "post.nc", engine="h5netcdf")
    fitted = assim.restore(tmp_path / "post.nc")
    assert eqx.tree_equal(fitted.model, MODEL)
    sites = {k: jnp.asarray(v[0, 5]) for k, v in fitted.sites.items()}
    ssm = fitted.state_space(sites)
    np.testing.assert_array_equal(ssm.tau, post["posterior"]["tau"][0, 5])
    np.testing.assert_array_equal(ssm.sd, SYSTEM.sd)
    batch = jax.vmap(fitted.state_space)({k: jnp.asarray(v[0]) for k, v in fitted.sites.items()})
    assert batch.mean.shape == (30, 2)


def test_each_draw_with_a_filter_of_its_own_tells_the_same(post):
    """The channels hang on nothing in common here, so that each given the others is each by itself."""
    tree = assim.assimilate(post, record(), filters.Kalman(), key=jax.random.key(4))
    told = tree["log_likelihood"]["y"]
    at = np.linspace(0, 29, told.sizes["draw"]).round().astype(int)
    np.testing.assert_array_equal(told["time"].values, post["log_likelihood"]["time"].values)
    np.testing.assert_array_equal(told["sensor"].values, post["log_likelihood"]["sensor"].values)
    np.testing.assert_allclose(told, post["log_likelihood"]["y"].isel(draw=at), rtol=1e-5)


def test_az_judges_it(post):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # draws of a prior are no sample of the posterior
        found = az.loo(post, pointwise=True)
    assert np.isfinite(found.elpd)
    assert found.n_data_points == post_cells(post)


@pytest.mark.parametrize(
    "method",
    [
        None,
        *(
            pytest.param(method, marks=pytest.mark.slow)
            for method in (
                NUTS(30, 30, 2, ascent=SHORT, max_tree_depth=4),
                SVI(100, ascent=SHORT, num_draws=50),
                Stein(20, 100),
            )
        ),
    ],
    ids=lambda m: type(m).__name__,
)
def test_every_method_that_follows_a_slope_serves(method):
    tree = fit(Mechanistic(SYSTEM, {"mean": dist.Normal(0.0, 50.0)}), record(30), method)
    mean = tree["posterior"]["mean"].mean(("chain", "draw")).values
    if not isinstance(method, Stein):  # so few steps bring its particles nowhere
        np.testing.assert_allclose(mean, SYSTEM.mean, atol=6.0)
    assert np.isfinite(tree["log_likelihood"]["y"]).all()
    if method is None:
        assert json.loads(tree.attrs["method"])["type"] == "Laplace"


@pytest.mark.slow
def test_an_ensemble_of_maxima_serves_where_the_priors_are_normal():
    model = Mechanistic(SYSTEM, {"mean": dist.Normal(0.0, 50.0)})
    tree = fit(model, record(30), EnsembleMAP(30, 20, polish=20))
    np.testing.assert_allclose(
        tree["posterior"]["mean"].mean(("chain", "draw")), SYSTEM.mean, atol=6.0
    )
    with pytest.raises(TypeError, match="'tau' has a LogNormal one: use NUTS, SVI, Laplace"):
        assim.infer(MODEL, record(20), EnsembleMAP(3, 10), key=jax.random.key(0))


def test_windows_cannot_be_kept_back():
    with pytest.raises(ValueError, match=r"SVI\(held_out=0.2\).*use held_out=0"):
        assim.infer(MODEL, record(20), SVI(held_out=0.2), key=jax.random.key(0))


@pytest.mark.slow
def test_a_fit_starts_from_an_earlier_one(post):
    few = SVI(num_steps=1, ascent=None, init_scale=1e-4, learning_rate=1e-5, num_draws=5)
    new = fit(MODEL, record(40, seed=3), few, init=post)
    start = post["posterior"]["tau"].values[0, -1]
    np.testing.assert_allclose(new["posterior"]["tau"][0].mean("draw"), start, rtol=1e-2)
    assert json.loads(new.attrs["init"])[0] == post.attrs["data_fingerprint"]
    with pytest.raises(ValueError, match="other settings"):
        other = Mechanistic(SYSTEM, {"tau": dist.LogNormal(0.0, 2.0)})
        assim.infer(other, record(20), init=post, key=jax.random.key(0))


def test_it_has_no_windows_to_forecast_from(post):
    with pytest.raises(TypeError, match="no windows: use assim.infer"):
        assim.forecast(post, record(), 3, key=jax.random.key(0))
    with pytest.raises(TypeError, match="no windows: use assim.infer"):
        assim.lfo_cv(post, record(), key=jax.random.key(0), min_observations=20)


@pytest.mark.parametrize("moving", [False, True], ids=["staying", "moving"])
def test_a_field_is_read_where_its_sensors_are(moving):
    ring = Lorenz96(size=6, noise=0.2)
    where = np.array([0.5, 2.0, 3.25])
    if moving:
        where = where + np.linspace(0.0, 3.0, 12)[:, None]
    ds = assim.twin_experiment(ring, (0.05, 12), sensors=where, key=jax.random.key(2))[1]
    model = Mechanistic(ring, {"forcing": dist.Normal(8.0, 2.0)})
    tree = fit(model, ds, Prior(3))
    seen = tree["observed_data"]["y"]
    assert set(seen["variable"].values) == {"x"}
    for number in (0, 2):
        told = ds["x"].isel(sensor=number).sel(time=seen["time"][seen["sensor"] == number].values)
        np.testing.assert_allclose(seen[seen["sensor"].values == number], told, rtol=1e-6)
    assert tree["observed_data"].sizes["obs_id"] == 36
    shifted = ds.assign_coords(position_0=ds["position_0"] + 1.0)
    other = fit(model, shifted, Prior(3))
    assert not np.allclose(tree["log_likelihood"]["y"], other["log_likelihood"]["y"], atol=1e-2)


class Pulled(AbstractAdditiveNoise):
    """A point that a force given as a function pulls; what JSON cannot hold."""

    rate: jax.Array
    pull: Callable = eqx.field(static=True)

    def init(self, context=None, *, key=None):
        return dist.Normal(jnp.zeros(1), 1.0).to_event(1)

    def flow(self, x, span, u=None):
        return x + self.rate * self.pull(x) * span.dt

    def process_noise(self, x, span):
        return dist.Normal(jnp.zeros(1), 0.1 * jnp.sqrt(span.dt)).to_event(1)

    def observation(self, x, span, where=None, sd=None, u=None):
        return dist.Normal(x, 0.1)


def test_a_system_of_ones_own_is_passed_in(tmp_path):
    model = Mechanistic(Pulled(jnp.array(1.0), jnp.negative), {"rate": dist.LogNormal(0.0, 1.0)})
    ds = record(20).rename({names()[0]: "height"})[["height"]] / 100.0
    tree = fit(model, ds, Prior(4))
    tree.to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    back = read_tree(tmp_path / "own.nc")
    assert assim.restore(back, model=model).model is model
    with pytest.raises(ValueError, match=r"'Pulled'.*restore\(tree, model=...\)"):
        assim.restore(back)


def damaged(post: xr.DataTree, change) -> xr.DataTree:
    tree = post.copy(deep=True)
    change(tree)
    return tree


def test_a_damaged_tree_is_refused_in_a_sentence(post):
    def short(tree):
        tree["posterior"] = tree["posterior"].to_dataset().drop_vars("tau")

    def another(tree):
        tree["posterior"] = tree["posterior"].to_dataset().assign(rate=tree["posterior"]["tau"])

    def strange(tree):
        told = json.loads(tree.attrs["model"])
        told["priors"]["tau"]["distribution"] = "Popen"
        tree.attrs["model"] = json.dumps(told)

    for change, words in ((short, "lacks tau"), (another, "has no rate"), (strange, "'Popen'")):
        with pytest.raises(ValueError, match=words) as caught:
            assim.restore(damaged(post, change))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ds: ds.drop_vars(names()), "none of the variables"),
        (lambda ds: ds.isel(time=slice(0, 0)), "no time at all"),
        (lambda ds: ds.assign({n: ds[n] * np.nan for n in names()}), "no reading at all"),
        (lambda ds: ds.rename(time="when"), "no clock"),
    ],
    ids=range(4),
)
def test_what_cannot_be_fitted_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        assim.infer(MODEL, change(record(20)), key=jax.random.key(0))


@pytest.mark.slow
def test_the_posterior_of_a_system_covers_the_truth():
    """Twenty records, two parameters each: the truth lies within 90 % intervals about nine times in ten."""
    model = Mechanistic(SYSTEM, {"tau": dist.LogNormal(0.5, 0.7)}, filters.Kalman())
    inside = []
    for seed in range(20):
        k_truth, k_path, k_fit = jax.random.split(jax.random.key(100 + seed), 3)
        tau = jnp.exp(0.5 + 0.7 * jax.random.normal(k_truth, (2,)))
        system = eqx.tree_at(lambda s: s.tau, SYSTEM, tau)
        ds = assim.twin_experiment(system, (0.7, 80), key=k_path)[1]
        tree = fit(model, ds, Laplace(GaussNewton(), SHORT), key=k_fit, pointwise=0)
        low, high = tree["posterior"]["tau"].quantile([0.05, 0.95], ("chain", "draw")).values
        inside += [a < t < b for a, t, b in zip(low, tau, high, strict=True)]
    assert 0.75 < np.mean(inside) <= 1.0
