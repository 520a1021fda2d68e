r"""How much chance moves a particle: the root g of $dX = b(X)\,dt + g(X)\,dW$, diagonal, of the place or not.

$$g = \sigma I, \qquad g = \mathrm{diag}(\sigma_i), \qquad g = \mathrm{diag}(\rho\,x_i), \qquad
g = \mathrm{diag}\sqrt{\sigma_i^2 + \rho^2 x_i^2}$$

The last is two independent noises. With the spread s and the step h of the region,

$$\sigma_i \sim \mathrm{LogNormal}\big(\log(0.1\,s_i/\sqrt h),\ 1.5\big), \qquad
\rho \sim \mathrm{LogNormal}\big(\log(0.1/\sqrt h),\ 1.5\big):$$

a tenth of the spread in a step, to a factor of twenty either way; where all coordinates share one $\sigma$, s is
the geometric mean.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.models.bridge.known import known_sd, require_sd
from assim.models.bridge.priors import AbstractPriors, around, sampled
from assim.models.bridge.region import Region
from assim.types import Array, Float

SHARE = 0.1
"""Prior median of what chance moves in a step, of the spread."""
WIDE = 1.5
"""Prior sd of its logarithm."""


class AbstractRoot(eqx.Module):
    """A root of the diffusion, in place."""

    @abstractmethod
    def __call__(self, x: Float[Array, " coordinate"]) -> Float[Array, "coordinate coordinate"]:
        """The root g at one place.

        Args:
            x: shape (coordinate,), units of the coordinates.

        Returns:
            Shape (coordinate, coordinate), units of the coordinates per root of a unit of time.
        """


class AdditiveRoot(AbstractRoot):
    """The same everywhere: diag(sigma).

    Args:
        sd: sigma, shape (coordinate,).
    """

    sd: Float[Array, " coordinate"]

    def __call__(self, x: Array) -> Array:
        """g, shape (coordinate, coordinate)."""
        return jnp.diag(self.sd)


class ProportionalRoot(AbstractRoot):
    """In proportion to the coordinate: diag(rho x).

    Args:
        share: rho, shape () or (coordinate,).
    """

    share: Array

    def __call__(self, x: Array) -> Array:
        """g, shape (coordinate, coordinate)."""
        return jnp.diag(self.share * x)


class MixedRoot(AbstractRoot):
    """Both: diag of the root of sigma^2 + (rho x)^2.

    Args:
        sd: sigma, shape (coordinate,).
        share: rho, shape () or (coordinate,).
    """

    sd: Float[Array, " coordinate"]
    share: Array

    def __call__(self, x: Array) -> Array:
        """g, shape (coordinate, coordinate)."""
        return jnp.diag(jnp.sqrt(self.sd**2 + (self.share * x) ** 2))


class AbstractVolatility(eqx.Module):
    """A family of roots, with its settings."""

    @abstractmethod
    def prior(self, region: Region) -> AbstractRoot:
        """NumPyro sample statements.

        Args:
            region: what priors are scaled by.

        Returns:
            A root.

        Raises:
            ValueError: a prior or a known value of another shape.
        """


class Constant(AbstractVolatility, AbstractPriors):
    """One standard deviation for all coordinates, the same everywhere.

    Site: `volatility.sd` sigma, shape (), units of the coordinates per root of a unit of time.

    Args:
        priors: a distribution instead of the default one, by the name `sd`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("sd",)

    def prior(self, region: Region) -> AdditiveRoot:
        """A tenth of the spread in a step, to a factor."""
        together = jnp.exp(jnp.mean(jnp.log(_in_a_step(region))))
        sd = sampled("volatility", {"sd": around(together, WIDE)}, self.priors)["sd"]
        return AdditiveRoot(jnp.full_like(region.spread, sd))


class Diagonal(AbstractVolatility, AbstractPriors):
    """A standard deviation for each coordinate, the same everywhere.

    Site: `volatility.sd` sigma, shape (coordinate,), units of the coordinates per root of a unit of time.

    Args:
        priors: a distribution instead of the default one, by the name `sd`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("sd",)

    def prior(self, region: Region) -> AdditiveRoot:
        """A tenth of the spread in a step, to a factor."""
        defaults = {"sd": around(_in_a_step(region), WIDE)}
        return AdditiveRoot(**sampled("volatility", defaults, self.priors))


class Multiplicative(AbstractVolatility, AbstractPriors):
    """In proportion to each coordinate, as of populations and concentrations.

    Site: `volatility.share` rho, shape (), or (coordinate,) where the prior that is given has that shape, per root
    of a unit of time.

    Args:
        priors: a distribution instead of the default one, by the name `share`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("share",)

    def prior(self, region: Region) -> ProportionalRoot:
        """A tenth in a step, to a factor."""
        defaults = {"share": around(SHARE / jnp.sqrt(region.step), WIDE)}
        return ProportionalRoot(**sampled("volatility", defaults, self.priors, each=region.size))


class Mixed(AbstractVolatility, AbstractPriors):
    """A part that is the same everywhere, and an independent one in proportion to each coordinate.

    Sites: `volatility.sd` sigma, shape (coordinate,), units of the coordinates per root of a unit of time;
    `volatility.share` rho, shape (), or (coordinate,) where the prior that is given has that shape, per root of a
    unit of time.

    Args:
        priors: distributions instead of the default ones, by the names `sd` and `share`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("sd", "share")

    def prior(self, region: Region) -> MixedRoot:
        """A tenth of either in a step, to a factor."""
        defaults = {
            "sd": around(_in_a_step(region), WIDE),
            "share": around(SHARE / jnp.sqrt(region.step), WIDE),
        }
        return MixedRoot(**sampled("volatility", defaults, self.priors, each=region.size))


class Given(AbstractVolatility):
    """Known, the same everywhere. It has no sites.

    Args:
        sd: sigma, one for all coordinates or one for each, units of the coordinates per root of a unit of time.

    Raises:
        ValueError: a number that is not above zero, or none at all.
    """

    sd: float | tuple[float, ...]

    def __check_init__(self) -> None:
        require_sd("volatilities.Given", self.sd)
        if not np.all(np.asarray(self.sd) > 0):
            raise ValueError(
                f"volatilities.Given has sd={self.sd}, and particles without chance follow one path each, which "
                "meets no snapshot: give a volatility above 0, or learn it with volatilities.Constant()."
            )

    def prior(self, region: Region) -> AdditiveRoot:
        """Nothing is sampled."""
        return AdditiveRoot(known_sd("volatilities.Given", self.sd, region))


def require_chance(
    root: Callable[[Float[Array, " coordinate"]], Array],
    x: Float[Array, "sample coordinate"],
    coordinates: tuple[str, ...],
) -> None:
    """Refuse a volatility that moves a coordinate at none of the samples.

    Args:
        root: g, its parameters in place.
        x: places, shape (sample, coordinate), units of the coordinates.
        coordinates: their names, for the message.

    Raises:
        ValueError: a coordinate that chance does not move; it says which.
    """
    moved = (np.asarray(jax.vmap(root)(x)) != 0).any(axis=(0, 2))
    if not moved.all():
        still = ", ".join(n for n, some in zip(coordinates, moved, strict=True) if not some)
        raise ValueError(
            f"The volatility of {still} is 0 at every sample, and particles without chance follow one path each, "
            "which meets no snapshot: give a prior above 0."
        )


def _in_a_step(region: Region) -> Array:
    """What chance moves, shape (coordinate,), units per root of a unit of time."""
    return SHARE * region.spread / jnp.sqrt(region.step)
