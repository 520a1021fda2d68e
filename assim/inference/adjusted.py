r"""Draws of a composite likelihood, as wide as its estimates scatter (Chandler and Bate 2007; Ribatet et al. 2012).

A likelihood that is put together of terms, each of which is only nearly a density, may be more or less sure than it
should be. With the scores $s_i = \nabla \log p_i(\hat\theta)$ of its terms, the curvature of the prior
$H_0$ and that of the posterior density H,

$$V = H^{-1} (H_0 + \textstyle\sum_i s_i s_i^\top)\,H^{-1}, \qquad
\theta' = \hat\theta + V^{1/2} C^{-1/2} (\theta - \hat\theta)$$

of draws with mean $\hat\theta$ and covariance C, all of it in unconstrained space: Godambe's covariance in place of
Fisher's. Where the likelihood is right the two are one, and draws stay what they are.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import (
    constrain,
    potential,
    prior_draw,
    prior_potential,
    to_unconstrained,
)
from assim.inference.loop import Watch
from assim.model import AbstractPopulation
from assim.problem import Problem
from assim.types import Array, Key, Sites

ENOUGH = 10
"""Terms for each parameter, below which their scores tell no covariance."""


class Adjusted(AbstractMethod):
    """Another method, whose draws are widened or narrowed to how the terms of the likelihood scatter.

    Args:
        method: what draws from the posterior of the likelihood as it is.
    """

    method: AbstractMethod

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """The draws of the method, adjusted; statistics of its run stay those of the method.

        Raises:
            TypeError: a likelihood that is not put together of terms.
            ValueError: too few terms for so many parameters, or too few draws.
            FloatingPointError: a density that has no peak where the draws are.
        """
        if not isinstance(problem.model, AbstractPopulation):
            raise TypeError(
                f"Adjusted is for composite likelihoods, and that of {type(problem.model).__name__} is none: use "
                "the method inside it."
            )
        k_count, k_run = jax.random.split(key)
        one = prior_draw(problem, k_count)
        size, terms = sum(v.size for v in one.values()), int(_counted(problem, one))
        if terms < ENOUGH * size:
            raise ValueError(
                f"The likelihood has {terms} terms, too few to tell how {size} parameters scatter: give {ENOUGH} "
                "of them for a parameter, or use the method alone."
            )
        draws = self.method.run(problem, key=k_run, watch=watch, start=start)
        chains, each = next(iter(draws.sites.values())).shape[:2]
        if chains * each <= 2 * size:
            raise ValueError(
                f"The posterior has {chains * each} draws, too few for the covariance of {size} parameters: ask "
                "for 3 of them for a parameter, or use the method alone."
            )
        flat = {k: jnp.asarray(v).reshape(-1, *v.shape[2:]) for k, v in draws.sites.items()}
        made = {k: np.asarray(v) for k, v in adjusted(problem, flat).items()}
        if not all(np.isfinite(v).all() for v in made.values()):
            raise FloatingPointError(
                "The posterior density has no peak where the draws are, so that they cannot be adjusted: sample "
                "longer, or use the method alone."
            )
        sites = {k: v.reshape(chains, each, *v.shape[1:]) for k, v in made.items()}
        return replace(draws, sites=sites)


def tells(problem: Problem, size: int) -> bool:
    """Whether a likelihood has terms enough for so many parameters, padding not counted.

    Args:
        problem: of a model whose likelihood is put together of terms.
        size: how many parameters there are.
    """
    one = jax.eval_shape(lambda: _terms(problem, prior_draw(problem, jax.random.key(0))))
    return bool(one.size * float((problem.examples.weight > 0).mean()) >= ENOUGH * size)


@eqx.filter_jit
def adjusted(problem: Problem, sites: Sites) -> Sites:
    """Draws as wide as the terms of the likelihood scatter.

    Args:
        problem: of a model whose likelihood is put together of terms.
        sites: draws, constrained, each shape (draw, ...).

    Returns:
        The same, moved; NaN where the density has no peak at their mean.
    """
    v = jax.vmap(lambda one: to_unconstrained(problem, one))(sites)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], v))
    z = jax.vmap(lambda one: ravel_pytree(one)[0])(v)
    middle, cov = z.mean(axis=0), jnp.atleast_2d(jnp.cov(z.T))
    score = jax.jacfwd(lambda z: _terms(problem, constrain(problem, unravel(z))))(middle)
    whole = jax.hessian(lambda z: potential(problem, unravel(z)))(middle)
    prior = jax.hessian(lambda z: prior_potential(problem, unravel(z)))(middle)
    peak = jnp.linalg.cholesky(whole)  # NaN where it is none
    told = jax.scipy.linalg.cho_solve((peak, True), jnp.linalg.cholesky(prior + score.T @ score))
    move = _root(told @ told.T) @ jnp.linalg.inv(_root(cov))
    moved = middle + (z - middle) @ move.T
    return jax.lax.map(lambda one: constrain(problem, unravel(one)), moved)


def _root(cov: Array) -> Array:
    """The symmetric root: of all it moves draws the least."""
    values, axes = jnp.linalg.eigh(cov)
    return axes * jnp.sqrt(values) @ axes.T


@eqx.filter_jit
def _counted(problem: Problem, sites: Sites) -> Array:
    return (_terms(problem, sites) != 0).sum()


def _terms(problem: Problem, sites: Sites) -> Array:
    """The terms of the log likelihood in a row."""
    model = problem.model
    assert isinstance(model, AbstractPopulation)
    ssm = problem.bind(sites)
    return jax.vmap(lambda seen: model.terms(ssm, seen))(problem.examples).ravel()
