r"""Modes by draw as a labelled table: medians and credible intervals of what can be identified.

$$y(t) = \operatorname{Re} \sum_j \Phi_j \varphi_j(t), \qquad \mu_j = \gamma_j + 2\pi i f_j, \qquad
\lambda_j = e^{\mu_j \Delta}, \qquad h_j = \frac{\ln 2}{-\gamma_j}, \qquad
E_j \propto s_j \|\Phi_j\|^2\, \overline{|\varphi_j|^2}$$

with s = 1/2 for a conjugate pair and 1 for a real eigenvalue: E is the mean square of what a mode shows, over its
phases, all channels in internal units. Another basis has other $\Phi_j$ and $\varphi_j$, but the same $\mu_j$ and
$\Phi_j \varphi_j$; so a mode is told by the amplitude $|\Phi_j| \operatorname{rms} |\varphi_j|$ that it shows in
each variable, and by the phase, counted from the variable that it shows in most. Intervals are quantiles over
draws, but for rates that lie at 0 (`credible`).
"""

from typing import Any

import numpy as np
import xarray as xr

from assim.data.framing import REPEATED, Frame
from assim.koopman.credible import of_rate, quantiles
from assim.koopman.matching import matched
from assim.koopman.reading import Read

COMMON = 0.5
"""Share of the draws that have a mode, below which it is not told."""
REAL = 1e-5
"""An eigenvalue is real where its imaginary part is less than this share of it."""
RATES = ("growth_rate", "frequency")
"""What may lie at a bound of 0: a mode that does not decay, one that hardly turns."""
WORDS = {
    "growth_rate": ("rate at which the amplitude grows", "s-1"),
    "frequency": ("frequency", "Hz"),
    "period": ("period", "s"),
    "half_life": ("time in which the amplitude halves", "s"),
    "energy": ("share of the energy that all modes show on the record", "1"),
    "residual": ("relative residual of a step on the record", "1"),
    "floor": ("what the noise of the model leaves of the residual", "1"),
}


def in_order(read: Read, step: float) -> Read:
    """The modes of all draws in correspondence: real ones first, then by frequency, the slowest decay first.

    Args:
        read: modes by draw, in any order.
        step: nominal step, seconds.

    Returns:
        The modes that at least half of the draws have.

    Raises:
        ValueError: there is none.
    """
    every = np.where(np.isfinite(read.rate), read.rate, complex(np.nan, np.nan))
    order = matched(np.exp(every * step))
    rate = np.take_along_axis(every, order, axis=1)
    common = np.flatnonzero(np.isfinite(rate).mean(axis=0) >= COMMON)
    if common.size == 0:
        raise ValueError(
            f"No mode is held by {COMMON:.0%} of the {len(rate)} draws, so that there is no spectrum: fit a longer "
            "record, or a model of fewer modes."
        )
    growth, turns = (quantiles(part[:, common], 0.5) for part in (rate.real, rate.imag))
    order = order[:, common[np.lexsort((-growth, turns))]]
    parts = (every, read.floor, read.power, read.residual)
    rate, floor, power, residual = (np.take_along_axis(part, order, axis=1) for part in parts)
    shape = np.take_along_axis(read.shape, order[:, None], axis=2)
    return Read(rate, shape, floor, power, residual)


def labelled(read: Read, frame: Frame, level: float) -> xr.Dataset:
    """The table of modes that correspond.

    Args:
        read: modes by draw, in order.
        frame: the record, for its labels and units.
        level: of the credible intervals.

    Returns:
        The variables that `assim.koopman.spectrum` tells of, but for `verified`.
    """
    eigenvalue = np.exp(read.rate * frame.step)
    there = np.isfinite(read.rate)
    turning = np.abs(eigenvalue.imag) > REAL * np.abs(eigenvalue)
    shown = np.where(there, np.sqrt(read.power), np.nan)[:, None] * read.shape
    energy = np.where(turning, 0.5, 1.0) * (np.abs(shown) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore"):
        told = {
            "growth_rate": read.rate.real,
            "frequency": np.abs(read.rate.imag) / (2 * np.pi),
            "energy": energy / np.nansum(energy, axis=1, keepdims=True),
            "residual": read.residual,
            "floor": np.where(there, read.floor, np.nan),
        }
    levels = ((1 - level) / 2, 0.5, (1 + level) / 2)
    at = {
        name: of_rate(values, level) if name in RATES else quantiles(values, levels)
        for name, values in told.items()
    }
    growth = at["growth_rate"]
    with np.errstate(divide="ignore"):
        at["period"] = 1 / at["frequency"][::-1]
        at["half_life"] = np.where(growth < 0, np.log(2) / np.abs(growth), np.inf)
    found: dict[str, Any] = {}
    for name, (words, units) in WORDS.items():
        found |= _with_interval(name, at[name], ("mode",), {"long_name": words, "units": units})
    found |= _shapes(shown, frame, levels)
    middle = np.exp((growth[1] + 2j * np.pi * at["frequency"][1]) * frame.step)
    of_step = {"long_name": "eigenvalue of a nominal step", "units": "1"}
    found["eigenvalue"] = ("mode", "part"), _parts(middle), of_step
    found["eigenvalue_draws"] = ("draw", "mode", "part"), _parts(eigenvalue), of_step
    found["held"] = "mode", there.mean(axis=0), {"long_name": "share of draws that have the mode"}
    bent = _bent(frame)
    of_file = [str(frame.attrs[name].get("units", "1")) for name in frame.channels]
    coords: dict[str, Any] = {
        "mode": np.arange(eigenvalue.shape[1]),
        "draw": np.arange(eigenvalue.shape[0]),
        "bound": ["lower", "upper"],
        "part": ["real", "imag"],
        "variable": list(frame.channels),
        "units": ("variable", np.where(bent, "1", of_file)),
    }
    if _by_station(frame):
        coords[frame.instance] = list(frame.stations or ())
    return xr.Dataset(found, coords)


def _shapes(shown: np.ndarray, frame: Frame, levels: tuple[float, ...]) -> dict[str, Any]:
    """Amplitude in file units, or internal ones where the scaling bends, and phase; from (draw, channel, mode)."""
    most = np.nanmean(np.abs(shown), axis=0).argmax(axis=0)
    leading = np.take_along_axis(shown, most[None, None], axis=1)
    phase = np.angle(np.nanmean(shown * np.exp(-1j * np.angle(leading)), axis=0)).T
    bent = _bent(frame)
    scale = np.where(bent, 1.0, frame.scaling.scale)
    amplitude = quantiles(np.abs(shown), levels).swapaxes(1, 2)
    amplitude = amplitude[:, None] * scale[:, None]
    dims: tuple[str, ...] = (frame.instance, "mode", "variable")
    if not _by_station(frame):
        amplitude, dims = amplitude[:, 0], dims[1:]
    attrs = {"long_name": "amplitude of what a mode shows"}
    if bent.any():
        names = ", ".join(np.array(frame.channels)[bent])
        attrs["comment"] = f"in internal units, since their scaling is not linear: {names}"
    of_phase = {"long_name": "phase of what a mode shows", "units": "rad"}
    return _with_interval("amplitude", amplitude, dims, attrs) | {
        "phase": (("mode", "variable"), phase, of_phase)
    }


def _with_interval(
    name: str, values: np.ndarray, dims: tuple[str, ...], attrs: dict[str, str]
) -> dict[str, Any]:
    """The median and, along `bound`, the ends of the interval, from values (3, ...)."""
    ends = np.stack([values[0], values[2]], axis=-1)
    return {name: (dims, values[1], attrs), f"{name}_interval": ((*dims, "bound"), ends, attrs)}


def _parts(values: np.ndarray) -> np.ndarray:
    """Real and imaginary parts on a last axis: netCDF has no complex numbers."""
    return np.stack([values.real, values.imag], axis=-1)


def _bent(frame: Frame) -> np.ndarray:
    """Whether internal units are no linear scale of those of the file, shape (channel,)."""
    return (frame.scaling.power != 1.0) | (frame.scaling.warp is not None)


def _by_station(frame: Frame) -> bool:
    """Whether runs have scalings of their own, and so amplitudes."""
    return frame.stations is not None and frame.instance not in REPEATED
