"""The commands under one name, and what they share: `assim --help`, `assim --version`."""

from importlib.metadata import version
from typing import Annotated

import typer

from assim.cli.asking import check, datasets
from assim.cli.assimilating import assimilate
from assim.cli.attributing import attribute
from assim.cli.backtesting import backtest
from assim.cli.demo import demo
from assim.cli.diagnosing import accustom, diagnose
from assim.cli.fitting import fit
from assim.cli.forecasting import forecast
from assim.cli.judging import compare, report
from assim.cli.twinning import twin

app = typer.Typer(
    help="From a sensor netCDF to a calibrated probabilistic forecast.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"assim {version('assim')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Say which version."),
    ] = False,
) -> None:
    pass


for command in (
    *(check, datasets, fit, forecast, backtest, assimilate, compare, report),
    *(accustom, diagnose, attribute, twin, demo),
):
    app.command()(command)
