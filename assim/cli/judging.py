"""`assim compare`: forecasts against what happened; `assim report`: one page about a run."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assim.cli.kinds import another, read
from assim.cli.opening import Quality, open_record
from assim.cli.options import Quiet, Screen, Step
from assim.cli.speaking import note, say, show
from assim.cli.writing import require_place_of_file, save, written

if TYPE_CHECKING:
    import xarray as xr

Lyapunov = Annotated[
    str | None,
    typer.Option(
        metavar="6h",
        help="Tell how long forecasts of fields are valid in this, the inverse of the largest Lyapunov exponent.",
    ),
]
FEW_LEADS = 4
TABLES = (".nc", ".csv")


def compare(
    forecasts: Annotated[
        list[Path], typer.Argument(metavar="FORECAST...", help="Written by assim forecast.")
    ],
    truth: Annotated[
        list[str],
        typer.Option(metavar="FILE", help="The record that holds what happened; may be repeated."),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The forecast that skill is measured against."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the scores go: .nc or .csv.")
    ] = None,
    step: Step = None,
    qc: Screen = Quality.bad,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    in_sample: Annotated[
        bool,
        typer.Option(
            "--in-sample", help="Score forecasts of what their models were trained on, too."
        ),
    ] = False,
    lyapunov_time: Lyapunov = None,
    quiet: Quiet = False,
) -> None:
    """Score forecasts, on the cells that all of them have."""
    from assim.comparing import compare as score
    from assim.report.collecting import of_fields, step_of, valid_times
    from assim.report.fields import exponent_of

    if output is not None and output.suffix.lower() not in TABLES:
        raise ValueError(
            f"The scores cannot be written as {output}: give -o a name that ends in {' or '.join(TABLES)}."
        )
    lyapunov = exponent_of(lyapunov_time)
    with nullcontext() if output is None else written(output) as unfinished:
        trees, records = _sorted(forecasts)
        if records:
            note(f"Taken as more of the truth: {', '.join(records)}.", quiet=quiet)
        channels = {
            str(n).partition("@")[0] for t in trees.values() for n in t["predictions"].data_vars
        }
        seen = open_record(
            list(dict.fromkeys([*truth, *records])),
            variables=sorted(channels),
            qc=qc,
            step=step,
            like=None
            if step is not None or of_fields(trees)
            else ("the forecasts", step_of(trees), valid_times(trees)),
            quiet=quiet,
        )
        scores = score(trees, seen, baseline=baseline, seed=seed, in_sample=in_sample)
        if unfinished is not None:
            save_scores(scores, unfinished)
    show_scores(scores)
    if lyapunov is not None:
        _show_valid_times(trees, seen, lyapunov, quiet=quiet)
    for sentence in filter(None, scores.attrs["dropped"].splitlines()):
        say(f"- {sentence}", quiet=quiet)
    if output is not None:
        say(f"The scores at all leads are in {output}.", quiet=quiet)


def report(
    run_dir: Annotated[
        Path,
        typer.Argument(
            help="A folder with fits, forecasts, scores.nc (of assim compare) and truth.nc (the record)."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The page; RUN_DIR/report.html by default."),
    ] = None,
    lyapunov_time: Lyapunov = None,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page about a run."""
    from assim.report import report as write_report
    from assim.report.collecting import collect, lacking

    page = run_dir / "report.html" if output is None else output
    if output is not None:
        require_place_of_file(output)
    held = collect(run_dir)
    for sentence in (*held.left_out, *lacking(held)):
        note(sentence, quiet=quiet)
    made = write_report(held, page, lyapunov_time=lyapunov_time)
    say(f"The report is in {made}.", quiet=quiet)


def show_scores(scores: xr.Dataset) -> None:
    """Show CRPS, coverage and skill at a few leads, as a table on standard output."""
    from assim.comparing import lead_words

    count = scores.sizes["lead_time"]
    at = sorted({0, max(count // FEW_LEADS - 1, 0), max(count // 2 - 1, 0), count - 1})
    columns = ["variable", "lead", "model", ">CRPS", ">in 90 %", ">spread/error"]
    skilled = "crps_skill" in scores
    columns += [f">skill against {scores.attrs['baseline']}"] if skilled else []
    rows = []
    for name in map(str, scores["variable"].values):
        units = str(scores["units"].sel(variable=name).item()) if "units" in scores.coords else ""
        for lead in scores["lead_time"].values[at]:
            for model in map(str, scores["model"].values):
                cell = scores.sel(variable=name, lead_time=lead, model=model)
                row = [f"{name} ({units})" if units else name, lead_words(lead), model]
                row += [f"{float(cell['crps']):.3g}"]
                row += [f"{100 * float(cell['coverage'].sel(level=0.9)):.0f} %"]
                row += [f"{float(cell['spread_skill']):.2f}"]
                row += [_skill(cell)] if skilled else []
                rows.append(row)
    show(columns, rows)


def save_scores(scores: xr.Dataset, path: Path) -> None:
    """Write the table of scores, as netCDF or, by the name's ending, as CSV."""
    from assim.comparing import table

    if path.suffix.lower() == ".csv":
        table(scores).to_csv(path)
    else:
        save(scores, path)


def _show_valid_times(
    trees: dict[str, xr.DataTree], truth: xr.Dataset, lyapunov: float, *, quiet: bool
) -> None:
    """Show how long forecasts of fields are of use, as a table on standard output."""
    from assim.report.fields import EXPLAINED, valid_times_of

    columns, rows, said = valid_times_of(trees, truth, lyapunov)
    if rows:
        heads = [*columns[:2], *(f">{column}" for column in columns[2:])]
        show(heads, [[str(cell) for cell in row] for row in rows])
        say(EXPLAINED, quiet=quiet)
    elif not said:
        said.append("--lyapunov-time is for forecasts of fields on a grid, and none of these is.")
    for sentence in said:
        note(sentence, quiet=quiet)


def _skill(cell: xr.Dataset) -> str:
    if str(cell["model"].item()) == cell.attrs["baseline"]:
        return ""
    low, high = (float(cell["crps_skill_interval"].sel(bound=b)) for b in ("lower", "upper"))
    return f"{float(cell['crps_skill']):.2f} [{low:.2f}, {high:.2f}]"


def _sorted(paths: list[Path]) -> tuple[dict[str, xr.DataTree], list[str]]:
    """The forecasts by the stem of their files, or by path where stems are the same; and the records.

    A shell makes several files of `--truth *.nc`, and all but the first of them come here.
    """
    from assim.report.collecting import kind_of
    from assim.tree import read_tree

    trees: dict[Path, xr.DataTree] = {}
    records = []
    for path in paths:
        try:
            tree = read_tree(path)
        except ValueError:
            records.append(str(path))
            continue
        if kind_of(tree) == "a forecast":
            trees[path] = tree
        elif kind_of(tree) == "a record":
            records.append(str(path))
        else:
            raise another(path, tree, "a forecast")
    if not trees:
        read(paths[0], "a forecast")
    stems = [path.stem for path in trees]
    return {p.stem if stems.count(p.stem) == 1 else str(p): t for p, t in trees.items()}, records
