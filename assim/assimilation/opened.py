"""A labelled record as a fit sees it: each station's context, its cycles, and what gives labels back."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.scene import Units
from assim.continuing import continued
from assim.data.clockwork import stamp
from assim.data.columns import Columns
from assim.data.framing import Frame, frame_of
from assim.filters.base import Cycle
from assim.model import Needs
from assim.series import Layout, Series, cut
from assim.statespace import Context, Span
from assim.tree import Fitted


@dataclass(frozen=True)
class Opened:
    """A record, cut into what came before and what is assimilated.

    Args:
        frame: the record with the end of the training record in front, where that comes before it.
        series: the same, internal units.
        start: row of the first cycle.
        needs: what the model looks back over.
    """

    frame: Frame
    series: Series
    start: int
    needs: Needs

    @property
    def layout(self) -> Layout:
        """What the columns are."""
        return Layout.of(self.frame)

    @property
    def columns(self) -> Columns:
        """Labels of the channels."""
        return Columns(self.frame.channels, attrs=self.frame.attrs)

    @property
    def times(self) -> np.ndarray:
        """Of the cycles, shape (time,), datetime64[ns]."""
        return self.frame.times[self.start :]

    def y(self, run: int) -> np.ndarray:
        """Readings of a station, shape (time, channel), file units; NaN where missing."""
        return self.frame.y[run, self.start :]

    def units(self, run: int) -> Units:
        """Of a station."""
        return Units(self.frame.scaling, run)

    def station(self, run: int) -> str | None:
        """Its label, or None where there is one record."""
        return None if self.frame.stations is None else self.frame.stations[run]

    def run(self, run: int) -> tuple[Context, Cycle]:
        """What comes before the first cycle of a station, and its cycles.

        Raises:
            ValueError: controls that are not known at a cycle.
        """
        frame, ahead = self.frame, len(self.times)
        known = np.asarray(self.series.inputs_known)[run, self.start :]
        if not known.all():
            lost = stamp(self.times[~known][0])
            names = ", ".join(frame.inputs[: frame.num_controls])
            raise ValueError(
                f"The controls {names} are not known at {lost}: a cycle needs them, so fill them in, or cut the "
                "record."
            )
        window = cut(
            *(self.series, jnp.asarray(run), jnp.asarray(self.start - 1)),
            context=self.needs.context,
            horizon=ahead,
            step=frame.step,
            own_times=self.needs.own_times,
        )
        spans = window.spans
        if (
            self.start == 0 and self.needs.own_times
        ):  # nothing came before: the world begins with the first row
            spans = Span(spans.dt.at[0].set(0.0), spans.phase)
        cycles = Cycle(spans, window.y, window.mask, window.sd, window.u)
        return window.context, cycles


def open_record(fitted: Fitted, ds: xr.Dataset, since: np.datetime64 | None) -> Opened:
    """The record of a fit.

    Args:
        fitted: the posterior.
        ds: the record, file units.
        since: time of the last analysis, where one is gone on from.

    Raises:
        ValueError: no time, or a record that the model cannot use.
    """
    needs = fitted.model.needs()
    selection = needs.selection(tuple(fitted.frame["calendar"]))
    if "time" not in ds.dims:
        raise ValueError(
            f"The dataset has no 'time' dimension (it has {', '.join(map(str, ds.dims))}): read it with "
            "assim.open_dataset, which finds and renames the clock."
        )
    if not ds.sizes["time"]:
        raise ValueError("The record holds no time at all: check the file, or the split.")
    begin = ds["time"].values[0]
    record = continued(fitted, ds) if since is None else _after(ds, since)
    frame = frame_of(record, selection, like=fitted.frame)
    start = int(np.searchsorted(frame.times, begin)) if since is None else 1
    return Opened(frame, Series.of(frame), start, needs)


def _after(ds: xr.Dataset, since: np.datetime64) -> xr.Dataset:
    """The record with an empty row in front, at the time of the last analysis."""
    moving = ds[[n for n in ds.data_vars if "time" in ds[n].dims]]
    empty = moving.isel(time=[0]).where(False).assign_coords(time=[since])
    joined = xr.concat([empty, moving], "time", data_vars="minimal", combine_attrs="override")
    for name in moving.data_vars:
        joined[name].attrs = ds[name].attrs
    return joined.assign({n: v for n, v in ds.data_vars.items() if n not in moving})
