r"""Where a fit to snapshots starts: the most probable parameters of blurred ones, while the blur is taken away.

$$\hat v_k = \hat v_{k-1} + \text{a step of Adam up}\ \log p(\theta \mid D + \mathcal N(0, \beta_k s^2)), \qquad
\beta_k = \beta_0\,(\beta_K / \beta_0)^{\min(4k/3K,\,1)}$$

Sharp snapshots say nothing to parameters that lead past them; blurred as wide as the population they say in which
direction to go, and the optima that a bad start would be caught in are not there yet. A drift of many weights has
several even so: then a dozen searches begin, after each quarter of the way the best third or half of them go on, by
their density, and the last is kept, so that a start, or the last digit of a machine, decides less.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.inference.density import constrain, draw_start, potential
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import adam
from assim.model import AbstractPopulation
from assim.problem import Problem
from assim.types import Array, Key, PyTree, Sites

STEPS, RATE, CHUNK = 400, 5e-2, 100
WIDEST, NARROWEST = 1.0, 1e-6
"""Shares of the variance of all samples that the blur starts and ends with."""
STARTS, TRIES = 24, 5
"""Draws of the prior, the best of which under the first blur are where it begins, and how many fields are tried."""
LEFT = (1, 3, 6, 12)
"""What the number of searches is divided by in each quarter."""


def annealed(problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Sites:
    """Parameters near the most probable ones, constrained.

    Args:
        problem: of a model of populations.
        key: of where it begins.
        watch: progress and checkpoint.
        start: unconstrained start; None for the best draws of the prior, one of them after another until as many
            searches have ended as the model asks for.

    Returns:
        The sites.

    Raises:
        FloatingPointError: every search leads to parameters under which paths run away.
    """
    assert isinstance(problem.model, AbstractPopulation)
    searches = problem.model.searches()
    problem = replace(problem, model=problem.model.opening())
    starts = [start] if start is not None else _best(problem, draw_start(problem, key, STARTS))
    fields = [starts[at : at + searches] for at in range(0, len(starts), searches)][:TRIES]
    for number, field in enumerate(fields):
        v, loss = _down(problem, field, watch, f"annealing {number + 1}" if number else "annealing")
        if loss < np.finfo(np.float32).max:
            return eqx.filter_jit(constrain)(problem, v)
    raise FloatingPointError(
        f"Paths ran away in {sum(map(len, fields))} searches, each from another draw of the prior: give priors "
        "that tell more, or more steps= from one snapshot to the next."
    )


def _down(problem: Problem, field: list[Sites], watch: Watch, label: str) -> tuple[Sites, float]:
    """Where the best of several searches ends, and its last loss."""
    parts = LEFT if len(field) > 1 else (1,)
    steps = STEPS // len(parts)
    going = [(0.0, at, (v, adam(RATE, STEPS).init(v))) for at, v in enumerate(field)]
    for number, part in enumerate(parts):

        def chunk(
            carry: PyTree, first: Array, count: Array, done: int = number * steps
        ) -> tuple[PyTree, dict[str, Array]]:
            return _steps(problem, carry, done + first, count)

        ended = []
        for _, at, carry in going[: max(len(field) // part, 1)]:
            more = f", {at + 1} of {len(field)}, part {number + 1}" if len(field) > 1 else ""
            carry, rows = run_chunks(chunk, carry, steps, CHUNK, watch, label=label + more)
            ended.append((float(rows["loss"][-1]), at, carry))
        going = sorted(ended, key=lambda one: one[0])
    loss, _, (v, _) = going[0]
    return v, loss


def blurred(problem: Problem, share: Array | float) -> Problem:
    """The problem with its snapshots read less sharply.

    Args:
        problem: of a model of populations.
        share: of the variance of all samples.

    Returns:
        The same prior, and the likelihood of the blurred snapshots.
    """
    model = problem.model
    assert isinstance(model, AbstractPopulation)
    share = jnp.asarray(share)
    told = jax.vmap(lambda s: model.blurred(s, problem.constants, share))(problem.examples)
    return Problem(model, problem.constants, told, problem.layout, problem.held)


def _best(problem: Problem, starts: Sites) -> list[Sites]:
    """The best of them, first the very best."""
    energy = np.asarray(_energies(problem, starts))
    order = np.argsort(np.where(np.isfinite(energy), energy, np.inf))
    return [jax.tree.map(lambda leaf, at=at: leaf[at], starts) for at in order]


@eqx.filter_jit
def _energies(problem: Problem, starts: Sites) -> Array:
    wide = blurred(problem, WIDEST)
    return jax.lax.map(lambda v: potential(wide, v), starts)


@eqx.filter_jit
def _steps(
    problem: Problem, carry: PyTree, first: Array, count: Array
) -> tuple[PyTree, dict[str, Array]]:
    optimiser, ratio = adam(RATE, STEPS), np.log(NARROWEST / WIDEST)

    def step(number: Array, held: tuple) -> tuple:
        v, state, loss = held
        # three quarters of the way down the blur is gone, and the rest is spent on the snapshots as they are
        share = WIDEST * jnp.exp(ratio * jnp.minimum(number / (0.75 * STEPS), 1.0))
        energy, slope = jax.value_and_grad(lambda v: potential(blurred(problem, share), v))(v)
        told = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((energy, slope))]
        fine = jnp.stack(told).all()
        slope = jax.tree.map(lambda g: jnp.where(fine, g, 0.0), slope)
        moves, state = optimiser.update(slope, state, v)
        v = jax.tree.map(jnp.add, v, moves)
        return v, state, loss.at[number - first].set(jnp.where(fine, energy, most))

    v, state = carry
    dtype = jax.tree.leaves(v)[0].dtype
    most = jnp.finfo(dtype).max  # of snapshots that are led past: not the end of the run
    held = (v, state, jnp.zeros(CHUNK, dtype))
    v, state, loss = jax.lax.fori_loop(first, first + count, step, held)
    return (v, state), {"loss": loss}
