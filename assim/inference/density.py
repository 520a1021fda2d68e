r"""The posterior density of a problem over unconstrained space, as every gradient method sees it.

$$U(v) = -\log p(D \mid \theta(v)) - \log p(\theta(v)) - \log\left|\frac{d\theta}{dv}\right|$$
"""

import equinox as eqx
import jax
from numpyro import handlers
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from assim.model import AbstractGridded
from assim.problem import Problem
from assim.types import Array, Key, Sites

OFTEN = "EnsembleMAP, SVI or Stein"
"""What draws anew at each visit."""


def potential(
    problem: Problem, v: Sites, *, batch_size: int | None = None, key: Key | None = None
) -> Array:
    """The potential energy at unconstrained `v`; of a random minibatch where `batch_size` and `key` are given."""
    model = problem if key is None else handlers.seed(problem, key)
    return potential_energy(model, (), {"batch_size": batch_size}, v)


def require_one(problem: Problem, *, who: str, instead: str = OFTEN) -> None:
    """Refuse a problem whose stretches are drawn at random: a density of one draw would be far too sure of it.

    Args:
        problem: prior and likelihood.
        who: what needs a density that stays.
        instead: what does not.

    Raises:
        TypeError: a model that draws something of its stretches at random.
    """
    if isinstance(problem.model, AbstractGridded) and problem.model.at_random():
        raise TypeError(
            f"{who} needs one density, and {type(problem.model).__name__} draws readings or noise of each training "
            f"stretch at random (gain=, jitter= or weight=), anew at each visit: use {instead}; from such a fit it "
            "can go on by init= with jitter=0 or weight=0, and the last layer of an operator comes before its gain."
        )


def prior_potential(problem: Problem, v: Sites) -> Array:
    """The part of the potential energy that the data have no part in."""
    return potential_energy(problem.prior, (), {}, v)


def constrain(problem: Problem, v: Sites) -> Sites:
    """The values of the sample sites at unconstrained `v`."""
    return constrain_fn(_first(problem), (), {}, v)


def unconstrain(problem: Problem, sites: Sites) -> Sites:
    """The inverse of `constrain`; a latent of a single window may be left out."""
    return unconstrain_fn(handlers.seed(_first(problem), 0), (), {}, sites)


def prior_draw(problem: Problem, key: Key) -> Sites:
    """One draw of the sample sites from the prior, the data not looked at."""
    traced = handlers.trace(handlers.seed(_first(problem), key)).get_trace()
    return {
        name: site["value"]
        for name, site in traced.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


@eqx.filter_jit
def draw_start(problem: Problem, key: Key, count: int) -> Sites:
    """`count` unconstrained starting points from the prior, stacked on a leading axis."""
    keys = jax.random.split(key, count)
    return jax.vmap(lambda k: unconstrain(problem, prior_draw(problem, k)))(keys)


@eqx.filter_jit
def to_unconstrained(problem: Problem, sites: Sites) -> Sites:
    """`unconstrain`, compiled."""
    return unconstrain(problem, sites)


def scattered(v: Sites, count: int, sd: float, *, key: Key) -> Sites:
    """`count` points around unconstrained `v`, stacked on a leading axis."""
    leaves, structure = jax.tree.flatten(v)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure,
        [
            leaf + sd * jax.random.normal(k, (count, *leaf.shape), leaf.dtype)
            for leaf, k in zip(leaves, keys, strict=True)
        ],
    )


def _first(problem: Problem) -> Problem:
    """The problem with its first window alone: enough where only the prior matters."""
    part = jax.tree.map(lambda leaf: leaf[:1], problem.examples)
    return eqx.tree_at(lambda p: p.examples, problem, part)
