r"""How an attractor moves: the distance of power spectra, as published, and what a truth scores against itself.

$$D_H = \frac1N \sum_{c=1}^N \sqrt{1 - \sum_f \sqrt{p_c(f)\,q_c(f)}}, \qquad
p_c = \frac{g * |\hat x_c|^2}{\sum_f g * |\hat x_c|^2}$$

with channels in their own standard scores, their discrete Fourier transforms $\hat x$ and a Gaussian g of 20
frequencies (Mikhaeil, Monfared and Durstewitz 2022, NeurIPS; Hess et al. 2023, ICML). 0 for equal spectra, 1 for
spectra that share no frequency.
"""

from __future__ import annotations

import jax
import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter1d

from assim.scoring.attractors import (
    Rows,
    Series,
    require_moving,
    rows_of,
    state_space_divergence,
)
from assim.types import Key

FLOORS = ("halves", "shuffled")


def spectrum_hellinger(truth: Series, made: Series, *, smoothing: float = 20.0) -> xr.DataArray:
    r"""Measure how far the power spectra of what was made lie from the true ones, $D_H$.

    Args:
        truth: the true series, a variable for each channel along `time` or `step`, any units, without gaps.
        made: what a model makes, the same variables at the same step; what `assim.generate` gives. The longer of
            the two is cut to the length of the other; of several runs the spectra are averaged.
        smoothing: standard deviation of the Gaussian, in frequencies of the transform.

    Returns:
        A number from 0 to 1. Attributes: `rows`, the length that was taken, and `smoothing`.

    Raises:
        ValueError: other variables, a gap, a channel that stands still.
    """
    true, other = rows_of(truth), rows_of(made, like=rows_of(truth), who="made")
    rows = min(true.y.shape[1], other.y.shape[1])
    p, q = (_power(one, rows, smoothing, who) for one, who in ((true, "truth"), (other, "made")))
    value = np.sqrt(np.maximum(1.0 - np.sqrt(p * q).sum(axis=0), 0.0)).mean()
    words = {"long_name": "Hellinger distance of power spectra", "units": "1"}
    told = {"rows": rows, "smoothing": smoothing}
    return xr.DataArray(float(value), name="spectrum_hellinger", attrs=words | told)


def attractor_floors(truth: Series, *, key: Key, smoothing: float = 20.0) -> xr.Dataset:
    """Score a truth against itself: what is as good as can be at that length, and what is no good.

    Args:
        truth: the true series, as of `spectrum_hellinger`.
        key: of the shuffling, and of the mixture where there are six channels or more.
        smoothing: of the spectra, in frequencies.

    Returns:
        `state_space_divergence` and `spectrum_hellinger` by `floor`: "halves", the second half of the series
        against the first, and "shuffled", each channel in an order of its own, which keeps what each visits alone
        and nothing of how they go together. Attribute: `rows`, the length of the series.

    Raises:
        ValueError: as of the scores.
    """
    true = rows_of(truth)
    k_order, k_mixture = jax.random.split(key)
    rng = np.random.default_rng(np.asarray(jax.random.key_data(k_order)))
    half = true.y.shape[1] // 2
    pairs = {
        "halves": (true.y[:, :half], true.y[:, half : 2 * half]),
        "shuffled": (true.y, rng.permuted(true.y, axis=1)),
    }
    scores: dict[str, list] = {"state_space_divergence": [], "spectrum_hellinger": []}
    for one, other in (pairs[name] for name in FLOORS):
        x, y = (_labelled(true, part) for part in (one, other))
        scores["state_space_divergence"].append(float(state_space_divergence(x, y, key=k_mixture)))
        scores["spectrum_hellinger"].append(float(spectrum_hellinger(x, y, smoothing=smoothing)))
    return xr.Dataset(
        {name: ("floor", values) for name, values in scores.items()},
        coords={"floor": list(FLOORS)},
        attrs={"rows": true.y.shape[1]},
    )


def _power(series: Rows, rows: int, smoothing: float, who: str) -> np.ndarray:
    """Smoothed shares of power, shape (frequency, channel)."""
    y = series.y[:, :rows]
    if not np.isfinite(y).all():
        raise ValueError(
            f"'{who}' has gaps, of which a spectrum makes waves: fill them, or cut them off."
        )
    require_moving(y.reshape(-1, y.shape[-1]), series.names, who)
    scored = (y - y.mean(axis=1, keepdims=True)) / y.std(axis=1, keepdims=True)
    power = (np.abs(np.fft.rfft(scored, axis=1)) ** 2).mean(axis=0)
    smooth = gaussian_filter1d(power, smoothing, axis=0) if smoothing > 0 else power
    return smooth / smooth.sum(axis=0)


def _labelled(series: Rows, y: np.ndarray) -> xr.Dataset:
    return xr.Dataset({n: (("run", "step"), y[..., c]) for c, n in enumerate(series.names)})
