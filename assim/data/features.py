r"""What is kept of a frame of a fast signal: its level, its rhythm, its envelope and its spectrum.

Of the samples $x_1, \dots, x_n$ of a frame, $f_s$ a second, with $x' = x - \bar x$ and its analytic signal
$x' + \mathrm{i}\mathcal H x'$ (Hilbert transform within the frame),

$$\begin{aligned}
\texttt{log\_rms} &= \tfrac12 \log \tfrac1n \textstyle\sum_i x_i^2, &
\texttt{log\_sd} &= \log \operatorname{sd}_i |x_i|, \\
\texttt{zero\_crossing\_rate} &= \tfrac{f_s}{n-1} \#\{i: x'_{p(i)} x'_{i+1} < 0\}, &
\texttt{autocorrelation} &= \textstyle\sum_i x'_i x'_{i+1} \big/ \sum_i x_i'^2, \\
\texttt{envelope\_mean} &= \langle a_i \rangle, \quad \texttt{envelope\_sd} = \operatorname{sd}_i a_i, &
a_i &= |x'_i + \mathrm{i}(\mathcal H x')_i|;
\end{aligned}$$

with $p(i)$ the last sample up to the i-th that is off the mean, so that one that lies on it is passed over;
`log_band_power`, `peak_frequency`, `spectral_centroid` and `spectral_spread` are those of `assim.data.spectra`. Of
a tone of amplitude A and frequency f over whole periods these are $\log(A/\sqrt 2)$,
$\log(A\sqrt{1/2 - 4/\pi^2})$, 2f (to one crossing), $\cos(2\pi f/f_s)$ (to one sample), A and 0. Levels are
logarithms since noise that multiplies an amplitude then adds.

The two levels are those of the samples that are there. For all else the few that are missing are bridged by
straight lines. A frame whose samples are all alike has no rhythm and no mode: NaN.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.signal import hilbert

from assim.data.spectra import Mode, Spectrum, band_power, moments, peak, spectrum_of


@dataclass(frozen=True, eq=False)
class Frames:
    """Some frames of one channel.

    Args:
        x: samples, shape (frame, sample), any units; NaN where missing, never a whole frame.
        rate: samples a second, Hz.
        mode: where a mode is sought.
    """

    x: NDArray[np.float64]
    rate: float
    mode: Mode

    @cached_property
    def about(self) -> NDArray[np.float64]:
        """Samples less their mean, missing ones bridged, shape (frame, sample); exact zeros where all are alike."""
        x = self.x
        holed = np.flatnonzero(np.isnan(x).any(axis=1))
        if holed.size:
            x, number = x.copy(), np.arange(x.shape[1])
            for row in holed:
                there = np.isfinite(x[row])
                x[row] = np.interp(number, number[there], x[row, there])
        still = x.min(axis=1) == x.max(axis=1)
        return np.where(still[:, None], 0.0, x - x.mean(axis=1, keepdims=True))

    @cached_property
    def envelope(self) -> NDArray[np.float64]:
        """The modulus of the analytic signal, shape (frame, sample)."""
        return np.abs(hilbert(self.about, axis=-1))

    @cached_property
    def spectrum(self) -> Spectrum:
        """Frequencies, Hz, and power densities, units squared per Hz."""
        return spectrum_of(self.about, self.rate, self.mode.samples(self.x.shape[1], self.rate))

    @cached_property
    def peak(self) -> NDArray[np.float64]:
        """The frequency of the mode, shape (frame,), Hz."""
        return peak(self.spectrum, self.mode)


@dataclass(frozen=True)
class Feature:
    """One number of each frame, and what it is.

    Args:
        name: of the feature; that of the channel follows it.
        of: from some frames to their numbers, shape (frame,).
        words: what it is, with {} for the channel.
        units: its units, with {u} for those of the channel and {u2} for their square.
        cell_methods: by what method of CF the frame became a number.
        support: where it can lie, as the attribute `support` of a variable.
        same: whether it is still the quantity of the channel, so that it keeps its standard name.
    """

    name: str
    of: Callable[[Frames], NDArray[np.float64]]
    words: str
    units: str = "1"
    cell_methods: str = "mean"
    support: str = "real"
    same: bool = False

    def attributes(self, da: xr.DataArray) -> dict:
        """The CF attributes of this feature of a channel.

        Args:
            da: the channel, with attributes of its own.
        """
        has = da.attrs
        units = str(has.get("units", "")) or "1"
        square = f"{units}2" if units.isalpha() else "1" if units == "1" else f"({units})2"
        kept = ("standard_name",) if self.same else ()
        attrs = {k: has[k] for k in (*kept, "coverage_content_type") if k in has}
        attrs |= {
            "long_name": self.words.format(has.get("long_name", da.name)),
            "units": self.units.format(u=units, u2=square),
            "cell_methods": f"time: {self.cell_methods}",
            "support": self.support,
        }
        return attrs | ({"valid_min": -1.0, "valid_max": 1.0} if self.support == "both" else {})


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm, NaN of zero."""
    return np.log(np.where(x > 0, x, np.nan))


def _crossing_rate(frames: Frames) -> NDArray[np.float64]:
    sign = np.sign(frames.about)
    newest = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.shape[1]), 0), axis=1)
    sign = np.take_along_axis(sign, newest, axis=1)
    rate = frames.rate * (sign[:, 1:] * sign[:, :-1] < 0).mean(axis=1)
    return np.where(sign.any(axis=1), rate, np.nan)


def _autocorrelation(frames: Frames) -> NDArray[np.float64]:
    x = frames.about
    square = (x**2).sum(axis=1)
    return (x[:, 1:] * x[:, :-1]).sum(axis=1) / np.where(square > 0, square, np.nan)


def _log_band_power(frames: Frames) -> NDArray[np.float64]:
    return _log(band_power(frames.spectrum, frames.peak, frames.mode.width))


_LEVEL = "ln(re 1 {u})"
FEATURES = {
    feature.name: feature
    for feature in (
        Feature(
            "log_rms",
            lambda frames: _log(np.nanmean(frames.x**2, axis=1)) / 2,
            *("log RMS of {}", _LEVEL, "root_mean_square"),
            same=True,
        ),
        Feature(
            "log_sd",
            lambda frames: _log(np.nanstd(np.abs(frames.x), axis=1)),
            *("log modulation of {}", _LEVEL, "standard_deviation (of the absolute value)"),
            same=True,
        ),
        Feature(
            "log_band_power",
            _log_band_power,
            *("log power of {} in a band about its mode", "ln(re 1 {u2})"),
            "variance (of the band)",
        ),
        Feature(
            "peak_frequency",
            lambda frames: frames.peak,
            *("frequency of the mode of {}", "Hz", "mode (of the power spectrum)", "lower"),
        ),
        Feature(
            "zero_crossing_rate",
            _crossing_rate,
            *("rate at which {} crosses its mean", "s-1", "mean", "lower"),
        ),
        Feature(
            "autocorrelation",
            _autocorrelation,
            *("autocorrelation of {} from sample to sample", "1", "mean", "both"),
        ),
        Feature(
            "envelope_mean",
            lambda frames: frames.envelope.mean(axis=1),
            *(
                "mean envelope of {}",
                "{u}",
                "mean (of the modulus of the analytic signal)",
                "lower",
            ),
            same=True,
        ),
        Feature(
            "envelope_sd",
            lambda frames: frames.envelope.std(axis=1),
            *("standard deviation of the envelope of {}", "{u}"),
            *("standard_deviation (of the modulus of the analytic signal)", "lower"),
            same=True,
        ),
        Feature(
            "spectral_centroid",
            lambda frames: moments(frames.spectrum)[0],
            *("mean frequency of {}", "Hz", "mean (of the power spectrum)", "lower"),
        ),
        Feature(
            "spectral_spread",
            lambda frames: moments(frames.spectrum)[1],
            *("spread of the frequencies of {}", "Hz"),
            *("standard_deviation (of the power spectrum)", "lower"),
        ),
    )
}
"""Those that have names."""


def chosen_features(given: str | Feature | Iterable[str | Feature]) -> tuple[Feature, ...]:
    """The features that are meant.

    Args:
        given: names, features of one's own, or one of either.

    Raises:
        ValueError: none at all, or a name that no feature has.
    """
    several = (given,) if isinstance(given, str | Feature) else tuple(given)
    strange = [f for f in several if not isinstance(f, Feature) and f not in FEATURES]
    if strange or not several:
        what = f"There is no feature {strange[0]!r}" if strange else "No feature is asked for"
        raise ValueError(f"{what}: choose of {', '.join(FEATURES)}, or give an assim.data.Feature.")
    return tuple(dict.fromkeys(f if isinstance(f, Feature) else FEATURES[f] for f in several))
