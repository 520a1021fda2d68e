"""The pendulum: its equation, Jacobi's functions, its energy, what is random about it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ellipj, ellipk

from assim.statespace import Span, regular_spans, simulate
from assim.systems.pendulum import Pendulum

STEP, ROWS = 0.1, 170
SPAN = Span(jnp.asarray(STEP), jnp.zeros(0))


def swung(ssm: Pendulum, x0, key) -> jax.Array:
    return simulate(ssm, jnp.asarray(x0), regular_spans(STEP, ROWS), key=key)[0]


@pytest.fixture(scope="module")
def paths():
    """Releases at rest, without damping and with it, float64."""
    with jax.enable_x64(True):
        starts = jnp.array([[0.8, 0.0], [2.4, 0.0]])
        run = jax.vmap(swung, (None, 0, None))
        each = jax.jit(lambda c: run(Pendulum(damping=c), starts, jax.random.key(0)))
        return np.asarray(each(0.0)), np.asarray(each(0.3))


def test_its_drift_is_the_equation(x64):
    told = Pendulum(omega=2.0, damping=0.3).drift(jnp.array([0.7, -1.5]))
    np.testing.assert_allclose(told, [-1.5, -4.0 * np.sin(0.7) + 0.3 * 1.5], rtol=1e-12)


@pytest.mark.parametrize("run, amplitude", [(0, 0.8), (1, 2.4)])
def test_without_damping_it_swings_as_jacobi_says(paths, run, amplitude):
    omega, k = 9.8**0.5, np.sin(amplitude / 2)
    t = STEP * np.arange(1, ROWS + 1)
    sn, cn, dn, _ = ellipj(omega * t, k**2)
    angle = 2 * np.arcsin(k * cn / dn)
    rate = -2 * k * omega * (1 - k**2) * sn / dn**2 / np.sqrt(1 - (k * cn / dn) ** 2)
    np.testing.assert_allclose(paths[0][run], np.stack([angle, rate], -1), atol=2e-5)


@pytest.mark.parametrize("amplitude", [1e-3, 0.8, 2.4, 3.1])
def test_its_period_is_the_complete_integral(x64, amplitude):
    told = Pendulum(omega=1.7).period(amplitude)
    assert float(told) == pytest.approx(4 * ellipk(np.sin(amplitude / 2) ** 2) / 1.7, rel=1e-12)


def test_energy_stays_without_damping_and_is_lost_with_it(x64, paths):
    still, damped = (np.asarray(Pendulum().energy(x)) for x in paths)
    first = np.asarray(Pendulum().energy(jnp.array([[0.8, 0.0], [2.4, 0.0]])))
    np.testing.assert_allclose(first, 9.8 * (1 - np.cos([0.8, 2.4])), rtol=1e-12)
    np.testing.assert_allclose(still, np.broadcast_to(first[:, None], still.shape), rtol=1e-6)
    assert (np.diff(damped) < 0).all()
    x = jnp.array([0.4, 1.1])
    ssm = Pendulum(damping=0.3)
    lost = jax.grad(ssm.energy)(x) @ ssm.drift(x)
    assert float(lost) == pytest.approx(-0.3 * 1.1**2, rel=1e-12)


def test_noise_and_start_are_as_wide_as_they_say(x64):
    ssm = Pendulum(omega=2.0, noise=0.5, begin=0.3)
    assert (ssm.init().batch_shape, ssm.init().event_shape) == ((), (2,))
    np.testing.assert_allclose(ssm.init().variance, [0.09, 0.36])
    np.testing.assert_allclose(ssm.process_noise(jnp.zeros(2), SPAN).variance, [0.025, 0.1])
    seen = ssm.observation(jnp.ones(2), SPAN, sd=jnp.full(2, 0.04))
    np.testing.assert_allclose(seen.variance, 0.05**2)
