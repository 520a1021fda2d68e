r"""Semilinear neural operators: fields whose evolution is a semigroup and a learned rest.

$$\partial_t z = A z + G(z, t), \qquad
z_{k+1} \mid z_k \sim
\mathcal N\big(F_\theta(z_k, \Delta_k),\ \textstyle\sum_c s_c^2 \varphi_c \varphi_c^\top + s_0^2 I\big)$$

(Singh, Borsoi, Erdogmus and Imbiriba 2024, arXiv 2402.15656, for the form; its published operator is residual, and
has neither an exact linear part nor a density.) It is fitted on stretches of a few steps: each place of each step
is told by a Normal around the roll-out from the first field, whose variance gathers what every step leaves unknown.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.data.calendar import PERIODS, CalendarFeatures
from assim.data.gridding import Grid
from assim.model import AbstractGridded, named
from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.generator import Generator
from assim.nn.emission import Emission
from assim.nn.priors import network_prior
from assim.nn.spectral import FourierOperator
from assim.series import Layout, Stretch
from assim.types import Array, Key, Sites

STATES = 128
"""States of the record that are kept, in which an assimilation may begin."""
QUIET = 0.05
"""Noise of a nominal step where its prior lies, in units of a field's scale."""


def _each_or_one(given: Any) -> Any:
    """A list as a tuple, and what is one as it is."""
    return tuple(given) if isinstance(given, list) else given


class SemilinearOperator(AbstractGridded):
    """A linear part that is diagonal in waves, beside a Fourier neural operator.

    Args:
        fields: variables to model together; None for all fields of the record.
        modes: waves that the network mixes, along every axis or along each.
        width: channels of its layers.
        layers: how many.
        features: what its last layer reads.
        substeps: steps of the recursion in a span; more where spans are long for the dynamics.
        horizon: steps of a stretch that the likelihood scores from its first field.
        periodic: whether the grid closes, along every axis or along each.
        calendar: calendar cycles that drive the fields, of "day" and "year".
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.
    """

    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    modes: int | tuple[int, ...] = eqx.field(static=True, default=16, converter=_each_or_one)
    width: int = eqx.field(static=True, default=24)
    layers: int = eqx.field(static=True, default=2)
    features: int = eqx.field(static=True, default=32)
    substeps: int = eqx.field(static=True, default=4)
    horizon: int = eqx.field(static=True, default=2)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True, converter=_each_or_one)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    error: float = 0.0

    def __check_init__(self) -> None:
        for name in ("width", "layers", "features", "substeps", "horizon"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be a whole number above 0.")
        modes = self.modes if isinstance(self.modes, tuple) else (self.modes,)
        if min(modes) < 2:
            raise ValueError(f"modes={self.modes} keeps no wave but the mean: give 2 or more.")
        if unknown := sorted(set(self.calendar) - set(PERIODS)):
            raise ValueError(f"calendar={unknown} is unknown; choose from {sorted(PERIODS)}.")
        if not self.error >= 0:
            raise ValueError(f"error={self.error} must not be negative.")

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """Mean and scale of each field, where there is sea, and states of the record."""
        assert layout.grid is not None
        _require_closing(layout.grid, self._each(self.periodic, len(layout.grid.sizes)))
        fields, places = len(layout.channels), layout.grid.places
        told = stretches.told.reshape(-1, fields, places)
        values = jnp.where(told, stretches.first.reshape(-1, fields, places), 0.0)
        count = jnp.maximum(told.sum(axis=(0, 2)), 1)
        centre = values.sum(axis=(0, 2)) / count
        apart = jnp.where(told, values - centre[:, None], 0.0)
        scale = jnp.sqrt((apart**2).sum(axis=(0, 2)) / count)
        sea = told.any(axis=0).all(axis=0)
        at = jnp.linspace(0, told.shape[0] - 1, min(STATES, told.shape[0])).round().astype(int)
        states = jnp.where(sea, values[at], centre[:, None])
        land = jnp.where(sea.all(), 0, 1) * (1.0 - sea)
        return {
            "centre": centre,
            "scale": jnp.where(scale > 0, scale, 1.0),
            "sea": sea,
            "states": states.reshape(at.size, -1),
            "fixed": jnp.concatenate([land[None], self._coordinates(layout)]),
        }

    def prior(self, layout: Layout, constants: Sites) -> LearnedField:
        """Normal priors on every rate and weight; the log of each noise too."""
        assert layout.grid is not None
        fields, axes = len(layout.channels), len(layout.grid.sizes)
        inputs = len(CalendarFeatures(self.calendar).names)
        num_in = fields + constants["fixed"].shape[0] + inputs
        closes, modes = self._each(self.periodic, axes), self._each(self.modes, axes)
        kept = tuple(m if p else 2 * m for m, p in zip(modes, closes, strict=True))

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

        generator = Generator.prior(fields, axes)
        network = network_prior("net", build, {"head.": 0.3})
        return LearnedField(
            generator=generator,
            network=network,
            scales=_noise("noise.feature", fields, self.features) / self.features**0.5,
            floor=_noise("noise.floor", fields),
            centre=constants["centre"],
            scale=constants["scale"],
            states=constants["states"],
            fixed=constants["fixed"],
            sea=constants["sea"],
            error=jnp.full(fields, self.error),
            grid=layout.grid,
            names=layout.channels,
            waves=tuple(max(m // 2, 1) for m in modes),
            periodic=closes,
            step=layout.step,
            substeps=self.substeps,
        )

    def density(self, ssm: LearnedField, example: Stretch) -> Emission:
        """Around the roll-out from the first field, batch shape (lead, place of each field)."""

        def step(carry: tuple[Array, Array], at: tuple) -> tuple[tuple[Array, Array], tuple]:
            x, variance = carry
            span, u = at
            variance = variance + ssm.process_noise(x, span).variance
            x = ssm.flow(x, span, u)
            # land has no noise, and no reading
            return (x, variance), (x, jnp.sqrt(jnp.where(variance > 0, variance, 1.0)))

        start = (example.first, jnp.zeros_like(example.first))
        _, (loc, scale) = jax.lax.scan(step, start, (example.spans, example.u))
        return Emission(loc, scale, ("real",) * loc.shape[1])

    def reading(self, example: Stretch) -> tuple[Array, Array]:
        """What came, and whether, each shape (lead, place of each field)."""
        return example.y, example.mask

    def _coordinates(self, layout: Layout) -> Array:
        """From -1 to 1 along each axis that does not close, shape (axis, place)."""
        assert layout.grid is not None
        axes = len(layout.grid.sizes)
        rows = [
            jnp.linspace(-1.0, 1.0, n).reshape(tuple(-1 if i == a else 1 for i in range(axes)))
            for a, n in enumerate(layout.grid.sizes)
        ]
        open_rows = [
            jnp.broadcast_to(row, layout.grid.sizes).ravel()
            for row, p in zip(rows, self._each(self.periodic, axes), strict=True)
            if not p
        ]
        return jnp.stack(open_rows) if open_rows else jnp.zeros((0, layout.grid.places))

    @staticmethod
    def _each[T](given: T | tuple[T, ...], axes: int) -> tuple[T, ...]:
        each = given if isinstance(given, tuple) else (given,) * axes
        if len(each) != axes:
            raise ValueError(
                f"{len(each)} values are given for a grid of {axes} axes ({given}): give one for all, or one for "
                "each."
            )
        return each


def _require_closing(grid: Grid, closes: tuple[bool, ...]) -> None:
    """Refuse a circle of latitude that ends at the poles, and one of longitude that does not come round."""
    for dim, unit, length, closed in zip(grid.dims, grid.units, grid.lengths, closes, strict=True):
        pole = unit.startswith("degree") and unit.endswith(("north", "N"))
        short = unit.startswith("degree") and unit.endswith(("east", "E")) and abs(length - 360) > 1
        if closed and (pole or short):
            raise ValueError(
                f"The axis '{dim}' ({unit}) spans {length:g} and does not close: say so, as periodic="
                f"{tuple(c and d != dim for d, c in zip(grid.dims, closes, strict=True))}."
            )


def _noise(name: str, *shape: int) -> Array:
    """A standard deviation whose log is Normal around that of `QUIET`."""
    unit = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(len(shape))
    raw: Array = numpyro.sample(name, unit)
    return QUIET * jnp.exp(2.0 * raw)
