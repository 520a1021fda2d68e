"""A forecaster is judged on what it has not learned from: the span of its training travels with its forecasts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

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
        if "trained_until" not in tree.attrs or not _same_places(tree, predicted):
            continue
        begin, end = (np.datetime64(tree.attrs[f"trained_{k}"], "ns") for k in ("from", "until"))
        valid = predicted["valid_time"].values
        seen = ((valid >= begin) & (valid <= end)).any(axis=1)
        if seen.any():
            raise ValueError(
                f"Training and test overlap: '{name}' was trained on {stamp(begin)} to {stamp(end)}, and "
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
    """The attributes that say what a model was trained on: first and last time, labels of stations or runs."""
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
    }
