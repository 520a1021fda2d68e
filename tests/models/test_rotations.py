"""The closed form of the latent world over a span."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from assim.models.koopman.rotations import Rotations, gained

pytestmark = pytest.mark.usefixtures("x64")


def world(decay=(0.3, 0.0, 1.2), frequency=(2.0, 0.0)):
    rng = np.random.default_rng(0)
    return Rotations(
        jnp.asarray(decay),
        jnp.asarray(frequency),
        jnp.asarray([0.4, 0.2, 0.7]),
        jnp.asarray(rng.normal(size=(5, 2))),
    )


def generator(w):
    """The matrix of the differential equation."""
    a = np.zeros((5, 5))
    for j in range(2):
        block = [[-w.decay[j], -w.frequency[j]], [w.frequency[j], -w.decay[j]]]
        a[2 * j : 2 * j + 2, 2 * j : 2 * j + 2] = block
    a[4, 4] = -w.decay[2]
    return a


def test_a_span_multiplies_by_the_exponential_of_the_generator():
    move, _ = world().over(jnp.asarray(0.7))
    np.testing.assert_allclose(move, expm(0.7 * generator(world())), atol=1e-12)


def test_inputs_that_hold_add_their_integral():
    w, u = world(), jnp.asarray([1.0, -2.0])
    a, push = generator(w), np.asarray(w.drive @ u)
    whole = expm(0.7 * np.block([[a, push[:, None]], [np.zeros((1, 6))]]))
    np.testing.assert_allclose(w.driven(u, jnp.asarray(0.7)), whole[:5, 5], atol=1e-12)


def test_two_spans_in_a_row_are_their_sum():
    w = world()
    (f1, q1), (f2, q2), (f, q) = (w.over(jnp.asarray(dt)) for dt in (0.3, 1.1, 1.4))
    np.testing.assert_allclose(f2 @ f1, f, atol=1e-10)
    both = f2 @ jnp.diag(q1**2) @ f2.T + jnp.diag(q2**2)
    np.testing.assert_allclose(both, jnp.diag(q**2), atol=1e-10)
    u = jnp.asarray([0.5, 1.0])
    one, two, sum_ = (w.driven(u, jnp.asarray(dt)) for dt in (0.3, 1.1, 1.4))
    np.testing.assert_allclose(f2 @ one + two, sum_, atol=1e-10)


def test_no_eigenvalue_leaves_the_unit_disc_and_the_long_run_stands_still():
    w = world(decay=(0.3, 0.01, 1.2))
    move, noise = w.over(jnp.asarray(0.5))
    assert np.abs(np.linalg.eigvals(move)).max() <= 1 + 1e-12
    still = jnp.diag(w.stationary() ** 2)
    np.testing.assert_allclose(move @ still @ move.T + jnp.diag(noise**2), still, atol=1e-12)


def test_slopes_are_finite_where_nothing_decays_or_turns():
    def told(decay, frequency):
        w = Rotations(decay, frequency, jnp.ones(3), jnp.ones((5, 1)))
        move, noise = w.over(jnp.asarray(1.0))
        return move.sum() + noise.sum() + w.driven(jnp.ones(1), jnp.asarray(1.0)).sum()

    slopes = jax.grad(told, argnums=(0, 1))(jnp.zeros(3), jnp.zeros(2))
    assert all(np.isfinite(s).all() for s in slopes)
    np.testing.assert_allclose(gained(jnp.asarray([0.0, 1e-9]), jnp.asarray(2.0)), 2.0, rtol=1e-8)
    near, far = gained(jnp.asarray([0.99e-3 / 4, 1.01e-3 / 4]), jnp.asarray(2.0))
    exact = [(1 - np.exp(-4 * g)) / (2 * g) for g in (0.99e-3 / 4, 1.01e-3 / 4)]
    np.testing.assert_allclose([near, far], exact, rtol=1e-11)  # on both sides of the series


def test_components_are_complex_coordinates_and_shapes_show_them():
    w, rng = world(), np.random.default_rng(1)
    z, c = jnp.asarray(rng.normal(size=(4, 5))), jnp.asarray(rng.normal(size=(3, 5)))
    np.testing.assert_allclose(w.real(w.turned(z)), z)
    seen = (w.turned(z)[:, None] * w.shapes(c)).sum(axis=-1).real
    np.testing.assert_allclose(seen, z @ c.T, atol=1e-12)
    moved = z @ w.over(jnp.asarray(0.4))[0].T
    np.testing.assert_allclose(w.turned(moved), w.turned(z) * jnp.exp(0.4 * w.rates()), atol=1e-12)
