"""Delay vectors, their patterns, and a forced linear system that is found again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.nn.hankel import delay_embed, derivative, havok, patterns


def test_rows_that_follow_each_other_stand_side_by_side():
    y = np.arange(10.0).reshape(5, 2)
    found = np.asarray(delay_embed(jnp.asarray(y), 3))
    np.testing.assert_array_equal(found, [y[t : t + 3].ravel() for t in range(3)])


@pytest.mark.parametrize("delays", [0, 6])
def test_delays_that_the_record_has_not_are_refused(delays):
    with pytest.raises(ValueError, match=f"delays={delays} must be 1 or more, .* 5 rows"):
        delay_embed(jnp.zeros((5, 2)), delays)


def test_sinusoids_have_two_patterns_each(x64):
    waves, t = 3, np.arange(200.0)
    y = sum(np.cos(0.3 * (k + 1) * t + k) for k in range(waves))
    h = delay_embed(jnp.asarray(y)[:, None], 2 * waves + 4)
    v, shapes = patterns(h, 2 * waves)
    np.testing.assert_allclose(v @ shapes, h, atol=1e-10)
    np.testing.assert_allclose(v.T @ v / v.shape[0], np.eye(2 * waves), atol=1e-10)
    few, shapes = patterns(h, 2 * waves - 1)
    assert np.abs(few @ shapes - h).max() > 1e-2


def test_a_map_of_fewer_than_two_delays_for_each_sinusoid_misses(x64):
    waves, t = 3, np.arange(300.0)
    y = jnp.asarray(sum(np.cos(0.3 * (k + 1) * t + k) for k in range(waves)))[:, None]
    for delays in (2 * waves, 2 * waves - 1):
        h = np.asarray(delay_embed(y, delays))
        step = np.linalg.lstsq(h[:-1], h[1:])[0]
        missed = np.abs(h[:-1] @ step - h[1:]).max()
        assert missed < 1e-9 if delays == 2 * waves else missed > 1e-2


def test_differences_are_of_fourth_order(x64):
    missed = []
    for dt in (0.1, 0.05):
        t = dt * np.arange(40)
        found = derivative(jnp.sin(jnp.asarray(t))[:, None], dt)[:, 0]
        missed.append(np.abs(found - np.cos(t[2:-2])).max())
    assert missed[0] < 1e-5
    assert missed[0] / missed[1] == pytest.approx(16.0, rel=0.1)


def test_a_forced_system_is_found_in_continuous_and_in_discrete_time(x64):
    """v' = A v + B f with a forcing that is known: the coordinates are given, the last of them the forcing."""
    a, b = np.array([[-0.1, 2.0], [-2.0, -0.1]]), np.array([0.5, 1.0])
    dt = 0.01
    t = dt * np.arange(3000)
    forcing = np.sin(0.7 * t) + 0.5 * np.cos(3.1 * t)
    modes, turn = np.linalg.eig(a)
    # each wave of the forcing has its response, and the free motion decays beside it
    v = np.exp(np.outer(t, modes)) @ np.diag(np.linalg.solve(turn, [1.0, 0.0])) @ turn.T
    for omega, size in ((0.7, -1j), (3.1, 0.5)):
        answer = np.linalg.solve(1j * omega * np.eye(2) - a, b * size)
        v = v + np.real(np.outer(np.exp(1j * omega * t), answer))
    v = jnp.asarray(np.column_stack([v.real, forcing]))
    found = jax.jit(lambda v: havok(v[2:-2], derivative(v, dt)))(v)
    np.testing.assert_allclose(found[0], a, atol=1e-5)
    np.testing.assert_allclose(found[1], b, atol=1e-5)
    step, _ = havok(v[:-1], v[1:])
    rates = np.log(np.linalg.eigvals(np.asarray(step))) / dt
    np.testing.assert_allclose(np.sort_complex(rates), np.sort_complex(modes), atol=1e-2)
