r"""The reference that is nearest to sampled paths: least squares on their increments.

$$\theta = \arg\min_\theta \frac{1}{\sum_j w_j} \sum_j w_j\ \overline{
\Big( \frac{x_{j,m+1} - x_{j,m}}{\Delta} - b_\theta(x_{j,m}) \Big)^2}$$

the mean over steps and coordinates: up to constants the divergence of the law of the paths from the reference with
the same volatility, by Girsanov (Shen, Berlinghieri and Broderick 2025, arXiv 2408.06277). One drift serves all
intervals; through it alone snapshots that are no neighbours tell of each other.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from assim.types import Array, Float, PyTree, Scalar

type Reference = Callable[[PyTree, Float[Array, " coordinate"]], Float[Array, " coordinate"]]
"""From parameters and a position to a velocity."""


def refitted(
    reference: Reference,
    theta: PyTree,
    paths: Float[Array, "path step coordinate"],
    weight: Float[Array, " path"],
    dt: float,
    *,
    descent: int,
    learning_rate: float,
) -> tuple[PyTree, Scalar]:
    """Parameters some steps of Adam further, and the mean square that they leave.

    Args:
        reference: drift at one position, from parameters and it.
        theta: parameters to start from.
        paths: shape (path, step, coordinate).
        weight: w of each path, shape (path,).
        dt: time of a step.
        descent: steps of Adam.
        learning_rate: of these.
    """
    velocity, places = jnp.diff(paths, axis=1) / dt, paths[:, :-1]

    def loss(theta: PyTree) -> Array:
        left = velocity - jax.vmap(jax.vmap(lambda x: reference(theta, x)))(places)
        return weight @ (left**2).mean(axis=(1, 2)) / weight.sum()

    adam = optax.adam(learning_rate)

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
        theta, memory = carry
        moves, memory = adam.update(jax.grad(loss)(theta), memory)
        return (optax.apply_updates(theta, moves), memory), None

    (theta, _), _ = jax.lax.scan(step, (theta, adam.init(theta)), None, length=descent)
    return theta, loss(theta)
