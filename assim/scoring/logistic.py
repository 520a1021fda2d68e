r"""Indicators as forecasters: a logistic regression of whether an episode begins within the horizon.

With the indicators $x$ of a frame that is calm, standardised over the training frames as $z$,

$$P(\text{onset within } h) = \frac{1}{1 + e^{-(b + w^\top z)}}, \qquad
\min_{b, w} -\sum_i \log p(e_i \mid z_i) + \tfrac{1}{2 s^2} \lVert w \rVert^2,$$

by Newton's method. The prior of width $s$ keeps the weights finite where the training frames can be told apart
entirely (Platt 1999 calibrates the decision values of any classifier this way).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.data.spreading import spread
from assim.scoring.events import about
from assim.scoring.watching import alarm_frames

WIDTH = 10.0
"""Standard deviation of the prior of a weight on standardised indicators."""
STEPS = 100
CLOSE = 1e-10


@dataclass(frozen=True)
class Logistic:
    """A fitted regression.

    Args:
        weights: of each standardised indicator, shape (indicator,).
        bias: log odds at the mean of the indicators.
        centre: mean of each indicator over the training frames, in its units, shape (indicator,).
        scale: standard deviation of each, shape (indicator,).
        names: of the indicators.
        event: attributes of the event.
        horizon: nanoseconds.
    """

    weights: NDArray[np.float64]
    bias: float
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    names: tuple[str, ...]
    event: dict = field(default_factory=dict)
    horizon: int = 0

    def probability(self, indicators: xr.Dataset) -> xr.DataArray:
        """Foretell the event from indicators.

        Args:
            indicators: those of the fit, on ([run,] time), in the same units.

        Returns:
            ([run,] init_time, lead_time) with the single lead of the fit and the attributes of the event, as
            `assim.exceedance` gives them; NaN where an indicator is missing.

        Raises:
            ValueError: an indicator of the fit is not there.
        """
        lacking = [name for name in self.names if name not in indicators]
        if lacking:
            raise ValueError(
                f"The regression was fitted on {list(self.names)}, and {lacking} are not among the indicators "
                f"{list(indicators.data_vars)}: give those it was fitted on."
            )
        held, x = _stacked(indicators[list(self.names)])
        odds = self.bias + (x - self.centre) / self.scale @ self.weights
        return _chance(held, _logistic(odds), self.horizon, self.event)


def fit_logistic(
    indicators: xr.Dataset,
    truth: xr.Dataset,
    variable: str,
    threshold: float,
    horizon: Duration,
    side: str = "above",
    *,
    clear: float | None = None,
    gap: Duration | None = None,
) -> Logistic:
    """Fit the probability that an episode begins within the horizon to indicators of training runs.

    Only frames at which the truth is calm and known count, since only they can warn.

    Args:
        indicators: one variable each, on ([run,] time), as `assim.data.indicators` gives them; the value at a time
            knows nothing later.
        truth: the record of the event, on `time` and the same runs.
        variable: the channel that passes the threshold; one at a depth is `name@30`.
        threshold: in its units in the truth.
        horizon: within which an episode is to begin, as "500ms".
        side: "above" or "below".
        clear: the level at which an episode is over, as in `assim.scoring.episodes`.
        gap: the furthest that two episodes of one lie apart, as there.

    Returns:
        The regression.

    Raises:
        ValueError: no such channel, an onset follows no training frame or all of them, or as `alarm_frames`.
    """
    truth = spread(truth)
    if variable not in truth:
        raise ValueError(
            f"The truth has no variable '{variable}', only {list(truth.data_vars)}: name one of them."
        )
    told = about(truth[variable], threshold, side)
    lead = nanoseconds(horizon, "horizon")
    held, x = _stacked(indicators)
    blank = _chance(held, np.zeros(x.shape[:-1]), lead, told)
    frames = alarm_frames(blank, truth, clear=clear, gap=gap).sel(init_time=blank["init_time"])
    event = frames["event"].transpose(*blank.dims[:-1]).values
    used = np.isfinite(event) & np.isfinite(x).all(axis=-1)
    e, x = event[used], x[used]
    if not 0 < e.sum() < e.size:
        raise ValueError(
            f"Of {e.size} calm training frames with indicators {int(e.sum())} come before an onset: give runs with "
            "frames of both kinds, another threshold or another horizon."
        )
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    bias, weights = _fitted((x - centre) / scale, e)
    names = tuple(map(str, indicators.data_vars))
    return Logistic(weights, bias, centre, scale, names, told, lead)


def _fitted(z: NDArray, e: NDArray) -> tuple[float, NDArray]:
    """Bias and weights of the largest posterior density, by damped Newton steps."""
    design = np.column_stack([np.ones(len(z)), z])
    ridge = np.full(design.shape[1], WIDTH**-2)
    ridge[0] = 0.0
    theta = np.zeros(design.shape[1])
    theta[0] = np.log(e.mean() / (1 - e.mean()))

    def loss(theta: NDArray) -> float:
        odds = design @ theta
        return float(np.logaddexp(0, odds).sum() - e @ odds + ridge @ theta**2 / 2)

    for _ in range(STEPS):
        p = _logistic(design @ theta)
        slope = design.T @ (p - e) + ridge * theta
        curve = (design.T * (p * (1 - p))) @ design + np.diag(ridge + 1e-12)
        step, size = np.linalg.solve(curve, slope), 1.0
        while loss(theta - size * step) > loss(theta) and size > CLOSE:
            size /= 2
        theta = theta - size * step
        if slope @ step < CLOSE:
            break
    return float(theta[0]), theta[1:]


def _logistic(odds: NDArray) -> NDArray:
    return 0.5 * (1 + np.tanh(odds / 2))


def _stacked(indicators: xr.Dataset) -> tuple[xr.DataArray, NDArray[np.float64]]:
    """The first indicator, for its labels, and all of them on a last axis."""
    first, *others = xr.broadcast(
        *(v.reset_coords(drop=True) for v in indicators.data_vars.values())
    )
    first = first.transpose(..., "time")
    values = [first, *(other.transpose(*first.dims) for other in others)]
    return first, np.stack([np.asarray(v.values, float) for v in values], axis=-1)


def _chance(held: xr.DataArray, values: NDArray, lead: int, event: dict) -> xr.DataArray:
    """Values at the times of a channel as probabilities of an event at one lead."""
    chance = held.copy(data=values).rename("probability").rename(time="init_time")
    words = {"long_name": f"probability of {event['long_name']}"} if event else {}
    at = np.array([lead], "timedelta64[ns]")
    return chance.expand_dims(lead_time=at, axis=-1).assign_attrs(event | words)
