"""Errors of reading that go together: every filter takes them as the exact one does, or refuses."""

from dataclasses import fields, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from assim.filters import (
    ETKF,
    LETKF,
    EnKF,
    EnKS,
    ExtendedKalman,
    FourDVar,
    GuidedParticle,
    IEnKS,
    Kalman,
    Particle,
    ThreeDVar,
    WeakFourDVar,
    smoother,
)
from assim.filters.base import Dynamics, Told, run
from assim.linalg import tria
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractCorrelated,
    regular_spans,
    simulate,
)
from assim.systems.linear_gaussian import LinearGaussian
from assim.systems.lorenz96 import Lorenz96

ROOT = np.array([[0.5, 0.0, 0.0], [0.45, 0.2, 0.0], [-0.4, 0.1, 0.3]])
"""Correlations of 0.9 and -0.8."""
SINGLE = [ExtendedKalman(), ThreeDVar(np.eye(4)), FourDVar(np.eye(4)), WeakFourDVar(np.eye(4))]
SAMPLED = [EnKF(4000), ETKF(400), GuidedParticle(2000)]
FEW = [
    EnKF(12),
    IEnKS(12, lag=2),
    pytest.param(Particle(30), marks=pytest.mark.slow),
    FourDVar(np.eye(4)),
]


class Tied(LinearGaussian, AbstractAdditiveNoise, AbstractCorrelated):
    """A linear stochastic differential equation without noise in a span, its errors of reading going together."""

    def flow(self, x, span, u=None):
        return self.matrices(span)[0] @ x

    def process_noise(self, x, span):
        return dist.MultivariateNormal(jnp.zeros_like(x), scale_tril=tria(self.matrices(span)[2]))

    def error_root(self, span, where=None):
        return self.error


class Wild(Lorenz96, AbstractCorrelated):
    def error_root(self, span, where=None):
        return jnp.eye(self.size)


def tied(exact, root=ROOT):
    ssm = exact.dynamics.ssm
    ssm = eqx.tree_at(lambda s: s.error, ssm, jnp.asarray(root))
    ssm = Tied(**{field.name: getattr(ssm, field.name) for field in fields(ssm)})
    return replace(exact, dynamics=Dynamics(ssm))


def one_cycle(chosen, case, key, at=3):
    """Mean and covariance after the readings of one cycle, of a background that all have alike."""
    cycle = jax.tree.map(lambda leaf: leaf[at], case.cycles)
    mask, sd = jnp.array([True, False, True]), jnp.zeros(3)
    cycle = eqx.tree_at(lambda c: (c.mask, c.sd), cycle, (mask, sd))
    cycles = jax.tree.map(lambda leaf: leaf[None], cycle)
    prior = dist.MultivariateNormal(jnp.ones(4), scale_tril=jnp.eye(4))
    belief = chosen.start(case.dynamics, prior, key=key)
    last, told = eqx.filter_jit(run)(chosen, case.dynamics, belief, cycles, key=key, keep=Told)
    return last, told


def moments(chosen, last):
    mean, sd = chosen.moments(last)
    return np.asarray(mean), np.asarray(sd)


@pytest.mark.parametrize("chosen", SINGLE, ids=lambda c: type(c).__name__)
def test_a_filter_of_one_state_is_the_exact_one(chosen, exact, key):
    """Of variational ones, where their covariance is that of the background."""
    case = tied(exact)
    still = eqx.tree_at(lambda s: s.diffusion, case.dynamics.ssm, jnp.zeros((4, 3)))
    static = isinstance(chosen, ThreeDVar)
    if static:
        still = eqx.tree_at(lambda s: s.drift, still, jnp.zeros((4, 4)))
    if static or isinstance(chosen, FourDVar):
        case = replace(case, dynamics=Dynamics(still))
    found, expected = (moments(f, one_cycle(f, case, key)[0]) for f in (chosen, Kalman()))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    alone = replace(case, dynamics=Dynamics(_alone(case.dynamics.ssm)))
    assert (
        np.abs(moments(Kalman(), one_cycle(Kalman(), alone, key)[0])[0] - expected[0]).max() > 0.02
    )


def _alone(ssm):
    """The same errors, each by itself."""
    return eqx.tree_at(lambda s: s.error, ssm, jnp.diag(jnp.sqrt((ssm.error**2).sum(axis=1))))


@pytest.mark.slow
@pytest.mark.parametrize("chosen", SAMPLED, ids=lambda c: type(c).__name__)
def test_many_members_are_the_exact_filter(chosen, exact, key):
    """Within five Monte-Carlo standard errors of a mean of as many members."""
    case = tied(exact)
    mean, sd = moments(Kalman(), one_cycle(Kalman(), case, key)[0])
    found, spread = moments(chosen, one_cycle(chosen, case, key)[0])
    assert (np.abs(found - mean) < 5 * sd * (2 / chosen.size) ** 0.5).all()
    np.testing.assert_allclose(spread / sd, 1, atol=5 * chosen.size**-0.5)


@pytest.mark.parametrize(
    "chosen", [Particle(20_000, 0.0), GuidedParticle(2000, 0.0)], ids=["plain", "guided"]
)
def test_the_density_of_particles_is_that_of_all_channels_together(chosen, exact, key):
    case = tied(exact)
    density = one_cycle(Kalman(), case, key)[0].log_density
    found = one_cycle(chosen, case, key)[0]
    error = np.sqrt(np.exp(2 * found.log_weight).sum() - 1 / chosen.size)
    assert abs(found.log_density - density) < 4 * error < 0.4


@pytest.mark.parametrize("chosen", FEW, ids=lambda c: type(c).__name__)
def test_errors_that_go_together_by_nothing_are_those_alone(chosen, exact, coupled, key):
    """Over a record with gaps, a diagonal root gives what variances do."""
    root = np.asarray(exact.dynamics.ssm.error)
    found, plain = (one_cycle(chosen, case, key)[0] for case in (tied(exact, root), coupled))
    assert eqx.tree_equal(found, plain, rtol=1e-9, atol=1e-11)


def test_a_smoother_takes_them_too(exact, key):
    case = tied(exact)
    cycles = jax.tree.map(lambda leaf: leaf[:3], case.cycles)
    chosen, dynamics = EnKS(30, None), case.dynamics
    belief = chosen.start(dynamics, dynamics.ssm.init(), key=key)
    found, _ = smoother.smoothed(chosen, dynamics, belief, cycles, key=key)
    filtered = ETKF(30)
    last, _ = run(filtered, dynamics, belief, cycles, key=key)
    np.testing.assert_allclose(found.members[-1], last.members, rtol=1e-8)


def test_members_with_errors_of_their_own_are_taken_at_the_mean_covariance(exact):
    case = tied(exact)
    batch = jax.vmap(lambda f: eqx.tree_at(lambda s: s.error, case.dynamics.ssm, f * ROOT))(
        jnp.array([1.0, 2.0, 3.0])
    )
    cycle = jax.tree.map(lambda leaf: leaf[0], case.cycles)
    root = Dynamics(batch, each=True).error_root(cycle)
    expected = 14 / 3 * ROOT @ ROOT.T + np.diag(np.asarray(cycle.sd) ** 2)
    np.testing.assert_allclose(root @ root.T, expected, rtol=1e-10)


def test_readings_are_drawn_together(exact, key):
    ssm, spans = tied(exact).dynamics.ssm, regular_spans(0.1, 4000)
    x, y = simulate(ssm, ssm.mean, spans, key=key, sd=0.3 * jnp.ones((4000, 3)))
    found = np.cov(np.asarray(y - x @ ssm.observing.T).T)
    expected = ROOT @ ROOT.T + 0.09 * np.eye(3)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert (np.abs(found - expected) / scale).max() < 5 / 4000**0.5


def test_a_density_is_that_of_the_channels_that_were_read(exact, key):
    case = tied(exact)
    cycle = jax.tree.map(lambda leaf: leaf[3], case.cycles)
    cycle = eqx.tree_at(lambda c: c.mask, cycle, jnp.array([True, False, True]))
    x = jax.random.normal(key, (5, 4))
    found = case.dynamics.log_density(x, cycle)
    seen = np.asarray(x @ case.dynamics.ssm.observing.T)[:, [0, 2]]
    whole = ROOT @ ROOT.T + np.diag(np.asarray(cycle.sd) ** 2)
    y, covariance = np.asarray(cycle.y)[[0, 2]], whole[np.ix_([0, 2], [0, 2])]
    expected = [stats.multivariate_normal(s, covariance).logpdf(y) for s in seen]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_local_filter_refuses_them(key):
    ssm = Wild(size=8)
    with pytest.raises(TypeError, match="the errors of Wild go together: use ETKF"):
        LETKF(5).start(Dynamics(ssm), ssm.init(), key=key)
