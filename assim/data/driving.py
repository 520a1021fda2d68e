"""What drives fields from outside: fields that stay, and series that are known in advance.

A field that stays (a depth, an orography, a pattern of forcing) lies on the axes of the grid alone; it is told by
how far it lies from its mean over the sea, in deviations. A series (an index of the wind, a tide) lies on time, or
on (run, time), and holds at every place; it is told by mean and deviation in the record of the fit. What it is
beyond the last field is the plan that a forecast goes by.
"""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from assim.data.gridding import RUN, TIME, Grid, folded
from assim.data.units import agree, convert


@dataclass(frozen=True)
class Controls:
    """Series that are known in advance.

    Args:
        record: each on (time,) or (run, time), units of the fit; without variables where there are none.
        scaling: centre and scale of each, shape (2, control), units of the fit.
    """

    record: xr.Dataset
    scaling: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Of the series."""
        return tuple(map(str, self.record.data_vars))

    def at(self, times: np.ndarray, within: float) -> np.ndarray:
        """Their values in internal units, shape (run, time, control), one run where all have the same.

        Args:
            times: when, shape (time,), datetime64[ns].
            within: how far off a stamp may be, seconds; without one as near the value is NaN.
        """
        if not self.names:
            return np.zeros((1, len(times), 0))
        off = f"{round(within * 1e9)}ns"
        there = self.record.reindex({TIME: times}, method="nearest", tolerance=off)
        values = there.to_dataarray("control").transpose(..., TIME, "control").values
        values = (values - self.scaling[0]) / self.scaling[1]
        return values if values.ndim == 3 else values[None]


def controls_of(
    ds: xr.Dataset | None, names: tuple[str, ...], like: dict | None = None
) -> Controls:
    """Some series of a dataset.

    Args:
        ds: series on (time,) or (run, time), file units; NaN where not known. None where no series is asked for.
        names: which variables.
        like: what `describe_frame` stored with the fit, or None to find mean and deviation here.

    Raises:
        ValueError: no such variable, one that lies elsewhere or has no value, units of something else.
    """
    if not names:
        return Controls(xr.Dataset(), np.zeros((2, 0)))
    if ds is None:
        raise ValueError(
            f"The model is driven by {', '.join(names)}, and no plan of it is given: give a dataset with each on "
            "'time', as plan=."
        )
    _require_held(ds, names, "controls")
    record = xr.Dataset({name: _series(ds, name, like) for name in names})
    if not record.indexes[TIME].is_unique:
        raise ValueError(
            f"A time comes twice in the record of {', '.join(names)}: keep one of them, as "
            "ds.drop_duplicates('time')."
        )
    record = record.sortby(TIME)
    if like is not None:
        return Controls(record, np.asarray(like["control_scaling"], float).reshape(2, -1))
    moments = [(float(v.mean()), float(v.std())) for v in record.values()]
    return Controls(record, np.array([(m, s if s > 0 else 1.0) for m, s in moments]).T)


def static_of(ds: xr.Dataset, names: tuple[str, ...], grid: Grid, sea: np.ndarray) -> np.ndarray:
    """Some fields of a dataset that stay, in deviations from their mean over the sea, shape (static, place).

    Args:
        ds: variables on the axes of the grid alone.
        names: which of them.
        grid: where the fields lie that they drive.
        sea: where there is something to drive, shape (place,); elsewhere is 0.

    Raises:
        ValueError: no such variable, one with a time or on other axes, one that is missing at sea or alike there.
    """
    if not names:
        return np.zeros((0, grid.places))
    _require_held(ds, names, "static")
    ds, rows = folded(ds[list(names)]), []
    for name in names:
        row = _standing(ds[name], name, grid)
        if lost := int((~np.isfinite(row[sea])).sum()):
            raise ValueError(
                f"The static field '{name}' is missing at {lost} of {int(sea.sum())} places where the fields are "
                f"known: fill it in, as ds['{name}'].fillna(0.0), or make land of them."
            )
        if np.ptp(row[sea]) == 0:
            raise ValueError(
                f"The static field '{name}' is {row[sea][0]:g} wherever the fields are known, so that it tells no "
                "place from another: leave it out (land is known without it)."
            )
        rows.append(np.where(sea, (row - row[sea].mean()) / row[sea].std(), 0.0))
    return np.stack(rows)


def _standing(field: xr.DataArray, name: str, grid: Grid) -> np.ndarray:
    """A field on the axes of the grid, shape (place,)."""
    dims, wanted = tuple(map(str, field.dims)), ", ".join(grid.dims)
    if TIME in dims:
        raise ValueError(
            f"The static field '{name}' has a time axis (it lies on {', '.join(dims)}), and one on {wanted} alone "
            f"is expected: take one time or the mean, as ds['{name}'].mean('time'), or name it in fields=."
        )
    if set(dims) != set(grid.dims):
        raise ValueError(
            f"The static field '{name}' lies on {', '.join(dims) or 'no axis'}, and one on {wanted} is expected: "
            f"choose one of each other axis by isel, and spread it over what lacks by broadcast_like."
        )
    return field.transpose(*grid.dims).values.astype(float).ravel()


def _series(ds: xr.Dataset, name: str, like: dict | None) -> xr.DataArray:
    series = ds[name].reset_coords(drop=True)
    dims = set(map(str, series.dims))
    if TIME not in dims or dims - {TIME, RUN} or TIME not in series.indexes:
        raise ValueError(
            f"The control '{name}' lies on {', '.join(map(str, series.dims)) or 'no axis'}, and 'time' is expected "
            "(or run, time): a control is one number at a time, so take one place of it or a mean, and give it "
            "dates along 'time'."
        )
    attrs = series.attrs
    wanted = str((like or {"attrs": {}})["attrs"].get(name, {}).get("units", ""))
    own = str(attrs.get("units", ""))
    series = series.astype(float)
    if own and wanted and not agree(own, wanted):
        series, attrs = convert(series, own, wanted), attrs | {"units": wanted}
    series = series.where(np.isfinite(series))
    if not bool(series.notnull().any()):
        raise ValueError(
            f"The control '{name}' has no value in the dataset: give what is known of it, or its plan."
        )
    return series.assign_attrs(attrs)


def _require_held(ds: xr.Dataset, names: tuple[str, ...], setting: str) -> None:
    if absent := [name for name in names if name not in ds.variables]:
        raise ValueError(
            f"The dataset has no variable '{absent[0]}', which {setting}= names; it has "
            f"{', '.join(sorted(map(str, ds.variables)))}."
        )
    if strange := [name for name in names if ds[name].dtype.kind not in "fiub"]:
        raise ValueError(
            f"'{strange[0]}', which {setting}= names, is of type {ds[strange[0]].dtype}, and numbers are expected: "
            "turn it into numbers, or leave it out."
        )
