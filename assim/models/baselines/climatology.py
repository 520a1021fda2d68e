r"""Climatology: the mean and spread of the hour of day and the season, whatever the present state.

$$y_t \sim \text{Emission}\big(m + \sigma\,\beta^\top c(t),\ \sigma\,s(\gamma^\top c(t))\big), \qquad
c(t) = \Big[1, \cos\tfrac{2\pi k t}{P}, \sin\tfrac{2\pi k t}{P}\Big]$$

Deviations along a path keep the one-step correlation $\rho$ of the record's own deviations from its calendar,
$R_{hk} = \rho^{|h-k|}$.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from assim.model import AbstractPointwise, Needs, named
from assim.nn.counting import LEAST, deviation, known_error, moments
from assim.nn.emission import Emission, directions, relative_scale
from assim.nn.leads import first_lead
from assim.nn.paths import correlated_path
from assim.nn.window import AbstractWindowed, LagWindow, moved_on
from assim.series import Layout, Window
from assim.statespace import AbstractForecaster, Span
from assim.types import Array, Bool, Float, Key, Sites


class Occasion(eqx.Module):
    """A reading and its place in the calendar.

    Args:
        phase: calendar features, shape (lead, feature).
        y: what was read, shape (lead, channel), internal units.
        mask: whether it was read, shape (lead, channel).
        sd: known standard error, shape (lead, channel), internal units.
    """

    phase: Float[Array, "lead feature"]
    y: Float[Array, "lead channel"]
    mask: Bool[Array, "lead channel"]
    sd: Float[Array, "lead channel"]


class Cycle(AbstractForecaster, AbstractWindowed):
    """The state space of climatology: the calendar alone moves it.

    Args:
        mean: coefficients of the mean, shape (channel, 1 + feature), channel sd.
        spread: coefficients of the raw relative scale, shape (channel, 1 + feature).
        constants: what was counted.
        layout: what the columns are.
    """

    mean: Float[Array, "channel feature"]
    spread: Float[Array, "channel feature"]
    constants: Sites
    layout: Layout = eqx.field(static=True)

    def at(self, phase: Float[Array, "lead feature"]) -> Emission:
        """The density at calendar phases, batch shape (lead, channel)."""
        c = _with_one(phase)
        sd = self.constants["sd"]
        loc = self.constants["mean"] + sd * (c @ self.mean.T)
        return Emission(loc, sd * relative_scale(c @ self.spread.T), self.layout.supports)

    @property
    def window(self) -> LagWindow:
        """The newest row alone; nothing depends on it."""
        return LagWindow(1, self.layout.supports, self.constants)

    def predict(self, x: Array, spans: Span, inputs: Float[Array, "lead input"]) -> Emission:
        """The climatological density at each lead."""
        return self.at(inputs[:, self.layout.num_controls :])

    def path(
        self, x: Array, spans: Span, inputs: Float[Array, "lead input"], *, key: Key
    ) -> Float[Array, "lead channel"]:
        """A joint draw with the record's one-step correlation."""
        apart = np.abs(np.subtract.outer(np.arange(len(inputs)), np.arange(len(inputs))))
        correlation = self.constants["correlation"][:, None, None] ** apart
        root = jnp.linalg.cholesky(correlation)
        density = self.predict(x, spans, inputs).widened(self.constants["error_sd"])
        return correlated_path(density, root, key=key)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The next row, drawn from the calendar."""
        phase = jnp.zeros((1, 0)) if u is None else u[None, self.layout.num_controls :]
        density = first_lead(self.at(phase))
        return moved_on(x, density.widened(self.constants["error_sd"]), key=key)


class Climatology(AbstractPointwise):
    """Mean and spread of the hour of day and the season.

    Args:
        calendar: cycles of "day" and "year"; those the record cannot tell are left out.
        targets: variables to forecast; None for all.
    """

    calendar: tuple[str, ...] = eqx.field(static=True, converter=named, default=("day", "year"))
    targets: tuple[str, ...] | None = eqx.field(static=True, converter=named, default=None)

    def needs(self) -> Needs:
        """The calendar alone."""
        return Needs(context=2, horizon=1, calendar=self.calendar, targets=self.targets)

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Mean, sd and known error of each channel, one-step correlation of what the calendar leaves."""
        circular = directions(layout.supports)
        y, mask = windows.y[:, 0], windows.mask[:, 0]
        before, both = windows.context.y[:, -1], mask & windows.context.mask[:, -1]
        mean, sd = moments(y, mask, 0, circular)
        sd = jnp.maximum(sd, LEAST)
        now, then = (deviation(z, mean, circular) / sd for z in (y, before))
        c, c_before = (
            _with_one(u[:, layout.num_controls :])
            for u in (windows.u[:, 0], windows.context.u[:, -1])
        )
        beta = _least_squares(c, now, mask)
        now, then = now - c @ beta, then - c_before @ beta
        covariance = jnp.where(both, now * then, 0.0).sum(0)
        variance = 0.5 * jnp.where(both, now**2 + then**2, 0.0).sum(0)
        return {
            "mean": mean,
            "sd": sd,
            "error_sd": known_error(windows.sd, windows.mask),
            "correlation": jnp.clip(covariance / jnp.maximum(variance, LEAST), 0.0, 0.999),
        }

    def prior(self, layout: Layout, constants: Sites) -> Cycle:
        """Harmonics of mean and scale, unit Normal in units of the channel's sd."""
        features = 1 + len(layout.inputs) - layout.num_controls
        shape = (len(layout.channels), features)
        mean = numpyro.sample("mean", dist.Normal(jnp.zeros(shape), 1.0).to_event(2))
        spread = numpyro.sample("spread", dist.Normal(jnp.zeros(shape), 0.5).to_event(2))
        return Cycle(mean, spread, constants, layout)

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Occasion:
        """The reading and its calendar phases."""
        phase = window.u[:, layout.num_controls :]
        targets = jnp.array(layout.is_target)
        return Occasion(phase, window.y, window.mask & targets, window.sd)

    def density(self, ssm: Cycle, example: Occasion) -> Emission:
        """The climatological density, the file's own error included."""
        return ssm.at(example.phase).widened(example.sd)

    def reading(self, example: Occasion) -> tuple[Array, Array]:
        """What was read and whether."""
        return example.y, example.mask


def _with_one(phase: Float[Array, "n feature"]) -> Float[Array, "n one_and_feature"]:
    return jnp.concatenate([jnp.ones((phase.shape[0], 1), phase.dtype), phase], axis=1)


def _least_squares(
    c: Float[Array, "n feature"], z: Float[Array, "n channel"], mask: Bool[Array, "n channel"]
) -> Float[Array, "feature channel"]:
    """Coefficients of each channel on the features, over what is observed, with a unit Normal prior."""

    def one(z: Array, mask: Array) -> Array:
        weighted = c * mask[:, None]
        gram = weighted.T @ c + jnp.eye(c.shape[1])
        return jnp.linalg.solve(gram, weighted.T @ jnp.where(mask, z, 0.0))

    return jax.vmap(one, in_axes=1, out_axes=1)(z, mask)
