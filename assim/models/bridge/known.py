"""Standard deviations that the user knows."""

import jax.numpy as jnp
import numpy as np

from assim.models.bridge.region import Region
from assim.types import Array


def require_sd(kind: str, sd: float | tuple[float, ...]) -> None:
    """Refuse what is no standard deviation.

    Args:
        kind: whose it is, for the message.
        sd: one, or one for each coordinate.

    Raises:
        ValueError: a number below zero, or none at all.
    """
    values = np.asarray(sd, float)
    if values.ndim > 1 or values.size == 0 or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"{kind} has sd={sd}: give a standard deviation of 0 or more, or one for each coordinate."
        )


def known_sd(kind: str, sd: float | tuple[float, ...], region: Region) -> Array:
    """Standard deviations as the region's coordinates.

    Args:
        kind: whose they are, for the message.
        sd: one, or one for each coordinate.
        region: that of the record.

    Returns:
        Shape (coordinate,).

    Raises:
        ValueError: another number of them.
    """
    values = jnp.asarray(sd, region.spread.dtype)
    if values.shape not in {(), region.spread.shape}:
        raise ValueError(
            f"{kind} has {values.size} standard deviations and the record has {region.size} coordinates: give one, "
            "or one for each."
        )
    return jnp.broadcast_to(values, region.spread.shape)
