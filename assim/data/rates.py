"""`join_rates`: groups of sensors at different rates on one clock.

Of a fast group each step is a frame (`assim.frame_features`), a slow one is put on the clock as it is
(`assim.align`): each reading stands at the end of the step that it falls in, and steps without one are NaN, from
which a model knows how old the newest is. What was set holds until it is set anew, where that is said.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from assim.data.aligning import DAY, Duration, align, nanoseconds, stamps_in
from assim.data.frames import Features, framed
from assim.data.grouping import records_of
from assim.data.spectra import Mode


def join_rates(
    tree: xr.DataTree | Mapping[str, xr.Dataset],
    step: Duration,
    frames: Mapping[str, Features | Mapping[str, Features]] | None = None,
    how: str | Mapping[str, str] = "mean",
    *,
    hold: str | Iterable[str] = (),
    mode: Mode | None = None,
    min_share: float = 0.9,
) -> xr.Dataset:
    """Brings groups of sensors at different rates onto one clock.

    Args:
        tree: what `open_groups` gives, or records by names of your own; no two groups share the name of a variable.
        step: the step of the clock and the length of a frame, for example "50ms".
        frames: of each fast group by its path the features of its frames, as `frame_features` takes them.
        how: how readings of the other groups come onto the clock, as in `align`.
        hold: variables of the other groups that hold until the next reading, as set-points do.
        mode: where the mode of fast signals is sought, as in `frame_features`.
        min_share: of the samples of a frame that have to be there.

    Returns:
        One record, each stamp the end of its step, NaN where a step holds no reading, in file units and those of
        the features.

    Raises:
        ValueError: a group or variable that is not there, a name that two groups share, a feature in `how`, or what
            `frame_features` and `align` refuse.
    """
    records, length = records_of(tree), nanoseconds(step, "step")
    asked = dict(frames or {})
    strange = [name for name in asked if name not in records]
    if strange or not records:
        raise ValueError(
            f"frames= names {strange[0]!r}, and the groups are {', '.join(records)}: name one of these."
            if strange
            else "The tree has no group of readings to join: read the file with assim.open_groups."
        )
    origin = min(int(stamps_in(ds)[0]) for ds in records.values()) // DAY * DAY
    fast = {
        name: framed(records[name], length, features, mode or Mode(), min_share, origin)
        for name, features in asked.items()
    }
    slow = {name: ds for name, ds in records.items() if name not in fast}
    held = [hold] if isinstance(hold, str) else list(hold)
    known = _along_time(slow)
    if set(held) - set(known):
        raise ValueError(
            f"hold= names {', '.join(sorted(map(repr, set(held) - set(known))))}; the variables of the groups that "
            f"are not framed are {', '.join(known) or 'none'}."
        )
    methods = dict.fromkeys(known, how) if isinstance(how, str) else dict(how)
    made = [] if isinstance(how, str) else [name for name in _along_time(fast) if name in how]
    if made:
        raise ValueError(
            f"how= names {', '.join(map(repr, made))}, and frames are on the clock already: leave it out, and name "
            f"variables of the other groups ({', '.join(known) or 'none'})."
        )
    methods |= dict.fromkeys(_along_time(fast), "last")  # a frame is on the clock already
    joined = align([*fast.values(), *slow.values()], step, methods)
    for ds in fast.values():
        for name in ds.data_vars:
            missing = int(joined[name].isnull().sum())
            joined[name].attrs = ds[name].attrs | {"n_missing": missing}
    joined = joined.assign({name: _held(joined[name]) for name in held})
    return joined.assign_attrs(repairs=_told(joined.attrs["repairs"], fast))


def _told(repairs: str, fast: Mapping[str, xr.Dataset]) -> str:
    """What was done, with frames by their groups in place of all their names."""
    if not fast:
        return repairs
    names, groups = ", ".join(_along_time(fast)), ", ".join(fast)
    said = repairs.replace(f"last of {names}, ", f"frames of {groups}; last of ")
    return said.replace(f"last of {names}", f"frames of {groups}")


def _along_time(records: Mapping[str, xr.Dataset]) -> list[str]:
    """Names of the numbers along time that are no flags."""
    return [
        str(name)
        for ds in records.values()
        for name, var in ds.variables.items()
        if name != "time"
        and "time" in var.dims
        and var.dtype.kind in "fiu"
        and "flag_meanings" not in var.attrs
    ]


def _held(da: xr.DataArray) -> xr.DataArray:
    """The newest reading at each time."""
    x = da.transpose(..., "time")
    there = np.isfinite(x.values)
    newest = np.maximum.accumulate(np.where(there, np.arange(x.sizes["time"]), -1), axis=-1)
    values = np.take_along_axis(x.values, np.maximum(newest, 0), axis=-1)
    held = x.copy(data=np.where(newest >= 0, values, np.nan)).transpose(*da.dims)
    if "n_missing" in held.attrs:
        held.attrs = held.attrs | {"n_missing": int(held.isnull().sum())}
    return held
