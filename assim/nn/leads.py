r"""All leads at once from a lag window: how a path and a step are drawn from the densities of the leads.

$$y_{t+h} = \text{fold}\big(\mu_h + \sqrt{s_h^2 + \sigma^2}\,z_h\big), \qquad z \sim \mathcal N(0, R)$$

with $\mu_h$ and $s_h$ those of the model, $\sigma$ the usual error of a reading, R counted (`assim.nn.paths`).
"""

import jax.numpy as jnp

from assim.nn.emission import Emission
from assim.nn.paths import correlated_path
from assim.nn.window import AbstractWindowed, moved_on
from assim.statespace import AbstractForecaster, Span
from assim.types import Array, Float, Key


class AbstractLeads(AbstractForecaster, AbstractWindowed):
    """A forecaster of as many leads as `lead_root` (channel, lead, lead) was counted for; a step is the first."""

    def path(
        self, x: Array, spans: Span, inputs: Float[Array, "lead input"], *, key: Key
    ) -> Float[Array, "lead channel"]:
        """A joint draw over leads, correlated as those of the record are."""
        counted = self.window.constants
        density = self.predict(x, spans, inputs).widened(counted["error_sd"])
        return correlated_path(density, counted["lead_root"], key=key)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The window moved on by the first lead, the plan held at `u`."""
        counted = self.window.constants
        leads = counted["lead_root"].shape[-1]
        held = jnp.zeros((leads, 0)) if u is None else jnp.broadcast_to(u, (leads, u.shape[-1]))
        density = first_lead(self.predict(x, span, held))
        return moved_on(x, density.widened(counted["error_sd"]), key=key)


def first_lead(density: Emission) -> Emission:
    """The density of the first lead alone, batch shape (channel,)."""
    return Emission(density.loc[0], density.scale[0], density.supports, density.df)
