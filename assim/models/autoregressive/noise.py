r"""How far a reading may fall from its mean: a fixed, learned or varying scale, Normal or Student-t.

$$s = d\,\big(\operatorname{softplus}(r + r_0) + 10^{-3}\big), \qquad r \sim \mathcal N(0, \cdot)$$

with $d$ the increment scale of the channel and $r$ a site (constant) or an output of the network (varying).
The offset $r_0 = 0.2$ puts the prior median at 0.8 d.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.types import Array

OFFSET = 0.2
SMALLEST = 1e-3


class AbstractNoise(eqx.Module):
    """A noise model: settings only."""

    @property
    @abstractmethod
    def varying(self) -> bool:
        """Whether the network gives the scale."""

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
        scale: in units of the increment sd of each channel.
    """

    scale: float = 1.0

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
    """

    df: float = 4.0
    varying: bool = True

    def __check_init__(self) -> None:
        if self.df <= 2:
            raise ValueError(f"df={self.df} has no finite variance; give df > 2.")

    def constant(self, shape: tuple[int, ...]) -> Array:
        """The learned scale."""
        return _learned(shape)


def relative_scale(raw: Array) -> Array:
    """Positive scale from an unbounded number."""
    return jax.nn.softplus(raw + OFFSET) + SMALLEST


def _learned(shape: tuple[int, ...]) -> Array:
    raw = numpyro.sample(
        "noise", dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
    )
    return relative_scale(raw)
