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

from assim.model import AbstractTangent, Needs
from assim.models.autoregressive.decoding import AbstractDecoding, Iterated
from assim.models.autoregressive.features import Lags
from assim.models.autoregressive.noise import AbstractNoise, Normal
from assim.models.autoregressive.regression import (
    DirectRegression,
    Regression,
    SteppedRegression,
    direct_inputs,
)
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
        y: what came, shape (lead, channel), internal units.
        mask: whether it was read, shape (lead, channel).
        sd: known standard error, shape (lead, channel), internal units.
    """

    features: Float[Array, " feature"]
    level: Float[Array, " channel"]
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
        hidden: tuple[int, ...] = (32, 32),
        *,
        targets: tuple[str, ...] | None = None,
        covariates: tuple[str, ...] = (),
        controls: tuple[str, ...] = (),
        calendar: tuple[str, ...] = ("day", "year"),
        noise: AbstractNoise | None = None,
        decoding: AbstractDecoding | None = None,
        mask_rate: float = 0.2,
        prior_scale: float = 1.0,
    ):
        self.lags = _steps(lags)
        self.hidden = tuple(hidden)
        self.targets = None if targets is None else tuple(targets)
        self.covariates, self.controls = tuple(covariates), tuple(controls)
        self.calendar = tuple(calendar)
        self.noise = Normal() if noise is None else noise
        self.decoding = Iterated() if decoding is None else decoding
        if not 0 <= mask_rate < 1:
            raise ValueError(f"mask_rate={mask_rate} is not a share; give 0 <= mask_rate < 1.")
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
        """Mean and sd of each channel, sd of its one-step increments and of its change at each lead."""
        lags = self._lags(layout)
        y, mask = windows.context.y, windows.context.mask
        mean, sd = _moments(y, mask, (0, 1))
        mean = jnp.where(lags.circular, 0.0, mean)
        both = mask[:, 1:] & mask[:, :-1]
        ahead, told = windows.y[:, 0], windows.mask[:, 0] & mask[:, -1]
        steps = lags.difference(ahead, y[:, -1])
        earlier = lags.difference(y[:, 1:], y[:, :-1]).reshape(-1, y.shape[-1])
        _, step_sd = _moments(
            jnp.concatenate([steps, earlier]),
            jnp.concatenate([told, both.reshape(-1, y.shape[-1])]),
            0,
        )
        change = lags.difference(windows.y, y[:, None, -1])
        seen = windows.mask & mask[:, None, -1]
        _, lead_sd = _moments(change, seen, 0)
        known = seen.sum(axis=0) > 2
        step_sd = jnp.where(step_sd > 0, step_sd, sd)
        return {
            "mean": mean,
            "sd": jnp.maximum(sd, 1e-6),
            "step_sd": jnp.maximum(step_sd, 1e-6),
            "lead_sd": jnp.maximum(jnp.where(known & (lead_sd > 0), lead_sd, sd), 1e-6),
            "lead_root": lead_correlation_root(change, seen),
        }

    def prior(self, layout: Layout, constants: Sites) -> SteppedRegression | DirectRegression:
        """Weights of variance one over fan-in; a constant scale where the noise does not vary."""
        leads, channels = constants["lead_sd"].shape
        lags = self._lags(layout)
        num_out = leads * channels * (2 if self.noise.varying else 1)
        net = network_prior(
            "net",
            lambda key: Perceptron.build(self._num_features(layout), num_out, self.hidden, key=key),
            {"": self.prior_scale},
        )
        scale = None if self.noise.varying else self.noise.constant((leads, channels))
        regression = Regression(net, scale, constants, lags, self.noise.df)
        if isinstance(self.decoding, Iterated):
            return SteppedRegression(regression)
        return DirectRegression(regression, layout.num_controls)

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Example:
        """Features once and for all; a random share of channels loses its newest readings."""
        lags = self._lags(layout)
        present = window.context.mask
        if self.mask_rate > 0:
            present = present & ~_outage(present, self.mask_rate, key=key)
        features, level = lags(window.context.y, present, self._inputs(window, layout), constants)
        targets = jnp.array(layout.is_target) | isinstance(self.decoding, Iterated)
        return Example(features, level, window.y, window.mask & targets, window.sd)

    def density(self, ssm: SteppedRegression | DirectRegression, example: Example) -> Emission:
        """The predictive density at each lead, the file's own error included."""
        return ssm.regression(example.features, example.level).widened(example.sd)

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


def _moments(y: Array, mask: Array, axes: int | tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and standard deviation over what is observed."""
    count = jnp.maximum(mask.sum(axis=axes), 1)
    mean = jnp.where(mask, y, 0.0).sum(axis=axes) / count
    spread = jnp.where(mask, (y - mean) ** 2, 0.0).sum(axis=axes) / count
    return mean, jnp.sqrt(spread)


def _outage(present: Array, rate: float, *, key: Key) -> Array:
    """True where a random outage hides a reading: whole channels for a random stretch up to the origin."""
    k_which, k_long = jax.random.split(key)
    lags, channels = present.shape
    down = jax.random.bernoulli(k_which, rate, (channels,))
    length = jax.random.randint(k_long, (channels,), 1, lags + 1)
    return down & (jnp.arange(lags)[:, None] >= lags - length)
