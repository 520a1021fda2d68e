"""Gated recurrent units: against the equations written out, in both directions."""

import jax
import numpy as np
import pytest

from assim.nn.recurrent import GRU, Bidirectional


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def along(cell, x):
    """The states after each input of a series, one after the other."""
    (u_w, u_b), (v_w, v_b) = (
        (np.asarray(m.weight), np.asarray(m.bias)) for m in (cell.input, cell.state)
    )
    h, states = np.zeros(v_w.shape[1]), []
    for now in np.asarray(x):
        (r_x, u_x, n_x), (r_h, u_h, n_h) = (
            np.split(g, 3) for g in (u_w @ now + u_b, v_w @ h + v_b)
        )
        u, n = sigmoid(u_x + u_h), np.tanh(n_x + sigmoid(r_x + r_h) * n_h)
        h = (1.0 - u) * n + u * h
        states.append(h)
    return np.stack(states)


def biased(cell, key):
    """The same, its biases no longer 0."""
    leaves, structure = jax.tree.flatten(cell)
    keys = jax.random.split(key, len(leaves))
    moved = [x + 0.5 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)


@pytest.fixture
def case(x64, key):
    k_build, k_bias, k_x = jax.random.split(key, 3)
    layer = biased(Bidirectional.build(2, 3, key=k_build), k_bias)
    return layer, jax.random.normal(k_x, (5, 2))


def test_units_follow_their_equations(case):
    layer, x = case
    cell = jax.tree.map(lambda leaf: leaf[0], layer.both)
    states = along(cell, x)
    np.testing.assert_allclose(jax.jit(GRU.along)(cell, x), states, rtol=1e-10)
    np.testing.assert_allclose(jax.jit(GRU.__call__)(cell, x[3], states[2]), states[3], rtol=1e-10)


def test_the_second_layer_reads_from_the_end(case):
    layer, x = case
    found = jax.jit(Bidirectional.__call__)(layer, x)
    assert found.shape == (5, 6)
    cells = [jax.tree.map(lambda leaf, i=i: leaf[i], layer.both) for i in (0, 1)]
    np.testing.assert_allclose(found[:, :3], along(cells[0], x), rtol=1e-10)
    np.testing.assert_allclose(found[::-1, 3:], along(cells[1], x[::-1]), rtol=1e-10)
