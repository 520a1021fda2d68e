r"""Seasonal naive: what was a period ago: $g_h = y_{t+h-kP}$, $k$ the least whole number with $t+h-kP \le t$.

Where that reading is missing, that of one period earlier; where both are, the newest reading of all.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.model import Needs, named
from assim.models.baselines.base import AbstractGuess
from assim.nn.window import newest
from assim.series import Layout
from assim.types import Array, Sites


class SeasonalNaive(AbstractGuess):
    """The reading of one period ago.

    Args:
        period: length of the season, in steps of the record (one day of 30-minute steps: 48).
        horizon: number of leads, in steps of the record.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no period, or no lead.
    """

    period: int = eqx.field(static=True, default=48)
    horizon: int = eqx.field(static=True, default=24)
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def __check_init__(self) -> None:
        if min(self.period, self.horizon) < 1:
            raise ValueError(
                f"SeasonalNaive(period={self.period}, horizon={self.horizon}) needs at least 1 step of each."
            )

    def needs(self) -> Needs:
        """Two periods."""
        return Needs(context=2 * self.period, horizon=self.horizon, targets=self.targets)

    def guess(self, values: Array, present: Array, layout: Layout, constants: Sites) -> Array:
        """The reading of one period ago, or of two."""
        leads = np.arange(1, self.horizon + 1)
        rows = -1 + leads - self.period * -(-leads // self.period)
        level, _ = newest(values, present, constants["mean"])
        older = jnp.where(present[rows - self.period], values[rows - self.period], level)
        return jnp.where(present[rows], values[rows], older)
