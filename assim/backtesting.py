r"""`backtest`: what would have been forecast, by fits that had not seen it.

By time, origins roll on through the record and a fit knows what was read until one of them; by run, each fold of
runs is forecast by a fit to all the others (K-fold; Vehtari, Gelman and Gabry 2017). What comes out is a forecast,
so that all that judges forecasts judges it. Its scores are those of simulated paths, each lead by itself,

$$\textstyle\sum_h \log p(y_{t+h} \mid y_{\le t}, D_{\text{fit}}), \qquad\text{not the chain rule}\qquad
\sum_h \log p(y_{t+h} \mid y_{<t+h}, D_{\text{fit}})$$

that `lfo_cv` adds up, with what was read within the block as lags: for more than one lead they are not comparable.
All fits have one shape (`assim.refitting`), and so have all forecasts, so that the first one alone compiles.
"""

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
import xarray as xr

from assim.backtesting_origins import Asked, asked_by_run, asked_in_time
from assim.data.framing import Frame
from assim.data.splitting import Moment
from assim.forecasting import window_parts
from assim.inference import AbstractMethod
from assim.inference.progress import Progress
from assim.model import AbstractModel
from assim.origins import duration
from assim.refitting import Refits
from assim.registry import settings_of
from assim.scoring import trained_on
from assim.scoring.elpd import PATHS
from assim.splitting import folds_of
from assim.tree import Fitted, model_attrs, require_key, tree_of
from assim.types import Bool, Key

type Groups = dict[str, xr.Dataset]


def backtest(
    model: AbstractModel,
    ds: xr.Dataset,
    method: AbstractMethod | None = None,
    horizon: str | int = "1h",
    *,
    key: Key,
    by: str = "time",
    start: Moment | None = None,
    every: str | int | None = None,
    window: str | int | None = None,
    refit: bool | int = False,
    folds: int = 5,
    num_draws: int | None = 500,
    progress: bool = False,
) -> xr.DataTree:
    """Forecasts along a record, each by a fit that has not seen what it forecasts.

    Args:
        model: a family that is fitted to windows of channels.
        ds: the record, file units, with the controls of the model.
        method: the backend of every fit; None for the one that `infer` takes.
        horizon: how far ahead, as a duration ("24h") or a number of steps.
        key: all randomness; a fit's key is folded from its number, and folds are dealt by it.
        by: "time" for origins that roll on, each forecast by a fit to what was read until then; "run" for folds of
            runs (or stations), each forecast by the fit without it, at all its origins.
        start: the first origin, or the first time of the record after it; None for the middle of the record, by run
            for the first time at which the model can look back as far as it does.
        every: from one origin to the next, as a duration or a number of steps; None for one horizon.
        window: by time, how far back a fit looks; None for all of the past.
        refit: by time, False for one fit at the first origin, n for one at every n-th origin, True for one at each.
        folds: by run, how many.
        num_draws: posterior draws used, evenly spaced; None for all.
        progress: whether to show a progress bar over the forecasts.

    Returns:
        A forecast tree as `assim.forecast` gives it, for `compare`, `verify`, `elpds` and `exceedance`. The
        coordinate `fit` numbers the fit behind each origin (by time), with `trained_from` and `trained_until`, or
        behind each run, with `trained_without`, the runs that it has not seen. Every origin asked for is there, or
        is told of in the group `left_out`: `init_time`, the run (NaN among the forecasts), and the `reason`.
        Attributes: `backtest` (settings and counts), `block_scoring` (simulated paths, each lead by itself).

    Raises:
        ValueError: a horizon beyond the model's own or longer than every run, settings of the other kind, no runs,
            or no origin that is left.
        TypeError: a model that is not fitted to windows; a seed in place of a key.
    """
    require_key(key)
    k_deal, k_fit, k_path = jax.random.split(key, 3)
    _require_kind(by, window, refit)
    refits = Refits(model, method, ds)
    if by == "time":
        asked = asked_in_time(refits.frame, model.needs(), horizon, start, every)
        parts = _rolling(refits.frame, asked, window, refit)
    else:
        asked = asked_by_run(refits.frame, model.needs(), horizon, start, every, ds)
        dealt = folds_of(len(refits.frame.y), folds, key=k_deal)
        parts = _without(refits.frame, asked, dealt)
    size = max((refits.count(part.seen) for part in parts), default=0)
    most = (
        max((len(part.rows) for part in parts), default=0),
        max((len(part.runs) for part in parts), default=0),
    )
    made: list[tuple[_Part, Groups]] = []
    first: Fitted | None = None
    with Progress(progress, "backtest", sum(len(part.rows) for part in parts)) as bar:
        for part in parts:
            fitted = _fitted(refits, part, asked, size, key=jax.random.fold_in(k_fit, part.number))
            if fitted is not None:
                first = fitted if first is None else first
                groups = _forecast(refits, fitted, part, asked, most, num_draws, key=k_path)
                made.append((part, groups))
            bar.advance(len(part.rows), {})
    asked.require_some()
    assert first is not None and refits.method is not None
    for sentence in refits.advice:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    told = {"by": by, "fits": len(made), "origins": asked.total, "left_out": asked.lacking}
    told |= {"refit": refit} if by == "time" else {"folds": folds}
    attrs: dict[str, Any] = model_attrs(model, first.layout, first.frame, key) | {
        "method": json.dumps(settings_of(refits.method)),
        "horizon": duration(asked.leads, asked.steps),
        "num_draws": json.dumps(num_draws),
        "backtest": json.dumps(told),
        "block_scoring": PATHS,
        "trained_range": trained_on(_seen_by_any(refits, parts))["trained_range"],
    }
    return tree_of(_joined(made, refits.frame, asked, by) | asked.left_out(), attrs)


@dataclass(frozen=True)
class _Part:
    """What one fit sees, and what it forecasts.

    Args:
        number: of the fit.
        seen: which runs it sees at which times.
        runs: numbers of the runs that it forecasts.
        rows: of the origins that it forecasts.
    """

    number: int
    seen: Bool[np.ndarray, "run time"]
    runs: np.ndarray
    rows: np.ndarray


def _rolling(
    frame: Frame, asked: Asked, window: str | int | None, refit: bool | int
) -> list[_Part]:
    """One part for every `refit` origins: what was read until the first of them."""
    rows, runs = asked.open_rows(), np.arange(len(frame.y))
    together = len(rows) if refit is False else 1 if refit is True else refit
    back = len(frame.times) if window is None else asked.in_steps(window, "window")
    number, parts = np.arange(len(frame.times)), list[_Part]()
    for start in range(0, len(rows), max(together, 1)):
        here = rows[start : start + together]
        seen = (number <= here[0]) & (number > here[0] - back)
        parts.append(_Part(len(parts), np.broadcast_to(seen, frame.y.shape[:2]), runs, here))
    return parts


def _without(frame: Frame, asked: Asked, dealt: list[np.ndarray]) -> list[_Part]:
    """One part for every fold of runs: all the others."""
    parts = []
    for number, runs in enumerate(dealt):
        seen = np.ones(frame.y.shape[:2], bool)
        seen[runs] = False
        parts.append(_Part(number, seen, runs, asked.open_rows(runs)))
    return [part for part in parts if part.rows.size]


def _fitted(refits: Refits, part: _Part, asked: Asked, size: int, *, key: Key) -> Fitted | None:
    """The fit to a part; None, with the reason told, where it has too little to learn from, or goes astray."""
    fewest = refits.needs.fewest
    try:
        frame, pairs = refits.part(part.seen)
    except ValueError as error:
        asked.lose(part.runs, part.rows, f"no fit: {str(error).rstrip('.')}")
        return None
    if len(pairs) < fewest:
        asked.lose(
            part.runs,
            part.rows,
            f"no fit: {len(pairs)} usable windows to learn from, and at least {fewest} are needed",
        )
        return None
    try:
        return refits.fit(frame, pairs, size=size, key=key)
    except (ValueError, FloatingPointError) as error:
        asked.lose(part.runs, part.rows, f"no fit: {str(error).rstrip('.')}")
        return None


def _forecast(
    refits: Refits,
    fitted: Fitted,
    part: _Part,
    asked: Asked,
    most: tuple[int, int],
    num_draws: int | None,
    *,
    key: Key,
) -> Groups:
    """What a fit forecasts, NaN where an origin is none of a run; `most` origins and runs are rolled out."""
    rows, runs = (_filled(x, n) for x, n in zip((part.rows, part.runs), most, strict=True))
    frame = _of_runs(refits.record(fitted).extended(asked.ahead), runs)
    rolled = window_parts(fitted, frame, rows, asked.leads, num_draws, key=key, progress=False)
    chosen = {"init_time": slice(0, len(part.rows))}
    if frame.stations is not None:
        chosen[frame.instance] = slice(0, len(part.runs))
    open_here = asked.kept[np.ix_(part.runs, np.searchsorted(asked.rows, part.rows))]
    dims = (frame.instance, "init_time") if frame.stations is not None else ("init_time",)
    kept = xr.DataArray(open_here if frame.stations is not None else open_here[0], dims=dims)
    return {
        name: group.isel(chosen).where(kept).drop_vars("valid_time")
        for name, group in _end_to_end(rolled).items()
    }


def _end_to_end(parts: Iterator[Groups]) -> Groups:
    """Parts of a forecast one behind the other."""
    gathered = list(parts)
    return {
        name: xr.concat([part[name] for part in gathered], "init_time", data_vars="minimal")
        for name in gathered[0]
    }


def _joined(made: list[tuple[_Part, Groups]], frame: Frame, asked: Asked, by: str) -> Groups:
    """The forecasts of all fits as one, each with what made it."""
    along = "init_time" if by == "time" else frame.instance
    told = [_made_by(part, frame, along) for part, _ in made]
    step = np.timedelta64(round(frame.step * 1e9), "ns")
    joined = {}
    for name in ("predictions", "uncertainty", "log_score"):
        groups = [(g[name], coords) for (_, g), coords in zip(made, told, strict=True) if name in g]
        if not groups:
            continue
        whole = xr.concat(
            [g.assign_coords(c) for g, c in groups], along, data_vars="minimal", join="outer"
        )
        order: dict[str, Any] = {"init_time": frame.times[asked.open_rows()]}
        if along != "init_time":
            assert frame.stations is not None
            order[along] = [s for s in frame.stations if s in whole[along].values]
        whole = whole.reindex(order)
        valid = whole["init_time"].values[:, None] + np.arange(1, asked.leads + 1) * step
        joined[name] = whole.assign_coords(valid_time=(("init_time", "lead_time"), valid))
    return joined


def _made_by(part: _Part, frame: Frame, along: str) -> dict[str, Any]:
    """Coordinates that say which fit made a forecast, and what that has seen."""
    if along != "init_time":
        assert frame.stations is not None
        held = ", ".join(frame.stations[run] for run in part.runs)
        every: dict[str, Any] = {"fit": part.number, "trained_without": held}
        return {k: (along, [v] * len(part.runs)) for k, v in every.items()}
    known = frame.times[part.seen.any(axis=0)]
    every = {"fit": part.number, "trained_from": known[0], "trained_until": known[-1]}
    return {k: (along, np.array([v] * len(part.rows))) for k, v in every.items()}


def _of_runs(frame: Frame, runs: np.ndarray) -> Frame:
    """A frame of some runs."""
    if frame.stations is None:
        return frame
    return replace(
        frame,
        y=frame.y[runs],
        sd=frame.sd[runs],
        u=frame.u[runs],
        scaling=frame.scaling.select([int(run) for run in runs]),
        stations=tuple(frame.stations[run] for run in runs),
    )


def _filled(numbers: np.ndarray, count: int) -> np.ndarray:
    """So many numbers: the last again where there are fewer."""
    return np.concatenate([numbers, np.full(count - len(numbers), numbers[-1])])


def _seen_by_any(refits: Refits, parts: list[_Part]) -> xr.Dataset:
    """The times of the record that any fit has seen."""
    seen = np.any([part.seen.any(axis=0) for part in parts], axis=0)
    return refits.ds.sel(time=slice(None, refits.frame.times[np.flatnonzero(seen)[-1]]))


def _require_kind(by: str, window: object, refit: bool | int) -> None:
    if by not in ("time", "run"):
        raise ValueError(f"by={by!r} is unknown: choose 'time' or 'run'.")
    if by == "run" and (window is not None or refit is not False):
        raise ValueError(
            f"window={window!r} and refit={refit!r} are of fits that roll on through time, and by='run' makes one "
            "for each fold: leave them out."
        )
    if not isinstance(refit, bool) and (not isinstance(refit, int) or refit < 1):
        raise ValueError(
            f"refit={refit!r} is no number of origins: give False for one fit, n for one at every n-th origin, or "
            "True."
        )
