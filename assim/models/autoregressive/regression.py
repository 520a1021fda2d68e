r"""The state spaces of an autoregression: stepped (iterated decoding) and all leads at once (direct decoding).

$$y_{t+h} = \ell_t + d_h \odot f_\theta(\phi_t)_h + d_h \odot s_h \odot \varepsilon$$

The state is the lag window (`assim.nn.window`).
"""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.models.autoregressive.features import Lags
from assim.nn.emission import Emission, relative_scale
from assim.nn.mlp import Perceptron
from assim.nn.paths import correlated_path
from assim.nn.window import moved_on, seen, window_state
from assim.statespace import AbstractForecaster, AbstractPredictive, Context, Span
from assim.types import Array, Float, Key, Sites


class Regression(eqx.Module):
    """Mean and scale of the next readings: the part that both decodings share.

    Args:
        net: features to raw outputs, (lead * channel,) means and, where the scale varies, as many scales.
        scale: constant relative scale, shape (lead, channel), or None where it varies.
        constants: `mean`, `sd`, `step_sd` (channel,) and `lead_sd` (lead, channel), internal units.
        lags: what is looked at.
        df: degrees of freedom, or None for a Normal.
    """

    net: Perceptron
    scale: Float[Array, "lead channel"] | None
    constants: Sites
    lags: Lags
    df: float | None = eqx.field(static=True)

    def __call__(
        self, features: Float[Array, " feature"], level: Float[Array, " channel"]
    ) -> Emission:
        """The density of the next readings, batch shape (lead, channel)."""
        lead_sd = self.constants["lead_sd"]
        raw = self.net(features)
        if self.scale is None:
            mean, raw_scale = raw.reshape(2, *lead_sd.shape)
            scale = relative_scale(raw_scale)
        else:
            mean, scale = raw.reshape(lead_sd.shape), self.scale
        return Emission(level + lead_sd * mean, lead_sd * scale, self.lags.supports, self.df)


class SteppedRegression(AbstractPredictive):
    """One step at a time: the state is the lag window, and a forecast is a roll-out."""

    regression: Regression

    def init(self, context: Context, *, key: Key) -> Distribution:
        """The window as observed."""
        return window_state(context, self.regression.lags.context)

    def predictive(
        self, x: Array, span: Span, u: Array | None = None, sd: Array | None = None
    ) -> Emission:
        """p(y' | window), with the file's own error added where it is known."""
        density = self._next(x, u)
        return density if sd is None else density.widened(sd)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The window moved on by one row, which is drawn."""
        return moved_on(x, self._next(x, u), key=key)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Emission:
        """The newest row, seen with the sensor's own noise."""
        return seen(x, self.regression.lags.supports, self.regression.df, sd)

    def _next(self, x: Array, u: Array | None) -> Emission:
        inputs = jnp.zeros(0, x.dtype) if u is None else u
        regression = self.regression
        features, level = regression.lags(x[0], x[1] > 0.5, inputs, regression.constants)
        return first_lead(regression(features, level))


class DirectRegression(AbstractForecaster):
    """All leads at once from one window; a single step is its first lead."""

    regression: Regression
    num_controls: int = eqx.field(static=True)

    def init(self, context: Context, *, key: Key) -> Distribution:
        """The window as observed."""
        return window_state(context, self.regression.lags.context)

    def predict(self, x: Array, spans: Span, inputs: Float[Array, "lead input"]) -> Emission:
        """The marginal density at each lead, batch shape (lead, channel); inputs at all leads."""
        regression = self.regression
        plan = direct_inputs(inputs, self.num_controls)
        features, level = regression.lags(x[0], x[1] > 0.5, plan, regression.constants)
        return regression(features, level)

    def path(
        self, x: Array, spans: Span, inputs: Float[Array, "lead input"], *, key: Key
    ) -> Float[Array, "lead channel"]:
        """A joint draw over leads, correlated as the record's own increments are."""
        root = self.regression.constants["lead_root"]
        return correlated_path(self.predict(x, spans, inputs), root, key=key)

    def transition(self, x: Array, span: Span, u: Array | None = None, *, key: Key) -> Array:
        """The window moved on by its first lead, the plan held at `u`."""
        leads = self.regression.constants["lead_sd"].shape[0]
        held = jnp.zeros((leads, 0)) if u is None else jnp.broadcast_to(u, (leads, u.shape[-1]))
        return moved_on(x, first_lead(self.predict(x, span, held)), key=key)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Emission:
        """The newest row, seen with the sensor's own noise."""
        return seen(x, self.regression.lags.supports, self.regression.df, sd)


def direct_inputs(inputs: Float[Array, "lead input"], num_controls: int) -> Array:
    """Controls at every lead, calendar at the first: the others follow from it."""
    return jnp.concatenate([inputs[:, :num_controls].ravel(), inputs[0, num_controls:]])


def first_lead(density: Emission) -> Emission:
    """The density of the first lead alone, batch shape (channel,)."""
    return Emission(density.loc[0], density.scale[0], density.supports, density.df)
