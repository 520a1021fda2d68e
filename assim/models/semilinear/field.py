r"""The state space of a learned operator: fields on a grid, moved by its linear part and its network.

$$\hat z_{j+1} = e^{\lambda h}\,\hat z_j + h\,\varphi_1(\lambda h)\,\mathcal F\big[N_\theta(z_j, a, u)\big], \qquad
h = \Delta / m,\quad j < m$$

in units of each field's own mean and scale, with fixed fields a and inputs u. A grid that does not close is
mirrored at its ends, so that waves become cosines; land holds the mean and is never moved.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.data.gridding import Grid
from assim.models.semilinear.climate import Climate
from assim.models.semilinear.generator import Generator, exponential
from assim.models.semilinear.noise import LastLayerNoise
from assim.nn.interpolation import between
from assim.nn.spectral import FourierOperator, wavenumbers
from assim.statespace import AbstractAdditiveNoise, AbstractNamed, AbstractOnGrid, Context, Span
from assim.types import Array, Bool, Float, Key


class LearnedField(AbstractAdditiveNoise, AbstractOnGrid, AbstractNamed):
    """Fields on a grid under a learned operator; the state is a vector, field after field, file units.

    Args:
        generator: the linear part.
        network: the rest.
        scales: noise of a nominal step by each feature, shape (field, feature), in units of each field's scale.
        floor: noise of a nominal step that no feature tells, shape (field,), in the same units.
        centre: mean of each field, file units.
        scale: standard deviation of each field, file units.
        states: in which a field may begin, shape (state, field * place), file units.
        fixed: fields that stay, shape (fixed, place).
        sea: True where there is something to move, shape (place,).
        error: standard deviation of a sensor's error beside what a file tells, shape (field,), file units.
        grid: where the fields lie.
        names: of the fields.
        waves: waves along each axis in whose units wavenumbers are counted.
        periodic: whether each axis closes.
        step: nominal step, seconds.
        substeps: m, steps of the recursion in a span.
    """

    generator: Generator
    network: FourierOperator
    scales: Float[Array, "field feature"]
    floor: Float[Array, " field"]
    centre: Float[Array, " field"]
    scale: Float[Array, " field"]
    states: Float[Array, "state place"]
    fixed: Float[Array, "fixed place"]
    sea: Bool[Array, " place"]
    error: Float[Array, " field"]
    grid: Grid = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    waves: tuple[int, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    step: float = eqx.field(static=True)
    substeps: int = eqx.field(static=True)

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """A state of the record that it was fitted to."""
        return Climate(self.states)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        beside = self._beside(u)
        rates = self.generator.rates(self._wavenumbers())
        carry, push = exponential(rates, span.dt / (self.step * self.substeps))
        grid = beside.shape[1:]
        axes = tuple(range(1, 1 + len(grid)))

        def move(_: int, z: Array) -> Array:
            pushed = self.network(jnp.concatenate([z, beside]))
            v, n = (jnp.fft.rfftn(f, axes=axes) for f in (z, pushed))
            return jnp.fft.irfftn(carry * v + push * n, grid, axes=axes)

        z = jax.lax.fori_loop(0, self.substeps, move, self._mirrored(self._inside(x)))
        return jnp.where(self._wet, self._outside(self._cropped(z)), x)

    def process_noise(self, x: Array, span: Span) -> LastLayerNoise:
        """What a span leaves unknown; its variance in proportion to the span. Features are those at inputs of 0."""
        z = jnp.concatenate([self._mirrored(self._inside(x)), self._beside(None)])
        features = self._cropped(self.network.features(z)).reshape(-1, self.grid.places)
        wide = jnp.sqrt(span.dt / self.step) * self.scale
        quiet = jnp.where(self.sea, features, 0.0)
        floor = jnp.where(self.sea, (self.floor * wide)[:, None], 0.0)
        return LastLayerNoise(quiet, self.scales * wide[:, None], floor)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every place of every field, or the first field at the places `where` (channel, coordinate)."""
        known = 0.0 if sd is None else sd
        if where is None:
            own = jnp.repeat(self.error, self.grid.places)
            return dist.Normal(x, jnp.sqrt(own**2 + known**2))
        field = x[: self.grid.places].reshape(self.grid.sizes)
        sea = self.sea.reshape(self.grid.sizes)
        y = between(field, where, self.grid.starts, self.grid.steps, self.periodic, sea)
        return dist.Normal(y, jnp.sqrt(self.error[0] ** 2 + known**2))

    def places(self) -> Float[Array, "state coordinate"]:
        """Coordinates of each component, units of the grid's axes."""
        return jnp.tile(jnp.asarray(self.grid.points(), float), (len(self.names), 1))

    def sensors(self, where: Array | None = None) -> Float[Array, "channel coordinate"]:
        """Where the sensors are, units of the grid's axes."""
        return self.places() if where is None else where

    def components(self) -> tuple[str, ...]:
        """The fields."""
        return self.names

    def channels(self) -> tuple[str, ...]:
        """The fields."""
        return self.names

    @property
    def _wet(self) -> Bool[Array, " state"]:
        return jnp.tile(self.sea, len(self.names))

    @property
    def _whole(self) -> tuple[int, ...]:
        """Places along each axis once open axes are mirrored."""
        pairs = zip(self.grid.sizes, self.periodic, strict=True)
        return tuple(n if closes else 2 * n for n, closes in pairs)

    def _wavenumbers(self) -> tuple[Array, ...]:
        """In units of the model's waves, whatever the grid."""
        closed = zip(self.waves, self.periodic, strict=True)
        lengths = tuple(2.0 * jnp.pi / (1.0 if p else 0.5) * w for w, p in closed)
        return wavenumbers(self._whole, lengths)

    def _inside(self, x: Array) -> Float[Array, "field ..."]:
        """In units of each field's scale, on the grid; land at the mean."""
        z = (x.reshape(len(self.names), -1) - self.centre[:, None]) / self.scale[:, None]
        return jnp.where(self.sea, z, 0.0).reshape(-1, *self.grid.sizes)

    def _outside(self, z: Float[Array, "field ..."]) -> Array:
        flat = z.reshape(len(self.names), -1)
        return (flat * self.scale[:, None] + self.centre[:, None]).ravel()

    def _beside(self, u: Array | None) -> Float[Array, "more ..."]:
        """Fixed fields and inputs, mirrored as the fields are; inputs that are not given are 0."""
        fixed = self._mirrored(self.fixed.reshape(-1, *self.grid.sizes))
        given = self.network.lift.weight.shape[1] - len(self.names) - fixed.shape[0]
        u = jnp.zeros(given, fixed.dtype) if u is None else u[:given]
        spread = jnp.broadcast_to(u.reshape(-1, *(1,) * len(self._whole)), (given, *self._whole))
        return jnp.concatenate([fixed, spread])

    def _mirrored(self, z: Float[Array, "field ..."]) -> Float[Array, "field ..."]:
        for axis, closes in enumerate(self.periodic, start=1):
            z = z if closes else jnp.concatenate([z, jnp.flip(z, axis)], axis=axis)
        return z

    def _cropped(self, z: Float[Array, "field ..."]) -> Float[Array, "field ..."]:
        return z[(slice(None), *(slice(0, n) for n in self.grid.sizes))]
