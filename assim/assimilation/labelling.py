"""What a filter said, with its labels and in the units of the file; whole, or stretch by stretch into a store."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from assim.assimilation.scene import Scene, Table, Units
from assim.assimilation.telling import Kept, Sample
from assim.data.storing import open_store, write_store
from assim.tree import tree_of

DRAWN = ("chain", "draw")
CELLS = "obs_id"
NORMALISED = {
    "long_name": "mean square of innovations in units of their standard deviation",
    "units": "1",
}
AFTER = {
    "long_name": "mean square of readings minus analysis in units of the innovation's standard deviation",
    "units": "1",
}

type Part = dict[str, xr.Dataset]


def labelled(scene: Scene, kept: Kept, rows: slice, members: int | None) -> Part:
    """The groups of one stretch of one record.

    Args:
        scene: what was run.
        kept: what was told of the cycles, stacked on (time,), or on (draw, time) where each draw ran a filter.
        rows: which cycles of the scene they are.
        members: how many members are kept, None for all, 0 for moments alone.
    """
    times, y = scene.times[rows], scene.y[rows]
    z, units, several = np.asarray(scene.cycles.y[rows]), scene.units, scene.several is not None
    coords = _coords(scene, rows)
    variables: dict[str, Any] = {}
    parts = _innovation(units, kept, z, y, several=several)
    for (suffix, says), values in parts.items():
        variables |= scene.channels.labelled(values, ("time",), suffix, says)
    residual, sd, _, after, _ = parts.values()
    variables["normalised"] = ("time", _normalised(residual, sd), NORMALISED)
    variables["normalised_after"] = ("time", _normalised(after, sd), AFTER)
    part = {
        "background": _sample(scene, kept.background, times, members, "background"),
        "analysis": _sample(scene, kept.analysis, times, members, "analysis"),
        "innovation": xr.Dataset(variables, coords),
        "observed_data": xr.Dataset(scene.channels.labelled(y, ("time",)), coords),
    }
    if several:
        score = np.asarray(kept.log_likelihood) + units.log_jacobian(y)
        part["log_likelihood"] = _on_cells(score, scene, times, np.isfinite(y))
    return part


def labelled_smooth(scene: Scene, sample: Sample, rows: slice, members: int | None) -> Part:
    """The groups of one stretch of one record that was smoothed."""
    times = scene.times[rows]
    observed = scene.channels.labelled(scene.y[rows], ("time",))
    return {
        "smoothed": _sample(scene, sample, times, members, "smoothed"),
        "observed_data": xr.Dataset(observed, _coords(scene, rows)),
    }


def _coords(scene: Scene, rows: slice) -> dict[str, Any]:
    """Coordinates of the readings."""
    return {"time": scene.times[rows]} | {
        name: (dims, values[rows] if dims[0] == "time" else values)
        for name, (dims, values) in scene.channels.coords.items()
    }


def _innovation(
    units: Units, kept: Kept, z: np.ndarray, y: np.ndarray, *, several: bool
) -> dict[tuple[str, str], np.ndarray]:
    """By suffix and long name; of several filters, those of their mixture. NaN where missing."""
    told = kept.innovation
    inner, after = np.asarray(told.residual), np.asarray(kept.after)
    residual, sd = units.residual(z, inner), units.spread(z - inner, np.asarray(told.sd))
    error = units.spread(z, np.asarray(kept.error))
    score, after = np.asarray(told.log_score) + units.log_jacobian(y), units.residual(z, after)
    if several:
        sd = np.sqrt((sd**2).mean(axis=0) + residual.var(axis=0))
        residual, after, error = (v.mean(axis=0) for v in (residual, after, error))
        score = np.logaddexp.reduce(score, axis=0) - np.log(score.shape[0])
    parts = {
        ("", "innovation"): residual,
        ("_sd", "standard deviation of the innovation"): sd,
        ("_log_score", "log predictive density"): score,
        ("_after", "reading minus analysis"): after,
        ("_error", "standard deviation of the reading's own error"): error,
    }
    return {told: np.where(np.isfinite(y), values, np.nan) for told, values in parts.items()}


def _normalised(residual: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Mean over channels of (innovation / its standard deviation)^2, shape (time,); NaN where nothing was read.

    Each is taken by itself: not d' inv(S) d over the number of readings, with S their covariance.
    """
    read = ~np.isnan(residual)
    square = np.where(read, (residual / np.where(sd > 0, sd, 1.0)) ** 2, 0.0).sum(axis=1)
    count = read.sum(axis=1)
    return np.where(count > 0, square / np.maximum(count, 1), np.nan)


def _sample(
    scene: Scene, sample: Sample, times: np.ndarray, members: int | None, says: str
) -> xr.Dataset:
    """Members, their mean and standard deviation, and their weights where these differ."""
    z = np.asarray(sample.members)
    told = sample.log_weight
    weight = np.zeros(z.shape[:-1]) if told is None else np.asarray(told)
    several, variables = scene.several, {}
    lead = ("time",) if several is None else (*DRAWN, "time")
    if several is not None:
        kept = z[:, :, 0].reshape(*several, *z.shape[1:2], -1)
    else:
        count = z.shape[1] if members is None else min(members, z.shape[1])
        at = np.linspace(0, z.shape[1] - 1, count).round().astype(int)
        kept = np.moveaxis(z[:, at], 1, 0)[None]
        if count and told is not None:
            log_weight = weight[:, at].T[None]
            variables["log_weight"] = ((*DRAWN, "time"), log_weight, {"long_name": "log weight"})
    for table in scene.tables:
        mean, sd = _moments(table, z[..., table.at], weight, sample.moments)
        if several is not None:
            mean, sd = (v.reshape(*several, *v.shape[1:]) for v in (mean, sd))
        variables |= table.columns.labelled(mean, lead, "_mean", f"{says} mean")
        variables |= table.columns.labelled(sd, lead, "_sd", f"{says} standard deviation")
        if members != 0:
            drawn = table.units.values(kept[..., table.at])
            variables |= table.columns.labelled(drawn, (*DRAWN, "time"), "", says)
    coords: dict[str, Any] = {"time": times}
    for table in scene.tables:
        coords |= table.columns.coords
    if members != 0 or several is not None:
        coords |= {d: np.arange(n) for d, n in zip(DRAWN, kept.shape, strict=False)}
    return xr.Dataset(variables, coords)


def _moments(
    table: Table, z: np.ndarray, log_weight: np.ndarray, exact: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over members (..., member, column), file units; directions along the circle."""
    if exact is not None:
        return np.asarray(exact[0])[..., table.at], np.asarray(exact[1])[..., table.at]
    weight = np.exp(log_weight - np.logaddexp.reduce(log_weight, axis=-1, keepdims=True))[..., None]
    spare = 1.0 - (weight**2).sum(axis=-2)

    def over(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = (weight * values).sum(axis=-2)
        square = (weight * (values - mean[..., None, :]) ** 2).sum(axis=-2)
        return mean, np.sqrt(square / np.maximum(spare, 1e-12))

    mean, sd = over(table.units.values(z))
    inner, inner_sd = over(z)
    turning, scale = table.units.turning(z.shape[-1])
    return (
        np.where(turning, table.units.values(inner), mean),
        np.where(turning, inner_sd * scale, sd),
    )


def _on_cells(score: np.ndarray, scene: Scene, times: np.ndarray, read: np.ndarray) -> xr.Dataset:
    """Log densities (draw, time, channel) on (chain, draw, cell), missing cells left out."""
    assert scene.several is not None
    time, channel = np.nonzero(read)
    values = score[:, time, channel].reshape(*scene.several, -1)
    names = scene.channels.names
    alone = scene.channels.dim is None
    sensors = 1 if alone else read.shape[1] // len(names)
    coords = {
        "chain": np.arange(scene.several[0]),
        "draw": np.arange(scene.several[1]),
        "time": (CELLS, times[time]),
        "variable": (CELLS, np.array(names)[channel // sensors]),
        "sensor": (CELLS, channel if alone else channel % sensors),
    }
    if scene.station is not None:
        coords["station"] = (CELLS, np.full(len(time), scene.station))
    return xr.Dataset({"y": ((*DRAWN, CELLS), values)}, coords)


def across(parts: list[Part], scenes: list[Scene]) -> Part:
    """The groups of several stations along one dimension."""
    if scenes[0].station is None:
        return parts[0]
    names = [scene.station for scene in scenes]
    out = {}
    for group in parts[0]:
        dim = "station" if group != "log_likelihood" else CELLS
        held = [part[group] for part in parts]
        joined = xr.concat(held, dim, data_vars="all", coords="minimal", compat="override")
        out[group] = joined.assign_coords(station=names) if dim == "station" else joined
    return out


def whole(parts: Iterable[Part], attrs: dict[str, str]) -> xr.DataTree:
    """One tree of all stretches."""
    gathered = list(parts)
    groups = {}
    for name in dict.fromkeys(name for part in gathered for name in part):
        held = [part[name] for part in gathered if name in part]
        along = CELLS if name == "log_likelihood" else "time"
        one = len(held) == 1
        groups[name] = (
            held[0]
            if one
            else xr.concat(held, along, data_vars="minimal", coords="minimal", compat="override")
        )
    return tree_of(groups, attrs)


def streamed(parts: Iterable[Part], attrs: dict[str, str], path: Path) -> xr.DataTree:
    """The stretches one behind the other in a Zarr store, which appears when it is whole."""
    write_store(tree_of({}, attrs), parts, path, along={"": "time", "log_likelihood": CELLS})
    return open_store(path, lazy=True)
