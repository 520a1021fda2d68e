r"""The state space of a learned operator: fields on a grid, moved by its linear part and its network.

$$\hat z_{j+1} = e^{\lambda h}\,\hat z_j + h\,\varphi_1(\lambda h)\,\mathcal F\big[N_\theta(z_j, a, u)\big], \qquad
h = \Delta / m,\quad j < m$$

in units of each field's own mean and scale, with fixed fields a and inputs u, of which $\log_2 \Delta$ is one where
spans differ. A grid that does not close is mirrored at its ends, so that waves become cosines; land holds the mean
and is never moved.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.data.gridding import Grid
from assim.models.semilinear.generator import Generator, exponential
from assim.models.semilinear.noise import LastLayerNoise
from assim.nn.gridfield import AbstractGridField
from assim.nn.openaxes import cropped, mirrored
from assim.nn.spectral import FourierOperator, wavenumbers
from assim.statespace import AbstractAdditiveNoise, Span
from assim.types import Array, Bool, Float


class LearnedField(AbstractAdditiveNoise, AbstractGridField):
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
        patterns: shapes of the noise in place of the features, shape (pattern, place), or None; `scales` are then
            of them.
        keeps_mean: whether the flow leaves the mean of each field over the grid as it is.
        spans: shortest and longest span that the networks are told of, nominal steps; None for none.
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
    patterns: Float[Array, "pattern place"] | None = None
    keeps_mean: bool = eqx.field(static=True, default=False)
    spans: tuple[float, float] | None = eqx.field(static=True, default=None)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        beside = self.beside(u, span)
        rates = self.generator.rates(self._wavenumbers())
        carry, push = exponential(rates, span.dt / (self.step * self.substeps))
        if self.keeps_mean:
            mean = (slice(None), *(0,) * len(self._whole))
            carry, push = carry.at[mean].set(1.0), push.at[mean].set(0.0)
        grid = beside.shape[1:]
        axes = tuple(range(1, 1 + len(grid)))

        def move(_: int, z: Array) -> Array:
            pushed = self.network(jnp.concatenate([z, beside]))
            v, n = (jnp.fft.rfftn(f, axes=axes) for f in (z, pushed))
            return jnp.fft.irfftn(carry * v + push * n, grid, axes=axes)

        z = jax.lax.fori_loop(0, self.substeps, move, self.mirrored(self.inside(x)))
        return jnp.where(self.wet, self.outside(self.cropped(z)), x)

    def process_noise(self, x: Array, span: Span) -> LastLayerNoise:
        """What a span leaves unknown; its variance in proportion to the span. Features are those at inputs of 0."""
        features = self.patterns
        if features is None:
            z = jnp.concatenate([self.mirrored(self.inside(x)), self.beside(None, span)])
            features = self.cropped(self.network.features(z)).reshape(-1, self.grid.places)
        wide = jnp.sqrt(span.dt / self.step) * self.scale
        quiet = jnp.where(self.sea, features, 0.0)
        floor = jnp.where(self.sea, (self.floor * wide)[:, None], 0.0)
        return LastLayerNoise(quiet, self.scales * wide[:, None], floor)

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

    def inside(self, x: Array) -> Float[Array, "field ..."]:
        """In units of each field's scale, on the grid; land at the mean."""
        z = (x.reshape(len(self.names), -1) - self.centre[:, None]) / self.scale[:, None]
        return jnp.where(self.sea, z, 0.0).reshape(-1, *self.grid.sizes)

    def outside(self, z: Float[Array, "field ..."]) -> Array:
        """The inverse of `inside`, as one vector."""
        flat = z.reshape(len(self.names), -1)
        return (flat * self.scale[:, None] + self.centre[:, None]).ravel()

    def beside(self, u: Array | None, span: Span | None = None) -> Float[Array, "more ..."]:
        """Fixed fields, inputs and log2 of the span, mirrored as the fields are.

        Args:
            u: inputs; 0 where they are not given.
            span: what the networks are told of, the nearest of `spans`; None for a nominal step.
        """
        fixed = self.mirrored(self.fixed.reshape(-1, *self.grid.sizes))
        given = self.network.lift.weight.shape[1] - len(self.names) - fixed.shape[0]
        given -= self.spans is not None
        u = jnp.zeros(given, fixed.dtype) if u is None else u[:given]
        if self.spans is not None:
            told = jnp.ones(()) if span is None else jnp.clip(span.dt / self.step, *self.spans)
            pace = jnp.log2(told)
            u = jnp.append(u, pace.astype(fixed.dtype))
        spread = jnp.broadcast_to(u.reshape(-1, *(1,) * len(self._whole)), (u.size, *self._whole))
        return jnp.concatenate([fixed, spread])

    def mirrored(self, z: Float[Array, "field ..."]) -> Float[Array, "field ..."]:
        """Fields on a grid that closes: an open axis is followed by its mirror image."""
        return mirrored(z, self.periodic)

    def cropped(self, z: Float[Array, "field ..."]) -> Float[Array, "field ..."]:
        """The fields without the mirror images."""
        return cropped(z, self.grid.sizes)
