r"""Particles are lost at the rate $\lambda(x)$ where they are, and last with probability $e^{-\int\lambda}$.

Along a path that is what `assim.generate` and `assim.forecast` give as `weight`.

$$\lambda = \lambda_0, \qquad \log\lambda(x) = \log\lambda_0 + \sum_i \beta_i\,\frac{x_i - c_i}{s_i}$$

with the centre c and the spread s of the region (the second is a proportional hazard, Cox 1972). With its span T

$$\lambda_0 \sim \mathrm{LogNormal}(\log T^{-1},\ 1.5), \qquad \beta_i \sim \mathcal N(0, 1).$$

Where particles are born too, what counts is the net rate, of either sign,

$$\lambda(x) = \lambda_0 + \sum_i \gamma_i\,\frac{x_i - c_i}{s_i}, \qquad
\lambda_0 \sim \mathcal N(0, (3/T)^2), \qquad \gamma_i \sim \mathcal N(0, T^{-2}).$$
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.models.bridge.priors import AbstractPriors, around, sampled
from assim.models.bridge.region import Region
from assim.types import Array, Float

WIDE = 1.5
"""Prior sd of the logarithm of a rate of loss around one in the whole span."""
MORE = 3.0
"""Prior sd of a net rate, in the whole span."""


class AbstractRate(eqx.Module):
    """A rate of loss in place, told by how far one is from the middle of the region.

    Args:
        rate: lambda_0, shape (), per unit of time.
        slope: along each coordinate, shape (coordinate,).
        centre: c, shape (coordinate,).
        spread: s, shape (coordinate,).
    """

    rate: Float[Array, ""]
    slope: Float[Array, " coordinate"]
    centre: Float[Array, " coordinate"]
    spread: Float[Array, " coordinate"]

    @abstractmethod
    def __call__(self, x: Float[Array, " coordinate"]) -> Float[Array, ""]:
        """The rate of loss at x.

        Args:
            x: shape (coordinate,), units of the coordinates.

        Returns:
            Shape (), per unit of time.
        """

    def along(self, x: Float[Array, " coordinate"]) -> Float[Array, ""]:
        """The slope times the distance from the centre in spreads, shape ()."""
        return self.slope @ ((x - self.centre) / self.spread)


class Rate(AbstractRate):
    """A hazard whose logarithm is linear in the place: its slope is beta, without unit."""

    def __call__(self, x: Float[Array, " coordinate"]) -> Float[Array, ""]:
        """The rate of loss at x, positive."""
        return self.rate * jnp.exp(self.along(x))


class NetRate(AbstractRate):
    """Loss less birth, linear in the place: its slope is gamma, per unit of time."""

    def __call__(self, x: Float[Array, " coordinate"]) -> Float[Array, ""]:
        """The net rate of loss at x, negative where more are born."""
        return self.rate + self.along(x)


class AbstractHazard(eqx.Module):
    """How particles are lost, with its settings."""

    @abstractmethod
    def prior(self, region: Region) -> AbstractRate | None:
        """NumPyro sample statements.

        Args:
            region: what priors are scaled by.

        Returns:
            A rate of loss, or None where none is lost.

        Raises:
            ValueError: a prior of another shape.
        """


class NoHazard(AbstractHazard):
    """None is lost: however many a snapshot has, it tells nothing. It has no sites."""

    def prior(self, region: Region) -> None:
        """Nothing is sampled."""
        return


class ConstantHazard(AbstractHazard, AbstractPriors):
    """Lost at the same rate everywhere.

    Site: `hazard.rate` lambda_0, shape (), per unit of time.

    Args:
        priors: a distribution instead of the default one, by the name `rate`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("rate",)

    def prior(self, region: Region) -> Rate:
        """One in the whole span, to a factor."""
        defaults = {"rate": around(1.0 / region.span, WIDE)}
        drawn = sampled("hazard", defaults, self.priors)
        still = jnp.zeros_like(region.centre)
        return Rate(**drawn, slope=still, centre=region.centre, spread=region.spread)


class LinearHazard(AbstractHazard, AbstractPriors):
    """Lost at a rate whose logarithm is linear in the place.

    Sites: `hazard.rate` lambda_0, the rate at the region's centre, shape (), per unit of time; `hazard.slope` beta,
    of its logarithm in a spread, shape (coordinate,).

    Args:
        priors: distributions instead of the default ones, by the names `rate` and `slope`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("rate", "slope")

    def prior(self, region: Region) -> Rate:
        """One in the whole span at the centre, to a factor, more or less of them in a spread."""
        still = jnp.zeros_like(region.centre)
        defaults = {
            "rate": around(1.0 / region.span, WIDE),
            "slope": dist.Normal(still, jnp.ones_like(still)),
        }
        drawn = sampled("hazard", defaults, self.priors)
        return Rate(**drawn, centre=region.centre, spread=region.spread)


class NetHazard(AbstractHazard, AbstractPriors):
    """Lost and born: the net rate is linear in the place, and negative where more enter than leave.

    Who is born is where its parent is. How many a snapshot holds is taken for Poisson, as with losses alone.

    Sites: `hazard.rate` lambda_0, the net rate at the region's centre, shape (), per unit of time; `hazard.slope`
    gamma, in a spread, shape (coordinate,), per unit of time.

    Args:
        priors: distributions instead of the default ones, by the names `rate` and `slope`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("rate", "slope")

    def prior(self, region: Region) -> NetRate:
        """A few more or fewer in the whole span, and as many again in a spread."""
        still, slow = jnp.zeros_like(region.centre), 1.0 / region.span
        defaults = {
            "rate": dist.Normal(jnp.zeros_like(slow), MORE * slow),
            "slope": dist.Normal(still, jnp.full_like(still, slow)),
        }
        drawn = sampled("hazard", defaults, self.priors)
        return NetRate(**drawn, centre=region.centre, spread=region.spread)
