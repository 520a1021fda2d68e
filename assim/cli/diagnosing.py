"""`assim accustom`: what is usual of each sensor goes into a fit; `assim diagnose`: what is wrong with which."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assim.cli.kinds import read
from assim.cli.opening import Quality
from assim.cli.options import Files, Output, Quiet, Screen, Step
from assim.cli.recording import record
from assim.cli.speaking import say, show
from assim.cli.writing import save, written

if TYPE_CHECKING:
    import xarray as xr


def accustom(
    tree: Annotated[
        Path, typer.Argument(help="What assim fit wrote, of a model with random masks.")
    ],
    files: Files,
    output: Output,
    rows: Annotated[int, typer.Option(help="How many newest rows are judged together.")] = 10,
    draws: Annotated[int, typer.Option(min=1, help="Posterior draws, evenly spaced.")] = 50,
    step: Step = None,
    qc: Screen = Quality.bad,
    quiet: Quiet = False,
) -> None:
    """Learn what is usual of each sensor, from a record in which all is well.

    Better one that the fit has not seen. What is written is the fit with what is usual beside it: assim diagnose
    needs it, and assim forecast warns by it.
    """
    from assim.data.describing import listed
    from assim.diagnosing import accustom as learn
    from assim.tree import restore

    with written(output) as unfinished:
        fit = read(tree, "a fit")
        ds = record(files, restore(fit), step=step, qc=qc, quiet=quiet)
        made = learn(fit, ds, rows=rows, num_draws=draws)
        save(made, unfinished)
    usual = made["usual"].to_dataset()
    sensors = listed([str(n) for n in usual["variable"].values])
    say(
        f"What is usual of {sensors}, learned from {usual.attrs['times']} times, is in {output}.",
        quiet=quiet,
    )


def diagnose(
    tree: Annotated[Path, typer.Argument(help="What assim accustom wrote.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]", help="The record; none for the end of that of the fit."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where the signs at each time go, as netCDF."),
    ] = None,
    step: Step = None,
    qc: Screen = Quality.bad,
    quiet: Quiet = False,
) -> None:
    """Say what is wrong with each sensor of a record.

    A sensor is held against what the others say, against how long it may stand still or be silent, and against how
    unsure it makes the forecast.
    """
    from assim.diagnosing import RARE
    from assim.diagnosing import diagnose as judge
    from assim.tree import restore

    with nullcontext() if output is None else written(output) as unfinished:
        fit = read(tree, "a fit")
        ds = record(files, restore(fit), step=step, qc=qc, quiet=quiet) if files else None
        signs = judge(fit, ds)
        if unfinished is not None:
            save(signs, unfinished)
    columns, rows = _suspicions(signs)
    show(columns, rows)
    say(
        f"Each sign passed what is usual at {100 * RARE:g} % of the times of the record that taught it: a few "
        "times mean little.",
        quiet=quiet,
    )
    if output is not None:
        say(f"The signs at each time are in {output}.", quiet=quiet)


def _suspicions(signs: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """What is wrong with each sensor, where and how often; those that are suspected most come first."""
    import numpy as np

    from assim.data.clockwork import stamp
    from assim.diagnosing import WHY
    from assim.origins import in_words

    runs = next((str(d) for d in signs.dims if d not in ("time", "variable")), None)
    flags, times = signs["suspicion"], signs["time"].values
    judged = int(signs["still"].notnull().any("variable").sum())
    labels = np.array([]) if runs is None else signs[runs].values.astype(str)
    names = [str(n) for n in signs["variable"].values]
    often = (flags > 0).sum([d for d in flags.dims if d != "variable"]).values
    rows = []
    for at in np.argsort(-often, kind="stable"):
        one = flags.isel(variable=int(at)).transpose("time", ...)
        for flag in np.unique(one.values[one.values > 0]):
            here = (one == flag).values
            first = stamp(times[np.flatnonzero(here.reshape(len(times), -1).any(axis=1))[0]])
            where = [] if runs is None else [in_words(list(labels[here.any(axis=0)]))]
            share = f"{100 * here.sum() / judged:.1f} %"
            rows.append([names[at], WHY[int(flag)], str(here.sum()), share, first, *where])
        if not often[at]:
            rows.append([names[at], "nothing", "–", "–", "–", *([] if runs is None else ["–"])])
    columns = ["sensor", "what is wrong", ">times", ">of all", "first"]
    return [*columns, *([] if runs is None else [runs])], rows
