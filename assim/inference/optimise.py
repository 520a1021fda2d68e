r"""The most probable parameters: Adam on minibatches, then L-BFGS on all data where it is small enough.

$$\hat v = \arg\min_v\ U(v), \qquad \eta_k = \tfrac{\eta}{2}\left(1 + \cos\tfrac{\pi k}{K}\right)$$
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from assim.inference.density import potential
from assim.inference.loop import Watch, run_chunks
from assim.model import Problem
from assim.types import Array, Key, PyTree, Sites

CHUNK = 200


class Ascent(eqx.Module):
    """Settings of the search for the most probable parameters.

    Args:
        num_steps: Adam steps.
        learning_rate: first learning rate of a cosine schedule.
        batch_size: windows in a step; None for all.
        polish: L-BFGS iterations on all data afterwards; 0 for none.
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
    """
    carry = (start, _optimiser(ascent).init(start))

    def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
        return _adam_steps(problem, carry, ascent, key, first, count)

    (v, _), rows = run_chunks(chunk, carry, ascent.num_steps, CHUNK, watch, label=label)
    loss = rows.get("loss", np.zeros(0))
    require_finite(loss, label)
    return (_polished(problem, v, ascent.polish) if ascent.polish else v), loss


def require_finite(loss: np.ndarray, label: str) -> None:
    """Raise where a loss left the numbers, saying at which step."""
    bad = np.flatnonzero(~np.isfinite(loss))
    if bad.size:
        raise FloatingPointError(
            f"{label}: the loss is not finite from step {bad[0]} on; lower the learning rate, "
            "or look for outliers in the data with `assim check`."
        )


def _optimiser(ascent: Ascent) -> optax.GradientTransformation:
    schedule = optax.cosine_decay_schedule(ascent.learning_rate, max(ascent.num_steps, 1), 1e-3)
    return optax.chain(optax.clip_by_global_norm(1e3), optax.adam(schedule))


@eqx.filter_jit
def _adam_steps(
    problem: Problem, carry: PyTree, ascent: Ascent, key: Key, first: Array, count: Array
) -> tuple[PyTree, dict[str, Array]]:
    optimiser, scale = _optimiser(ascent), 1.0 / problem.num_data

    def step(i: Array, state: PyTree) -> PyTree:
        (v, moments), losses = state
        k_batch = jax.random.fold_in(key, first + i)
        loss, slope = jax.value_and_grad(
            lambda v: scale * potential(problem, v, batch_size=ascent.batch_size, key=k_batch)
        )(v)
        moves, moments = optimiser.update(slope, moments, v)
        return (optax.apply_updates(v, moves), moments), losses.at[i].set(loss)

    dtype = jax.tree.leaves(carry[0])[0].dtype
    carry, losses = jax.lax.fori_loop(0, count, step, (carry, jnp.zeros(CHUNK, dtype)))
    return carry, {"loss": losses}


@eqx.filter_jit
def _polished(problem: Problem, v: Sites, iterations: int) -> Sites:
    solver = optax.lbfgs()
    scale = 1.0 / problem.num_data

    def objective(v: Sites) -> Array:
        return scale * potential(problem, v)

    value_and_grad = optax.value_and_grad_from_state(objective)

    def step(state: PyTree, _: None) -> tuple[PyTree, None]:
        v, memory = state
        value, slope = value_and_grad(v, state=memory)
        moves, memory = solver.update(slope, memory, v, value=value, grad=slope, value_fn=objective)
        return (optax.apply_updates(v, moves), memory), None

    (v, _), _ = jax.lax.scan(step, (v, solver.init(v)), None, length=iterations)
    return v
