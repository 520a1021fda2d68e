"""Prey and predators: their equations, what stays without noise, moments of the noise, slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.statespace import Span, regular_spans, simulate
from assim.systems.lotka_volterra import (
    SHEN2025_POPULATIONS,
    SHEN2025_POPULATIONS_STEP,
    LotkaVolterra,
)

SPAN = Span(jnp.asarray(1.0), jnp.zeros(0))


def test_its_drift_is_the_equation_after_ito(x64):
    """d log x = dx / x - (sigma x)^2 / (2 x^2) dt."""
    ssm = LotkaVolterra(1.1, 0.3, 0.5, 0.2, volatility=0.4)
    prey, predators = 3.0, 2.0
    dx, dy = 1.1 * prey - 0.3 * prey * predators, 0.2 * prey * predators - 0.5 * predators
    told = ssm.drift(jnp.log(jnp.array([prey, predators])))
    np.testing.assert_allclose(told, [dx / prey - 0.08, dy / predators - 0.08], rtol=1e-12)


def test_without_noise_the_cycle_closes_at_first_order(x64, key):
    start = jnp.log(jnp.array([5.0, 4.0]))

    def kept(x):
        prey, predators = jnp.exp(x)
        return 0.1 * prey - 0.4 * x[0] + 0.4 * predators - x[1]

    def lost(steps):
        end = LotkaVolterra(volatility=0.0, substeps=steps).transition(start, SPAN, key=key)
        return abs(float(kept(end) - kept(start)))

    errors = [lost(n) for n in (100, 200, 400, 800)]
    assert -np.polyfit(np.log([100, 200, 400, 800]), np.log(errors), 1)[0] == pytest.approx(
        1.0, abs=0.05
    )


@pytest.mark.slow
def test_a_population_alone_is_a_geometric_brownian_motion(x64, key):
    """Without the other: log x ~ N((a - sigma^2 / 2) t, sigma^2 t), so its mean grows as exp(a t)."""
    ssm = LotkaVolterra(birth=0.3, predation=0.0, volatility=0.5, substeps=5)
    keys = jax.random.split(key, 40_000)
    ends = jax.jit(jax.vmap(lambda k: ssm.transition(jnp.zeros(2), SPAN, key=k)))(keys)[:, 0]
    assert float(ends.mean()) == pytest.approx(0.3 - 0.125, abs=4 * 0.5 / 200)
    assert float(ends.std()) == pytest.approx(0.5, rel=0.02)
    assert float(jnp.exp(ends).mean()) == pytest.approx(np.exp(0.3), rel=0.015)


def test_it_starts_in_the_published_box_and_stays_positive(key):
    start = SHEN2025_POPULATIONS.init()
    assert (start.batch_shape, start.event_shape) == ((), (2,))
    x0 = start.sample(key, (500,))
    counts = np.exp(x0)
    assert (counts >= [5.0, 4.0]).all()
    assert (counts <= [5.1001, 4.1001]).all()
    assert np.isfinite(start.log_prob(x0)).all()
    x, y = simulate(
        SHEN2025_POPULATIONS, x0[0], regular_spans(SHEN2025_POPULATIONS_STEP, 40), key=key
    )
    assert np.isfinite(x).all()
    np.testing.assert_allclose(y, np.exp(x), atol=0.06)
    seen = SHEN2025_POPULATIONS.observation(x[0], SPAN, sd=jnp.full(2, 0.3))
    np.testing.assert_allclose(seen.variance, 0.01**2 + 0.09, rtol=1e-5)


def test_slopes_forward_and_backward_agree(x64, key):
    x, v, w = jax.random.normal(key, (3, 2))

    @jax.jit
    def told(x, volatility):
        def move(x, volatility):
            return LotkaVolterra(volatility=volatility, substeps=10).transition(x, SPAN, key=key)

        forward = jax.jvp(lambda x: move(x, volatility), (x,), (v,))[1]
        around = [move(x, volatility + e) for e in (1e-6, -1e-6)]
        return forward, jax.vjp(move, x, volatility)[1](w), (around[0] - around[1]) / 2e-6

    forward, (backward, by_volatility), difference = told(x, 0.2)
    assert float(forward @ w) == pytest.approx(float(backward @ v), rel=1e-10)
    assert float(by_volatility) == pytest.approx(float(difference @ w), rel=1e-6)
