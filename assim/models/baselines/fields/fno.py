r"""The plain Fourier neural operator: the whole step by one network, and noise that is the same everywhere.

$$z_{k+1} = N_\theta(z_k, a, u_k) + s\,\epsilon_k, \qquad \epsilon_k \sim \mathcal N(0, I)$$

(Li et al. 2021, arXiv 2010.08895) in units of each field's mean and scale, with fixed fields a and inputs u: no
linear part, no residual, no correction. The network knows one step; of a shorter span it goes the same share of the
way, $z + \Delta/h\,(N(z) - z)$, and takes a longer one for a step.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.data.calendar import CalendarFeatures
from assim.data.gridding import Grid
from assim.model import named
from assim.models.baselines.fields.base import (
    AbstractFieldBaseline,
    AbstractMovedField,
    basics,
    closing,
    plain,
)
from assim.nn.lowrank import LowRankNoise
from assim.nn.openaxes import cropped, for_each, mirrored, positions
from assim.nn.priors import network_prior
from assim.nn.spectral import FourierOperator
from assim.series import Layout, Stretch
from assim.statespace import Span
from assim.types import Array, Bool, Float, Key, Sites

QUIET = 0.1
"""Noise of a nominal step where its prior lies, in units of a field's scale."""


class NeuralField(AbstractMovedField):
    """Fields that a network moves.

    Args:
        network: the step.
        noise: deviation of the noise of a nominal step, shape (field,), units of each field's scale.
        centre: mean of each field, file units.
        scale: standard deviation of each field, file units.
        fixed: fields that stay, shape (fixed, place).
        states: in which a field may begin, shape (state, field * place), file units.
        sea: True where there is something to move, shape (place,).
        error: standard deviation of a sensor's error beside what a file tells, shape (field,), file units.
        grid: where the fields lie.
        names: of the fields.
        periodic: whether each axis closes.
        step: nominal step, seconds.
    """

    network: FourierOperator
    noise: Float[Array, " field"]
    centre: Float[Array, " field"]
    scale: Float[Array, " field"]
    fixed: Float[Array, "fixed place"]
    states: Float[Array, "kept state"]
    sea: Bool[Array, " place"]
    error: Float[Array, " field"]
    grid: Grid = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    step: float = eqx.field(static=True)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The step of the network."""
        lead = (slice(None), None)
        fields = x.reshape(len(self.names), -1)
        z = jnp.where(self.sea, (fields - self.centre[lead]) / self.scale[lead], 0.0)
        held = jnp.concatenate([z, self.fixed]).reshape(-1, *self.grid.sizes)
        held = mirrored(held, self.periodic)
        given = self.network.lift.weight.shape[1] - held.shape[0]
        inputs = jnp.zeros(given, z.dtype) if u is None else u[:given]
        spread = jnp.broadcast_to(
            inputs.reshape(-1, *(1,) * (held.ndim - 1)), (given, *held.shape[1:])
        )
        after = cropped(self.network(jnp.concatenate([held, spread])), self.grid.sizes)
        share = jnp.minimum(span.dt / self.step, 1.0)
        z = z + share * (after.reshape(z.shape) - z)
        return jnp.where(self.sea, z * self.scale[lead] + self.centre[lead], fields).ravel()

    def process_noise(self, x: Array, span: Span) -> LowRankNoise:
        """Of each place alone; its variance in proportion to the span."""
        sd = jnp.sqrt(span.dt / self.step) * self.noise * self.scale
        floor = jnp.where(self.sea, sd[:, None], 0.0).ravel()
        return LowRankNoise(jnp.zeros((floor.size, 0), floor.dtype), floor)

    def ahead(
        self, x: Float[Array, " state"], spans: Span, u: Float[Array, "lead input"]
    ) -> tuple[Array, Array]:
        """The roll-out, and the noise of its steps added up."""

        def step(x: Array, at: tuple[Span, Array]) -> tuple[Array, tuple[Array, Array]]:
            after = self.flow(x, *at)
            return after, (after, self.process_noise(x, at[0]).variance)

        _, (mean, variance) = jax.lax.scan(step, x, (spans, u))
        return mean, jnp.cumsum(variance, axis=0)


class FNO(AbstractFieldBaseline):
    """A Fourier neural operator without correction.

    Args:
        fields: variables to model together; None for all fields of the record.
        modes: waves that the network mixes, along every axis or along each.
        width: channels of its layers.
        layers: how many.
        features: what its last layer reads.
        horizon: steps of a stretch that the likelihood scores from its first field.
        periodic: whether the grid closes, along every axis or along each.
        calendar: calendar cycles that drive the fields, of "day" and "year".
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.

    Raises:
        ValueError: a size below 1, fewer than 2 waves, a cycle that is unknown, or a negative error.
    """

    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    modes: int | tuple[int, ...] = eqx.field(static=True, default=16, converter=plain)
    width: int = eqx.field(static=True, default=24)
    layers: int = eqx.field(static=True, default=4)
    features: int = eqx.field(static=True, default=32)
    horizon: int = eqx.field(static=True, default=2)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True, converter=plain)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    error: float = 0.0

    def __check_init__(self) -> None:
        for name in ("width", "layers", "features"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number above 0.")
        if min(self.modes if isinstance(self.modes, tuple) else (self.modes,)) < 2:
            raise ValueError(f"modes={self.modes} keeps no wave but the mean: give 2 or more.")

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """Mean and scale of each field, land, and positions along axes that do not close."""
        assert layout.grid is not None
        held = basics(stretches, layout)
        sea = held["sea"]
        land = jnp.where(sea.all(), 0.0, 1.0) * (1.0 - sea)
        return held | {
            "fixed": jnp.concatenate([land[None], positions(layout.grid, closing(self, layout))])
        }

    def prior(self, layout: Layout, constants: Sites) -> NeuralField:
        """Normal priors on every weight; the log of each noise too."""
        assert layout.grid is not None
        fields, closes = len(layout.channels), closing(self, layout)
        inputs = len(CalendarFeatures(self.calendar).names)
        num_in = fields + constants["fixed"].shape[0] + inputs
        each = for_each(self.modes, len(closes))
        kept = tuple(m if p else 2 * m for m, p in zip(each, closes, strict=True))

        def build(key: Key) -> FourierOperator:
            return FourierOperator.build(
                num_in,
                fields,
                width=self.width,
                modes=kept,
                layers=self.layers,
                features=self.features,
                key=key,
            )

        unit = dist.Normal(jnp.zeros(fields), jnp.ones(fields)).to_event(1)
        return NeuralField(
            network=network_prior("net", build),
            noise=QUIET * jnp.exp(2.0 * numpyro.sample("noise", unit)),
            centre=constants["centre"],
            scale=constants["scale"],
            fixed=constants["fixed"],
            step=layout.step,
            **self.ground(layout, constants),
        )
