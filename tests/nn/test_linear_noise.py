"""Moments of a diffusion against the exponential of matrices, simulation and derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from assim.nn.linear_noise import composed, linear_noise

MATRIX = np.array([[-0.6, 1.1], [-0.9, -0.3]])
CENTRE = np.array([0.5, -1.0])
ROOT = np.array([[0.4, 0.0], [-0.1, 0.2]])
START = np.array([[0.3, 0.05], [0.05, 0.1]])
SIGMA = 0.06


def towards_centre(x):
    return jnp.asarray(MATRIX) @ (x - jnp.asarray(CENTRE))


def constant(x):
    return jnp.asarray(ROOT, x.dtype)


def predation(x):
    """The drift of Lotka and Volterra, written so that NumPy walks it too."""
    return x * (x[::-1] * np.array([-0.4, 0.1]) + np.array([1.0, -0.4]))


def proportional(x):
    return SIGMA * jnp.diag(x)


@eqx.filter_jit
def leg(drift, volatility, x, cov, dt, steps, hazard=None):
    return linear_noise(drift, volatility, x, cov, dt, steps=steps, hazard=hazard)


def van_loan(dt):
    """Exponential of the drift, and the covariance that the noise adds, both exact."""
    zero = np.zeros((2, 2))
    both = expm(dt * np.block([[-MATRIX, ROOT @ ROOT.T], [zero, MATRIX.T]]))
    slope = both[2:, 2:].T
    return slope, slope @ both[:2, 2:]


def test_a_linear_drift_with_additive_noise_is_exact(x64):
    x, dt = np.array([1.5, 0.2]), 1.3
    found = leg(towards_centre, constant, jnp.asarray(x), jnp.asarray(START), dt, 64)
    slope, gained = van_loan(dt)
    np.testing.assert_allclose(found.slope, slope, atol=1e-8)
    np.testing.assert_allclose(found.mean, CENTRE + slope @ (x - CENTRE), atol=1e-8)
    np.testing.assert_allclose(found.cov, slope @ START @ slope.T + gained, atol=1e-8)
    assert float(found.log_mass) == 0.0


def test_two_legs_composed_are_one(x64):
    x, zero = jnp.array([1.5, 0.2]), jnp.zeros((2, 2))
    hazard = jnp.sum
    whole = leg(predation, proportional, x, jnp.asarray(START), 0.75, 30, hazard)
    first = leg(predation, proportional, x, jnp.asarray(START), 0.5, 20, hazard)
    second = leg(predation, proportional, first.mean, zero, 0.25, 10, hazard)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b), whole, composed(first, second))


def test_halving_the_step_takes_the_error_to_a_sixteenth(x64):
    x, zero = jnp.array([5.0, 4.0]), jnp.zeros((2, 2))

    def at(steps):
        told = leg(predation, proportional, x, zero, 1.0, steps, lambda x: 0.1 * x[0] ** 2)
        return np.concatenate([np.ravel(value) for value in jax.tree.leaves(told)])

    exact = at(256)
    errors = [np.abs(at(steps) - exact).max() for steps in (8, 16)]
    assert 13.0 < errors[0] / errors[1] < 20.0
    assert errors[1] < 1e-4


def test_no_covariance_loses_its_definiteness_however_coarse_the_step():
    x = jnp.array([5.0, 4.0])
    for steps in (1, 2):
        cov = leg(predation, proportional, x, jnp.zeros((2, 2)), 2.0, steps).cov
        assert np.linalg.eigvalsh(cov).min() > 0


def test_no_span_leaves_all_as_it_is():
    x, start = jnp.array([5.0, 4.0]), jnp.asarray(START, jnp.float32)
    found = leg(predation, proportional, x, start, 0.0, 4, jnp.sum)
    np.testing.assert_array_equal(found.mean, x)
    np.testing.assert_array_equal(found.cov, start)
    np.testing.assert_array_equal(found.slope, np.eye(2))
    assert float(found.log_mass) == 0.0


def test_a_hazard_that_is_linear_spares_what_its_integral_says(x64):
    x, dt, rate = np.array([1.5, 0.2]), 1.3, np.array([0.2, 0.1])
    given = (jnp.asarray(x), jnp.zeros((2, 2)), dt, 64)
    found = leg(towards_centre, constant, *given, lambda x: 0.3 + jnp.asarray(rate) @ x)
    slope = van_loan(dt)[0]
    along = np.linalg.solve(MATRIX, slope - np.eye(2)) @ (x - CENTRE) + CENTRE * dt
    np.testing.assert_allclose(found.log_mass, -0.3 * dt - rate @ along, atol=1e-8)


def test_the_slope_is_the_derivative_of_the_mean_and_gradients_are_finite(x64):
    x, zero = jnp.array([5.0, 4.0]), jnp.zeros((2, 2))

    @jax.jit
    def both(x, scale):
        def told(x, scale):
            drift = lambda z: scale * predation(z)  # noqa: E731
            return linear_noise(drift, proportional, x, zero, 1.0, steps=32)

        by_hand = jax.jacfwd(lambda x: told(x, scale).mean)(x)
        slope = jax.grad(lambda s: jnp.linalg.slogdet(told(x, s).cov)[1])(scale)
        return told(x, scale).slope, by_hand, slope, told(x, scale).cov

    found, by_hand, slope, _ = both(x, jnp.asarray(1.0))
    np.testing.assert_allclose(found, by_hand, atol=1e-5)
    above, below = (np.linalg.slogdet(both(x, jnp.asarray(1.0 + e))[3])[1] for e in (1e-5, -1e-5))
    np.testing.assert_allclose(slope, (above - below) / 2e-5, rtol=1e-6)


def test_particles_go_side_by_side_and_in_single_precision():
    x = jnp.array([[5.0, 4.0], [1.0, 3.0], [0.2, 0.1]])
    cov = jnp.broadcast_to(1e-12 * jnp.eye(2), (3, 2, 2))
    side_by_side = jax.jit(
        jax.vmap(lambda x, c: linear_noise(predation, proportional, x, c, 1.0, steps=8))
    )
    found = side_by_side(x, cov)
    alone = leg(predation, proportional, x[1], cov[1], 1.0, 8)
    np.testing.assert_allclose(found.cov[1], alone.cov, rtol=1e-5)
    assert (np.linalg.eigvalsh(found.cov) > 0).all()


@pytest.mark.parametrize("sigma", [0.1, SIGMA], ids=["additive", "proportional"])
def test_lotka_and_volterra_simulated_agree_within_five_per_cent(sigma):
    rng, count, steps = np.random.default_rng(2), 20_000, 100
    additive = sigma != SIGMA
    x = np.broadcast_to([[5.0], [4.0]], (2, count))
    moves, dt = np.array([[1.0], [-0.4]]), 1.0 / steps
    for _ in range(steps):
        noise = sigma * np.sqrt(dt) * rng.normal(size=(2, count))
        drift = [x * (x[::-1] * np.array([[-0.4], [0.1]]) + moves)]
        ahead = x + dt * drift[0] + noise * (1.0 if additive else x)
        drift.append(ahead * (ahead[::-1] * np.array([[-0.4], [0.1]]) + moves))
        x = x + 0.5 * dt * (drift[0] + drift[1]) + noise * (1.0 if additive else x)
    volatility = (lambda x: 0.1 * jnp.eye(2)) if additive else proportional
    found = leg(predation, volatility, jnp.array([5.0, 4.0]), jnp.zeros((2, 2)), 1.0, 20)
    np.testing.assert_allclose(found.mean, x.mean(axis=1), rtol=0.01)
    apart = np.linalg.norm(found.cov - np.cov(x)) / np.linalg.norm(np.cov(x))
    assert apart < 0.05
    np.testing.assert_allclose(np.diag(found.cov), x.var(axis=1), rtol=0.05)


def test_to_the_second_order_the_mean_feels_the_spread(x64):
    x, spread, dt = np.array([5.0, 4.0]), np.diag([0.4, 0.3]), 1.0

    def slope(_, held):
        (a, b), cov = held[:2], held[2:].reshape(2, 2)
        matrix = np.array([[1 - 0.4 * b, -0.4 * a], [0.1 * b, 0.1 * a - 0.4]])
        met = a * b + cov[0, 1]  # the mean of the product
        move = [a - 0.4 * met, 0.1 * met - 0.4 * b]
        noise = np.diag((0.1 * np.array([a, b])) ** 2)
        return np.concatenate([move, (matrix @ cov + cov @ matrix.T + noise).ravel()])

    start = np.concatenate([x, spread.ravel()])
    told = solve_ivp(slope, (0.0, dt), start, rtol=1e-10, atol=1e-12).y[:, -1]

    def drift(x):
        met = x[0] * x[1]
        return jnp.stack([x[0] - 0.4 * met, 0.1 * met - 0.4 * x[1]])

    given = (drift, lambda x: 0.1 * jnp.diag(x), jnp.asarray(x), jnp.asarray(spread), dt)
    found = linear_noise(*given, steps=200, second=True)
    np.testing.assert_allclose(found.mean, told[:2], rtol=1e-4)
    np.testing.assert_allclose(found.cov.ravel(), told[2:], rtol=1e-4)
    plain = linear_noise(*given, steps=200)
    assert np.abs(plain.mean - told[:2]).max() > 1e-2
