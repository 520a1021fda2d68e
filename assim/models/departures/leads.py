"""The state space of departures: all leads at once from the lag window (`assim.nn.leads`)."""

import jax.numpy as jnp

from assim.models.departures.recent import Look, Recent
from assim.nn.counting import excess
from assim.nn.emission import Emission
from assim.nn.leads import AbstractLeads
from assim.nn.window import LagWindow
from assim.statespace import Span
from assim.types import Array, Float, Sites

OWN = 0.3
"""Least part of a spread that is not the error which the file knows."""


class Departing(AbstractLeads):
    """Departures from the newest reading.

    Args:
        weights: w, shape (lead, channel, feature).
        scale: s, shape (lead, channel).
        constants: what was counted.
        look: how the window is looked at.
    """

    weights: Float[Array, "lead channel feature"]
    scale: Float[Array, "lead channel"]
    constants: Sites
    look: Look

    def __call__(self, recent: Recent) -> Emission:
        """The density of the readings, their usual error included, batch shape (lead, channel)."""
        departure = jnp.einsum("hcf,cf->hc", self.weights, recent.features)
        loc = recent.level + self.constants["lead_sd"] * departure
        return Emission(loc, recent.spread * self.scale, self.look.supports)

    @property
    def window(self) -> LagWindow:
        """The memory."""
        return LagWindow(self.look.memory, self.look.supports, self.constants)

    def predict(self, x: Array, spans: Span, inputs: Float[Array, "lead input"]) -> Emission:
        """The density at each lead without the usual error of the file, which its reader adds."""
        density = self(self.look(x[0], x[1] > 0.5, self.constants))
        own = excess(density.scale, self.constants["error_sd"])
        return Emission(density.loc, jnp.maximum(own, OWN * density.scale), density.supports)
