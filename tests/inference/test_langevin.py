import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.inference import SGHMC, SGLD, SGNHT

STIFF = jnp.array([1.0, 4.0, 0.25])
H, FRICTION = 0.3, 0.7
KERNELS = {"SGLD": SGLD(), "SGHMC": SGHMC(FRICTION), "SGNHT": SGNHT(FRICTION)}


def slope(z, key):
    """Of a Normal, with noise that the key tells."""
    return -STIFF * z + 0.1 * jax.random.normal(key, z.shape)


def test_steps_are_those_of_the_papers(key, x64):
    k_place, k_momentum, k_step = jax.random.split(key, 3)
    z, p = jax.random.normal(k_place, (3,)), jax.random.normal(k_momentum, (3,))
    k_batch, k_noise = jax.random.split(k_step)
    noise = jax.random.normal(k_noise, (3,))

    walked = SGLD().step(z, slope, H, key=k_step)
    np.testing.assert_allclose(walked, z + H**2 / 2 * slope(z, k_batch) + H * noise, rtol=1e-12)

    def turned(friction):
        pushed = H * slope(z + H * p, k_batch)
        return (1 - friction * H) * p + pushed + jnp.sqrt(2 * FRICTION * H) * noise

    there, momentum = KERNELS["SGHMC"].step((z, p), slope, H, key=k_step)
    np.testing.assert_allclose(there, z + H * p, rtol=1e-12)
    np.testing.assert_allclose(momentum, turned(FRICTION), rtol=1e-12)

    there, momentum, friction = KERNELS["SGNHT"].step((z, p, 0.2), slope, H, key=k_step)
    np.testing.assert_allclose(there, z + H * p, rtol=1e-12)
    np.testing.assert_allclose(momentum, turned(0.2), rtol=1e-12)
    np.testing.assert_allclose(friction, 0.2 + H * ((momentum**2).mean() - 1), rtol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_it_begins_where_it_is_put(name, key):
    kernel, z = KERNELS[name], jnp.arange(3.0)
    state = kernel.begin(z, key=key)
    np.testing.assert_array_equal(kernel.place(state), z)
    if name != "SGLD":
        assert np.unique(state[1]).size == 3


def after(kernel, step, count, key):
    def move(i, state):
        return kernel.step(state, pull, step, key=jax.random.fold_in(key, i))

    return kernel.place(jax.lax.fori_loop(0, count, move, kernel.begin(jnp.ones(3), key=key)))


def pull(z, key):
    return -STIFF * z


@pytest.mark.parametrize("name", KERNELS)
def test_steps_are_stable_up_to_the_longest(name, key):
    kernel = SGHMC(0.1) if name == "SGHMC" else KERNELS[name]
    longest = kernel.longest(STIFF.max(), 3)
    bound = 4 + 4 * (1 + 5 / np.sqrt(3)) ** 2 if name == "SGNHT" else 4
    np.testing.assert_allclose(longest, 2 / np.sqrt(bound), rtol=1e-6)
    walk = jax.jit(lambda step: after(kernel, step, 3000, key))
    assert np.abs(walk(0.9 * longest)).max() < 30
    assert not np.abs(walk(1.1)).max() < 30
