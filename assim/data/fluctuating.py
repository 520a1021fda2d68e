r"""Detrended fluctuation analysis: how the fluctuation of a profile grows with the length of boxes.

Of the profile $Y_k = \sum_{i \le k} (x_i - \bar x)$, cut into boxes of $s$ samples from either end, a straight line
is taken off in each box, and

$$F(s)^2 = \big\langle (Y - \text{line})^2 \big\rangle \sim s^{2\alpha}$$

(Peng et al. 1994, Phys. Rev. E 49; Kantelhardt et al. 2001, Physica A 295). The exponent, also called the Hurst
exponent of the series, is 1/2 for white noise, above for noise that persists, 3/2 for the sum of white noise, and
falls to 0 for an oscillation in boxes longer than its period. It is read off by least squares of $\log F$ on
$\log s$. Of white noise with variance $\sigma^2$, $F(s)^2 = \sigma^2 (s^2 - 4) / (15 s)$: boxes of few samples fall
short, and the shortest are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOXES = 12
SHARE = 4
"""The longest box is a window over this, so that its mean is over some."""


@dataclass(frozen=True)
class Fluctuation:
    """The lengths of boxes.

    Args:
        shortest: samples in the shortest box.
        longest: samples in the longest box; None for a quarter of the window.

    Raises:
        ValueError: fewer than 4 samples to a box, or the longest is not twice the shortest at least.
    """

    shortest: int = 10
    longest: int | None = None

    def __post_init__(self) -> None:
        if self.shortest < 4 or (self.longest is not None and self.longest < 2 * self.shortest):
            raise ValueError(
                f"shortest={self.shortest}, longest={self.longest}: boxes need 4 samples, and the longest twice as "
                "many as the shortest."
            )

    def boxes(self, size: int) -> NDArray[np.int64]:
        """Lengths of the boxes in a window.

        Args:
            size: of the window, samples.

        Returns:
            Shape (box,), samples.

        Raises:
            ValueError: a window too short for them.
        """
        longest = size // SHARE if self.longest is None else self.longest
        if longest < 2 * self.shortest or longest > size:
            least = 2 * SHARE * self.shortest if self.longest is None else self.longest
            raise ValueError(
                f"A window of {size} samples is too short for boxes of {self.shortest} samples and longer: take "
                f"windows of {least} samples at least, or shorter boxes."
            )
        return np.unique(np.geomspace(self.shortest, longest, BOXES).round().astype(int))


def fluctuations(x: NDArray[np.float64], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    r"""The mean square $F(s)^2$ about the lines in boxes.

    Args:
        x: windows of samples, shape (window, sample), any units.
        boxes: lengths s, samples, shape (box,).

    Returns:
        Shape (window, box), in those units squared.
    """
    profile = np.cumsum(x - x.mean(axis=1, keepdims=True), axis=1)
    found = [_about_lines(profile, int(size)) for size in boxes]
    return np.stack(found, axis=-1)


def hurst(x: NDArray[np.float64], setting: Fluctuation) -> NDArray[np.float64]:
    r"""The exponent $\alpha$ of each window, shape (window,); NaN where it is constant or holds a NaN.

    Args:
        x: windows of samples, shape (window, sample), any units.
        setting: the lengths of boxes.
    """
    boxes = setting.boxes(x.shape[1])
    square = fluctuations(x, boxes)
    still = ~((square > 0).all(axis=1) & (x.min(axis=1) < x.max(axis=1)))
    log = np.log(np.where(still[:, None], 1.0, square)) / 2
    s = np.log(boxes) - np.log(boxes).mean()
    return np.where(still, np.nan, log @ s / (s @ s))


def _about_lines(profile: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Mean square about the line in each box, over boxes from both ends."""
    windows, length = profile.shape
    count = length // size
    t = np.arange(size) - (size - 1) / 2
    total = np.zeros(windows)
    for start in (0, length - count * size):
        box = profile[:, start : start + count * size].reshape(windows, count, size)
        box = box - box.mean(axis=-1, keepdims=True)
        slope = box @ t / (t @ t)
        total += (box**2).mean(axis=(1, 2)) - (slope**2).mean(axis=1) * (t @ t) / size
    return total / 2
