"""Locality: tapers, distances, an infinite radius, sensors that move, a model without places."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import ETKF, LETKF, GreatCircle, Multiplicative, Straight
from assim.filters.base import Cycle, Dynamics, run
from assim.filters.localization import taper
from assim.statespace import regular_spans, simulate
from assim.systems.lorenz63 import SAKOV2012
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP

RING = Straight((40.0,))


def record(key, times=30, **more):
    spans = regular_spans(SAKOV2008_STEP, times)
    k_start, k_path = jax.random.split(key)
    x, y = simulate(SAKOV2008, SAKOV2008.init().sample(k_start), spans, key=k_path)
    mask = jax.random.bernoulli(k_start, 0.7, y.shape)
    return x, Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.zeros_like(y), **more)


def filtered(chosen, cycles, key):
    dynamics = Dynamics(SAKOV2008)
    belief = chosen.start(dynamics, SAKOV2008.init(), key=key)
    return eqx.filter_jit(run)(chosen, dynamics, belief, cycles, key=key)[1]


@pytest.mark.parametrize("rotate", [False, True])
def test_with_an_infinite_radius_it_is_the_etkf(x64, key, rotate):
    _, cycles = record(key)
    local = filtered(LETKF(12, jnp.inf, RING, rotate=rotate), cycles, key)
    whole = filtered(ETKF(12, rotate=rotate), cycles, key)
    if not rotate:  # the keys of rotations differ
        np.testing.assert_allclose(local.analysis[0], whole.analysis[0], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(local.analysis[1][0], whole.analysis[1][0], rtol=1e-6, atol=1e-8)


def test_sensors_that_are_said_to_stay_are_as_those_that_stay(x64, key):
    _, cycles = record(key)
    where = jnp.broadcast_to(SAKOV2008.places(), (30, 40, 1))
    chosen = LETKF(7, 2.0, RING, Multiplicative(1.04))
    stay = filtered(chosen, cycles, key)
    moved = filtered(
        chosen, eqx.tree_at(lambda c: c.where, cycles, where, is_leaf=lambda x: x is None), key
    )
    np.testing.assert_allclose(moved.analysis[0], stay.analysis[0], rtol=1e-8, atol=1e-10)


def test_a_far_reading_moves_nothing(x64, key):
    dynamics, chosen = Dynamics(SAKOV2008), LETKF(7, 1.0, RING)
    belief = chosen.start(dynamics, SAKOV2008.init(), key=key)
    mask = jnp.arange(40) == 20
    cycle = Cycle(
        jax.tree.map(lambda x: x[0], regular_spans(0.05, 1)), 5.0 * mask, mask, jnp.zeros(40)
    )
    after, _ = chosen.analysis(dynamics, belief, cycle, key=key)
    moved = np.abs(np.asarray(after.members - belief.members)).max(axis=0)
    near = np.abs(np.arange(40) - 20) < 3.64
    assert (moved[near] > 1e-6).all() and moved[~near].max() < 1e-12


def test_the_taper_is_that_of_gaspari_and_cohn():
    assert taper(jnp.array(0.0), 2.0) == 1.0
    assert float(taper(jnp.array(2.0), 2.0)) == pytest.approx(0.6336, abs=1e-4)
    z = jnp.linspace(0, 4, 400)
    rho = taper(z, 1.0)
    assert (jnp.diff(rho) <= 1e-6).all() and (rho[z > 3.64] == 0).all()
    apart = np.abs(np.subtract.outer(np.arange(30.0), np.arange(30.0)))
    assert np.linalg.eigvalsh(np.asarray(taper(apart, 3.0))).min() > -1e-5


def test_distances():
    assert float(RING(jnp.array([39.0]), jnp.array([1.0]))) == 2.0
    assert float(Straight()(jnp.array([0.0, 3.0]), jnp.array([4.0, 0.0]))) == 5.0
    mixed = Straight((10.0, jnp.inf))
    assert float(mixed(jnp.array([9.0, 0.0]), jnp.array([2.0, 4.0]))) == 5.0
    quarter = GreatCircle()(jnp.array([0.0, 0.0]), jnp.array([0.0, 90.0]))
    assert float(quarter) == pytest.approx(6371.0 * np.pi / 2, rel=1e-5)


def test_a_state_without_places_is_refused(key):
    with pytest.raises(ValueError, match="the state of Lorenz63 has none: use ETKF"):
        LETKF(7).start(Dynamics(SAKOV2012), SAKOV2012.init(), key=key)
