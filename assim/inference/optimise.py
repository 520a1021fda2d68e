r"""The most probable parameters: Adam on minibatches, then L-BFGS on all data where it is small enough.

$$\hat v = \arg\min_v\ U(v), \qquad \eta_k = \tfrac{\eta}{2}\left(1 + \cos\tfrac{\pi k}{K}\right)$$
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from assim.inference.density import potential, require_one
from assim.inference.loop import Watch, run_chunks
from assim.problem import Problem
from assim.types import Array, Key, PyTree, Sites

CHUNK = 200
NOTICED = 0.01
"""Nats a window by which a loss has to end above where it had been, before anything is said of it."""


class Ascent(eqx.Module):
    """Settings of the search for the most probable parameters.

    Args:
        num_steps: Adam steps.
        learning_rate: first learning rate of a cosine schedule.
        batch_size: windows in a step; None for all.
        polish: L-BFGS iterations on all data afterwards; 0 for none, and for what is drawn at random anew at each
            visit.
    """

    num_steps: int = 2000
    learning_rate: float = 5e-3
    batch_size: int | None = 512
    polish: int = 0


def most_probable(
    problem: Problem, start: Sites, ascent: Ascent, *, key: Key, watch: Watch, label: str = "MAP"
) -> tuple[Sites, np.ndarray]:
    """The maximum of the posterior density over unconstrained space, and the loss at each step.

    Args:
        problem: prior and likelihood.
        start: unconstrained start.
        ascent: settings.
        key: drives the minibatches.
        watch: progress and checkpoint.
        label: name of the stage.

    Raises:
        FloatingPointError: the loss stopped being finite.
        TypeError: a polish of what is drawn at random anew at each visit.
    """
    if ascent.polish:
        require_one(problem, who=f"Ascent(polish={ascent.polish})", instead="polish=0")
    carry = (start, adam(ascent.learning_rate, ascent.num_steps).init(start))

    def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
        return _adam_steps(problem, carry, ascent, key, first, count)

    (v, _), rows = run_chunks(chunk, carry, ascent.num_steps, CHUNK, watch, label=label)
    loss = rows.get("loss", np.zeros(0))
    require_finite(loss, label)
    return (_polished(problem, v, ascent.polish) if ascent.polish else v), loss


def adam(learning_rate: float, num_steps: int) -> optax.GradientTransformation:
    """Adam with a cosine schedule, the gradient's norm clipped at 1000."""
    schedule = optax.cosine_decay_schedule(learning_rate, max(num_steps, 1), 1e-3)
    return optax.flatten(optax.chain(optax.clip_by_global_norm(1e3), optax.adam(schedule)))


def descend(objective: Callable[[Sites], Array], v: Sites, iterations: int) -> Sites:
    """L-BFGS from `v`, until the gradient is down to rounding error or `iterations` are spent."""
    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(objective)
    least = float(jnp.finfo(jax.tree.leaves(v)[0].dtype).eps) ** 0.8

    def going(state: PyTree) -> Array:
        number, steepness, _, _ = state
        return (number < iterations) & (steepness > least)

    def step(state: PyTree) -> PyTree:
        number, _, v, memory = state
        value, slope = value_and_grad(v, state=memory)
        moves, memory = solver.update(slope, memory, v, value=value, grad=slope, value_fn=objective)
        return number + 1, optax.tree.norm(slope), optax.apply_updates(v, moves), memory

    steepest = jnp.full((), jnp.inf, jax.tree.leaves(v)[0].dtype)
    return jax.lax.while_loop(going, step, (jnp.int32(0), steepest, v, solver.init(v)))[2]


def still_falling(loss: np.ndarray) -> bool:
    """Whether the last fifth of a loss is lower than the fifth before it by more than its noise explains."""
    fifth = len(loss) // 5
    if fifth < 2:
        return False
    last, before = loss[-fifth:], loss[-2 * fifth : -fifth]
    noise = np.std(last) / np.sqrt(fifth) + 1e-12
    return bool(before.mean() - last.mean() > max(10 * noise, 0.05 * abs(last.mean())))


def astray(loss: np.ndarray, who: str, learning_rate: float) -> tuple[str, ...]:
    """What to do where a search ended above where it had been, by more than its noise explains; else nothing."""
    fifth = len(loss) // 5
    if fifth < 2:
        return ()
    parts = [loss[k * fifth : (k + 1) * fifth] for k in range(4)] + [loss[-fifth:]]
    *before, last = (float(np.median(part)) for part in parts)
    least = min(before)
    noise = np.median(np.abs(loss[-fifth:] - last)) / np.sqrt(fifth)
    if last - least <= max(15 * noise, 0.05 * abs(least), NOTICED):
        return ()
    return (
        f"The search lost its way: its loss ended at {last:.3g} a window, and had been {least:.3g}. Lower the "
        f"learning rate, for example {who}(learning_rate={learning_rate / 5:g}).",
    )


def require_finite(loss: np.ndarray, label: str) -> None:
    """Raise where a loss left the numbers, saying at which step."""
    bad = np.flatnonzero(~np.isfinite(loss))
    if bad.size:
        raise FloatingPointError(
            f"{label}: the loss is not finite from step {bad[0]} on; lower the learning rate, "
            "or look for outliers in the data with `assim check`."
        )


@eqx.filter_jit
def _adam_steps(
    problem: Problem, carry: PyTree, ascent: Ascent, key: Key, first: Array, count: Array
) -> tuple[PyTree, dict[str, Array]]:
    optimiser, scale = adam(ascent.learning_rate, ascent.num_steps), 1.0 / problem.num_data

    def step(i: Array, state: PyTree) -> PyTree:
        (v, moments), losses = state
        k_batch, seen = jax.random.fold_in(key, first + i), problem.anew(first + i)
        loss, slope = jax.value_and_grad(
            lambda v: scale * potential(seen, v, batch_size=ascent.batch_size, key=k_batch)
        )(v)
        moves, moments = optimiser.update(slope, moments, v)
        return (optax.apply_updates(v, moves), moments), losses.at[i].set(loss)

    dtype = jax.tree.leaves(carry[0])[0].dtype
    carry, losses = jax.lax.fori_loop(0, count, step, (carry, jnp.zeros(CHUNK, dtype)))
    return carry, {"loss": losses}


@eqx.filter_jit
def _polished(problem: Problem, v: Sites, iterations: int) -> Sites:
    scale = 1.0 / problem.num_data
    return descend(lambda v: scale * potential(problem, v), v, iterations)
