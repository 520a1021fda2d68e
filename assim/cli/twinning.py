"""`assim twin`: a known system lives through a record, and its sensors read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from assim.cli.choosing import SYSTEMS, chosen_system
from assim.cli.opening import names_in
from assim.cli.options import Quiet, Seed, Settings
from assim.cli.speaking import say
from assim.cli.writing import save, written


def twin(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help=f"One of {', '.join(SYSTEMS)}.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder for truth.nc and readings.nc.")
    ],
    step: Annotated[float, typer.Option(help="Between times, in units of the system's time.")],
    count: Annotated[int, typer.Option(min=1, help="How many times.")],
    every: Annotated[int, typer.Option(min=1, help="Steps from one reading to the next.")] = 1,
    spin_up: Annotated[int, typer.Option(min=0, help="Steps before the first time.")] = 0,
    sensors: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Names of channels, or positions on a line; the system's own by default.",
        ),
    ] = None,
    missing: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the readings that are missing.")
    ] = 0.0,
    sd: Annotated[
        float | None,
        typer.Option(min=0.0, help="Error of the readings on top of the system's own."),
    ] = None,
    settings: Settings = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Simulate a known system, and what sensors read of it.

    One unit of the system's time is one second of the clock.
    """
    if not step > 0:
        raise ValueError(f"--step {step:g} is not positive: give it in units of the system's time.")
    made = chosen_system(system, settings or [])
    import jax

    from assim.twin import twin_experiment

    truth, readings = twin_experiment(
        made,
        (step, count),
        key=jax.random.key(seed),
        every=every,
        sensors=_where(sensors),
        missing=missing,
        sd=sd,
        spin_up=spin_up,
    )
    output.mkdir(parents=True, exist_ok=True)
    for name, ds in (("truth", truth), ("readings", readings)):
        with written(output / f"{name}.nc") as unfinished:
            save(ds, unfinished)
    times = readings.sizes["time"]
    say(
        f"{system}: the truth at {count} times in {output / 'truth.nc'}, readings at {times} of them in "
        f"{output / 'readings.nc'}.",
        quiet=quiet,
    )


def _where(text: str | None) -> Any:
    """Names, or numbers where all of them are."""
    if text is None:
        return None
    names = names_in(text)
    try:
        return [float(name) for name in names]
    except ValueError:
        return list(names)
