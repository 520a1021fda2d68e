"""`forecast`: paths from one or many origins, in the file's own units, with the variance split in two."""

import json
import math
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any
from zlib import crc32

import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from assim.assimilation.beginning import Begun, begin_of
from assim.continuing import continued
from assim.data.clockwork import JITTER, stamp, uneven
from assim.data.framing import Frame, frame_of
from assim.data.stepping import Steps
from assim.data.storing import open_store, write_store
from assim.forecasting_fields import field_parts, planned
from assim.forecasting_populations import Origins, population_forecast
from assim.inference.progress import Progress
from assim.model import AbstractGridded, AbstractModel, AbstractPopulation
from assim.rollout import Rolled, roll
from assim.series import Layout, Series
from assim.tree import Fitted, model_attrs, read_tree, require_key, restore, tree_of
from assim.types import Array, Key
from assim.uncertainty import COMPONENTS, components, squared
from assim.verifying import lead_words

CHUNK_VALUES = 8_000_000
"""Forecast values held at once: draws x origins x leads x channels."""

ORIGINS = 16
"""Origins rolled out at once, or the next power of two where there are fewer: so few shapes are ever compiled."""


def forecast(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset | xr.DataTree | None = None,
    horizon: str | int = "1h",
    *,
    key: Key,
    origins: Origins = None,
    model: AbstractModel | None = None,
    num_draws: int | None = 500,
    plan: xr.Dataset | None = None,
    to: str | Path | None = None,
    progress: bool = False,
) -> xr.DataTree:
    r"""The posterior predictive of what comes, $p(y_{t+1:t+H} \mid y_{\le t}, u, D)$, one parameter draw per path.

    Args:
        post: the posterior tree, or its path.
        ds: the record up to (and past) the origins, file units; it may hold the plan of the controls alone.
            None to go on from the end of the training record. For a model of fields: complete fields, or the
            tree that `assimilate` gave, whose members are rolled out. For a model of populations: snapshots.
        horizon: how far ahead, as a duration ("24h") or a number of steps; of fields on the first (or another one
            day) of every month in calendar months, which `valid_time` tells exactly.
        key: all randomness; a path depends on it and on its origin alone, not on which others are asked for.
        origins: "last"; a duration between origins ("6h"); a list of times; None for one every horizon, counted
            back from the last time. For a model with controls the last time is that of the last reading, since
            the plan of the controls goes on beyond it. For a model of populations: "last", as with None, "first",
            or stamps of snapshots.
        model: the model, where it is of a class of your own; None to make it from the settings in the tree.
        num_draws: posterior draws used, evenly spaced; None for all.
        plan: of what drives a model of fields, each on `time`, file units; None where `ds` holds it.
        to: Zarr store to write to, chunk by chunk, when the result outgrows memory.
        progress: whether to show a progress bar.

    Returns:
        A tree with `predictions` (chain, draw[, station], init_time, lead_time[, place]), `uncertainty` (variance,
        aleatoric and epistemic) and, where the record holds the truth, `log_score`. Of a model of populations
        `predictions` alone (chain, draw, init_time, lead_time, sample), of unseen coordinates too;
        where particles are lost or born there is also `weight`, without unit: how many particles one of the origin
        stands for.

    Raises:
        ValueError: a horizon beyond the controls given (the missing span is named) or beyond the model's own,
            an origin off the clock of the record, a tree of another model.
        TypeError: a seed in place of a key.
    """
    require_key(key)
    if num_draws is not None and num_draws < 1:
        raise ValueError(f"num_draws={num_draws} leaves no path: give 1 or more, or None for all.")
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    if isinstance(fitted.model, AbstractGridded):
        begun = begin_of(fitted, ds, plan)
        return _of_fields(fitted, tree, begun, horizon, origins, num_draws, to, key, progress)
    if isinstance(fitted.model, AbstractPopulation):
        return population_forecast(fitted, tree, ds, horizon, origins, num_draws, key=key)
    if plan is not None:
        raise ValueError(
            f"plan= is of models of fields: a {type(fitted.model).__name__} reads it in the record, so add its "
            "rows there."
        )
    if isinstance(ds, xr.DataTree):
        raise ValueError(
            f"The forecast of a {type(fitted.model).__name__} starts from a record, and a tree is given: give the "
            "dataset of the readings."
        )
    needs = fitted.model.needs()
    selection = needs.selection(tuple(fitted.frame["calendar"]))
    frame = frame_of(continued(fitted, ds), selection, like=fitted.frame)
    steps = Steps(frame.step)
    leads = _steps(horizon, steps, "horizon")
    if needs.horizon > 1 and leads > needs.horizon:
        raise ValueError(
            f"The model was fitted for {needs.horizon} leads and {leads} are asked for: ask for at most "
            f"{_duration(needs.horizon, steps)}, or fit it again for a horizon of {leads} steps."
        )
    if frame.inputs and needs.own_times and uneven(frame.times, frame.step):
        raise ValueError(
            f"The record stands at times of its own, and {', '.join(frame.inputs)} are asked for at equal steps: "
            "put it on one clock with assim.align, or fit without inputs."
        )
    if ds is None and origins is None:
        origins = "last"
    first = None if ds is None else ds["time"].values[0]
    rows = _origin_rows(frame.times, steps, _last_row(frame), origins, leads, first)
    known = _controls_known(frame, rows, leads)
    chosen_here = origins is None or isinstance(origins, str)
    if not (known.all() if not chosen_here else known.any()):
        raise ValueError(_missing_plan(frame, rows[~known][-1 if chosen_here else 0], leads))
    rows = rows[known]
    attrs = model_attrs(fitted.model, fitted.layout, fitted.frame, key) | {
        "method": tree.attrs.get("method", ""),
        "horizon": _duration(leads, steps),
        "num_draws": json.dumps(num_draws),
    }
    attrs |= {str(k): v for k, v in tree.attrs.items() if str(k).startswith("trained_")}
    frame = frame.extended(max(leads, needs.horizon))  # the calendar goes on beyond the record
    parts = _parts(fitted, frame, rows, leads, num_draws, key=key, progress=progress)
    return _whole(parts, attrs) if to is None else _streamed(parts, attrs, Path(to))


def _of_fields(
    fitted: Fitted,
    tree: xr.DataTree,
    begun: Begun,
    horizon: str | int,
    origins: Origins,
    num_draws: int | None,
    to: str | Path | None,
    key: Key,
    progress: bool,
) -> xr.DataTree:
    """The forecast of a model of fields, from fields or from the members of an analysis."""
    trained = [tree.attrs[k] for k in ("trained_from", "trained_until") if k in tree.attrs]
    stamps = np.concatenate([np.array(trained, "datetime64[ns]"), begun.times])
    steps = Steps.of(stamps, fitted.layout.step)
    leads = _steps(horizon, steps, "horizon")
    last = int(np.flatnonzero(begun.whole)[-1]) if begun.whole.any() else 0
    rows = _origin_rows(begun.times, steps, last, origins, leads, None)
    whole = begun.whole[rows]
    some = origins is None or isinstance(origins, str)
    if not whole.any() or not (some or whole.all()):
        raise ValueError(
            f"The field at {stamp(begun.times[rows[~whole][0]])} is not complete: choose other origins, or fill "
            "it in."
        )
    rows = rows[whole]
    if rows.size == 0:
        raise ValueError(
            "No field is complete at the origins asked for: choose others, or fill them in."
        )
    rows = planned(fitted, begun, rows, leads, steps, some=some)
    attrs = model_attrs(fitted.model, fitted.layout, fitted.frame, key) | {
        "method": tree.attrs.get("method", ""),
        "horizon": _duration(leads, steps),
        "num_draws": json.dumps(num_draws),
    }
    attrs |= {str(k): v for k, v in tree.attrs.items() if str(k).startswith("trained_")}
    parts = field_parts(fitted, begun, rows, leads, steps, num_draws, key=key, progress=progress)
    return _whole(parts, attrs) if to is None else _streamed(parts, attrs, Path(to))


def _steps(asked: str | int, clock: Steps, name: str) -> int:
    """A duration or a number of steps, in steps."""
    if isinstance(asked, Integral):
        steps = int(asked)
    else:
        try:
            steps = clock.within(pd.Timedelta(asked).total_seconds())
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{name}={asked!r} is not a duration: write it as '6h' or '30min'."
            ) from error
    if steps < 1:
        raise ValueError(
            f"{name}={asked!r} is shorter than one step of {_duration(1, clock)}: ask for more."
        )
    return steps


def _duration(leads: int, steps: Steps) -> str:
    if steps.months:
        return "1 month" if leads * steps.months == 1 else f"{leads * steps.months} months"
    return lead_words(np.timedelta64(round(leads * steps.seconds * 1e9), "ns"))


def _origin_rows(
    times: np.ndarray,
    steps: Steps,
    last: int,
    origins: Origins,
    leads: int,
    first: np.datetime64 | None,
) -> np.ndarray:
    """Rows of the origins on a clock of that step, oldest first; `last` is the last that may be one."""
    begin = 0 if first is None else max(int(np.searchsorted(times, first)) - 1, 0)
    if origins is None or isinstance(origins, str):
        if origins == "last":
            return np.array([last])
        every = leads if origins is None else _steps(origins, steps, "origins")
        return np.arange(last, min(begin, last) - 1, -every)[::-1].copy()
    try:
        asked = np.unique(np.atleast_1d(np.asarray(origins, "datetime64[ns]")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"origins={origins!r} are no times: give 'last', a duration, or times as '2020-06-01T12:00'."
        ) from error
    if asked.size == 0:
        raise ValueError("origins=[] asks for no forecast: name a time, or 'last'.")
    rows = np.searchsorted(times, asked)
    final = len(times) - 1
    off = (rows > final) | (times[np.minimum(rows, final)] != asked)
    if off.any():
        raise ValueError(
            f"The origin {stamp(asked[off][0])} is not on the clock of the record ({stamp(times[0])} to "
            f"{stamp(times[-1])}, every {_duration(1, steps)}): choose one of its times."
        )
    return rows


def _last_row(frame: Frame) -> int:
    """The last row of the record; where there are controls, the last with a reading."""
    read = np.flatnonzero(np.isfinite(frame.y).any(axis=(0, 2)))
    if frame.num_controls and read.size:
        return int(read[-1])
    return len(frame.times) - 1


def _plan(frame: Frame, row: int, leads: int) -> np.ndarray:
    """Whether each control is known at each lead, shape (lead, control)."""
    known = np.zeros((leads, frame.num_controls), bool)
    ahead = np.isfinite(frame.u[:, row + 1 : row + 1 + leads, : frame.num_controls]).all(axis=0)
    known[: len(ahead)] = ahead
    return known


def _controls_known(frame: Frame, rows: np.ndarray, leads: int) -> np.ndarray:
    """Which origins know their controls over the whole horizon."""
    return np.array([_plan(frame, row, leads).all() for row in rows], bool)


def _missing_plan(frame: Frame, row: int, leads: int) -> str:
    """The sentence on the controls that are not known over the horizon."""
    missing = ~_plan(frame, row, leads)
    names = [n for n, lost in zip(frame.inputs, missing.any(axis=0), strict=False) if lost]
    lost = np.flatnonzero(missing.any(axis=1)) + 1
    step = np.timedelta64(round(frame.step * 1e9), "ns")
    start, end = frame.times[row] + lost[0] * step, frame.times[row] + lost[-1] * step
    return (
        f"The forecast from {stamp(frame.times[row])} needs the controls {', '.join(names)} from {stamp(start)} "
        f"to {stamp(end)}, which the record does not give: add their plan, or ask for a shorter horizon."
    )


def _parts(
    fitted: Fitted,
    frame: Frame,
    rows: np.ndarray,
    leads: int,
    num_draws: int | None,
    *,
    key: Key,
    progress: bool,
) -> Iterator[dict[str, xr.Dataset]]:
    """The forecast, a few origins at a time, each part labelled; no scores where no truth is known at all."""
    layout, series = Layout.of(frame), Series.of(frame)
    sites = fitted.thinned(num_draws)
    chains, draws = next(iter(sites.values())).shape[:2]
    flat: dict[str, Array] = {k: v.reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    runs = frame.y.shape[0]
    cost = chains * draws * leads * len(frame.channels) * runs
    most = min(ORIGINS, 2 ** math.ceil(math.log2(len(rows))))
    size = int(np.clip(CHUNK_VALUES // cost, 1, most))
    told = np.isfinite(frame.y[..., np.array(frame.is_target)]).any(axis=(0, 2))
    named = _labels(frame)
    scored = any(told[row + 1 : row + 1 + leads].any() for row in rows)
    with Progress(progress, "forecast", len(rows)) as bar:
        for start in range(0, len(rows), size):
            here = rows[start : start + size]
            padded = np.concatenate([here, np.full(size - len(here), here[-1])])
            pairs = np.array([(run, row) for run in range(runs) for row in padded], np.int32)
            labels = jnp.asarray(named[pairs[:, 0], pairs[:, 1]])
            rolled = roll(
                fitted, layout, series, jnp.asarray(pairs), leads, flat, key=key, labels=labels
            )
            shape = (runs, size)
            part = _labelled(rolled, frame, here, leads, shape, (chains, draws))
            yield {k: v for k, v in part.items() if scored or k != "log_score"}
            bar.advance(len(here), {})


def _labels(frame: Frame) -> np.ndarray:
    """Two numbers that name each origin wherever its record starts, shape (run, time, 2): place and time."""
    places = np.array([crc32(s.encode()) for s in frame.stations or ("",)], np.uint32)
    moments = frame.times.astype("datetime64[us]").astype(np.int64).astype(np.uint32)
    shape = (places.size, moments.size)
    return np.stack(
        [np.broadcast_to(places[:, None], shape), np.broadcast_to(moments, shape)], axis=-1
    )


def _labelled(
    rolled: Rolled,
    frame: Frame,
    rows: np.ndarray,
    leads: int,
    shape: tuple[int, int],
    drawn: tuple[int, int],
) -> dict[str, xr.Dataset]:
    step = np.timedelta64(int(round(frame.step * 1e9)), "ns")
    init, lead = frame.times[rows], np.arange(1, leads + 1) * step
    station = () if frame.stations is None else (frame.instance,)
    coords: dict[str, Any] = {"init_time": init, "lead_time": lead}
    coords["valid_time"] = (("init_time", "lead_time"), init[:, None] + lead)
    if frame.stations is not None:
        coords[frame.instance] = np.array(frame.stations)
    values = np.asarray(rolled.paths).reshape(*shape, *drawn, leads, -1)[:, : len(rows)]
    nested = np.asarray(rolled.nested).reshape(*shape, *rolled.nested.shape[1:])[:, : len(rows)]
    scores = np.asarray(rolled.log_score).reshape(*shape, leads, -1)[:, : len(rows)]
    jacobian = frame.scaling.log_jacobian(frame.y)
    at = rows[:, None] + np.arange(1, leads + 1)
    inside = at < len(frame.times)
    at = np.minimum(at, len(frame.times) - 1)
    if uneven(frame.times, frame.step):  # a row that stands between leads is none of them
        inside &= np.abs(frame.times[at] - (init[:, None] + lead)) <= JITTER * step
    groups: dict[str, dict] = {"predictions": {}, "uncertainty": {}, "log_score": {}}
    base = (*station, "init_time", "lead_time")
    for c, name in enumerate(frame.channels):
        if not frame.is_target[c]:
            continue
        attrs = frame.attrs[name]
        y = np.stack([frame.scaling.inverse(v[..., c], r, c) for r, v in enumerate(values)])
        split = np.stack([components(z[..., c], frame.scaling, r, c) for r, z in enumerate(nested)])
        told = inside & np.isfinite(frame.y[:, at, c])
        score = np.where(told, scores[..., c] + jacobian[:, at, c], np.nan)
        y, split = np.moveaxis(y, (2, 3), (0, 1)), np.moveaxis(split, 1, 0)
        if not station:
            y, split, score = y[:, :, 0], split[:, 0], score[0]
        groups["predictions"][name] = (("chain", "draw", *base), y, attrs)
        groups["uncertainty"][name] = (("component", *base), split, squared(attrs))
        groups["log_score"][name] = (base, score)
    chains, draws = drawn
    own: dict[str, dict] = {
        "predictions": {"chain": np.arange(chains), "draw": np.arange(draws)},
        "uncertainty": {"component": list(COMPONENTS)},
        "log_score": {},
    }
    return {k: xr.Dataset(v, coords=coords | own[k]) for k, v in groups.items()}


def _whole(parts: Iterator[dict[str, xr.Dataset]], attrs: dict) -> xr.DataTree:
    """The parts one behind the other along the origins."""
    gathered = list(parts)
    groups = {
        name: xr.concat(
            [p[name] for p in gathered],
            "init_time",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="outer",
        )
        for name in gathered[0]
    }
    return tree_of(groups, attrs)


def _streamed(parts: Iterator[dict[str, xr.Dataset]], attrs: dict, path: Path) -> xr.DataTree:
    """Write the parts one behind the other along the origins; the store appears when it is whole."""
    write_store(tree_of({}, attrs), parts, path, along={"": "init_time"})
    return open_store(path, lazy=True)
