"""Orders of convergence and exactness on equations with a known solution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.integrators import etd2rk, etdrk4, euler_maruyama, rk4

pytestmark = pytest.mark.usefixtures("x64")


def order(error_of, steps):
    """The slope of log error against log step."""
    errors = [error_of(n) for n in steps]
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


def repeated(step, x, count):
    return jax.lax.fori_loop(0, count, lambda _, v: step(v), x)


def test_rk4_is_of_fourth_order():
    def error(count):
        end = repeated(lambda x: rk4(lambda v: v - v**2, x, 2.0 / count), jnp.array(0.1), count)
        return abs(end - 0.1 * np.exp(2) / (1 + 0.1 * (np.exp(2) - 1)))

    assert order(error, [10, 20, 40, 80]) == pytest.approx(4, abs=0.1)


def test_etd2rk_is_of_second_order():
    def error(count):
        rate, dt = jnp.array(-1.0), 2.0 / count
        end = repeated(lambda x: etd2rk(rate, lambda v: 2 * v - v**2, x, dt), jnp.array(0.1), count)
        return abs(end - 0.1 * np.exp(2) / (1 + 0.1 * (np.exp(2) - 1)))

    assert order(error, [20, 40, 80, 160]) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("rate", [-1.0, -1e-6, -0.5 + 2j])
def test_etdrk4_is_of_fourth_order(rate):
    """Whatever part of the rate is called linear, x' = x - x^2."""

    def error(count):
        def step(x):
            return etdrk4(jnp.array(rate), lambda v: (1 - rate) * v - v**2, x, 2.0 / count)

        end = repeated(step, jnp.array(0.1 + 0 * rate), count)
        return abs(end - 0.1 * np.exp(2) / (1 + 0.1 * (np.exp(2) - 1)))

    assert order(error, [10, 20, 40, 80]) == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("z", [0.0, 1e-9, -1e-4, 0.3, -0.999, -1.001, 1.001, -7.0, -500.0, 3j])
def test_etdrk4_weighs_its_stages_by_their_integrals(z):
    """N is 1 at one stage alone: its weight is phi_1 - 3 phi_2 + 4 phi_3 and so on, by Gauss and Legendre."""
    tau, w = np.polynomial.legendre.leggauss(200)
    t, w = (tau + 1) / 2, w / 2
    grown = np.exp(z * (1 - t))
    one, two, three = (w * grown).sum(), (w * grown * t).sum(), (w * grown * t**2 / 2).sum()

    def weight(stage):
        calls = iter(range(4))
        return etdrk4(
            jnp.array(z),
            lambda v: jnp.ones_like(v) * (next(calls) == stage),
            jnp.array(0.0 * z),
            1.0,
        )

    np.testing.assert_allclose(weight(0), one - 3 * two + 4 * three, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(weight(1), 2 * two - 4 * three, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(weight(2), 2 * two - 4 * three, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(weight(3), 4 * three - two, rtol=1e-12, atol=1e-14)


def test_etdrk4_has_a_finite_slope_however_stiff():
    rates = jnp.array([0.0, -1e-3, -1.0, -1e6])
    slope = jax.jacrev(lambda dt: etdrk4(rates, lambda v: -(v**2), jnp.ones(4), dt))(0.1)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("rate", [0.0, 1e-9, -0.003, 0.05, -1.0, -300.0, 2j, -0.5 + 3j])
def test_etd2rk_is_exact_under_a_constant_force(rate):
    x, dt, force = 1.3, 0.7, 0.4
    z = rate * dt
    grown = np.expm1(z) / rate if rate else dt
    end = etd2rk(jnp.array(rate), lambda v: jnp.full_like(v, force), jnp.array(x + 0 * rate), dt)
    np.testing.assert_allclose(end, np.exp(z) * x + grown * force, rtol=1e-13)


@pytest.mark.parametrize("z", [1e-8, -1e-4, 0.0099, 0.0101, 0.0999, -0.1001, 0.5, -40.0, 1j])
def test_etd2rk_is_exact_where_the_force_grows_linearly(z):
    """N goes from 0 to N(a) = 1 within the step: what is left is phi_2 alone, by its integral."""
    end = etd2rk(jnp.array(z), lambda v: jnp.ones_like(v) * (v == 0), jnp.array(0.0 * z), 1.0)
    tau = np.polynomial.legendre.leggauss(60)
    t, w = (tau[0] + 1) / 2, tau[1] / 2
    phi1 = np.sum(w * np.exp(z * (1 - t)))
    phi2 = np.sum(w * np.exp(z * (1 - t)) * t)
    np.testing.assert_allclose(end, phi1 - phi2, rtol=2e-12)


def test_euler_maruyama_has_the_moments_of_its_step(key):
    noise = jax.random.normal(key, (200_000,))
    x = euler_maruyama(lambda v: -v, 0.5, jnp.full(noise.shape, 2.0), 0.1, noise)
    assert float(x.mean()) == pytest.approx(1.8, abs=4 * 0.5 * 0.1**0.5 / len(noise) ** 0.5)
    assert float(x.std()) == pytest.approx(0.5 * 0.1**0.5, rel=0.01)


def test_euler_maruyama_is_of_strong_order_one_half(key):
    """Geometric Brownian motion, whose path is known: dx = x dt + x dW."""
    paths, finest = 4000, 256
    dw = jax.random.normal(key, (finest, paths)) / finest**0.5
    exact, start = jnp.exp(0.5 + dw.sum(axis=0)), jnp.ones(paths)

    def error(count):
        noise = dw.reshape(count, -1, paths).sum(axis=1) * count**0.5
        x, _ = jax.lax.scan(
            lambda x, row: (euler_maruyama(lambda v: v, x, x, 1 / count, row), None), start, noise
        )
        return float(jnp.abs(x - exact).mean())

    assert order(error, [16, 32, 64]) == pytest.approx(0.5, abs=0.1)
