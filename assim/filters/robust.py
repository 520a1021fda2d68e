r"""Filters that bear wrong readings: any filter, told less of what it cannot believe.

With d the innovation of a channel and s its standard deviation by the filter, a gate shuts out what is too far:

$$\lvert d\rvert > c\,s$$

An error of Student's t with $\nu$ degrees of freedom is a Gaussian of variance $\sigma^2/\lambda$, with $\lambda$
drawn from $\mathrm{Gamma}(\nu/2, \nu/2)$. The mean given a reading is moved by the slope of the log density of the
innovation (Masreliez 1975), with $p = s^2 - \sigma^2$ the variance of the background in the channel:

$$-\frac{\partial \log p(d)}{\partial d} = d\,\mathrm E\Big[\frac1{p + \sigma^2/\lambda} \,\Big|\, d\Big]
= \frac{d}{p + \sigma^2_d}$$

which is what an error of variance $\sigma^2_d$ does. Where the background is exact, $\sigma^2/\sigma^2_d$ is the
weight $(\nu + 1)/(\nu + d^2/\sigma^2)$ of robust regression. Each channel is taken as if it alone was read, the
expectation by quadrature over $\log\lambda$. An innovation is always told of all readings as they came, so that its
scores are not bettered by what was shut out.
"""

from abc import abstractmethod
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from assim.filters.base import (
    AbstractFilter,
    AbstractRemembering,
    Belief,
    Cycle,
    Dynamics,
    Innovation,
    opened,
)
from assim.filters.checking import between, counted
from assim.filters.weighing import AbstractPicking
from assim.statespace import AbstractStateSpace
from assim.types import Array, Float, Int, Key

NODES = np.linspace(-45.0, 4.0, 700)
"""Logarithms of lambda, for degrees of freedom from 1 to 200."""


class Watched(eqx.Module):
    """The belief of a filter whose readings are looked at first.

    Args:
        belief: of the filter.
        refused: how many readings of each channel were refused in a row, shape (channel,); None before the record
            is known.
    """

    belief: Belief
    refused: Int[Array, " channel"] | None


class AbstractRobust(AbstractRemembering):
    """A filter that looks at the innovation before it lets another have the readings.

    Raises:
        TypeError: what is told less is no filter.
    """

    filter: eqx.AbstractVar[AbstractFilter]

    def __check_init__(self) -> None:
        if not isinstance(self.filter, AbstractFilter):
            raise TypeError(
                f"{type(self).__name__} got {self.filter!r}, and expects a filter: give one, as "
                f"{type(self).__name__}(ETKF())."
            )

    @abstractmethod
    def screened(
        self, dynamics: Dynamics, belief: Watched, cycle: Cycle, innovation: Innovation
    ) -> tuple[Cycle, Int[Array, " channel"] | None]:
        """The cycle as the filter is to be told of it.

        Args:
            dynamics: the model.
            belief: before the readings.
            cycle: what was read.
            innovation: what the filter made of it.

        Returns:
            The cycle with fewer readings, or with larger errors; and how many of each channel were refused in a
            row, shape (channel,), or None before the record is known.
        """

    @property
    def size(self) -> int | None:
        """Members of the filter."""
        return self.filter.size

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Watched:
        """The belief of the filter."""
        return Watched(self.filter.start(dynamics, prior, key=key), None)

    def opened(self, belief: Watched, cycles: Cycle) -> Watched:
        """The belief with room for what the filter remembers, and with nothing refused."""
        none = jnp.zeros(cycles.mask.shape[-1], int) if belief.refused is None else belief.refused
        return Watched(opened(self.filter, belief.belief, cycles), none)

    def forecast(self, dynamics: Dynamics, belief: Watched, cycle: Cycle, *, key: Key) -> Watched:
        """The forecast of the filter."""
        moved = self.filter.forecast(dynamics, belief.belief, cycle, key=key)
        return Watched(moved, belief.refused)

    def analysis(
        self, dynamics: Dynamics, belief: Watched, cycle: Cycle, *, key: Key
    ) -> tuple[Watched, Innovation]:
        """The analysis of the filter, told what is left of the readings; the innovation is of them all."""
        _, innovation = self.filter.analysis(dynamics, belief.belief, cycle, key=key)
        told, refused = self.screened(dynamics, belief, cycle, innovation)
        after, _ = self.filter.analysis(dynamics, belief.belief, told, key=key)
        return Watched(after, refused), innovation

    def moments(self, belief: Watched) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation by the filter."""
        return self.filter.moments(belief.belief)

    def sample(
        self, belief: Watched, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members of the filter."""
        return self.filter.sample(belief.belief, key=key)


class Gated(AbstractRobust):
    """A filter that does not hear of readings too far from what it foresees.

    A filter that is sure of itself and wrong would hear of nothing any more: a channel whose readings were refused
    so often in a row as `patience` says is heard again, until it agrees.

    Args:
        filter: what is told less.
        threshold: standard deviations of the innovation beyond which a reading is refused.
        patience: readings of a channel refused in a row, after which it is heard again.

    Raises:
        ValueError: a negative threshold, or a patience below 1.
        TypeError: no filter, or a setting of another kind.
    """

    filter: AbstractFilter
    threshold: Float[Array, ""] | float = 4.0
    patience: int = eqx.field(static=True, default=5)

    def __check_init__(self) -> None:
        between(self, threshold=self.threshold)
        counted(self, patience=self.patience)

    def screened(
        self, dynamics: Dynamics, belief: Watched, cycle: Cycle, innovation: Innovation
    ) -> tuple[Cycle, Int[Array, " channel"]]:
        """The cycle without what is too far, unless it has been so for long."""
        assert belief.refused is not None
        far = jnp.abs(innovation.residual) > self.threshold * innovation.sd
        heard = cycle.mask & (~far | (belief.refused >= self.patience))
        refused = jnp.where(cycle.mask, jnp.where(far, belief.refused + 1, 0), belief.refused)
        return replace(cycle, mask=heard, y=jnp.where(heard, cycle.y, 0.0)), refused


class Tolerant(AbstractRobust):
    """A filter that takes a reading for the less exact the further it is from what is foreseen.

    The file's own error grows so that the whole has the variance that Student's t asks for; it never falls.

    Args:
        filter: what is told less.
        df: degrees of freedom of the error, nu, from 1 to 200.

    Raises:
        ValueError: fewer degrees of freedom than 1, or more than 200.
        TypeError: no filter, or no number.
    """

    filter: AbstractFilter
    df: Float[Array, ""] | float = 4.0

    def __check_init__(self) -> None:
        between(self, 1.0, 200.0, df=self.df)

    def screened(
        self, dynamics: Dynamics, belief: Watched, cycle: Cycle, innovation: Innovation
    ) -> tuple[Cycle, Int[Array, " channel"] | None]:
        """The cycle with errors as large as the innovation has them."""
        error = _variance(dynamics, self.filter.moments(belief.belief)[0], cycle)
        background = jnp.maximum(innovation.sd**2 - error, 0.0)
        nodes = jnp.asarray(NODES, error.dtype)
        whole = background[:, None] + error[:, None] * jnp.exp(-nodes)
        prior = 0.5 * self.df * (nodes - jnp.exp(nodes))
        likely = -0.5 * (jnp.log(whole) + innovation.residual[:, None] ** 2 / whole)
        weight = jax.nn.softmax(prior + likely, axis=1)
        grown = 1.0 / (weight / whole).sum(axis=1) - background
        more = jnp.where(cycle.mask, jnp.maximum(grown - error, 0.0), 0.0)
        return replace(cycle, sd=jnp.sqrt(cycle.sd**2 + more)), belief.refused


def _variance(dynamics: Dynamics, x: Array, cycle: Cycle) -> Float[Array, " channel"]:
    """That of the error at a state; where members have parameters of their own, its mean over them."""

    def tell(ssm: AbstractStateSpace) -> Array:
        return dynamics.sight(ssm, x, cycle).variance

    if dynamics.each:
        return eqx.filter_vmap(tell, in_axes=(dynamics.axes,))(dynamics.ssm).mean(axis=0)
    return tell(dynamics.ssm)


def picking(chosen: AbstractFilter) -> bool:
    """Whether a filter, or what it wraps, draws whole members again.

    Args:
        chosen: any filter.

    Returns:
        True for a particle filter, however it is wrapped.
    """
    while isinstance(chosen, AbstractRobust):
        chosen = chosen.filter
    return isinstance(chosen, AbstractPicking)
