"""What a report is made of: the results in a run directory, or those given by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr

from assim.tree import read_tree

Result = xr.DataTree | xr.Dataset


@dataclass(frozen=True)
class Run:
    """The results of one run, sorted by what they are.

    Args:
        name: of the run.
        posteriors: fitted trees by name.
        forecasts: forecast trees by name.
        scores: what `compare` gave, or None.
        truth: what happened, or None.
        left_out: a sentence for everything that was not used.
    """

    name: str
    posteriors: dict[str, xr.DataTree] = field(default_factory=dict)
    forecasts: dict[str, xr.DataTree] = field(default_factory=dict)
    scores: xr.Dataset | None = None
    truth: xr.Dataset | None = None
    left_out: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Say whether there is anything to report."""
        return bool(self.posteriors or self.forecasts or self.scores is not None)


def collect(run: str | Path | Mapping[str, Result]) -> Run:
    """Gather results from a directory, or sort those that are given.

    Every `*.nc` file and `*.zarr` store in the directory is looked at, also one folder down: trees
    with `predictions` are forecasts, trees with `posterior` are fits, a table with `crps` holds
    scores, and `truth.nc` holds what happened.

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
    collected = _sort(name, found, left_out)
    if not collected:
        because = f" ({' '.join(collected.left_out)})" if collected.left_out else ""
        raise ValueError(
            f"There is nothing to report in {where}{because}: expected fitted or forecast trees "
            "(*.nc, as assim.infer and assim.forecast give them) or a table scores.nc."
        )
    return collected


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
            found[label] = read_tree(path)
        except ValueError as error:
            left_out.append(f"{path.name} was left out: {error}")
    return found, left_out


def _sort(name: str, found: Mapping[str, Result], left_out: list[str]) -> Run:
    """Tell forecasts, fits, scores and truth apart."""
    posteriors: dict[str, xr.DataTree] = {}
    forecasts: dict[str, xr.DataTree] = {}
    scores, truth, said = None, None, list(left_out)
    for label, result in found.items():
        flat = result.to_dataset() if isinstance(result, xr.DataTree) else result
        if isinstance(result, xr.DataTree) and "predictions" in result.children:
            forecasts[label] = result
        elif isinstance(result, xr.DataTree) and "posterior" in result.children:
            posteriors[label] = result
        elif {"crps", "pit_histogram"} <= set(flat.data_vars):
            scores = flat
        elif label.split("/")[-1] == "truth" and "time" in flat.dims:
            truth = flat
        else:
            said.append(f"{label} was left out: it is neither a fit, a forecast nor scores.")
    return Run(name, posteriors, forecasts, scores, truth, tuple(said))
