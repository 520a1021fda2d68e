r"""Dynamic mode decomposition: fields reduced to their leading modes, and a linear map between reduced states.

$$a_k = (z_k - m_k)/\sigma, \qquad b_k = V a_k, \qquad
a_{k+1} = V_0^\top \big(b^* + A^\tau (b_k - b^*)\big) + \rho^\tau\,(a_k - V_0^\top b_k)
+ \sqrt\tau\,\big(R\,\varepsilon_k + f \odot \epsilon_k\big)$$

with m the mean of place and season, rows of V the modes of the record (over `delay` fields that follow each other,
of which $V_0$ has the newest: Hankel or delay embedding), A by least squares (Schmid 2010; exact DMD, Tu et al.
2014), and what is beyond the modes decaying. R has the leading shapes of what is left after a step, and f what each
place has alone, so that noise is as smooth as residuals are; sizes of both are learned. A span of $\tau$ nominal
steps takes the power of A.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.data.gridding import Grid
from assim.model import named
from assim.models.baselines.fields.base import (
    AbstractFieldBaseline,
    AbstractMovedField,
    closing,
    factor,
    plain,
)
from assim.models.baselines.fields.linear import LinearMap
from assim.models.baselines.fields.modal import counted_modes
from assim.models.baselines.fields.season import Season
from assim.nn.lowrank import LowRankNoise
from assim.series import Layout, Stretch
from assim.statespace import Span
from assim.types import Array, Bool, Float, Sites


class ModalField(AbstractMovedField):
    """Fields that a linear map of their modes moves.

    Args:
        season: their mean.
        map: of reduced states.
        basis: modes, shape (mode, delay * newest), orthonormal, units of each field's scale.
        root: thin root of the covariance of the noise of a nominal step, shape (newest, shape), units of scale.
        floor: deviation of the noise that no shape tells, shape (newest,), units of each field's scale.
        decay: what is left after a nominal step of what is beyond the modes, shape (newest,).
        known: share of the variance that is found in the record itself, shape (field,).
        scale: standard deviation of each field, file units.
        states: in which a field may begin, shape (state, delay * newest), file units.
        sea: True where there is something to move, shape (place,).
        error: standard deviation of a sensor's error beside what a file tells, shape (field,), file units.
        grid: where the fields lie.
        names: of the fields.
        periodic: whether each axis closes.
        step: nominal step, seconds.
    """

    season: Season
    map: LinearMap
    basis: Float[Array, "mode state"]
    root: Float[Array, "newest shape"]
    floor: Float[Array, " newest"]
    decay: Float[Array, " newest"]
    known: Float[Array, " field"]
    scale: Float[Array, " field"]
    states: Float[Array, "kept state"]
    sea: Bool[Array, " place"]
    error: Float[Array, " field"]
    grid: Grid = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    step: float = eqx.field(static=True)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The modes moved by the map, the rest decayed; land as it is."""
        share, size = span.dt / self.step, self.floor.size
        a = self._anomalies(x, span, u)
        b = self.basis @ a
        rest = a[:size] - b @ self._newest
        moved = self.map.moved(b, share) @ self._newest + self.decay**share * rest
        z = jnp.where(self.wet, self.season.at(u) + self._wide * moved, x[:size])
        return jnp.concatenate([z, x[: x.size - size]])

    def process_noise(self, x: Array, span: Span) -> LowRankNoise:
        """Of places together and of each alone, its variance in proportion to the span."""
        wide = jnp.sqrt(span.dt / self.step) * self._wide
        root = wide[:, None] * self.root
        more = (0, x.size - self.floor.size)  # fields that were are known
        return LowRankNoise(jnp.pad(root, (more, (0, 0))), jnp.pad(wide * self.floor, more))

    def ahead(
        self, x: Float[Array, " state"], spans: Span, u: Float[Array, "lead input"]
    ) -> tuple[Array, Array]:
        """The roll-out; variance within the modes and beyond them, as if one did not lead to the other."""
        size, newest = self.floor.size, self._newest
        inside = newest @ self.root
        beyond = ((self.root - newest.T @ inside) ** 2).sum(axis=1) + self.floor**2

        def step(carry: tuple[Array, Array, Array], at: tuple[Span, Array]) -> tuple:
            x, modes, rest = carry
            span, inputs = at
            share = span.dt / self.step
            x = self.flow(x, span, inputs)
            modes = self.map.power(self.map.power(modes, share).T, share)
            modes = modes + share * inside @ inside.T
            rest = self.decay ** (2.0 * share) * rest + share * beyond
            within = (newest * (modes @ newest)).sum(axis=0)
            return (x, modes, rest), (x[:size], self._wide**2 * (within + rest))

        start = (x, jnp.zeros_like(self.map.matrix), jnp.zeros_like(self.floor))
        return jax.lax.scan(step, start, (spans, u))[1]

    def own(self) -> Float[Array, " newest"]:
        """As was counted, for each field."""
        return jnp.repeat(self.known, self.grid.places)

    @property
    def _newest(self) -> Float[Array, "mode newest"]:
        return self.basis[:, : self.floor.size]

    @property
    def _wide(self) -> Float[Array, " newest"]:
        return jnp.repeat(self.scale, self.grid.places)

    def _anomalies(self, x: Array, span: Span, u: Array | None) -> Float[Array, " state"]:
        """Of the newest fields and those before them, each from the mean of its own time."""
        fields = x.reshape(-1, self.floor.size)
        ages = span.dt + self.step * jnp.arange(fields.shape[0])
        mean = jax.vmap(lambda age: self.season.before(u, age))(ages)
        return jnp.where(self.wet, (fields - mean) / self._wide, 0.0).ravel()


class DMD(AbstractFieldBaseline):
    """Proper orthogonal modes and a linear map between them.

    Args:
        rank: modes; None for the number that foretells best what it was not made from.
        delay: fields that follow each other and are reduced together; 1 for the newest alone.
        fields: variables to model together; None for all fields of the record.
        horizon: steps of a stretch that the likelihood scores from its first field.
        periodic: whether the grid closes, along every axis or along each.
        calendar: calendar cycles of the mean, of "day" and "year".
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.

    Raises:
        ValueError: a rank, a delay or a horizon below 1, a cycle that is unknown, or a negative error.
    """

    rank: int | None = eqx.field(static=True, default=None)
    delay: int = eqx.field(static=True, default=1)
    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    horizon: int = eqx.field(static=True, default=1)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True, converter=plain)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    error: float = 0.0

    def __check_init__(self) -> None:
        for name in ("rank", "delay"):
            if (given := getattr(self, name)) is not None and given < 1:
                raise ValueError(f"{name}={given} must be a whole number above 0.")

    def memory(self) -> int:
        """As many as are reduced together."""
        return self.delay

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """The mean, the modes, the map between them, and what both leave."""
        closing(self, layout)
        return counted_modes(stretches, layout, self.calendar, self.rank, self.delay)

    def prior(self, layout: Layout, constants: Sites) -> ModalField:
        """A factor on the noise of places together, and one for each field on that of each place alone."""
        assert layout.grid is not None
        count = len(layout.channels)
        alone = jnp.repeat(factor("noise.alone", count), layout.grid.places)
        return ModalField(
            season=Season(constants["season"], self.calendar),
            map=LinearMap.of(constants),
            basis=constants["basis"],
            root=factor("noise.together") * constants["root"],
            floor=alone * constants["floor"],
            decay=constants["decay"],
            known=constants["own"],
            scale=constants["scale"],
            step=layout.step,
            **self.ground(layout, constants),
        )
