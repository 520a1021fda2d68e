r"""The power spectrum of a frame and what is read off it: a mode, the power in a band about it, two moments.

Welch's estimate (1967, IEEE Trans. Audio Electroacoust. 15) is the mean over segments of N samples that overlap by
half, each less its mean and under a Hann window $w$:

$$S_k = \frac{2}{f_s \sum_j w_j^2}
\Big\langle \big| \textstyle\sum_j w_j (x_j - \bar x) e^{-2\pi\mathrm{i}jk/N} \big|^2 \Big\rangle, \qquad
f_k = k\Delta, \qquad \Delta = f_s/N.$$

The mode is the largest $S_k$ in a range, moved to the top of the parabola through $\log S$ there and at its
neighbours: within 0.02 of a bin for a pure tone between others. It is found in each frame anew, so it is followed
wherever it goes within the range, and no frame depends on another. The power in a band of width W about it is

$$P = \sum_k S_k \, \big| [f_k - \Delta/2, f_k + \Delta/2] \cap [f - W/2, f + W/2] \big|,$$

$A^2/2$ for a tone of amplitude A, $2 W \sigma^2 / f_s$ for white noise. Centroid and spread are the mean and
standard deviation of frequency under S; a tone alone has the spread of its window, $\Delta/\sqrt 3$.
"""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from scipy.signal import welch

from assim.data.aligning import Duration, nanoseconds

LOBE = 4
"""Bins in the main lobe of a Hann window."""
FEWEST = 8
"""Samples in the shortest segment."""


@dataclass(frozen=True)
class Mode:
    """Where a mode is sought, how wide its band is, and how finely spectra are resolved.

    Args:
        near: its nominal frequency, Hz; None for the strongest of all.
        within: how far from there it is sought, Hz; None for half of it.
        width: of the band whose power is kept, Hz; None for the main lobe of the window, 4 bins.
        segment: of Welch's estimate, as "25ms" or a number of samples; None for the whole frame.

    Raises:
        ValueError: a frequency or a width that is not positive, or a range about no frequency.
    """

    near: float | None = None
    within: float | None = None
    width: float | None = None
    segment: Duration | int | None = None

    def __post_init__(self) -> None:
        for name in ("near", "within", "width"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value!r} of a mode is not positive: give it in Hz.")
        if self.near is None and self.within is not None:
            raise ValueError(
                f"within={self.within!r} is how far from near= a mode is sought: give near= too, or neither."
            )

    def samples(self, count: int, rate: float) -> int:
        """Samples in a segment of a frame.

        Args:
            count: samples in the frame.
            rate: samples a second, Hz.

        Raises:
            ValueError: a segment too short, or longer than the frame.
        """
        if self.segment is None:
            size = count
        elif isinstance(self.segment, Integral) and not isinstance(self.segment, np.timedelta64):
            size = int(self.segment)
        else:
            size = round(nanoseconds(self.segment, "segment") * 1e-9 * rate)
        if not FEWEST <= size <= count:
            raise ValueError(
                f"segment={self.segment!r} is {size} samples long, and a frame has {count}: give one of {FEWEST} "
                "samples at least and no longer than the frame."
            )
        return size


type Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Frequencies (bin,), Hz, and power densities (frame, bin), units squared per Hz."""


def spectrum_of(x: NDArray[np.float64], rate: float, size: int) -> Spectrum:
    """Welch's estimate of each frame.

    Args:
        x: samples, shape (frame, sample), any units.
        rate: samples a second, Hz.
        size: samples in a segment.

    Returns:
        Frequencies, shape (bin,), Hz, and densities, shape (frame, bin), units squared per Hz.
    """
    return welch(x, rate, nperseg=size, detrend="constant", axis=-1)


def peak(spectrum: Spectrum, mode: Mode) -> NDArray[np.float64]:
    """The frequency of the mode in each frame, shape (frame,), Hz; NaN where there is no power at all.

    Args:
        spectrum: of some frames.
        mode: where it is sought.

    Raises:
        ValueError: a range without a bin of the spectrum.
    """
    f, density = spectrum
    at = np.arange(1, f.size - 1)  # between neighbours on both sides, so neither zero nor Nyquist
    if mode.near is not None:
        reach = mode.near / 2 if mode.within is None else mode.within
        at = at[np.abs(f[at] - mode.near) <= reach]
        if at.size == 0:
            raise ValueError(
                f"No frequency between 0 and {f[-1]:g} Hz lies within {reach:g} Hz of {mode.near:g} Hz in steps of "
                f"{f[1]:g} Hz: choose near= and within= anew, or take longer frames or segments."
            )
    k = at[density[:, at].argmax(axis=1)]
    around = k[:, None] + np.array([-1, 0, 1])
    there = np.take_along_axis(density, around, axis=1)
    some = there[:, 1] > 0
    tiny = np.finfo(float).tiny
    before, top, after = np.log(np.maximum(there, tiny)).T
    bend = before - 2 * top + after
    moved = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1.0), 0.0)
    return np.where(some, (k + np.clip(moved, -0.5, 0.5)) * f[1], np.nan)


def band_power(
    spectrum: Spectrum, centre: NDArray[np.float64], width: float | None
) -> NDArray[np.float64]:
    """The power in a band of each frame, shape (frame,), units squared.

    Args:
        spectrum: of some frames.
        centre: of the band, shape (frame,), Hz.
        width: of the band, Hz; None for the main lobe of the window.
    """
    f, density = spectrum
    bin_width = f[1]
    half = (LOBE * bin_width if width is None else width) / 2
    high = np.minimum(f + bin_width / 2, centre[:, None] + half)
    low = np.maximum(f - bin_width / 2, centre[:, None] - half)
    return (density * np.maximum(high - low, 0.0)).sum(axis=1)


def moments(spectrum: Spectrum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centroid and spread of each frame, each of shape (frame,), Hz; NaN where there is no power at all.

    Args:
        spectrum: of some frames.
    """
    f, density = spectrum
    total = density.sum(axis=1)
    total = np.where(total > 0, total, np.nan)
    centroid = density @ f / total
    square = (density * (f - centroid[:, None]) ** 2).sum(axis=1) / total
    return centroid, np.sqrt(square)
