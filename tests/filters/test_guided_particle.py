"""The guided particle filter: the exact filter in the limit, with far less noise than the bootstrap."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from assim.filters import GuidedParticle, Kalman, Particle
from assim.filters.base import Cycle, Dynamics, Told, run
from assim.statespace import regular_spans, simulate
from assim.systems import VanDerPol
from assim.systems.lorenz63 import Lorenz63


def filtered(chosen, case, key, **more):
    k_start, k_run = jax.random.split(key)
    belief = chosen.start(case.dynamics, case.dynamics.ssm.init(), key=k_start)
    return run(chosen, case.dynamics, belief, case.cycles, key=k_run, **more)


def runs(chosen, case, count, key):
    """Log density of the record, and means and standard deviations after each cycle, of many runs."""

    def one(key):
        _, told = filtered(chosen, case, key, keep=Told)
        means = jax.vmap(chosen.moments)(told.analysis)
        return told.analysis.log_density.sum(), *means

    return jax.jit(jax.vmap(one))(jax.random.split(key, count))


@pytest.mark.slow
def test_its_estimates_are_exact_in_the_limit_and_its_noise_falls_with_the_root_of_its_size(
    coupled, key
):
    """The density of the record without bias; errors of the mean a fifth with 25 times the particles."""
    mean, covariance = coupled.filtered
    sd = np.sqrt(np.einsum("tii->ti", covariance))
    noise = []
    for size in (100, 2500):
        told, found, spread = runs(GuidedParticle(size), coupled, 40, key)
        ratio = np.exp(told - coupled.log_density)
        assert abs(ratio.mean() - 1.0) < 4.0 * ratio.std(ddof=1) / 40**0.5
        noise.append(np.sqrt((((found - mean) / sd) ** 2).mean()))
    assert 4.0 < noise[0] / noise[1] < 6.25
    np.testing.assert_allclose((spread**2).mean(axis=0) / sd**2, 1, atol=0.03)


@pytest.mark.slow
def test_it_is_less_noisy_than_the_bootstrap(coupled, key):
    precise = eqx.tree_at(lambda d: d.ssm.error, coupled.dynamics, 0.03 * jnp.eye(3))
    cycles = eqx.tree_at(lambda c: c.sd, coupled.cycles, jnp.zeros_like(coupled.cycles.sd))
    case = replace(coupled, dynamics=precise, cycles=cycles)
    _, exact = filtered(Kalman(), case, key, keep=Told)
    density = exact.analysis.log_density.sum()
    wrong = []
    for chosen in (GuidedParticle(200), Particle(200)):
        told, found, _ = runs(chosen, case, 30, key)
        apart = np.asarray(found - exact.analysis.mean)
        wrong.append((np.abs(told - density).mean(), np.sqrt((apart**2).mean())))
    assert wrong[0][0] < 0.2 * wrong[1][0] and wrong[0][1] < 0.5 * wrong[1][1]


@pytest.mark.slow
def test_the_weight_does_not_depend_on_where_a_particle_went(coupled, key):
    """Readings linear in the state: what was foreseen is all that weighs."""
    chosen = GuidedParticle(30, least=0.0)
    _, told = filtered(chosen, coupled, key, keep=Told)
    at = 3
    background = jax.tree.map(lambda leaf: leaf[at], told.background)
    cycle = jax.tree.map(lambda leaf: leaf[at], coupled.cycles)
    one, other = (
        chosen.analysis(coupled.dynamics, background, cycle, key=jax.random.key(s))[0]
        for s in (0, 1)
    )
    np.testing.assert_allclose(one.log_weight, other.log_weight, rtol=1e-9)
    assert np.abs(one.members - other.members).max() > 1e-2


@pytest.mark.slow
def test_where_readings_bend_the_density_is_that_of_the_bootstrap(x64, key):
    """The mean of many estimates, none of them biased, within four standard errors."""

    class Bent(Lorenz63):
        def observation(self, x, span, where=None, sd=None, u=None):
            seen = jnp.stack([0.1 * x[0] ** 2, 20.0 * jnp.sin(0.1 * x[2])])
            return dist.Normal(seen, 1.0)

    dynamics, spans = Dynamics(Bent(noise=2.0, substeps=5)), regular_spans(0.1, 4)
    prior = dist.Normal(dynamics.ssm.init().mean, 0.3).to_event(1)
    x, y = simulate(dynamics.ssm, prior.mean, spans, key=key)
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.zeros_like(y))

    def density(chosen, key):
        k_start, k_run = jax.random.split(key)
        belief = chosen.start(dynamics, prior, key=k_start)
        _, told = run(chosen, dynamics, belief, cycles, key=k_run, keep=Told)
        return told.analysis.log_density.sum()

    keys = jax.random.split(key, 50)
    guided, plain = (
        jax.jit(jax.vmap(lambda key, chosen=chosen: density(chosen, key)))(keys)
        for chosen in (GuidedParticle(200), Particle(4000))
    )
    top = plain.max()
    means = [np.exp(told - top).mean() for told in (guided, plain)]
    errors = [np.exp(told - top).std(ddof=1) / 50**0.5 for told in (guided, plain)]
    assert abs(means[0] - means[1]) < 4 * np.hypot(*errors)
    assert errors[0] < 0.5 * means[0] and errors[1] < 0.1 * means[1]


@pytest.mark.slow
def test_without_noise_it_is_the_bootstrap(calm, key):
    """Nothing to guide: weights are those of the readings."""
    told = []
    for chosen in (GuidedParticle(40, least=0.0), Particle(40, least=0.0)):
        belief = chosen.start(calm.dynamics, calm.prior, key=key)
        _, kept = run(chosen, calm.dynamics, belief, calm.cycles, key=key, keep=Told)
        told.append((kept.analysis.members, kept.analysis.log_weight, kept.innovation))
    for one, other in zip(*map(jax.tree.leaves, told), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_a_time_without_readings_changes_nothing(coupled, key):
    _, told = filtered(GuidedParticle(50), coupled, key, keep=Told)
    blind = int(np.flatnonzero(~np.asarray(coupled.cycles.mask).any(axis=1))[0])
    assert eqx.tree_equal(
        jax.tree.map(lambda leaf: leaf[blind], told.analysis),
        jax.tree.map(lambda leaf: leaf[blind], told.background),
    )


def test_missing_readings_are_as_if_the_sensor_were_not_there(coupled, key):
    wild = jnp.where(coupled.cycles.mask, coupled.cycles.y, 1e6)
    chosen = GuidedParticle(50)
    belief = chosen.start(coupled.dynamics, coupled.dynamics.ssm.init(), key=key)
    spoilt = eqx.tree_at(lambda c: c.y, coupled.cycles, wild)
    one, other = (
        run(chosen, coupled.dynamics, belief, cycles, key=key)[1]
        for cycles in (coupled.cycles, spoilt)
    )
    assert eqx.tree_equal(one, other)


def test_a_model_without_a_flow_is_refused(key):
    with pytest.raises(TypeError, match="GuidedParticle needs one model .* VanDerPol is not"):
        GuidedParticle(10).start(Dynamics(VanDerPol()), None, key=key)
