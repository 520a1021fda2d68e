r"""The error of measurement: a sample shows $y = x + \varepsilon$, $\varepsilon \sim \mathcal N(0, R)$, R diagonal.

$$R_i = 10^{-6} s_i^2, \qquad R_i = r_i^2 + 10^{-6} s_i^2, \qquad R_i = r_i^2 + (\rho\,y_i)^2 + 10^{-6} s_i^2,$$

$$r_i \sim \mathrm{HalfNormal}(\tau s_i), \qquad \rho \sim \mathrm{HalfNormal}(\tau),$$

with the spread s of the region: a millionth of its square is added to every one, without which a particle that is
seen exactly would leave nothing to chance to divide by. A part in proportion is of what was read, y, as where the
particle truly is nobody knows.
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

    def share(self) -> Float[Array, ""] | None:
        """What part of a reading its error is, beside R; None where errors are the same everywhere."""
        return None


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
        _require_scale(self.scale)
        require_priors("Learned", self.priors, ("sd",))

    def prior(self, region: Region) -> Array:
        """Less than the region's spread."""
        return _learned(self, region)


class Mixed(AbstractError):
    """Learned: a part that is the same everywhere, and an independent one in proportion to what is read.

    Sites: `error.sd` r, shape (coordinate,), units of the coordinates; `error.share` rho, shape (), without a unit.

    Args:
        scale: tau, scale of both priors: of the region's spread, and of a reading.
        priors: distributions instead of the default ones, by the names `sd` and `share`.

    Raises:
        ValueError: a scale that is not positive; a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    scale: float = eqx.field(static=True, default=0.1)
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __check_init__(self) -> None:
        _require_scale(self.scale)
        require_priors("Mixed", self.priors, ("sd", "share"))

    def prior(self, region: Region) -> Array:
        """The part that is the same everywhere: less than the region's spread."""
        return _learned(self, region)

    def share(self) -> Array:
        """The part in proportion: less than a reading."""
        return sampled("error", {"share": dist.HalfNormal(self.scale)}, _named(self, "share"))[
            "share"
        ]


def _learned(error: Learned | Mixed, region: Region) -> Array:
    """The variance that is the same everywhere."""
    sd = sampled("error", {"sd": dist.HalfNormal(error.scale * region.spread)}, _named(error, "sd"))
    return sd["sd"] ** 2 + LEAST * region.spread**2


def _named(error: Learned | Mixed, name: str) -> dict[str, Distribution]:
    return {k: v for k, v in error.priors.items() if k == name}


def _require_scale(scale: float) -> None:
    if not scale > 0:
        raise ValueError(f"scale={scale} has to be positive: give a share of the spread.")
