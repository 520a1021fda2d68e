"""`forecast`: paths from one or many origins, in the file's own units, with the variance split in two."""

import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.beginning import Begun, begin_of
from assim.continuing import continued
from assim.data.clockwork import JITTER, stamp, step_words, uneven
from assim.data.framing import Frame, frame_of
from assim.data.stepping import Steps
from assim.data.storing import open_store, write_store
from assim.diagnosing import USUAL, with_signs
from assim.forecasting_fields import field_parts, planned
from assim.forecasting_populations import Origins, population_forecast
from assim.inference.progress import Progress
from assim.model import AbstractGridded, AbstractModel, AbstractPopulation
from assim.origins import (
    duration,
    in_steps,
    in_words,
    last_row,
    origin_rows,
    require_even,
    require_leads,
    silent_sensors,
    with_plan,
)
from assim.rollout import Rolled, roll
from assim.series import Layout, Series
from assim.tree import Fitted, model_attrs, read_tree, require_key, restore, tree_of
from assim.types import Array, Key
from assim.uncertainty import COMPONENTS, components, squared

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
    paths: int = 1,
    plan: xr.Dataset | None = None,
    to: str | Path | None = None,
    progress: bool = False,
) -> xr.DataTree:
    r"""The posterior predictive of what comes, $p(y_{t+1:t+H} \mid y_{\le t}, u, D)$, one parameter draw per path.

    Args:
        post: the posterior tree, or its path.
        ds: the record up to (and past) the origins, file units; it may hold the plan of the controls alone.
            None to go on from the end of the training record. For a model of fields: complete fields, or the
            tree that `assimilate` gave, whose members are rolled out. For a model of populations: snapshots. A
            sensor of the fit that is not in it, or silent before every origin, is told of and counts as missing.
        horizon: how far ahead, as a duration ("24h") or a number of steps; of fields on the first (or another one
            day) of every month in calendar months, which `valid_time` tells exactly. One that is longer than the
            record of the fit is told of.
        key: all randomness; a path depends on it and on its origin alone, not on which others are asked for.
        origins: "last"; a duration between origins ("6h"); a list of times; None for one every horizon, counted
            back from the last time. For a model with controls the last time is that of the last reading, since
            the plan of the controls goes on beyond it; of several runs those remain whose plan every run knows, and
            a warning tells of the others. For a model of populations: "last", as with None, "first",
            or stamps of snapshots.
        model: the model, where it is of a class of your own; None to make it from the settings in the tree.
        num_draws: posterior draws used, evenly spaced; None for all.
        paths: of each draw, one behind the other along `draw`: an ensemble of few draws tells quantiles by many.
        plan: of what drives a model of fields, each on `time`, file units; None where `ds` holds it.
        to: Zarr store to write to, chunk by chunk, when the result outgrows memory.
        progress: whether to show a progress bar.

    Returns:
        A tree with `predictions` (chain, draw[, station], init_time, lead_time[, place]), `uncertainty` (variance,
        aleatoric and epistemic) and, where the record holds the truth, `log_score`; of a tree that
        `assim.accustom` gave also `health`, what `assim.diagnose` says of each sensor at the origins, and a warning
        for each that is suspected. Of a model of populations
        `predictions` alone (chain, draw, init_time, lead_time, sample), of unseen coordinates too;
        where samples have weights, or particles are lost or born, there is also `weight`, without unit: how many
        particles a sample stands for then.

    Raises:
        ValueError: a horizon, or leads that the model reads, beyond the controls given (the missing span and its
            runs are named), a horizon beyond the model's own, an origin off the clock of the record, a tree of
            another model.
        TypeError: a seed in place of a key.
    """
    require_key(key)
    if (num_draws is not None and num_draws < 1) or paths < 1:
        raise ValueError(
            f"num_draws={num_draws} and paths={paths} leave no path: give 1 or more of both, or num_draws=None for "
            "all."
        )
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    if paths > 1 and isinstance(fitted.model, AbstractGridded | AbstractPopulation):
        raise ValueError(
            f"paths={paths} is of models of channels, and a {type(fitted.model).__name__} makes one for each draw: "
            "ask for more of these with num_draws=."
        )
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
    leads = in_steps(horizon, steps, "horizon")
    require_leads(needs, leads, steps)
    require_even(frame, needs)
    _say_far(tree.attrs, leads, steps)
    if ds is None and origins is None:
        origins = "last"
    first = None if ds is None else ds["time"].values[0]
    rows = origin_rows(frame.times, steps, last_row(frame), origins, leads, first)
    ahead = max(leads, needs.horizon)
    chosen_here = origins is None or isinstance(origins, str)
    rows = with_plan(frame, rows, ahead, some=chosen_here, shorter=leads > needs.horizon)
    if USUAL not in tree.children:
        _say_silent(fitted.model, frame, rows, ds)
    attrs = model_attrs(fitted.model, fitted.layout, fitted.frame, key) | {
        "method": tree.attrs.get("method", ""),
        "horizon": duration(leads, steps),
        "num_draws": json.dumps(num_draws),
        **({"paths": str(paths)} if paths > 1 else {}),
    }
    attrs |= {str(k): v for k, v in tree.attrs.items() if str(k).startswith("trained_")}
    frame = frame.extended(ahead)  # the calendar goes on beyond the record
    parts = window_parts(
        fitted, frame, rows, leads, num_draws, paths=paths, key=key, progress=progress
    )
    if USUAL in tree.children:
        parts = with_signs(parts, fitted, tree, frame, rows)
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
    leads = in_steps(horizon, steps, "horizon")
    last = int(np.flatnonzero(begun.whole)[-1]) if begun.whole.any() else 0
    rows = origin_rows(begun.times, steps, last, origins, leads, None)
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
        "horizon": duration(leads, steps),
        "num_draws": json.dumps(num_draws),
    }
    attrs |= {str(k): v for k, v in tree.attrs.items() if str(k).startswith("trained_")}
    parts = field_parts(fitted, begun, rows, leads, steps, num_draws, key=key, progress=progress)
    return _whole(parts, attrs) if to is None else _streamed(parts, attrs, Path(to))


def _say_far(attrs: dict[Any, Any], leads: int, steps: Steps) -> None:
    """A warning of leads beyond the length of what was learned from."""
    if not {"trained_from", "trained_until"} <= set(attrs):
        return
    ends = (np.datetime64(attrs[f"trained_{k}"], "ns") for k in ("from", "until"))
    begin, end = (end.astype("datetime64[us]") for end in ends)  # of centuries ns are too many
    longest = (end - begin) / np.timedelta64(1, "s")
    if leads * steps.seconds > longest:
        warnings.warn(
            f"A horizon of {duration(leads, steps)} is longer than the record of the fit, which lasts "
            f"{step_words(longest)}: nothing in that tells so far ahead; ask for less, or fit to a longer one.",
            UserWarning,
            stacklevel=3,
        )


def _say_silent(
    model: AbstractModel, frame: Frame, rows: np.ndarray, ds: xr.Dataset | None
) -> None:
    """A warning of sensors of the record that no origin hears; what the record lacks altogether was told before."""
    context, said = model.needs().context, list[str]()
    silent = silent_sensors(frame, rows, context) if context > 1 else []
    here = [n for n in silent if ds is None or n.partition("@")[0] in ds.data_vars]
    if here:
        span = "" if len(rows) == 1 else f" to {stamp(frame.times[rows[-1]])}"
        others = "the others" if len(here) < len(frame.channels) else "none at all"
        said.append(
            f"There is no reading of {in_words(here)} in the {context} times up to any of the {len(rows)} "
            f"origin(s), {stamp(frame.times[rows[0]])}{span}: the forecast goes by {others}."
        )
    if silent and getattr(model, "mask_rate", None) == 0:
        said.append(
            f"With mask_rate=0 the fit has learned to do without {in_words(silent)} only as far as its record had "
            "gaps there: expect little of the forecast, or fit with mask_rate=0.2."
        )
    if said:
        warnings.warn(" ".join(said), UserWarning, stacklevel=3)


def window_parts(
    fitted: Fitted,
    frame: Frame,
    rows: np.ndarray,
    leads: int,
    num_draws: int | None,
    *,
    paths: int = 1,
    key: Key,
    progress: bool,
) -> Iterator[dict[str, xr.Dataset]]:
    """The forecast, a few origins at a time, each part labelled; no scores where no truth is known at all."""
    layout, series = Layout.of(frame), Series.of(frame)
    sites = {k: jnp.repeat(v, paths, axis=1) for k, v in fitted.thinned(num_draws).items()}
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
            told_by = (fitted, layout, series, jnp.asarray(pairs), leads, flat)
            rolled = roll(*told_by, key=key, labels=labels, each=paths)
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
