r"""Where a record of snapshots lies and how fast it goes by: what priors are scaled by.

For each coordinate by itself, means being over samples by their weights, and over the snapshots k at the times t_k,

$$c = \overline{x}, \qquad s^2 = \overline{(x - c)^2}, \qquad
v^2 = \overline{\Big(\frac{\bar x_{k+1} - \bar x_k}{t_{k+1} - t_k}\Big)^2} + \Big(\frac{s}{h}\Big)^2$$

where h is the median time between snapshots: what moves the means, or turns the cloud over between two looks at it.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.snapshots import Snapshots
from assim.types import Array, Float


class Region(eqx.Module):
    """Scales of a record, each in the units of its coordinate.

    Args:
        centre: c, mean of all samples, shape (coordinate,).
        spread: s, standard deviation of all samples, shape (coordinate,).
        low: smallest value, shape (coordinate,).
        high: largest value, shape (coordinate,).
        span: from the first snapshot to the last, shape (), units of time.
        step: h, median time between snapshots, shape (), units of time.
        speed: v, shape (coordinate,), per unit of time.
    """

    centre: Float[Array, " coordinate"]
    spread: Float[Array, " coordinate"]
    low: Float[Array, " coordinate"]
    high: Float[Array, " coordinate"]
    span: Float[Array, ""]
    step: Float[Array, ""]
    speed: Float[Array, " coordinate"]

    @property
    def size(self) -> int:
        """How many coordinates there are."""
        return self.centre.shape[-1]

    def pace(self) -> Float[Array, ""]:
        r"""One rate for all coordinates, $\sqrt{\overline{(v/s)^2}}$.

        Returns:
            Shape (), per unit of time.
        """
        return jnp.sqrt(jnp.mean(jnp.square(self.speed / self.spread)))

    @classmethod
    def of(cls, snapshots: Snapshots, step: float = 1.0) -> "Region":
        """Counted in a record, outside of every compiled function.

        Args:
            snapshots: a record whose times ascend.
            step: its nominal step, in the unit of time that rates are told in.

        Raises:
            ValueError: fewer than two snapshots with samples, times that do not ascend, or a coordinate that is
                never seen or never changes.
        """
        x = np.asarray(snapshots.x, float)
        weight = np.asarray(snapshots.mask, float) * np.asarray(snapshots.weight, float)[..., None]
        time = (np.asarray(snapshots.tick, float) + np.asarray(snapshots.frac, float)) * step
        some = weight.any(axis=(1, 2))
        x, weight, time = x[some], weight[some], time[some]
        _require_times(time)
        total = weight.sum(axis=(0, 1))
        _require_change(x, weight > 0)
        centre = (weight * x).sum(axis=(0, 1)) / total
        spread = np.sqrt((weight * (x - centre) ** 2).sum(axis=(0, 1)) / total)
        between = np.median(np.diff(time))
        moved = np.array([_moved(x[..., j], weight[..., j], time) for j in range(x.shape[-1])])
        counted = {
            "centre": centre,
            "spread": spread,
            "low": np.where(weight > 0, x, np.inf).min(axis=(0, 1)),
            "high": np.where(weight > 0, x, -np.inf).max(axis=(0, 1)),
            "span": time[-1] - time[0],
            "step": between,
            "speed": np.hypot(moved, spread / between),
        }
        return cls(**{name: jnp.asarray(v, jnp.zeros(0).dtype) for name, v in counted.items()})


def _moved(x: np.ndarray, weight: np.ndarray, time: np.ndarray) -> float:
    """Root of the mean square velocity of a coordinate's mean; 0 where it is seen at one time only."""
    total = weight.sum(axis=1)
    seen = total > 0
    mean = (weight * x).sum(axis=1)[seen] / total[seen]
    velocity = np.diff(mean) / np.diff(time[seen])
    return float(np.sqrt(np.mean(velocity**2))) if velocity.size else 0.0


def _require_times(time: np.ndarray) -> None:
    """Refuse what nothing can be said to move in."""
    if time.size < 2:
        raise ValueError(
            f"{time.size} of the snapshots have samples, and how particles move takes two: give more snapshots."
        )
    if not (np.diff(time) > 0).all():
        raise ValueError(
            "The times of the snapshots do not ascend, each by itself: sort them, and join those of one time."
        )


def _require_change(x: np.ndarray, seen: np.ndarray) -> None:
    """Refuse a coordinate that sets no scale."""
    for j in range(x.shape[-1]):
        values = x[..., j][seen[..., j]]
        if values.size == 0 or np.ptp(values) == 0:
            what = "is never seen" if values.size == 0 else f"is {values[0]} in every sample"
            raise ValueError(
                f"Coordinate {j} (counted from 0) {what}, which sets no scale for a prior: leave it out."
            )
