"""The perceptron, its tangent and its prior."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from assim.nn.linearised import linearised
from assim.nn.mlp import Linear, Perceptron
from assim.nn.priors import network_prior


def built(hidden=(5, 4)):
    return Perceptron.build(3, 2, hidden, key=jax.random.key(0))


@pytest.mark.usefixtures("x64")
def test_the_network_is_its_formula():
    net, x = built(), np.array([0.3, -1.0, 2.0])
    h = np.tanh(net.layers[0].weight @ x + net.layers[0].bias)
    h = np.tanh(net.layers[1].weight @ h + net.layers[1].bias)
    told = net.skip.weight @ x + net.skip.bias + net.head.weight @ h + net.head.bias
    np.testing.assert_allclose(net(jnp.array(x)), told, rtol=1e-12)


def test_without_hidden_layers_it_is_a_line():
    net = built(())
    assert net.head is None
    x, y = jnp.array([1.0, 2, 3]), jnp.array([0.0, -1, 5])
    np.testing.assert_allclose(net(x + y) - net(y), net(x) - net(0 * x), atol=1e-5)


def test_weights_have_variance_one_over_fan_in(key):
    line = Linear.build(400, 50, key=key)
    assert float(line.weight.var()) * 400 == pytest.approx(1, abs=0.05)
    assert (line.bias == 0).all()
    assert Linear.build(0, 2, key=key)(jnp.zeros(0)).shape == (2,)


def test_layers_have_weights_of_their_own():
    net = Perceptron.build(4, 4, (4, 4), key=jax.random.key(0))
    mats = [net.skip.weight, net.head.weight, *(layer.weight for layer in net.layers)]
    assert len({np.asarray(m).tobytes() for m in mats}) == 4


@pytest.mark.usefixtures("x64")
def test_the_tangent_is_the_first_difference(key):
    centre, x = built(), jnp.array([0.3, -1.0, 2.0])
    k1, k2 = jax.random.split(key)
    step = jax.tree.map(lambda w: jax.random.normal(k1, w.shape), centre)

    def error(size):
        at = jax.tree.map(lambda w, d: w + size * d, centre, step)
        return jnp.abs(at(x) - linearised(centre, at)(x)).max()

    assert error(0.0) == 0
    assert np.log10(error(1e-2) / error(1e-3)) == pytest.approx(2, abs=0.1)


@pytest.mark.usefixtures("x64")
def test_the_tangent_is_linear_in_the_weights(key):
    centre, x = built(), jnp.array([0.3, -1.0, 2.0])
    step = jax.tree.map(lambda w: jax.random.normal(key, w.shape), centre)
    one, two = (
        linearised(centre, jax.tree.map(lambda w, d, s=size: w + s * d, centre, step))(x)
        for size in (1.0, 2.0)
    )
    np.testing.assert_allclose(two - one, one - centre(x), rtol=1e-10)


@pytest.mark.usefixtures("x64")
def test_a_line_is_its_own_tangent(key):
    centre = built(())
    at = jax.tree.map(lambda w: w + jax.random.normal(key, w.shape), centre)
    x = jnp.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(linearised(centre, at)(x), at(x), rtol=1e-12)


def test_a_tangent_maps_over_draws(key):
    centre = built()
    draws = jax.tree.map(lambda w: w + jax.random.normal(key, (7, *w.shape)), centre)
    told = jax.jit(jax.vmap(lambda at: linearised(centre, at)(jnp.ones(3))))(draws)
    assert told.shape == (7, 2)


def sampled(scales=None, width=200):
    def build(key):
        return Perceptron.build(width, 3, (width,), key=key)

    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        net = network_prior("net", build, scales)
    return net, trace


def test_every_leaf_is_a_named_site():
    net, trace = sampled()
    parts = ("skip", "layers.0", "head")
    assert set(trace) == {f"net.{p}.{leaf}" for p in parts for leaf in ("weight", "bias")}
    np.testing.assert_array_equal(net.layers[0].weight, trace["net.layers.0.weight"]["value"])
    assert isinstance(net, Perceptron)
    assert not [name for name in trace if "/" in name]


def test_priors_have_variance_one_over_fan_in():
    net, trace = sampled()
    assert float(net.layers[0].weight.var()) * 200 == pytest.approx(1, abs=0.05)
    assert float(net.layers[0].bias.var()) == pytest.approx(1, abs=0.4)
    for name, site in trace.items():
        assert site["fn"].event_shape == site["value"].shape, name
    fan_in = trace["net.head.weight"]["fn"].variance
    np.testing.assert_allclose(fan_in, 1 / 200, rtol=1e-5)


@pytest.mark.parametrize("width", [256])
def test_outputs_are_of_order_one_at_any_width(width, key):
    """Straight line, read-out and two biases: a variance of 1 + at most 1 + 2."""
    with handlers.block(), handlers.seed(rng_seed=key):
        net = network_prior("n", lambda k: Perceptron.build(8, 1000, (width, width), key=k))
    assert 1.3 < float(net(jnp.ones(8)).std()) < 2.1


def test_scales_act_on_the_sites_that_start_with_their_name():
    _, trace = sampled({"head": 10.0, "": 2.0})
    np.testing.assert_allclose(trace["net.head.bias"]["fn"].variance, 100)
    np.testing.assert_allclose(trace["net.skip.bias"]["fn"].variance, 4)


def test_what_is_not_an_array_is_left_alone():
    class Scaled(eqx.Module):
        line: Linear
        name: str = eqx.field(static=True)
        factor: float = 3.0

    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        made = network_prior("s", lambda k: Scaled(Linear.build(2, 2, key=k), "a"))
    assert (made.name, made.factor) == ("a", 3.0)
    assert set(trace) == {"s.line.weight", "s.line.bias"}
