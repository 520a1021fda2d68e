r"""Shapes in which the noise of a step comes: leading modes of what damped persistence leaves in the record.

$$r_k = z_{k+1} - \rho\,z_k, \qquad \rho = \frac{\sum_k z_k \cdot z_{k+1}}{\sum_k |z_k|^2}, \qquad
\frac1n \sum_k r_k\,r_k^\top \approx \sum_{j \le J} p_j\,p_j^\top$$

(empirical orthogonal functions, Lorenz 1956), for each field by itself, in units of its scale. A likelihood that is
told place by place says how large noise is, not how far it reaches; a few sensors correct what they do not see by
that reach alone.
"""

import jax
import jax.numpy as jnp

from assim.data.gridding import Grid
from assim.nn.interpolation import between
from assim.series import Stretch
from assim.types import Array, Float, Sites

MOST_STEPS = 512
"""Steps that the shapes are taken from, evenly chosen where there are more."""


def patterns_of(stretches: Stretch, counted: Sites, count: int) -> Float[Array, "pattern place"]:
    """The leading shapes of each field, one field after the other, each as large as it is in the record.

    Args:
        stretches: of training (n, ...), file units.
        counted: `centre` and `scale` of each field.
        count: shapes of a field; those that the record does not have are 0.

    Returns:
        Shape (field * count, place), units of each field's scale.
    """
    fields, steps = counted["centre"].shape[0], stretches.told.shape[0]
    at = jnp.linspace(0, steps - 1, min(MOST_STEPS, steps)).round().astype(int)
    known = (stretches.told & stretches.mask[:, 0])[at].reshape(at.size, fields, -1)

    def anomaly(x: Array) -> Array:
        apart = x[at].reshape(known.shape) - counted["centre"][:, None]
        return jnp.where(known, apart / counted["scale"][:, None], 0.0).swapaxes(0, 1)

    before, after = anomaly(stretches.first), anomaly(stretches.y[:, 0])
    lasting = (before * after).sum(axis=(1, 2)) / jnp.maximum((before**2).sum(axis=(1, 2)), 1e-12)
    left = after - lasting[:, None, None] * before
    _, size, shapes = jnp.linalg.svd(left / at.size**0.5, full_matrices=False)
    found = (size[..., None] * shapes)[:, :count]
    padded = jnp.pad(found, ((0, 0), (0, count - found.shape[1]), (0, 0)))
    return padded.reshape(fields * count, -1)


def regridded_patterns(
    patterns: Float[Array, "pattern place"],
    sea: Array,
    old: Grid,
    grid: Grid,
    periodic: tuple[bool, ...],
) -> Float[Array, "pattern place"]:
    """The shapes on another grid of the same domain, read between places.

    Args:
        patterns: on the old grid.
        sea: True where there is something to move, on the old grid, shape (place,).
        old: the old grid.
        grid: the new one.
        periodic: whether each axis closes.
    """
    points = jnp.asarray(grid.points(), patterns.dtype)
    wet = sea.reshape(old.sizes)

    def read(shape: Array) -> Array:
        return between(shape.reshape(old.sizes), points, old.starts, old.steps, periodic, wet)

    return jax.vmap(read)(patterns)
