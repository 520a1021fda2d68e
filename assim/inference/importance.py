r"""How far a guide is to be trusted: the tail of its importance ratios (Yao et al. 2018; Vehtari et al. 2024).

$$r_s = \log p(D, \theta_s) - \log q(\theta_s), \quad \theta_s \sim q, \qquad
P\big(e^r > u + x \mid e^r > u\big) \approx \big(1 + \hat k x / \sigma\big)^{-1/\hat k}$$

The $\lceil\min(S/5, 3\sqrt S)\rceil$ largest of $S$ ratios $e^r$ are described by a generalised Pareto law. Ratios
of shape $\hat k$ have moments of order below $1/\hat k$ alone. Up to 0.5 their variance is finite; above 0.7 no
number of draws that can be had weighs the guide into the posterior. Of a guide $\mathcal N(0, s^2)$ and a posterior
$\mathcal N(0, 1)$ the shape is $k = 1 - s^2$ where $s \le 1$: the direction in which a guide is far too narrow
tells. A network has many such, and its forecasts may be fair nonetheless.
"""

import warnings

import equinox as eqx
import jax
import numpy as np
from numpyro.infer import SVI as Engine
from numpyro.infer.autoguide import AutoDelta, AutoGuide, AutoLaplaceApproximation
from numpyro.infer.importance import _psis_khat

from assim.model import AbstractBounded, AbstractGridded, AbstractGuided, AbstractPointwise
from assim.problem import Problem
from assim.types import Array, Float, Key, Keys, PyTree

FEWEST, DRAWS = 100, 200
"""Ratios that tell a tail at all, and those that are taken of a fit."""
WINDOWS = 2500
"""Of more than these, on which the draws take about a second, no ratios are taken."""


def k_hat(log_ratios: np.ndarray) -> float:
    r"""The shape $\hat k$ of the tail of importance ratios, by the fit of Zhang and Stephens (2009) in NumPyro.

    Args:
        log_ratios: log p(D, theta) - log q(theta) at draws of q, up to a constant, nats; shape (draw,).

    Returns:
        The shape, drawn towards 0.5 as if by ten ratios more; infinity where the tail is too far out to have one.

    Raises:
        ValueError: fewer than 100 ratios.
    """
    ratios = np.asarray(log_ratios, np.float64)
    if ratios.ndim != 1 or ratios.size < FEWEST:
        raise ValueError(
            f"k_hat got log ratios of shape {ratios.shape}, and one for each of {FEWEST} draws or more is "
            "expected: take more draws of the guide."
        )
    # a guide that is exact has ratios all alike, which are no tail
    apart = ratios + np.random.default_rng(0).normal(0.0, 1e-6, ratios.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # infinity says what they say
        return float(_psis_khat(apart))


def weighed(
    problem: Problem, engine: Engine, state: PyTree, num_draws: int, *, key: Key
) -> dict[str, float]:
    """The number `k_hat` of a fitted guide; nothing where it would say nothing, or cost too much.

    Args:
        problem: prior and likelihood; all windows count.
        engine: NumPyro's inference, with the guide.
        state: of the fit.
        num_draws: draws that are asked of the guide; of fewer than 200 nothing is said.
        key: drives draws of the guide.
    """
    if num_draws < DRAWS or not has_ratios(problem, engine.guide):
        return {}
    told = _log_ratios(problem, engine, state, jax.random.split(key, DRAWS))
    return {"k_hat": k_hat(np.asarray(told))}


def has_ratios(problem: Problem, guide: object) -> bool:
    """Whether model and guide have a density each, on windows that are few and no fields."""
    law = isinstance(guide, AutoGuide) and not isinstance(
        guide, AutoDelta | AutoLaplaceApproximation
    )
    exact = isinstance(problem.model, AbstractPointwise) and not isinstance(
        problem.model, AbstractBounded | AbstractGuided | AbstractGridded
    )
    return law and exact and problem.num_data <= WINDOWS


@eqx.filter_jit
def _log_ratios(
    problem: Problem, engine: Engine, state: PyTree, keys: Keys
) -> Float[Array, " draw"]:
    """One draw's part of the ELBO for each key, on all windows: one draw at a time, for room."""
    params = engine.get_params(state)

    def ratio(key: Key) -> Array:
        return -engine.loss.loss(key, params, engine.model, engine.guide, problem, None)

    return jax.lax.map(ratio, keys)
