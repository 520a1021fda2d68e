"""What a report is made of: the results in a run directory, or those given by name; and what is lacking there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import join

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from assim.data import align, open_dataset
from assim.data.clockwork import step_words
from assim.data.describing import holds_times, needs_aligning
from assim.scoring import predictions
from assim.tree import read_tree

Result = xr.DataTree | xr.Dataset
FILTERED = ("an assimilation", "a reconstruction")


@dataclass(frozen=True)
class Run:
    """The results of one run, sorted by what they are.

    Args:
        name: of the run.
        posteriors: fitted trees by name.
        forecasts: forecast trees by name.
        scores: what `compare` gave, or None.
        truth: what happened, on the clock of the forecasts, or None.
        left_out: a sentence for everything that was not used, or not as it is.
        folder: where they were read from, or None.
        assimilations: trees of `assim.assimilate` and `assim.reconstruct` by name.
    """

    name: str
    posteriors: dict[str, xr.DataTree] = field(default_factory=dict)
    forecasts: dict[str, xr.DataTree] = field(default_factory=dict)
    scores: xr.Dataset | None = None
    truth: xr.Dataset | None = None
    left_out: tuple[str, ...] = ()
    folder: Path | None = None
    assimilations: dict[str, xr.DataTree] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Say whether there is anything to report."""
        trees = self.posteriors or self.forecasts or self.assimilations
        return bool(trees or self.scores is not None)


def collect(run: str | Path | Mapping[str, Result]) -> Run:
    """Gather results from a directory, or sort those that are given.

    Every `*.nc` file and `*.zarr` store in the directory is looked at, also one folder down: trees
    with `predictions` are forecasts, with `analysis` or `smoothed` assimilations, with `posterior` fits, a
    table with `crps` holds scores, and `truth.nc`, read as `open_dataset` does, holds what happened.

    Args:
        run: the directory, or results by name.

    Returns:
        The run.

    Raises:
        FileNotFoundError: if there is no such directory.
        ValueError: if it holds nothing to report.
    """
    found: dict[str, Result]
    left_out: list[str] = []
    folder = None
    expected = (
        "trees of assim.infer, assim.forecast or assim.assimilate, or a table of assim.compare"
    )
    if isinstance(run, Mapping):
        found, name, where = dict(run), "Forecast report", "the objects given"
    else:
        folder = Path(run)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"There is no directory '{run}' to report on; give the one that holds the results."
            )
        found, left_out = _read(folder)
        name, where = folder.resolve().name, f"'{run}'"
        expected = (
            f"fits (assim fit FILE -o {folder}/fit.nc), forecasts (assim forecast FIT FILE -o "
            f"{folder}/forecast.nc), assimilations (assim assimilate FIT FILE -o {folder}/analysis.nc) or scores "
            f"(assim compare FORECAST --truth FILE -o {folder}/scores.nc)"
        )
    collected = replace(_sort(name, found, left_out), folder=folder)
    if not collected:
        because = f" ({' '.join(collected.left_out)})" if collected.left_out else ""
        raise ValueError(f"There is nothing to report in {where}{because}: expected {expected}.")
    return collected


def lacking(run: Run) -> tuple[str, ...]:
    """A sentence for every file that a whole report would need and the directory does not hold: what makes it."""
    if run.folder is None:
        return ()
    if not run.forecasts and run.assimilations:
        return ()
    if not run.forecasts:
        made = "make one with assim forecast FIT FILE -o"
        return (
            f"No forecast is in {run.folder}, so none is judged: {made} {run.folder}/forecast.nc.",
        )
    said = []
    if run.scores is None and run.truth is None:
        files = (run.folder / f"{name}{end}" for name in run.forecasts for end in (".nc", ".zarr"))
        named = join(str(path) for path in files if path.exists())
        said.append(
            f"scores.nc is lacking in {run.folder}, so the page has no scores: make it with "
            f"assim compare {named} --truth FILE -o {run.folder}/scores.nc."
        )
    if run.truth is None and not (run.folder / "truth.nc").exists():
        said.append(
            f"truth.nc is lacking in {run.folder}, so the plots show no readings: copy the record there "
            f"(cp FILE {run.folder}/truth.nc)."
        )
    return tuple(said)


def kind_of(result: Result) -> str:
    """What a result is, in words."""
    groups = result.children if isinstance(result, xr.DataTree) else {}
    if "predictions" in groups:
        return "a forecast"
    if "analysis" in groups:
        return "an assimilation"
    if "smoothed" in groups:
        return "a reconstruction"
    if "posterior" in groups:
        return "a fit"
    if {"crps", "pit_histogram"} <= set(result.data_vars):
        return "a table of scores"
    return "a record" if result.data_vars else "no result of assim"


def step_of(forecasts: Mapping[str, xr.DataTree]) -> float:
    """The step of forecasts, in seconds.

    Raises:
        ValueError: they have different ones; which.
    """
    steps = {}
    for name, tree in forecasts.items():
        leads = np.sort(tree["predictions"].to_dataset()["lead_time"].values)
        steps[name] = float(np.diff(leads, prepend=leads[:1] * 0).min() / np.timedelta64(1, "s"))
    if len(set(steps.values())) > 1:
        told = ", ".join(f"{name} {step_words(step)}" for name, step in steps.items())
        raise ValueError(
            f"The forecasts have different steps ({told}), so that no one truth serves all of them: "
            "compare those of one step."
        )
    return next(iter(steps.values()))


def of_fields(forecasts: Mapping[str, xr.DataTree]) -> bool:
    """Whether forecasts are of fields at their own times, so that a truth serves as it is: no mean of months."""
    layouts = (json.loads(tree.attrs.get("layout", "{}")) for tree in forecasts.values())
    return any(layout.get("grid") for layout in layouts)


def valid_times(forecasts: Mapping[str, xr.DataTree]) -> NDArray[np.datetime64]:
    """All times that forecasts are of, shape (time,), datetime64[ns]."""
    valid = [predictions(tree)["valid_time"].values.ravel() for tree in forecasts.values()]
    return np.unique(np.concatenate(valid))


def _read(folder: Path) -> tuple[dict[str, Result], list[str]]:
    """Read every result of a directory that can be read."""
    found: dict[str, Result] = {}
    left_out = []
    patterns = ("*.nc", "*.zarr", "*/*.nc", "*/*.zarr")
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        if any(part.suffix == ".zarr" for part in path.relative_to(folder).parents):
            continue
        label = str(path.relative_to(folder).with_suffix(""))
        try:
            found[label] = open_dataset(path) if path.stem == "truth" else read_tree(path)
        except (OSError, ValueError) as error:
            left_out.append(f"{path.name} was left out: {error}")
    return found, left_out


def _sort(name: str, found: Mapping[str, Result], left_out: list[str]) -> Run:
    """Tell forecasts, assimilations, fits, scores and truth apart."""
    posteriors: dict[str, xr.DataTree] = {}
    forecasts: dict[str, xr.DataTree] = {}
    assimilations: dict[str, xr.DataTree] = {}
    scores, truth, said = None, None, list(left_out)
    for label, result in found.items():
        kind = kind_of(result)
        flat = result.to_dataset() if isinstance(result, xr.DataTree) else result
        if isinstance(result, xr.DataTree) and kind == "a forecast":
            forecasts[label] = result
        elif isinstance(result, xr.DataTree) and kind in FILTERED:
            assimilations[label] = result
        elif isinstance(result, xr.DataTree) and kind == "a fit":
            posteriors[label] = result
        elif kind == "a table of scores":
            scores = flat
        elif label.split("/")[-1] == "truth" and "time" in flat.dims:
            truth = flat
        else:
            said.append(
                f"{label} was left out: it is neither a fit, a forecast, an assimilation nor scores."
            )
    if truth is not None and forecasts:
        truth, told = _on_their_clock(truth, forecasts)
        said += told
    return Run(name, posteriors, forecasts, scores, truth, tuple(said), assimilations=assimilations)


def _on_their_clock(
    truth: xr.Dataset, forecasts: Mapping[str, xr.DataTree]
) -> tuple[xr.Dataset | None, list[str]]:
    """The truth on the clock of the forecasts, and what was done to it; None where they have different ones."""
    if of_fields(forecasts):
        return truth, []
    try:
        step = step_of(forecasts)
    except ValueError as error:
        return None, [f"The truth was left out: {error}"]
    times = truth["time"].values
    if not needs_aligning(times, step) or holds_times(times, valid_times(forecasts), step):
        return truth, []
    words = f"the mean of its readings in each {step_words(step)}"
    on_clock = align(truth, np.timedelta64(round(step * 1e9), "ns"))
    return on_clock, [f"The truth was put on the clock of the forecasts: {words}."]
