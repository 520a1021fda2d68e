"""Events: does the path pass a threshold within each lead, and was that foretold well?

With ``x_i(t)`` the path of member ``i`` the probability at lead ``h`` is the share of paths whose
running maximum up to ``h`` passes the threshold. It is scored by the Brier score, fair in the
number of members (Ferro 2014, eq. 5), by the area under the ROC curve, and by its reliability.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from assim.scoring.circular import period


def probability(members: xr.DataArray, threshold: float, side: str = "above") -> xr.DataArray:
    """Give the probability that the path passes a threshold within each lead.

    Args:
        members: (..., lead_time, member), in the channel's units.
        threshold: in the same units.
        side: "above" or "below".

    Returns:
        (..., lead_time), non-decreasing in the lead; its attributes say of which `variable`, `threshold`,
        `threshold_units` and `side`, and from how many `members`.

    Raises:
        ValueError: for a direction, which has no above and below, another side, or a threshold that is no number.
    """
    passed = beyond(members, threshold, side).transpose(..., "lead_time", "member")
    passed = passed.copy(data=np.maximum.accumulate(passed.values, axis=-2))
    share = passed.mean("member").where(members.notnull().all("member"))
    told = about(members, threshold, side)
    told["long_name"] = f"probability of {told['long_name']}"
    share.attrs = told | {"members": members.sizes["member"]}
    return share.rename("probability")


def happened(truth: xr.DataArray, threshold: float, side: str = "above") -> xr.DataArray:
    """Say whether the truth passed a threshold within each lead.

    Args:
        truth: (..., lead_time), in the channel's units, NaN where missing.
        threshold: in the same units.
        side: "above" or "below".

    Returns:
        (..., lead_time), 1 or 0; NaN when it was not seen to pass but a value is missing on the
        way.
    """
    truth = truth.transpose(..., "lead_time")
    passed = np.maximum.accumulate(beyond(truth, threshold, side).values, axis=-1)
    unknown = np.maximum.accumulate(np.isnan(truth.values), axis=-1)
    values = np.where(passed, 1.0, np.where(unknown, np.nan, 0.0))
    event = truth.copy(data=values).rename("happened")
    event.attrs = about(truth, threshold, side)
    return event


def event_scores(
    foretold: xr.DataArray, event: xr.DataArray, size: int | None = None
) -> xr.Dataset:
    """Score probabilities of an event by lead time.

    Args:
        foretold: probabilities on (..., lead_time).
        event: 1, 0 or NaN on the same dimensions.
        size: the number of members behind each probability; None for one that counts no members.

    Returns:
        On `lead_time`: `brier` (fair, lower is better), `brier_skill` against the event's own
        frequency, `auc` (NaN when all or none happened), `frequency` and `count`.
    """
    from scores.probability import brier_score, roc_auc

    event = event.where(foretold.notnull())
    over = [dim for dim in event.dims if dim != "lead_time"]
    raw = brier_score(foretold, event, preserve_dims="lead_time")
    if size is not None and size > 1:
        spread = foretold * (1 - foretold) / (size - 1)
    else:
        spread = xr.zeros_like(foretold)
    brier = raw - spread.where(event.notnull()).mean(over)
    frequency = event.mean(over)
    both = (frequency > 0) & (frequency < 1)
    auc = xr.full_like(frequency, np.nan)
    if bool(both.any()):
        kept = {"lead_time": both.values}
        auc.loc[{"lead_time": frequency["lead_time"][both.values]}] = roc_auc(
            foretold.isel(kept), event.isel(kept), preserve_dims="lead_time"
        ).values
    return xr.Dataset(
        {
            "brier": brier,
            "brier_skill": (1 - brier / (frequency * (1 - frequency))).where(both),
            "auc": auc,
            "frequency": frequency,
            "count": event.notnull().sum(over),
        }
    )


def roc(foretold: xr.DataArray, event: xr.DataArray) -> xr.Dataset:
    """Trace hit rate against false-alarm rate at every lead.

    Args:
        foretold: probabilities on (..., lead_time).
        event: 1, 0 or NaN on the same dimensions.

    Returns:
        `POD` and `POFD` on (lead_time, threshold) and `AUC(lead_time)`, as `scores` names them.
    """
    from scores.probability import roc_curve_data

    thresholds = np.linspace(0, 1, 101)
    return roc_curve_data(foretold, event, thresholds, preserve_dims="lead_time")


def event_reliability(foretold: xr.DataArray, event: xr.DataArray, bins: int = 10) -> xr.Dataset:
    """Bin probabilities and set the frequency of the event against their mean, by lead time.

    Args:
        foretold: probabilities on (..., lead_time).
        event: 1, 0 or NaN on the same dimensions.
        bins: how many, equal in width.

    Returns:
        `forecast_probability`, `observed_frequency` and `count` on (lead_time, bin).
    """
    over = [dim for dim in event.dims if dim != "lead_time"]
    at = xr.DataArray(np.arange(bins), dims="bin", coords={"bin": (np.arange(bins) + 0.5) / bins})
    inside = (np.minimum(foretold * bins, bins - 1e-9) // 1 == at) & event.notnull()
    return xr.Dataset(
        {
            "forecast_probability": foretold.where(inside).mean(over),
            "observed_frequency": event.where(inside).mean(over),
            "count": inside.sum(over),
        },
        attrs={"kind": "event"},
    )


def about(channel: xr.DataArray, threshold: float, side: str) -> dict[str, str | float | int]:
    """Describe an event by attributes of its own, those of its channel being none of it.

    Args:
        channel: any values of it, for its name and units.
        threshold: in the channel's units.
        side: "above" or "below".

    Returns:
        `long_name`, `units`, `variable`, `threshold`, `threshold_units` and `side`.
    """
    units = str(channel.attrs.get("units", ""))
    name = str(channel.name or "the path")
    words = f"{name} {side} {threshold:g} {units}".strip() + " within the lead time"
    return {
        "long_name": words,
        "units": "1",
        "variable": name,
        "threshold": float(threshold),
        "threshold_units": units,
        "side": side,
    }


def beyond(values: xr.DataArray, threshold: float, side: str) -> xr.DataArray:
    """Say where a channel lies beyond a threshold; a missing value lies nowhere.

    Args:
        values: of any shape, in the channel's units.
        threshold: in the same units.
        side: "above" or "below".

    Returns:
        Booleans of the same shape.

    Raises:
        ValueError: for a direction, another side, or a threshold that is no number.
    """
    if np.isnan(threshold):
        raise ValueError(
            f"The threshold of '{values.name}' is {threshold}, which nothing passes: give a number in its units."
        )
    if period(values) is not None:
        raise ValueError(
            f"'{values.name}' is a direction, which has no above and below; "
            "ask for another channel."
        )
    if side not in ("above", "below"):
        raise ValueError(f"Got side='{side}', expected 'above' or 'below'.")
    return values > threshold if side == "above" else values < threshold
