"""Draws as the models of an ensemble: what hangs on no draw is held once."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim import models
from assim.assimilation.augmenting import sites_of
from assim.assimilation.drawing import drawn, spread_draws
from assim.data.gridding import Grid
from assim.filters.base import Cycle
from assim.observing import NOTHING
from assim.problem import bind
from assim.series import Layout
from assim.statespace import Span

KEPT = 128


@pytest.fixture(scope="module")
def sea():
    """An operator with what was counted at its fit, members of its draws, and the models of these."""
    grid = Grid(("lat", "lon"), (-88.0, 0.0), (2.0, 2.0), (8, 12), ("", ""))
    layout = Layout(("sst",), ("real",), (True,), (), 0, 86400.0, grid)
    model = models.SemilinearOperator(
        modes=2, width=2, layers=1, features=2, substeps=1, periodic=(False, True)
    )
    places = grid.places
    constants = {
        "centre": jnp.zeros(1),
        "scale": jnp.ones(1),
        "sea": jnp.ones(places, bool),
        "states": jax.random.normal(jax.random.key(0), (KEPT, places)),
        "fixed": jnp.zeros((2, places)),
    }
    fns = sites_of(model, layout, constants)
    keys = jax.random.split(jax.random.key(1), len(fns))
    pairs = zip(fns.items(), keys, strict=True)
    sites = {name: fn.sample(k, (1, 3)) for (name, fn), k in pairs}
    members = spread_draws(sites, 3)
    made = drawn(model, layout, constants, None, members, None, None, NOTHING, keys[0])
    return model, layout, constants, members, made


def stored(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)))


def test_members_hold_the_states_of_the_record_once(sea):
    _, _, constants, members, (dynamics, first) = sea
    assert first.shape == (3, 96) and dynamics.each
    once = stored(constants)
    assert once > KEPT * 96 * 4 > 10 * stored(members)
    assert once < stored(dynamics.ssm) < once + 2 * stored(members)
    assert dynamics.ssm.states.shape == (KEPT, 96)


def test_members_with_shared_arrays_move_as_each_by_itself(sea, key):
    model, layout, constants, members, (dynamics, first) = sea
    span = Span(jnp.asarray(86400.0), jnp.zeros(0))
    read = jnp.zeros(layout.grid.places)
    cycle = Cycle(span, read, read == 0, read)
    keys = jax.random.split(key, 3)
    after = eqx.filter_jit(dynamics.moved)(first, cycle, keys=keys)
    move = eqx.filter_jit(lambda ssm, x, key: ssm.transition(x, span, key=key))
    for i in range(3):
        ssm = bind(model, {k: v[i] for k, v in members.items()}, layout, constants)
        alone = move(ssm, first[i], keys[i])
        np.testing.assert_allclose(after[i], alone, rtol=1e-4, atol=1e-4)
    one = bind(model, {k: v[0] for k, v in members.items()}, layout, constants)
    assert eqx.tree_equal(dynamics.one, one)
