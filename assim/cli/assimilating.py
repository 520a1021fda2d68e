"""`assim assimilate`: a fit or a known system and a record in, what a filter believed at each time out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assim.cli.choosing import FILTERS, SYSTEMS, chosen_filter
from assim.cli.kinds import read
from assim.cli.opening import Quality, names_in, open_record
from assim.cli.options import Flat, Output, Quiet, Screen, Settings, Step
from assim.cli.recording import fit_and_files, readings, record, unseen
from assim.cli.speaking import say, watched
from assim.cli.verifying import judged
from assim.cli.writing import require_place_of_file, save, written
from assim.data.atomic import replacing

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from assim.tree import Fitted

DEFAULT = "etkf"
UPDATES = ("state", "parameters", "both")


def assimilate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="[FIT] FILE...",
            help="What assim fit wrote, and the record; with --system the record alone.",
        ),
    ],
    output: Output,
    filter_name: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="NAME",
            help=f"One of {', '.join(FILTERS)}; {DEFAULT} by default, or that of --resume.",
        ),
    ] = None,
    settings: Settings = None,
    system: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"A known system in place of a fit: {', '.join(SYSTEMS)}."
        ),
    ] = None,
    update: Annotated[
        str | None,
        typer.Option(
            metavar="state|parameters|both|A,B",
            help="What a reading corrects, or which parameters beside the state; the state by default.",
        ),
    ] = None,
    members: Annotated[
        int | None,
        typer.Option(
            min=0, help="How many are kept; 0 for means and spreads alone, all by default."
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="ANALYSIS", help="Go on from the end of this earlier assimilation."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Of a known system: when its state is the first one."),
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The true state, to say how far the analysis is from it."
        ),
    ] = None,
    spin_up: Annotated[
        int,
        typer.Option(
            min=0,
            help="Cycles at the start that what is said of errors and innovations leaves out.",
        ),
    ] = 0,
    step: Step = None,
    qc: Screen = Quality.bad,
    cf: Flat = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**32 - 1, help="All randomness comes from it; 0, or that of --resume."
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Filter a record with a fit or a known system.

    What was believed before and after each reading goes into one file. The draws of a fit are the members; of a fit
    of fields, the members carry its draws, and observer is for one with a gain. Where the record goes on after the
    training, the filter begins there.
    """
    store = output.suffix == ".zarr"
    if cf is not None:
        require_place_of_file(cf)
    with replacing(output) if store else written(output) as unfinished:
        earlier = None if resume is None else read(resume, "an assimilation")
        fit, files = (None, inputs) if system is not None else fit_and_files(inputs)
        begin = None if since is None else _moment(since)
        from assim.assimilating import assimilate as run
        from assim.model import AbstractGridded, AbstractPopulation, AbstractSequential
        from assim.tree import restore

        fitted = None if fit is None else restore(fit)
        name = DEFAULT if filter_name is None and earlier is None else filter_name
        fields = fitted is not None and isinstance(fitted.model, AbstractGridded)
        draws = 0 if fitted is None or fields else _draws(fitted)
        chosen, known = chosen_filter(name, settings or [], system=system, draws=draws)
        seen = None if truth is None else open_record([truth], qc=Quality.none, quiet=True)
        timeless = AbstractSequential | AbstractPopulation
        if fit is None or fitted is None or isinstance(fitted.model, timeless):
            ds = readings(files, qc=qc, step=step, quiet=quiet)
        elif begin is not None:
            raise ValueError("--since is for known systems: a fit begins where its record does.")
        else:
            if fields:
                ds = readings(files, qc=qc, step=step, quiet=quiet)
            else:
                ds = record(files, fitted, step=step, qc=qc, quiet=quiet)
            ds = ds if earlier is not None else unseen(ds, fit, quiet=quiet)
        chosen, corrected, key = _as_before(earlier, chosen, update, seed)
        made = run(
            known if fit is None else fit,
            ds,
            chosen,
            key=key,
            update=corrected,
            since=begin,
            resume=earlier,
            members=members,
            to=unfinished if store else None,
            progress=watched(quiet),
        )
        if not store:
            save(made, unfinished)
        if cf is not None:
            from assim import data

            data.to_cf(made, cf)
        told = [_done(chosen, made, output), *([] if quiet else judged(made, seen, spin_up))]
    for sentence in told:
        say(sentence, quiet=quiet)
    if cf is not None:
        say(f"The same as a flat CF file in {cf}.", quiet=quiet)


def _draws(fitted: Fitted) -> int:
    chains, draws = next(iter(fitted.sites.values())).shape[:2]
    return chains * draws


def _as_before(
    earlier: xr.DataTree | None, chosen: Any, update: str | None, seed: int | None
) -> tuple[Any, Any, Any]:
    """Filter, what is corrected, and key: as given, or else those of the earlier run."""
    import jax
    import jax.numpy as jnp

    from assim.registry import made_from

    corrected: Any = names_in(update)
    if update is None or update in UPDATES:
        corrected = update or UPDATES[0]
    key = jax.random.key(seed or 0)
    if earlier is None:
        return chosen, corrected, key
    attrs = earlier.attrs
    lacking = [name for name in ("filter", "update", "key") if name not in attrs]
    if lacking:
        raise ValueError(
            f"The earlier assimilation does not say its {', '.join(lacking)}: make it again, or start anew without "
            "--resume."
        )
    if chosen is None:
        told = json.loads(attrs["filter"])
        kind = told["type"] if isinstance(told, dict) else told
        if kind not in FILTERS.values():
            raise ValueError(
                f"The earlier run was made with {kind}, which is for Python: go on there."
            )
        chosen = made_from(told)
    if update is None:
        told = json.loads(attrs["update"])
        corrected = told if isinstance(told, str) else tuple(told)
    if seed is None:
        data = jnp.asarray(json.loads(attrs["key"]), jnp.uint32)
        key = jax.random.wrap_key_data(data)
    return chosen, corrected, key


def _done(chosen: Any, made: xr.DataTree, output: Path) -> str:
    """What was done, and where it is."""
    from assim.data.clockwork import stamp
    from assim.data.describing import listed
    from assim.scoring import channels

    times = made["innovation"].to_dataset()["time"].values
    sizes = made["analysis"].sizes
    who = type(chosen).__name__
    if chosen.size is not None:
        who += f" with {chosen.size} members"
    elif "chain" in made["analysis"].to_dataset()[_mean_of(made)].dims:
        count = sizes["chain"] * sizes["draw"]
        who += f" for each of {count} draws" if count > 1 else ""
    places = f" at {sizes['station']} stations" if "station" in sizes else ""
    cycles = "1 cycle" if len(times) == 1 else f"{len(times)} cycles"
    named = listed(list(channels(made)))
    return f"{who} on {named}{places}: {cycles} from {stamp(times[0])} to {stamp(times[-1])} in {output}."


def _mean_of(made: xr.DataTree) -> str:
    return next(str(n) for n in made["analysis"].data_vars if str(n).endswith("_mean"))


def _moment(text: str) -> np.datetime64:
    import pandas as pd

    try:
        return pd.Timestamp(text).as_unit("ns").to_datetime64()
    except ValueError as error:
        raise ValueError(f"--since {text} is not a time: write it as 2020-06-01T12:00.") from error
