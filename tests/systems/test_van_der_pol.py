import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from assim import statespace, systems
from assim.statespace import Context, Span, regular_spans, simulate
from assim.systems.van_der_pol import Stationary

OMEGA, KAPPA, GAMMA = 2 * math.pi * 120, 4.0, 1e6


def span(dt: float) -> Span:
    return Span(dt=jnp.asarray(dt), phase=jnp.zeros(0))


def context(inputs=0) -> Context:
    return Context(
        jnp.zeros((3, 1)), jnp.ones((3, 1), bool), jnp.zeros((3, 1)), jnp.ones((3, inputs))
    )


def amplitude_cdf(nu: float):
    """The distribution function of P(A) of the module's docstring, by quadrature of the formula alone."""
    a = np.linspace(1e-6, 14, 20_001)
    log_p = np.log(a) + 4 * OMEGA**2 / GAMMA * (nu * a**2 / 2 - KAPPA * a**4 / 32)
    p = np.exp(log_p - log_p.max())
    cdf = scipy.integrate.cumulative_trapezoid(p, a, initial=0)
    return lambda x: np.interp(x, a, cdf / cdf[-1])


def amplitude(states) -> np.ndarray:
    states = np.asarray(states, float)
    return np.hypot(states[..., 0], states[..., 1] / OMEGA)


def test_the_published_setting():
    model = systems.NOVOA2024
    assert (model.nu, model.kappa, model.substep) == (5.0, 4.0, 1e-4)
    assert math.isclose(model.omega, OMEGA)
    assert math.isclose(float(model.limit_cycle()), math.sqrt(10.0), rel_tol=1e-6)


def test_without_noise_it_grows_to_the_limit_cycle():
    model = systems.VanDerPol(nu=5.0, longest=0.01)
    step = jax.jit(lambda x, s: model.flow(x, s))
    x = jnp.array([0.5, 0.0])
    for _ in range(150):
        x = step(x, span(0.01))
    largest = max(abs(float(step(x, span(dt))[0])) for dt in np.linspace(0, 0.0099, 100))
    assert abs(largest / math.sqrt(8 * 5.0 / 4.0) - 1) < 0.01


def test_without_noise_it_decays_where_it_is_stable():
    model = systems.VanDerPol(nu=-5.0, longest=0.5)
    x = jax.jit(model.flow)(jnp.array([1.0, 0.0]), span(0.5))
    assert amplitude(x) < 0.12 and float(model.limit_cycle()) == 0.0


def test_a_fine_flow_is_that_of_a_solver():
    model = systems.VanDerPol(nu=5.0, substep=1e-6, longest=0.02)
    x0 = np.array([1.0, 300.0])
    drift = lambda t, x: [x[1], (2 * 5.0 - KAPPA * x[0] ** 2) * x[1] - OMEGA**2 * x[0]]  # noqa: E731
    oracle = scipy.integrate.solve_ivp(drift, (0, 0.02), x0, rtol=1e-10, atol=1e-10).y[:, -1]
    x = jax.jit(model.flow)(jnp.asarray(x0, jnp.float32), span(0.02))
    scale = np.array([1.0, OMEGA])
    np.testing.assert_allclose(x / scale, oracle / scale, atol=5e-3)


def test_two_short_spans_are_one_long_one():
    model = systems.VanDerPol(longest=0.01)
    x = jnp.array([1.0, 100.0])
    flow = jax.jit(model.flow)
    np.testing.assert_allclose(
        flow(flow(x, span(0.004)), span(0.006)), flow(x, span(0.01)), rtol=1e-3
    )
    np.testing.assert_array_equal(flow(x, span(0.0)), x)


def test_a_span_beyond_the_longest_is_no_number():
    model = systems.VanDerPol(longest=0.01)
    assert jnp.isnan(model.flow(jnp.array([1.0, 0.0]), span(0.02))).all()


def test_an_input_moves_the_growth_rate():
    model = systems.VanDerPol(nu=-5.0, gain=jnp.array([10.0, 0.0]), longest=0.2)
    u = jnp.array([1.0, 3.0])
    assert float(model.growth(u)) == 5.0 and float(model.growth()) == -5.0
    x = jnp.array([1.0, 0.0])
    grown, shrunk = (amplitude(model.flow(x, span(0.2), v)) for v in (u, jnp.zeros(2)))
    assert shrunk < 1 < grown
    assert float(model.init(context(2), key=jax.random.key(0)).nu) == 5.0


@pytest.mark.parametrize("nu", [-5.0, 0.0, 5.0])
def test_the_stationary_draws_follow_the_amplitude_density(nu, key):
    draws = jax.jit(lambda k: Stationary(OMEGA, nu, KAPPA, GAMMA).sample(k, (20_000,)))(key)
    assert scipy.stats.kstest(amplitude(draws), amplitude_cdf(nu)).statistic < 0.0136  # 0.1 % level
    phase = np.arctan2(draws[:, 1] / OMEGA, draws[:, 0])
    assert scipy.stats.kstest(phase, "uniform", (-np.pi, 2 * np.pi)).statistic < 0.0136


@pytest.mark.parametrize("nu", [-5.0, 5.0])
def test_the_stationary_density_is_normalised(nu):
    distribution = Stationary(OMEGA, nu, KAPPA, GAMMA)
    eta, rate = np.linspace(-7, 7, 301), np.linspace(-7, 7, 301) * OMEGA
    grid = np.stack(np.meshgrid(eta, rate, indexing="ij"), -1)
    p = np.exp(np.asarray(distribution.log_prob(jnp.asarray(grid, jnp.float32)), float))
    assert abs(np.trapezoid(np.trapezoid(p, rate, axis=1), eta) - 1) < 2e-3


def test_a_path_is_seen_through_one_sensor(key):
    model = systems.VanDerPol(error=0.05, longest=0.01)
    states, seen = simulate(model, jnp.array([3.0, 0.0]), regular_spans(0.01, 400), key=key)
    assert states.shape == (400, 2) and seen.shape == (400, 1)
    assert abs(float(jnp.std(seen[:, 0] - states[:, 0])) / 0.05 - 1) < 4 / math.sqrt(2 * 400)
    known = model.observation(states[0], span(0.01), sd=jnp.array([0.12]))
    assert math.isclose(float(known.scale[0]), 0.13, rel_tol=1e-5)


def test_it_does_not_claim_additive_noise():
    assert not isinstance(systems.VanDerPol(), statespace.AbstractAdditiveNoise)


def test_a_gradient_passes_through_a_transition(key):
    def end(nu):
        model = eqx.tree_at(lambda m: m.nu, systems.VanDerPol(longest=0.02), nu)
        return model.transition(jnp.array([2.0, 0.0]), span(0.02), key=key)[0]

    slope, nudge = jax.grad(end)(5.0), 0.5
    assert math.isclose(slope, (end(5.0 + nudge) - end(5.0 - nudge)) / (2 * nudge), rel_tol=0.02)


@pytest.mark.parametrize(
    "nu",
    [pytest.param(nu, marks=pytest.mark.slow) for nu in (-5.0, 0.0, 5.0)],
)
def test_simulated_amplitudes_follow_the_density(nu, key):
    """8192 samples, 0.5 s apart: 1024 oscillators that start where they should not, read 8 times."""
    model = systems.VanDerPol(nu=nu, longest=0.5)
    k_start, k_phase, k_path = jax.random.split(key, 3)
    size = jax.random.uniform(k_start, (1024,), maxval=4.0)
    # 0.5 s is 60 periods and phases hardly diffuse: one phase for all would bias what a step's error smears
    phase = jax.random.uniform(k_phase, (1024,), maxval=2 * jnp.pi)
    x = jnp.stack([size * jnp.cos(phase), size * OMEGA * jnp.sin(phase)], -1)
    path = jax.jit(
        jax.vmap(lambda x, k: simulate(model, x, regular_spans(0.5, 16), key=k)[0], in_axes=(0, 0))
    )
    states = path(x, jax.random.split(k_path, 1024))[:, 8:]
    a, cdf = amplitude(states).ravel(), amplitude_cdf(nu)
    assert scipy.stats.kstest(a, cdf).statistic <= 0.0215  # 0.1 % level
    edges = np.linspace(0, 14, 10_001)
    mean = np.sum(np.diff(cdf(edges)) * (edges[1:] + edges[:-1]) / 2)
    # a step of 1e-4 s lags the damping by half of itself, which takes 0.14 % off the amplitude
    assert abs(a.mean() - mean) < 3 * a.std() / np.sqrt(a.size) + 2e-3 * mean
