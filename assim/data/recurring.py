r"""Recurrence quantification: how often a path comes back near itself, and how long it then follows itself.

The samples of a window are embedded by delays, $v_i = (x_i, x_{i+\tau}, \dots, x_{i+(m-1)\tau})$, and

$$R_{ij} = \big[\max_q |x_{i+q\tau} - x_{j+q\tau}| \le \epsilon\big], \qquad \epsilon = r\,\mathrm{sd}(x)$$

is the recurrence plot (Eckmann, Oliffson Kamphorst & Ruelle 1987, Europhys. Lett. 4). Of its pairs with
$j - i \ge w$ (Theiler's window) the recurrence rate is the share that recur, the determinism the share of recurrent
ones that lie on diagonal lines of $\ell$ points or more, and the ratio that of the two (Webber & Zbilut 1994, J.
Appl. Physiol. 76; Marwan et al. 2007, Phys. Rep. 438). In the maximum norm the plot of the embedded path is that of
the samples, shifted along the diagonal and intersected, so that a diagonal is compared once for any dimension.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOGETHER = 2**17
"""Samples whose windows are gone through together, to stay in the cache."""


@dataclass(frozen=True)
class Recurrence:
    """How a recurrence plot is made and read.

    Args:
        delay: tau, samples: about a quarter of the dominant period; 1 makes lines of noise, whose neighbouring
            points share all coordinates but one.
        dimension: m of the embedding.
        radius: r, the distance that is near, in standard deviations of the window.
        line: l, the fewest points of a diagonal line.
        theiler: w, the fewest samples between two points of a pair.

    Raises:
        ValueError: a number below 1 (of `line` below 2), or a radius that is not positive.
    """

    delay: int
    dimension: int = 3
    radius: float = 0.2
    line: int = 2
    theiler: int = 1

    def __post_init__(self) -> None:
        counts = (self.delay, self.dimension, self.line - 1, self.theiler)
        if min(counts) < 1 or not self.radius > 0:
            raise ValueError(
                f"delay={self.delay}, dimension={self.dimension}, radius={self.radius:g}, line={self.line}, "
                f"theiler={self.theiler}: all have to be positive, and a line has 2 points at least."
            )

    def points(self, size: int) -> int:
        """Embedded points in a window.

        Args:
            size: of the window, samples.

        Raises:
            ValueError: a window too short for a line.
        """
        count = size - (self.dimension - 1) * self.delay
        least = self.theiler + self.line
        if count < least:
            raise ValueError(
                f"A window of {size} samples is too short for {self.dimension} coordinates {self.delay} samples "
                f"apart: take windows of {size - count + least} samples at least, or a shorter delay."
            )
        return count


def recurrence(
    x: NDArray[np.float64], setting: Recurrence
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Recurrence rate, determinism and their ratio in each window.

    Args:
        x: windows of samples, shape (window, sample), any units.
        setting: of the plot.

    Returns:
        Recurrence rate, determinism and determinism over rate, each shape (window,); NaN in a window that is
        constant or holds a NaN, the last two also where nothing recurs.
    """
    count = setting.points(x.shape[1])
    width = max(1, TOGETHER // x.shape[1])
    parts = [_counts(x[i : i + width], setting) for i in range(0, len(x), width)]
    near, lined = np.concatenate(parts, axis=1)
    apart = count - setting.theiler
    rate = near / (apart * (apart + 1) / 2)
    rate = np.where(x.min(axis=1) < x.max(axis=1), rate, np.nan)
    near = np.where(near > 0, near, np.nan)
    determinism = np.where(np.isnan(rate), np.nan, lined / near)
    return rate, determinism, determinism / rate


def _counts(x: NDArray[np.float64], setting: Recurrence) -> NDArray[np.float64]:
    """Recurrent pairs, and those on lines, one diagonal after the other; shape (2, window)."""
    count, delay = setting.points(x.shape[1]), setting.delay
    scale = x.std(axis=1)
    z = (x - x.mean(axis=1, keepdims=True)) / np.where(scale > 0, scale, 1.0)[:, None]
    z = np.ascontiguousarray(z.T, np.float32)
    found = np.zeros((2, x.shape[0]))
    for lag in range(setting.theiler, count):
        close = np.abs(z[lag:] - z[:-lag]) <= setting.radius
        here = close[: count - lag]
        for q in range(1, setting.dimension):
            here = here & close[q * delay : q * delay + count - lag]
        found[0] += _summed(here)
        found[1] += _summed(_on_lines(here, setting.line))
    return found


def _on_lines(here: NDArray[np.bool_], line: int) -> NDArray[np.bool_]:
    """The points of a diagonal (point, window) that lie in runs of `line` or more."""
    held = np.zeros_like(here)
    starts = len(here) - line + 1
    if starts < 1:
        return held
    whole = here[:starts]
    for k in range(1, line):
        whole = whole & here[k : k + starts]
    for k in range(line):
        held[k : k + starts] |= whole
    return held


def _summed(flag: NDArray[np.bool_]) -> NDArray[np.int32]:
    return flag.sum(axis=0, dtype=np.int32)
