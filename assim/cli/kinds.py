"""The files that go from one command to the next: fits, forecasts, assimilations; a wrong one is named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

GROUPS = {
    "a fit": "posterior",
    "a forecast": "predictions",
    "an assimilation": "analysis",
    "a reconstruction": "smoothed",
}
RESULTS = (*GROUPS, "a table of scores")
REMEDIES = {
    "a fit": "give what assim fit wrote (assim fit FILE -o FIT)",
    "a forecast": "give what assim forecast wrote (assim forecast FIT FILE -o FORECAST)",
    "an assimilation": "give what assim assimilate wrote (assim assimilate FIT FILE -o ANALYSIS)",
    "a reconstruction": "give what assim.reconstruct returned",
    "a record": "give the file of the readings",
}


def read(path: Path, wanted: str) -> xr.DataTree:
    """A fit, a forecast or an assimilation from its file.

    Args:
        path: the file.
        wanted: "a fit", "a forecast" or "an assimilation".

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is something else, and what.
    """
    from assim.tree import read_tree

    tree = read_tree(path)
    if GROUPS[wanted] not in tree.children:
        raise another(path, tree, wanted)
    return tree


def refuse_results(files: Iterable[str]) -> None:
    """Refuse files that a command wrote where readings are wanted; anything else is let pass.

    Raises:
        ValueError: one is a fit, a forecast, an assimilation or a table of scores, and which.
    """
    from assim.report.collecting import kind_of
    from assim.tree import read_tree

    for path in files:
        try:
            tree = read_tree(path)
        except (OSError, ValueError):
            continue
        if kind_of(tree) in RESULTS:
            raise another(path, tree, "a record")


def another(path: str | Path, tree: xr.DataTree, wanted: str) -> ValueError:
    """The mistake of a file that is something else than is wanted."""
    from assim.report.collecting import kind_of

    return ValueError(f"{path} is {kind_of(tree)}, and {wanted} is wanted: {REMEDIES[wanted]}.")
