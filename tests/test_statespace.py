"""Simulated paths: their law, and their cut in two."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.statespace import AbstractStateSpace, Context, Span, regular_spans, simulate


class Walk(AbstractStateSpace):
    """x' = a x + b u + q sqrt(dt) noise, y = x + r noise."""

    a: float = 0.9
    b: float = 2.0
    q: float = 0.5
    r: float = 0.1

    def init(self, context, *, key):
        return dist.Delta(context.y[-1], event_dim=1)

    def transition(self, x, span, u=None, *, key):
        drive = 0.0 if u is None else self.b * u.sum()
        return self.a * x + drive + self.q * jnp.sqrt(span.dt) * jax.random.normal(key, x.shape)

    def observation(self, x, span, where=None, sd=None, u=None):
        return dist.Normal(x, self.r)


def is_none(leaf):
    return leaf is None


def test_regular_spans_are_equal_and_without_phase():
    spans = regular_spans(600.0, 5)
    assert spans.dt.shape == (5,)
    assert (spans.dt == 600).all()
    assert spans.phase.shape == (5, 0)


@pytest.mark.parametrize("cut", [1, 7, 19])
def test_a_path_cut_in_two_is_the_whole(key, cut):
    spans, inputs = regular_spans(1.0, 20), jnp.arange(20.0)[:, None]
    x, y = simulate(Walk(), jnp.zeros(3), spans, inputs, key=key)
    assert x.shape == y.shape == (20, 3)
    head, tail = (jax.tree.map(lambda v, s=s: v[s], spans) for s in (slice(cut), slice(cut, None)))
    x1, y1 = simulate(Walk(), jnp.zeros(3), head, inputs[:cut], key=key)
    x2, y2 = simulate(Walk(), x1[-1], tail, inputs[cut:], key=key, first_step=cut)
    np.testing.assert_array_equal(x, jnp.concatenate([x1, x2]))
    np.testing.assert_array_equal(y, jnp.concatenate([y1, y2]))


def test_a_path_in_traced_chunks_is_the_whole(key):
    spans = regular_spans(1.0, 20)
    whole, _ = simulate(Walk(), jnp.zeros(2), spans, key=key)
    half = regular_spans(1.0, 10)

    def chunk(x, number):
        path, _ = simulate(Walk(), x, half, key=key, first_step=10 * number)
        return path[-1], path

    _, paths = jax.lax.scan(chunk, jnp.zeros(2), jnp.arange(2))
    np.testing.assert_array_equal(whole, paths.reshape(20, 2))


def test_moments_are_those_of_the_linear_recursion(key):
    count, walk = 20_000, Walk()
    spans, inputs = regular_spans(4.0, 6), jnp.ones((6, 1))
    x, y = simulate(walk, jnp.zeros(count), spans, inputs, key=key)
    mean = walk.b * (1 - walk.a**6) / (1 - walk.a)
    var = walk.q**2 * 4 * (1 - walk.a**12) / (1 - walk.a**2)
    assert float(x[-1].mean()) == pytest.approx(mean, abs=4 * (var / count) ** 0.5)
    assert float(x[-1].var()) == pytest.approx(var, rel=0.04)
    assert float((y - x).std()) == pytest.approx(walk.r, rel=0.02)


def test_inputs_hold_at_the_end_of_their_span(key):
    still = Walk(a=1.0, b=1.0, q=0.0)
    x, _ = simulate(still, jnp.zeros(1), regular_spans(1.0, 3), jnp.eye(3)[:, :1], key=key)
    np.testing.assert_array_equal(x[:, 0], [1, 1, 1])


def test_a_model_is_a_pytree_and_maps_over_draws(key):
    draws = eqx.tree_at(lambda w: w.a, Walk(), jnp.array([0.0, 1.0]))
    axes = eqx.tree_at(lambda w: w.a, jax.tree.map(lambda _: None, Walk()), 0, is_leaf=is_none)

    def path(walk):
        return simulate(walk, jnp.ones(1), regular_spans(1.0, 4), key=key)[0]

    paths = jax.vmap(path, in_axes=(axes,))(draws)
    assert paths.shape == (2, 4, 1)
    assert not np.allclose(paths[0], paths[1])


def test_a_start_takes_the_newest_row():
    rows = jnp.arange(6.0).reshape(3, 2)
    context = Context(rows, jnp.ones((3, 2), bool), jnp.zeros((3, 2)), jnp.zeros((3, 0)))
    start = Walk().init(context, key=jax.random.key(0))
    np.testing.assert_array_equal(start.v, [4, 5])


def test_spans_of_any_length_are_taken(key):
    spans = Span(jnp.array([1.0, 100.0]), jnp.zeros((2, 0)))
    x, _ = simulate(Walk(a=0.0), jnp.zeros(20_000), spans, key=key)
    assert float(x[1].std() / x[0].std()) == pytest.approx(10, rel=0.03)


class Sighted(AbstractStateSpace):
    """x' = x + dt, y = x + where + sd noise."""

    def init(self, context, *, key):
        return dist.Delta(jnp.zeros(1), event_dim=1)

    def transition(self, x, span, u=None, *, key):
        return x + span.dt

    def observation(self, x, span, where=None, sd=None, u=None):
        at = jnp.zeros(2) if where is None else where[:, 0]
        return dist.Normal(x + at, jnp.zeros(2) if sd is None else sd)


def test_sensors_are_where_they_are_at_the_end_of_each_span(key):
    spans, where = regular_spans(1.0, 4), 10.0 * jnp.arange(8.0).reshape(4, 2, 1)
    x, y = simulate(Sighted(), jnp.zeros(1), spans, key=key, where=where)
    np.testing.assert_array_equal(y, x + where[..., 0])
    _, still = simulate(Sighted(), jnp.zeros(1), spans, key=key)
    np.testing.assert_array_equal(still, jnp.broadcast_to(x, (4, 2)))


def test_an_error_of_the_file_is_that_of_its_span_and_channel(key):
    spans, sd = (
        regular_spans(0.0, 20_000),
        jnp.tile(jnp.array([[0.0, 1.0], [2.0, 3.0]]), (10_000, 1)),
    )
    _, y = simulate(Sighted(), jnp.zeros(1), spans, key=key, sd=sd)
    spread = y.reshape(10_000, 2, 2).std(axis=0)
    np.testing.assert_allclose(spread, [[0.0, 1.0], [2.0, 3.0]], rtol=0.03)
    tail = jax.tree.map(lambda v: v[5:], spans)
    _, again = simulate(Sighted(), jnp.zeros(1), tail, key=key, sd=sd[5:], first_step=5)
    np.testing.assert_array_equal(again, y[5:])
