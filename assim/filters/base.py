r"""What every filter is: a belief that is moved, then corrected.

$$p(x_k \mid y_{<k}) = \int p(x_k \mid x_{k-1})\, p(x_{k-1} \mid y_{<k})\, dx_{k-1}, \qquad
p(x_k \mid y_{\le k}) \propto p(y_k \mid x_k)\, p(x_k \mid y_{<k})$$

A filter sees arrays alone, one cycle at a time. Its belief is a pytree of its own; what it says of it is the mean
and the standard deviation, and of the readings the innovation, before the correction.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.checking import counted
from assim.filters.dynamics import Cycle, Dynamics, Innovation
from assim.types import Array, Float, Key, PyTree

type Belief = PyTree


class AbstractFilter(eqx.Module):
    """A way to carry a belief through cycles.

    Raises:
        ValueError: fewer than two members.
        TypeError: members that are no whole number.
    """

    def __check_init__(self) -> None:
        counted(self, least=2, size=self.size)

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Members, each of which may have parameters of its own; None where the belief is a Gaussian."""

    @abstractmethod
    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Belief:
        """The belief before the first cycle.

        Args:
            dynamics: the model.
            prior: the distribution of the first state, internal units.
            key: all randomness.

        Returns:
            A belief that knows of no reading.
        """

    @abstractmethod
    def forecast(self, dynamics: Dynamics, belief: Belief, cycle: Cycle, *, key: Key) -> Belief:
        """The belief after the span of a cycle: the background.

        Args:
            dynamics: the model.
            belief: after the readings of the cycle before.
            cycle: its span, and what was read at its end.
            key: all randomness.

        Returns:
            The belief before the readings of this cycle.
        """

    @abstractmethod
    def analysis(
        self, dynamics: Dynamics, belief: Belief, cycle: Cycle, *, key: Key
    ) -> tuple[Belief, Innovation]:
        """The belief after the readings of a cycle.

        Args:
            dynamics: the model.
            belief: the background.
            cycle: its span, and what was read at its end.
            key: all randomness.

        Returns:
            The belief given them, exactly the background where nothing was read; and the innovation.
        """

    @abstractmethod
    def moments(self, belief: Belief) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation of the state.

        Args:
            belief: the filter's own.

        Returns:
            Each shape (state,), internal units.
        """

    @abstractmethod
    def sample(
        self, belief: Belief, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members, or draws where there are none.

        Args:
            belief: the filter's own.
            key: all randomness.

        Returns:
            Members, shape (member, state), internal units; and the logs of their weights, shape (member,), or None
            where all weigh alike.
        """


class AbstractSingle(AbstractFilter):
    """A filter of one model, whose belief is a Gaussian."""

    size: None = eqx.field(static=True, default=None, init=False)


class AbstractRemembering(AbstractFilter):
    """A filter that looks back over cycles, and needs room for them before the first."""

    @abstractmethod
    def opened(self, belief: Belief, cycles: Cycle) -> Belief:
        """The belief with room for cycles like these.

        Args:
            belief: as it was started, or as it came out of a cycle.
            cycles: a record, stacked on a leading time axis.

        Returns:
            The belief with that room, or as it is where it has room already.
        """


class Told(eqx.Module):
    """What a filter says at the end of a cycle.

    Args:
        background: belief before the readings of the cycle.
        analysis: belief after them.
        innovation: what lies between.
    """

    background: Belief
    analysis: Belief
    innovation: Innovation


def require_matching(dynamics: Dynamics, x: Array, cycles: Cycle) -> None:
    """Refuse a record whose channels are not those that the model reads.

    Args:
        dynamics: the model.
        x: any state, or its shape and dtype.
        cycles: stacked on a leading time axis.

    Raises:
        ValueError: another number of channels.
    """

    def see(x: Array) -> Array:
        cycle = jax.tree.map(lambda leaf: leaf[0], cycles)
        ssm = dynamics.one if dynamics.each else dynamics.ssm
        where = dynamics.positions(cycle)
        return ssm.observation(x, cycle.span, where, None, cycle.u).mean

    channels, expected = cycles.mask.shape[-1], jax.eval_shape(see, x).shape[-1]
    if channels != expected:
        raise ValueError(
            f"The record has {channels} channels and {dynamics.name} reads {expected}: give readings "
            f"of shape (time, {expected}), and masks and errors too."
        )


def opened(chosen: AbstractFilter, belief: Belief, cycles: Cycle) -> Belief:
    """The belief before a record, with room for what the filter will remember of it.

    Args:
        chosen: the filter.
        belief: before the first span.
        cycles: the record, stacked on a leading time axis.

    Returns:
        The belief as it is, unless the filter looks back over cycles.
    """
    return chosen.opened(belief, cycles) if isinstance(chosen, AbstractRemembering) else belief


def cycled(
    chosen: AbstractFilter,
    dynamics: Dynamics,
    belief: Belief,
    cycle: Cycle,
    number: int | Array,
    *,
    key: Key,
) -> Told:
    """One cycle: forecast and analysis, their keys folded from its absolute number.

    Args:
        chosen: the filter.
        dynamics: the model.
        belief: after the cycle before.
        cycle: its span, and what was read at its end.
        number: which cycle it is of the whole record, from 0.
        key: all randomness.

    Returns:
        The beliefs before and after the readings, and the innovation.
    """
    k_forecast, k_analysis = jax.random.split(jax.random.fold_in(key, number))
    background = chosen.forecast(dynamics, belief, cycle, key=k_forecast)
    return Told(background, *chosen.analysis(dynamics, background, cycle, key=k_analysis))


def run(
    chosen: AbstractFilter,
    dynamics: Dynamics,
    belief: Belief,
    cycles: Cycle,
    *,
    key: Key,
    first_step: int | Array = 0,
    keep: "type[Told] | None" = None,
) -> tuple[Belief, PyTree]:
    """Carry a belief through a record: one scan.

    The key of a cycle is folded from its absolute number, so that a record cut in two gives what the whole gives.

    Args:
        chosen: the filter.
        dynamics: the model.
        belief: before the first span.
        cycles: stacked on a leading time axis.
        key: all randomness.
        first_step: absolute number of the first cycle.
        keep: None to keep means and standard deviations; `Told` to keep whole beliefs.

    Returns:
        The last belief, and for every cycle what was kept, on a leading time axis.

    Raises:
        ValueError: cycles of other channels than the model reads.
    """
    require_matching(dynamics, jax.eval_shape(chosen.moments, belief)[0], cycles)

    def step(belief: Belief, at: tuple[Array, Cycle]) -> tuple[Belief, Told]:
        told = cycled(chosen, dynamics, belief, at[1], at[0], key=key)
        if keep is not None:
            return told.analysis, told
        means = (chosen.moments(told.background), chosen.moments(told.analysis))
        return told.analysis, Told(*means, told.innovation)

    numbers = first_step + jnp.arange(cycles.mask.shape[0])
    return jax.lax.scan(step, opened(chosen, belief, cycles), (numbers, cycles))
