"""What was fitted on a coarser clock than the file's is forecast and compared on it, without being told again."""

import pytest
import xarray as xr

from assim.cli import run
from assim.tree import read_tree

FAST = ["--method", "prior", "--set", "num_draws=20", "--set", "hidden=", "--set", "lags=3", "-q"]


@pytest.fixture(scope="module")
def slow(run_dir, tmp_path_factory):
    """A fit and a forecast by half hours of a record by ten minutes."""
    folder = tmp_path_factory.mktemp("slow")
    truth, fit = str(run_dir / "truth.nc"), str(folder / "ar.nc")
    assert run(["fit", truth, "-o", fit, "--step", "30min", "--until", "2020-01-02", *FAST]) == 0
    argv = ["forecast", fit, truth, "-o", str(folder / "fc.nc"), "--horizon", "1h", "--draws", "10"]
    assert run([*argv, "--step", "30min", "-q"]) == 0
    return folder


def scores_of(*argv: object) -> xr.Dataset:
    *given, path = map(str, argv)
    assert run(["compare", *given, "-o", path]) == 0
    with xr.open_dataset(path, engine="h5netcdf") as scores:
        return scores.load().drop_attrs()


def test_a_forecast_takes_the_clock_of_the_fit(slow, run_dir, tmp_path, capsys):
    truth, out = str(run_dir / "truth.nc"), tmp_path / "fc.nc"
    argv = ["forecast", str(slow / "ar.nc"), truth, "-o", str(out), "--horizon", "1h"]
    assert run([*argv, "--draws", "10"]) == 0
    said = capsys.readouterr()
    assert "put on the clock of the fit: each 30min holds the mean of its readings" in said.err
    told, untold = (read_tree(p)["predictions"].to_dataset() for p in (slow / "fc.nc", out))
    xr.testing.assert_identical(told, untold)


def test_a_comparison_takes_the_clock_of_the_forecasts(slow, run_dir, tmp_path, capsys):
    forecast, truth = slow / "fc.nc", run_dir / "truth.nc"
    untold = scores_of(forecast, "--truth", truth, tmp_path / "untold.nc")
    assert "put on the clock of the forecasts: each 30min" in capsys.readouterr().err
    told = scores_of(forecast, "--truth", truth, "--step", "30min", tmp_path / "told.nc")
    assert "put on the clock" not in capsys.readouterr().err
    xr.testing.assert_identical(told, untold)
    argv = ["compare", str(forecast), "--truth", str(truth), "--step", "10min"]
    assert run(argv) == 2  # readings are not what means are judged by
    assert "means over 30min" in capsys.readouterr().err


@pytest.mark.slow
def test_a_record_on_the_clock_is_left_as_it_is(run_dir, tmp_path, capsys):
    truth, fit = str(run_dir / "truth.nc"), str(run_dir / "ar.nc")
    argv = ["forecast", fit, truth, "-o", str(tmp_path / "fc.nc"), "--horizon", "1h"]
    assert run([*argv, "--draws", "10"]) == 0
    assert run(["compare", str(run_dir / "persistence.nc"), "--truth", truth]) == 0
    assert "put on the clock" not in capsys.readouterr().err


def test_a_coarser_record_is_refused_with_both_steps(slow, run_dir, tmp_path, capsys):
    coarse = tmp_path / "coarse.nc"
    with xr.open_dataset(run_dir / "truth.nc", engine="h5netcdf") as ds:
        ds.isel(time=slice(5, None, 6)).to_netcdf(coarse, engine="h5netcdf")
    argv = ["forecast", str(slow / "ar.nc"), str(coarse), "-o", str(tmp_path / "fc.nc"), "-q"]
    assert run(argv) == 2
    assert "a step of 1h, and 30min is needed: put it on that clock with --step 30min" in (
        capsys.readouterr().err
    )


def test_forecasts_of_two_steps_have_no_truth_in_common(slow, run_dir, capsys):
    forecasts = [str(slow / "fc.nc"), str(run_dir / "persistence.nc")]
    assert run(["compare", *forecasts, "--truth", str(run_dir / "truth.nc")]) == 2
    assert "different steps (fc 30min, persistence 10min)" in capsys.readouterr().err
