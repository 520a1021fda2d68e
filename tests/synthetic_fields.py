"""Forecasts and assimilations of fields on grids, made of known waves and known noise."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

SECOND = np.timedelta64(10**9, "ns")
START = np.datetime64("2000-01-01", "ns")
ATTRS = {"units": "degC", "long_name": "sea surface temperature"}
LATITUDE = {"units": "degrees_north", "long_name": "latitude"}
LONGITUDE = {"units": "degrees_east", "long_name": "longitude"}
LAND = (slice(1, 3), slice(2, 5))


def make_fields(
    times: int = 40, *, axes: int = 2, runs: int | None = None, land: bool = False
) -> xr.Dataset:
    """Waves that travel along the last axis: 12 places along `x`, or 6 latitudes and 12 longitudes."""
    coords = {"time": START + np.arange(times) * SECOND}
    if axes == 1:
        coords |= {"x": ("x", 0.5 * np.arange(12), {"units": "m"})}
    else:
        coords |= {"lat": ("lat", np.linspace(75.0, -75.0, 6), LATITUDE)}
        coords |= {"lon": ("lon", 30.0 * np.arange(12), LONGITUDE)}
    dims, shape = tuple(coords)[1:], (6, 12)[2 - axes :]
    phase = 2 * np.pi * np.arange(12) / 12 - 0.3 * np.arange(times).reshape(-1, *(1,) * axes)
    shifts = np.zeros(1) if runs is None else np.linspace(0, np.pi, runs)
    values = np.stack(
        [10 + 2 * np.cos(phase + s) + np.cos(3 * phase) + np.zeros(shape) for s in shifts]
    )
    if land:
        values[(..., *LAND)] = np.nan
    lead = ("time",) if runs is None else ("run", "time")
    values = values[0] if runs is None else values
    coords |= {} if runs is None else {"run": np.arange(runs)}
    return xr.Dataset({"sst": ((*lead, *dims), values, ATTRS)}, coords)


def make_field_forecast(
    truth: xr.Dataset,
    *,
    members: int = 20,
    leads: int = 5,
    every: int = 4,
    error: float = 0.3,
    seed: int = 0,
) -> xr.DataTree:
    """The truth with an error that grows with the root of the lead, of which members are other draws."""
    rng = np.random.default_rng(seed)
    field = truth["sst"]
    others = [str(d) for d in field.dims if d != "time"]
    runs, axes = (["run"] if "run" in others else []), [d for d in others if d != "run"]
    origins = np.arange(0, truth.sizes["time"] - leads, every)
    rows = xr.DataArray(origins[:, None] + 1 + np.arange(leads), dims=("init_time", "lead_time"))
    told = field.isel(time=rows).drop_vars("time")
    told = told.transpose(*runs, "init_time", "lead_time", *axes)
    grow = error * np.sqrt(1.0 + np.arange(leads)).reshape(leads, *(1,) * len(axes))
    shared = grow * rng.normal(size=told.shape)
    values = told.values + shared + grow * rng.normal(size=(1, members, *told.shape))
    lead = (1 + np.arange(leads)) * SECOND
    init = truth["time"].values[origins]
    coords = {d: truth[d] for d in others} | {
        "chain": [0],
        "draw": np.arange(members),
        "init_time": init,
        "lead_time": lead,
        "valid_time": (("init_time", "lead_time"), init[:, None] + lead),
    }
    dims = ("chain", "draw", *told.dims)
    held = xr.Dataset({"sst": (dims, values.astype("float32"), dict(field.attrs))}, coords)
    return xr.DataTree.from_dict({"predictions": held})


def make_field_assimilation(
    truth: xr.Dataset,
    *,
    members: int = 20,
    sd: float = 0.3,
    error: float = 0.2,
    between: float = 0.0,
    seed: int = 0,
) -> xr.DataTree:
    """Background and analysis about the truth, read by five sensors, one of which is silent at the end.

    Sensors stand this share of a step beyond a place of the last axis.
    """
    rng = np.random.default_rng(seed)
    field = truth["sst"]
    axes, values = [str(d) for d in field.dims if d != "time"], field.values
    groups = {}
    for stage, width in (("background", 1.5 * sd), ("analysis", sd)):
        paths = values + width * (
            rng.normal(size=values.shape) + rng.normal(size=(1, members, *values.shape))
        )
        said = {"units": "degC", "long_name": f"{stage} mean of sea surface temperature"}
        held = {
            "sst": (("chain", "draw", *field.dims), paths, ATTRS),
            "sst_mean": (field.dims, paths.mean((0, 1)), said),
            "sst_sd": (field.dims, paths.std((0, 1), ddof=1), {"units": "degC"}),
        }
        groups[stage] = xr.Dataset(held, field.coords | {"chain": [0], "draw": np.arange(members)})
    spots = {"lat": [0, 0, 3, 5, 5], "lon": [0, 2, 3, 7, 11], "x": [0, 2, 3, 7, 11]}
    at = tuple(np.array(spots[d]) for d in axes)
    last = np.array(spots[axes[-1]])
    near = (*at[:-1], (last + 1) % 12)

    def read(x: np.ndarray) -> np.ndarray:
        return (1 - between) * x[(..., *at)] + between * x[(..., *near)]

    y = read(values) + error * rng.normal(size=(truth.sizes["time"], 5))
    y[-1, 4] = np.nan
    background = groups["background"]
    spread = read(background["sst"].values[0]).std(axis=0, ddof=1)
    residual = y - read(background["sst_mean"].values)
    step = [float(truth[d][1] - truth[d][0]) for d in axes]
    where = [truth[d].values[i].astype(float) for d, i in zip(axes, at, strict=True)]
    where[-1] = where[-1] + between * step[-1]
    coords = {"time": truth["time"]}
    coords |= {f"position_{i}": ("sensor", p) for i, p in enumerate(where)}
    cells = ("time", "sensor")
    parts = {
        "sst": (cells, residual, ATTRS),
        "sst_after": (cells, y - read(groups["analysis"]["sst_mean"].values), ATTRS),
        "sst_sd": (cells, np.sqrt(spread**2 + error**2), ATTRS),
    }
    groups["innovation"] = xr.Dataset(parts, coords)
    groups["observed_data"] = xr.Dataset({"sst": (cells, y, ATTRS)}, coords)
    settings = {"type": "SemilinearOperator", "periodic": [False, True][2 - len(axes) :]}
    root = {"filter": json.dumps({"type": "ETKF", "size": members})}
    root |= {"assimilated": json.dumps(settings)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=root), **groups})
