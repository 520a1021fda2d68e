from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.inference import AnchorsOnly, Bootstrap, EnsembleMAP, TargetNoise, ensemble
from assim.inference.gaussian import gaussian_prior
from assim.inference.loop import Watch
from assim.models import Autoregressive, Direct, StudentT
from assim.nn.emission import Emission
from tests.inference.toys import (
    Hierarchy,
    Line,
    assert_same_draws,
    interrupt,
    on_line,
    solved,
    some_line,
    standard,
)
from tests.references import (
    coefficients,
    conjugate,
    linear_model,
    linear_problem,
    make_problem,
    make_series,
)

POLISHED = {"num_steps": 0, "batch_size": None, "polish": 40}


@pytest.mark.slow
def test_target_noise_gives_the_exact_posterior_of_the_linear_autoregression(key):
    problem = linear_problem(key=key)
    exact = conjugate(problem)
    members = 1000
    draws = EnsembleMAP(members, **POLISHED).run(problem, key=key, watch=Watch())
    found = coefficients(draws.sites)
    assert found.shape[0] == members
    error = np.abs(found.mean(axis=0) - exact.mean) / exact.sd
    assert error.max() < 3 / np.sqrt(members)
    ratio = found.var(axis=0) / exact.sd**2
    assert 0.85 < ratio.min() and ratio.max() < 1.15
    assert draws.stats["lp"].shape == (1, members)


@pytest.mark.slow
def test_target_noise_has_the_right_correlations_too(key):
    x, y = some_line()
    mean, cov = solved(x, y, 0.5)
    problem = on_line(Line(standard(6), 0.5), x, y)
    theta = EnsembleMAP(3000, **POLISHED).run(problem, key=key, watch=Watch()).sites["theta"][0]
    root = np.linalg.inv(np.linalg.cholesky(cov))
    white = (theta - mean) @ root.T
    assert np.abs(white.mean(axis=0)).max() < 3 / np.sqrt(3000)
    assert np.abs(np.cov(white.T) - np.eye(6)).max() < 0.1


@pytest.mark.slow
def test_anchors_alone_carry_a_hundredth_of_the_variance_as_theory_says(key):
    x, y = some_line()
    _, cov = solved(x, y, 0.5)
    theory = np.diag(cov @ cov)
    problem = on_line(Line(standard(6), 0.5), x, y)
    method = EnsembleMAP(4000, randomisation=AnchorsOnly(), **POLISHED)
    theta = method.run(problem, key=key, watch=Watch()).sites["theta"][0]
    assert theory.max() < 0.02 * np.diag(cov).min()
    np.testing.assert_allclose(theta.var(axis=0), theory, rtol=0.1)


@pytest.mark.slow
def test_bootstrap_weights_give_the_spread_of_resampling(key):
    x, y = some_line(size=2, count=400)
    problem = on_line(Line(standard(2), 0.5), x, y)
    method = EnsembleMAP(2000, randomisation=Bootstrap(), **POLISHED)
    theta = method.run(problem, key=key, watch=Watch()).sites["theta"][0]
    inverse = np.linalg.inv(x.T @ x)
    residual = y - x @ inverse @ x.T @ y
    sandwich = inverse @ (x.T * residual**2) @ x @ inverse
    np.testing.assert_allclose(theta.var(axis=0), np.diag(sandwich), rtol=0.15)


@pytest.mark.parametrize("schedule", ["adam", pytest.param("polish", marks=pytest.mark.slow)])
def test_a_learned_scale_does_not_see_the_noise(key, schedule):
    x, y = some_line(size=2, count=400)
    problem = on_line(Line(standard(2), None), x, y)
    settings = {"num_steps": 400, "polish": 10} if schedule == "polish" else {"num_steps": 1500}
    draws = EnsembleMAP(300, learning_rate=0.02, **settings).run(problem, key=key, watch=Watch())
    scale = np.exp(draws.sites["raw"][0])
    residual = y - x @ np.linalg.lstsq(x, y)[0]
    assert abs(scale.mean() / residual.std() - 1) < 0.03
    _, cov = solved(x, y, residual.std())
    np.testing.assert_allclose(draws.sites["theta"][0].var(axis=0), np.diag(cov), rtol=0.25)


def test_the_prior_is_divided_by_the_data_and_not_by_the_batch(key):
    problem = on_line(Line(standard(6, 0.1), 0.5), *some_line())
    prior = gaussian_prior(problem, method="EnsembleMAP")
    method = EnsembleMAP(1)
    member = ensemble._Team(prior.draw(key=key), key)
    v = {"theta": jnp.linspace(-1, 1, 6)}

    @jax.jit
    def loss(windows):
        return ensemble._loss(method, problem, prior, member, v, v, windows)

    parts = jnp.stack([loss(part) for part in jnp.arange(40).reshape(4, 10)])
    np.testing.assert_allclose(parts.mean(), loss(jnp.arange(40)), rtol=1e-5)


@pytest.mark.slow
def test_minibatches_find_the_same_members_as_all_data(key):
    x, y = some_line(scale=1.0)
    mean, cov = solved(x, y, 1.0, sd=0.3)
    problem = on_line(Line(standard(6, 0.3), 1.0), x, y)
    method = EnsembleMAP(300, num_steps=4000, learning_rate=0.01, batch_size=8)
    theta = method.run(problem, key=key, watch=Watch()).sites["theta"][0]
    assert (np.abs(theta.mean(axis=0) - mean) / np.sqrt(np.diag(cov))).max() < 0.35
    np.testing.assert_allclose(theta.var(axis=0), np.diag(cov), rtol=0.25)


def test_noise_is_fixed_for_a_member_and_its_reading(key):
    problem = on_line(Line(standard(6), 0.5), *some_line())
    prior = gaussian_prior(problem, method="EnsembleMAP")
    v = {"theta": jnp.zeros(6)}

    @jax.jit
    def loss(windows, k):
        member = ensemble._Team(prior.draw(key=key), k)
        return ensemble._loss(EnsembleMAP(1), problem, prior, member, v, v, windows)

    assert loss(jnp.array([3, 5]), key) == loss(jnp.array([5, 3]), key)
    one = jnp.array([3, 3])
    assert loss(one, key) != loss(one, jax.random.fold_in(key, 1))


def test_noisy_readings_stay_inside_their_support(key):
    density = Emission(jnp.zeros((1, 1000)), 5.0 * jnp.ones((1, 1000)), ("circle",) * 1000)
    noisy = TargetNoise().reading(jnp.full((1, 1000), 3.0), density, key=key)
    assert jnp.abs(noisy).max() <= jnp.pi


def test_missing_readings_say_nothing(key):
    x, y = some_line()
    mask = np.arange(40) % 3 > 0
    problem = on_line(Line(standard(6), 0.5), x, np.where(mask, y, 1e6), mask)
    theta = EnsembleMAP(3000, **POLISHED).run(problem, key=key, watch=Watch()).sites["theta"][0]
    mean, cov = solved(x[mask], y[mask], 0.5)
    assert (np.abs(theta.mean(axis=0) - mean) / np.sqrt(np.diag(cov))).max() < 0.1


def test_a_start_is_where_members_begin(key):
    problem = on_line(Line(standard(6), 0.5), *some_line())
    start = {"theta": jnp.full(6, 50.0)}
    draws = EnsembleMAP(20, num_steps=1).run(problem, key=key, watch=Watch(), start=start)
    assert np.abs(draws.sites["theta"] - 50).max() < 1


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Line(dist.LogNormal(jnp.zeros(2), 1.0)), "LogNormal"),
        (Line(standard(2), df=4.0), "Student-t"),
        (Hierarchy(standard(2)), "another site"),
    ],
)
def test_what_is_not_gaussian_is_refused_with_what_can_serve(key, model, said):
    problem = on_line(model, *some_line(size=2))
    with pytest.raises(TypeError, match=f"{said}.*NUTS"):
        EnsembleMAP(4, num_steps=10).run(problem, key=key, watch=Watch())


def test_a_student_t_network_is_refused(key):
    problem = make_problem(linear_model(StudentT(), (4,)), make_series(times=60), key=key)
    with pytest.raises(TypeError, match="Student-t"):
        EnsembleMAP(4, num_steps=10).run(problem, key=key, watch=Watch())


def test_an_unfinished_search_says_so(key):
    problem = on_line(Line(standard(6), 0.5), *some_line())
    far = {"theta": jnp.full(6, 30.0)}
    method = EnsembleMAP(4, num_steps=200, learning_rate=0.25)
    assert "num_steps=400" in method.run(problem, key=key, watch=Watch(), start=far).advice[0]


def test_an_interrupted_ensemble_goes_on_bit_for_bit(key, tmp_path, monkeypatch):
    problem = on_line(Line(standard(6), 0.5), *some_line())
    method = EnsembleMAP(5, num_steps=700, batch_size=10)
    whole = method.run(problem, key=key, watch=Watch())
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, ensemble, at=2)
        method.run(problem, key=key, watch=watch)
    assert_same_draws(method.run(problem, key=key, watch=watch), whole)


@pytest.mark.parametrize("targets", [(False, True, False), (True, True, True)], ids=["some", "all"])
def test_the_loss_is_that_of_all_columns_where_some_never_count(targets, key, monkeypatch):
    model = Autoregressive(2, (3,), decoding=Direct(2), calendar=(), mask_rate=0.0)
    whole = make_problem(model, make_series(4, 60, 3), key=key)
    problem = replace(whole, layout=replace(whole.layout, is_target=targets))
    counted = jnp.array(targets)
    examples = eqx.tree_at(lambda e: e.mask, whole.examples, whole.examples.mask & counted)
    problem = eqx.tree_at(lambda p: p.examples, problem, examples)
    prior = gaussian_prior(problem, method="EnsembleMAP")
    method = EnsembleMAP(1, randomisation=AnchorsOnly())
    member = ensemble._Team(prior.loc, key)

    def loss():
        return ensemble._loss(
            method, problem, prior, member, prior.draw(key=key), None, jnp.arange(9)
        )

    fewer = loss()
    monkeypatch.setattr(Autoregressive, "scored", lambda self, layout: None)
    np.testing.assert_allclose(fewer, loss(), rtol=1e-6)
    assert jnp.isfinite(fewer)
