"""Sensors of a field as dots, and which of them read nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim.plotting.belief import Belief
from assim.plotting.style import LEGEND, TRUTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DOT: dict[str, Any] = {"ls": "", "marker": "o", "mec": TRUTH, "clip_on": True}
# On the line of the title, at its end.
KEY: dict[str, Any] = {
    "loc": "lower right",
    "bbox_to_anchor": (1, 1),
    "borderpad": 0.1,
    "borderaxespad": 0.1,
    "handletextpad": 0.0,
    "columnspacing": 0.5,
    "ncols": 2,
    **LEGEND,
}
EAST = ("degrees_east", "degree_east", "degrees_e")


def readings_of(tree: xr.DataTree, given: xr.Dataset | None, name: str) -> xr.DataArray | None:
    """Readings of a field with their positions, or None where there are none."""
    if given is None and "observed_data" in tree.children:
        given = tree["observed_data"].to_dataset()
    if given is None or name not in given or "position_0" not in given.coords:
        return None
    return given[name]


def _position(readings: xr.DataArray, held: Belief, number: int) -> xr.DataArray:
    """Positions along one axis, a longitude within the turn that the grid covers."""
    at = readings[f"position_{number}"].reset_coords(drop=True).astype(float)
    axis = held.mean[held.axes[number]]
    if str(axis.attrs.get("units", "")).lower() in EAST:
        first = float(axis.min()) - float(abs(axis[1] - axis[0])) / 2
        at = first + (at - first) % 360.0
    return at


def mark_sensors(
    ax: Axes, readings: xr.DataArray | None, held: Belief, moment: np.datetime64 | None
) -> None:
    """Mark the sensors, and which of them read nothing."""
    if readings is None or "position_1" not in readings.coords:
        return
    if moment is not None:
        readings = readings.sel(time=moment)
    elif "time" in readings.dims:
        readings = readings.mean("time") if "time" not in readings["position_0"].dims else readings
    up, right = (_position(readings, held, i) for i in (0, 1))
    up, right, values = xr.broadcast(up, right, readings.reset_coords(drop=True))
    read = np.isfinite(values.values)
    size = _dot_size(read.size)
    for chosen, face, words in ((read, TRUTH, "sensor"), (~read, "none", "silent")):
        if chosen.any():
            at = right.values[chosen], up.values[chosen]
            ax.plot(*at, ms=size, mew=size / 6, mfc=face, label=words, **DOT)
    ax.legend(**KEY)


def mark_readings(ax: Axes, readings: xr.DataArray | None, held: Belief) -> None:
    """Mark where and when there was a reading."""
    if readings is None:
        return
    at, values = xr.broadcast(_position(readings, held, 0), readings.reset_coords(drop=True))
    read = np.isfinite(values.values)
    times = values["time"].broadcast_like(values).transpose(*values.dims).values[read]
    ax.plot(
        times, at.values[read], ms=_dot_size(read.sum()), mfc=TRUTH, mew=0, label="reading", **DOT
    )
    ax.legend(**KEY)


def _dot_size(count: int) -> float:
    """Of so many dots on one panel, in points."""
    return float(np.clip(60.0 / max(count, 1) ** 0.5, 0.7, 3.5))
