r"""The Bayesian autoregressive forecaster (after Sengupta et al. 2021, arXiv 2107.06396).

$$\theta \sim \mathcal N(0, \Sigma), \qquad
y_{t+h} \mid \theta \sim \text{Emission}\big(\ell_t + d_h f_\theta(\phi_t)_h,\ d_h s_\theta(\phi_t)_h\big)$$

Every channel is predicted from the recent past of all channels, from known controls and from the calendar.
Weights have variance one over fan-in and outputs are in units of the increments $d_h$, so that the prior
predictive moves about as far in a step as the record does. Parameters are drawn once per path.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.model import AbstractTangent, Needs, named
from assim.models.autoregressive.decoding import AbstractDecoding, Iterated
from assim.models.autoregressive.features import Lags
from assim.models.autoregressive.noise import AbstractNoise, Normal
from assim.models.autoregressive.regression import (
    DirectRegression,
    Regression,
    SteppedRegression,
    direct_inputs,
    scale_unit,
)
from assim.nn.counting import LEAST, known_error, moments
from assim.nn.emission import Emission
from assim.nn.linearised import linearised
from assim.nn.mlp import Perceptron
from assim.nn.paths import lead_correlation_root
from assim.nn.priors import network_prior
from assim.series import Layout, Window
from assim.types import Array, Bool, Float, Key, Sites


class Example(eqx.Module):
    """One window as the likelihood needs it.

    Args:
        features: shape (feature,).
        level: newest reading of each channel, shape (channel,), internal units.
        unit: what the relative scale is in units of, shape (lead, channel), internal units.
        y: what came, shape (lead, channel), internal units.
        mask: whether it was read, shape (lead, channel).
        sd: known standard error, shape (lead, channel), internal units.
    """

    features: Float[Array, " feature"]
    level: Float[Array, " channel"]
    unit: Float[Array, "lead channel"]
    y: Float[Array, "lead channel"]
    mask: Bool[Array, "lead channel"]
    sd: Float[Array, "lead channel"]


class Autoregressive(AbstractTangent):
    """A forecaster of several sensors from their own recent past.

    Args:
        lags: rows looked at, as a number (that many newest rows) or as increasing lags starting with 1.
        hidden: widths of the hidden layers; () for the linear variant, exactly solvable under `FixedNormal`.
        targets: variables to forecast; None for all but controls and covariates.
        covariates: variables that inform and are not forecast.
        controls: variables whose future is known.
        calendar: cycles of "day" and "year" as inputs; those the record cannot tell are left out.
        noise: `Normal()`, `StudentT()` or `FixedNormal()`.
        decoding: `Iterated()` or `Direct(horizon)`.
        mask_rate: share of window channels whose newest readings are hidden in training, so that outages are met
            prepared; 0 for none.
        prior_scale: factor on the prior sd of all weights.

    Raises:
        ValueError: lags that do not increase from 1, a width below 1, a share outside [0, 1), or no prior scale.
    """

    lags: tuple[int, ...] = eqx.field(static=True)
    hidden: tuple[int, ...] = eqx.field(static=True)
    targets: tuple[str, ...] | None = eqx.field(static=True)
    covariates: tuple[str, ...] = eqx.field(static=True)
    controls: tuple[str, ...] = eqx.field(static=True)
    calendar: tuple[str, ...] = eqx.field(static=True)
    noise: AbstractNoise = eqx.field(static=True)
    decoding: AbstractDecoding = eqx.field(static=True)
    mask_rate: float = eqx.field(static=True)
    prior_scale: float = eqx.field(static=True)

    def __init__(
        self,
        lags: int | tuple[int, ...] = (1, 2, 3, 4, 6, 9, 12),
        hidden: int | tuple[int, ...] = (32, 32),
        *,
        targets: str | tuple[str, ...] | None = None,
        covariates: str | tuple[str, ...] = (),
        controls: str | tuple[str, ...] = (),
        calendar: str | tuple[str, ...] = ("day", "year"),
        noise: AbstractNoise | None = None,
        decoding: AbstractDecoding | None = None,
        mask_rate: float = 0.2,
        prior_scale: float = 1.0,
    ):
        self.lags = _steps(lags)
        self.hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        self.targets = named(targets)
        self.covariates, self.controls = named(covariates) or (), named(controls) or ()
        self.calendar = named(calendar) or ()
        self.noise = Normal() if noise is None else noise
        self.decoding = Iterated() if decoding is None else decoding
        if not 0 <= mask_rate < 1:
            raise ValueError(f"mask_rate={mask_rate} is not a share; give 0 <= mask_rate < 1.")
        if prior_scale <= 0:
            raise ValueError(f"prior_scale={prior_scale} leaves no weights; give prior_scale > 0.")
        if any(width < 1 for width in self.hidden):
            raise ValueError(
                f"hidden={self.hidden} has an empty layer; give widths of 1 or more, or () for none."
            )
        self.mask_rate, self.prior_scale = float(mask_rate), float(prior_scale)

    def needs(self) -> Needs:
        """A window as long as the largest lag, scored at the decoded leads."""
        return Needs(
            context=self.lags[-1],
            horizon=self.decoding.leads,
            controls=self.controls,
            covariates=self.covariates,
            calendar=self.calendar,
            targets=self.targets,
        )

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Mean, sd, known error and one-step sd of each channel, sd of its change over each lead, its growth."""
        lags = self._lags(layout)
        y, mask = windows.context.y, windows.context.mask
        mean, sd = moments(y, mask, (0, 1), lags.circular)
        sd = jnp.maximum(sd, LEAST)
        steps = lags.difference(windows.y[:, 0], y[:, -1])
        told = windows.mask[:, 0] & mask[:, -1]
        earlier = lags.difference(y[:, 1:], y[:, :-1]).reshape(-1, y.shape[-1])
        both = (mask[:, 1:] & mask[:, :-1]).reshape(-1, y.shape[-1])
        _, step_sd = moments(jnp.concatenate([steps, earlier]), jnp.concatenate([told, both]), 0)

        def change_sd(age: Array) -> Array:
            change = lags.difference(windows.y, y[:, None, -1 - age])
            seen = windows.mask & mask[:, None, -1 - age]
            spread = moments(change, seen, 0)[1]
            return jnp.where((seen.sum(axis=0) > 2) & (spread > 0), spread, sd)

        aged = jnp.maximum(jax.lax.map(change_sd, jnp.arange(self.lags[-1])), LEAST)
        error_sd = known_error(windows.context.sd, mask)
        change = lags.difference(windows.y, y[:, None, -1])
        return {
            "mean": mean,
            "sd": sd,
            "error_sd": error_sd,
            "step_sd": jnp.maximum(jnp.where(step_sd > 0, step_sd, sd), LEAST),
            "lead_sd": aged[0],
            "growth": jnp.moveaxis(_growth(aged, sd, error_sd), 0, 1),
            "lead_root": lead_correlation_root(change, windows.mask & mask[:, None, -1]),
        }

    def prior(self, layout: Layout, constants: Sites) -> SteppedRegression | DirectRegression:
        """Weights of variance one over fan-in, a drift of the size of the channel's own rate of return."""
        leads, channels = constants["lead_sd"].shape
        lags = self._lags(layout)
        num_out = leads * channels * (2 if self.noise.varying else 1)
        drift = self.prior_scale * (constants["lead_sd"] / constants["sd"]).ravel()
        if self.noise.varying:
            drift = jnp.concatenate([drift, jnp.full(drift.shape, self.prior_scale)])
        net = network_prior(
            "net",
            lambda key: Perceptron.build(self._num_features(layout), num_out, self.hidden, key=key),
            {"skip.bias": drift, "head.bias": drift, "": self.prior_scale},
        )
        scale = None if self.noise.varying else self.noise.constant((leads, channels))
        regression = Regression(net, scale, constants, lags, self.noise.df, self.noise.widening)
        if isinstance(self.decoding, Iterated):
            return SteppedRegression(regression)
        return DirectRegression(regression, layout.num_controls)

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Example:
        """Features once and for all; a random share of channels loses its newest readings."""
        lags = self._lags(layout)
        present = window.context.mask
        if self.mask_rate > 0:
            present = present & ~_outage(present, self.mask_rate, key=key)
        inputs = self._inputs(window, layout)
        features, level, age = lags(window.context.y, present, inputs, constants)
        unit = scale_unit(constants, age, self.noise.widening)
        targets = jnp.array(layout.is_target) | isinstance(self.decoding, Iterated)
        return Example(features, level, unit, window.y, window.mask & targets, window.sd)

    def density(self, ssm: SteppedRegression | DirectRegression, example: Example) -> Emission:
        """The predictive density at each lead, the file's own error included."""
        density = ssm.regression(example.features, example.level, example.unit)
        return density.widened(example.sd)

    def reading(self, example: Example) -> tuple[Array, Array]:
        """What was read and whether."""
        return example.y, example.mask

    def undisturbed(self) -> "Autoregressive":
        """The same model without random outages."""
        return dataclasses.replace(self, mask_rate=0.0)

    def head(self) -> tuple[str, ...]:
        """The read-out of the last hidden layer; of the linear variant, the straight line."""
        part = "head" if self.hidden else "skip"
        return (f"net.{part}.weight", f"net.{part}.bias")

    def tangent(
        self,
        centre: SteppedRegression | DirectRegression,
        at: SteppedRegression | DirectRegression,
    ) -> SteppedRegression | DirectRegression:
        """The network replaced by its tangent."""
        net = linearised(centre.regression.net, at.regression.net)
        return eqx.tree_at(lambda ssm: ssm.regression.net, at, net)

    def _inputs(self, window: Window, layout: Layout) -> Array:
        if isinstance(self.decoding, Iterated):
            return window.u[0]
        return direct_inputs(window.u, layout.num_controls)

    def _num_features(self, layout: Layout) -> int:
        lags = self._lags(layout)
        return lags.size(layout.num_controls * self.decoding.leads + lags.num_calendar)

    def _lags(self, layout: Layout) -> Lags:
        return Lags(self.lags, layout.supports, len(layout.inputs) - layout.num_controls)


def VAR(lags: int = 3, **settings: object) -> Autoregressive:  # noqa: N802 (reads as the model it makes)
    """The vector autoregression: linear, constant Normal noise, no calendar, nothing hidden in training.

    Args:
        lags: order, in rows.
        **settings: further settings of `Autoregressive`.
    """
    plain: dict = {"calendar": (), "mask_rate": 0.0, "noise": Normal(varying=False)}
    return Autoregressive(lags, (), **(plain | settings))


def _steps(lags: int | tuple[int, ...]) -> tuple[int, ...]:
    steps = tuple(range(1, lags + 1)) if isinstance(lags, int) else tuple(int(k) for k in lags)
    if not steps or steps[0] != 1 or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise ValueError(
            f"lags={lags} must be a positive number or increase from 1, as (1, 2, 3, 6)."
        )
    return steps


def _growth(
    aged: Float[Array, "age lead channel"],
    sd: Float[Array, " channel"],
    error_sd: Float[Array, " channel"],
) -> Float[Array, "age_or_never lead channel"]:
    """The error of a linear prediction from one reading, of each age and from none, relative to age 0.

    A change of sd D in a channel of sd s means a correlation of 1 - D^2 / 2 s^2. Known errors do not grow.
    """
    lost = jnp.clip(aged**2 / (2.0 * sd**2), 0.0, 1.0)  # 1 - r, which float32 would round away
    lost = jnp.concatenate([lost, jnp.ones_like(lost[:1])])
    error = sd**2 * lost * (2.0 - lost)
    own = jnp.maximum(error - error_sd**2, jnp.maximum(0.1 * error, LEAST**2))
    return jnp.sqrt(own / own[0])


def _outage(present: Array, rate: float, *, key: Key) -> Array:
    """True where a random outage hides a reading: whole channels for a random stretch up to the origin."""
    k_which, k_long = jax.random.split(key)
    lags, channels = present.shape
    down = jax.random.bernoulli(k_which, rate, (channels,))
    length = jax.random.randint(k_long, (channels,), 1, lags + 1)
    return down & (jnp.arange(lags)[:, None] >= lags - length)
