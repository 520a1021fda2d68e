"""The plots that `assim demo` leaves as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assim.cli.writing import written

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def draw_all(
    forecasts: Mapping[str, xr.DataTree],
    posterior: xr.DataTree,
    truth: xr.Dataset,
    scores: xr.Dataset,
    folder: Path,
) -> list[str]:
    """Draw fan charts, calibration, scores by lead and the training curve.

    Args:
        forecasts: forecast trees by name, the one to show first.
        posterior: the fit whose training curve is drawn.
        truth: what happened.
        scores: what `compare` gave.
        folder: where the files go.

    Returns:
        Names of the files.
    """
    import matplotlib

    matplotlib.use("Agg")
    first = next(iter(forecasts))
    drawn = {
        "fan.png": _fans(forecasts[first], truth),
        "crps.png": _by_lead(scores, "crps"),
        "coverage.png": _by_lead(scores, "coverage"),
        "pit.png": _pits(scores, first),
        "reliability.png": _reliabilities(scores),
        "training.png": _training(first, posterior),
    }
    import matplotlib.pyplot as plt

    for name, figure in drawn.items():
        with written(folder / name) as unfinished:
            figure.savefig(unfinished, dpi=130)
        plt.close(figure)
    return list(drawn)


def _fans(forecast: xr.DataTree, truth: xr.Dataset) -> Figure:
    """One forecast of every channel from a third and two thirds of the way."""
    from assim import plotting

    predicted = forecast["predictions"].to_dataset()
    names = list(map(str, predicted.data_vars))
    starts = predicted["init_time"].values
    figure, axes = _panels(len(names), 2)
    for row, name in zip(axes, names, strict=True):
        for ax, share in zip(row, (0.3, 0.6), strict=True):
            at = starts[int(share * (len(starts) - 1))]
            plotting.fan(forecast, truth, name, init_time=at, ax=ax)
    return figure


def _by_lead(scores: xr.Dataset, score: str) -> Figure:
    from assim import plotting

    names = list(map(str, scores["variable"].values))
    figure, axes = _panels(1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        plotting.scores_by_lead(scores, name, score, ax=ax)
    return figure


def _pits(scores: xr.Dataset, model: str) -> Figure:
    from assim import plotting

    names = list(map(str, scores["variable"].values))
    figure, axes = _panels(1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        plotting.pit(scores, name, model, ax=ax)
    return figure


def _reliabilities(scores: xr.Dataset) -> Figure:
    from assim import plotting
    from assim.plotting.style import QUIET, line_style

    names = list(map(str, scores["variable"].values))
    figure, axes = _panels(1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        for index, model in enumerate(map(str, scores["model"].values)):
            curve = plotting.quantile_curve(scores, name, model)
            known = model == scores.attrs.get("baseline")
            color = QUIET if known else line_style(index)["color"]
            plotting.reliability(curve, name=model, color=color, ax=ax)
        ax.set_title(name.replace("_", " "))
    return figure


def _training(name: str, posterior: xr.DataTree) -> Figure:
    from assim import plotting

    figure, axes = _panels(1, 1)
    plotting.training({name: posterior}, ax=axes[0][0])
    return figure


def _panels(rows: int, columns: int) -> tuple[Figure, list]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows, columns, figsize=(5.6 * columns, 3.6 * rows), layout="constrained", squeeze=False
    )
    return figure, list(axes)
