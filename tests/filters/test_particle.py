"""The particle filter against the exact filter, its resampling, and the bandwidth of its jitter."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.filters import Particle, particle
from assim.filters.base import Told, run
from assim.filters.weighing import systematic

MANY = 20_000


def filtered(chosen, case, key, **more):
    k_start, k_run = jax.random.split(key)
    belief = chosen.start(case.dynamics, case.dynamics.ssm.init(), key=k_start)
    return eqx.filter_jit(run)(chosen, case.dynamics, belief, case.cycles, key=k_run, **more)


def test_many_particles_are_the_exact_filter(exact, key):
    _, told = filtered(Particle(MANY), exact, key)
    mean, cov = exact.filtered
    sd = np.sqrt(np.einsum("tii->ti", cov))
    error = (told.analysis[0] - mean) / sd
    assert np.abs(error).max() < 0.15 and np.abs(error).mean() < 0.04
    np.testing.assert_allclose(told.analysis[1] / sd, 1, atol=0.12)


def test_a_time_without_readings_changes_nothing(exact, key):
    _, told = filtered(Particle(300), exact, key, keep=Told)
    blind = int(np.flatnonzero(~np.asarray(exact.cycles.mask).any(axis=1))[0])
    assert eqx.tree_equal(
        jax.tree.map(lambda leaf: leaf[blind], told.analysis),
        jax.tree.map(lambda leaf: leaf[blind], told.background),
    )


def test_each_is_drawn_as_often_as_its_weight_says(key):
    weight = jnp.array([0.5, 0.0, 0.3, 0.2 - 1e-3, 1e-3])
    chosen = systematic(jnp.tile(weight, 20) / 20, key=key)
    count = np.bincount(np.asarray(chosen), minlength=100).reshape(20, 5)
    assert (np.abs(count - 100 * np.tile(weight, (20, 1)) / 20) <= 1 + 1e-5).all()
    assert count[:, 1].sum() == 0


def test_the_score_is_the_mixture(exact, key):
    _, told = filtered(Particle(300), exact, key, keep=Told)
    at = 3
    belief = jax.tree.map(lambda leaf: leaf[at], told.background)
    cycle = jax.tree.map(lambda leaf: leaf[at], exact.cycles)
    dense = jax.nn.logsumexp(
        belief.log_weight[:, None] + exact.dynamics.log_likelihood(belief.members, cycle), axis=0
    )
    np.testing.assert_allclose(
        told.innovation.log_score[at], np.where(cycle.mask, dense, 0.0), atol=1e-10
    )


@pytest.mark.parametrize("jitter", [0.0, 1.0])
def test_copies_are_told_apart_by_the_jitter_alone(exact, key, jitter):
    _, told = filtered(Particle(40, least=1.0, jitter=jitter), exact, key, keep=Told)
    distinct = len(np.unique(np.asarray(told.analysis.members[0]), axis=0))
    assert (distinct == 40) == (jitter > 0)


@pytest.mark.parametrize(("state", "factor"), [(1, 1.0592 * 50**-0.2), (2, 50 ** (-1 / 6))])
def test_the_bandwidth_is_that_of_silverman(state, factor, x64, key):
    """1.06 deviations over the fifth root of their number in one dimension, one over the sixth in two."""
    k_where, k_weight = jax.random.split(key)
    particles = (
        jax.random.normal(k_where, (50, state))
        @ jnp.asarray([[2.0, 0.0], [1.5, 0.3]])[:state, :state]
    )
    weight = jax.nn.softmax(jax.random.normal(k_weight, (50,)))
    root = particle._bandwidth(particles, weight)
    cov = np.cov(np.asarray(particles).T, aweights=np.asarray(weight), ddof=0).reshape(state, state)
    np.testing.assert_allclose(root @ root.T, factor**2 * cov, rtol=1e-4)


def test_the_jitter_is_in_bandwidths(exact, key):
    none, one, two = (
        filtered(Particle(40, least=1.0, jitter=jitter), exact, key, keep=Told)[1]
        for jitter in (0.0, 1.0, 2.0)
    )
    kicks = [told.analysis.members[0] - none.analysis.members[0] for told in (one, two)]
    np.testing.assert_allclose(kicks[1], 2.0 * kicks[0], rtol=1e-10, atol=1e-12)
    assert np.abs(kicks[0]).min() > 0.0
