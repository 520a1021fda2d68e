"""From a prior and windows to a NumPyro model: scaling of minibatches, masks, binding, chunks."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.util import log_density

from assim import problem as floor
from assim.models import Autoregressive, FixedNormal
from assim.problem import bind, count_parameters, pose, prepare
from assim.series import Layout, Series, Stream, origins_with_truth
from tests.references import linear_model, linear_problem, make_series


@pytest.fixture(scope="module")
def problem():
    return linear_problem(key=jax.random.key(0), times=60)


@pytest.fixture(scope="module")
def sites(problem):
    return drawn(problem, 1)


def drawn(problem, seed):
    """Values of the sample sites from the prior."""
    traced = handlers.trace(handlers.seed(problem, seed)).get_trace()
    return {
        name: site["value"]
        for name, site in traced.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def joint(problem, sites, batch_size=None, key=None):
    model = problem if key is None else handlers.seed(problem, key)
    return log_density(model, (), {"batch_size": batch_size}, sites)[0]


def test_the_joint_density_is_the_formula(problem, sites):
    e, c = problem.examples, {k: np.asarray(v, float) for k, v in problem.constants.items()}
    w, b = np.asarray(sites["net.skip.weight"], float), np.asarray(sites["net.skip.bias"], float)
    mean = np.asarray(e.level) + c["lead_sd"][0] * (np.asarray(e.features, float) @ w.T + b)
    law = dist.Normal(mean, 0.9 * c["lead_sd"][0])
    told = np.where(e.mask[:, 0], law.log_prob(np.asarray(e.y)[:, 0]), 0).sum()
    drift = c["lead_sd"][0] / c["sd"]
    told += dist.Normal(0, w.shape[1] ** -0.5).log_prob(w).sum()
    told += dist.Normal(0, drift).log_prob(b).sum()
    assert float(joint(problem, sites)) == pytest.approx(float(told), rel=1e-5)


def test_missing_readings_have_no_part(problem, sites):
    assert not problem.examples.mask.all()
    broken = jnp.where(problem.examples.mask, problem.examples.y, 1e4)
    other = eqx.tree_at(lambda p: p.examples.y, problem, broken)
    assert float(joint(other, sites)) == pytest.approx(float(joint(problem, sites)), rel=1e-6)


@pytest.mark.slow
def test_minibatches_estimate_the_whole_without_bias(problem, sites):
    keys = jax.random.split(jax.random.key(2), 3000)
    parts = jax.jit(jax.vmap(lambda k: joint(problem, sites, 8, k)))(keys)
    whole = float(joint(problem, sites))
    assert float(parts.mean()) == pytest.approx(whole, abs=4 * float(parts.std()) / 3000**0.5)
    assert float(parts.std()) > 0


def test_a_minibatch_of_all_is_the_whole(problem, sites):
    assert joint(problem, sites, problem.num_data) == joint(problem, sites)
    assert joint(problem, sites, 10**6) == joint(problem, sites)


def test_parameters_are_counted(problem, sites):
    assert count_parameters(problem) == sum(v.size for v in sites.values())


def test_a_scalar_parameter_counts_one(problem):
    class Scalar(eqx.Module):
        def prior(self, layout, constants):
            return numpyro.sample("a", dist.Normal(0, 1))

        def likelihood(self, ssm, examples, num_data):
            numpyro.sample("y", dist.Normal(ssm, 1), obs=0.0)

    assert count_parameters(eqx.tree_at(lambda p: p.model, problem, Scalar())) == 1


def test_a_bound_model_has_the_sites_and_leaves_no_trace(problem, sites):
    with handlers.trace() as trace:
        ssm = problem.bind(sites)
    assert trace == {}
    np.testing.assert_array_equal(ssm.regression.net.skip.weight, sites["net.skip.weight"])


def test_a_bound_model_is_linearised_at_its_centre(key):
    hidden = linear_model(hidden=(3,))
    series = make_series(times=40)
    layout = Layout(("a", "b"), ("real",) * 2, (True,) * 2, (), 0, 600.0)
    pairs = jnp.asarray(origins_with_truth(series, 2, 1))
    posed = pose(hidden, series, pairs, layout, key=key)
    draw = [drawn(posed, seed) for seed in (0, 1)]
    x = posed.examples.features[0]
    at, plain = posed.bind(draw[0], draw[1]), posed.bind(draw[1])
    home = posed.bind(draw[1], draw[1])
    np.testing.assert_allclose(
        home.regression.net(x), plain.regression.net(x), rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(at.regression.net(x), posed.bind(draw[0]).regression.net(x), atol=1e-3)
    same = bind(hidden, draw[0], layout, posed.constants, draw[1])
    np.testing.assert_array_equal(same.regression.net(x), at.regression.net(x))


@pytest.mark.parametrize("rows", [pytest.param(7, marks=pytest.mark.slow), 17])
def test_windows_are_prepared_alike_in_chunks_of_any_number(rows, key, monkeypatch):
    monkeypatch.setattr(floor, "COUNTED", 8)
    model = Autoregressive(3, (), noise=FixedNormal(), calendar=(), mask_rate=0.5)
    series = make_series(times=60)
    layout = Layout(("a", "b"), ("real",) * 2, (True,) * 2, (), 0, 600.0)
    pairs = jnp.asarray(origins_with_truth(series, 3, 1))[:rows]
    posed = pose(model, series, pairs, layout, key=key)
    assert posed.num_data == rows
    few = prepare(model, series, pairs[:5], layout, posed.constants, model.needs(), key=key)
    for ours, told in zip(jax.tree.leaves(posed.examples), jax.tree.leaves(few), strict=True):
        np.testing.assert_allclose(ours[:5], told, rtol=1e-6)


def test_constants_do_not_depend_on_the_order_of_stations(key):
    rng = np.random.default_rng(0)
    y = rng.normal(size=(2, 6000, 1)) * np.array([1.0, 20.0])[:, None, None]
    time = np.datetime64("2020-01-01", "ns") + np.arange(6000) * np.timedelta64(600, "s")
    found = []
    for order in ([0, 1], [1, 0]):
        stream = Stream.of(time, y[order], origin=time[0], step=600.0)
        known = jnp.ones((2, 6000), bool)
        series = Series({"main": stream}, jnp.zeros((2, 6000, 0)), known)
        layout = Layout(("a",), ("real",), (True,), (), 0, 600.0)
        pairs = jnp.asarray(origins_with_truth(series, 3, 1))
        model = Autoregressive(3, (), calendar=(), mask_rate=0.0)
        found.append(pose(model, series, pairs, layout, key=key).constants["step_sd"])
    np.testing.assert_allclose(found[0], found[1], rtol=0.1)
