"""A record cut in two gives what the whole gives, to the last bit, whatever the filter."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim import filters
from assim.filters import base
from assim.filters.base import Dynamics, run
from assim.systems.lorenz96 import Lorenz96

ROOT = np.eye(4)
EVERY = {
    "Kalman": filters.Kalman(),
    "ExtendedKalman": filters.ExtendedKalman(1.1),
    "EnKF": filters.EnKF(6, 1.1),
    "ETKF": filters.ETKF(6, 1.1, rotate=True),
    "DEnKF": filters.DEnKF(6, 1.1),
    "EnKFN": filters.EnKFN(6, rotate=True),
    "LETKF": filters.LETKF(5, 1.0, filters.Straight((4.0,)), 1.1, rotate=True),
    "IEnKS": filters.IEnKS(6, 2, 2, 1.1, True),
    "Particle": filters.Particle(20, jitter=0.5),
    "GuidedParticle": filters.GuidedParticle(20),
    "ThreeDVar": filters.ThreeDVar(ROOT, iterations=2),
    "FourDVar": filters.FourDVar(ROOT, lag=2, iterations=2),
    "WeakFourDVar": filters.WeakFourDVar(ROOT, lag=2, iterations=2),
    "Gated": filters.Gated(filters.Kalman(), 1.0, 2),
    "Tolerant": filters.Tolerant(filters.Kalman()),
    "Partial": filters.Partial(filters.EnKF(6), np.arange(4) > 1),
}


def setting(name, coupled):
    """A model and a record of six cycles, one of them blind: Lorenz for what is local, else linear and Gaussian."""
    cycles = jax.tree.map(lambda leaf: leaf[3:9], coupled.cycles)
    if name == "LETKF":
        dynamics = Dynamics(Lorenz96(size=4, noise=0.5), where=jnp.array([[0.5], [1.0], [3.2]]))
        return dynamics, replace(cycles, span=replace(cycles.span, dt=0.1 * cycles.span.dt))
    return coupled.dynamics, cycles


QUICK = {"ETKF", "Partial"}
"""The others wait for the night: the verb cuts every filter, bit for bit as here."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in EVERY],
)
def test_a_record_cut_in_two_is_the_whole(name, coupled, key):
    chosen, (dynamics, cycles) = EVERY[name], setting(name, coupled)
    k_start, k_run = jax.random.split(key)
    start = chosen.start(dynamics, dynamics.ssm.init(), key=k_start)
    carry = eqx.filter_jit(run)
    begun = base.opened(chosen, start, cycles)
    whole, told = carry(chosen, dynamics, begun, cycles, key=k_run, first_step=jnp.asarray(0))
    belief, kept = begun, []
    for at in (0, 3):
        part = jax.tree.map(lambda leaf, at=at: leaf[at : at + 3], cycles)
        belief, half = carry(chosen, dynamics, belief, part, key=k_run, first_step=jnp.asarray(at))
        kept.append(half)
    joined = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *kept)
    assert eqx.tree_equal(belief, whole) and eqx.tree_equal(joined, told)
    assert not eqx.tree_equal(belief, begun)


def test_every_filter_is_cut():
    """But the observer, whose models are cut in its own tests."""
    known = {n for n in filters.__all__ if isinstance(getattr(filters, n), type)}
    known = {n for n in known if issubclass(getattr(filters, n), base.AbstractFilter)}
    assert known - set(EVERY) <= {"Observer"}
