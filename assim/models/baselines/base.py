r"""What every baseline is: a guess that needs no fit, and a spread learned for each lead and channel.

$$y_{t+h} \sim \text{Emission}\big(g_h(\text{past}),\ d_h\,s_h\big), \qquad
s_h = \text{relative scale}(r_h),\quad r_h \sim \mathcal N(0, 1)$$

A baseline with an honest spread is hard to beat; one without is no opponent.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from assim.model import AbstractPointwise
from assim.nn.counting import LEAST, deviation, known_error, moments
from assim.nn.emission import Emission, directions, relative_scale
from assim.nn.leads import AbstractLeads
from assim.nn.paths import lead_correlation_root
from assim.nn.window import LagWindow
from assim.series import Layout, Window
from assim.statespace import Span
from assim.types import Array, Bool, Float, Key, Sites


class Guess(eqx.Module):
    """One window as a baseline sees it.

    Args:
        guess: shape (lead, channel), internal units.
        y: what came, shape (lead, channel), internal units.
        mask: whether it was read, shape (lead, channel).
        sd: known standard error, shape (lead, channel), internal units.
    """

    guess: Float[Array, "lead channel"]
    y: Float[Array, "lead channel"]
    mask: Bool[Array, "lead channel"]
    sd: Float[Array, "lead channel"]


class AbstractGuessing[M: "AbstractGuess"](AbstractLeads):
    """A state space of a window, and a guess for each lead.

    Args:
        model: whose guess.
        scale: shape (lead, channel), internal units.
        constants: what was counted.
        layout: what the columns are.
    """

    model: M
    scale: Float[Array, "lead channel"]
    constants: Sites
    layout: Layout = eqx.field(static=True)

    @property
    def window(self) -> LagWindow:
        """As many rows as the model needs."""
        return LagWindow(self.model.needs().context, self.layout.supports, self.constants)

    def predict(self, x: Array, spans: Span, inputs: Float[Array, "lead input"]) -> Emission:
        """The guess with its spread, batch shape (lead, channel)."""
        guess = self.model.guess(x[0], x[1] > 0.5, self.layout, self.constants)
        return Emission(guess, self.scale, self.layout.supports)


class GuessingStateSpace(AbstractGuessing["AbstractGuess"]):
    """The state space of a baseline."""


class AbstractGuess(AbstractPointwise):
    """A baseline that guesses from its window."""

    @abstractmethod
    def guess(self, values: Array, present: Array, layout: Layout, constants: Sites) -> Array:
        """What comes, shape (lead, channel), from the window (lag, channel); internal units."""

    def counted(self, windows: Window, layout: Layout, mean: Float[Array, " channel"]) -> Sites:
        """What else a guess is made from, counted in the training windows (n, ...)."""
        return {}

    def bound(self, scale: Array, constants: Sites, layout: Layout) -> AbstractGuessing:
        """The state space of a given spread, shape (lead, channel), internal units."""
        return GuessingStateSpace(self, scale, constants, layout)

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Mean of each channel; sd and correlation of the guess's errors at each lead."""
        y, mask = windows.context.y, windows.context.mask
        circular = directions(layout.supports)
        mean, sd = moments(y, mask, (0, 1), circular)
        counted: Sites = {"mean": mean, "error_sd": known_error(windows.context.sd, mask)}
        counted |= self.counted(windows, layout, mean)
        guess = jax.vmap(lambda v, p: self.guess(v, p, layout, counted))(y, mask)
        error, told = deviation(windows.y, guess, circular), windows.mask
        square = jnp.where(told, error**2, 0.0).sum(0) / jnp.maximum(told.sum(0), 1)
        spread = jnp.where(square > 0, jnp.sqrt(square), sd)
        return counted | {
            "lead_sd": jnp.maximum(spread, LEAST),
            "lead_root": lead_correlation_root(error, told),
        }

    def prior(self, layout: Layout, constants: Sites) -> AbstractGuessing:
        """A relative scale for each lead and channel."""
        shape = constants["lead_sd"].shape
        unit = dist.Normal(jnp.zeros(shape), jnp.ones(shape)).to_event(2)
        raw = numpyro.sample("noise", unit)
        return self.bound(constants["lead_sd"] * relative_scale(raw), constants, layout)

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Guess:
        """The guess once and for all."""
        guess = self.guess(window.context.y, window.context.mask, layout, constants)
        targets = jnp.array(layout.is_target)
        return Guess(guess, window.y, window.mask & targets, window.sd)

    def density(self, ssm: AbstractGuessing, example: Guess) -> Emission:
        """The guess with its spread, the file's own error included."""
        return Emission(example.guess, ssm.scale, ssm.layout.supports).widened(example.sd)

    def reading(self, example: Guess) -> tuple[Array, Array]:
        """What was read and whether."""
        return example.y, example.mask
