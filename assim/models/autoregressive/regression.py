r"""The state spaces of an autoregression: stepped (iterated decoding) and all leads at once (direct decoding).

$$y_{t+h} = \ell_t + d_h \odot f_\theta(\phi_t)_h + d_{h,a} \odot s_h \odot \varepsilon, \qquad
d_h = \operatorname{sd}(y_{t+h} - y_t)$$

with $\ell$ the newest reading and $d_{h,a}$ the change grown with its age a (see `noise`); of a channel that the
window has no reading of, both are what others tell (see `likeness`). Where runs have numbers of their
own, $\phi$ has them too. The state is the lag window (`assim.nn.window`). It holds readings: where the file knows
their error, a drawn row has an error of the usual size too, as the rows have that the model was fitted on.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.models.autoregressive.features import Lags
from assim.models.autoregressive.likeness import Standing, grown
from assim.nn.emission import Emission, relative_scale
from assim.nn.encoded import Encoded
from assim.nn.leads import AbstractLeads, first_lead
from assim.nn.mlp import Perceptron
from assim.nn.window import AbstractWindowed, LagWindow, moved_on
from assim.statespace import AbstractPredictive, Span
from assim.types import Array, Float, Int, Key, Sites


class Regression(eqx.Module):
    """Mean and scale of the next readings: the part that both decodings share.

    Args:
        net: features to raw outputs, (lead * asked,) means and, where the scale varies, as many scales.
        scale: constant relative scale, shape (lead, asked), or None where it varies.
        constants: what was counted: `mean`, `sd`, `step_sd`, `error_sd` (channel,) and `lead_sd` (lead, channel),
            internal units; `growth` of the last with age, (lead, age, channel); `likeness` (channel, channel) and
            `memory` (age, channel) of what others tell.
        lags: what is looked at.
        df: degrees of freedom, or None for a Normal.
        widening: whether the scale grows with the age of the newest reading.
        asked: columns of the channels that the network speaks of; the others stay where they were last seen.
        offsets: numbers that a run of the fit has of its own, shape (run, offset), or None.
        offset: those of a run that the fit has not seen, shape (offset,), or None.
    """

    net: Perceptron | Encoded
    scale: Float[Array, "lead asked"] | None
    constants: Sites
    lags: Lags
    df: float | None = eqx.field(static=True)
    widening: bool = eqx.field(static=True)
    asked: tuple[int, ...] = eqx.field(static=True)
    offsets: Float[Array, "run offset"] | None = None
    offset: Float[Array, " offset"] | None = None

    def at(self, x: Array, inputs: Array) -> Emission:
        """The density of the next readings given a window, batch shape (lead, channel)."""
        features, stands = self.lags(x[0], x[1] > 0.5, inputs, self.constants)
        return self(features, stands.level, scale_unit(self.constants, stands, self.widening))

    def __call__(
        self,
        features: Float[Array, " feature"],
        level: Float[Array, " channel"],
        unit: Float[Array, "lead channel"],
        run: Int[Array, ""] | None = None,
    ) -> Emission:
        """The density of the next readings, batch shape (lead, channel); a run that is new has the number -1."""
        lead_sd = self.constants["lead_sd"]
        if self.offsets is not None and self.offset is not None:
            own = self.offset
            if run is not None:
                own = jnp.where(run < 0, own, self.offsets[run])
            features = jnp.concatenate([features, own])
        raw = self.net(features)
        shape = (len(lead_sd), len(self.asked))
        if self.scale is None:
            mean, raw_scale = raw.reshape(2, *shape)
            scale = relative_scale(self._placed(raw_scale))
        else:
            mean, scale = raw.reshape(shape), self._placed(self.scale, 1.0)
        return Emission(
            level + lead_sd * self._placed(mean), unit * scale, self.lags.supports, self.df
        )

    def _placed(
        self, told: Float[Array, "lead asked"], others: float = 0.0
    ) -> Float[Array, "lead channel"]:
        """What is said of the channels asked for, and a number for the others."""
        channels = self.constants["lead_sd"].shape[1]
        if len(self.asked) == channels:
            return told
        place = np.eye(channels)[list(self.asked)]
        placed = jnp.matmul(told, jnp.asarray(place, told.dtype), precision="highest")
        return placed + others * (1.0 - place.sum(axis=0))


class AbstractRegressed(AbstractWindowed):
    """A lag window, and a regression on it."""

    regression: eqx.AbstractVar[Regression]

    @property
    def window(self) -> LagWindow:
        """What the regression looks at."""
        told = self.regression
        return LagWindow(told.lags.context, told.lags.supports, told.constants, told.df)


class SteppedRegression(AbstractRegressed, AbstractPredictive):
    """One step at a time: the state is the lag window, and a forecast is a roll-out."""

    regression: Regression

    def predictive(
        self, x: Array, span: Span, u: Array | None = None, sd: Array | None = None
    ) -> Emission:
        """p(y' | window), with the file's own error added where it is known."""
        density = self._next(x, u)
        return density if sd is None else density.widened(sd)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The window moved on by one row, which is drawn."""
        return moved_on(x, self._next(x, u).widened(self.regression.constants["error_sd"]), key=key)

    def _next(self, x: Array, u: Array | None) -> Emission:
        return first_lead(self.regression.at(x, jnp.zeros(0, x.dtype) if u is None else u))


class DirectRegression(AbstractRegressed, AbstractLeads):
    """All leads at once from one window."""

    regression: Regression
    num_controls: int = eqx.field(static=True)

    def predict(self, x: Array, spans: Span, inputs: Float[Array, "lead input"]) -> Emission:
        """The marginal density at each lead, batch shape (lead, channel); inputs at all leads."""
        return self.regression.at(x, direct_inputs(inputs, self.num_controls))


def scale_unit(constants: Sites, at: Standing, widening: bool) -> Float[Array, "lead channel"]:
    """What the relative scale is in units of: the change over the lead, grown with the age."""
    return constants["lead_sd"] * (grown(constants, at) if widening else 1.0)


def direct_inputs(inputs: Float[Array, "lead input"], num_controls: int) -> Array:
    """Controls at every lead, calendar at the first: the others follow from it."""
    return jnp.concatenate([inputs[:, :num_controls].ravel(), inputs[0, num_controls:]])
