r"""Intervals of a forecast, and the split-conformal layer that gives them their coverage.

Conformalised quantile regression (Romano, Patterson and Candès 2019, arXiv 1905.03222, algorithm 1): with
$\hat q_a$ the quantile of the paths of a window, $1 - \alpha$ the level, and n windows that no fit has seen,

$$E_i = \max\{\hat q_{\alpha/2}(x_i) - y_i,\ y_i - \hat q_{1-\alpha/2}(x_i)\}, \qquad
C(x) = [\hat q_{\alpha/2}(x) - Q,\ \hat q_{1-\alpha/2}(x) + Q], \qquad Q = E_{(\lceil (n+1)(1-\alpha) \rceil)}$$

For a window exchangeable with these, $P(y \in C(x)) = \lceil (n+1)(1-\alpha) \rceil / (n+1)$ where no two E are
equal, whatever the forecaster is worth; with fewer than $(1-\alpha)/\alpha$ windows Q is infinite. There is one Q
for each channel and lead, of all runs and stations together. A direction is measured from the
middle of its interval, the shorter way round.

Windows that overlap are not exchangeable: of those closer than a horizon one is kept. Nor, strictly, are two of one
run that lie apart; the more runs, the nearer the coverage is to what is said.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from assim import scoring
from assim.data.support import bounds_of
from assim.scoring.calibration import LEVELS
from assim.scoring.circular import mean_direction, period, wrap
from assim.scoring.pairing import origin_blocks

BOUNDS = ("lower", "upper")


def conformal(fc: xr.DataTree, truth: xr.Dataset, levels: Sequence[float] = LEVELS) -> xr.Dataset:
    """How much wider the intervals of a forecaster have to be, from forecasts of what its fits had not seen.

    Origins of a run that are closer than the longest lead are thinned, with a warning: windows that overlap are not
    exchangeable.

    Args:
        fc: forecasts of held-out windows, as `assim.backtest` or `assim.forecast` gives them.
        truth: the dataset that holds what happened.
        levels: nominal probabilities in (0, 1).

    Returns:
        For each channel the widening Q (level, lead_time) in its units, negative where intervals are too wide and
        infinite where there are too few windows, which a warning says; `{channel}_n` (lead_time), how many there
        are.

    Raises:
        ValueError: levels that are none, or forecasts that were trained on what they are held against.
    """
    scoring.require_unseen({"the forecast": fc})
    predicted = scoring.predictions(fc)
    paired = scoring.pair(predicted, truth)
    level, apart = _levels(levels), predicted["lead_time"].values.max()
    found, thinned, few = dict[str, xr.DataArray](), 0, list[str]()
    for name, channel in predicted.data_vars.items():
        lower, upper = _quantiles(channel, level)
        off = _turned(paired[name] - (lower + upper) / 2, channel)
        error = abs(off) - (upper - lower) / 2  # how far outside, or less than 0
        known = error.notnull().any(("level", "lead_time"))
        kept = _thinned(known, apart)
        thinned += int((known & ~kept).sum())
        over = [d for d in error.dims if d not in ("level", "lead_time")]
        flat = error.where(kept).stack(window=over).transpose("level", "lead_time", "window")
        count = flat.isel(level=0, drop=True).notnull().sum("window")
        rank = xr.DataArray(np.ceil((count + 1) * level - 1e-9)).astype(int)
        risen = np.sort(flat.values, axis=-1)  # what is missing comes last
        at = rank.clip(max=risen.shape[-1]).transpose("level", "lead_time").values - 1
        widening = np.take_along_axis(risen, at[..., None], axis=-1)[..., 0]
        enough = (rank <= count).transpose("level", "lead_time")
        if not enough.all():
            few.append(f"'{name}' has {int(count.min())}")
        q = xr.DataArray(np.where(enough, widening, np.inf), enough.coords, enough.dims)
        units = {k: v for k, v in channel.attrs.items() if k == "units"}
        found[str(name)] = q.assign_attrs(
            units | {"long_name": f"widening of the intervals of {name}"}
        )
        found[f"{name}_n"] = count.assign_attrs(units="1", long_name=f"windows of {name}")
    if thinned:
        warnings.warn(
            f"{thinned} windows are closer to one before them than a horizon, and windows that overlap are not "
            "exchangeable: they were left out; a backtest with every=None has none of them.",
            UserWarning,
            stacklevel=2,
        )
    if few:
        warnings.warn(
            f"The level {float(level.max()):g} needs {_fewest(float(level.max()))} windows, and {', '.join(few)}: "
            "where there are too few the interval is infinite.",
            UserWarning,
            stacklevel=2,
        )
    return xr.Dataset(found, attrs={"thinned": thinned})


def intervals(
    fc: xr.DataTree,
    levels: Sequence[float] = LEVELS,
    conformal: xr.Dataset | None = None,
) -> xr.Dataset:
    """Central intervals of a forecast, from the quantiles of its paths.

    Args:
        fc: a forecast tree.
        levels: nominal probabilities in (0, 1).
        conformal: what `assim.conformal` gave for the same forecaster, which makes them as wide as they have to be;
            None for the quantiles as they are.

    Returns:
        Each channel on (bound, level[, station], init_time, lead_time), `bound` being "lower" or "upper", in its
        units and within its bounds. An interval of a direction goes from `lower` towards growing values to `upper`,
        through 0 where `upper` is less; the whole circle is 0 to its period. One that is narrowed beyond nothing is
        its own middle.

    Raises:
        ValueError: levels that are none, or a channel, level or lead that `conformal` does not have.
    """
    predicted = scoring.predictions(fc)
    level, found = _levels(levels), dict[str, xr.DataArray]()
    for name, channel in predicted.data_vars.items():
        lower, upper = _quantiles(channel, level)
        if conformal is not None:
            q = _widening(conformal, str(name), level, predicted["lead_time"])
            middle = (lower + upper) / 2
            lower, upper = lower - q, upper + q
            crossed = lower > upper
            lower, upper = lower.where(~crossed, middle), upper.where(~crossed, middle)
        lower, upper = _within(lower, upper, channel)
        bound = xr.IndexVariable("bound", list(BOUNDS))
        joined = xr.concat([lower, upper], bound, coords="minimal", compat="override")
        cells = [d for d in channel.dims if d not in ("chain", "draw")]
        joined = joined.transpose("bound", "level", *cells)
        said = "interval of the forecast" if conformal is None else "conformal interval"
        word = channel.attrs.get("long_name", name)
        found[str(name)] = joined.assign_attrs(channel.attrs | {"long_name": f"{said} of {word}"})
    ds = xr.Dataset(found).assign_coords(valid_time=predicted["valid_time"])
    ds["level"].attrs = {"long_name": "nominal coverage", "units": "1"}
    return ds


def _levels(levels: Sequence[float]) -> xr.DataArray:
    values = np.unique(np.asarray(levels, float))
    if not values.size or not ((values > 0) & (values < 1)).all():
        raise ValueError(f"levels={levels!r}: give probabilities between 0 and 1, as (0.5, 0.9).")
    return xr.DataArray(values, dims="level", coords={"level": values})


def _quantiles(channel: xr.DataArray, level: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Lower and upper quantile of the paths, (level, ...); of a direction, cut open opposite to its mean."""
    cycle, parts = period(channel), []
    chances = np.concatenate([(1 - level.values) / 2, (1 + level.values) / 2])
    for chosen in origin_blocks([channel.to_dataset()]):
        paths = scoring.members(channel.isel(chosen))
        values = paths.values
        if cycle is not None:
            middle = mean_direction(values, cycle)[..., None]
            values = middle + wrap(values - middle, cycle)
        told = np.quantile(values, chances, axis=-1)
        like = paths.isel(member=0, drop=True).drop_attrs()
        parts.append(like.expand_dims(part=len(told)).copy(data=told))
    whole = xr.concat(parts, "init_time", coords="minimal", compat="override")
    count = level.size
    lower, upper = (
        whole.isel(part=part).rename(part="level").assign_coords(level=level.values)
        for part in (slice(0, count), slice(count, 2 * count))
    )
    return lower, upper


def _turned(off: xr.DataArray, channel: xr.DataArray) -> xr.DataArray:
    """Differences of a direction the shorter way round; any other as they are."""
    cycle = period(channel)
    return off if cycle is None else off.copy(data=wrap(off.values, cycle))


def _thinned(known: xr.DataArray, apart: np.timedelta64) -> xr.DataArray:
    """Of the windows of each run the first, and every next one that is so far from the one before it."""
    times = known["init_time"].values
    cells = known.transpose(..., "init_time")
    kept = np.zeros(cells.shape, bool)
    for place in np.ndindex(cells.shape[:-1]):
        free = times[0]
        for at in np.flatnonzero(cells.values[place]):
            if times[at] >= free:
                kept[(*place, at)] = True
                free = times[at] + apart
    return cells.copy(data=kept).transpose(*known.dims)


def _widening(
    held: xr.Dataset, name: str, level: xr.DataArray, leads: xr.DataArray
) -> xr.DataArray:
    """The widening of a channel at some levels and leads."""
    if name not in held.data_vars:
        raise ValueError(
            f"conformal= has nothing of '{name}', only of {[n for n in held if f'{n}_n' in held]}: give that of "
            "the same channels."
        )
    q = held[name]
    for dim, asked in (("level", level.values), ("lead_time", leads.values)):
        lost = ~np.isin(asked, q[dim].values)
        if lost.any():
            raise ValueError(
                f"conformal= has no {dim} {asked[lost][0]} of '{name}': ask for levels and leads that it was made "
                "for."
            )
    return q.sel(level=level.values, lead_time=leads.values)


def _within(
    lower: xr.DataArray, upper: xr.DataArray, channel: xr.DataArray
) -> tuple[xr.DataArray, xr.DataArray]:
    """An interval within the bounds of its channel, or on its circle."""
    cycle = period(channel)
    if cycle is None:
        low, high = bounds_of(channel)
        return lower.clip(low, high), upper.clip(low, high)
    whole = upper - lower >= cycle
    lower, upper = (b.where(~whole, 0.0) % cycle for b in (lower, upper))
    return lower, upper.where(~whole, cycle)


def _fewest(level: float) -> int:
    """How many windows a level needs."""
    return int(np.ceil(level / (1 - level) - 1e-9))
