r"""Readings that are no linear function of the state: where each filter ends, and how near that is to the truth.

Of two places with a Gaussian background one is read by its exponential, the other by its square. By quadrature over
the state are known: the exact posterior, the best linear estimate from the moments of the readings, to which
ensembles of Kalman's kind converge, the estimate by the slope at the mean of the background, and the mode.
"""

from collections.abc import Callable
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.optimize import minimize

from assim import filters
from assim.filters.base import Cycle, Dynamics, cycled, opened
from assim.statespace import AbstractAdditiveNoise, AbstractField, Span

MEAN, ROOT = np.array([0.3, 1.5]), np.array([[0.5, 0.0], [0.2, 0.35]])
"""Of the background, whatever share of its covariance is the model's own noise."""
ERROR, SHIFT, MANY = np.array([0.5, 0.8]), 1.0, 2000
READ, EXTREME = (2.35, 3.25), (5.0, 8.0)
LIMITS = {
    "best linear": [
        filters.EnKF(MANY),
        filters.ETKF(MANY),
        filters.DEnKF(MANY),
        filters.EnKFN(800),
        filters.LETKF(MANY, 1e6),
    ],
    "slope": [filters.ExtendedKalman(), filters.ThreeDVar(ROOT, iterations=1)],
    "mode": [
        filters.IEnKS(MANY, 1, 20, bundle=1e-4),
        filters.ThreeDVar(ROOT, iterations=40),
        filters.FourDVar(ROOT, iterations=40),
        filters.WeakFourDVar(ROOT, lag=1, iterations=40),
    ],
    "exact": [filters.Particle(10 * MANY), filters.GuidedParticle(4 * MANY)],
}
SAMPLED, NEAR = 0.07, 0.5
"""What a filter may lie from its limit by sampling, and that from the exact mean: in posterior deviations."""


class Shifted(AbstractAdditiveNoise, AbstractField):
    """Two places that move by as much as time passes, and by noise."""

    share: float
    read: Callable[[jax.Array], dist.Distribution] = eqx.field(static=True)

    def init(self, context=None, *, key=None):
        return dist.MultivariateNormal(MEAN - SHIFT, scale_tril=(1.0 - self.share) ** 0.5 * ROOT)

    def flow(self, x, span, u=None):
        return x + span.dt

    def process_noise(self, x, span):
        return dist.MultivariateNormal(jnp.zeros(2), scale_tril=self.share**0.5 * ROOT)

    def observation(self, x, span, where=None, sd=None, u=None):
        return self.read(x)

    def places(self):
        return jnp.array([[0.0], [1.0]])

    def sensors(self, where=None):
        return self.places()


def bent(x):
    return dist.Normal(jnp.stack([jnp.exp(x[0]), x[1] ** 2]), ERROR)


def speckled(x):
    """No Gaussian, and no error that is the same wherever the state is: each sd is half of what is read."""
    return dist.Gamma(jnp.full(2, 4.0), 4.0 * jnp.exp(-x))


def ended(chosen, read, y, key):
    """Mean and standard deviation after one cycle; without noise where the model is taken as perfect."""
    perfect = isinstance(chosen, filters.IEnKS | filters.FourDVar)
    dynamics = Dynamics(Shifted(0.0 if perfect else 0.5, read))
    k_start, k_run = jax.random.split(key)
    cycle = Cycle(
        Span(jnp.asarray(SHIFT), jnp.zeros(0)), jnp.asarray(y), jnp.ones(2, bool), jnp.zeros(2)
    )
    belief = chosen.start(dynamics, dynamics.ssm.init(), key=k_start)
    belief = opened(chosen, belief, jax.tree.map(lambda leaf: leaf[None], cycle))
    told = eqx.filter_jit(cycled)(chosen, dynamics, belief, cycle, 0, key=k_run)
    return chosen.moments(told.analysis)


@cache
def known(read, y):
    """The exact mean and standard deviation, and by name where filters end."""
    y = np.array(y)
    ticks = np.linspace(-7.0, 7.0, 401)
    z = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    prior = np.exp(-0.5 * (z**2).sum(axis=1))
    prior, x = prior / prior.sum(), MEAN + z @ ROOT.T
    seen, variance, likely = jax.vmap(
        lambda x: (read(x).mean, read(x).variance, read(x).log_prob(y).sum())
    )(jnp.asarray(x))
    seen, weight = np.asarray(seen), prior * np.exp(likely - likely.max())
    weight /= weight.sum()
    exact = weight @ x
    sd = np.sqrt(weight @ (x - exact) ** 2)
    apart = seen - prior @ seen
    total = (prior * apart.T) @ apart + np.diag(prior @ variance)
    best = MEAN + (prior * (x - MEAN).T) @ apart @ np.linalg.solve(total, y - prior @ seen)
    h, at = np.asarray(jax.jacfwd(lambda x: read(x).mean)(jnp.asarray(MEAN))), read(MEAN)
    gain = ROOT @ ROOT.T @ h.T @ np.linalg.inv(h @ ROOT @ ROOT.T @ h.T + np.diag(at.variance))

    def cost(control):
        return 0.5 * control @ control - read(MEAN + ROOT @ control).log_prob(y).sum()

    down = minimize(jax.jit(jax.value_and_grad(cost)), np.zeros(2), jac=True, tol=1e-10)
    limits = {"exact": exact, "best linear": best, "mode": MEAN + ROOT @ down.x}
    limits |= {"slope": MEAN + gain @ (y - at.mean), "h(x) as H x": MEAN + gain @ (y - h @ MEAN)}
    return exact, sd, {name: np.asarray(limit) for name, limit in limits.items()}


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [(limit, chosen) for limit, several in LIMITS.items() for chosen in several],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_each_filter_ends_where_its_kind_does(limit, chosen, x64, key):
    """To sampling, or to the last digits where nothing is drawn; near the exact mean, too."""
    exact, sd, limits = known(bent, READ)
    mean, _ = ended(chosen, bent, READ, key)
    sampled = SAMPLED if chosen.size else 1e-6
    np.testing.assert_allclose((mean - limits[limit]) / sd, 0.0, atol=sampled)
    np.testing.assert_allclose((mean - exact) / sd, 0.0, atol=NEAR)


def test_these_ends_are_told_apart(x64):
    """So that a filter that did as another kind does would be seen, and most of all one that took h for linear."""
    exact, sd, limits = known(bent, READ)
    ends = np.array(list(limits.values())) / sd
    apart = np.abs(ends[:, None] - ends).max(axis=-1)
    assert (apart[np.triu_indices(len(ends), 1)] > 1.8 * SAMPLED).all()
    assert np.abs((limits["h(x) as H x"] - exact) / sd).min() > 3 * NEAR


@pytest.mark.parametrize(
    ("limit", "chosen"),
    [
        ("best linear", filters.ETKF(MANY)),
        ("slope", filters.ExtendedKalman()),
        ("exact", filters.Particle(10 * MANY)),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_what_is_no_gaussian_is_read_by_its_moments_or_by_its_density(limit, chosen, x64, key):
    """An ensemble takes the variance over all of what it believes: the best that is linear, whatever the errors."""
    _, sd, limits = known(speckled, EXTREME)
    mean, _ = ended(chosen, speckled, EXTREME, key)
    apart = {n: np.abs((mean - limits[n]) / sd).max() for n in ("best linear", "slope", "exact")}
    assert apart.pop(limit) < SAMPLED < 0.2 * min(apart.values())
