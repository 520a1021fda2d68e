"""Every state space: a distribution to start from, steps that a key decides, a density for each channel, paths that
can be cut in two, for one draw and for many, all under jit.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import Distribution

from assim.data.framing import Selection, frame_of
from assim.inference.density import prior_draw
from assim.model import AbstractModel, pose
from assim.series import Layout, Series, cut, origins_with_truth
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractForecaster,
    AbstractPredictive,
    AbstractStateSpace,
    Context,
    Span,
    regular_spans,
    simulate,
)
from assim.systems import VanDerPol
from tests.contract.members import OTHERS, autoregression, record_for

STEPS, FIRST, DRAWS = 6, 2, 3


class Entry(eqx.Module):
    """A state space and what it is tried on.

    Args:
        draw: the state space at one draw of its parameters.
        context: where it starts.
        spans: the steps, stacked.
        inputs: what holds at their ends, shape (time, input), or None.
        channels: number of channels.
        leads: leads that a direct forecast has.
    """

    draw: Callable[[jax.Array], AbstractStateSpace] = eqx.field(static=True)
    context: Context
    spans: Span
    inputs: jax.Array | None
    channels: int = eqx.field(static=True)
    leads: int = eqx.field(static=True, default=1)


def of_model(model: AbstractModel) -> Entry:
    """What the prior of a model returns, in the middle of a record with gaps."""
    ds, needs = record_for(model), model.needs()
    selection = Selection(needs.controls, needs.covariates, needs.calendar, needs.targets)
    frame = frame_of(ds, selection)
    layout, series = Layout.of(frame), Series.of(frame)
    pairs = jnp.asarray(origins_with_truth(series, needs.context, needs.horizon)[:50])
    problem = pose(model, series, pairs, layout, key=jax.random.key(0))
    window = cut(series, 0, 100, context=needs.context, horizon=STEPS, step=layout.step)
    return Entry(
        lambda key: problem.bind(prior_draw(problem, key)),
        window.context,
        window.spans,
        window.u,
        len(layout.channels),
        needs.horizon,
    )


def of_system(system: type[AbstractStateSpace], channels: int, dt: float, **spread: float) -> Entry:
    """A system whose named parameters differ a little between draws."""

    def draw(key: jax.Array) -> AbstractStateSpace:
        return system(**{k: v * (1 + 0.05 * jax.random.normal(key)) for k, v in spread.items()})

    none = jnp.zeros((1, 0))
    context = Context(jnp.zeros((1, channels)), jnp.ones((1, channels), bool), none, none)
    return Entry(draw, context, regular_spans(dt, STEPS), None, channels)


ENTRIES = {
    "stepped": lambda: of_model(autoregression("linear", "iterated", "fixed")),
    "stepped-network": lambda: of_model(autoregression("network", "iterated", "student")),
    "direct-network": lambda: of_model(autoregression("network", "direct", "normal")),
    **{name: lambda model=model: of_model(model) for name, model in OTHERS.items()},
    "van-der-pol": lambda: of_system(VanDerPol, 1, 1e-3, nu=5.0, kappa=4.0),
}


@eqx.filter_jit
def exercise(entry: Entry, ssm: AbstractStateSpace, key: jax.Array) -> dict:
    """All that is asked of a state space, compiled as one."""
    first = jax.tree.map(lambda leaf: leaf[0], entry.spans)
    u = None if entry.inputs is None else entry.inputs[0]
    k_start, k_move, k_other, k_path = jax.random.split(key, 4)
    start = ssm.init(entry.context, key=k_start)
    assert isinstance(start, Distribution)
    x = start.sample(k_start)
    moved = ssm.transition(x, first, u, key=k_move)
    seen = ssm.observation(moved, first, u=u)
    wide = ssm.observation(moved, first, u=u, sd=jnp.full(entry.channels, 0.3))
    assert isinstance(seen, Distribution)
    assert (seen.batch_shape, seen.event_shape) == ((entry.channels,), ())
    y = seen.sample(k_start)
    told = {
        "x": x,
        "moved": moved,
        "again": ssm.transition(x, first, u, key=k_move),
        "other": ssm.transition(x, first, u, key=k_other),
        "y": y,
        "log_prob": seen.log_prob(y),
        "widened": wide.variance - seen.variance,
    }
    parts = {"whole": (0, STEPS), "head": (0, FIRST), "tail": (FIRST, STEPS)}
    for name, (begin, end) in parts.items():
        part = jax.tree.map(lambda leaf, b=begin, e=end: leaf[b:e], entry.spans)
        inputs = None if entry.inputs is None else entry.inputs[begin:end]
        at = x
        if name == "tail":
            at = jax.tree.map(lambda leaf: leaf[-1], told["head"][0])
        told[name] = simulate(ssm, at, part, inputs, key=k_path, first_step=begin)
    if isinstance(ssm, AbstractPredictive):
        ahead = ssm.predictive(x, first, u)
        assert (ahead.batch_shape, ahead.event_shape) == ((entry.channels,), ())
        told["ahead"] = ahead.log_prob(y)
    if isinstance(ssm, AbstractForecaster):
        spans = jax.tree.map(lambda leaf: leaf[: entry.leads], entry.spans)
        plan = entry.inputs[: entry.leads]
        assert ssm.predict(x, spans, plan).batch_shape == (entry.leads, entry.channels)
        path = ssm.path(x, spans, plan, key=k_path)
        assert path.shape == (entry.leads, entry.channels)
        told["path"] = path
    if isinstance(ssm, AbstractAdditiveNoise):
        told["flow"] = ssm.flow(x, first, u)
        told["noise"] = ssm.process_noise(x, first).sample(k_move)
    return told


@pytest.fixture(scope="module", params=ENTRIES)
def entry(request):
    return ENTRIES[request.param]()


@pytest.fixture(scope="module")
def told(entry):
    """What one draw and what many draws under vmap say."""
    key = jax.random.key(7)
    batch = eqx.filter_jit(eqx.filter_vmap(entry.draw))(jax.random.split(key, DRAWS))
    alone = jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, batch)
    one = exercise(entry, alone, key)
    many = eqx.filter_vmap(lambda ssm: exercise(entry, ssm, key))(batch)
    return one, many


def test_a_step_keeps_the_state(told):
    one, _ = told
    shapes = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one[k]) for k in ("x", "moved")]
    assert shapes[0] == shapes[1]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one["moved"]))


def test_a_key_decides_a_step(told):
    one, _ = told
    assert eqx.tree_equal(one["moved"], one["again"])
    assert not eqx.tree_equal(one["moved"], one["other"])


def test_each_channel_is_seen_with_an_error(entry, told):
    one, _ = told
    assert one["y"].shape == one["log_prob"].shape == (entry.channels,)
    assert np.isfinite(one["log_prob"]).all()
    assert (one["widened"] > 0).all()


def test_two_halves_are_the_whole(told):
    one, _ = told
    whole, head, tail = (one[k] for k in ("whole", "head", "tail"))
    joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), head, tail)
    assert eqx.tree_equal(whole, joined)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(whole))


def test_what_it_can_do_beyond_is_finite(told):
    one, _ = told
    for name in {"ahead", "path", "flow", "noise"} & set(one):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one[name])), name


def test_many_draws_are_as_many_models(told):
    one, many = told
    for alone, beside in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        assert beside.shape == (DRAWS, *alone.shape)
        assert beside.dtype == alone.dtype
        np.testing.assert_allclose(beside[0], alone, rtol=2e-4, atol=1e-5)
