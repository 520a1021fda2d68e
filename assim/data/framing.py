"""From a labelled dataset to aligned arrays: the host-side frame that never enters a jitted function.

A frame has one regular clock (holes become rows of NaN), one column for each channel (extra dimensions such
as depth are spread over columns), one row of runs for stations, and beside the arrays all the labels, units
and times that give a result its meaning back.
"""

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data.calendar import CalendarFeatures
from assim.data.clockwork import own_clock, regular_clock
from assim.data.placing import place_of
from assim.data.scaling import Scaling, fit_scaling, normalised
from assim.data.selecting import Selection as Selection
from assim.data.spreading import INSTANCES, MOST_CHANNELS, as_fitted, require_labels, spread_out
from assim.data.support import bounds_of, support_of
from assim.data.units import agree, convert, convert_difference

REPEATED = ("run",)
"""Repeats of one experiment share a scaling, and a model meets new ones; stations keep their own."""


@dataclass(frozen=True)
class Frame:
    """A record as arrays, with its labels.

    Args:
        times: the clock, shape (time,), datetime64[ns].
        step: nominal step, seconds.
        channels: name of each column of `y`.
        is_target: whether each column is forecast.
        inputs: names of the columns of `u`: controls, then calendar features.
        y: readings in file units, shape (run, time, channel); NaN where missing.
        sd: known standard error of each reading, file units; 0 where none is known.
        u: inputs in internal units, shape (run, time, input); NaN where a control is missing.
        scaling: the transforms of the channels.
        control_scaling: centre and scale of each control, shape (2, control), file units.
        stations: label of each run, or None where the file holds a single record.
        instance: name of the run dimension in the file.
        attrs: CF attributes of each channel and control.
        place: positions and makers of the file, as `place_of` gives.
        lasting: controls that have no time of their own: they stay as they are.
    """

    times: NDArray[np.datetime64]
    step: float
    channels: tuple[str, ...]
    is_target: tuple[bool, ...]
    inputs: tuple[str, ...]
    y: NDArray[np.float64]
    sd: NDArray[np.float64]
    u: NDArray[np.float64]
    scaling: Scaling
    control_scaling: NDArray[np.float64]
    stations: tuple[str, ...] | None
    instance: str
    attrs: dict[str, dict] = field(default_factory=dict)
    place: dict = field(default_factory=dict)
    lasting: tuple[str, ...] = ()

    @property
    def num_controls(self) -> int:
        """How many leading columns of `u` are controls; the others are calendar features."""
        return self.control_scaling.shape[1]

    def extended(self, count: int) -> "Frame":
        """The frame with `count` empty rows after it, whose calendar is known; of controls those that last."""
        step = np.timedelta64(round(self.step * 1e9), "ns")
        more = self.times[-1] + np.arange(1, count + 1) * step
        cycles = CalendarFeatures(CalendarFeatures.cycles_of(self.inputs[self.num_controls :]))
        ahead = np.full((self.y.shape[0], count, len(self.inputs)), np.nan)
        ahead[..., self.num_controls :] = cycles(more)
        for at in [self.inputs.index(name) for name in self.lasting]:
            ahead[..., at] = self.u[:, -1:, at]
        pad = ((0, 0), (0, count), (0, 0))
        return replace(
            self,
            times=np.concatenate([self.times, more]),
            y=np.pad(self.y, pad, constant_values=np.nan),
            sd=np.pad(self.sd, pad),
            u=np.concatenate([self.u, ahead], axis=1),
        )


def frame_of(ds: xr.Dataset, selection: Selection, like: dict | None = None) -> Frame:
    """The frame of a dataset; with `like` the columns, clock and scaling of a fitted model.

    Args:
        ds: what `open_dataset` gives.
        selection: which columns the model wants.
        like: what `describe_frame` stored with the fit, or None to fit the scaling here. A channel of the fit that
            the dataset lacks is missing throughout, and one that the fit never saw is left out, with a warning.

    Raises:
        ValueError: no usable column, an irregular clock, a constant channel, a missing control, a label that stands
            twice, units that are not those of the fit and cannot be converted.
    """
    place = place_of(ds)
    ds, lasting = _lasting(ds, selection.controls)
    ds, instance, stations = _with_runs(ds, like)
    ds = _in_units_of(ds, like) if like else ds
    columns = _columns(ds, selection, like)
    clock = own_clock if selection.own_times else regular_clock
    times, rows, step = clock(ds["time"].values, like["step"] if like else None)
    y = _stack(columns, len(times), rows, ds.sizes[instance])
    sd = _errors(ds, columns, len(times), rows, y)
    names = tuple(columns)
    attrs = {n: dict(v.attrs) for n, v in columns.items()}
    attrs |= {n: dict(ds[n].attrs) for n in selection.controls}
    if like:
        attrs = {n: own | like["attrs"].get(n, {}) for n, own in attrs.items()}
        scaling = _stored_scaling(like, instance, stations)
        calendar = CalendarFeatures(tuple(like["calendar"]))
    else:
        _refuse_useless(names, y)
        supports = tuple(support_of(columns[n]) for n in names)
        attrs |= {n: attrs[n] | {"support": s} for n, s in zip(names, supports, strict=True)}
        scaling = _fitted_scaling(y, supports, [bounds_of(columns[n]) for n in names], instance)
        if selection.normalised:
            scaling = normalised(y, scaling)
        calendar = CalendarFeatures.fitting(selection.calendar, times, step)
    _say_clipped(names, y, scaling)
    controls = _controls(ds, selection, len(times), rows)
    control_scaling = (
        np.asarray(like["control_scaling"], float).reshape(2, -1) if like else _moments(controls)
    )
    u = (controls - control_scaling[0]) / control_scaling[1]
    cycles = np.broadcast_to(calendar(times), (y.shape[0], len(times), len(calendar.names)))
    hidden = set(selection.covariates)
    return Frame(
        times=times,
        step=step,
        channels=names,
        is_target=tuple(n not in hidden and n.partition("@")[0] not in hidden for n in names),
        inputs=(*selection.controls, *calendar.names),
        y=y,
        sd=sd,
        u=np.concatenate([u, cycles], axis=-1),
        scaling=scaling,
        control_scaling=control_scaling,
        stations=stations,
        instance=instance,
        attrs=attrs,
        place=place,
        lasting=lasting,
    )


def describe_frame(frame: Frame) -> dict:
    """What a later frame of the same columns needs, JSON-ready; the inverse of `frame_of(..., like=)`."""
    calendar = frame.inputs[frame.num_controls :]
    return {
        "channels": list(frame.channels),
        "step": frame.step,
        "calendar": list(CalendarFeatures.cycles_of(calendar)),
        "scaling": frame.scaling.to_dict(),
        "control_scaling": frame.control_scaling.tolist(),
        "stations": None if frame.stations is None else list(frame.stations),
        "instance": frame.instance,
        "attrs": {
            name: {k: v for k, v in attrs.items() if isinstance(v, str | int | float)}
            for name, attrs in frame.attrs.items()
        },
        "place": frame.place,
    }


def _with_runs(ds: xr.Dataset, like: dict | None) -> tuple[xr.Dataset, str, tuple[str, ...] | None]:
    """The dataset with one leading run dimension, its name, and the label of each run."""
    if "time" not in ds.dims:
        raise ValueError(
            f"The dataset has no 'time' dimension (it has {', '.join(map(str, ds.dims))}): "
            "read it with assim.open_dataset, which finds and renames the clock."
        )
    found = [d for d in INSTANCES if d in ds.dims]
    if len(found) > 1:
        raise ValueError(
            f"The dataset has two instance dimensions ({' and '.join(found)}); "
            f"select one, for example ds.isel({found[1]}=0)."
        )
    if not found and like and like["stations"] and like["instance"] in ds.coords:
        ds = ds.expand_dims(like["instance"])  # one station of several, chosen with isel or sel
        found = [like["instance"]]
    if not found:
        ds = ds.drop_vars("station", errors="ignore")
        return ds.expand_dims("station"), "station", None
    name = found[0]
    labels = ds[name].values if name in ds.coords else np.arange(ds.sizes[name])
    require_labels(labels, name)
    return ds, name, tuple(str(v) for v in labels)


def _lasting(ds: xr.Dataset, controls: tuple[str, ...]) -> tuple[xr.Dataset, tuple[str, ...]]:
    """The dataset with those controls along its clock that have none, and their names."""
    names = tuple(n for n in controls if n in ds.data_vars and "time" not in ds[n].dims)
    if not names or "time" not in ds.dims:
        return ds, ()
    along = xr.ones_like(ds["time"], dtype=float)
    return ds.assign({n: (ds[n] * along).assign_attrs(ds[n].attrs) for n in names}), names


def _columns(ds: xr.Dataset, selection: Selection, like: dict | None) -> dict[str, xr.DataArray]:
    """One (run, time) array for each channel, extra dimensions spread over columns `name@value`."""
    named = set(selection.controls) | set(selection.covariates) | set(selection.targets or ())
    lost = {n.partition("@")[0] for n in like["channels"]} if like else set()
    lost -= {*map(str, ds.variables), *selection.controls}
    named -= lost  # told of below
    errors = {f"{n}_sd" for n in {*ds.data_vars, *lost}} & set(map(str, ds.data_vars))
    absent = sorted(named - set(map(str, ds.variables)))
    if absent:
        raise ValueError(
            f"The dataset has no variable {', '.join(map(repr, absent))}; "
            f"it has {', '.join(sorted(map(str, ds.data_vars)))}."
        )
    useless = [
        n
        for n in sorted(named)
        if n not in ds.data_vars or "time" not in ds[n].dims or ds[n].dtype.kind not in "fiu"
    ]
    if useless:
        raise ValueError(
            f"{', '.join(map(repr, useless))} cannot be modelled: a variable has to be numeric and to lie "
            "along 'time'; choose others."
        )
    wanted = named - set(selection.controls) if selection.targets is not None else None
    columns: dict[str, xr.DataArray] = {}
    for name, da in ds.data_vars.items():
        name = str(name)
        if "time" not in da.dims or name in selection.controls or name in errors:
            continue
        if (wanted is not None and name not in wanted) or da.dtype.kind not in "fiu":
            continue
        columns |= spread_out(name, da)
    if like:
        return as_fitted(columns, like["channels"], chosen=wanted is not None)
    if not columns:
        raise ValueError(
            "The dataset holds no numeric variable along 'time' to model: "
            "name some with open_dataset(..., variables=[...])."
        )
    if len(columns) > MOST_CHANNELS:
        raise ValueError(
            f"The dataset has {len(columns)} channels and at most {MOST_CHANNELS} are modelled "
            "together: choose some with open_dataset(..., variables=[...]) or select a few levels; fields on a "
            "grid go whole into FieldPersistence, FieldClimatology, DMD, FNO or SemilinearOperator of assim.models."
        )
    return columns


def _stack(columns: dict[str, xr.DataArray], length: int, rows: NDArray, runs: int) -> NDArray:
    """Shape (run, time, channel), NaN in the holes of the clock."""
    y = np.full((runs, length, len(columns)), np.nan)
    for c, da in enumerate(columns.values()):
        y[:, rows, c] = _run_time(da)
    return y


def _run_time(da: xr.DataArray) -> NDArray:
    instance = next((d for d in da.dims if d in INSTANCES), None)
    values = da.transpose(instance, "time").values if instance else da.values[None]
    values = values.astype(float)
    return np.where(np.isfinite(values), values, np.nan)


def _errors(
    ds: xr.Dataset, columns: dict[str, xr.DataArray], length: int, rows: NDArray, y: NDArray
) -> NDArray:
    sd = np.zeros_like(y)
    for c, (column, da) in enumerate(columns.items()):
        name, _, place = column.partition("@")
        if f"{name}_sd" not in ds.data_vars or name not in ds.data_vars:
            continue
        errors = ds[f"{name}_sd"].broadcast_like(ds[name])
        error = spread_out(name, errors)[column] if place else errors
        values = error.transpose(*da.dims).values.astype(float)
        if (values < 0).any() or np.isinf(values).any():
            raise ValueError(
                f"'{name}_sd' holds negative or infinite standard errors: they must be finite and >= 0, "
                "or missing where no error is known."
            )
        sd[:, rows, c] = np.nan_to_num(_run_time(error))
    return sd


def _controls(ds: xr.Dataset, selection: Selection, length: int, rows: NDArray) -> NDArray:
    runs = next(ds.sizes[d] for d in INSTANCES if d in ds.dims)
    u = np.full((runs, length, len(selection.controls)), np.nan)
    for c, name in enumerate(selection.controls):
        if set(ds[name].dims) - {"time", *INSTANCES}:
            raise ValueError(
                f"The control '{name}' has dimensions {', '.join(map(str, ds[name].dims))}: a control is "
                "one number at a time; select one place of it."
            )
        u[:, rows, c] = _run_time(ds[name])
        if not np.isfinite(u[:, rows, c]).any():
            raise ValueError(f"The control '{name}' has no value in the dataset; give its plan.")
    return u


def _moments(controls: NDArray) -> NDArray:
    if controls.shape[-1] == 0:
        return np.zeros((2, 0))
    sd = np.nanstd(controls, axis=(0, 1))
    return np.stack([np.nanmean(controls, axis=(0, 1)), np.where(sd > 0, sd, 1.0)])


def _fitted_scaling(
    y: NDArray, supports: tuple[str, ...], bounds: list[tuple[float, float]], instance: str
) -> Scaling:
    if instance not in REPEATED:
        return fit_scaling(y, supports, bounds)
    pooled = fit_scaling(y.reshape(1, -1, y.shape[-1]), supports, bounds)
    return pooled.select([0] * y.shape[0])


def _stored_scaling(like: dict, instance: str, stations: tuple[str, ...] | None) -> Scaling:
    scaling = Scaling.from_dict(like["scaling"])
    known = like["stations"]
    if known is None and stations is None:
        return scaling
    if instance in REPEATED and like["instance"] in REPEATED:
        return scaling.select([0] * len(stations or ("",)))
    known, asked = known or ["the single record"], stations or ("the single record",)
    strange = [s for s in asked if s not in known]
    if strange:
        raise ValueError(
            f"The model was fitted on {', '.join(known)} and knows nothing of {', '.join(strange)}: "
            "select the fitted stations, or fit again with these in the file."
        )
    return scaling.select([known.index(s) for s in asked])


def _in_units_of(ds: xr.Dataset, like: dict) -> xr.Dataset:
    """The dataset with the fitted variables, and their standard errors, in the units of the fit."""
    for name, attrs in {c.partition("@")[0]: a for c, a in like["attrs"].items()}.items():
        fitted = str(attrs.get("units", ""))
        if name not in ds.data_vars or not fitted:
            continue
        own = str(ds[name].attrs.get("units") or fitted)
        changes = {name: (own, convert)}
        if f"{name}_sd" in ds.data_vars:
            error = str(ds[f"{name}_sd"].attrs.get("units") or own)
            changes[f"{name}_sd"] = (error, convert_difference)
        for variable, (units, change) in changes.items():
            if not agree(units, fitted):
                da = change(ds[variable], units, fitted)
                ds = ds.assign({variable: da.assign_attrs(ds[variable].attrs | {"units": fitted})})
    return ds


def _refuse_useless(names: tuple[str, ...], y: NDArray) -> None:
    for c, name in enumerate(names):
        seen = y[..., c][np.isfinite(y[..., c])]
        if seen.size == 0:
            raise ValueError(
                f"'{name}' has no usable value (all missing or flagged bad): leave it out with "
                "variables=[...], or read with qc='none' to see what the flags removed."
            )
        if np.ptp(seen) == 0:
            raise ValueError(
                f"'{name}' is constant ({seen[0]:g} throughout), so there is nothing to learn from "
                "it: leave it out with variables=[...]."
            )


def _say_clipped(names: tuple[str, ...], y: NDArray, scaling: Scaling) -> None:
    low, high = scaling._bounds()
    z = (y - scaling.centre[:, None]) / scaling.scale[:, None]
    beyond = ((z < low - 1e-3) | (z > high + 1e-3)).sum(axis=(0, 1))
    told = [f"{n} ({k})" for n, k in zip(names, beyond, strict=True) if k]
    if told:
        warnings.warn(
            "Readings beyond their physical bound are taken as being at it: "
            + ", ".join(told)
            + ".",
            UserWarning,
            stacklevel=3,
        )
