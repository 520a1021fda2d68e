"""Options that several commands share: one declaration, one sentence of help."""

from pathlib import Path
from typing import Annotated

import typer

from assim.cli.opening import Quality

Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="netCDF, Zarr or a pattern.")]
Variables = Annotated[
    str | None, typer.Option(metavar="A,B", help="What to read, with commas; all by default.")
]
Screen = Annotated[Quality, typer.Option(help="Which flagged readings become missing.")]
Step = Annotated[
    str | None, typer.Option(metavar="10min", help="Put the record on a clock of this step first.")
]
Tree = Annotated[Path, typer.Argument(help="What assim fit wrote.")]
Horizon = Annotated[
    str, typer.Option(metavar="6h", help="How far ahead, as a duration or a number of steps.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of what is named, as lags=48 or hidden=32,32; may be repeated.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]
Flat = Annotated[
    Path | None,
    typer.Option("--cf", metavar="PATH", help="Write a flat CF file for other tools as well."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="All randomness comes from it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no notes: for scripts.")]
