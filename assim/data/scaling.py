r"""From file units to internal units and back: one monotone transform per channel, fitted on training data.

$$z = \begin{cases}(y - c)/s & \text{real, upper, both}\\ (y/s)^p & \text{lower}\\
2\pi y / P & \text{circle}\end{cases}$$

Bounds land on fixed internal values (0 for one-sided supports, -2 and 2 for two-sided ones), where the
likelihood puts its point masses: a reading *at* a bound is censored, so its score is a probability and
takes no Jacobian; a reading inside takes $\log |dz/dy|$. Within a millionth of $s$ a reading is at its bound:
float32 would not tell the two apart. Where values are then brought to a normal law (`Warp`) no bound is left.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assim.data.warping import Warp, fit_warp

TURN = 2.0 * np.pi
INTERNAL_BOUNDS = {
    "real": (-np.inf, np.inf),
    "lower": (0.0, np.inf),
    "upper": (-np.inf, 0.0),
    "both": (-2.0, 2.0),
    "circle": (-np.inf, np.inf),
}
AT_BOUND = 1e-6
"""Readings this near a bound, in units of the scale, are at it."""
ATOM = 0.01
"""A channel that rests on a bound more often than this keeps its bound: a point mass has no normal law."""
INTERMITTENT = 0.1
"""A one-sided channel that rests on its bound more often than this gets a square-root transform."""


@dataclass(frozen=True)
class Scaling:
    """The transforms of all channels at all stations.

    Args:
        supports: kind of each channel, a key of `INTERNAL_BOUNDS`.
        centre: shape (run, channel), file units.
        scale: shape (run, channel), file units.
        power: exponent of each channel, shape (channel,); 1 except for intermittent channels.
        warp: what then brings each channel to a normal law, or None.
    """

    supports: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    power: NDArray[np.float64]
    warp: Warp | None = None

    @property
    def laws(self) -> tuple[str, ...]:
        """The supports that a likelihood sees: without bounds where values are brought to a normal law."""
        if self.warp is None:
            return self.supports
        knots = zip(self.supports, self.warp.knots, strict=True)
        return tuple(s if k is None else "real" for s, k in knots)

    def forward(self, y: ArrayLike) -> NDArray[np.float64]:
        """Internal values of `y`, shape (run, time, channel), file units; beyond a bound is clipped to it."""
        z = self._bent(y)
        return z if self.warp is None else self.warp.forward(z)

    def inverse(self, z: ArrayLike, run: int = 0, channel: int | slice = slice(None)) -> NDArray:
        """File units of internal values, shape (..., channel) of one run, or (...) of one channel."""
        z = self._unwarped(np.asarray(z), channel)
        power = self.power[channel].astype(z.dtype)
        raw = z if np.all(power == 1) else np.where(power == 1, z, np.abs(z) ** (1 / power))
        y = (raw * self.scale[run, channel] + self.centre[run, channel]).astype(z.dtype)
        circle = np.array([s == "circle" for s in self.supports])[channel]
        if not circle.any():
            return y
        period = np.where(circle, TURN * self.scale[run, channel], 1.0).astype(z.dtype)
        turned = np.mod(y, period)
        return np.where(circle, np.where(turned >= period, 0.0, turned), y).astype(z.dtype)

    def error(self, y: ArrayLike, sd: ArrayLike) -> NDArray[np.float64]:
        r"""Internal standard errors of readings `y` known to within `sd`, file units: $z(y + \sigma) - z(y)$.

        That is $|dz/dy|\,\sigma$ to first order, and finite at a bound, where the slope of a power is not.
        """
        if self.warp is not None:
            y, sd = np.asarray(y, float), np.asarray(sd, float)
            return np.where(sd > 0, self.forward(y + sd) - self.forward(y), 0.0)
        distance = np.where(self.power == 1.0, 0.0, np.maximum(self._straight(y), 0.0))
        step = np.asarray(sd, float) / self.scale[:, None]
        return (distance + step) ** self.power - distance**self.power

    def log_jacobian(self, y: ArrayLike) -> NDArray[np.float64]:
        r"""$\log|dz/dy|$ inside the support and 0 on its bounds; shape (run, time, channel)."""
        z = self._straight(y)
        lower, upper = self._bounds()
        at = (z <= lower + AT_BOUND) | (z >= upper - AT_BOUND)
        if self.warp is not None:
            at &= np.array([k is None for k in self.warp.knots])
        return np.where(at, 0.0, self.log_slope(y))

    def log_slope(self, y: ArrayLike) -> NDArray[np.float64]:
        r"""$\log|dz/dy|$ as if there were no bounds; shape (run, time, channel)."""
        flat = -np.log(self.scale)[:, None] + np.log(self.power)
        bent = (self.power - 1.0) * np.log(np.maximum(np.abs(self._straight(y)), AT_BOUND))
        slope = flat + np.where(self.power == 1.0, 0.0, bent)
        return slope if self.warp is None else slope + self.warp.log_slope(self._bent(y))

    def select(self, runs: list[int]) -> "Scaling":
        """The transforms of some stations, in the order asked for."""
        return replace(self, centre=self.centre[runs], scale=self.scale[runs])

    def to_dict(self) -> dict:
        """What `from_dict` needs, as JSON-ready lists."""
        return {
            "supports": list(self.supports),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "power": self.power.tolist(),
            "warp": None if self.warp is None else self.warp.to_list(),
        }

    @classmethod
    def from_dict(cls, stored: dict) -> "Scaling":
        """The inverse of `to_dict`, exact."""
        supports = tuple(stored["supports"])
        centre, scale, power = (np.asarray(stored[k], float) for k in ("centre", "scale", "power"))
        warp = None if stored.get("warp") is None else Warp.of(stored["warp"])
        return cls(supports, centre, scale, power, warp)

    def _bent(self, y: ArrayLike) -> NDArray[np.float64]:
        z = self._straight(y)
        lower, upper = self._bounds()
        z = np.where(z <= lower + AT_BOUND, lower, np.where(z >= upper - AT_BOUND, upper, z))
        return np.where(self.power == 1.0, z, np.abs(z) ** self.power)

    def _unwarped(self, z: NDArray, channel: int | slice) -> NDArray:
        """Values before the warp, inside the bounds of their support."""
        if self.warp is None:
            return z
        bounds = np.stack(self._bounds())[:, channel].astype(z.dtype)
        if isinstance(channel, slice):
            numbers = range(len(self.supports))[channel]
            parts = [self.warp.inverse(z[..., i], c) for i, c in enumerate(numbers)]
            z = np.stack(parts, axis=-1)
        else:
            z = self.warp.inverse(z, channel)
        return np.clip(z, *bounds)

    def _straight(self, y: ArrayLike) -> NDArray[np.float64]:
        return (np.asarray(y, float) - self.centre[:, None]) / self.scale[:, None]

    def _bounds(self) -> tuple[NDArray, NDArray]:
        pairs = np.array([INTERNAL_BOUNDS[s] for s in self.supports])
        return pairs[:, 0], pairs[:, 1]


def fit_scaling(
    y: ArrayLike, supports: tuple[str, ...], bounds: list[tuple[float, float]]
) -> Scaling:
    """Centres, scales and powers of a training record; call it on nothing else.

    Args:
        y: readings, shape (run, time, channel), file units; NaN where missing.
        supports: kind of each channel.
        bounds: physical (lower, upper) of each channel, file units; the period of a circle is their difference.

    Returns:
        A `Scaling` with a row for each run.
    """
    y = np.asarray(y, float)
    runs, _, channels = y.shape
    centre, scale, power = np.zeros((runs, channels)), np.ones((runs, channels)), np.ones(channels)
    for c, (support, (low, high)) in enumerate(zip(supports, bounds, strict=True)):
        values = y[..., c]
        if support == "circle":
            scale[:, c] = (high - low) / TURN
        elif support == "both":
            centre[:, c], scale[:, c] = (low + high) / 2, (high - low) / 4
        else:
            anchor = {"lower": low, "upper": high, "real": None}[support]
            pooled = np.nanstd(values)
            spread = np.array([_spread(row, pooled) for row in values])
            middle = [np.nanmean(r) if np.isfinite(r).any() else np.nanmean(values) for r in values]
            centre[:, c] = np.array(middle) if anchor is None else anchor
            scale[:, c] = spread
            seen = values[np.isfinite(values)]
            if support == "lower" and np.mean(seen <= low) > INTERMITTENT:
                power[c] = 0.5
                scale[:, c] *= 4.0
    return Scaling(supports, centre, scale, power)


def normalised(y: ArrayLike, scaling: Scaling) -> Scaling:
    """The same transforms with a map to a normal law behind them, but for directions and what rests on a bound.

    Args:
        y: the training record, shape (run, time, channel), file units; NaN where missing.
        scaling: fitted on it.
    """
    y = np.asarray(y, float)
    z = np.where(np.isfinite(y), scaling.forward(np.nan_to_num(y)), np.nan)
    low, high = scaling._bounds()
    resting = np.nanmean(np.where(np.isfinite(z), (z <= low) | (z >= high), np.nan), axis=(0, 1))
    circle = np.array([s == "circle" for s in scaling.supports])
    return replace(scaling, warp=fit_warp(z, circle | (resting > ATOM)))


def _spread(row: NDArray, pooled: float) -> float:
    """The standard deviation of a station, or that of all stations where it has too little to say."""
    seen = row[np.isfinite(row)]
    own = float(np.std(seen)) if seen.size > 2 else 0.0
    return own if own > 1e-3 * pooled else float(pooled)
