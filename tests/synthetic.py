"""Forecast and posterior trees of the documented layout, made of known distributions."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import xarray as xr

HOUR = np.timedelta64(1, "h")
START = np.datetime64("2020-01-01T00", "ns")
ATTRS = {
    "temperature": {"units": "degC", "standard_name": "air_temperature", "support": "real"},
    "wind_speed": {"units": "m s-1", "standard_name": "wind_speed", "support": "lower"},
    "direction": {"units": "degree", "standard_name": "wind_from_direction", "support": "circle"},
}
ROOT = {
    "model": json.dumps({"name": "Autoregressive", "lags": 4}),
    "method": json.dumps({"name": "SVI", "num_steps": 100}),
    "likelihood": "exact",
    "key": "0",
    "versions": json.dumps({"jax": "0.12"}),
    "data_fingerprint": "abc123",
    "created": "2020-01-01T00:00:00Z",
    "assim_version": "0.1.0",
    "schema": "1",
}


def make_truth(seed: int = 0, hours: int = 400, stations: int | None = None) -> xr.Dataset:
    """Draw a record: standard normal temperature, censored wind, uniform direction."""
    rng = np.random.default_rng(seed)
    shape = (hours,) if stations is None else (stations, hours)
    dims = ("time",) if stations is None else ("station", "time")
    coords: dict[str, object] = {"time": START + np.arange(hours) * HOUR}
    if stations is not None:
        coords["station"] = [f"mast{i}" for i in range(stations)]
    values = {
        "temperature": rng.normal(size=shape),
        "wind_speed": np.maximum(rng.normal(size=shape), 0.0),
        "direction": rng.uniform(0, 360, size=shape),
    }
    return xr.Dataset({k: (dims, v, ATTRS[k]) for k, v in values.items()}, coords)


def make_forecast(
    truth: xr.Dataset,
    seed: int = 1,
    *,
    members: tuple[int, int] = (2, 20),
    leads: int = 4,
    every: int = 2,
    channels: tuple[str, ...] = ("temperature", "wind_speed", "direction"),
    shift: float = 0.0,
    scale: float = 1.0,
    log_score: bool = True,
) -> xr.DataTree:
    """Forecast every channel by its own climate, which `make_truth` draws from."""
    rng = np.random.default_rng(seed)
    init = truth["time"].values[: -leads - 1 : every]
    lead = (np.arange(leads) + 1) * HOUR.astype("timedelta64[ns]")
    place = ("station",) if "station" in truth.dims else ()
    cells = (*(truth.sizes[p] for p in place), init.size, leads)
    draw: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
        "temperature": lambda shape: shift + scale * rng.normal(size=shape),
        "wind_speed": lambda shape: np.maximum(shift + scale * rng.normal(size=shape), 0.0),
        "direction": lambda shape: rng.uniform(0, 360, size=shape),
    }
    dims = ("chain", "draw", *place, "init_time", "lead_time")
    coords = {
        "chain": np.arange(members[0]),
        "draw": np.arange(members[1]),
        "init_time": init,
        "lead_time": lead,
        "valid_time": (("init_time", "lead_time"), init[:, None] + lead),
    } | {p: truth[p].values for p in place}
    values = {c: (dims, draw[c]((*members, *cells)), ATTRS[c]) for c in channels}
    predictions = xr.Dataset(values, coords)
    parts = {
        c: (("component", *dims[2:]), np.stack([np.full(cells, 0.8), np.full(cells, 0.2)]))
        for c in channels
    }
    uncertainty = xr.Dataset(parts, {k: coords[k] for k in dims[2:]})
    uncertainty = uncertainty.assign_coords(component=["aleatoric", "epistemic"])
    groups = {
        "/": xr.Dataset(attrs=ROOT | {"horizon": f"{leads}h"}),
        "predictions": predictions,
        "uncertainty": uncertainty,
    }
    if log_score:
        groups["log_score"] = _log_scores(truth, predictions, shift, scale)
    return xr.DataTree.from_dict(groups)


def make_posterior(seed: int = 0, chains: int = 2, draws: int = 50) -> xr.DataTree:
    """Make a fitted tree with what a report reads."""
    rng = np.random.default_rng(seed)
    names = {"chain": np.arange(chains), "draw": np.arange(draws)}
    shape = (chains, draws)
    loss = np.exp(-np.arange(100) / 20) + 1
    posterior = xr.Dataset(
        {
            "net.layers.0.weight": (("chain", "draw", "row"), rng.normal(size=(*shape, 3))),
            "sd": (("chain", "draw"), np.exp(rng.normal(size=shape))),
        },
        names,
    )
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), rng.uniform(size=shape) < 0.02),
            "loss": ("step", loss),
        },
        names,
    )
    return xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=ROOT), "posterior": posterior, "sample_stats": stats}
    )


def _log_scores(
    truth: xr.Dataset, predictions: xr.Dataset, shift: float, scale: float
) -> xr.Dataset:
    """Write the log density of each channel's law at the truth."""
    scored = {}
    for name in predictions.data_vars:
        y = truth[name].sel(time=predictions["valid_time"]).drop_vars("time")
        normal = -0.5 * ((y - shift) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
        scored[name] = normal if name != "direction" else y * 0 - np.log(360.0)
    return xr.Dataset(scored).reset_coords(drop=True)
