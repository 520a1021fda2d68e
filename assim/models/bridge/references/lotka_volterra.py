r"""Prey x and predators y (Lotka 1925; Volterra 1926), the populations themselves and not their logarithms.

$$b(x, y) = (a x - b\,x y,\ d\,x y - c\,y)$$

(Shen, Berlinghieri and Broderick 2025, arXiv:2408.06277.) Over a whole turn the mean of y is a/b and that of x is
c/d, so that with the means $\bar x, \bar y$ and the step h of the region

$$a, c \sim \mathrm{LogNormal}(\log h^{-1}, 1), \quad b \sim \mathrm{LogNormal}(\log (h \bar y)^{-1}, 1), \quad
d \sim \mathrm{LogNormal}(\log (h \bar x)^{-1}, 1).$$
"""

import jax.numpy as jnp

from assim.models.bridge.priors import around, sampled
from assim.models.bridge.references.base import AbstractDrift, AbstractNamedReference
from assim.models.bridge.region import Region
from assim.types import Array, Float

WIDE = 1.0
"""Prior sd of the logarithm of a rate."""


class LotkaVolterraDrift(AbstractDrift):
    """Prey that are born and eaten, predators that live on them and die.

    Args:
        birth: a, shape (), per unit of time.
        predation: b, shape (), per predator and unit of time.
        death: c, shape (), per unit of time.
        growth: d, shape (), per prey and unit of time.
    """

    birth: Float[Array, ""]
    predation: Float[Array, ""]
    death: Float[Array, ""]
    growth: Float[Array, ""]

    def __call__(self, x: Float[Array, "2"]) -> Float[Array, "2"]:
        """The velocity of both populations, shape (2,)."""
        prey, predators = x
        met = prey * predators
        return jnp.stack(
            [self.birth * prey - self.predation * met, self.growth * met - self.death * predators]
        )


class LotkaVolterra(AbstractNamedReference):
    """Prey and predators, in this order.

    Sites, each of shape (): `drift.birth` a, per unit of time; `drift.predation` b, per predator and unit of time;
    `drift.death` c, per unit of time; `drift.growth` d, per prey and unit of time.

    Args:
        priors: distributions instead of the default ones, by the name of the site without `drift.`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("birth", "predation", "death", "growth")
    moves = (2, "prey and predators")

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> LotkaVolterraDrift:
        """Rates of one in a step, to a factor."""
        self.require(coordinates)
        rate = 1.0 / region.step
        prey, predators = jnp.maximum(region.centre, 0.1 * region.spread)
        defaults = {
            "birth": around(rate, WIDE),
            "predation": around(rate / predators, WIDE),
            "death": around(rate, WIDE),
            "growth": around(rate / prey, WIDE),
        }
        return LotkaVolterraDrift(**sampled("drift", defaults, self.priors))
