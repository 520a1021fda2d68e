"""`assim accustom` and `assim diagnose`: a sensor that stands still is told by its name, in words."""

import numpy as np
import pytest
import xarray as xr

from assim.cli import run
from assim.cli.diagnosing import _suspicions
from assim.tree import read_tree


@pytest.fixture(scope="module")
def usual(run_dir, tmp_path_factory):
    """The fit with what is usual beside it, and a record whose wind stands still from row 150 on."""
    folder = tmp_path_factory.mktemp("usual")
    truth, tree = str(run_dir / "truth.nc"), str(folder / "usual.nc")
    assert run(["accustom", str(run_dir / "ar.nc"), truth, "-o", tree, "--draws", "5", "-q"]) == 0
    with xr.open_dataset(truth, engine="h5netcdf") as ds:
        ds = ds.load()
        ds["wind_speed"][150:] = ds["wind_speed"][150].values
        ds.to_netcdf(folder / "stuck.nc", engine="h5netcdf")
    return folder


def test_what_is_usual_stands_beside_the_fit(run_dir, usual):
    tree, fit = read_tree(usual / "usual.nc"), read_tree(run_dir / "ar.nc")
    assert set(tree.children) == {*fit.children, "usual"}
    assert tree["usual"].attrs["num_draws"] == 5 and tree["usual"].attrs["rows"] == 10
    xr.testing.assert_identical(tree["posterior"].to_dataset(), fit["posterior"].to_dataset())


def test_a_sensor_that_stands_still_is_named(usual, tmp_path, capsys):
    out = tmp_path / "signs.nc"
    argv = ["diagnose", str(usual / "usual.nc"), str(usual / "stuck.nc"), "-o", str(out)]
    assert run(argv) == 0
    said = capsys.readouterr().out
    assert f"The signs at each time are in {out}." in said
    row = next(line for line in said.splitlines() if "does not move" in line)
    with xr.open_dataset(out, engine="h5netcdf") as signs:
        still = (signs["suspicion"].sel(variable="wind_speed") == 2).values
    assert 60 < still[150:].sum() < 90 and not still[:150].any()
    assert row.split()[:5] == ["wind_speed", "does", "not", "move", str(still.sum())]
    assert said.index("wind_speed") < said.index("air_temperature")  # the more suspected one


def test_of_runs_it_says_which():
    flags = np.zeros((2, 8, 3), np.int8)
    flags[0, 6:, 1], flags[1, 3:, 1], flags[1, 7, 2] = 2, 2, 4
    dims = ("run", "time", "variable")
    still = np.where(np.arange(8)[:, None] < 2, np.nan, 1.0) * np.ones((2, 8, 3))
    times = np.datetime64("2020-01-01", "ns") + np.arange(8) * np.timedelta64(1, "s")
    signs = xr.Dataset(
        {"suspicion": (dims, flags), "still": (dims, still)},
        {"run": ["hot", "cold"], "time": times, "variable": list("abc")},
    )
    columns, rows = _suspicions(signs)
    assert columns[-1] == "run"
    assert rows == [
        ["b", "does not move", "7", "58.3 %", "2020-01-01T00:00:03", "hot, cold"],
        ["c", "is silent", "1", "8.3 %", "2020-01-01T00:00:07", "cold"],
        ["a", "nothing", "–", "–", "–", "–"],
    ]


def test_a_fit_that_does_not_know_what_is_usual_is_told_the_command(run_dir, refused):
    said = refused("diagnose", run_dir / "ar.nc", run_dir / "truth.nc")
    assert "well, assim accustom FIT FILE -o FIT." in said
