"""Koopman spectra: eigenvalues on the unit disc, where a record allows one, and what each mode shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from assim.plotting.style import (
    IDEAL,
    PALETTE,
    QUIET,
    TRUTH,
    at_place,
    finish,
    label,
    line_style,
    new_axes,
    tint,
    words_of,
)
from assim.verifying import lead_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RANGE = (1e-3, 1.0)
"""Of the colours of residuals: less is as good as none, and more no better than 1."""
LEVELS = np.linspace(-2.0, 0.25, 10)
"""Contours of log10 of the least residual."""
SHOWN = 3
"""Modes that are drawn where none are named."""
LEAST = 0.01
"""Of the largest amplitude that any mode shows in a variable: less has no phase to speak of."""
FLAT = 1e-9
"""Variance of draws below which there is no ellipse to draw."""


def plot_eigenvalues(spectrum: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    r"""Draw the eigenvalues of a nominal step in the plane, each pair as both of its members.

    The ellipse of a mode holds `level` of a normal distribution with the mean and covariance of its draws,
    $(z - m)^\top C^{-1} (z - m) \le -2 \ln(1 - \text{level})$.

    Args:
        spectrum: what `assim.koopman.spectrum` gives.
        ax: where to draw; by default a new figure.

    Returns:
        The axes with the unit circle: dots verified, crosses refuted, both coloured by residual, with the tolerance
        marked on the bar; hollow where nothing verified them.
    """
    axes = new_axes(ax)
    _unit_circle(axes)
    for mode in spectrum["mode"].values:
        draws = spectrum["eigenvalue_draws"].sel(mode=mode).values
        for side in _sides(spectrum, mode):
            _ellipse(axes, draws * [1.0, side], float(spectrum.attrs["level"]))
    points = _points(axes, spectrum, coloured=True)
    if points is not None:
        bar = axes.figure.colorbar(
            points, ax=axes, location="left", label="residual", extend="both"
        )
        bar.ax.axhline(spectrum.attrs["tolerance"], color=TRUTH, lw=1)
    return _plane(axes)


def plot_pseudospectrum(
    pseudo: xr.DataArray, spectrum: xr.Dataset | None = None, *, ax: Axes | None = None
) -> Axes:
    """Draw where in the plane a record allows an eigenvalue: contours of the least residual.

    Args:
        pseudo: what `assim.koopman.pseudospectrum` gives.
        spectrum: of the same posterior, whose eigenvalues are drawn over it.
        ax: where to draw; by default a new figure.

    Returns:
        The axes with the unit circle.
    """
    axes = new_axes(ax)
    low = np.log10(np.maximum(pseudo.transpose("im", "re").values, 10.0 ** (LEVELS[0] - 1)))
    filled = axes.contourf(pseudo["re"], pseudo["im"], low, LEVELS, cmap="viridis", extend="both")
    _unit_circle(axes)
    if spectrum is not None:
        _points(axes, spectrum, coloured=False)
    words = "log10 of the least residual"
    axes.figure.colorbar(filled, ax=axes, location="left", label=words)
    return _plane(axes)


def plot_modes(
    spectrum: xr.Dataset, modes: Sequence[int] | None = None, *, place: str | int = 0
) -> Figure:
    """Draw the amplitude and the phase of what modes show in each variable.

    Args:
        spectrum: what `assim.koopman.spectrum` gives.
        modes: their numbers; by default the three of most energy.
        place: which station, by its label or number, where amplitudes differ between them.

    Returns:
        A figure with amplitudes and their credible intervals at the left, at the right phases where there is an
        amplitude, and in the legend the period of each mode and whether it is verified.

    Raises:
        ValueError: if there is no such mode or station.
    """
    import matplotlib.pyplot as plt

    held = spectrum["mode"].values
    if modes is None:
        modes = held[np.argsort(-spectrum["energy"].values, kind="stable")][:SHOWN].tolist()
    if strange := [mode for mode in modes if mode not in held]:
        raise ValueError(f"There is no mode {strange[0]} to plot, only {held.tolist()}.")
    kept = ("mode", "variable", "bound")
    amplitude, where = at_place(spectrum["amplitude"], place, kept)
    ends, _ = at_place(spectrum["amplitude_interval"], place, kept)
    names, units = (spectrum[name].values.tolist() for name in ("variable", "units"))
    alike = len(set(units)) == 1
    rows, most = np.arange(len(names)), amplitude.max("mode").values
    size = (7.6, 1.6 + 0.35 * len(names))
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True, layout="constrained")
    for number, mode in enumerate(modes):
        at = rows + 0.5 * ((number + 0.5) / len(modes) - 0.5)
        color = line_style(number)["color"]
        middle, bounds = amplitude.sel(mode=mode).values, ends.sel(mode=mode)
        reach = abs(bounds.transpose("bound", "variable").values - middle)
        style: dict[str, Any] = {"color": color, "fmt": "o", "ms": 4, "lw": 1.3}
        left.errorbar(middle, at, xerr=reach, **style)
        phase = np.degrees(spectrum["phase"].sel(mode=mode).values)
        phase = np.where(middle >= LEAST * most, phase, np.nan)
        right.plot(phase, at, "o", ms=4, color=color, label=_words(spectrum, mode))
    shown = names if alike else [label(n, u) for n, u in zip(names, units, strict=True)]
    left.set_yticks(rows, [str(name).replace("_", " ") for name in shown])
    left.set_xlim(left=0)
    left.set_xlabel(label("amplitude", units[0] if alike else "units of each variable"))
    left.invert_yaxis()
    right.set(xlim=(-190, 190), xticks=[-180, -90, 0, 90, 180], xlabel="phase (°)")
    left.set_title(", ".join(words_of(where)))
    finish(left)
    finish(right)
    return figure


def _points(axes: Axes, spectrum: xr.Dataset, *, coloured: bool) -> Any:
    """Draw the medians by status; what the colours hang on, or None where there are none."""
    from matplotlib.colors import LogNorm

    points = None
    words = spectrum["verified"].attrs["flag_meanings"].split()
    for status, marker in enumerate(("o", "o", "X")):
        chosen = spectrum.isel(mode=np.flatnonzero(spectrum["verified"] == status))
        if not chosen.sizes["mode"]:
            continue
        sides = [_sides(spectrum, mode) for mode in chosen["mode"].values]
        count = [len(side) for side in sides]
        real, imag = np.repeat(chosen["eigenvalue"].values, count, axis=0).T
        imag = imag * np.concatenate(sides)
        style: dict[str, Any] = {"marker": marker, "s": 36, "zorder": 3, "edgecolors": TRUTH}
        style |= {"lw": 0.6, "label": words[status]}
        if status == 0:
            axes.scatter(real, imag, **style | {"facecolors": "none", "lw": 1.2})
        elif coloured:
            residual = np.repeat(np.clip(chosen["residual"].values, *RANGE), count)
            style |= {"c": residual, "cmap": "viridis", "norm": LogNorm(*RANGE)}
            points = axes.scatter(real, imag, **style)
        else:
            axes.scatter(real, imag, **style | {"facecolors": "white"})
    return points


def _sides(spectrum: xr.Dataset, mode: int) -> tuple[float, ...]:
    """Signs of the imaginary part: both of a pair, one of a real eigenvalue."""
    imag = spectrum["eigenvalue_draws"].sel(part="imag", mode=mode)
    return (1.0, -1.0) if bool((abs(imag) > FLAT).any()) else (1.0,)


def _ellipse(axes: Axes, draws: np.ndarray, level: float) -> None:
    """The credible ellipse of draws (draw, 2), where they differ."""
    from matplotlib.patches import Ellipse

    if len(draws) < 3:
        return
    variance, direction = np.linalg.eigh(np.cov(draws.T))
    if variance[-1] < FLAT**2:
        return
    long, short = 2 * np.sqrt(-2 * np.log(1 - level) * np.maximum(variance[::-1], 0.0))
    angle = np.degrees(np.arctan2(direction[1, -1], direction[0, -1]))
    style: dict[str, Any] = {
        "facecolor": tint(PALETTE[0], 0.25),
        "edgecolor": PALETTE[0],
        "lw": 0.8,
    }
    centre = (float(draws[:, 0].mean()), float(draws[:, 1].mean()))
    axes.add_patch(Ellipse(centre, long, short, angle=angle, zorder=2, **style))


def _unit_circle(axes: Axes) -> None:
    """What neither grows nor decays."""
    from matplotlib.patches import Circle

    style = {"edgecolor": IDEAL["color"], "lw": IDEAL["lw"], "ls": IDEAL["ls"]}
    axes.add_patch(Circle((0, 0), 1, fill=False, **style))


def _plane(axes: Axes) -> Axes:
    """Axes of the complex plane around the unit disc."""
    for draw in (axes.axhline, axes.axvline):
        draw(0, color=QUIET, lw=0.5, zorder=0)
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal")
    axes.set(xlabel="real part", ylabel="imaginary part")
    return finish(axes)


def _words(spectrum: xr.Dataset, mode: int) -> str:
    """How fast a mode turns or decays, and whether it is verified."""
    one = spectrum.sel(mode=mode)
    status = spectrum["verified"].attrs["flag_meanings"].split()[int(one["verified"])]
    times = {"period": float(one["period"]), "half-life": float(one["half_life"])}
    told = [f"{name} {_span(time)}" for name, time in times.items() if np.isfinite(time)]
    return f"mode {mode}: {told[0] if told else 'steady'}, {status}"


def _span(seconds: float) -> str:
    """A time in words."""
    return lead_words(np.timedelta64(round(seconds * 1e6), "us"))
