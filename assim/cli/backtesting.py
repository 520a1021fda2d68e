"""`assim backtest`: a fit and a record in, forecasts by fits that have not seen what they forecast out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assim.cli.choosing import METHODS, chosen_method
from assim.cli.kinds import read
from assim.cli.opening import Quality
from assim.cli.options import Files, Horizon, Output, Quiet, Screen, Seed, Settings, Step
from assim.cli.recording import record
from assim.cli.speaking import say, watched
from assim.cli.values import span
from assim.cli.writing import save, written

if TYPE_CHECKING:
    import xarray as xr

FOLDS = 5
"""Of runs, where nobody says how many."""
FEW = 5
"""Reasons why origins are left out, that are told."""


def backtest(
    tree: Annotated[
        Path, typer.Argument(help="What assim fit wrote: its model is fitted again by its method.")
    ],
    files: Files,
    output: Output,
    horizon: Horizon = "1h",
    by: Annotated[
        str,
        typer.Option(
            metavar="time|run",
            help="Origins that roll on, each forecast by a fit to what was read until then; or folds of runs (or "
            "stations), each forecast by a fit to the others.",
        ),
    ] = "time",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The first origin; by time the middle of the record by default, by run as early as can be.",
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="6h", help="From one origin to the next; one horizon by default."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            metavar="30D", help="By time, how far back a fit looks; all of the past by default."
        ),
    ] = None,
    refit: Annotated[
        str,
        typer.Option(
            metavar="never|N|always",
            help="By time, one fit at the first origin, one at every N-th, or one at each.",
        ),
    ] = "never",
    folds: Annotated[int | None, typer.Option(help="By run, how many; 5 by default.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Posterior draws, one path each.")] = 500,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"Another method than that of the fit: one of {', '.join(METHODS)}.",
            metavar="NAME",
        ),
    ] = None,
    settings: Settings = None,
    step: Step = None,
    qc: Screen = Quality.bad,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Forecast along a record, each time by a fit that has not seen it.

    What a fit has learned is left aside: its model is fitted anew to parts of the record. The result is a forecast,
    which assim compare scores.
    """
    import jax

    from assim.backtesting import backtest as run
    from assim.registry import made_from
    from assim.tree import restore

    if folds is not None and by != "run":
        raise ValueError(
            f"--folds {folds} is of folds of runs: give --by run too, or leave it out."
        )
    with written(output) as unfinished:
        other = chosen_method(method, settings or [])
        fit = read(tree, "a fit")
        fitted = restore(fit)
        ds = record(files, fitted, step=step, qc=qc, quiet=quiet)
        made = run(
            fitted.model,
            ds,
            made_from(json.loads(fit.attrs["method"])) if other is None else other,
            span(horizon),
            key=jax.random.key(seed),
            by=by,
            start=start,
            every=None if every is None else span(every),
            window=None if window is None else span(window),
            refit=_refit(refit),
            folds=FOLDS if folds is None else folds,
            num_draws=draws,
            progress=watched(quiet),
        )
        save(made, unfinished)
    for sentence in (_done(made, output), *_left_out(made)):
        say(sentence, quiet=quiet)


def _refit(text: str) -> Any:
    """How often to fit; a word that tells it not is left to the verb to refuse."""
    words = {"never": False, "always": True}
    return words[text] if text in words else span(text)


def _done(made: xr.DataTree, output: Path) -> str:
    """What was done, and where it is."""
    from assim.data.clockwork import stamp

    told = json.loads(made.attrs["backtest"])
    starts = made["predictions"].to_dataset()["init_time"].values
    served = told["origins"] - told["left_out"]
    count = "1 forecast" if served == 1 else f"{served} forecasts"
    fits = "1 fit" if told["fits"] == 1 else f"{told['fits']} fits"
    until = "" if len(starts) == 1 else f" to {stamp(starts[-1])}"
    ahead = made.attrs["horizon"]
    return f"{count} by {fits}, {ahead} ahead, from {stamp(starts[0])}{until} in {output}."


def _left_out(made: xr.DataTree) -> list[str]:
    """Why origins are left out, the commonest reasons first."""
    if "left_out" not in made.children:
        return []
    asked = json.loads(made.attrs["backtest"])["origins"]
    reasons = Counter(map(str, made["left_out"].to_dataset()["reason"].values)).most_common()
    said = [
        f"- {count} of {asked} origins {'is' if count == 1 else 'are'} left out: {why}."
        for why, count in reasons[:FEW]
    ]
    rest = sum(count for _, count in reasons[FEW:])
    return [*said, *([f"- {rest} more, for other reasons."] if rest else [])]
