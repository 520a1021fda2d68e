"""Missing readings are dropped exactly: a channel that is never read might as well not be there."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import LETKF, ExtendedKalman, Kalman, Particle, Straight
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.statespace import regular_spans, simulate
from assim.systems.lorenz96 import Lorenz96

RING = Lorenz96(size=8, noise=0.5)
LOCAL = LETKF(5, 1.0, Straight((8.0,)), 1.3, rotate=True)
LINEAR = [
    Kalman(),
    pytest.param(ExtendedKalman(), marks=pytest.mark.slow),
    Particle(30, least=1.0),
]
ON_A_RING = [
    LOCAL,
    *(pytest.param(f, marks=pytest.mark.slow) for f in (ExtendedKalman(), Particle(30, least=1.0))),
]


def named(filters):
    return pytest.mark.parametrize("chosen", filters, ids=lambda f: type(f).__name__)


def read_at(where, cycles, key, chosen):
    """Lorenz, read at places on the ring."""
    dynamics = Dynamics(RING, where=where)
    belief = chosen.start(dynamics, RING.init(), key=key)
    return eqx.filter_jit(run)(chosen, dynamics, belief, cycles, key=key, keep=Told)[1]


def ring(key):
    """Eight sensors: two of them never read, one cycle without any reading."""
    k_path, k_mask = jax.random.split(key)
    where, spans = jnp.arange(8.0)[:, None] + 0.25, regular_spans(0.05, 6)
    _, y = simulate(RING, RING.init().sample(key), spans, key=k_path)
    mask = jax.random.bernoulli(k_mask, 0.7, y.shape)
    mask = mask.at[:, jnp.array([1, 6])].set(False).at[3].set(False)
    return where, Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.full_like(y, 0.2))


def without(cycles, kept):
    """The record of some channels alone."""
    return replace(cycles, y=cycles.y[:, kept], mask=cycles.mask[:, kept], sd=cycles.sd[:, kept])


def told_wild(cycles):
    """The same record, its gaps filled with what is no reading."""
    return replace(cycles, y=jnp.where(cycles.mask, cycles.y, 1e6))


def same(chosen, whole, few, kept):
    """Beliefs to the rounding of other sums; innovations of the channels that both have."""
    for stage in ("background", "analysis"):
        one, other = (jax.vmap(chosen.moments)(getattr(told, stage)) for told in (whole, few))
        np.testing.assert_allclose(one[0], other[0], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(whole.innovation.sd[:, kept], few.innovation.sd, rtol=1e-10)
    for name in ("residual", "log_score"):
        one, other = getattr(whole.innovation, name), getattr(few.innovation, name)
        np.testing.assert_allclose(one[:, kept], other, rtol=1e-10, atol=1e-11)
        lost = np.delete(np.asarray(one), kept, axis=1)
        np.testing.assert_array_equal(lost, np.zeros_like(lost))


@named(ON_A_RING)
def test_sensors_that_are_never_read_are_as_if_they_were_not_there(chosen, x64, key):
    where, cycles = ring(key)
    kept = np.array([0, 2, 3, 4, 5, 7])
    whole = read_at(where, told_wild(cycles), key, chosen)
    few = read_at(where[kept], without(cycles, kept), key, chosen)
    same(chosen, whole, few, kept)


@named(LINEAR)
def test_channels_that_are_never_read_are_as_if_the_model_had_none(chosen, coupled, key):
    """Errors go together: of those that are read, as they would without the others."""
    kept = np.array([0, 2])
    cycles = jax.tree.map(lambda leaf: leaf[:8], coupled.cycles)
    cycles = replace(cycles, mask=cycles.mask.at[:, 1].set(False))
    ssm = coupled.dynamics.ssm
    ssm = replace(ssm, error=ssm.error + 0.3 * jnp.tri(3, k=-1))
    error = jnp.linalg.cholesky((ssm.error @ ssm.error.T)[np.ix_(kept, kept)])
    smaller = replace(ssm, observing=ssm.observing[kept], error=error)
    told = []
    for model, record in ((ssm, told_wild(cycles)), (smaller, without(cycles, kept))):
        belief = chosen.start(Dynamics(model), model.init(), key=key)
        told.append(
            eqx.filter_jit(run)(chosen, Dynamics(model), belief, record, key=key, keep=Told)[1]
        )
    same(chosen, *told, kept)
    after, before = (jax.vmap(chosen.moments)(s)[0] for s in (told[0].analysis, told[0].background))
    assert np.abs(after - before).max() > 1e-3


@named([LOCAL, ExtendedKalman()])
def test_a_time_without_readings_changes_nothing(chosen, x64, key):
    """To the last digit; every other time does change what is believed."""
    where, cycles = ring(key)
    told = read_at(where, told_wild(cycles), key, chosen)
    after, before = (told.analysis, told.background)
    for name in ("mean", "root") if isinstance(chosen, ExtendedKalman) else ("members",):
        one, other = getattr(after, name), getattr(before, name)
        untouched = np.asarray(one == other).reshape(6, -1).all(axis=1)
        np.testing.assert_array_equal(untouched, np.arange(6) == 3)
    blind = jax.tree.map(lambda leaf: leaf[3], told.innovation)
    assert not blind.residual.any() and not blind.log_score.any()
