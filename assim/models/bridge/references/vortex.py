r"""A rigid elliptic vortex: every particle goes round a centre on an ellipse, all in the same time.

$$b(x, y) = \omega\,\big(-r\,(y - y_c),\ (x - x_c)/r\big), \qquad
\frac{d}{dt}\Big(\frac{(x - x_c)^2}{r} + r\,(y - y_c)^2\Big) = 0$$

(Shen, Berlinghieri and Broderick 2025, arXiv:2408.06277, for the surface of the Gulf of Mexico.) It turns once in
$2\pi/|\omega|$. With the centre c, the spread s and the rate $\nu$ of the region, `Region.pace`,

$$(x_c, y_c) \sim \mathcal N(c, s^2), \qquad \log r \sim \mathcal N(\log(s_1/s_2), 1), \qquad
\omega \sim \mathcal N(0, \nu^2).$$
"""

import jax.numpy as jnp
import numpyro.distributions as dist

from assim.models.bridge.priors import sampled
from assim.models.bridge.references.base import (
    SEVERAL,
    AbstractDrift,
    AbstractNamedReference,
)
from assim.models.bridge.region import Region
from assim.types import Array, Float


class VortexDrift(AbstractDrift):
    """Rotation on ellipses.

    Args:
        centre: (x_c, y_c), shape (2,).
        log_aspect: log r, shape (); r is the width of an orbit over its height.
        rotation: omega, shape (), radians per unit of time, counter-clockwise.
    """

    centre: Float[Array, "2"]
    log_aspect: Float[Array, ""]
    rotation: Float[Array, ""]

    def __call__(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """The velocity at x, shape (2,)."""
        east, north = x - self.centre
        aspect = jnp.exp(self.log_aspect)
        return self.rotation * jnp.stack([-aspect * north, east / aspect])


class Vortex(AbstractNamedReference):
    """A rigid elliptic vortex in two coordinates.

    Sites: `drift.centre`, shape (2,), units of the coordinates; `drift.log_aspect`, shape (), of an orbit's width
    over its height; `drift.rotation`, shape (), radians per unit of time, counter-clockwise.

    Args:
        priors: distributions instead of the default ones, by the name of the site without `drift.`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("centre", "log_aspect", "rotation")
    moves = (2, "both of a plane")

    def searches(self) -> int:
        """Several: once round and once more look alike."""
        return SEVERAL

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> VortexDrift:
        """Somewhere in the region, either way round."""
        self.require(coordinates)
        rate = region.pace()
        wide, high = region.spread
        defaults = {
            "centre": dist.Normal(region.centre, region.spread),
            "log_aspect": dist.Normal(jnp.log(wide / high), jnp.ones_like(rate)),
            "rotation": dist.Normal(jnp.zeros_like(rate), rate),
        }
        return VortexDrift(**sampled("drift", defaults, self.priors))
