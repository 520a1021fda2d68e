"""The lag window as a state: what enters, what leaves, how it is read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from assim.nn.emission import Emission
from assim.nn.window import SENSOR_SHARE, moved_on, newest, seen, window_state
from assim.statespace import Context

VALUES = jnp.arange(8.0).reshape(4, 2)
MASK = jnp.array([[1, 1], [1, 0], [0, 1], [0, 0]], bool)


def context():
    return Context(VALUES, MASK, jnp.full((4, 2), 0.1), jnp.zeros((4, 0)))


def test_the_state_is_the_newest_rows():
    x = window_state(context(), 3).v
    assert x.shape == (4, 3, 2)
    np.testing.assert_array_equal(x[0], VALUES[1:])
    np.testing.assert_array_equal(x[1], MASK[1:])
    np.testing.assert_allclose(x[2], 0.1)


def test_a_step_drops_the_oldest_row_and_draws_the_newest(key):
    x = window_state(context(), 3).v
    density = Emission(jnp.array([5.0, -7.0]), jnp.array([0.1, 0.2]), ("real", "lower"))
    moved = moved_on(x, density, key=key)
    np.testing.assert_array_equal(moved[:, :2], x[:, 1:])
    assert (moved[1, -1] == 1).all()
    np.testing.assert_array_equal(moved[2, -1], density.scale)
    assert abs(moved[0, -1, 0] - 5) < 1
    assert moved[0, -1, 1] == 0
    assert moved[3, -1, 1] < -5


@pytest.mark.parametrize("support", ["real", "lower", "both", "circle"])
def test_a_reading_after_a_step_has_the_density_of_the_step(support, key):
    """Point masses included: a calm forecast stays calm when it is read."""
    loc, scale, count = 0.3, 1.1, 20_000
    density = Emission(jnp.array([loc]), jnp.array([scale]), (support,))
    x = jnp.zeros((4, 2, 1))

    def reading(k):
        k_move, k_see = jax.random.split(k)
        return seen(moved_on(x, density, key=k_move), (support,), None, None).sample(k_see)

    y = np.asarray(jax.vmap(reading)(jax.random.split(key, count)))[:, 0]
    told = np.asarray(density.sample(key, (count,)))[:, 0]
    assert stats.ks_2samp(y, told).pvalue > 1e-3
    for bound in {"lower": [0], "both": [-2, 2]}.get(support, []):
        mass = float(jnp.exp(density.log_prob(jnp.array([float(bound)]))[0]))
        assert np.mean(y == bound) == pytest.approx(mass, abs=4 * (mass / count) ** 0.5)


def test_a_sensor_has_a_small_share_of_the_noise_and_the_error_of_the_file():
    density = Emission(jnp.array([0.0]), jnp.array([2.0]), ("real",))
    x = moved_on(jnp.zeros((4, 2, 1)), density, key=jax.random.key(0))
    own = seen(x, ("real",), 4.0, None)
    np.testing.assert_allclose(own.scale, 2 * SENSOR_SHARE)
    assert own.df == 4
    wide = seen(x, ("real",), None, jnp.array([0.3]))
    np.testing.assert_allclose(wide.scale, [(0.3**2 + (2 * SENSOR_SHARE) ** 2) ** 0.5])


def test_a_sensor_is_never_without_noise():
    assert (seen(jnp.zeros((4, 2, 1)), ("real",), None, None).scale > 0).all()


def test_the_newest_present_value_and_its_age():
    value, age = newest(VALUES, MASK, jnp.array([-1.0, -1.0]))
    np.testing.assert_array_equal(value, [2, 5])
    np.testing.assert_allclose(age, [2 / 4, 1 / 4])
    value, age = newest(VALUES, jnp.zeros((4, 2), bool), jnp.array([-1.0, -2.0]))
    np.testing.assert_array_equal(value, [-1, -2])
    np.testing.assert_array_equal(age, [1, 1])
    value, age = newest(VALUES, jnp.ones((4, 2), bool), jnp.zeros(2))
    np.testing.assert_array_equal(value, [6, 7])
    np.testing.assert_array_equal(age, [0, 0])
