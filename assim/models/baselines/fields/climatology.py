r"""Climatology of fields: each is drawn anew around the mean of its place and season, whatever came before.

$$z_k = m(x, t_k) + a\,w_k, \qquad w_k \sim \mathcal N(0, C), \qquad
C_{xx} = \operatorname{mean}\,(z - m)_x^2$$

Deviations are those from a mean that the fifth of the record in question had no part in. Correlations of C are
those of their leading modes, so that draws are as smooth as they are; a is learned for each field. As the model of
a filter it is optimal interpolation: the analysis of a time hangs on the readings of that time alone.
"""

import equinox as eqx
import jax
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
    folds,
    noise,
    plain,
)
from assim.models.baselines.fields.season import Season, season_of
from assim.nn.lowrank import LowRankNoise
from assim.series import Layout, Stretch
from assim.statespace import Span
from assim.types import Array, Bool, Float, Sites


class SeasonalField(AbstractMovedField):
    """Fields drawn anew at each time.

    Args:
        season: their mean.
        root: thin root of the covariance of the anomalies, shape (state, mode), file units.
        floor: deviation that no mode tells, shape (state,), file units.
        known: share of the variance that is found in the record itself, shape (field,).
        states: in which a field may begin, shape (state, field * place), file units.
        sea: True where there is something to move, shape (place,).
        error: standard deviation of a sensor's error beside what a file tells, shape (field,), file units.
        grid: where the fields lie.
        names: of the fields.
        periodic: whether each axis closes.
    """

    season: Season
    root: Float[Array, "state mode"]
    floor: Float[Array, " state"]
    known: Float[Array, " field"]
    states: Float[Array, "kept state"]
    sea: Bool[Array, " place"]
    error: Float[Array, " field"]
    grid: Grid = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The mean of the season; land as it is."""
        return jnp.where(self.wet, self.season.at(u), x)

    def process_noise(self, x: Array, span: Span) -> LowRankNoise:
        """An anomaly, of whatever span."""
        return LowRankNoise(self.root, self.floor)

    def ahead(
        self, x: Float[Array, " state"], spans: Span, u: Float[Array, "lead input"]
    ) -> tuple[Array, Array]:
        """The mean of each season, and one variance for all leads."""
        variance = LowRankNoise(self.root, self.floor).variance
        mean = jax.vmap(self.season.at)(u)
        return mean, jnp.broadcast_to(variance, mean.shape)

    def own(self) -> Float[Array, " newest"]:
        """As was counted, for each field."""
        return jnp.repeat(self.known, self.grid.places)


class FieldClimatology(AbstractFieldBaseline):
    """The mean and the spread of each place and season.

    Args:
        fields: variables to model together; None for all fields of the record.
        calendar: calendar cycles of the mean, of "day" and "year".
        periodic: whether the grid closes, along every axis or along each.
        error: standard deviation of a sensor's error beside what a file tells by `_sd`, file units.
    """

    fields: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named)
    calendar: tuple[str, ...] = eqx.field(static=True, default=(), converter=named)
    periodic: bool | tuple[bool, ...] = eqx.field(static=True, default=True, converter=plain)
    error: float = 0.0
    horizon: int = eqx.field(static=True, default=1, init=False)

    def counted(self, stretches: Stretch, layout: Layout) -> Sites:
        """The mean of each place by season, the deviation from it, and the modes of the anomalies."""
        closing(self, layout)
        held = basics(stretches, layout)
        u, y, mask = (np.asarray(a[:, 0]) for a in (stretches.u, stretches.y, stretches.mask))
        u, y = u.astype(float), y.astype(float)
        season = season_of(u, y, mask)
        new = np.zeros_like(y)
        for inside, outside in folds(len(y)):
            told = season_of(u[inside], y[inside], mask[inside])
            new[outside] = _apart(u[outside], y[outside], mask[outside], told)
        count = np.maximum(mask.sum(axis=0), 1)
        sd = np.sqrt((new**2).sum(axis=0) / count)
        own = _apart(u, y, mask, season)
        square = [
            (e**2).reshape(len(e), len(held["scale"]), -1).sum(axis=(0, 2)) for e in (own, new)
        ]
        share = np.where(square[1] > 0, square[0] / np.where(square[1] > 0, square[1], 1.0), 1.0)
        return held | arrays(season=season, **noise(new, sd, held), own=share)

    def prior(self, layout: Layout, constants: Sites) -> SeasonalField:
        """A factor on the anomalies of each field."""
        assert layout.grid is not None
        size = jnp.repeat(factor("noise", len(layout.channels)), layout.grid.places)
        return SeasonalField(
            season=Season(constants["season"], self.calendar),
            root=size[:, None] * constants["root"],
            floor=size * constants["floor"],
            known=constants["own"],
            **self.ground(layout, constants),
        )


def _apart(u: np.ndarray, y: np.ndarray, mask: np.ndarray, season: np.ndarray) -> np.ndarray:
    """Deviations of fields (n, newest) from a mean by season; 0 where missing."""
    mean = np.concatenate([np.ones((len(u), 1)), u], axis=1) @ season
    return np.where(mask, y - mean, 0.0)
