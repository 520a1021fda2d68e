"""`assim check`: what a file holds and what a fit would do with it; `assim datasets`: the files that come along."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assim.cli.opening import Quality, names_in, open_by_groups
from assim.cli.options import Files, Quiet, Screen, Step, Variables
from assim.cli.speaking import say, show
from assim.cli.writing import save, written

if TYPE_CHECKING:
    import xarray as xr


def check(
    files: Files,
    variables: Variables = None,
    qc: Screen = Quality.bad,
    step: Step = None,
) -> None:
    """Say what files hold and what a fit would do."""
    records = open_by_groups(files, variables=names_in(variables), qc=qc, step=step)
    for number, (group, ds) in enumerate(records.items()):
        if group:
            say(f"{'\n' if number else ''}Group {group}")
        _describe(ds)
    if "" not in records:
        say("\nThe groups come onto one clock with assim.join_rates.")


def _describe(ds: xr.Dataset) -> None:
    from assim import data

    found = data.describe(ds)
    table = found.table.reset_index()
    numeric = {str(c) for c in table.columns if table[c].dtype.kind in "fiu"}
    heads = [f"{'>' if str(c) in numeric else ''}{str(c).replace('_', ' ')}" for c in table.columns]
    rows = table.to_dict("records")
    show(heads, [[_cell(value, str(name)) for name, value in row.items()] for row in rows])
    for name, value in found.clock.items():
        say(f"{name.replace('_', ' ')}: {value}")
    for title, sentences in (
        ("What was mended", found.repairs),
        ("What a fit would do", found.verdict),
    ):
        if sentences:
            say(f"\n{title}")
        for sentence in sentences:
            say(f"- {sentence}")


def datasets(
    export: Annotated[
        tuple[str, Path] | None, typer.Option(metavar="NAME PATH", help="Write one as netCDF.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """List the small files that come along, or write one."""
    from assim import data

    if export is None:
        show(["name", "what it is"], [[k, v] for k, v in data.list_datasets().items()])
        return
    name, path = export
    ds = data.load_dataset(name)
    with written(path) as unfinished:
        save(ds, unfinished)
    say(f"The dataset {name} is in {path}.", quiet=quiet)


def _cell(value: object, column: str) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{100 * value:.1f} %" if column == "missing" else f"{value:.4g}"
    return str(value)
