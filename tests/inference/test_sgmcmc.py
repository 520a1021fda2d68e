from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax.flatten_util import ravel_pytree

from assim.inference import SGHMC, SGLD, SGMCMC, SGNHT, Ascent, sgmcmc
from assim.inference.density import potential
from assim.inference.langevin import AbstractKernel
from assim.inference.loop import Watch
from assim.inference.sgmcmc import estimated_potential, one_of_each_part
from assim.models import Mechanistic
from assim.systems import Lorenz63
from tests.inference.toys import (
    Line,
    assert_same_draws,
    interrupt,
    on_line,
    solved,
    some_line,
    standard,
)

SEARCH = Ascent(num_steps=300, learning_rate=0.05, batch_size=None)
NOWHERE = Ascent(num_steps=0)


class Drift(AbstractKernel):
    """Moves by the step size and by nothing else."""

    def begin(self, z, *, key):
        return z

    def step(self, state, slope, step_size, *, key):
        return state + step_size

    def place(self, state):
        return state


@pytest.fixture(scope="module")
def line():
    x, y = some_line(size=3, count=60)
    return x, y, on_line(Line(standard(3), 0.5), x, y)


@pytest.fixture(scope="module")
def traced():
    """How often JAX traced or compiled anything, so far."""
    count = [0]

    def heard(event, duration, **about):
        count[0] += event.startswith("/jax/core/compile")

    jax.monitoring.register_event_duration_secs_listener(heard)
    return count


def test_slopes_of_minibatches_are_those_of_all_on_average(key, line):
    _, _, problem = line

    @jax.jit
    def slopes(theta):
        told = jax.grad(lambda t, at: estimated_potential(problem, {"theta": t}, at, key=key))
        whole = jax.grad(lambda t: potential(problem, {"theta": t}))(theta)
        return jax.vmap(lambda at: told(theta, at))(jnp.arange(60).reshape(20, 3)), whole

    parts, whole = slopes(jnp.array([0.3, -0.2, 0.1]))
    np.testing.assert_allclose(parts.mean(axis=0), whole, rtol=1e-4)
    assert (parts.std(axis=0) > 0.1 * np.abs(whole)).all()


def test_every_window_is_drawn_as_often_and_parts_have_one_each(key):
    keys = jax.random.split(key, 4000)
    drawn = jax.jit(jax.vmap(lambda k: one_of_each_part(7, 3, key=k)))(keys)
    share = np.bincount(np.ravel(drawn), minlength=7) / 4000
    np.testing.assert_allclose(share, 3 / 7, atol=0.04)
    assert (np.diff(drawn, axis=1) >= 0).all() and drawn.max() == 6
    np.testing.assert_array_equal(one_of_each_part(7, 7, key=key), np.arange(7))


def test_units_are_those_of_the_curvature(key, line):
    x, y, problem = line
    theta = jnp.array([0.3, -0.2, 0.1])
    place = sgmcmc._placed(problem, {"theta": theta}, key)
    slopes = x * (y - x @ np.asarray(theta))[:, None] / 0.5**2
    precision = 1 + 60 * slopes.var(axis=0)
    np.testing.assert_allclose(place.scale, precision**-0.5, rtol=0.01)
    whole = (60 * np.cov(slopes.T, ddof=0) + np.eye(3)) * np.outer(place.scale, place.scale)
    np.testing.assert_allclose(place.stiffness, np.linalg.eigvalsh(whole)[-1], rtol=0.05)
    np.testing.assert_allclose(place(jnp.ones(3))["theta"], theta + place.scale, rtol=1e-6)


@pytest.mark.parametrize(
    "kernel",
    [SGNHT(), *(pytest.param(k, marks=pytest.mark.slow) for k in (SGHMC(3.0), SGLD()))],
    ids=lambda k: type(k).__name__,
)
@pytest.mark.parametrize("batch_size", [30, pytest.param(None, marks=pytest.mark.slow)])
def test_a_gaussian_posterior_is_found(kernel, batch_size, key, line):
    x, y, problem = line
    mean, cov = solved(x, y, 0.5)
    method = SGMCMC(10_000, 400, 4, batch_size, kernel, step_size=0.2, ascent=SEARCH)
    draws = method.run(problem, key=key, watch=Watch())
    theta = draws.sites["theta"]
    assert theta.shape == (4, 400, 3) and draws.stats["temperature"].shape == (4, 400)
    flat = theta.reshape(-1, 3)
    assert (np.abs(flat.mean(axis=0) - mean) / np.sqrt(np.diag(cov))).max() < 0.2
    np.testing.assert_allclose(flat.var(axis=0), np.diag(cov), rtol=0.3)
    assert abs(draws.stats["temperature"].mean() - 1) < 0.2
    assert draws.advice == ()


def test_draws_are_spread_over_shrinking_steps(key, line):
    _, _, problem = line
    start = {"theta": np.full(3, 0.5, np.float32)}
    method = SGMCMC(50, 8, 2, None, Drift(), decay=0.5, ascent=NOWHERE, jitter=0.0)
    theta = method.run(problem, key=key, watch=Watch(), start=start).sites["theta"]
    k_place = jax.random.split(key, 5)[2]
    place = sgmcmc._placed(problem, {"theta": jnp.asarray(start["theta"])}, k_place)
    gone = np.cumsum((1 + 10 * np.arange(50) / 50) ** -0.5) / np.sqrt(place.stiffness)
    expected = 0.5 + gone[14::5, None] * place.scale  # 10 steps of burn-in, then every 5th
    np.testing.assert_allclose(theta, np.stack([expected, expected]), rtol=1e-5)


def test_a_key_tells_all_an_interruption_changes_nothing_and_nothing_is_traced_anew(
    key, line, tmp_path, monkeypatch, traced
):
    _, _, problem = line
    method = SGMCMC(120, 60, 2, 20, step_size=0.15, ascent=NOWHERE)
    k_other = jax.random.fold_in(key, 1)
    whole = method.run(problem, key=key, watch=Watch())
    before = traced[0]
    assert before > 0
    other = method.run(problem, key=k_other, watch=Watch())
    assert traced[0] == before
    assert not np.isin(other.sites["theta"], whole.sites["theta"]).any()
    watch = Watch(checkpoint=tmp_path / "fit", identity="this")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt(patch, sgmcmc, at=1)
        method.run(problem, key=key, watch=watch)
    assert_same_draws(method.run(problem, key=key, watch=watch), whole)


@pytest.mark.slow
def test_steps_too_long_end_the_run(key, line):
    method = SGMCMC(2000, 50, 2, None, SGHMC(), step_size=3.0, ascent=NOWHERE)
    with pytest.raises(FloatingPointError, match=r"left all bounds by step"):
        method.run(line[2], key=key, watch=Watch())


@pytest.mark.slow
def test_chains_heated_by_rough_slopes_are_advised_on(key, line):
    x, y, problem = line
    method = SGMCMC(10_000, 400, 4, 30, SGHMC(), step_size=0.2, ascent=SEARCH)
    draws = method.run(problem, key=key, watch=Watch())
    wider = draws.sites["theta"].var(axis=(0, 1)) / np.diag(solved(x, y, 0.5)[1])
    assert wider.mean() > 1.3
    np.testing.assert_allclose(draws.stats["temperature"].mean(), wider.mean(), rtol=0.1)
    assert "times the temperature of the posterior" in draws.advice[0]


def test_what_went_wrong_is_said_in_words():
    method = SGMCMC(step_size=6.0)
    with pytest.raises(FloatingPointError, match=r"bounds by step 128: .*SGMCMC\(step_size=3\)"):
        method._require_bounded(np.array([1.0, np.inf, np.nan]), 64)
    told = np.random.default_rng(0).normal(1.5, 0.5, (4, 100))
    assert "1.5 times the temperature" in method._advice(told)[0]
    assert "SGMCMC(step_size=3), or raise batch_size" in method._advice(told)[0]
    assert method._advice(told - 0.4) == () and method._advice(1 + 10 * (told - 1.45)) == ()


def test_without_the_library_it_says_how_to_get_it(key, line, monkeypatch):
    monkeypatch.setattr(sgmcmc, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'assim\[sgmcmc\]'"):
        SGMCMC().run(line[2], key=key, watch=Watch())


def test_a_model_without_windows_is_refused():
    problem = SimpleNamespace(model=Mechanistic(Lorenz63(), {"rho": dist.Normal(28.0, 5.0)}))
    with pytest.raises(TypeError, match="Mechanistic has none: use NUTS, SVI or Stein"):
        sgmcmc._require_windows(problem)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"burn_in": 1.0}, "burn_in=1.0 is not a share"),
        ({"step_size": 0.0}, "step_size=0.0 goes nowhere"),
        ({"num_steps": 300}, "fewer steps than num_draws=250"),
    ],
)
def test_settings_that_make_no_sense(settings, said):
    with pytest.raises(ValueError, match=said):
        SGMCMC(**settings)


@pytest.mark.slow
def test_the_temperature_is_one_over_any_posterior(key):
    x, y = some_line(size=2, count=30)
    problem = on_line(Line(standard(2), df=3.0), x, y)
    grid = jnp.stack(jnp.meshgrid(*[jnp.linspace(-4, 4, 150)] * 2), axis=-1).reshape(-1, 2)
    energy = jax.vmap(lambda t: potential(problem, {"theta": t}))
    slope = jax.vmap(lambda t: ravel_pytree(jax.grad(lambda t: energy(t[None])[0])(t))[0])
    weight = jax.nn.softmax(-energy(grid))
    for centre in (0.0, 0.7):
        term = jnp.mean((grid - centre) * slope(grid), axis=-1)
        np.testing.assert_allclose((weight * term).sum(), 1, rtol=1e-3)
