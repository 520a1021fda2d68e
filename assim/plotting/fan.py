"""The fan chart: quantile bands of one forecast over the observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.style import (
    PALETTE,
    QUIET,
    TRUTH,
    at_place,
    choose,
    finish,
    label,
    new_axes,
    time_axis,
    tint,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = (0.5, 0.9)


def fan(
    forecast: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    init_time: str | np.datetime64 | None = None,
    place: str | int = 0,
    levels: Sequence[float] = LEVELS,
    ax: Axes | None = None,
) -> Axes:
    """Draw the central bands of a forecast, with what was observed before and after its origin.

    A direction is drawn about its mean direction and labelled modulo its period; the hours without
    observation are shaded.

    Args:
        forecast: a forecast tree.
        truth: the dataset with the observations, in the same units.
        variable: the channel; by default the first.
        init_time: the origin, to the nearest; by default the middle one.
        place: which station (or other place), by name or number.
        levels: probabilities of the central bands.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: if the channel or the place is not there.
    """
    predicted = scoring.predictions(forecast)
    name = choose("channel", list(map(str, predicted.data_vars)), variable)
    channel = predicted[name]
    origins = channel.indexes["init_time"]
    row = len(origins) // 2
    if init_time is not None:
        row = int(origins.get_indexer([np.datetime64(init_time, "ns")], method="nearest")[0])
    channel, where = at_place(channel.isel(init_time=row), place, scoring.FORECAST)
    paths = scoring.members(channel.reset_coords(drop=True)).transpose("lead_time", "member").values
    origin = origins[row].to_datetime64()
    times = predicted["valid_time"].isel(init_time=row).values
    cycle = scoring.period(channel)
    middle = np.median(paths, axis=-1)
    if cycle is not None:
        middle = np.unwrap(scoring.mean_direction(paths, cycle), period=cycle)
        paths = middle[:, None] + scoring.wrap(paths - middle[:, None], cycle)
    axes = new_axes(ax)
    shades = np.linspace(0.22, 0.5, len(levels))
    for shade, level in zip(shades, sorted(levels, reverse=True), strict=True):
        low, high = np.quantile(paths, [(1 - level) / 2, (1 + level) / 2], axis=-1)
        axes.fill_between(
            times,
            low,
            high,
            color=tint(PALETTE[0], shade),
            lw=0,
            label=f"{100 * level:g} % interval",
        )
    axes.plot(times, middle, color=PALETTE[0], lw=1.5, label="median" if cycle is None else "mean")
    axes.axvline(origin, color=QUIET, lw=1, ls="--", label="origin")
    if truth is not None:
        _observations(axes, truth, name, where, origin, times, middle, cycle)
    axes.set_ylabel(label(channel.attrs.get("long_name", name), channel.attrs.get("units")))
    axes.set_title(
        ", ".join([f"from {str(origins[row]).removesuffix(':00')}", *map(str, where.values())])
    )
    time_axis(axes)
    if cycle is not None:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value % cycle:g}")
    return finish(axes)


def _observations(
    axes: Axes,
    truth: xr.Dataset,
    name: str,
    where: dict[str, object],
    origin: np.datetime64,
    times: np.ndarray,
    middle: np.ndarray,
    cycle: float | None,
) -> None:
    """Draw the observations as joined dots and shade where there are none."""
    choose("observed channel", list(map(str, truth.data_vars)), name)
    seen = truth[name]
    for dim, at in where.items():
        if dim in seen.dims:
            seen = seen.sel({dim: at}) if dim in seen.indexes else seen.isel({dim: int(str(at))})
    clock = seen["time"].values
    window = (clock >= origin - (times[-1] - origin)) & (clock <= times[-1])
    seen = seen.squeeze(drop=True).isel(time=np.flatnonzero(window)).astype(float)
    clock, values = seen["time"].values, seen.values
    if cycle is not None and clock.size:
        near = np.interp((clock - origin) / np.timedelta64(1, "s"), _seconds(times, origin), middle)
        values = near + scoring.wrap(values - near, cycle)
    axes.plot(
        clock, values, ".-", color=QUIET, mfc=TRUTH, mec=TRUTH, ms=3.5, lw=0.5, label="observed"
    )
    missing = np.flatnonzero(~np.isfinite(values))
    words = "not observed"
    for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
        if run.size:
            stop = min(run[-1] + 1, clock.size - 1)
            axes.axvspan(clock[run[0]], clock[stop], color=QUIET, alpha=0.2, lw=0, label=words)
            words = "_again"  # no second entry in the legend


def _seconds(times: np.ndarray, origin: np.datetime64) -> np.ndarray:
    """Count seconds since the origin."""
    return (times - origin) / np.timedelta64(1, "s")
