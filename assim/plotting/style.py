"""What all plots share: colours that colour-blind readers can tell apart, axes with units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008), Color universal design: without the yellow, which is too faint for lines.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
DASHES = ("-", "--", "-.", ":")
TRUTH = "#222222"
QUIET = "#8a8a8a"


def new_axes(ax: Axes | None) -> Axes:
    """Give the axes to draw on, new ones when none are given."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(6.4, 3.8), layout="constrained")[1]


def line_style(index: int) -> dict[str, Any]:
    """Give the colour and dash of the i-th line; no pair repeats among the first 24."""
    turn = index // len(PALETTE)
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": DASHES[turn % len(DASHES)]}


def label(name: str, units: object = "", power: int = 1) -> str:
    """Write an axis label with its units: "air temperature (degC)"."""
    words = name.replace("_", " ")
    text = str(units or "").strip()
    if text in ("", "1"):
        return words
    if power != 1:
        return f"{words} (({text})$^{power}$)" if " " in text else f"{words} ({text}$^{power}$)"
    return f"{words} ({text})"


def lead_axis(leads: xr.DataArray) -> tuple[np.ndarray, str]:
    """Turn lead times into numbers in the unit people use for such spans.

    Args:
        leads: timedelta64.

    Returns:
        The numbers, and the label of the axis.
    """
    seconds = leads.values / np.timedelta64(1, "s")
    for words, length, least in (("d", 86400, 4), ("h", 3600, 2), ("min", 60, 2)):
        if seconds.max() >= least * length:
            return seconds / length, f"lead time ({words})"
    return seconds, "lead time (s)"


def choose(what: str, held: Sequence[str], wanted: str | None) -> str:
    """Take the one that is asked for, or the first.

    Args:
        what: the kind of thing, for the message.
        held: what there is.
        wanted: what is asked for, or None.

    Returns:
        One of `held`.

    Raises:
        ValueError: if it is not there.
    """
    if wanted is None and held:
        return held[0]
    if wanted is None or wanted not in held:
        raise ValueError(f"There is no {what} '{wanted}' to plot, only {list(held)}.")
    return wanted
