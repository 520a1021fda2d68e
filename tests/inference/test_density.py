import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from assim.inference.density import (
    constrain,
    draw_start,
    potential,
    prior_draw,
    prior_potential,
    scattered,
    unconstrain,
)
from assim.inference.gaussian import emission
from tests.inference.toys import Line, on_line, some_line, standard


def positive():
    return on_line(Line(dist.LogNormal(jnp.zeros(2), 0.5)), *some_line(size=2))


def test_the_potential_is_the_negative_log_posterior(key, x64):
    x, y = some_line(size=2)
    problem = on_line(Line(standard(2), 0.5), x, y)
    theta = np.array([0.3, -1.0])
    expected = stats.norm.logpdf(theta).sum() + stats.norm.logpdf(y, x @ theta, 0.5).sum()
    v = {"theta": jnp.asarray(theta)}
    np.testing.assert_allclose(potential(problem, v), -expected, rtol=1e-10)
    np.testing.assert_allclose(prior_potential(problem, v), -stats.norm.logpdf(theta).sum())


def test_a_change_of_variable_has_its_jacobian(x64):
    v = np.array([0.2, -0.4])
    expected = stats.norm.logpdf(v, scale=0.5).sum()
    found = prior_potential(positive(), {"theta": jnp.asarray(v)})
    np.testing.assert_allclose(found, -expected, rtol=1e-10)


def test_missing_readings_are_not_scored(x64):
    x, y = some_line(size=2)
    mask = np.arange(40) % 4 > 0
    v = {"theta": jnp.array([0.3, -1.0])}
    masked = potential(on_line(Line(standard(2)), x, np.where(mask, y, 0.0), mask), v)
    dropped = potential(on_line(Line(standard(2)), x[mask], y[mask]), v)
    np.testing.assert_allclose(masked, dropped, rtol=1e-6)


def test_minibatches_are_unbiased(key, x64):
    problem = on_line(Line(standard(2)), *some_line(size=2))
    v = {"theta": jnp.array([0.3, -1.0])}
    parts = jax.vmap(lambda k: potential(problem, v, batch_size=8, key=k))(
        jax.random.split(key, 4000)
    )
    error = parts.mean() - potential(problem, v)
    assert abs(error) < 4 * parts.std() / 4000**0.5
    assert parts.std() > 0


def test_constrain_undoes_unconstrain(key):
    problem = positive()
    sites = prior_draw(problem, key)
    assert (sites["theta"] > 0).all()
    back = constrain(problem, unconstrain(problem, sites))
    np.testing.assert_allclose(back["theta"], sites["theta"], rtol=1e-6)


def test_starts_are_prior_draws(key):
    v = draw_start(positive(), key, 4000)["theta"]
    assert v.shape == (4000, 2)
    np.testing.assert_allclose(v.std(axis=0), 0.5, rtol=0.05)


def test_scattered_points_have_the_spread_asked_for(key):
    v = scattered({"a": jnp.full(3, 7.0), "b": jnp.zeros(())}, 4000, 0.1, key=key)
    assert v["b"].shape == (4000,)
    np.testing.assert_allclose(v["a"].mean(axis=0), 7.0, atol=0.01)
    np.testing.assert_allclose(v["a"].std(axis=0), 0.1, rtol=0.05)


def test_a_density_without_a_location_is_refused_by_the_name_of_its_model():
    class Own:
        density = staticmethod(lambda ssm, example: dist.Normal(0.0, 1.0))

    with pytest.raises(TypeError) as caught:
        emission(Own(), None, None, method="EnsembleMAP")
    assert str(caught.value) == (
        "EnsembleMAP needs a location and a scale of each reading, and the density of Own tells none: use NUTS, "
        "SVI or Stein instead."
    )
