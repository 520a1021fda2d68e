"""Codes of groups of features, against their formulas written out."""

import jax
import jax.numpy as jnp
import numpy as np

from assim.nn.encoded import Dense, Encoded, Gated
from assim.nn.mlp import Linear
from assim.nn.recurrent import GRU

CHANNELS, LAGS = 2, 3
LEVELS = np.array([0.3, -0.2])
CHANGE = np.array([[0.1, 0.4], [-0.3, 0.2]])  # newest first
FLAGS = np.array([[0, 1], [1, 0], [0, 0]], float)
AGES = np.array([0.0, 1 / 3])
FEATURES = jnp.asarray(np.concatenate([LEVELS, CHANGE.ravel(), FLAGS.ravel(), AGES]))


def test_a_gated_code_reads_rows_from_the_oldest(key):
    unit = GRU.build(2 * CHANNELS, 4, key=key)
    code = Gated(unit, CHANNELS, CHANNELS)(FEATURES)
    state = jnp.zeros(4)
    for change, flags in zip([[0.0, 0.0], CHANGE[1], CHANGE[0]], FLAGS[::-1], strict=True):
        state = unit(jnp.asarray(np.concatenate([change, flags])), state)
    np.testing.assert_allclose(code, np.concatenate([state, LEVELS, AGES]), atol=1e-6)


def test_an_encoded_network_is_that_of_the_formula(key):
    rest = jnp.array([0.5])
    x = jnp.concatenate([FEATURES, rest])
    builders = (lambda k: Dense(Linear.build(FEATURES.size, 3, key=k)),)
    net = Encoded.build(x.size, 2, (5,), builders, (FEATURES.size,), key=key)
    first = net.encoders[0].layer
    code = jnp.concatenate([jnp.tanh(first.weight @ FEATURES + first.bias), rest])
    hidden = jnp.tanh(net.layers[0].weight @ code + net.layers[0].bias)
    expected = net.skip.weight @ x + net.head.weight @ hidden + net.skip.bias + net.head.bias
    np.testing.assert_allclose(net(x), expected, atol=1e-6)
    assert jax.tree.leaves(net)[0].dtype == x.dtype
