"""Panels of one field beside each other, one colour bar for each quantity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim.plotting.belief import Belief
from assim.plotting.style import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LAND = "#d9d9d9"
FIELD, ANOMALY, SPREAD, ERROR = "field", "anomaly", "spread", "error"
COLOURS = {FIELD: "viridis", ANOMALY: "RdBu_r", SPREAD: "magma_r", ERROR: "PuOr_r"}
SIGNED = (ANOMALY, ERROR)
EARTH = {"degrees_north": ("latitude", "°N"), "degrees_east": ("longitude", "°E")}


@dataclass(frozen=True)
class Panel:
    """What one panel shows.

    Args:
        title: over it.
        kind: which quantity, and so which colour bar.
        values: of the field, its units.
    """

    title: str
    kind: str
    values: xr.DataArray


def panels_of(held: Belief, *, anomaly: bool) -> list[Panel]:
    """Truth, mean, spread and error, as far as they are there."""
    kind, panels = ANOMALY if anomaly else FIELD, []
    if held.truth is not None:
        panels.append(Panel("truth", kind, held.truth))
    panels.append(Panel(f"mean of the {held.who}", kind, held.mean))
    if held.spread is not None:
        panels.append(Panel("standard deviation", SPREAD, held.spread))
    if held.error is not None:
        panels.append(Panel("mean minus truth", ERROR, held.error))
    return panels


def draw(
    figure: Figure,
    axes: Sequence[Axes],
    panels: Sequence[Panel],
    mesh: Callable[[Axes, np.ndarray, dict[str, Any]], Any],
    dims: tuple[str, str],
    units: object,
) -> None:
    """Draw panels with one scale and colour bar for all of a kind.

    Args:
        figure: that holds the axes.
        axes: one for each panel.
        panels: what they show.
        mesh: draws the values in a style on axes.
        dims: upwards and to the right.
        units: of the field.
    """
    for kind in dict.fromkeys(panel.kind for panel in panels):
        alike = [(ax, p) for ax, p in zip(axes, panels, strict=True) if p.kind == kind]
        style = {"cmap": COLOURS[kind], **_limits([p.values for _, p in alike], kind)}
        for ax, panel in alike:
            drawn = mesh(ax, panel.values.transpose(*dims).values, style)
            ax.set_facecolor(LAND)
            ax.set_title(panel.title, fontsize="medium", loc="left")
        words = "" if str(units or "1") == "1" else str(units)
        figure.colorbar(drawn, ax=[ax for ax, _ in alike], label=words)


def axis_words(field: xr.DataArray, dim: str) -> str:
    """Label an axis of the grid by its long name and units."""
    attrs = field[dim].attrs if dim in field.coords else {}
    units = str(attrs.get("units", ""))
    name, units = EARTH.get(units, (dim, units))
    return label(str(attrs.get("long_name", name)), units)


def _limits(values: Sequence[xr.DataArray], kind: str) -> dict[str, float]:
    """The scale of one quantity: about 0 where it has a sign, from 0 where it has none."""
    low, high = (float(f([float(f(v)) for v in values])) for f in (np.nanmin, np.nanmax))
    if not np.isfinite([low, high]).all():
        return {"vmin": 0.0, "vmax": 1.0}
    if kind in SIGNED:
        high = max(abs(low), abs(high)) or 1.0
        return {"vmin": -high, "vmax": high}
    return {"vmin": 0.0 if kind == SPREAD else low, "vmax": high}
