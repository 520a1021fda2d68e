r"""A lag window as a linear map sees it: deviations, directions as sine and cosine, nothing missing.

$$f(y) = [\delta,\ \cos \delta_\circ - c_\circ], \qquad \delta = y - m, \quad
\delta_\circ \to \sin \operatorname{wrap}(y_\circ - m_\circ)$$

with m the mean of each channel and c that of the cosine of each direction. The first features are the channels,
to first order about their mean.
"""

import jax
import jax.numpy as jnp

from assim.nn.counting import deviation
from assim.nn.emission import directions
from assim.types import Array, Bool, Float


def features(
    y: Float[Array, "... channel"],
    mean: Float[Array, " channel"],
    cosine: Float[Array, " channel"],
    supports: tuple[str, ...],
) -> Float[Array, "... feature"]:
    """What is linear in a reading.

    Args:
        y: readings, internal units.
        mean: of each channel, internal units.
        cosine: mean cosine of the deviation, shape (channel,); not looked at but for directions.
        supports: kind of each channel.
    """
    turning = directions(supports)
    apart = deviation(y, mean, turning)
    if not turning.any():
        return apart
    cosines = (jnp.cos(apart) - cosine)[..., turning]
    return jnp.concatenate([jnp.where(turning, jnp.sin(apart), apart), cosines], axis=-1)


def reading(
    told: Float[Array, "... feature"],
    mean: Float[Array, " channel"],
    cosine: Float[Array, " channel"],
    supports: tuple[str, ...],
) -> Float[Array, "... channel"]:
    """The reading that has given features: the inverse of `features`, by the arc of sine and cosine."""
    turning = directions(supports)
    apart = told[..., : turning.size]
    if turning.any():
        cosines = told[..., turning.size :] + cosine[turning]
        arcs = jnp.arctan2(apart[..., turning], cosines)
        apart = apart.at[..., turning].set(arcs)
    return mean + apart


def held(
    values: Float[Array, "lag channel"],
    present: Bool[Array, "lag channel"],
    absent: Float[Array, " channel"],
) -> Float[Array, "lag channel"]:
    """The window with the newest reading before it where one is missing, `absent` where there is none."""
    rows = jnp.where(present, jnp.arange(values.shape[0])[:, None], -1)
    last = jax.lax.cummax(rows, axis=0)
    value = jnp.take_along_axis(values, jnp.maximum(last, 0), axis=0)
    return jnp.where(last >= 0, value, absent)
