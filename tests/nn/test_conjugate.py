"""The linear regression in closed form, beside its textbook formulas in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from assim.nn.conjugate import regressed

SHAPE = 1.5


@pytest.fixture
def readings():
    """Features, readings, their relative noise and how much each counts; a third of them missing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3))
    noise = rng.uniform(0.5, 2.0, 40)
    y = x @ [0.5, -1.0, 0.2] + 0.4 * noise * rng.normal(size=40)
    share = np.where(rng.random(40) < 0.3, 0.0, rng.uniform(0.1, 1.0, 40))
    return x, np.where(share > 0, y, 1e9), noise, share


def textbook(x, y, noise, share):
    """Mean, precision, shape and rate, from the sums of squares alone."""
    w, y = share / noise**2, np.where(share > 0, y, 0.0)
    precision = np.eye(x.shape[1]) + (x.T * w) @ x
    mean = np.linalg.solve(precision, (x.T * w) @ y)
    rest = (w * y**2).sum() - mean @ precision @ mean
    return mean, precision, SHAPE + 0.5 * share.sum(), SHAPE + 0.5 * rest


def test_the_posterior_is_that_of_the_textbook(readings, x64):
    found = regressed(*map(jnp.asarray, readings), SHAPE)
    mean, precision, shape, rate = textbook(*readings)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.root @ found.root.T, precision, rtol=1e-12)
    np.testing.assert_allclose([found.shape, found.rate], [shape, rate], rtol=1e-12)


def test_single_precision_is_enough(readings):
    found = regressed(*(jnp.asarray(part, jnp.float32) for part in readings), SHAPE)
    mean, _, shape, rate = textbook(*readings)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-5)
    np.testing.assert_allclose([found.shape, found.rate], [shape, rate], rtol=1e-5)


def test_without_readings_it_is_the_prior(readings):
    x, y, noise, share = map(jnp.asarray, readings)
    found = regressed(x, y, noise, 0.0 * share, SHAPE)
    assert (found.mean == 0).all()
    assert (found.root == jnp.eye(3)).all()
    assert found.shape == found.rate == SHAPE


def test_draws_have_its_moments(readings, key):
    mean, precision, shape, rate = textbook(*readings)
    tau, w = regressed(*map(jnp.asarray, readings), SHAPE).draw(40_000, key=key)
    assert float(tau.mean()) == pytest.approx(shape / rate, rel=0.02)
    assert float(tau.var()) == pytest.approx(shape / rate**2, rel=0.05)
    spread = np.sqrt(np.diag(np.linalg.inv(precision)) * rate / (shape - 1))
    np.testing.assert_allclose(np.asarray(w).mean(0), mean, atol=4 * spread.max() / 200)
    white = np.sqrt(np.asarray(tau))[:, None] * (np.asarray(w) - mean)
    np.testing.assert_allclose(np.cov(white.T) @ precision, np.eye(3), atol=0.05)


def test_a_new_reading_is_students_t(readings, key):
    mean, precision, shape, rate = textbook(*readings)
    tau, w = regressed(*map(jnp.asarray, readings), SHAPE).draw(40_000, key=key)
    x, noise, y = np.array([1.0, 2.0, -1.0]), 0.7, np.linspace(-3, 0, 6)
    scale = np.sqrt(rate / shape * (noise**2 + x @ np.linalg.solve(precision, x)))
    exact = stats.t.pdf(y, 2 * shape, mean @ x, scale)
    normal = stats.norm.pdf(y[:, None], np.asarray(w) @ x, noise / np.sqrt(np.asarray(tau)))
    np.testing.assert_allclose(normal.mean(-1), exact, rtol=0.03)


def test_the_same_key_draws_regressions_alike(readings, key):
    x, y, noise, share = map(jnp.asarray, readings)
    one, other = (regressed(x, y, noise, s, SHAPE).draw(2000, key=key) for s in (share, share / 4))
    assert np.corrcoef(one[0], other[0])[0, 1] > 0.98
    assert np.corrcoef(one[1][:, 0], other[1][:, 0])[0, 1] > 0.9
    spreads = [float(tau.std() / tau.mean()) for tau, _ in (one, other)]
    assert spreads[1] > 1.3 * spreads[0]
