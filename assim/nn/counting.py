r"""What is learned by counting: means and spreads of what is observed, the short way round for directions.

$$m_\circ = \arg \sum_i e^{\mathrm i y_i}, \qquad
s_\circ^2 = \operatorname{mean}_i\ \operatorname{wrap}(y_i - m_\circ)^2$$
"""

import jax.numpy as jnp
import numpy as np

from assim.nn.emission import wrap
from assim.types import Array, Bool, Float

LEAST = 1e-6
"""No spread is taken to be smaller, internal units."""


def moments(
    y: Array, mask: Array, axes: int | tuple[int, ...], circular: np.ndarray | None = None
) -> tuple[Array, Array]:
    """Mean and standard deviation of each channel over what is observed.

    Args:
        y: shape (..., channel), internal units; anything where missing.
        mask: True where observed, same shape.
        axes: the axes averaged over.
        circular: which channels are directions, shape (channel,); None for none.
    """
    count = jnp.maximum(mask.sum(axis=axes), 1)

    def mean_of(values: Array) -> Array:
        return jnp.where(mask, values, 0.0).sum(axis=axes) / count

    mean = mean_of(y)
    if circular is None or not circular.any():
        return mean, jnp.sqrt(mean_of((y - mean) ** 2))
    turned = jnp.arctan2(mean_of(jnp.sin(y)), mean_of(jnp.cos(y)))
    mean = jnp.where(circular, turned, mean)
    return mean, jnp.sqrt(mean_of(deviation(y, mean, circular) ** 2))


def deviation(y: Array, mean: Array, circular: np.ndarray) -> Array:
    """`y - mean`, the short way round for directions; shape (..., channel)."""
    apart = y - mean
    return jnp.where(circular, wrap(apart), apart) if circular.any() else apart


def known_error(
    sd: Float[Array, "n lag channel"], mask: Bool[Array, "n lag channel"]
) -> Float[Array, " channel"]:
    """Root mean square of the known standard errors of each channel; 0 where none is known."""
    count = jnp.maximum(mask.sum((0, 1)), 1)
    return jnp.sqrt(jnp.where(mask, sd**2, 0.0).sum((0, 1)) / count)


def excess(sd: Array, error: Array) -> Array:
    """What a standard error has beyond the one that counts already: sqrt(sd^2 - error^2), or 0."""
    return jnp.sqrt(jnp.maximum(sd**2 - error**2, 0.0))
