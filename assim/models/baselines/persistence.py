r"""Persistence: what is, stays: $g_h = y_t$, the newest reading of each channel."""

import equinox as eqx
import jax.numpy as jnp

from assim.model import Needs
from assim.models.baselines.base import AbstractGuess
from assim.nn.window import newest
from assim.series import Layout
from assim.types import Array, Sites


class Persistence(AbstractGuess):
    """The newest reading, at every lead.

    Args:
        horizon: number of leads, in steps of the record.
        context: rows searched for a newest reading.
    """

    horizon: int = eqx.field(static=True, default=24)
    context: int = eqx.field(static=True, default=12)

    def needs(self) -> Needs:
        """A short window."""
        return Needs(context=self.context, horizon=self.horizon)

    def guess(self, values: Array, present: Array, layout: Layout, constants: Sites) -> Array:
        """The newest reading, repeated."""
        level, _ = newest(values, present, constants["mean"])
        return jnp.broadcast_to(level, (self.horizon, level.shape[0]))
