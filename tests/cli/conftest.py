"""A small record with two channels that tell something and two that do not, and what the commands make of it."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from assim.cli import run

START = np.datetime64("2020-01-01", "ns")
STEP = np.timedelta64(10, "m")
FAST = ["--method", "prior", "--set", "num_draws=20", "--set", "hidden=", "--quiet"]


def record(rows: int = 240) -> xr.Dataset:
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=(2, rows)), axis=1) * 0.1
    columns = {
        "air_temperature": (10 + walk[0], "degC"),
        "wind_speed": (np.abs(4 + walk[1]), "m s-1"),
        "battery": (np.full(rows, 12.0), "V"),
        "dead": (np.full(rows, np.nan), "1"),
    }
    ds = xr.Dataset(
        {name: ("time", values, {"units": units}) for name, (values, units) in columns.items()},
        {"time": ("time", START + np.arange(rows) * STEP, {"standard_name": "time"})},
    )
    ds["air_temperature"][50:60] = np.nan
    return ds


@pytest.fixture
def refused(capsys):
    """Run a command that must end in one sentence and exit code 2, and give the sentence."""

    def sentence(*argv: object) -> str:
        capsys.readouterr()
        assert run([str(a) for a in argv]) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.count("\n") == 1, said
        return said.err

    return sentence


@pytest.fixture
def mast_record() -> xr.Dataset:
    return record()


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory) -> Path:
    """A folder with a record, a fit that has seen two thirds of it, and a forecast of the rest."""
    folder = tmp_path_factory.mktemp("run")
    record().to_netcdf(folder / "truth.nc", engine="h5netcdf")
    truth, fit, forecast = (str(folder / f"{n}.nc") for n in ("truth", "ar", "persistence"))
    assert run(["fit", truth, "-o", fit, "--until", "2020-01-02", "--set", "lags=3", *FAST]) == 0
    assert (
        run(["forecast", fit, truth, "-o", forecast, "--horizon", "1h", "--draws", "10", "-q"]) == 0
    )
    return folder
