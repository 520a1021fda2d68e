r"""Draws of a composite likelihood, as wide as its estimates scatter (Chandler and Bate 2007; Ribatet et al. 2012).

A likelihood that is put together of terms, each of which is only nearly a density, may be more or less sure than it
should be. With the scores $s_i = \nabla \log p_i(\bar\theta)$ of its terms at the mean of the draws, the covariance
C of the draws and that of the prior $C_0$, all of it in unconstrained space,

$$V = C\,(C_0^{-1} + \textstyle\sum_i s_i s_i^\top)\,C, \qquad
\theta' = \bar\theta + V^{1/2} C^{-1/2} (\theta - \bar\theta)$$

Godambe's covariance in place of Fisher's, C being the inverse of the curvature where the posterior is nearly
normal. Where the likelihood is right, and where it tells nothing, V is C and draws stay what they are.
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
    draw_start,
    prior_draw,
    to_unconstrained,
)
from assim.inference.loop import Watch
from assim.model import AbstractPopulation
from assim.problem import Problem
from assim.types import Array, Key, Sites

ENOUGH = 10
"""Terms for each parameter, below which their scores tell no covariance."""
WIDTHS = 4000
"""Draws that tell how wide the prior is."""
UNMOVED = (
    "The draws are not adjusted, since the likelihood has no slope at their mean: they may be more sure, or less, "
    "than they should be."
)


class Adjusted(AbstractMethod):
    """Another method, whose draws are widened or narrowed to how the terms of the likelihood scatter.

    Draws that cannot be adjusted, since a score is not finite, stay what they are, and an advice says so.

    Args:
        method: what draws from the posterior of the likelihood as it is.
    """

    method: AbstractMethod

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """The draws of the method, adjusted; statistics of its run stay those of the method.

        Raises:
            TypeError: a likelihood that is not put together of terms, or of some that sum up many samples.
            ValueError: too few terms for so many parameters, or too few draws.
        """
        if not isinstance(problem.model, AbstractPopulation):
            raise TypeError(
                f"Adjusted is for composite likelihoods, and that of {type(problem.model).__name__} is none: use "
                "the method inside it."
            )
        if not problem.model.alike():
            raise TypeError(
                "Adjusted learns from how terms scatter, and how many particles are left at a time is one term for "
                "all of them: use the method inside it."
            )
        k_count, k_prior, k_run = jax.random.split(key, 3)
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
        made = {k: np.asarray(v) for k, v in adjusted(problem, flat, key=k_prior).items()}
        if not all(np.isfinite(v).all() for v in made.values()):
            return replace(draws, advice=(*draws.advice, UNMOVED))
        sites = {k: v.reshape(chains, each, *v.shape[1:]) for k, v in made.items()}
        return replace(draws, sites=sites)


def tells(problem: Problem, size: int) -> bool:
    """Whether a likelihood has terms enough for so many parameters, all of one kind.

    Args:
        problem: of a model whose likelihood is put together of terms.
        size: how many parameters there are.
    """
    assert isinstance(problem.model, AbstractPopulation)
    some = prior_draw(problem, jax.random.key(0))
    return problem.model.alike() and int(_counted(problem, some)) >= ENOUGH * size


@eqx.filter_jit
def adjusted(problem: Problem, sites: Sites, *, key: Key) -> Sites:
    """Draws as wide as the terms of the likelihood scatter.

    Args:
        problem: of a model whose likelihood is put together of terms.
        sites: draws, constrained, each shape (draw, ...).
        key: of the draws that tell how wide the prior is.

    Returns:
        The same, moved; NaN where a score at their mean is not finite.
    """
    v = jax.vmap(lambda one: to_unconstrained(problem, one))(sites)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], v))
    flat = jax.vmap(lambda one: ravel_pytree(one)[0])
    z, prior = flat(v), flat(draw_start(problem, key, WIDTHS))
    middle, cov = z.mean(axis=0), jnp.atleast_2d(jnp.cov(z.T))
    score = jax.jacfwd(lambda z: _terms(problem, constrain(problem, unravel(z))))(middle)
    told = jnp.linalg.inv(jnp.atleast_2d(jnp.cov(prior.T))) + score.T @ score
    move = _root(cov @ told @ cov) @ jnp.linalg.inv(_root(cov))
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
