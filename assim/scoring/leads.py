"""Leads that are counted in calendar months: two forecasts mean the same lead, though their months are not as long.

A lead is labelled by its length from the first origin; from another it is as long as the calendar has it, and
`valid_time` tells when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from assim.data.stepping import CALENDAR, whole_months


def valid_times(held: xr.Dataset) -> np.ndarray:
    """When each lead of each origin ends, shape (init_time, lead_time), datetime64[ns]."""
    if "valid_time" in held.coords:
        told = held["valid_time"].transpose("init_time", "lead_time").values
        return told.astype("datetime64[ns]")
    init, lead = (held[d].values for d in ("init_time", "lead_time"))
    return init.astype("datetime64[ns]")[:, None] + lead.astype("timedelta64[ns]")


def counted_as[T: (xr.Dataset, xr.DataArray)](held: T, leads: xr.DataArray) -> T:
    """The same numbers under the labels of other leads, where both are counted in calendar months.

    Args:
        held: on `lead_time`.
        leads: whose labels are taken for as many months.
    """
    ours = held["lead_time"]
    if CALENDAR not in ours.attrs or CALENDAR not in leads.attrs:
        return held
    labels = dict(zip(whole_months(leads.values).tolist(), leads.values, strict=True))
    own = zip(whole_months(ours.values).tolist(), ours.values, strict=True)
    values = np.array([labels.get(months, label) for months, label in own])
    return held.assign_coords(lead_time=("lead_time", values, ours.attrs))


def require_one_clock(forecasts: Mapping[str, xr.Dataset]) -> None:
    """Refuse forecasts of which the same origin and lead end at different times.

    Args:
        forecasts: predictions by name, cut to the same labels.

    Raises:
        ValueError: some count their leads in calendar months and others in steps of equal length.
    """
    (first, one), *others = forecasts.items()
    for name, other in others:
        apart = valid_times(one) != valid_times(other)
        if apart.any():
            times = (valid_times(ds)[apart][0] for ds in (one, other))
            told = " and ".join(np.datetime_as_string(t, unit="s") for t in times)
            raise ValueError(
                f"A lead of '{first}' and of '{name}' from one origin ends at {told}: one is counted in calendar "
                "months and the other in equal steps; forecast again with this version, or compare one by one."
            )
