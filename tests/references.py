"""Dense textbook oracles in float64 NumPy, and the small problems that they solve."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from assim.models import Autoregressive, FixedNormal
from assim.models.autoregressive.noise import AbstractNoise
from assim.problem import Problem, pose
from assim.series import Layout, Series, Stream, origins_with_truth


def make_series(
    seed: int = 0, times: int = 200, channels: int = 2, missing: float = 0.15
) -> Series:
    """Draw an autoregression of order one with gaps, one run."""
    rng = np.random.default_rng(seed)
    y = np.zeros((1, times, channels))
    for t in range(1, times):
        y[0, t] = 0.8 * y[0, t - 1] + 0.5 * rng.normal(size=channels)
    mask = rng.random(y.shape) >= missing
    dtype = jnp.zeros(0).dtype
    stream = Stream(
        tick=jnp.arange(times, dtype=jnp.int32)[None],
        frac=jnp.zeros((1, times), dtype),
        y=jnp.asarray(np.where(mask, y, 0.0), dtype),
        mask=jnp.asarray(mask),
        sd=jnp.zeros(y.shape, dtype),
    )
    return Series({"main": stream}, jnp.zeros((1, times, 0), dtype), jnp.ones((1, times), bool))


def make_problem(
    model: object, series: Series, *, key: jax.Array, rows: int | None = None
) -> Problem:
    """Pose a model on a series of real-valued channels, `rows` windows at most."""
    channels = series.main.y.shape[-1]
    names = tuple("abcdefgh"[:channels])
    layout = Layout(names, ("real",) * channels, (True,) * channels, (), 0, 600.0)
    needs = model.needs()
    pairs = jnp.asarray(origins_with_truth(series, needs.context, needs.horizon)[:rows])
    return pose(model, series, pairs, layout, key=key)


def linear_model(
    noise: AbstractNoise | None = None, hidden: tuple[int, ...] = (), lags: int = 2
) -> Autoregressive:
    """Make an autoregression with nothing random in its windows."""
    noise = FixedNormal(0.9) if noise is None else noise
    return Autoregressive(lags, hidden, noise=noise, mask_rate=0.0, calendar=())


def linear_problem(
    *, key: jax.Array, seed: int = 0, times: int = 200, rows: int | None = None
) -> Problem:
    """Pose the linear autoregression of known noise: its posterior is exact."""
    return make_problem(linear_model(), make_series(seed, times), key=key, rows=rows)


@dataclass(frozen=True)
class Conjugate:
    """The exact posterior of a linear autoregression, one Gaussian per output channel.

    Args:
        mean: coefficients, the bias last, shape (channel, feature + 1).
        cov: shape (channel, feature + 1, feature + 1).
        prior: prior variances, shape (channel, feature + 1).
    """

    mean: np.ndarray
    cov: np.ndarray
    prior: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """Marginal standard deviations, shape (channel, feature + 1)."""
        return np.sqrt(np.diagonal(self.cov, axis1=1, axis2=2))

    @property
    def anchored(self) -> np.ndarray:
        """Marginal variances of members that differ by their anchors alone: diag(A P^-1 A)."""
        return np.einsum("cij,cj,cji->ci", self.cov, 1 / self.prior, self.cov)


def conjugate(problem: Problem) -> Conjugate:
    """Solve Bayesian linear regression for every channel of a one-step linear problem with `FixedNormal` noise."""
    e, c = problem.examples, problem.constants
    features = np.asarray(e.features, np.float64)
    x = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    lead_sd = np.asarray(c["lead_sd"], np.float64)[0]
    target = (np.asarray(e.y, np.float64)[:, 0] - np.asarray(e.level, np.float64)) / lead_sd
    mask = np.asarray(e.mask)[:, 0]
    width = features.shape[1]
    drift = lead_sd / np.asarray(c["sd"], np.float64)
    variance = problem.model.noise.scale**2
    priors, means, covs = [], [], []
    for channel in range(target.shape[1]):
        seen = mask[:, channel]
        prior = problem.model.prior_scale**2 * np.append(
            np.full(width, 1.0 / width), drift[channel] ** 2
        )
        priors.append(prior)
        precision = np.diag(1 / prior) + x[seen].T @ x[seen] / variance
        covs.append(np.linalg.inv(precision))
        means.append(covs[-1] @ x[seen].T @ target[seen, channel] / variance)
    return Conjugate(np.array(means), np.array(covs), np.array(priors))


def coefficients(sites: dict[str, np.ndarray]) -> np.ndarray:
    """Lay draws of a linear autoregression out as `Conjugate.mean`, shape (draw, channel, feature + 1)."""
    weight, bias = np.asarray(sites["net.skip.weight"]), np.asarray(sites["net.skip.bias"])
    flat = np.concatenate([weight, bias[..., None]], axis=-1)
    return flat.reshape(-1, *flat.shape[2:]).astype(np.float64)
