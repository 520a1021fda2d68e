"""`assim attribute`: a fit and a record in, what its forecasts owe to each sensor out."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assim.cli.kinds import read
from assim.cli.opening import Quality, names_in
from assim.cli.options import Quiet, Screen, Seed, Step, Tree
from assim.cli.recording import record
from assim.cli.speaking import say, show
from assim.cli.values import span
from assim.cli.writing import save, written

if TYPE_CHECKING:
    import xarray as xr

    from assim.attributing_baselines import Baseline
    from assim.tree import Fitted

PLOTS = (".png", ".pdf", ".svg")
TIME = r"\d{4}-\d\d"
"""How a time begins, and neither a duration nor, as a rule, the name of a file."""


def attribute(
    tree: Tree,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="The record with the plan of the controls; none for the end of that of the fit.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the attributions go, as netCDF."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help=f"Draw those of the mean, of the first target, station or run: {', '.join(PLOTS)}.",
        ),
    ] = None,
    lead: Annotated[
        str,
        typer.Option(
            metavar="6h", help="Which lead is explained, as a duration or a number of steps."
        ),
    ] = "1",
    variable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The target that is explained; all by default."),
    ] = None,
    origins: Annotated[
        str,
        typer.Option(
            metavar="last|6h|TIME,...",
            help="The last time, the duration between origins, or times with commas.",
        ),
    ] = "last",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME,...|FILE",
            help="What the forecast is held against: times of the record, with commas, or another record; the mean "
            "of the training by default.",
        ),
    ] = None,
    num_baselines: Annotated[
        int, typer.Option(min=1, help="Windows drawn from a --baseline that is a record.")
    ] = 16,
    points: Annotated[int, typer.Option(min=1, help="Midpoints on each path.")] = 32,
    draws: Annotated[int, typer.Option(min=1, help="Posterior draws, evenly spaced.")] = 100,
    step: Step = None,
    qc: Screen = Quality.bad,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Say what a forecast owes to each sensor, and to what is planned.

    Integrated gradients of its mean, of the noise that it expects, and of how unsure its draws are.
    """
    if plot is not None and plot.suffix.lower() not in PLOTS:
        raise ValueError(
            f"No plot can be written as {plot}: give --plot a name that ends in {', '.join(PLOTS)}."
        )
    import jax

    from assim.attributing import attribute as explain
    from assim.tree import restore

    with _place(plot) as drawn:
        with _place(output) as unfinished:
            fit = read(tree, "a fit")
            fitted = restore(fit)
            made = explain(
                fit,
                record(files, fitted, step=step, qc=qc, quiet=quiet) if files else None,
                span(lead),
                key=jax.random.key(seed),
                variable=variable,
                origins=list(names_in(origins)) if re.match(TIME, origins) else origins,
                baseline=_baseline(baseline, fitted, step, qc, quiet=quiet),
                num_baselines=num_baselines,
                points=points,
                num_draws=draws,
            )
            if unfinished is not None:
                save(made, unfinished)
        if drawn is not None:
            _draw(made, drawn)
    _show_shares(made, quiet=quiet)
    if output is not None:
        say(f"What each sensor adds at each lag is in {output}.", quiet=quiet)
    if plot is not None:
        say(f"The plot is in {plot}.", quiet=quiet)


def _place(path: Path | None) -> AbstractContextManager[Path | None]:
    return nullcontext() if path is None else written(path)


def _baseline(
    text: str | None, fitted: Fitted, step: str | None, qc: Quality, *, quiet: bool
) -> Baseline:
    """What a forecast is held against: a record where a file is named, else times."""
    if text is None:
        return None
    if re.match(TIME, text) and not Path(text).exists():
        return list(names_in(text))
    return record([text], fitted, step=step, qc=qc, quiet=quiet)


def _show_shares(made: xr.DataTree, *, quiet: bool) -> None:
    """Show the share of each sensor in each target, the largest first, as a table on standard output."""
    import numpy as np

    from assim.data.clockwork import stamp

    groups = {name: group.to_dataset() for name, group in made.children.items()}
    share = {name: group["share"] for name, group in groups.items()}
    rows = []
    for target in map(str, groups["mean"]["target"].values):
        each = {name: told.sel(target=target) for name, told in share.items()}
        for at in np.argsort(-each["mean"].values, kind="stable"):
            cells = [_percent(float(told.values[at])) for told in each.values()]
            rows.append([target, str(each["mean"]["sensor"].values[at]), *cells])
    starts, attrs = groups["mean"]["init_time"].values, made.attrs
    until = "" if len(starts) == 1 else f" to {stamp(starts[-1])} ({len(starts)} origins)"
    say(
        f"Shares of what is forecast {attrs['lead']} ahead from {stamp(starts[0])}{until}, held against: "
        f"{attrs['baseline']}.",
        quiet=quiet,
    )
    heads = [f">{name.replace('_', ' ')}" for name in share]
    show(["target", "sensor", *heads], rows)


def _percent(share: float) -> str:
    return "–" if share != share else f"{100 * share:.1f} %"


def _draw(made: xr.DataTree, path: Path) -> None:
    """Draw what is attributed of the mean: of one origin with signs, of several their size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from assim.plotting import plot_attribution

    starts = made["mean"].to_dataset()["init_time"].values
    figure = plot_attribution(made, init_time=starts[0] if len(starts) == 1 else None)
    figure.savefig(path, dpi=130)
    plt.close(figure)
