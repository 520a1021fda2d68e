"""Curves of fields: energy by wavenumber, error and spread by lead time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim import scoring
from assim.plotting.belief import field_named, samples, stage_of
from assim.plotting.curves import MOST_MARKED
from assim.plotting.style import (
    IDEAL,
    PALETTE,
    QUIET,
    TRUTH,
    choose,
    finish,
    label,
    lead_axis,
    line_style,
    new_axes,
    tint,
)
from assim.verifying import lead_words, pick_lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

USEFUL = 0.6
"""Anomaly correlation down to which forecasters find a map of use."""
NAMED = {"rmse": "error of the mean", "crps": "CRPS", "anomaly_correlation": "anomaly correlation"}
COMPARABLE = 2.0
"""Of the largest error: a climate that errs by more lies off the plot."""
LINES: dict[str, dict[str, Any]] = {
    "truth": {"color": TRUTH, "lw": 2.6},
    "members": {"color": PALETTE[0], "lw": 1.2},
    "mean of members": {"color": PALETTE[1], "lw": 1.2, "ls": "--"},
}
LEAST = 1e-12
"""Of the largest energy: less is rounding, and is not drawn."""


def plot_spectrum(
    tree: xr.DataTree,
    truth: xr.Dataset | None = None,
    variable: str | None = None,
    *,
    axis: str | Sequence[str] | None = None,
    lead_time: str | None = None,
    stage: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the energy of a field by wavenumber: of the truth, of the members and of their mean.

    Members that are draws of the truth's law have its energy; their mean has less, the more they disagree.

    Args:
        tree: a forecast, or an assimilation that kept its members.
        truth: what happened, in its units or others that they can be made of.
        variable: the field; by default the first.
        axis: of the grid, or two; by default the longitude where there is one, else the last two.
        lead_time: of a forecast, such as "6h"; by default the last.
        stage: "background", "analysis" or "smoothed"; by default the last that there is.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; means over origins or times (100 of many) and places that are complete, by area, and the range
        that holds 90 % of the members' spectra. Wavenumber 0, the mean of the field, is left out.

    Raises:
        ValueError: if there is no such field, axis or lead, or nowhere a complete row or square of places.
    """
    name = field_named(tree, variable)
    dims, lead = _dims(tree, name, axis), None
    if "predictions" in tree.children:
        leads = scoring.predictions(tree)["lead_time"]
        lead = leads.values.max() if lead_time is None else pick_lead(leads, lead_time)
    spectra = _spectra(tree, truth, name, dims, stage, lead)
    waves = spectra["members"]["wavenumber"]
    at = waves.values
    axes = new_axes(ax)
    one = spectra["members"].stack(one=[d for d in spectra["members"].dims if d != "wavenumber"])
    low, high = one.quantile([0.05, 0.95], "one").transpose("quantile", "wavenumber").values
    words = "90 % of members"
    axes.fill_between(at, low, high, color=tint(PALETTE[0], 0.3), lw=0, label=words)
    curves = {
        what: energy.mean([d for d in energy.dims if d != "wavenumber"]).values
        for what, energy in spectra.items()
    }
    least = LEAST * max(curve.max() for curve in curves.values())
    for what, curve in curves.items():
        shown = np.where(curve > least, curve, np.nan)
        marker = "o" if at.size <= MOST_MARKED else ""
        axes.plot(at, shown, label=what, ms=3, marker=marker, **LINES[what])
    _log_axes(axes, min(curve[curve > least].min() for curve in curves.values()) / 10)
    axes.set_xlabel(label("wavenumber", waves.attrs.get("units")))
    axes.set_ylabel(label("energy", spectra["members"].attrs.get("units")))
    when = stage_of(tree, stage) if lead is None else f"{lead_words(lead)} ahead"
    axes.set_title(f"{name} along {' and '.join(dims)}, {when}".replace("_", " "))
    return finish(axes)


def plot_error_by_lead(
    scores: xr.Dataset | Mapping[str, xr.Dataset],
    score: str = "rmse",
    *,
    lyapunov: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the error of forecasts of a field by lead time.

    Args:
        scores: what `scoring.error_by_lead` gives, or several by name of the forecast.
        score: "rmse", beside which the spread is dashed, "crps" or "anomaly_correlation".
        lyapunov: the largest Lyapunov exponent, 1/s; where it is given, leads are in its inverse.
        ax: where to draw; by default a new figure.

    Returns:
        The axes; dotted the error of the climate of the truth, where the forecasts come near it.

    Raises:
        ValueError: if there is no such score.
    """
    tables = {"": scores} if isinstance(scores, xr.Dataset) else dict(scores)
    choose("score", list(NAMED), score)
    axes, words, held = new_axes(ax), "", next(iter(tables.values()))
    for index, (model, table) in enumerate(tables.items()):
        color = line_style(index)["color"]
        leads, words = lead_axis(table["lead_time"])
        if lyapunov is not None:
            seconds = table["lead_time"].values / np.timedelta64(1, "s")
            leads, words = seconds * lyapunov, "lead time (Lyapunov times)"
        called = NAMED[score] if not model else f"{model}: error" if score == "rmse" else model
        axes.plot(leads, table[score], color=color, lw=1.4, label=called)
        if score == "rmse":
            called = f"{model}: spread" if model else "spread"
            axes.plot(leads, table["spread"], color=color, lw=1.2, ls="--", label=called)
    usual = held.attrs["climatological_sd"]
    if score == "anomaly_correlation":
        axes.axhline(USEFUL, label=f"of use above {USEFUL:g}", color=QUIET, lw=1, ls=":")
        axes.set_ylim(top=1.0)
    else:
        if score == "rmse" and usual < COMPARABLE * axes.dataLim.y1:
            axes.axhline(usual, label="sd of the truth", **IDEAL)
        axes.set_ylim(bottom=0)
    axes.set(xlabel=words, title=str(held.attrs["variable"]).replace("_", " "))
    said = "root mean square" if score == "rmse" else NAMED[score]
    axes.set_ylabel(label(said, held[score].attrs["units"]))
    return finish(axes)


def _spectra(
    tree: xr.DataTree,
    truth: xr.Dataset | None,
    name: str,
    dims: tuple[str, ...],
    stage: str | None,
    lead: np.timedelta64 | None,
) -> dict[str, xr.DataArray]:
    """Energy of truth, members and mean on (..., wavenumber), of the rows or squares that all of them have."""
    found: dict[str, list[xr.DataArray]] = {what: [] for what in LINES}
    for paths, known in samples(tree, truth, name, stage=stage, lead=lead):
        whole = paths.notnull().all("member") & (True if known is None else known.notnull())
        fields = {"members": paths, "mean of members": paths.mean("member")}
        fields |= {} if known is None else {"truth": known}
        for what, field in fields.items():
            weights = scoring.area_weights(field.isel({dim: 0 for dim in dims}))
            energy = scoring.energy_spectrum(field.where(whole), dims).weighted(weights)
            over = [dim for dim in scoring.grid_axes(field) if dim not in dims]
            found[what].append(energy.mean(over, keep_attrs=True))
    along = "time" if lead is None else "init_time"
    spectra = {what: xr.concat(parts, along) for what, parts in found.items() if parts}
    k = spectra["members"]["wavenumber"]
    kept = (k > 0) & (k <= k.attrs["nyquist"] * (1 + 1e-9))
    spectra = {what: energy.isel(wavenumber=kept.values) for what, energy in spectra.items()}
    if not bool(spectra["members"].notnull().any()):
        raise ValueError(
            f"'{name}' is nowhere complete along {' and '.join(dims)}, so that it has no spectrum: choose one axis "
            "along which some rows have no land, or fill what is missing."
        )
    if flat := [what for what, energy in spectra.items() if not energy.max() > 0]:
        raise ValueError(
            f"The {flat[0]} of '{name}' is the same at all places along {' and '.join(dims)}, so that it has no "
            "energy to draw: choose another axis."
        )
    return spectra


def _log_axes(axes: Axes, bottom: float) -> None:
    """Powers of ten upwards, and to the right what lies between them, too."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    axes.set(xscale="log", yscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylim(bottom=max(axes.get_ylim()[0], bottom))


def _dims(tree: xr.DataTree, name: str, axis: str | Sequence[str] | None) -> tuple[str, ...]:
    """The axes along which waves are counted."""
    held = scoring.field_axes(tree)[name]
    if axis is not None:
        asked = (axis,) if isinstance(axis, str) else tuple(axis)
        return tuple(choose("axis", list(held), one) for one in asked)
    group = "predictions" if "predictions" in tree.children else scoring.stages(tree)[-1]
    weights = scoring.area_weights(tree[group].to_dataset())
    around = [dim for dim in held if weights.dims and dim not in weights.dims]
    return tuple(around[-1:]) or held[-2:]
