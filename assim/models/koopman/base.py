r"""What Koopman models have in common: the settings, the windows, and the priors of the latent world.

$$\omega_j \Delta = \pi\,\sigma\big(\sigma^{-1}(\hat\omega_j\Delta/\pi) + 0.3\,a_j\big), \qquad
\gamma_j = \hat\gamma_j\,e^{2 b_j}, \qquad q_j = 2\hat\gamma_j\,e^{3 c_j}, \qquad a, b, c \sim \mathcal N(0, 1)$$

Hats are of the lagged moments of the record (`identified`): priors are wide around them. What one may read of a
posterior are the eigenvalues, and what modes show; the coordinates themselves can be turned and stretched.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.model import MAY_CHANGE, AbstractStretched, Needs, named
from assim.models.koopman.identified import identified
from assim.models.koopman.rotations import Rotations
from assim.models.koopman.starts import AbstractStart, Anywhere
from assim.models.koopman.world import Record
from assim.nn.emission import directions
from assim.nn.kalman import AbstractSweep, Sequential
from assim.series import Layout, Window
from assim.types import Array, Bool, Float, Key, Sites

FREQUENCY, DECAY, NOISE, ERROR = 0.3, 2.0, 3.0, 1.0
"""Prior sds, in the space of their logarithms (of frequencies, logits): what a factor is wide."""
OFFSET, DRIVE = 0.5, 0.3
"""Prior sds of the offset of a channel, and of what an input does to a coordinate in a step."""
SHARE, LEAST = 0.5, 0.05
"""Prior sd of what a component shows: this share of what it showed in the moments, and no less than that."""
LEAST_ERROR = 2e-4
"""Of a reading, internal units."""
FADED = 2 / 3
"""Stretches whose second half has less of the power of their first are no stretches of a world that keeps all."""


class Example(eqx.Module):
    """One window as the likelihood needs it.

    Args:
        record: its rows.
        targets: which channels are scored, shape (channel,).
        context: how many rows come before those that are scored.
    """

    record: Record
    targets: Bool[Array, " channel"]
    context: int = eqx.field(static=True)


class AbstractKoopman(AbstractStretched):
    """A linear latent world, with its settings.

    Args:
        pairs: modes that turn, each with two components.
        singles: modes that only decay, each with one.
        window: rows of a stretch of record; its first row starts anew. A forecast looks back as far. Of several
            runs one at least has to be as long, unless the fit goes on from an earlier one; what others lack of a
            stretch counts as missing.
        stride: rows from one stretch to the next; None for `window`, so that each reading counts once. Where
            stretches overlap, each counts for its share.
        start: how a stretch begins: `Anywhere()` or `Stationary()`.
        conservative: whether no mode decays: every eigenvalue lies on the unit circle.
        normalised: whether each channel is brought to a normal law by its own quantiles before all else: better to
            generate with, while what turns in a straight world need not be straight in the other.
        targets: variables to model; None for all but controls and covariates.
        covariates: variables that are taken up and not scored.
        controls: variables whose future is known, or that stay as they are.
        calendar: cycles of "day" and "year" as inputs.
        sweep: the way through a record: `Sequential()` or `Parallel()`.
        inflation: factor on the variances of noise and errors of reading: 1 for a fit, another for what is told of
            it where its intervals prove too narrow or too wide on a validation record.

    Raises:
        ValueError: no mode, a window of fewer than two rows, a stride outside 1 to `window`, a start that needs a
            decay which there is not.
    """

    pairs: int = eqx.field(static=True, default=8)
    singles: int = eqx.field(static=True, default=0)
    window: int = eqx.field(static=True, default=48, kw_only=True)
    stride: int | None = eqx.field(static=True, default=None, kw_only=True)
    start: AbstractStart = eqx.field(static=True, default=Anywhere(), kw_only=True)
    conservative: bool = eqx.field(static=True, default=False, kw_only=True)
    normalised: bool = eqx.field(static=True, default=False, kw_only=True)
    targets: tuple[str, ...] | None = eqx.field(
        static=True, default=None, kw_only=True, converter=named
    )
    covariates: tuple[str, ...] = eqx.field(static=True, default=(), kw_only=True, converter=named)
    controls: tuple[str, ...] = eqx.field(static=True, default=(), kw_only=True, converter=named)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), kw_only=True, converter=named)
    sweep: AbstractSweep = eqx.field(static=True, default=Sequential(), kw_only=True)
    inflation: float = eqx.field(static=True, default=1.0, kw_only=True, metadata=MAY_CHANGE)

    def __check_init__(self) -> None:
        if self.pairs < 0 or self.singles < 0 or self.pairs + self.singles == 0:
            raise ValueError(
                f"pairs={self.pairs} and singles={self.singles} leave no mode: give one or more."
            )
        if self.window < 2:
            raise ValueError(f"window={self.window} shows no step: give two rows or more.")
        if self.stride is not None and not 1 <= self.stride <= self.window:
            raise ValueError(
                f"stride={self.stride} leaves readings out or goes nowhere: give 1 to {self.window}, the window."
            )
        if not self.inflation > 0:
            raise ValueError(f"inflation={self.inflation} leaves no noise: give inflation > 0.")
        self.start.require(conservative=self.conservative)

    def needs(self) -> Needs:
        """What a forecast looks back over."""
        return Needs(
            context=self.window,
            controls=self.controls,
            covariates=self.covariates,
            calendar=self.calendar,
            targets=self.targets,
            normalised=self.normalised,
            own_times=True,
        )

    def fitting(self) -> Needs:
        """Stretches that begin anew, all of them scored."""
        stride = self.window if self.stride is None else self.stride
        return dataclasses.replace(
            self.needs(), context=0, horizon=self.window, stride=stride, fewest=1
        )

    def centred(self) -> tuple[str, ...]:
        """All of the linear world: from a frequency of chance no gradient leads to the right one."""
        return ("world", "start", "emission", *self.silent())

    def silent(self) -> tuple[str, ...]:
        """Sites of what says nothing where a fit starts, which is the linear world then; none by default."""
        return ()

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Modes read off the lagged moments of the windows, in nominal steps, and how power lasts in them."""
        found = identified(windows.y, windows.mask, self.pairs, self.singles)
        return found | {"lasting": _lasting(windows.y, windows.mask)}

    def cautions(self, constants: Sites) -> tuple[str, ...]:
        """Where a world that keeps everything is asked for, and a record that fades is given."""
        lasting = float(constants["lasting"])
        if not self.conservative or lasting > FADED:
            return ()
        return (
            f"conservative=True lets no mode decay, while the second half of stretches of {self.window} rows has "
            f"{lasting:.0%} of the power of the first: leave it out, or hold the modes against later readings by "
            "assim.koopman.spectrum.",
        )

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Example:
        """Its rows, context and leads behind one another."""
        past, step = Record.of(window.context, layout.step), window.spans.dt
        ahead = Record(window.y, window.mask, window.sd, window.u, step)
        rows = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), past, ahead)
        return Example(rows, jnp.array(layout.is_target), past.y.shape[0])

    def world(
        self, layout: Layout, constants: Sites
    ) -> tuple[Rotations, Float[Array, " state"], Float[Array, "state state"]]:
        """The priors of eigenvalues, noise, drive and start.

        Args:
            layout: what the columns are.
            constants: what was counted.

        Returns:
            The dynamics; mean and a root of the covariance of the first state.

        Raises:
            ValueError: a channel that is a direction.
        """
        _require_straight(layout)
        step, decay = layout.step, constants["decay"]
        place = constants["frequency"] / jnp.pi
        turned = _normal("world.frequency", place.shape) * FREQUENCY
        frequency = jnp.pi * jax.nn.sigmoid(jnp.log(place / (1.0 - place)) + turned)
        noise = 2.0 * self.inflation * decay * jnp.exp(NOISE * _normal("world.noise", decay.shape))
        if self.conservative:
            decay = jnp.zeros_like(decay)
        else:
            decay = decay * jnp.exp(DECAY * _normal("world.decay", decay.shape))
        inputs, size = len(layout.inputs), 2 * self.pairs + self.singles
        drive = jnp.zeros((size, 0), decay.dtype)
        if inputs:
            drive = DRIVE * _normal("world.drive", (size, inputs))
        world = Rotations(decay / step, frequency / step, noise / step, drive / step)
        return world, *self.start.prior(world)

    def shown(
        self, constants: Sites
    ) -> tuple[Float[Array, "channel state"], Float[Array, " channel"], Float[Array, " channel"]]:
        """The priors of what a channel shows of the state and of nothing, and of its errors of reading.

        Args:
            constants: what was counted.

        Returns:
            C, shape (channel, state), offsets and standard deviations, each shape (channel,), internal units.
        """
        counted = constants["emission"]
        strength = jnp.sqrt((counted**2).mean(axis=0, keepdims=True))
        width = jnp.broadcast_to(SHARE * strength + LEAST, counted.shape)
        weight: Array = numpyro.sample("emission.weight", dist.Normal(counted, width).to_event(2))
        counted = constants["noise"]
        offset = OFFSET * _normal("emission.offset", counted.shape)
        error = counted * jnp.exp(ERROR * _normal("emission.error", counted.shape))
        return weight, offset, self.inflation**0.5 * jnp.maximum(error, LEAST_ERROR)

    def counted_share(self) -> float:
        """How much of a reading counts in each of the stretches that hold it."""
        return 1.0 if self.stride is None else self.stride / self.window


def _lasting(y: Float[Array, "n time channel"], mask: Array) -> Float[Array, ""]:
    """Mean square of the second half of windows, as a share of that of the first; 1 where one was not read."""
    half = y.shape[1] // 2
    power, count = (jnp.where(mask, x, 0.0) for x in (y**2, jnp.ones_like(y)))
    first, second = (
        power[:, part].sum() / jnp.maximum(count[:, part].sum(), 1.0)
        for part in (slice(None, half), slice(half, None))
    )
    known = (first > 0) & (count[:, half:].sum() > 0)
    return jnp.where(known, second / jnp.where(known, first, 1.0), 1.0)


def _normal(name: str, shape: tuple[int, ...]) -> Array:
    if 0 in shape:  # a world without modes that turn
        return jnp.zeros(shape)
    standard = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
    value: Array = numpyro.sample(name, standard)
    return value


def _require_straight(layout: Layout) -> None:
    turning = [n for n, d in zip(layout.channels, directions(layout.supports), strict=True) if d]
    if turning:
        raise ValueError(
            f"'{turning[0]}' is a direction, which no linear world shows: give its components instead, as the sine "
            "and cosine of it, or wind towards east and north."
        )
