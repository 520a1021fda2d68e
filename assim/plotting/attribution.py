"""What a forecast owes to its inputs: a map of sensors and lags, and what each sensor comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim.attributing_labels import DRAWN, shares
from assim.plotting.panels import ANOMALY, COLOURS, SPREAD
from assim.plotting.style import (
    PALETTE,
    QUIET,
    TRUTH,
    at_place,
    choose,
    finish,
    label,
    lead_axis,
    tint,
    words_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = (*DRAWN, "init_time", "sensor", "offset")


def plot_attribution(
    attribution: xr.DataTree,
    target: str | None = None,
    quantity: str = "mean",
    *,
    init_time: str | np.datetime64 | None = None,
    place: str | int = 0,
    level: float = 0.9,
) -> Figure:
    """Draw what is attributed to each sensor at each lag, and to each control at each lead.

    Args:
        attribution: what `assim.attribute` gives.
        target: the channel that is explained; by default the first.
        quantity: "mean", "log_variance" or "epistemic_variance".
        init_time: an origin, to the nearest; by default all of them.
        place: which station or run, by its label or number.
        level: of the intervals over draws.

    Returns:
        A figure. Of one origin the map at the left has attributions with their sign, averaged over draws, and the
        bars at the right are their sums over the lags of each sensor. Of all origins it has the mean of absolute
        values, and the bars are shares of their sum. Lines are intervals over draws, where there are any.

    Raises:
        ValueError: if there is no such quantity, target or place.
    """
    import matplotlib.pyplot as plt

    held = attribution[choose("quantity", list(attribution.children), quantity)].to_dataset()
    name = choose("target", [str(n) for n in held["target"].values], target)
    told, where = at_place(held["attribution"].sel(target=name), place, KEPT)
    drawn = [d for d in DRAWN if d in told.dims]
    titles = [f"{quantity} of {name}".replace("_", " "), *words_of(where)]
    units = str(held["units"].sel(target=name).item())
    middle = told.mean(drawn, skipna=False)
    style: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
    if init_time is None:
        shown, bars, each = abs(middle).mean("init_time"), shares(middle), shares(told)
        words, amount, style["cmap"] = "mean absolute attribution", "share", COLOURS[SPREAD]
        style |= {"vmin": 0}
    else:
        origins = told.indexes["init_time"]
        asked = [np.datetime64(init_time, "ns")]
        row = int(origins.get_indexer(asked, method="nearest")[0])
        shown, one = middle.isel(init_time=row), told.isel(init_time=row)
        bars, each = shown.sum("offset"), one.sum("offset")
        words, amount, style["cmap"] = "attribution", label("sum", units), COLOURS[ANOMALY]
        most = float(abs(shown).max()) or 1.0
        style |= {"vmin": -most, "vmax": most}
        titles.append(f"from {str(origins[row]).removesuffix(':00')}")
    sensors = [str(s) for s in told["sensor"].values]
    size = (8.4, 1.6 + 0.35 * len(sensors))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    offsets, of_axis = _since(told["offset"])
    half = 0.5 * (offsets[1] - offsets[0] if len(offsets) > 1 else 1.0)
    extent = (offsets[0] - half, offsets[-1] + half, len(sensors) - 0.5, -0.5)
    area = left.imshow(shown.transpose("sensor", "offset"), extent=extent, **style)
    left.set_facecolor(tint(QUIET, 0.25))  # where there is no such input
    if offsets[-1] > 0:
        left.axvline(half, color=TRUTH, lw=1, ls=":")
    left.set_yticks(range(len(sensors)), [s.replace("_", " ") for s in sensors])
    left.set(xlabel=of_axis, title=", ".join(titles))
    figure.colorbar(area, ax=left, label=label(words, units), location="left")
    right.barh(range(len(sensors)), bars.values, color=tint(PALETTE[0], 0.6), height=0.7)
    if drawn:
        ends = each.quantile([(1 - level) / 2, (1 + level) / 2], drawn).transpose("quantile", ...)
        interval = f"{100 * level:g} % interval over draws"
        right.hlines(range(len(sensors)), *ends.values, color=PALETTE[0], lw=1.5, label=interval)
    right.axvline(0, color=QUIET, lw=0.5)
    right.set_xlabel(amount)
    finish(left)
    finish(right)
    return figure


def _since(offsets: xr.DataArray) -> tuple[np.ndarray, str]:
    """Offsets in the unit that people use for such spans, and the label of the axis."""
    length, words = lead_axis(abs(offsets))
    sign = np.sign(offsets.values / np.timedelta64(1, "s"))
    return sign * length, words.replace("lead time", "time since the origin")
