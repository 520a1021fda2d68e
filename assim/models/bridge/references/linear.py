r"""A linear drift: springs, decay and rotation around a point of rest.

$$b(x) = u + A (x - c), \qquad A_{ij} \sim \mathcal N\Big(0, \frac{v_i^2}{d\,s_j^2}\Big), \quad
u_i \sim \mathcal N(0, v_i^2)$$

with the centre c, the spread s and the speed v of the region and d coordinates: the Ornstein-Uhlenbeck reference,
whose transition the linear-noise approximation has exactly.
"""

import jax.numpy as jnp
import numpyro.distributions as dist

from assim.models.bridge.priors import sampled
from assim.models.bridge.references.base import AbstractDrift, AbstractNamedReference
from assim.models.bridge.region import Region
from assim.types import Array, Float


class LinearDrift(AbstractDrift):
    """b(x) = u + A (x - c).

    Args:
        matrix: A, shape (coordinate, coordinate), per unit of time.
        offset: u, the velocity at c, shape (coordinate,).
        centre: c, shape (coordinate,).
    """

    matrix: Float[Array, "coordinate coordinate"]
    offset: Float[Array, " coordinate"]
    centre: Float[Array, " coordinate"]

    def __call__(self, x: Array) -> Array:
        """The velocity at x, shape (coordinate,)."""
        return self.offset + self.matrix @ (x - self.centre)


class Linear(AbstractNamedReference):
    """A linear drift, for any number of coordinates.

    Sites: `drift.matrix` A, shape (coordinate, coordinate), per unit of time; `drift.offset` u, the velocity at the
    region's centre, shape (coordinate,), units of the coordinates per unit of time.

    Args:
        priors: distributions instead of the default ones, by the name of the site without `drift.`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("matrix", "offset")
    moves = None

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> LinearDrift:
        """Each velocity of the size of the region's speed."""
        rate = region.speed[:, None] / region.spread / region.size**0.5
        zero = jnp.zeros_like
        defaults = {
            "matrix": dist.Normal(zero(rate), rate),
            "offset": dist.Normal(zero(region.speed), region.speed),
        }
        return LinearDrift(**sampled("drift", defaults, self.priors), centre=region.centre)
