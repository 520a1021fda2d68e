r"""The Bayesian autoregressive forecaster (after Sengupta et al. 2021, arXiv 2107.06396).

$$\theta \sim \mathcal N(0, \Sigma), \qquad
y_{t+h} \mid \theta \sim \text{Emission}\big(\ell_t + d_h f_\theta(\phi_t)_h,\ d_h s_\theta(\phi_t)_h\big)$$

Every channel is predicted from the recent past of all channels, from known controls and from the calendar; where
all leads are predicted at once (`Direct`), the targets alone.
Weights have variance one over fan-in and outputs are in units of the increments $d_h$, so that the prior
predictive moves about as far in a step as the record does. Parameters are drawn once per path.

Runs of one rig differ by what nobody measures. With `run_offsets` a run r has numbers $o_r \sim \mathcal N(0, I)$
of its own among the features, learned for the runs of the fit; a run that is forecast counts as a new one and has
them from their prior, anew with each draw of the parameters: its forecasts are as uncertain as runs are different.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from assim.model import AbstractTangent, Needs, named
from assim.models.autoregressive.decoding import AbstractDecoding, Iterated
from assim.models.autoregressive.encoding import AbstractEncoder, grouped
from assim.models.autoregressive.features import Lags, lag_steps
from assim.models.autoregressive.likeness import likeness, lost_over, memory, own_error
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
from assim.nn.encoded import Encoded
from assim.nn.linearised import linearised
from assim.nn.mlp import Perceptron
from assim.nn.paths import lead_correlation_root
from assim.nn.priors import network_prior
from assim.series import Layout, Window
from assim.types import Array, Bool, Float, Int, Key, Sites


class Example(eqx.Module):
    """One window as the likelihood needs it.

    Args:
        features: shape (feature,).
        level: where each channel stands (see `likeness`), shape (channel,), internal units.
        unit: what the relative scale is in units of, shape (lead, channel), internal units.
        y: what came, shape (lead, channel), internal units.
        mask: whether it was read, shape (lead, channel).
        sd: known standard error, shape (lead, channel), internal units.
        run: number of its run, shape ().
    """

    features: Float[Array, " feature"]
    level: Float[Array, " channel"]
    unit: Float[Array, "lead channel"]
    y: Float[Array, "lead channel"]
    mask: Bool[Array, "lead channel"]
    sd: Float[Array, "lead channel"]
    run: Int[Array, ""]


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
        mask_whole: share of these of which the whole window is hidden, so that a sensor is done without; the others
            lose a random stretch.
        prior_scale: factor on the prior sd of all weights.
        encoders: `DenseEncoder` or `GatedEncoder`, each of sensors of one kind; what none of them names is looked
            at as it is.
        run_offsets: how many numbers a run has of its own; 0 where all runs are alike.

    Raises:
        ValueError: lags that do not increase from 1, a width below 1, a share outside [0, 1), no prior scale, or
            fewer than no offsets.
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
    mask_whole: float = eqx.field(static=True)
    encoders: tuple[AbstractEncoder, ...] = eqx.field(static=True)
    run_offsets: int = eqx.field(static=True)

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
        mask_whole: float = 0.0,
        encoders: AbstractEncoder | tuple[AbstractEncoder, ...] = (),
        run_offsets: int = 0,
    ):
        self.lags = lag_steps(lags)
        self.hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
        self.targets = named(targets)
        self.covariates, self.controls = named(covariates) or (), named(controls) or ()
        self.calendar = named(calendar) or ()
        self.noise = Normal() if noise is None else noise
        self.decoding = Iterated() if decoding is None else decoding
        if not 0 <= mask_rate < 1:
            raise ValueError(f"mask_rate={mask_rate} is not a share; give 0 <= mask_rate < 1.")
        if not 0 <= mask_whole <= 1:
            raise ValueError(f"mask_whole={mask_whole} is not a share; give 0 <= mask_whole <= 1.")
        if prior_scale <= 0:
            raise ValueError(f"prior_scale={prior_scale} leaves no weights; give prior_scale > 0.")
        if any(width < 1 for width in self.hidden):
            raise ValueError(
                f"hidden={self.hidden} has an empty layer; give widths of 1 or more, or () for none."
            )
        if run_offsets < 0:
            raise ValueError(f"run_offsets={run_offsets} counts nothing; give 0 or more.")
        self.mask_rate, self.prior_scale = float(mask_rate), float(prior_scale)
        self.encoders = (encoders,) if isinstance(encoders, AbstractEncoder) else tuple(encoders)
        self.mask_whole, self.run_offsets = float(mask_whole), run_offsets

    def needs(self) -> Needs:
        """A window as long as the largest lag, scored at the decoded leads."""
        return Needs(
            context=self._context,
            horizon=self.decoding.leads,
            controls=self.controls,
            covariates=self.covariates,
            calendar=self.calendar,
            targets=self.targets,
        )

    def constants(self, windows: Window, layout: Layout) -> Sites:
        """Means, spreads, known errors and steps, memory and likeness, changes over each lead and their growth."""
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

        aged = jnp.maximum(jax.lax.map(change_sd, jnp.arange(self._context)), LEAST)
        error_sd = known_error(windows.context.sd, mask)
        kept, newest = memory(aged[:, 0], sd), lags.difference(y[:, -1], mean)
        change = lags.difference(windows.y, y[:, None, -1])
        own = {"runs": jnp.zeros(windows.runs)} if self.run_offsets else {}
        return own | {
            "mean": mean,
            "sd": sd,
            "error_sd": error_sd,
            "step_sd": jnp.maximum(jnp.where(step_sd > 0, step_sd, sd), LEAST),
            "lead_sd": aged[0],
            "memory": kept,
            "likeness": likeness(newest / sd, mask[:, -1], lags.circular),
            "growth": jnp.moveaxis(_growth(aged, sd, error_sd), 0, 1),
            "lead_root": lead_correlation_root(change, windows.mask & mask[:, None, -1]),
        }

    def prior(self, layout: Layout, constants: Sites) -> SteppedRegression | DirectRegression:
        """Weights of variance one over fan-in, a drift of the size of the channel's own rate of return."""
        asked = self._asked(layout)
        shape = (constants["lead_sd"].shape[0], len(asked))
        lags = self._lags(layout)
        num_out = shape[0] * shape[1] * (2 if self.noise.varying else 1)
        drift = (constants["lead_sd"] / constants["sd"])[:, np.array(asked)]
        drift = self.prior_scale * drift.ravel()
        if self.noise.varying:
            drift = jnp.concatenate([drift, jnp.full(drift.shape, self.prior_scale)])
        net = network_prior(
            "net",
            lambda key: self._network(layout, lags, num_out, key=key),
            {"skip.bias": drift, "head.bias": drift, "": self.prior_scale},
        )
        offsets = self._offsets(constants) if self.run_offsets else (None, None)
        scale = None if self.noise.varying else self.noise.constant(shape)
        df, widening = self.noise.df, self.noise.widening
        regression = Regression(net, scale, constants, lags, df, widening, asked, *offsets)
        if isinstance(self.decoding, Iterated):
            return SteppedRegression(regression)
        return DirectRegression(regression, layout.num_controls)

    def prepare(self, window: Window, layout: Layout, constants: Sites, *, key: Key) -> Example:
        """Features once and for all; a random share of channels loses its newest readings."""
        lags = self._lags(layout)
        present = window.context.mask
        if self.mask_rate > 0:
            present = present & ~_outage(present, self.mask_rate, self.mask_whole, key=key)
        inputs = self._inputs(window, layout)
        features, stands = lags(window.context.y, present, inputs, constants)
        unit = scale_unit(constants, stands, self.noise.widening)
        asked = np.isin(np.arange(len(layout.channels)), self._asked(layout))
        mask = window.mask & asked
        return Example(features, stands.level, unit, window.y, mask, window.sd, window.run)

    def density(self, ssm: SteppedRegression | DirectRegression, example: Example) -> Emission:
        """The predictive density at each lead, the file's own error included."""
        density = ssm.regression(example.features, example.level, example.unit, example.run)
        return density.widened(example.sd)

    def reading(self, example: Example) -> tuple[Array, Array]:
        """What was read and whether."""
        return example.y, example.mask

    def scored(self, layout: Layout) -> tuple[int, ...] | None:
        """The columns that are foreseen, where these are some."""
        asked = self._asked(layout)
        return asked if len(asked) < len(layout.channels) else None

    def undisturbed(self) -> "Autoregressive":
        """The same model without random outages."""
        return dataclasses.replace(self, mask_rate=0.0)

    def head(self) -> tuple[str, ...]:
        """The read-out of the last hidden layer; of the linear variant, the straight line. New runs differ, too."""
        part = "head" if self.hidden or self.encoders else "skip"
        own = ("offset",) if self.run_offsets else ()
        return (f"net.{part}.weight", f"net.{part}.bias", *own)

    def tangent(
        self,
        centre: SteppedRegression | DirectRegression,
        at: SteppedRegression | DirectRegression,
    ) -> SteppedRegression | DirectRegression:
        """The network replaced by its tangent."""
        net = linearised(centre.regression.net, at.regression.net)
        return eqx.tree_at(lambda ssm: ssm.regression.net, at, net)

    def _asked(self, layout: Layout) -> tuple[int, ...]:
        """Columns that are foreseen: all where a step is fed back, else the targets."""
        fed_back = isinstance(self.decoding, Iterated)
        return tuple(np.flatnonzero(np.array(layout.is_target) | fed_back).tolist())

    def _inputs(self, window: Window, layout: Layout) -> Array:
        if isinstance(self.decoding, Iterated):
            return window.u[0]
        return direct_inputs(window.u, layout.num_controls)

    def _network(
        self, layout: Layout, lags: Lags, num_out: int, *, key: Key
    ) -> Perceptron | Encoded:
        known = layout.num_controls * self.decoding.leads + lags.num_calendar
        num_in = lags.size(known) + self.run_offsets
        if not self.encoders:
            return Perceptron.build(num_in, num_out, self.hidden, key=key)
        sizes = lags.sizes()[: len(self.encoders)]
        parts = zip(self.encoders, lags.groups, sizes, strict=True)
        builders = tuple(encoder.builder(lags, part, size) for encoder, part, size in parts)
        return Encoded.build(num_in, num_out, self.hidden, builders, sizes, key=key)

    def _offsets(self, constants: Sites) -> tuple[Array, Array]:
        """Those of the runs of the fit, and those of a new one, which no reading tells of."""
        runs = constants["runs"].shape[0]
        many = jnp.zeros((runs, self.run_offsets))
        known = numpyro.sample("offsets", dist.Normal(many, 1.0).to_event(2))
        new = numpyro.sample("offset", dist.Normal(many[0], 1.0).to_event(1))
        return known, new

    @property
    def _context(self) -> int:
        return max(self.lags[-1], *(e.lags[-1] for e in self.encoders if e.lags), 1)

    def _lags(self, layout: Layout) -> Lags:
        groups = grouped(self.encoders, layout.channels, self.lags)
        return Lags(self.lags, layout.supports, len(layout.inputs) - layout.num_controls, groups)


def VAR(lags: int = 3, **settings: object) -> Autoregressive:  # noqa: N802 (reads as the model it makes)
    """The vector autoregression: linear, constant Normal noise, no calendar, nothing hidden in training.

    Args:
        lags: order, in rows.
        **settings: further settings of `Autoregressive`.
    """
    plain: dict = {"calendar": (), "mask_rate": 0.0, "noise": Normal(varying=False)}
    return Autoregressive(lags, (), **(plain | settings))


def _growth(
    aged: Float[Array, "age lead channel"],
    sd: Float[Array, " channel"],
    error_sd: Float[Array, " channel"],
) -> Float[Array, "age_or_never lead channel"]:
    """The error of a linear prediction from one reading, of each age and from none, relative to age 0.

    A change of sd D in a channel of sd s means a correlation of 1 - D^2 / 2 s^2. Known errors do not grow.
    """
    lost = lost_over(aged, sd)
    own = own_error(jnp.concatenate([lost, jnp.ones_like(lost[:1])]), sd, error_sd)
    return jnp.sqrt(own / own[0])


def _outage(present: Array, rate: float, whole: float, *, key: Key) -> Array:
    """True where a random outage hides a reading: whole channels for a random stretch up to the origin."""
    k_which, k_long = jax.random.split(key)
    lags, channels = present.shape
    down = jax.random.bernoulli(k_which, rate, (channels,))
    length = jax.random.randint(k_long, (channels,), 1, lags + 1)
    if whole > 0:
        length = jnp.where(
            jax.random.bernoulli(jax.random.fold_in(k_long, 1), whole, (channels,)), lags, length
        )
    return down & (jnp.arange(lags)[:, None] >= lags - length)
