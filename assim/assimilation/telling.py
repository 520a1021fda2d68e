"""A filter through a stretch of cycles, one scan under one `jit`, and what is told of each cycle."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.assimilation.scene import AbstractShown, AsItIs, Scene
from assim.filters.base import (
    AbstractFilter,
    Belief,
    Cycle,
    Dynamics,
    Innovation,
    Told,
    cycled,
    opened,
)
from assim.filters.gaussian import Gaussian
from assim.filters.smoother import AbstractSmoother
from assim.models.foreseen import foreseen, one_by_one
from assim.statespace import AbstractStateSpace, Context
from assim.types import Array, Bool, Float, Key, PyTree


class Sample(eqx.Module):
    """A belief as it is told.

    Args:
        members: shape (member, column), internal units.
        log_weight: of each, shape (member,); None where all weigh alike.
        moments: mean and standard deviation, each shape (column,), where they are known beyond the members.
    """

    members: Float[Array, "member column"]
    log_weight: Float[Array, " member"] | None
    moments: tuple[Float[Array, " column"], Float[Array, " column"]] | None


class Kept(eqx.Module):
    """What is told of a cycle; of a stretch, stacked on a leading time axis.

    Args:
        background: before the readings.
        analysis: after them.
        innovation: what lies between.
        after: readings minus the analysis, shape (channel,), internal units; 0 where missing.
        error: standard deviation of a reading's own error, shape (channel,), internal units.
        log_likelihood: log density of each reading given earlier times and the earlier channels of its own, where
            the belief is a Gaussian, else given earlier times alone; shape (channel,), 0 where missing.
    """

    background: Sample
    analysis: Sample
    innovation: Innovation
    after: Float[Array, " channel"]
    error: Float[Array, " channel"]
    log_likelihood: Float[Array, " channel"]


@eqx.filter_jit
def stretch(
    chosen: AbstractFilter,
    dynamics: Dynamics,
    belief: Belief,
    cycles: Cycle,
    valid: Bool[Array, " time"],
    first_step: Array,
    shown: AbstractShown,
    key: Key,
) -> tuple[Belief, Kept]:
    """The belief after the valid ones of some cycles, and what is told of all.

    Args:
        chosen: the filter.
        dynamics: the model.
        belief: before the first span.
        cycles: stacked on a leading time axis.
        valid: which of them there are, shape (time,); the others pad the stretch and change nothing.
        first_step: absolute number of the first.
        shown: what is told of members.
        key: all randomness.
    """

    def step(belief: Belief, at: tuple[Array, Cycle, Array]) -> tuple[Belief, Kept]:
        number, cycle, there = at
        told = cycled(chosen, dynamics, belief, cycle, number, key=key)
        k_before, k_after = jax.random.split(jax.random.fold_in(jax.random.fold_in(key, number), 2))
        before = _sampled(chosen, dynamics, told.background, cycle, shown, key=k_before)
        after = _sampled(chosen, dynamics, told.analysis, cycle, shown, key=k_after)
        residual, error = _after(chosen, dynamics, told.analysis, cycle, key=k_after)
        chained = _chained(chosen, dynamics, told, cycle)
        kept = Kept(before, after, told.innovation, residual, error, chained)
        return jax.tree.map(lambda a, b: jnp.where(there, a, b), told.analysis, belief), kept

    numbers = first_step + jnp.arange(valid.shape[0])
    return jax.lax.scan(step, belief, (numbers, cycles, valid))


@eqx.filter_jit
def told(
    chosen: AbstractSmoother,
    dynamics: Dynamics,
    between: tuple[PyTree, PyTree | None],
    cycles: Cycle,
    shown: AbstractShown,
    first_step: Array,
    key: Key,
) -> tuple[PyTree, tuple[Sample, Array, Array]]:
    """What the stretch before needs, and what is told of the beliefs after every cycle given later readings too.

    That is they themselves, and mean squares over channels of the innovations on the way forward and of readings
    minus beliefs, in units of the standard deviation of the innovations; NaN where nothing was read.

    Args:
        chosen: the smoother.
        dynamics: the model.
        between: what the way forward said of the stretch, and what this function said of the stretch that follows,
            None where none does.
        cycles: the stretch.
        shown: what is told of members.
        first_step: absolute number of the first cycle.
        key: all randomness.
    """
    passed, later = between
    first, beliefs = chosen.back(dynamics, passed, cycles, later)

    def tell(
        belief: Belief, cycle: Cycle, number: Array, innovation: Innovation
    ) -> tuple[Sample, Array, Array]:
        k_now = jax.random.fold_in(key, number)
        sample = _sampled(chosen, dynamics, belief, cycle, shown, key=k_now)
        left, _ = _after(chosen, dynamics, belief, cycle, key=k_now)
        sd, none = innovation.sd, jnp.where(cycle.mask.any(), 0.0, jnp.nan)
        before, after = (
            jnp.mean((r / jnp.where(sd > 0, sd, 1.0)) ** 2, where=cycle.mask) + none
            for r in (innovation.residual, left)
        )
        return sample, before, after

    numbers = first_step + jnp.arange(cycles.mask.shape[0])
    return first, jax.vmap(tell)(beliefs, cycles, numbers, passed.innovation)


@eqx.filter_jit
def forward(
    chosen: AbstractSmoother,
    dynamics: Dynamics,
    belief: Belief,
    cycles: Cycle,
    first_step: Array,
    key: Key,
) -> tuple[Belief, PyTree]:
    """The way forward of a smoother through a stretch, compiled."""
    return chosen.forward(dynamics, belief, cycles, key=key, first_step=first_step)


def each(go: Callable) -> Callable:
    """The same for a batch of models on a leading axis, each with what it takes up of its own.

    Args:
        go: a function of a filter, the dynamics of one model, what that takes up, what all share, and a key.
    """

    @eqx.filter_jit
    def batched(chosen: object, dynamics: Dynamics, own: PyTree, *shared: PyTree) -> PyTree:
        *rest, key = shared
        count = jax.tree.leaves(own)[0].shape[0]

        def one(ssm: AbstractStateSpace, own: PyTree, number: Array) -> PyTree:
            return go(chosen, _of(dynamics, ssm), own, *rest, jax.random.fold_in(key, number))

        axis = eqx.if_array(0)
        axes = (dynamics.axes, axis, 0)
        return eqx.filter_vmap(one, in_axes=axes)(dynamics.ssm, own, jnp.arange(count))

    return batched


stretches, forward_each, told_each = each(stretch), each(forward), each(told)


def begun(chosen: AbstractFilter | AbstractSmoother, scene: Scene, *, key: Key) -> Belief:
    """The belief before the first cycle; of a batch of models, one for each."""
    if scene.several is not None:
        return _begun_each(chosen, scene.dynamics, scene.cycles, scene.context, key)
    belief = chosen.start(scene.dynamics, scene.first, key=key)
    return belief if isinstance(chosen, AbstractSmoother) else opened(chosen, belief, scene.cycles)


@eqx.filter_jit
def _begun_each(
    chosen: AbstractFilter | AbstractSmoother,
    dynamics: Dynamics,
    cycles: Cycle,
    context: Context,
    key: Key,
) -> Belief:
    k_init, k_start = jax.random.split(key)

    def one(ssm: AbstractStateSpace) -> Belief:
        belief = chosen.start(_of(dynamics, ssm), ssm.init(context, key=k_init), key=k_start)
        return belief if isinstance(chosen, AbstractSmoother) else opened(chosen, belief, cycles)

    return eqx.filter_vmap(one, in_axes=(dynamics.axes,))(dynamics.ssm)


def _of(dynamics: Dynamics, ssm: AbstractStateSpace) -> Dynamics:
    """One model of a batch."""
    return Dynamics(ssm, dynamics.each, dynamics.where)


def _sampled(
    chosen: AbstractFilter | AbstractSmoother,
    dynamics: Dynamics,
    belief: Belief,
    cycle: Cycle,
    shown: AbstractShown,
    *,
    key: Key,
) -> Sample:
    members, log_weight = chosen.sample(belief, key=key)
    exact = isinstance(shown, AsItIs) and shown.varying is None
    told = shown(dynamics, members, cycle)
    if not exact:
        return Sample(told, log_weight, None)
    mean, sd = chosen.moments(belief)
    return Sample(told, log_weight, (mean[: told.shape[1]], sd[: told.shape[1]]))


def _chained(
    chosen: AbstractFilter, dynamics: Dynamics, told: Told, cycle: Cycle
) -> Float[Array, " channel"]:
    """Log densities whose sum is that of all channels together, where the belief is a Gaussian."""
    if not isinstance(told.background, Gaussian):
        return told.innovation.log_score
    loc, scale = one_by_one(*foreseen(chosen, dynamics, told.background, cycle), cycle)
    return jnp.where(cycle.mask, jax.scipy.stats.norm.logpdf(cycle.y, loc, scale), 0.0)


def _after(
    chosen: AbstractFilter | AbstractSmoother,
    dynamics: Dynamics,
    belief: Belief,
    cycle: Cycle,
    *,
    key: Key,
) -> tuple[Float[Array, " channel"], Float[Array, " channel"]]:
    """Readings minus what the analysis would be read as, and the standard deviation of their own error."""
    members, log_weight = chosen.sample(belief, key=key)
    if chosen.size is None:
        members, log_weight = chosen.moments(belief)[0][None], None
    seen, variance = dynamics.seen(members, cycle)
    mean = seen.mean(axis=0) if log_weight is None else jnp.exp(log_weight) @ seen
    return jnp.where(cycle.mask, cycle.y - mean, 0.0), jnp.sqrt(variance.mean(axis=0))
