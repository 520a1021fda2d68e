"""The systems of Lorenz: their equations, their rings, their climate, their sensors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.integrators import rk4
from assim.statespace import regular_spans, simulate
from assim.systems.lorenz63 import SAKOV2012, SAKOV2012_STEP, Lorenz63
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP, Lorenz96


def test_lorenz96_is_the_equation_at_every_place(x64, key):
    x = jax.random.normal(key, (7,))
    ssm = Lorenz96(7, forcing=3.0)
    for i in range(7):
        dx = (x[(i + 1) % 7] - x[i - 2]) * x[i - 1] - x[i] + 3.0
        assert float(ssm.drift(x)[i]) == pytest.approx(float(dx), rel=1e-12)


def test_lorenz63_is_the_equation(x64):
    x = jnp.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(Lorenz63().drift(x), [10.0, 28.0 - 2.0 - 3.0, 2.0 - 8.0])


def test_a_span_is_cut_into_steps(x64, key):
    x = jax.random.normal(key, (3,))
    span = jax.tree.map(lambda leaf: leaf[0], regular_spans(0.25, 1))
    walked = x
    for _ in range(25):
        walked = rk4(SAKOV2012.drift, walked, 0.01)
    np.testing.assert_allclose(SAKOV2012.flow(x, span), walked, rtol=1e-12)


@pytest.mark.parametrize(
    ("ssm", "step", "sd"), [(SAKOV2008, SAKOV2008_STEP, 3.64), (SAKOV2012, SAKOV2012_STEP, 7.6)]
)
def test_its_climate_has_the_published_spread(x64, key, ssm, step, sd):
    x, y = simulate(ssm, ssm.init().sample(key), regular_spans(step, 4000), key=key)
    rmse = float(np.sqrt(((x - x.mean(axis=0)) ** 2).mean(axis=1))[400:].mean())
    assert rmse == pytest.approx(sd, rel=0.04)
    assert float(jnp.std(y - x)) == pytest.approx(float(ssm.error), rel=0.05)


def test_a_sensor_between_places_reads_between_them(key):
    x = jnp.arange(40.0)
    span = jax.tree.map(lambda leaf: leaf[0], regular_spans(0.05, 1))
    where = jnp.array([[3.0], [7.25], [39.5], [41.0]])
    seen = SAKOV2008.observation(x, span, where, sd=jnp.full(4, 2.0))
    np.testing.assert_allclose(seen.mean, [3.0, 7.25, 19.5, 1.0], rtol=1e-5)
    np.testing.assert_allclose(seen.variance, 5.0, rtol=1e-5)


def test_noise_grows_with_the_span(x64, key):
    ssm = Lorenz96(noise=2.0)
    span = jax.tree.map(lambda leaf: leaf[0], regular_spans(0.05, 1))
    np.testing.assert_allclose(ssm.process_noise(jnp.zeros(40), span).variance, 4.0 * 0.05)
    x = SAKOV2008.init().sample(key)
    moved = jax.vmap(lambda k: ssm.transition(x, span, key=k))(jax.random.split(key, 4000))
    np.testing.assert_allclose(moved.mean(axis=0), ssm.flow(x, span), atol=0.04)
    np.testing.assert_allclose(moved.std(axis=0), (4.0 * 0.05) ** 0.5, rtol=0.08)
