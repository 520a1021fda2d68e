"""The plots that `assim demo` leaves as PNG files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assim.cli.writing import written

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure


def draw_all(
    forecasts: Mapping[str, xr.DataTree],
    posteriors: Mapping[str, xr.DataTree],
    truth: xr.Dataset,
    scores: xr.Dataset,
    folder: Path,
) -> list[str]:
    """Draw fan charts, calibration, scores by lead and the training curve.

    Args:
        forecasts: forecast trees by name, the one to show first.
        posteriors: fits by name whose training curves are drawn.
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
        "crps.png": _by_lead(scores, "crps", forecasts[first]),
        "coverage.png": _by_lead(scores, "coverage", forecasts[first]),
        "pit.png": _pits(scores, first),
        "reliability.png": _reliabilities(scores),
        "training.png": _training(posteriors),
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
    return _one_legend(figure)


def _by_lead(scores: xr.Dataset, score: str, forecast: xr.DataTree) -> Figure:
    from assim import plotting

    names = list(map(str, scores["variable"].values))
    figure, axes = _panels(1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        plotting.scores_by_lead(scores, name, score, ax=ax)
    figure.supxlabel(_ripple(forecast), fontsize="small")
    return _one_legend(figure)


def _ripple(forecast: xr.DataTree) -> str:
    """Say why scores go up and down with the lead where origins are sparser than leads."""
    import numpy as np

    from assim.verifying import lead_words

    predicted = forecast["predictions"].to_dataset()
    between, step = (np.diff(predicted[axis].values) for axis in ("init_time", "lead_time"))
    if not between.size or not step.size or between.min() <= step.min():
        return ""
    return (
        f"Origins are {lead_words(between.min())} apart and leads {lead_words(step.min())}, so that neighbouring "
        "leads are scored on different readings:\na ripple that all models share lies in the readings."
    )


def _pits(scores: xr.Dataset, model: str) -> Figure:
    from assim import plotting

    names = list(map(str, scores["variable"].values))
    figure, axes = _panels(1, len(names))
    for ax, name in zip(axes[0], names, strict=True):
        plotting.pit(scores, name, model, ax=ax)
    return _one_legend(figure)


def _reliabilities(scores: xr.Dataset) -> Figure:
    from assim import plotting
    from assim.plotting.style import line_styles

    names = list(map(str, scores["variable"].values))
    figure, axes = _panels(1, len(names), width=3.8)
    for ax, name in zip(axes[0], names, strict=True):
        styles = line_styles(list(map(str, scores["model"].values)), scores.attrs.get("baseline"))
        for model, style in styles.items():
            curve = plotting.quantile_curve(scores, name, model)
            plotting.reliability(curve, name=model, color=style["color"], ax=ax)
        ax.set_title(name.replace("_", " "))
    return _one_legend(figure)


def _training(posteriors: Mapping[str, xr.DataTree]) -> Figure:
    from assim import plotting

    figure, axes = _panels(1, 1)
    plotting.training(posteriors, ax=axes[0][0])
    return figure


def _panels(rows: int, columns: int, width: float = 5.0) -> tuple[Figure, list]:
    """Lay out panels, with room for one legend at the right."""
    import matplotlib.pyplot as plt

    size = (width * columns + 1.4, 3.6 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    return figure, list(axes)


def _one_legend(figure: Figure) -> Figure:
    """Put one legend at the right of the figure in place of one beside every panel."""
    from assim.plotting.style import LEGEND

    entries: dict[str, Artist] = {}
    for ax in figure.axes:
        handles, words = ax.get_legend_handles_labels()
        entries |= dict(zip(map(str, words), handles, strict=True))
        if legend := ax.get_legend():
            legend.remove()
    figure.legend(entries.values(), entries.keys(), loc="outside right upper", **LEGEND)
    return figure
