"""`assim forecast`: a fit and a record in, paths from one or many origins out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assim.cli.kinds import read
from assim.cli.opening import Quality, open_record, open_snapshots
from assim.cli.options import Flat, Horizon, Output, Quiet, Screen, Seed, Step, Tree
from assim.cli.recording import analysis_in, seen_until, sensors_in
from assim.cli.speaking import note, say, watched
from assim.cli.values import span
from assim.cli.writing import require_place_of_file, save, written
from assim.data.atomic import replacing

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


def forecast(
    tree: Tree,
    output: Output,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="The record, none to go on from the training's end; of fields, also what assim assimilate wrote.",
        ),
    ] = None,
    horizon: Horizon = "6h",
    origins: Annotated[
        str | None,
        typer.Option(
            metavar="last|6h",
            help="The last time, or the duration between origins; one every horizon by default. Of a population "
            "'last', as by default, or 'first'.",
        ),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Posterior draws.")] = 500,
    paths: Annotated[
        int,
        typer.Option(
            min=1, help="Paths of each draw; many where draws are few, as of an ensemble."
        ),
    ] = 1,
    plan: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="What drives a model of fields beyond the record; may be repeated."
        ),
    ] = None,
    step: Step = None,
    qc: Screen = Quality.bad,
    cf: Flat = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Forecast from a fit, in the units of the file.

    Where the record goes on after the training, origins begin there.
    """
    import jax

    from assim import data
    from assim.data.clockwork import stamp
    from assim.forecasting import forecast as forecast_from
    from assim.model import AbstractGridded, AbstractPopulation
    from assim.tree import restore

    store = output.suffix == ".zarr"
    if cf is not None:
        require_place_of_file(cf)
    with replacing(output) if store else written(output) as unfinished:
        post = read(tree, "a fit")
        fitted = restore(post)
        fields = isinstance(fitted.model, AbstractGridded)
        ds: xr.Dataset | xr.DataTree | None = None
        analysis = analysis_in(files) if files and fields else None
        if analysis is not None:
            ds = analysis
        elif files and isinstance(fitted.model, AbstractPopulation):
            named = fitted.layout.channels
            ds = open_snapshots(files, variables=named, qc=qc, step=step, quiet=quiet)
        elif files:
            controls = () if plan else fitted.layout.inputs[: fitted.layout.num_controls]
            ds = open_record(
                files,
                variables=[*sensors_in(files, fitted), *controls],
                qc=qc,
                step=step,
                like=None if fields else ("the fit", fitted.frame["step"]),
                quiet=quiet,
            )
            ds, new = _unseen(ds, seen_until(post), quiet=quiet)
            if not new and origins is None:
                note(
                    "The fit has seen all of the record: one forecast, from its last time.",
                    quiet=quiet,
                )
                origins = "last"
        driven = list(fitted.layout.inputs[: fitted.layout.num_controls])
        made = forecast_from(
            post,
            ds,
            span(horizon),
            key=jax.random.key(seed),
            plan=open_record(plan, variables=driven, qc=qc, quiet=quiet) if plan else None,
            origins="last" if ds is None else origins,
            num_draws=draws,
            paths=paths,
            to=unfinished if store else None,
            progress=watched(quiet),
        )
        if not store:
            save(made, unfinished)
        if cf is not None:
            data.to_cf(made, cf)
        predicted = made["predictions"].to_dataset()
        starts, ahead = predicted["init_time"].values, made.attrs["horizon"]
    count = "1 forecast" if len(starts) == 1 else f"{len(starts)} forecasts"
    until = "" if len(starts) == 1 else f" to {stamp(starts[-1])}"
    say(f"{count}, {ahead} ahead, from {stamp(starts[0])}{until} in {output}.", quiet=quiet)
    if cf is not None:
        say(f"The same as a flat CF file in {cf}.", quiet=quiet)


def _unseen(ds: xr.Dataset, end: np.datetime64 | None, *, quiet: bool) -> tuple[xr.Dataset, bool]:
    """The part of the record that comes after the training, and whether there is one; else the whole record."""
    from assim.data.clockwork import stamp

    times = ds["time"].values
    if end is None or times[0] > end:
        return ds, True
    if times[-1] <= end:
        return ds, False
    note(f"The fit has seen the record up to {stamp(end)}: origins begin there.", quiet=quiet)
    return ds.isel(time=times > end), True
