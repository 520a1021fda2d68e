r"""Persistence of fields: what is, stays, and strays from there as the record's own increments do.

$$z_{k+1} = z_k + \sqrt{\Delta / h}\;a\,w_k, \qquad w_k \sim \mathcal N(0, C), \qquad
C_{xx} = \operatorname{mean}\,(z_{k+1} - z_k)_x^2\, h / \Delta_k$$

for a nominal step h: a random walk, whose variance grows in proportion to the lead. Correlations of C are those of
the leading modes of the increments, so that it is as smooth as they are; a is learned for each field.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.data.gridding import Grid
from assim.model import named
from assim.models.baselines.fields.base import (
    AbstractFieldBaseline,
    AbstractMovedField,
    arrays,
    basics,
    closing,
    factor,
    noise,
    plain,
)
from assim.nn.lowrank import LowRankNoise
from assim.series import Layout, Stretch
from assim.statespace import Span
from assim.types import Array, Bool, Float, Sites


class StillField(AbstractMovedField):
    """Fields that stay.

    Args:
        root: thin root of the covariance of the noise of a nominal step, shape (state, mode), file units.
        floor: deviation that no mode tells, shape (state,), file units.
        states: in which a field may begin, shape (state, field * place), file units.
        sea: True where there is something to move, shape (place,).
        error: standard deviation of a sensor's error beside what a file tells, shape (field,), file units.
        grid: where the fields lie.
        names: of the fields.
        periodic: whether each axis closes.
        step: nominal step, seconds.
    """

    root: Float[Array, "state mode"]
    floor: Float[Array, " state"]
    states: Float[Array, "kept state"]
    sea: Bool[Array, " place"]
    error: Float[Array, " field"]
    grid: Grid = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)
    step: float = eqx.field(static=True)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The same."""
        return x

    def process_noise(self, x: Array, span: Span) -> LowRankNoise:
        """Increments of a span."""
        share = jnp.sqrt(span.dt / self.step)
        return LowRankNoise(share * self.root, share * self.floor)

    def ahead(
        self, x: Float[Array, " state"], spans: Span, u: Float[Array, "lead input"]
    ) -> tuple[Array, Array]:
        """The same, and a variance that grows with the lead."""
        variance = LowRankNoise(self.root, self.floor).variance
        lead = jnp.cumsum(spans.dt) / self.step
        return jnp.broadcast_to(x, (lead.size, x.size)), lead[:, None] * variance


class FieldPersistence(AbstractFieldBaseline):
    """The field that is, at every lead.

    Args:
        fields: variables to model together; None for all fields of the record.
        horizon: leads on which the size of the increments is learned, in steps of the record.
        periodic: whether the grid closes, along every axis or along each.
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.
    """

    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    horizon: int = eqx.field(static=True, default=1)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True, converter=plain)
    error: float = 0.0
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), init=False)

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """Increments of a nominal step: their deviation by place, and their modes."""
        closing(self, layout)
        held = basics(stretches, layout)
        known = np.asarray(stretches.told & stretches.mask[:, 0])
        apart = np.asarray(stretches.y[:, 0] - stretches.first, float)
        share = np.sqrt(np.asarray(stretches.spans.dt[:, :1], float) / layout.step)
        increments = np.where(known, apart / share, 0.0)
        sd = np.sqrt((increments**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
        return held | arrays(**noise(increments, sd, held))

    def prior(self, layout: Layout, constants: Sites) -> StillField:
        """A factor on the increments of each field."""
        assert layout.grid is not None
        size = jnp.repeat(factor("noise", len(layout.channels)), layout.grid.places)
        return StillField(
            root=size[:, None] * constants["root"],
            floor=size * constants["floor"],
            step=layout.step,
            **self.ground(layout, constants),
        )
