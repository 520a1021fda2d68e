r"""A linear latent world seen through an emission: what every verb and filter asks of it.

$$z_1 \sim \mathcal N(m, L L^\top), \qquad z(t + \Delta) = F(\Delta)\,z(t) + f(\Delta) + q(\Delta) \odot e, \qquad
y \sim p(y \mid z)$$

Whatever the emission, the belief about z is Gaussian: readings, or what an encoder makes of them, go through the
exact filter. A forecast goes on from its last belief, and the eigenfunctions are its coordinates.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.linalg import tria
from assim.models.koopman.rotations import Rotations
from assim.nn.emission import Emission
from assim.nn.kalman import AbstractSweep, Chain, Filtered, Readings, given_next
from assim.series import Layout
from assim.statespace import (
    AbstractConditional,
    AbstractLatentLinear,
    AbstractNamed,
    AbstractSpectral,
    Context,
    Modes,
    Span,
)
from assim.types import Array, Complex, Float, Key

SETTLED = 50
"""Rows after which what a reading tells is taken to be what it tells in the long run."""


class Record(eqx.Module):
    """A stretch of record as a latent world takes it up.

    Args:
        y: shape (time, channel), internal units; 0 where missing.
        mask: True where read, shape (time, channel).
        sd: known standard error, shape (time, channel), internal units.
        u: inputs, shape (time, input), internal units.
        dt: length of the span that leads to each row, shape (time,), seconds; that of the first is not used.
    """

    y: Float[Array, "time channel"]
    mask: Array
    sd: Float[Array, "time channel"]
    u: Float[Array, "time input"]
    dt: Float[Array, " time"]

    @classmethod
    def of(cls, context: Context, step: float) -> "Record":
        """A context, whose rows are a nominal step apart where it does not say otherwise.

        Args:
            context: the stretch.
            step: nominal step, seconds.

        Returns:
            The same rows.
        """
        equal = jnp.full(context.y.shape[:1], step, context.y.dtype)
        dt = equal if context.dt is None else context.dt
        return cls(context.y, context.mask, context.sd, context.u, dt)

    def waiting(self) -> "Record":
        """The same rows, in which no time passes before the first reading: the world begins with that."""
        return replace(self, dt=jnp.where(_unread(self.mask), 0.0, self.dt))


def _unread(mask: Array) -> Array:
    """The rows up to the first that was read, that one with them."""
    before = jnp.cumsum(mask.any(axis=-1)) - mask.any(axis=-1)
    return before == 0


def in_company[T](tell: Callable[..., T], records: Record, *more: Array) -> T:
    """What is told of each of many stretches; where all are read alike, their covariances are worked out once.

    Args:
        tell: of a record, and what else each has.
        records: stacked on a leading axis.
        more: stacked on it too.

    Returns:
        What was told, on that axis.
    """

    def each() -> T:
        return jax.vmap(tell)(records, *more)

    def together() -> T:
        first = jax.tree.map(lambda leaf: leaf[0], records)

        def one(y: Array, u: Array, *own: Array) -> T:
            return tell(replace(first, y=y, u=u), *own)

        return jax.vmap(one)(records.y, records.u, *more)

    shared = (records.mask, records.sd, records.dt)
    alike = jnp.stack([(leaf == leaf[:1]).all() for leaf in shared]).all()
    return jax.lax.cond(alike, together, each)


class AbstractWorld(AbstractLatentLinear, AbstractSpectral, AbstractConditional, AbstractNamed):
    """A latent world: its dynamics, how it starts, and what sees it."""

    dynamics: eqx.AbstractVar[Rotations]
    mean: eqx.AbstractVar[Float[Array, " state"]]
    root: eqx.AbstractVar[Float[Array, "state state"]]
    sweep: eqx.AbstractVar[AbstractSweep]
    layout: eqx.AbstractVar[Layout]

    @abstractmethod
    def readings(self, record: Record) -> Readings:
        """What a record says of the state, in Gaussian readings of it."""

    @abstractmethod
    def seen(self, z: Float[Array, "... state"], sd: Array | float = 0.0) -> Emission:
        """p(y | z), with an error of the file's own beside the emission's."""

    @abstractmethod
    def first(self, *, key: Key) -> Float[Array, " state"]:
        """A draw of the first state."""

    @abstractmethod
    def slope(self) -> Float[Array, "channel state"]:
        """What a small step of each component shows in the middle of the world, internal units."""

    def chain(self, record: Record) -> Chain:
        """The path that a record is read along.

        Args:
            record: whose spans and inputs it takes.

        Returns:
            Moves of every row.
        """
        move, noise = jax.vmap(self.dynamics.over)(record.dt)
        offset = jax.vmap(self.dynamics.driven)(record.u, record.dt)
        return Chain(self.mean, self.root, move, offset, noise)

    def believed(self, record: Record) -> Filtered:
        """Beliefs about the state along a record.

        Args:
            record: the stretch.

        Returns:
            Given the readings so far, at every row.
        """
        return self.sweep.filtered(self.chain(record), self.readings(record))

    def init(self, context: Context, *, key: Key) -> dist.Distribution:
        """The belief at the end of a context; at its first row where it has none."""
        if context.y.shape[0] == 0:
            return dist.MultivariateNormal(self.mean, scale_tril=self.root)
        told = self.believed(Record.of(context, self.layout.step).waiting())
        return dist.MultivariateNormal(told.mean[-1], scale_tril=tria(told.root[-1]))

    def matrices(self, span: Span, u: Array | None = None) -> tuple[Array, Array, Array]:
        """F, what the inputs add, and a root of Q."""
        move, noise = self.dynamics.over(span.dt)
        u = jnp.zeros(self.dynamics.drive.shape[-1], noise.dtype) if u is None else u
        return move, self.dynamics.driven(u, span.dt), jnp.diag(noise)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """A sample of the state after `span`."""
        move, offset, noise = self.matrices(span, u)
        return move @ x + offset + noise @ jax.random.normal(key, x.shape, x.dtype)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Emission:
        """p(y | z)."""
        return self.seen(x, 0.0 if sd is None else sd)

    def series(
        self, spans: Span, inputs: Float[Array, "time input"], *, key: Key
    ) -> Float[Array, "time channel"]:
        """A path of the latent world from its start, and what is read of it."""
        k_first, k_path = jax.random.split(key)
        return self.onward(self.first(key=k_first), spans, inputs, key=k_path)

    def onward(
        self, first: Float[Array, " state"], spans: Span, inputs: Array, *, key: Key
    ) -> Float[Array, "time channel"]:
        """Readings along a path whose first state is given; the first span leads to it and is not used.

        Args:
            first: shape (state,).
            spans: stacked on (time,); seconds.
            inputs: shape (time, input), internal units.
            key: all randomness.

        Returns:
            Shape (time, channel), internal units.
        """

        def step(z: Array, at: tuple) -> tuple[Array, Array]:
            number, span, u = at
            k_move, k_see = jax.random.split(jax.random.fold_in(key, number))
            moved = self.transition(z, span, u, key=k_move)
            z = jnp.where(number == 0, z, moved)
            return z, self.seen(z).sample(k_see)

        numbers = jnp.arange(spans.dt.shape[0])
        return jax.lax.scan(step, first, (numbers, spans, inputs))[1]

    def filled(self, context: Context, *, key: Key) -> Float[Array, "lag channel"]:
        """Readings along a path of the latent world that is drawn backwards, given all that was read.

        The path is one of the posterior (Frühwirth-Schnatter 1994); what was read is drawn again, as it might have
        been.
        """
        record = Record.of(context, self.layout.step)
        chain, told = self.chain(record), self.believed(record)
        k_path, k_see = jax.random.split(key)
        noise = jax.random.normal(k_path, told.mean.shape, told.mean.dtype)
        last = told.mean[-1] + told.root[-1] @ noise[-1]

        def step(z: Array, at: tuple) -> tuple[Array, Array]:
            *here, e = at
            shift, gain, root = given_next(*here)
            z = shift + gain @ z + root @ e
            return z, z

        moves = (chain.move[1:], chain.offset[1:], chain.noise[1:])
        rows = (told.mean[:-1], told.root[:-1], *moves, noise[:-1])
        _, path = jax.lax.scan(step, last, rows, reverse=True)
        return self.seen(jnp.concatenate([path, last[None]])).sample(k_see)

    def modes(self) -> Modes:
        """The eigenvalues that the model was given, what each shows, and what noise leaves of it in a step.

        A coordinate is what the readings so far say of the state, and readings move it by as much as they tell: the
        variance of the state before them, less that after them, where every channel is read in every step.
        """
        rows, channels = SETTLED, self.layout.channels
        step = jnp.full((rows,), self.layout.step, self.mean.dtype)
        nothing, there = jnp.zeros((rows, len(channels))), jnp.ones((rows, len(channels)), bool)
        still = Record(nothing, there, nothing, jnp.zeros((rows, len(self.layout.inputs))), step)
        chain = self.chain(still)
        told = self.sweep.filtered(chain, self.readings(still)).root
        before = chain.move[-1] @ told[-2]
        moved = (before**2).sum(axis=1) + chain.noise[-1] ** 2 - (told[-1] ** 2).sum(axis=1)
        floor = jnp.sqrt(jnp.maximum(self.dynamics.gathered(moved), 0.0))
        return Modes(self.dynamics.rates(), self.dynamics.shapes(self.slope()), floor)

    def coordinates(self, context: Context) -> Complex[Array, " mode"]:
        """The belief at the end of a context, as complex coordinates."""
        told = self.believed(Record.of(context, self.layout.step).waiting())
        return self.dynamics.turned(told.mean[-1])

    def pushed(self, span: Span, u: Float[Array, " input"]) -> Complex[Array, " mode"]:
        """What inputs add to the complex coordinates."""
        return self.dynamics.turned(self.dynamics.driven(u, span.dt))

    def components(self) -> tuple[str, ...]:
        """z0, z1 and so on: pairs first."""
        return tuple(f"z{i}" for i in range(self.dynamics.size))

    def channels(self) -> tuple[str, ...]:
        """Those of the record."""
        return self.layout.channels
