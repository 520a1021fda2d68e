"""What a filter sees: a cycle of the record, and the model that moves and reads every member.

A model is one for all members, or a batch of them on a leading axis, the draws of its parameters.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.linalg import gaussian_log_density, mask_root, tria
from assim.statespace import (
    AbstractCorrelated,
    AbstractStateSpace,
    AbstractTurning,
    AbstractWrapped,
    Span,
)
from assim.types import Array, Bool, Float, Key, Keys, PyTree


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
        """p(y | x) of one state at the end of a cycle.

        Args:
            ssm: the model, one for all members or that of one of them.
            x: shape (state,), internal units.
            cycle: whose sensors read it.

        Returns:
            A distribution over channels, internal units.
        """
        return ssm.observation(x, cycle.span, self.positions(cycle), cycle.sd, cycle.u)

    def positions(self, cycle: Cycle) -> Array | None:
        """Where the sensors are at a cycle.

        Args:
            cycle: which may say so itself.

        Returns:
            Coordinates, shape (channel, coordinate), or None where the channels say it all.
        """
        return self.where if cycle.where is None else cycle.where

    def moved(self, ensemble: Array, cycle: Cycle, *, keys: Keys) -> Array:
        """Every member after the span of a cycle.

        Args:
            ensemble: shape (member, state), internal units.
            cycle: whose span and inputs they are moved by.
            keys: one for each member.

        Returns:
            Members of the same shape, all within half a turn of the first where they have directions.
        """

        def move(ssm: AbstractStateSpace, x: Array, key: Key) -> Array:
            return ssm.transition(x, cycle.span, cycle.u, key=key)

        after = eqx.filter_vmap(move, in_axes=(self._axis, 0, 0))(self.ssm, ensemble, keys)
        return self._beside(after)

    def seen(self, ensemble: Array, cycle: Cycle) -> tuple[Array, Array]:
        """What each member would be read as.

        Args:
            ensemble: shape (member, state), internal units.
            cycle: whose sensors read them.

        Returns:
            The mean of the readings and the variance of their error, each shape (member, channel), internal units.
        """

        def see(ssm: AbstractStateSpace, x: Array) -> tuple[Array, Array]:
            density = self.sight(ssm, x, cycle)
            if isinstance(ssm, AbstractTurning):
                return ssm.facing(density.mean, cycle.y), density.variance
            return density.mean, density.variance

        return eqx.filter_vmap(see, in_axes=(self._axis, 0))(self.ssm, ensemble)

    def alongside(self, seen: Array) -> Array:
        """Readings of members, their directions within half a turn of those of the first.

        Args:
            seen: shape (member, channel), internal units.

        Returns:
            The same readings, so that they can be averaged.
        """
        if not isinstance(self.ssm, AbstractTurning):
            return seen

        def turn(ssm: AbstractTurning, y: Array) -> Array:
            return ssm.facing(y, seen[0])

        return eqx.filter_vmap(turn, in_axes=(self._axis, 0))(self.ssm, seen)

    def log_likelihood(self, ensemble: Array, cycle: Cycle) -> Float[Array, "member channel"]:
        """Log density of each reading by itself, given each member.

        Args:
            ensemble: shape (member, state), internal units.
            cycle: what was read.

        Returns:
            Shape (member, channel); 0 where missing.
        """

        def tell(ssm: AbstractStateSpace, x: Array) -> Array:
            return jnp.where(cycle.mask, self.sight(ssm, x, cycle).log_prob(cycle.y), 0.0)

        return eqx.filter_vmap(tell, in_axes=(self._axis, 0))(self.ssm, ensemble)

    def log_density(self, ensemble: Array, cycle: Cycle) -> Float[Array, " member"]:
        """Log density of all readings together, given each member.

        Args:
            ensemble: shape (member, state), internal units.
            cycle: what was read.

        Returns:
            Shape (member,); 0 where none was read.
        """
        root = self.error_root(cycle)
        if root is None:
            return self.log_likelihood(ensemble, cycle).sum(axis=1)
        residuals = jnp.where(cycle.mask, cycle.y - self.seen(ensemble, cycle)[0], 0.0)
        root = mask_root(root, cycle.mask)
        return jax.vmap(lambda r: gaussian_log_density(r, root, cycle.mask))(residuals)

    def error_root(self, cycle: Cycle) -> Float[Array, "channel channel"] | None:
        """A root of the covariance of the errors of a cycle, the file's own included.

        Args:
            cycle: whose sensors err.

        Returns:
            A Cholesky factor, shape (channel, channel), internal units; None where no error goes with another.
        """
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
