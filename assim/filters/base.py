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
from assim.linalg import gaussian_log_density, mask_root, tria
from assim.statespace import (
    AbstractCorrelated,
    AbstractStateSpace,
    AbstractTurning,
    AbstractWrapped,
    Span,
)
from assim.types import Array, Bool, Float, Key, Keys, PyTree

type Belief = PyTree


class Cycle(eqx.Module):
    """One step in time and what was read at its end; stacked on a leading axis, a record.

    Args:
        span: from the previous time to this one; seconds.
        y: readings, shape (channel,), internal units; 0 where missing.
        mask: True where read, shape (channel,).
        sd: the file's own standard error, shape (channel,), internal units; 0 where unknown.
        u: inputs that hold at the end of the span, shape (input,), or None.
        where: coordinates of the sensors, shape (channel, coordinate), or None where the channels say it all.
    """

    span: Span
    y: Float[Array, " channel"]
    mask: Bool[Array, " channel"]
    sd: Float[Array, " channel"]
    u: Float[Array, " input"] | None = None
    where: Float[Array, "channel coordinate"] | None = None


class Innovation(eqx.Module):
    r"""What came minus what was foreseen, $d = y - \overline{h(x)}$, and how likely it was.

    Args:
        residual: d, shape (channel,), internal units; 0 where missing.
        sd: its standard deviation by the filter, shape (channel,), internal units.
        log_score: log of the predictive density of each reading, shape (channel,); 0 where missing.
    """

    residual: Float[Array, " channel"]
    sd: Float[Array, " channel"]
    log_score: Float[Array, " channel"]


class Dynamics(eqx.Module):
    """A state-space model, or one for each member: the draws of its parameters are the ensemble.

    Args:
        ssm: the model; with `each`, a batch of them on a leading member axis.
        each: whether every member has parameters of its own.
        where: coordinates of sensors that stay, shape (channel, coordinate); a cycle may bring others.
        shared: of each array of a batch of models, whether it is one for all of them; () where each has its own.
    """

    ssm: AbstractStateSpace
    each: bool = eqx.field(static=True, default=False)
    where: Float[Array, "channel coordinate"] | None = None
    shared: tuple[bool, ...] = eqx.field(static=True, default=())

    @property
    def axes(self) -> PyTree:
        """The axis of the members in each array of a batch of models; None where it is one for all of them."""
        if not self.shared:
            return eqx.if_array(0)
        structure = jax.tree.structure(eqx.filter(self.ssm, eqx.is_array))
        return jax.tree.unflatten(structure, [None if one else 0 for one in self.shared])

    @property
    def one(self) -> AbstractStateSpace:
        """The first of a batch of models."""
        arrays, rest = eqx.partition(self.ssm, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)
        shared = self.shared or (False,) * len(leaves)
        kept = [leaf if one else leaf[0] for leaf, one in zip(leaves, shared, strict=True)]
        return eqx.combine(jax.tree.unflatten(structure, kept), rest)

    def sight(self, ssm: AbstractStateSpace, x: Array, cycle: Cycle) -> Distribution:
        """p(y | x) of one state at the end of a cycle."""
        return ssm.observation(x, cycle.span, self.positions(cycle), cycle.sd, cycle.u)

    def positions(self, cycle: Cycle) -> Array | None:
        """Where the sensors are at a cycle, or None where the channels say it all."""
        return self.where if cycle.where is None else cycle.where

    def moved(self, ensemble: Array, cycle: Cycle, *, keys: Keys) -> Array:
        """Every member (member, state) after the span of a cycle."""

        def move(ssm: AbstractStateSpace, x: Array, key: Key) -> Array:
            return ssm.transition(x, cycle.span, cycle.u, key=key)

        after = eqx.filter_vmap(move, in_axes=(self._axis, 0, 0))(self.ssm, ensemble, keys)
        return self._beside(after)

    def seen(self, ensemble: Array, cycle: Cycle) -> tuple[Array, Array]:
        """What each member would be read as, and the variance of the error, each shape (member, channel)."""

        def see(ssm: AbstractStateSpace, x: Array) -> tuple[Array, Array]:
            density = self.sight(ssm, x, cycle)
            if isinstance(ssm, AbstractTurning):
                return ssm.facing(density.mean, cycle.y), density.variance
            return density.mean, density.variance

        return eqx.filter_vmap(see, in_axes=(self._axis, 0))(self.ssm, ensemble)

    def alongside(self, seen: Array) -> Array:
        """Readings of members (member, channel), directions within half a turn of those of the first."""
        if not isinstance(self.ssm, AbstractTurning):
            return seen

        def turn(ssm: AbstractTurning, y: Array) -> Array:
            return ssm.facing(y, seen[0])

        return eqx.filter_vmap(turn, in_axes=(self._axis, 0))(self.ssm, seen)

    def log_likelihood(self, ensemble: Array, cycle: Cycle) -> Float[Array, "member channel"]:
        """Log density of the readings given each member, shape (member, channel); 0 where missing."""

        def tell(ssm: AbstractStateSpace, x: Array) -> Array:
            return jnp.where(cycle.mask, self.sight(ssm, x, cycle).log_prob(cycle.y), 0.0)

        return eqx.filter_vmap(tell, in_axes=(self._axis, 0))(self.ssm, ensemble)

    def log_density(self, ensemble: Array, cycle: Cycle) -> Float[Array, " member"]:
        """Log density of all readings together given each member, shape (member,); 0 where none was read."""
        root = self.error_root(cycle)
        if root is None:
            return self.log_likelihood(ensemble, cycle).sum(axis=1)
        residuals = jnp.where(cycle.mask, cycle.y - self.seen(ensemble, cycle)[0], 0.0)
        root = mask_root(root, cycle.mask)
        return jax.vmap(lambda r: gaussian_log_density(r, root, cycle.mask))(residuals)

    def error_root(self, cycle: Cycle) -> Float[Array, "channel channel"] | None:
        """A Cholesky factor of the covariance of the errors where they go together, else None."""
        ssm = self.ssm
        if not isinstance(ssm, AbstractCorrelated):
            return None
        if not self.each:
            root = ssm.error_root(cycle.span, self.positions(cycle))
        else:
            roots = eqx.filter_vmap(
                lambda ssm: ssm.error_root(cycle.span, self.positions(cycle)),
                in_axes=(self.axes,),
                out_axes=1,
            )(ssm)
            root = (roots / roots.shape[1] ** 0.5).reshape(roots.shape[0], -1)
        return tria(jnp.concatenate([root, jnp.diag(cycle.sd)], axis=1))

    def _beside(self, ensemble: Array) -> Array:
        """Members whose directions can be averaged: all within half a turn of those of the first."""
        if not isinstance(self.ssm, AbstractTurning):
            return ensemble

        def turn(ssm: AbstractTurning, x: Array) -> Array:
            return ssm.beside(x, ensemble[0])

        return eqx.filter_vmap(turn, in_axes=(self._axis, 0))(self.ssm, ensemble)

    @property
    def name(self) -> str:
        """Of the model, or of what is inside it."""
        return self.ssm.inside if isinstance(self.ssm, AbstractWrapped) else type(self.ssm).__name__

    @property
    def _axis(self) -> object:
        return self.axes if self.each else None


class AbstractFilter(eqx.Module):
    """A way to carry a belief through cycles."""

    def __check_init__(self) -> None:
        counted(self, least=2, size=self.size)

    @property
    @abstractmethod
    def size(self) -> int | None:
        """Members, each of which may have parameters of its own; None where the belief is a Gaussian."""

    @abstractmethod
    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Belief:
        """The belief before the first cycle, from the distribution of the first state."""

    @abstractmethod
    def forecast(self, dynamics: Dynamics, belief: Belief, cycle: Cycle, *, key: Key) -> Belief:
        """The belief after the span of a cycle: the background."""

    @abstractmethod
    def analysis(
        self, dynamics: Dynamics, belief: Belief, cycle: Cycle, *, key: Key
    ) -> tuple[Belief, Innovation]:
        """The belief after the readings of a cycle, and the innovation; untouched where nothing was read."""

    @abstractmethod
    def moments(self, belief: Belief) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation of the state."""

    @abstractmethod
    def sample(
        self, belief: Belief, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members, or draws where there are none, and the logs of their weights, None where all weigh alike."""


class AbstractSingle(AbstractFilter):
    """A filter of one model, whose belief is a Gaussian."""

    size: None = eqx.field(static=True, default=None, init=False)


class AbstractRemembering(AbstractFilter):
    """A filter that looks back over cycles, and needs room for them before the first."""

    @abstractmethod
    def opened(self, belief: Belief, cycles: Cycle) -> Belief:
        """The belief with room for cycles like these, or as it is where it has room already."""


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
    """The belief before a record, with room for what the filter will remember of it."""
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
    """One cycle: forecast and analysis, their keys folded from its absolute number."""
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
