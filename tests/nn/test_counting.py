"""Counted means and spreads, against NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest

from assim.nn.counting import excess, known_error, moments

CIRCULAR = np.array([False, True])


def test_missing_readings_do_not_count():
    rng = np.random.default_rng(0)
    y, mask = rng.normal(size=(50, 3, 2)), rng.random((50, 3, 2)) > 0.3
    mean, sd = moments(jnp.asarray(np.where(mask, y, 1e6)), jnp.asarray(mask), (0, 1))
    masked = np.ma.masked_array(y, ~mask)
    np.testing.assert_allclose(mean, masked.mean((0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(sd, masked.std((0, 1)), rtol=1e-4)


def test_directions_around_north_are_near_each_other():
    angle = np.random.default_rng(1).normal(0.0, 0.2, 4000) % (2 * np.pi)
    y = jnp.asarray(np.stack([angle, angle], axis=-1))
    mean, sd = moments(y, jnp.ones(y.shape, bool), 0, CIRCULAR)
    assert mean[1] == pytest.approx(0.0, abs=0.02)
    assert sd[1] == pytest.approx(0.2, rel=0.05)
    assert sd[0] > 2.5


def test_the_usual_error_is_that_of_the_readings():
    sd, mask = (
        jnp.array([[[3.0], [4.0]], [[7.0], [0.0]]]),
        jnp.array([[[1], [1]], [[0], [0]]], bool),
    )
    assert known_error(sd, mask)[0] == pytest.approx(np.sqrt(12.5))
    assert known_error(sd, jnp.zeros_like(mask))[0] == 0.0
    assert excess(jnp.array([5.0, 1.0]), jnp.array([3.0, 3.0])).tolist() == [4.0, 0.0]
