"""A linear-Gaussian model with irregular spans and gaps, its exact posterior, and its record."""

from dataclasses import dataclass, fields, replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy.linalg import block_diag

from assim.filters.base import Cycle, Dynamics, run
from assim.linalg import tria
from assim.statespace import AbstractAdditiveNoise, Span, regular_spans, simulate
from assim.systems.linear_gaussian import LinearGaussian
from assim.systems.ornstein_uhlenbeck import OrnsteinUhlenbeck


class Coupled(LinearGaussian, AbstractAdditiveNoise):
    """A linear stochastic differential equation, told as a flow and noise as well."""

    def flow(self, x, span, u=None):
        return self.matrices(span)[0] @ x

    def process_noise(self, x, span):
        return dist.MultivariateNormal(jnp.zeros_like(x), scale_tril=tria(self.matrices(span)[2]))


@dataclass
class Case:
    """A record and what is exactly known of it.

    Args:
        dynamics: the model.
        cycles: the record, stacked.
        filtered: mean (time, state) and covariance (time, state, state) given the readings so far.
        smoothed: the same given all.
        log_density: of all readings.
    """

    dynamics: Dynamics
    cycles: Cycle
    filtered: tuple[np.ndarray, np.ndarray]
    smoothed: tuple[np.ndarray, np.ndarray]
    log_density: float


def make_case(times: int = 12, state: int = 4, channels: int = 3, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    drift = rng.normal(size=(state, state)) * 0.4 - np.eye(state)
    ssm = LinearGaussian(
        drift=jnp.asarray(drift),
        diffusion=jnp.asarray(rng.normal(size=(state, state - 1)) * 0.5),
        observing=jnp.asarray(rng.normal(size=(channels, state))),
        error=jnp.diag(jnp.asarray(rng.uniform(0.3, 0.8, channels))),
        mean=jnp.asarray(rng.normal(size=state)),
        root=jnp.asarray(np.linalg.cholesky(np.cov(rng.normal(size=(state, 20))))),
    )
    dt = rng.uniform(0.1, 1.0, times)
    mask = rng.random((times, channels)) < 0.7
    mask[times // 2] = False
    sd = rng.uniform(0.0, 0.5, (times, channels))
    spans = Span(jnp.asarray(dt), jnp.zeros((times, 0)))
    y = np.where(mask, rng.normal(size=(times, channels)), 0.0)
    cycles = Cycle(spans, jnp.asarray(y), jnp.asarray(mask), jnp.asarray(sd))
    return Case(Dynamics(ssm), cycles, *dense(ssm, dt, y, mask, sd))


def dense(ssm, dt, y, mask, sd):
    """All states and readings as one Gaussian, conditioned at once."""
    times, size = len(dt), ssm.mean.shape[0]
    mean, cov = np.asarray(ssm.mean), np.asarray(ssm.root @ ssm.root.T)
    means, blocks, moves = [], [], []
    for k in range(times):
        move, _, noise = map(np.asarray, ssm.matrices(Span(jnp.asarray(dt[k]), jnp.zeros(0))))
        mean, cov = move @ mean, move @ cov @ move.T + noise @ noise.T
        means.append(mean)
        blocks.append(cov)
        moves.append(move)
    joint = np.zeros((times * size, times * size))
    for i in range(times):
        block = blocks[i]
        for j in range(i, times):
            block = block if j == i else moves[j] @ block
            joint[j * size : (j + 1) * size, i * size : (i + 1) * size] = block
            joint[i * size : (i + 1) * size, j * size : (j + 1) * size] = block.T
    prior = np.concatenate(means)
    observing = block_diag(*[np.asarray(ssm.observing)] * times)
    noise = np.concatenate([(np.asarray(ssm.error) ** 2).sum(axis=1) + s**2 for s in sd])
    read, when = mask.ravel(), np.repeat(np.arange(times), mask.shape[1])

    def given(chosen):
        h = observing[chosen]
        predicted = h @ joint @ h.T + np.diag(noise[chosen])
        gain = np.linalg.solve(predicted, h @ joint).T
        residual = y.ravel()[chosen] - h @ prior
        told = -0.5 * (
            residual @ np.linalg.solve(predicted, residual)
            + np.linalg.slogdet(2 * np.pi * predicted)[1]
        )
        return prior + gain @ residual, joint - gain @ h @ joint, told

    here = [slice(k * size, (k + 1) * size) for k in range(times)]
    so_far = [given(read & (when <= k)) for k in range(times)]
    m, c, told = given(read)
    return (
        (
            np.array([so_far[k][0][here[k]] for k in range(times)]),
            np.array([so_far[k][1][here[k], here[k]] for k in range(times)]),
        ),
        (np.array([m[s] for s in here]), np.array([c[s, s] for s in here])),
        float(told),
    )


@dataclass
class Calm:
    """A linear model without noise of its own, its prior, and a record with gaps."""

    dynamics: Dynamics
    prior: dist.Distribution
    cycles: Cycle


@pytest.fixture
def calm(x64) -> Calm:
    rng = np.random.default_rng(3)
    size, times = 3, 9
    ssm = OrnsteinUhlenbeck(
        mean=jnp.asarray(rng.normal(size=size)),
        sd=jnp.zeros(size),
        tau=jnp.asarray(rng.uniform(0.5, 4.0, size)),
        error=jnp.asarray(rng.uniform(0.3, 0.8, size)),
    )
    mask = rng.random((times, size)) < 0.7
    mask[times // 2] = False
    y = np.where(mask, rng.normal(size=(times, size)), 0.0)
    spans = Span(jnp.asarray(rng.uniform(0.1, 1.0, times)), jnp.zeros((times, 0)))
    sd = jnp.asarray(rng.uniform(0.0, 0.5, (times, size)))
    return Calm(
        Dynamics(ssm),
        dist.MultivariateNormal(jnp.zeros(size), scale_tril=jnp.eye(size) + 0.3 * jnp.tri(size)),
        Cycle(spans, jnp.asarray(y), jnp.asarray(mask), sd),
    )


def scored(chosen, ssm, step: float, times: int, key) -> float:
    """Root mean square error of the analysis over the state, its mean over time but the first tenth."""
    k_first, k_path, k_start, k_run = jax.random.split(key, 4)
    spans = regular_spans(step, times)
    x, y = jax.jit(lambda: simulate(ssm, ssm.init().sample(k_first), spans, key=k_path))()
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.zeros_like(y))
    belief = chosen.start(Dynamics(ssm), ssm.init(), key=k_start)
    _, told = eqx.filter_jit(run)(chosen, Dynamics(ssm), belief, cycles, key=k_run)
    return float(np.sqrt(((told.analysis[0] - x) ** 2).mean(axis=1))[times // 10 :].mean())


@pytest.fixture
def score():
    return scored


@pytest.fixture
def exact(x64) -> Case:
    return make_case()


@pytest.fixture
def coupled(exact) -> Case:
    """The same, its model told as a flow and noise."""
    ssm = exact.dynamics.ssm
    ssm = Coupled(**{field.name: getattr(ssm, field.name) for field in fields(ssm)})
    return replace(exact, dynamics=Dynamics(ssm))


@pytest.fixture
def k_run(key) -> jax.Array:
    return key
