"""A forecaster is judged on what it has not learned from: the span of its training travels with its forecasts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from assim.data.clockwork import stamp
from assim.data.spreading import INSTANCES
from assim.scoring.pairing import predictions

if TYPE_CHECKING:
    import xarray as xr


def require_unseen(forecasts: Mapping[str, xr.DataTree]) -> None:
    """Refuse to judge forecasts of readings that their models were trained on.

    Args:
        forecasts: forecast trees by name; one without `trained_from` and `trained_until` is taken on trust.

    Raises:
        ValueError: valid times within the training span, at places that were trained on; which, and how to mend it.
    """
    for name, tree in forecasts.items():
        predicted = predictions(tree)
        told = [f"trained_{k}" for k in ("from", "until")]
        rolling = all(k in predicted.coords for k in told)  # a fit of its own for some origins
        if not rolling and (told[1] not in tree.attrs or not _same_places(tree, predicted)):
            continue
        ends = (predicted[k].values if rolling else np.array([tree.attrs[k]]) for k in told)
        begin, end = (np.asarray(e, "datetime64[ns]") for e in ends)
        valid = predicted["valid_time"].values
        seen = ((valid >= begin[:, None]) & (valid <= end[:, None])).any(axis=1)
        if seen.any():
            raise ValueError(
                f"Training and test overlap: '{name}' was trained on {stamp(begin[0])} to {stamp(end[-1])}, and "
                f"{seen.sum()} of its {seen.size} forecasts reach into that, which flatters it. Fit on an "
                "earlier part (assim.split, or assim fit --until TIME), or ask for scores in sample "
                "(in_sample=True, --in-sample)."
            )


def _same_places(tree: xr.DataTree, predicted: xr.Dataset) -> bool:
    """Whether any station or run of the forecast was trained on; where there are no labels, all were."""
    for dim, labels in json.loads(tree.attrs.get("trained_on", "{}")).items():
        if dim in predicted.coords and not set(map(str, predicted[dim].values.ravel())) & set(
            labels
        ):
            return False
    return True


def trained_on(ds: xr.Dataset) -> dict[str, str]:
    """Attributes that say what a model was trained on: first and last time, ranges, labels of stations or runs."""
    times = np.datetime_as_string(ds["time"].values[[0, -1]].astype("datetime64[ns]"))
    labels = {
        dim: [str(label) for label in ds[dim].values]
        for dim in INSTANCES
        if dim in ds.dims and dim in ds.coords
    }
    return {
        "trained_from": str(times[0]),
        "trained_until": str(times[1]),
        "trained_on": json.dumps(labels),
        "trained_range": json.dumps(_ranges(ds)),
    }


def trained_range(attrs: Mapping[Any, Any], variable: str) -> tuple[float, float] | None:
    """Between what values a channel lay in the record that a model was trained on.

    Args:
        attrs: of a posterior or a forecast.
        variable: the channel; one at a depth, `name@30`, has the range over all depths.

    Returns:
        Lowest and highest, in units of the fit; None where that was not written down.
    """
    held = json.loads(attrs.get("trained_range", "{}"))
    found = held.get(variable, held.get(variable.partition("@")[0]))
    return None if found is None else (float(found[0]), float(found[1]))


def _ranges(ds: xr.Dataset) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of every channel that is in memory."""
    found = {}
    for name, values in ds.data_vars.items():
        if "time" not in values.dims or values.dtype.kind not in "fiu" or values.chunks is not None:
            continue
        read = values.values[np.isfinite(values.values)]
        if read.size:
            found[str(name)] = (float(read.min()), float(read.max()))
    return found
