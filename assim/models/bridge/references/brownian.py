r"""No drift: $dX = g\,dW$.

The reference of a bridge that knows nothing of its particles (Schrödinger 1931): between two looks they went
straight, but for noise.
"""

import jax.numpy as jnp

from assim.models.bridge.references.base import AbstractDrift, AbstractReference
from assim.models.bridge.region import Region
from assim.types import Array


class BrownianDrift(AbstractDrift):
    """Nothing moves: b(x) = 0."""

    def __call__(self, x: Array) -> Array:
        """Zero, shape (coordinate,)."""
        return jnp.zeros_like(x)


class Brownian(AbstractReference):
    """No drift, for any number of coordinates. It has no sites."""

    def sites(self) -> tuple[str, ...]:
        """None."""
        return ()

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> BrownianDrift:
        """Nothing is sampled."""
        return BrownianDrift()
