"""The state space of departures: all leads at once from the lag window (`assim.nn.window`)."""

import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.models.departures.recent import Look, Recent
from assim.nn.counting import excess
from assim.nn.emission import Emission
from assim.nn.paths import correlated_path
from assim.nn.window import AbstractWindowed, moved_on, seen, window_state
from assim.statespace import AbstractForecaster, Context, Span
from assim.types import Array, Float, Key, Sites

OWN = 0.3
"""Least part of a spread that is not the error which the file knows."""


class Departing(AbstractForecaster, AbstractWindowed):
    """Departures from the newest reading; a single step is their first lead.

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
        return Emission(loc, recent.spread * self.scale, self.supports)

    @property
    def supports(self) -> tuple[str, ...]:
        """Kind of each channel."""
        return self.look.supports

    def init(self, context: Context, *, key: Key) -> Distribution:
        """The window as observed."""
        return window_state(context, self.look.memory)

    def predict(self, x: Array, spans: Span, inputs: Float[Array, "lead input"]) -> Emission:
        """The density at each lead without the usual error of the file, which its reader adds."""
        density = self(self.look(x[0], x[1] > 0.5, self.constants))
        own = excess(density.scale, self.constants["error_sd"])
        return Emission(density.loc, jnp.maximum(own, OWN * density.scale), self.supports)

    def path(
        self, x: Array, spans: Span, inputs: Float[Array, "lead input"], *, key: Key
    ) -> Float[Array, "lead channel"]:
        """A joint draw over leads, correlated as the record's own changes are."""
        density = self.predict(x, spans, inputs).widened(self.constants["error_sd"])
        return correlated_path(density, self.constants["lead_root"], key=key)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The window moved on by the first lead."""
        density = self.predict(x, span, jnp.zeros((0, 0)))
        first = Emission(density.loc[0], density.scale[0], self.supports)
        return moved_on(x, first.widened(self.constants["error_sd"]), key=key)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Emission:
        """The newest row, seen with the sensor's own noise."""
        more = None if sd is None else excess(sd, self.constants["error_sd"])
        return seen(x, self.supports, None, more)
