r"""Stein variational gradient descent: particles that seek probability and repel each other.

$$\theta_j \leftarrow \theta_j + \eta\,\frac1M\sum_i\Big[k(\theta_i, \theta_j)\,\nabla\log p(\theta_i \mid D)
+ \nabla_{\theta_i} k(\theta_i, \theta_j)\Big], \qquad k(\theta, \theta') = e^{-\|\theta-\theta'\|^2/h}$$

with $h$ the median squared distance over $\log M$ (Liu and Wang 2016). The density and its unconstrained space are
NumPyro's; its own `SteinVI` takes each gradient once for every particle that receives it, this step takes it once.
In many dimensions the particles are too close: judge them by their forecasts.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from assim.inference.base import AbstractMethod, Draws
from assim.inference.density import (
    constrain,
    draw_start,
    potential,
    scattered,
    to_unconstrained,
)
from assim.inference.loop import Watch, run_chunks
from assim.inference.optimise import CHUNK, astray, require_finite, still_falling
from assim.problem import Problem
from assim.types import Array, Float, Key, PyTree, Sites


class Stein(AbstractMethod):
    """Interacting particles.

    Args:
        num_particles: number of particles, which become draws.
        num_steps: Adagrad steps.
        learning_rate: first step, unconstrained units.
        batch_size: windows in a step; None for all.
        jitter: sd of the particles around a given start, unconstrained units.
    """

    num_particles: int = 100
    num_steps: int = 2000
    learning_rate: float = 0.1
    batch_size: int | None = 512
    jitter: float = 0.1

    def run(self, problem: Problem, *, key: Key, watch: Watch, start: Sites | None = None) -> Draws:
        """Move the particles; `curves["loss"]` is their mean potential energy per window."""
        k_init, k_batch = jax.random.split(key)
        if start is None:
            particles = draw_start(problem, k_init, self.num_particles)
        else:
            near = to_unconstrained(problem, start)
            particles = scattered(near, self.num_particles, self.jitter, key=k_init)
        carry = (particles, optax.adagrad(self.learning_rate).init(particles))

        def chunk(carry: PyTree, first: Array, count: Array) -> tuple[PyTree, dict[str, Array]]:
            return _steps(self, problem, carry, k_batch, first, count)

        carry, rows = run_chunks(chunk, carry, self.num_steps, CHUNK, watch, label="Stein")
        loss = rows.get("loss", np.zeros(0))
        require_finite(loss, "Stein")
        # particles that start together rightly spread, which raises their energy
        advice = astray(loss, "Stein", self.learning_rate) if start is None else ()
        if still_falling(loss):
            advice = (
                f"The particles were still moving at the end of {self.num_steps} steps: "
                f"run longer, for example Stein(num_steps={2 * self.num_steps}).",
            )
        sites = _constrained(problem, carry[0])
        shown = {k: np.asarray(v)[None] for k, v in sites.items()}
        return Draws(shown, curves={"loss": loss}, advice=advice)


def stein_force(
    x: Float[Array, "particle parameter"], slope: Float[Array, "particle parameter"]
) -> Float[Array, "particle parameter"]:
    """The direction in which each particle moves: Liu and Wang (2016), equation 8.

    Args:
        x: particles, unconstrained units.
        slope: gradient of the log posterior density at each.
    """
    count = x.shape[0]
    square = jnp.sum(x**2, axis=1)
    apart = jnp.maximum(square[:, None] + square[None, :] - 2 * x @ x.T, 0.0)
    width = jnp.maximum(jnp.median(apart) / jnp.log(count + 1.0), 1e-12)
    kernel = jnp.exp(-apart / width)
    repulsion = (2 / width) * (kernel.sum(axis=0)[:, None] * x - kernel.T @ x)
    return (kernel.T @ slope + repulsion) / count


@eqx.filter_jit
def _steps(
    method: Stein, problem: Problem, carry: PyTree, key: Key, first: Array, count: Array
) -> tuple[PyTree, dict[str, Array]]:
    optimiser = optax.adagrad(method.learning_rate)
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf[0], carry[0]))

    def step(i: Array, state: PyTree) -> PyTree:
        (particles, moments), losses = state
        k_batch, seen = jax.random.fold_in(key, first + i), problem.anew(first + i)
        energy, slope = jax.vmap(
            jax.value_and_grad(
                lambda v: potential(seen, v, batch_size=method.batch_size, key=k_batch)
            )
        )(particles)
        flat = jax.vmap(lambda tree: ravel_pytree(tree)[0])
        force = jax.vmap(unravel)(stein_force(flat(particles), -flat(slope)))
        moves, moments = optimiser.update(jax.tree.map(jnp.negative, force), moments, particles)
        loss = energy.mean() / problem.num_data
        return (optax.apply_updates(particles, moves), moments), losses.at[i].set(loss)

    dtype = jax.tree.leaves(carry[0])[0].dtype
    carry, losses = jax.lax.fori_loop(0, count, step, (carry, jnp.zeros(CHUNK, dtype)))
    return carry, {"loss": losses}


@eqx.filter_jit
def _constrained(problem: Problem, particles: Sites) -> Sites:
    return jax.vmap(lambda v: constrain(problem, v))(particles)
