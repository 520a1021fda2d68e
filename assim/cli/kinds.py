"""The files that go from one command to the next: fits and forecasts; a wrong one is named for what it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

GROUPS = {"a fit": "posterior", "a forecast": "predictions"}
RESULTS = (*GROUPS, "a table of scores")
REMEDIES = {
    "a fit": "give what assim fit wrote (assim fit FILE -o FIT)",
    "a forecast": "give what assim forecast wrote (assim forecast FIT FILE -o FORECAST)",
    "a record": "give the file of the readings",
}


def read(path: Path, wanted: str) -> xr.DataTree:
    """A fit or a forecast from its file.

    Args:
        path: the file.
        wanted: "a fit" or "a forecast".

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
        ValueError: one is a fit, a forecast or a table of scores, and which.
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
