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
from assim.model import AbstractGridded, AbstractModel
from assim.models import (
    DMD,
    FNO,
    AlmostLinearRNN,
    FieldClimatology,
    FieldPersistence,
    SemilinearOperator,
    ShallowPLRNN,
)
from assim.problem import Problem, pose
from assim.series import Layout, Series, cut, origins_with_truth
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractField,
    AbstractForecaster,
    AbstractNamed,
    AbstractPredictive,
    AbstractStateSpace,
    Context,
    Span,
    regular_spans,
    simulate,
)
from assim.systems import (
    AnnularCombustor,
    KortewegDeVries,
    KuramotoSivashinsky,
    LinearGaussian,
    Lorenz63,
    Lorenz96,
    LotkaVolterra,
    NavierStokes2D,
    OrnsteinUhlenbeck,
    Pendulum,
    Repressilator,
    RijkeTube,
    TwoScaleLorenz96,
    VanDerPol,
)
from assim.types import State
from tests.contract.members import OTHERS, autoregression, record_for
from tests.learned_fields import grid, stretch

STEPS, DRAWS = 6, 3
KEY = jax.random.key(7)


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


def of_system(system: AbstractStateSpace, channels: int, dt: float) -> Entry:
    """A system whose parameters differ a little between draws."""

    def draw(key: jax.Array) -> AbstractStateSpace:
        share = 1 + 0.05 * jax.random.normal(key)
        return jax.tree.map(lambda leaf: leaf * share, system)

    return Entry(draw, nothing_of(channels), regular_spans(dt, STEPS), None, channels)


def nothing_of(channels: int) -> Context:
    none = jnp.zeros((1, 0))
    return Context(jnp.zeros((1, channels)), jnp.ones((1, channels), bool), none, none)


def of_fields(model: AbstractGridded) -> Entry:
    """Fields under draws of a model of them, of which some were counted."""
    layout = Layout(("u",), ("real",), (True,), (), 0, 10.0, grid(16))
    parts = stretch(3.0 + 2.0 * jax.random.normal(KEY, (20, 16)))
    problem = Problem(model, model.counted(parts, layout), parts, layout)
    return Entry(
        lambda key: problem.bind(prior_draw(problem, key)),
        nothing_of(16),
        regular_spans(10.0, STEPS),
        None,
        16,
    )


SEEN_THROUGH_A_MATRIX = LinearGaussian(
    drift=jnp.array([[0.0, 1.0], [-1.0, -0.2]]),
    diffusion=jnp.array([[0.0], [0.5]]),
    observing=jnp.array([[2.0, 1.0]]),
    error=jnp.array([[0.3]]),
    mean=jnp.array([1.0, 0.0]),
    root=jnp.eye(2),
)
RECURRENT = {"window": 12, "controls": ("lamp",)}
ENTRIES = {
    "stepped": lambda: of_model(autoregression("linear", "iterated", "fixed")),
    "stepped-network": lambda: of_model(autoregression("network", "iterated", "student")),
    "direct-network": lambda: of_model(autoregression("network", "direct", "normal")),
    **{name: lambda model=model: of_model(model) for name, model in OTHERS.items()},
    "shallow-network": lambda: of_model(ShallowPLRNN(hidden=4, **RECURRENT)),
    "almost-linear-network": lambda: of_model(AlmostLinearRNN(5, 2, **RECURRENT)),
    "learned-fields": lambda: of_fields(SemilinearOperator(modes=4, width=4, error=0.5)),
    "still-fields": lambda: of_fields(FieldPersistence(error=0.5)),
    "drawn-fields": lambda: of_fields(FieldClimatology(error=0.5)),
    "modal-fields": lambda: of_fields(DMD(rank=3, error=0.5)),
    "network-fields": lambda: of_fields(FNO(modes=4, width=4, layers=1, error=0.5)),
    "van-der-pol": lambda: of_system(VanDerPol(longest=1e-3), 1, 1e-3),
    "lorenz-63": lambda: of_system(Lorenz63(noise=0.5), 3, 0.05),
    "lorenz-96": lambda: of_system(Lorenz96(6, noise=0.5), 6, 0.05),
    "lorenz-96-two-scale": lambda: of_system(TwoScaleLorenz96(4, 3, noise=0.5), 4, 0.01),
    "kuramoto-sivashinsky": lambda: of_system(KuramotoSivashinsky(16, 22.0, noise=0.1), 16, 0.5),
    "korteweg-de-vries": lambda: of_system(KortewegDeVries(16, noise=0.1, substeps=4), 16, 0.01),
    "navier-stokes": lambda: of_system(NavierStokes2D(8, noise=0.1, substeps=2), 64, 0.1),
    "ornstein-uhlenbeck": lambda: of_system(OrnsteinUhlenbeck(*jnp.ones((4, 3))), 3, 0.5),
    "linear-gaussian": lambda: of_system(SEEN_THROUGH_A_MATRIX, 1, 0.5),
    "lotka-volterra": lambda: of_system(LotkaVolterra(substeps=5), 2, 0.1),
    "repressilator": lambda: of_system(Repressilator(substeps=5), 3, 0.1),
    "pendulum": lambda: of_system(Pendulum(noise=0.1, substeps=2), 2, 0.1),
    "rijke-tube": lambda: of_system(RijkeTube(noise=9.0, error=1.0, modes=3, line=4), 6, 1e-3),
    "annular-combustor": lambda: of_system(AnnularCombustor(noise=9.0, error=1.0), 4, 2e-4),
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
    keys = {"moved": k_move, "again": k_move, "other": k_other}
    steps = jax.lax.map(
        lambda k: ssm.transition(x, first, u, key=k), jnp.stack(list(keys.values()))
    )
    told = {name: jax.tree.map(lambda leaf, i=i: leaf[i], steps) for i, name in enumerate(keys)}
    moved = told["moved"]
    seen = ssm.observation(moved, first, u=u)
    wide = ssm.observation(moved, first, u=u, sd=jnp.full(entry.channels, 0.3))
    assert isinstance(seen, Distribution)
    assert (seen.batch_shape, seen.event_shape) == ((entry.channels,), ())
    y = seen.sample(k_start)
    told |= {
        "x": x,
        "y": y,
        "log_prob": seen.log_prob(y),
        "widened": wide.variance - seen.variance,
    }
    told["whole"] = simulate(ssm, x, entry.spans, entry.inputs, key=k_path)

    def half(x: State, at: tuple) -> tuple[State, tuple]:
        number, spans, inputs = at
        path = simulate(ssm, x, spans, inputs, key=k_path, first_step=number * STEPS // 2)
        return jax.tree.map(lambda leaf: leaf[-1], path[0]), path

    halves = jax.tree.map(
        lambda leaf: leaf.reshape(2, STEPS // 2, *leaf.shape[1:]), (entry.spans, entry.inputs)
    )
    told["halves"] = jax.lax.scan(half, x, (jnp.arange(2), *halves))[1]
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
    if isinstance(ssm, AbstractField):
        told["places"], told["sensors"] = ssm.places(), ssm.sensors()
        told["seen"] = seen.mean
        told["there"] = ssm.observation(moved, first, told["sensors"]).mean
    return told


HEAVY = {
    *("stepped-network", "lorenz-96-two-scale", "korteweg-de-vries", "navier-stokes"),
    *("seasonal", "climatology", "var", "stepped", "network-fields", "modal-fields"),
    *("lorenz-63", "lotka-volterra", "ornstein-uhlenbeck", "annular-combustor"),
    *("shallow-network", "almost-linear-network"),
}
"""They compile longest, or differ little from others, and have tests of their own."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in ENTRIES
    ],
)
def entry(request):
    return ENTRIES[request.param]()


@pytest.fixture(scope="module")
def batch(entry):
    """Many draws of the state space."""
    return eqx.filter_jit(eqx.filter_vmap(entry.draw))(jax.random.split(KEY, DRAWS))


@pytest.fixture(scope="module")
def alone(batch):
    """The first of them."""
    return jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, batch)


@pytest.fixture(scope="module")
def told(entry, alone, batch):
    """What one draw and what many draws under vmap say."""
    one = exercise(entry, alone, KEY)
    many = eqx.filter_vmap(lambda ssm: exercise(entry, ssm, KEY))(batch)
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
    joined = jax.tree.map(lambda leaf: leaf.reshape(STEPS, *leaf.shape[2:]), one["halves"])
    assert eqx.tree_equal(one["whole"], joined)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(joined))


def test_what_it_can_do_beyond_is_finite(told):
    one, _ = told
    for name in {"ahead", "path", "flow", "noise"} & set(one):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one[name])), name


def test_names_are_as_many_as_what_they_name(entry, alone, batch, told):
    if not isinstance(alone, AbstractNamed):
        pytest.skip("a learned family takes its names from the file")
    one, _ = told
    field = isinstance(alone, AbstractField)
    sizes = {"components": one["x"].shape[0], "channels": entry.channels}
    for what, size in sizes.items():
        names = getattr(alone, what)()
        assert len(names) == len(set(names)) == (1 if field else size)
        assert all(name.isidentifier() and not name.endswith("_sd") for name in names)
        assert getattr(batch, what)() == names


def test_a_field_lies_at_places_and_is_read_at_sensors(entry, told):
    one, _ = told
    if "places" not in one:
        pytest.skip("its state lies nowhere")
    assert one["places"].shape[0] == one["x"].shape[0]
    assert one["sensors"].shape == (entry.channels, one["places"].shape[1])
    np.testing.assert_allclose(one["there"], one["seen"], rtol=1e-5, atol=1e-6)


def test_many_draws_are_as_many_models(told):
    one, many = told
    for alone, beside in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        assert beside.shape == (DRAWS, *alone.shape)
        assert beside.dtype == alone.dtype
        np.testing.assert_allclose(beside[0], alone, rtol=2e-4, atol=1e-5)
