r"""How far a reading may fall from its mean: a fixed, learned or varying scale, Normal or Student-t.

The relative scale is `relative_scale(r)` with $r \sim \mathcal N(0, 1)$ a site (constant) or an output of the
network (varying). It is in units of the change $d_h$ of each channel over the lead; a learned scale grows with the
age a of the channel's newest reading, as the error of a linear prediction from that reading does. So a gap widens
the forecast. Of a channel that was not read it is the error of what another tells (see `likeness`). With $r_k$ the
correlation over k steps,

$$d_{h,a} = d_h \sqrt{(1 - r_{h+a}^2) / (1 - r_h^2)}$$
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.nn.emission import relative_scale
from assim.types import Array


class AbstractNoise(eqx.Module):
    """A noise model: settings only."""

    @property
    @abstractmethod
    def varying(self) -> bool:
        """Whether the network gives the scale."""

    @property
    def widening(self) -> bool:
        """Whether the scale grows with the age of the newest reading."""
        return True

    @property
    @abstractmethod
    def df(self) -> float | None:
        """Degrees of freedom, or None for a Normal."""

    @abstractmethod
    def constant(self, shape: tuple[int, ...]) -> Array:
        """The relative scale where the network gives none, shape `shape`; may sample a site."""


class FixedNormal(AbstractNoise):
    """A Normal of known scale: with a linear mean the posterior is exact.

    Args:
        scale: in units of the increment sd of each channel, whatever the age of its newest reading.

    Raises:
        ValueError: a scale that is not above 0.
    """

    scale: float = 1.0

    def __check_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"FixedNormal(scale={self.scale}) is no spread; give scale > 0.")

    @property
    def widening(self) -> bool:
        """The scale is fixed."""
        return False

    @property
    def varying(self) -> bool:
        """The scale is fixed."""
        return False

    @property
    def df(self) -> float | None:
        """A Normal."""
        return None

    def constant(self, shape: tuple[int, ...]) -> Array:
        """The fixed scale."""
        return jnp.full(shape, self.scale)


class Normal(AbstractNoise):
    """A Normal of learned scale.

    Args:
        varying: whether the scale follows the state (heteroscedastic) or is one number per channel.
    """

    varying: bool = True

    @property
    def df(self) -> float | None:
        """A Normal."""
        return None

    def constant(self, shape: tuple[int, ...]) -> Array:
        """The learned scale."""
        return _learned(shape)


class StudentT(AbstractNoise):
    """A Student-t of learned scale, for sensors that jump.

    Args:
        df: degrees of freedom, above 2.
        varying: whether the scale follows the state.

    Raises:
        ValueError: 2 degrees of freedom or fewer.
    """

    df: float = 4.0
    varying: bool = True

    def __check_init__(self) -> None:
        if self.df <= 2:
            raise ValueError(f"df={self.df} has no finite variance; give df > 2.")

    def constant(self, shape: tuple[int, ...]) -> Array:
        """The learned scale."""
        return _learned(shape)


def _learned(shape: tuple[int, ...]) -> Array:
    raw = numpyro.sample(
        "noise", dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
    )
    return relative_scale(raw)
