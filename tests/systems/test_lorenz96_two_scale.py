"""The two rings of Lorenz: their equations, what the coupling conserves, their climate, their places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.statespace import Span, regular_spans, simulate
from assim.systems.lorenz96 import Lorenz96
from assim.systems.lorenz96_two_scale import (
    LORENZ1996,
    WILKS2005,
    WILKS2005_STEP,
    TwoScaleLorenz96,
)

SPAN = Span(jnp.asarray(0.05), jnp.zeros(0))


def test_it_is_the_equation_at_every_place(x64, key):
    slow_places, per, f, h, b, c = 4, 3, 7.0, 0.8, 9.0, 5.0
    ssm = TwoScaleLorenz96(slow_places, per, f, h, b, c)
    x = np.asarray(jax.random.normal(key, (16,)))
    slow, fast = x[:4], x[4:]
    told = jax.jit(ssm.drift)(x)
    for k in range(slow_places):
        own = sum(fast[per * k + j] for j in range(per))
        dx = (slow[(k + 1) % 4] - slow[k - 2]) * slow[k - 1] - slow[k] + f - h * c / b * own
        assert float(told[k]) == pytest.approx(float(dx), rel=1e-12)
        for j in range(per):
            i = per * k + j
            dy = -c * b * fast[(i + 1) % 12] * (fast[(i + 2) % 12] - fast[i - 1])
            dy += -c * fast[i] + h * c / b * slow[k]
            assert float(told[4 + i]) == pytest.approx(float(dy), rel=1e-12)


def test_without_coupling_the_slow_ring_is_that_of_one_scale(x64, key):
    ssm = TwoScaleLorenz96(8, 4, forcing=8.0, coupling=0.0, substeps=1)
    x = ssm.init().sample(key) * 10
    np.testing.assert_allclose(
        ssm.flow(x, SPAN)[:8], Lorenz96(8, forcing=8.0).flow(x[:8], SPAN), rtol=1e-12
    )


def test_advection_and_coupling_move_energy_and_make_none(x64, key):
    """d/dt sum(X^2 + Y^2) / 2 = F sum(X) - sum(X^2) - c sum(Y^2)."""
    x = np.asarray(jax.random.normal(key, LORENZ1996.init().mean.shape))
    slow, fast = x[:36], x[36:]
    lost = 10.0 * slow.sum() - (slow**2).sum() - 10.0 * (fast**2).sum()
    assert float(x @ jax.jit(LORENZ1996.drift)(x)) == pytest.approx(float(lost), rel=1e-11)


def test_its_steps_are_of_fourth_order(x64, key):
    x = WILKS2005.init().sample(key) * 3

    def end(steps):
        return TwoScaleLorenz96(substeps=steps).flow(x, SPAN)

    exact = end(640)
    errors = [float(jnp.abs(end(n) - exact).max()) for n in (10, 20, 40)]
    assert -np.polyfit(np.log([10, 20, 40]), np.log(errors), 1)[0] == pytest.approx(4.0, abs=0.3)
    assert errors[0] < 1e-3


def test_slopes_forward_and_backward_agree_and_draws_are_beside_each_other(x64, key):
    ssm = TwoScaleLorenz96(4, 3, noise=0.1)
    x, v, w = jax.random.normal(key, (3, 16))

    @jax.jit
    def told(x):
        def flow(x):
            return ssm.transition(x, SPAN, key=key)

        forward = jax.jvp(flow, (x,), (v,))[1]
        return forward, jax.vjp(flow, x)[1](w)[0], jax.vmap(flow)(jnp.stack([x, v])), flow(x)

    forward, backward, both, alone = told(x)
    assert float(forward @ w) == pytest.approx(float(backward @ v), rel=1e-10)
    np.testing.assert_allclose(both[0], alone, rtol=1e-12)


def test_fast_places_lie_around_their_slow_one_and_the_slow_are_seen():
    places = WILKS2005.places()[:, 0]
    fast = np.asarray(places[8:]).reshape(8, 32)
    np.testing.assert_allclose(fast.mean(axis=1), places[:8], atol=1e-5)
    assert np.ptp(fast[3]) == pytest.approx(31 / 32, rel=1e-5)
    x = jnp.arange(264.0)
    seen = WILKS2005.observation(x, SPAN, jnp.array([[1.0], [2.25], [7.5]]), sd=jnp.zeros(3))
    np.testing.assert_allclose(seen.mean, [1.0, 2.25, 3.5], rtol=1e-5)
    np.testing.assert_allclose(seen.variance, 0.1, rtol=1e-5)
    np.testing.assert_array_equal(WILKS2005.observation(x, SPAN).mean, x[:8])
    np.testing.assert_array_equal(WILKS2005.sensors(), WILKS2005.places()[:8])


def test_noise_is_smaller_on_the_fast_ring():
    variance = TwoScaleLorenz96(noise=2.0).process_noise(jnp.zeros(264), SPAN).variance
    np.testing.assert_allclose(variance[:8], 4.0 * 0.05, rtol=1e-6)
    np.testing.assert_allclose(variance[8:], 0.04 * 0.05, rtol=1e-6)


@pytest.mark.slow
def test_its_climate_has_the_published_spread(key):
    """0.93 over the whole state, by the table of DAPPER for this setting."""
    spans = regular_spans(WILKS2005_STEP, 1400)
    x, _ = simulate(WILKS2005, WILKS2005.init().sample(key), spans, key=key)
    x = x[120:]
    rmse = jnp.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=1)).mean()
    assert float(rmse) == pytest.approx(0.93, rel=0.05)
