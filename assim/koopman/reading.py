r"""What each draw of a posterior says of its modes, and how consecutive windows of a record bear it out.

$$r_j = \frac{\operatorname{rms}_t |\varphi_j(x_{t+1}) - e^{\mu_j \Delta_t} \varphi_j(x_t) - f_j(u_{t+1})|}
{\operatorname{rms}_t |\varphi_j(x_t)|}$$

The relative residual of an eigenpair (Colbrook, Ayton and Szőke 2023, J. Fluid Mech. 955) on pairs of windows, one
of which ends a row later, $\Delta_t$ after the other: about a nominal step; what inputs u add in it, f, is taken
off. It counts pairs alone whose newest rows were both read, the later not in training, and in which all inputs are
known; of a model that fills the gaps of its window, those without a gap.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.continuing import continued
from assim.data.framing import Frame, frame_of
from assim.model import EVEN, AbstractModel, AbstractWindowless, Needs
from assim.problem import bind
from assim.series import Layout, Series, cut, origins_with_truth
from assim.statespace import AbstractSpectral, AbstractStateSpace, Span
from assim.tree import Fitted
from assim.types import Array, Complex, Float, Int, Sites

FEWEST_PAIRS = 10
"""Fewer pairs of windows verify nothing."""
DRAWS_TOGETHER, WINDOWS_TOGETHER = 25, 512
"""Posterior draws, and windows of a record for each, that are looked at at once."""
type Fixed = tuple[Layout, Sites, Sites | None]
"""What a draw is bound with: the layout, the constants, and the centre of a linearised network."""


class Pairs(eqx.Module):
    """Windows of a record, and which of them end about a step apart.

    Args:
        series: the record.
        ends: run and last row of each window, shape (window, 2).
        before: number of the earlier window of each pair, shape (pair,).
        after: number of the later one, shape (pair,).
        dt: time between the two, shape (pair,), seconds.
    """

    series: Series
    ends: Int[Array, "window 2"]
    before: Int[Array, " pair"]
    after: Int[Array, " pair"]
    dt: Float[Array, " pair"]


@dataclass(frozen=True)
class Read:
    """Modes by draw, on the host.

    Args:
        rate: eigenvalues mu, shape (draw, mode), complex, per second; NaN in places that hold no mode.
        shape: Phi, shape (draw, channel, mode), complex, internal units.
        floor: what the model's noise leaves of a residual, shape (draw, mode).
        power: mean square of each coordinate over the windows, shape (draw, mode).
        residual: of each mode over the pairs, shape (draw, mode); NaN where there are none.
    """

    rate: np.ndarray
    shape: np.ndarray
    floor: np.ndarray
    power: np.ndarray
    residual: np.ndarray


def record_of(
    fitted: Fitted,
    told: Mapping[Any, Any],
    ds: xr.Dataset | None,
    *,
    in_sample: bool,
    apart: tuple[float, float] = EVEN,
) -> tuple[Pairs, Frame]:
    """The windows of a record: with no record the one at the end of training, and no pairs.

    Args:
        fitted: the posterior.
        told: attributes of its tree, which say what it was trained on.
        ds: the record, file units, or None.
        in_sample: whether rows count that the model was trained on.
        apart: shortest and longest time between the windows of a pair, nominal steps.

    Raises:
        ValueError: too few pairs.
        TypeError: a model without windows.
    """
    if isinstance(fitted.model, AbstractWindowless):
        raise without_spectrum(fitted.model)
    needs = fitted.model.needs()
    selection = needs.selection(tuple(fitted.frame["calendar"]))
    frame = frame_of(continued(fitted, ds), selection, like=fitted.frame)
    series = Series.of(frame)
    if ds is None:
        runs, rows = frame.y.shape[:2]
        last = jnp.array([(run, rows - 1) for run in range(runs)], jnp.int32)
        none = jnp.zeros(0, jnp.int32)
        return Pairs(series, last, none, none, jnp.zeros(0)), frame
    pairs = origins_with_truth(series, needs.context, 1)
    dt = np.asarray(series.main.spans(frame.step))
    near = (dt >= apart[0] * frame.step) & (dt <= apart[1] * frame.step)
    there = np.isfinite(frame.y)
    counts = near & there.any(axis=-1)[:, :-1] & (in_sample | _unseen(frame, told)[:, 1:])
    counts &= _throughout(np.isfinite(frame.u).all(axis=-1), needs.context)
    without = ", without a gap" if needs.whole else ""
    if needs.whole:
        counts &= _throughout(there.all(axis=-1), needs.context)
    pairs = pairs[counts[tuple(pairs.T)]]
    if len(pairs) < FEWEST_PAIRS:
        raise ValueError(
            f"The record has {len(pairs)} pairs of windows ({needs.context} rows each, a step apart{without}) that "
            f"the model was not trained on, and at least {FEWEST_PAIRS} are needed: give a longer record of "
            "another time, or ask for residuals in sample (in_sample=True)."
        )
    both = np.concatenate([pairs, pairs + np.array([0, 1], np.int32)])
    ends, number = np.unique(both, axis=0, return_inverse=True)
    before, after = jnp.asarray(number.reshape(2, -1), jnp.int32)
    return Pairs(series, jnp.asarray(ends), before, after, jnp.asarray(dt[tuple(pairs.T)])), frame


def read_modes(fitted: Fitted, pairs: Pairs, sites: Sites) -> Read:
    """The modes at each of some draws, sites of shape (draw, ...).

    Raises:
        TypeError: a model without a spectrum.
    """
    fixed = (fitted.layout, fitted.constants, fitted.centre)
    rate, shape, *others = _read(fitted.model, fixed, pairs, sites)
    return Read(
        *(np.asarray(z, complex) for z in (rate, shape)), *(np.asarray(x, float) for x in others)
    )


def flat_draws(fitted: Fitted, num_draws: int | None) -> Sites:
    """About `num_draws` draws of all chains, on one axis.

    Raises:
        ValueError: no draw.
    """
    if num_draws is not None and num_draws < 1:
        raise ValueError(f"num_draws={num_draws} leaves no draw: give 1 or more, or None for all.")
    return {k: v.reshape(-1, *v.shape[2:]) for k, v in fitted.thinned(num_draws).items()}


def spectral_at(model: AbstractModel, fixed: Fixed, theta: Sites) -> AbstractSpectral:
    """The state space at a draw.

    Raises:
        TypeError: it has no spectrum.
    """
    ssm = bind(model, theta, *fixed)
    if not isinstance(ssm, AbstractSpectral):
        raise without_spectrum(model)
    return ssm


def coordinates(
    ssm: AbstractSpectral, pairs: Pairs, needs: Needs, step: float
) -> Complex[Array, "window mode"]:
    """The eigenfunctions at the end of each window."""
    size = replace(needs, horizon=1).size

    def at(end: Array) -> Array:
        return ssm.coordinates(cut(pairs.series, end[0], end[1], step=step, **size).context)

    return jax.lax.map(at, pairs.ends, batch_size=min(WINDOWS_TOGETHER, pairs.ends.shape[0]))


def paired(
    ssm: AbstractSpectral, pairs: Pairs, phi: Complex[Array, "window mode"]
) -> tuple[Complex[Array, "pair mode"], Complex[Array, "pair mode"]]:
    """The eigenfunctions at the earlier window of each pair, and at the later less what inputs added meanwhile."""
    run, row = pairs.ends[pairs.after].T

    def added(dt: Array, u: Array) -> Array:
        return jnp.broadcast_to(ssm.pushed(Span(dt, u[:0]), u), phi.shape[1:])

    return phi[pairs.before], phi[pairs.after] - jax.vmap(added)(
        pairs.dt, pairs.series.inputs[run, row]
    )


def residual_of(
    before: Complex[Array, "pair mode"],
    after: Complex[Array, "pair mode"],
    rate: Complex[Array, " mode"],
    dt: Float[Array, " pair"],
) -> Float[Array, " mode"]:
    r"""$\operatorname{rms} |\varphi' - e^{\mu \Delta} \varphi| / \operatorname{rms} |\varphi|$; NaN of no pairs."""
    left = jnp.abs(after - jnp.exp(rate * dt[:, None]) * before) ** 2
    return jnp.sqrt(left.mean(axis=0) / (jnp.abs(before) ** 2).mean(axis=0))


def without_spectrum(model: AbstractModel | AbstractStateSpace) -> TypeError:
    """The sentence on a model whose dynamics are not linear."""
    return TypeError(
        f"{type(model).__name__} has no spectrum: assim.koopman reads the models of channels whose dynamics are "
        "linear, as HankelDMD, EDMD, LinearKoopman and KoopmanVAE of assim.models."
    )


@eqx.filter_jit
def _read(model: AbstractModel, fixed: Fixed, pairs: Pairs, sites: Sites) -> tuple[Array, ...]:
    def one(theta: Sites) -> tuple[Array, ...]:
        ssm = spectral_at(model, fixed, theta)
        modes = ssm.modes()
        phi = coordinates(ssm, pairs, model.needs(), fixed[0].step)
        before, after = paired(ssm, pairs, phi)
        residual = residual_of(before, after, modes.rate, pairs.dt)
        power = (jnp.abs(phi) ** 2).mean(axis=0)
        size = jnp.sqrt((jnp.abs(before) ** 2).mean(axis=0))
        return modes.rate, modes.shape, modes.floor / size, power, residual

    count = next(iter(sites.values())).shape[0]
    return jax.lax.map(one, sites, batch_size=min(DRAWS_TOGETHER, count))


def _throughout(flags: np.ndarray, context: int) -> np.ndarray:
    """Whether flags (run, time) hold in the window that ends at each row and in the row after, (run, time - 1)."""
    fails = np.cumsum(np.pad(~flags, ((0, 0), (1, 0))), axis=1)
    end = np.arange(flags.shape[1] - 1)
    return fails[:, end + 2] == fails[:, np.maximum(end + 1 - context, 0)]


def _unseen(frame: Frame, told: Mapping[Any, Any]) -> np.ndarray:
    """Whether each row is none that the model was trained on, shape (run, time)."""
    runs, rows = frame.y.shape[:2]
    if "trained_until" not in told:
        return np.ones((runs, rows), bool)
    begin, end = (np.datetime64(told[f"trained_{k}"], "ns") for k in ("from", "until"))
    outside = (frame.times < begin) | (frame.times > end)
    labels = json.loads(told.get("trained_on", "{}")).get(frame.instance)
    strange = [labels is not None and run not in labels for run in frame.stations or ("",)]
    return outside | np.array(strange)[:, None]
