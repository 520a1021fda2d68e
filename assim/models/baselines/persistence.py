r"""Persistence: what is, stays: $g_h = y_t$, the newest reading of each channel."""

import equinox as eqx
import jax.numpy as jnp

from assim.model import Needs, named
from assim.models.baselines.base import AbstractGuess
from assim.nn.window import newest
from assim.series import Layout
from assim.types import Array, Sites


class Persistence(AbstractGuess):
    """The newest reading, at every lead.

    Args:
        horizon: number of leads, in steps of the record.
        context: rows searched for a newest reading.
        targets: variables to forecast; None for all.

    Raises:
        ValueError: no lead, or no row to look at.
    """

    horizon: int = eqx.field(static=True, default=24)
    context: int = eqx.field(static=True, default=12)
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def __check_init__(self) -> None:
        if min(self.horizon, self.context) < 1:
            raise ValueError(
                f"Persistence(horizon={self.horizon}, context={self.context}) needs at least 1 step of each."
            )

    def needs(self) -> Needs:
        """A short window."""
        return Needs(context=self.context, horizon=self.horizon, targets=self.targets)

    def guess(self, values: Array, present: Array, layout: Layout, constants: Sites) -> Array:
        """The newest reading, repeated."""
        level, _ = newest(values, present, constants["mean"])
        return jnp.broadcast_to(level, (self.horizon, level.shape[0]))
