"""Where a fit goes on from an earlier one: what it starts from, and what keeps its values."""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.inference.base import Draws
from assim.inference.density import prior_draw
from assim.inference.gaussian import gaussian_prior
from assim.problem import Problem
from assim.types import Key, Sites


def begun_from(
    earlier: Sites, problem: Problem, hold: Sequence[str], *, key: Key
) -> tuple[Sites, Sites]:
    """The start of a fit, of sites that the earlier one had not drawn from the prior, and the sites that are held.

    Args:
        earlier: draws of the earlier fit, each shape (chain, draw, ...).
        problem: what is to be fitted.
        hold: sites that keep their values, by name or by its beginning.
        key: of the sites that are new.

    Raises:
        ValueError: sites of another shape, names that fit none, several draws to hold, or nothing left to fit.
    """
    last = {name: jnp.asarray(value[0, -1]) for name, value in earlier.items()}
    fresh = eqx.filter_jit(prior_draw)(problem, key)
    for name, value in fresh.items():
        if name in last and last[name].shape != value.shape:
            raise ValueError(
                f"init= holds '{name}' of shape {last[name].shape}, and this model has it of shape {value.shape}: "
                "its networks have other inputs (spans=, static=, controls=), so fit it anew."
            )
    for word in hold:
        if not any(_begins(name, word) for name in last):
            raise ValueError(
                f"hold='{word}' fits none of the sites of init=: {', '.join(sorted(last))}."
            )
    held = {k: v for k, v in last.items() if any(_begins(k, word) for word in hold)}
    if held and (count := int(np.prod(next(iter(earlier.values())).shape[:2]))) > 1:
        raise ValueError(
            f"hold= keeps one value of each site and init= has {count} draws: fit again from one of them, as "
            "init with isel(draw=[0]) in its group 'posterior'."
        )
    start = fresh | last
    free = {k: v for k, v in start.items() if k not in held}
    if not free:
        raise ValueError(f"hold={tuple(hold)} leaves no site to fit: hold fewer.")
    return free, held


def begun_at_centre(problem: Problem, names: Sequence[str], *, key: Key) -> Sites | None:
    """The start of a fit whose prior says where: its mean at some sites, a draw at the others.

    Args:
        problem: what is to be fitted.
        names: sites that start at the mean of their prior, by name or by its beginning; none for no start at all.
        key: of the other sites.
    """
    if not names:
        return None
    centre = gaussian_prior(problem, method="A start at the centre").loc
    fresh = eqx.filter_jit(prior_draw)(problem, key)
    return {
        name: centre[name] if any(_begins(name, word) for word in names) else value
        for name, value in fresh.items()
    }


def with_held(draws: Draws, held: Sites) -> Draws:
    """Draws beside which stand the sites that were held, the same in each."""
    if not held:
        return draws
    shape = next(iter(draws.sites.values())).shape[:2]
    same = {k: np.broadcast_to(v, (*shape, *np.shape(v))) for k, v in held.items()}
    centre = None if draws.centre is None else draws.centre | held
    return replace(draws, sites=draws.sites | same, centre=centre)


def _begins(name: str, word: str) -> bool:
    return name == word or name.startswith(f"{word}.")
