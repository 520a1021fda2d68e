r"""The error of measurement: a sample shows $y = x + \varepsilon$, $\varepsilon \sim \mathcal N(0, R)$, R diagonal.

$$R_i = 10^{-6} s_i^2, \qquad R_i = r_i^2 + 10^{-6} s_i^2, \quad r_i \sim \mathrm{HalfNormal}(\tau s_i),$$

with the spread s of the region: a millionth of its square is added to every one, without which a particle that is
seen exactly would leave nothing to chance to divide by.
"""

from abc import abstractmethod

import equinox as eqx
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from assim.models.bridge.known import known_sd, require_sd
from assim.models.bridge.priors import require_priors, sampled
from assim.models.bridge.region import Region
from assim.types import Array, Float

LEAST = 1e-6
"""Of the spread squared: the variance of an error that is called none."""


class AbstractError(eqx.Module):
    """How far a sample may lie from its particle."""

    @abstractmethod
    def prior(self, region: Region) -> Float[Array, " coordinate"]:
        """NumPyro sample statements.

        Args:
            region: what priors are scaled by.

        Returns:
            The diagonal of R, shape (coordinate,), units of the coordinates squared.

        Raises:
            ValueError: a prior or a known value of another shape.
        """


class Exact(AbstractError):
    """None but a millionth of the region's spread squared. It has no sites."""

    def prior(self, region: Region) -> Array:
        """Nothing is sampled."""
        return LEAST * region.spread**2


class Given(AbstractError):
    """Known. It has no sites.

    Args:
        sd: r, one for all coordinates or one for each, units of the coordinates.

    Raises:
        ValueError: a number below zero, or none at all.
    """

    sd: float | tuple[float, ...]

    def __check_init__(self) -> None:
        require_sd("errors.Given", self.sd)

    def prior(self, region: Region) -> Array:
        """Nothing is sampled."""
        return known_sd("errors.Given", self.sd, region) ** 2 + LEAST * region.spread**2


class Learned(AbstractError):
    """Learned beside the drift, one for each coordinate.

    Site: `error.sd` r, shape (coordinate,), units of the coordinates.

    Args:
        scale: tau, scale of the prior, of the region's spread.
        priors: a distribution instead of the default one, by the name `sd`.

    Raises:
        ValueError: a scale that is not positive; a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    scale: float = eqx.field(static=True, default=0.1)
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __check_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"scale={self.scale} has to be positive: give a share of the spread.")
        require_priors("Learned", self.priors, ("sd",))

    def prior(self, region: Region) -> Array:
        """Less than the region's spread."""
        defaults = {"sd": dist.HalfNormal(self.scale * region.spread)}
        sd = sampled("error", defaults, self.priors)["sd"]
        return sd**2 + LEAST * region.spread**2
