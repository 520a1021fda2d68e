"""Each command does its work, says what it did, and leaves whole files."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from assim import restore
from assim.cli import run
from assim.tree import read_tree

FAST = ["--method", "prior", "--set", "num_draws=20", "--set", "hidden=", "--set", "lags=3"]


def test_help_is_light():
    code = (
        "import sys; from assim.cli import run; run(['--help']); run(['fit', '--help']); heavy = {'jax', 'xarray', "
        "'numpy', 'numpyro', 'matplotlib', 'arviz', 'pandas'}; print('loaded:', *heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].strip() == "loaded:"
    assert "forecast" in done.stdout and "--until" in done.stdout


def test_version_and_bare_call(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"assim {version('assim')}"
    assert run([]) == 0
    assert "Usage: assim" in capsys.readouterr().out


def test_check_tells_what_a_file_holds(run_dir, capsys):
    assert run(["check", str(run_dir / "truth.nc")]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "air_temperature" in line)
    assert "degC" in row and "4.2 %" in row
    assert "step: 10min" in out
    assert "'battery'" in out and "'dead'" in out


def test_check_goes_through_the_groups_of_a_file(tmp_path, capsys):
    path = tmp_path / "raw.nc"
    assert run(["datasets", "--export", "test_bench_raw", str(path)]) == 0
    capsys.readouterr()
    assert run(["check", str(path), "--variables", "p1,T"]) == 0
    out = capsys.readouterr().out
    assert "Group fast" in out and "step: 0.5ms" in out and "Group slow" in out
    assert "Group plan" not in out and "one clock with assim.join_rates" in out
    assert run(["check", str(path), "--variables", "T", "--step", "1s"]) == 0
    assert "step: 1s" in capsys.readouterr().out
    assert run(["fit", str(path), "-o", str(tmp_path / "fit.nc")]) == 2
    assert "holds only the groups fast, slow, plan" in capsys.readouterr().err


def test_datasets_are_listed_and_exported(tmp_path, capsys):
    assert run(["datasets"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("met_mast", "mauna_loa_co2", "test_bench"))
    path = tmp_path / "co2.nc"
    assert run(["datasets", "--export", "mauna_loa_co2", str(path)]) == 0
    with xr.open_dataset(path, engine="h5netcdf") as ds:
        assert ds.sizes["time"] > 2000
    assert run(["check", str(path)]) == 0


def test_fit_leaves_out_what_tells_nothing_and_says_so(run_dir, tmp_path, capsys):
    out = tmp_path / "ar.nc"
    argv = ["fit", str(run_dir / "truth.nc"), "-o", str(out), "--until", "2020-01-02", *FAST]
    assert run([*argv, "--seed", "3"]) == 0
    said = capsys.readouterr()
    assert "'battery' is constant and is left out" in said.err
    assert "'dead' has no value and is left out" in said.err
    assert "20 draws" in said.out and "2020-01-01T23:50:00" in said.out
    tree = read_tree(out)
    fitted = restore(tree)
    assert fitted.layout.channels == ("air_temperature", "wind_speed")
    assert fitted.model.lags == (1, 2, 3)
    assert tree["belief"]["time"].values[-1] == np.datetime64("2020-01-01T23:50")
    assert json.loads(tree.attrs["key"])[-1] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["ar.nc"]


def test_quiet_is_quiet(run_dir, tmp_path, capsys):
    argv = [
        "fit",
        str(run_dir / "truth.nc"),
        "-o",
        str(tmp_path / "p.nc"),
        "--model",
        "persistence",
    ]
    assert run([*argv, "--method", "prior", "--set", "num_draws=5", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_the_same_seed_gives_the_same_fit(run_dir, tmp_path):
    out = tmp_path / "ar.nc"
    argv = ["fit", str(run_dir / "truth.nc"), "-o", str(out), "--until", "2020-01-02", *FAST]
    assert run([*argv, "--quiet"]) == 0
    one, other = (read_tree(p)["posterior"].to_dataset() for p in (run_dir / "ar.nc", out))
    xr.testing.assert_identical(one, other)


@pytest.mark.slow
def test_several_stations_are_fitted_in_one_call(mast_record, tmp_path):
    both = xr.concat([mast_record, mast_record + 1], "station").drop_vars(["battery", "dead"])
    both["time"] = mast_record["time"]
    both = both.assign_coords(station=("station", ["hill", "valley"], {"cf_role": "timeseries_id"}))
    both.attrs["featureType"] = "timeSeries"
    both.to_netcdf(tmp_path / "two.nc", engine="h5netcdf")
    tree, forecast = str(tmp_path / "ar.nc"), tmp_path / "fc.nc"
    assert run(["fit", str(tmp_path / "two.nc"), "-o", tree, *FAST, "--quiet"]) == 0
    assert run(["forecast", tree, "-o", str(forecast), "--horizon", "2", "--draws", "5", "-q"]) == 0
    predicted = read_tree(forecast)["predictions"].to_dataset()
    assert list(predicted["station"].values) == ["hill", "valley"]


def test_forecast_begins_where_the_training_ends(run_dir):
    tree = read_tree(run_dir / "persistence.nc")
    starts = tree["predictions"].to_dataset()["init_time"].values
    assert starts[0] >= np.datetime64("2020-01-01T23:50")
    assert (np.diff(starts) == np.timedelta64(1, "h")).all()
    assert tree["predictions"].sizes["lead_time"] == 6
    assert tree["predictions"].sizes["draw"] == 10


def test_forecast_to_zarr_and_to_a_flat_file(run_dir, tmp_path, capsys):
    store, flat = tmp_path / "fc.zarr", tmp_path / "flat.nc"
    argv = ["forecast", str(run_dir / "ar.nc"), str(run_dir / "truth.nc"), "-o", str(store)]
    argv += ["--horizon", "30min", "--origins", "2h", "--draws", "5", "--cf", str(flat)]
    assert run([*argv, "--paths", "2"]) == 0
    assert "forecasts, 30 min ahead, from 2020-01-0" in capsys.readouterr().out
    with xr.open_zarr(store, group="predictions", consolidated=False) as made:
        assert made.sizes["lead_time"] == 3 and made.sizes["draw"] == 10
    with xr.open_dataset(flat, engine="h5netcdf") as ds:
        assert "CF" in ds.attrs["Conventions"]


@pytest.mark.slow
def test_forecast_of_what_was_seen_is_one_from_its_end(run_dir, tmp_path, capsys):
    seen = tmp_path / "seen.nc"
    with xr.open_dataset(run_dir / "truth.nc", engine="h5netcdf") as ds:
        ds.isel(time=slice(0, 144)).to_netcdf(seen, engine="h5netcdf")
    out = str(tmp_path / "fc.nc")
    assert run(["forecast", str(run_dir / "ar.nc"), str(seen), "-o", out, "--horizon", "1h"]) == 0
    assert "seen all of the record" in capsys.readouterr().err
    assert read_tree(out)["predictions"].sizes["init_time"] == 1
    assert run(["forecast", str(run_dir / "ar.nc"), "-o", out, "--horizon", "1h"]) == 0
    assert f"1 forecast, 1 h ahead, from 2020-01-01T23:50:00 in {out}." in capsys.readouterr().out


def test_a_sensor_that_the_file_lacks_is_masked_and_named(run_dir, tmp_path, capsys):
    less, out = tmp_path / "less.nc", str(tmp_path / "fc.nc")
    xr.load_dataset(run_dir / "truth.nc").drop_vars("air_temperature").to_netcdf(less)
    argv = ["forecast", str(run_dir / "ar.nc"), str(less), "-o", out, "--horizon", "1h"]
    assert run([*argv, "--origins", "last", "--draws", "5"]) == 0
    assert "air_temperature" in capsys.readouterr().err
    assert np.isfinite(read_tree(out)["predictions"]["air_temperature"]).all()


def test_compare_shows_a_table_and_writes_the_scores(run_dir, tmp_path, capsys):
    truth, scores = str(run_dir / "truth.nc"), tmp_path / "scores.nc"
    argv = ["compare", str(run_dir / "persistence.nc"), "--truth", truth]
    assert run([*argv, "-o", str(scores)]) == 0
    said = capsys.readouterr()
    assert "CRPS" in said.out and "air_temperature (degC)" in said.out and "skill" in said.out
    assert "warning" not in said.err
    with xr.open_dataset(scores, engine="h5netcdf") as table:
        assert set(table["variable"].values) == {"air_temperature", "wind_speed"}
    assert run([*argv, "-o", str(tmp_path / "scores.csv"), "--quiet"]) == 0
    assert "coverage_90" in pd.read_csv(tmp_path / "scores.csv").columns


def test_scores_on_the_training_record_are_refused(run_dir, tmp_path, capsys):
    seen, forecast = str(tmp_path / "seen.nc"), str(tmp_path / "fc.nc")
    with xr.open_dataset(run_dir / "truth.nc", engine="h5netcdf") as ds:
        ds.isel(time=slice(0, 144)).to_netcdf(seen, engine="h5netcdf")
    argv = ["forecast", str(run_dir / "ar.nc"), seen, "-o", forecast, "--draws", "5"]
    assert run([*argv, "--horizon", "2", "--origins", "6h"]) == 0
    assert run(["compare", forecast, "--truth", seen]) == 2
    assert "Training and test overlap: 'fc' was trained on" in capsys.readouterr().err
    assert run(["compare", forecast, "--truth", seen, "--in-sample"]) == 0


def test_report_is_one_page(run_dir, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert run(["report", str(run_dir), "-o", str(page)]) == 0
    assert str(page) in capsys.readouterr().out
    assert page.read_text().startswith("<!") and "CRPS" in page.read_text()


def test_a_report_names_what_is_lacking(run_dir, tmp_path, capsys):
    shutil.copy(run_dir / "persistence.nc", tmp_path / "fc.nc")
    assert run(["report", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert f"assim compare {tmp_path}/fc.nc --truth FILE -o {tmp_path}/scores.nc." in said
    assert "truth.nc is lacking" in said
    command = f"compare {tmp_path}/fc.nc --truth {run_dir}/truth.nc -o {tmp_path}/scores.nc -q"
    assert run(command.split()) == 0
    capsys.readouterr()
    assert run(["report", str(tmp_path)]) == 0
    assert "scores.nc" not in capsys.readouterr().err
    assert "CRPS" in (tmp_path / "report.html").read_text()


FITTED = {"departures", "autoregressive", "persistence"}


@pytest.mark.slow
def test_demo_leaves_a_whole_run(tmp_path):
    check_demo(tmp_path / "demo", [], FITTED | {"climatology", "var"})


def test_demo_is_wired_through(tmp_path, capsys):
    check_demo(tmp_path / "demo", ["--quick", "--quiet"], FITTED, 30)
    said = capsys.readouterr().out
    assert "skill against persistence" in said and "report.html" in said
    with xr.open_dataset(tmp_path / "demo" / "scores.nc", engine="h5netcdf") as scores:
        first = str(scores["model"].values[0])
    assert f"By mean skill against persistence {first} (" in said
    assert f"{first}: the 90 % intervals hold" in said


def check_demo(out, options, models, minutes=360):
    assert run(["demo", "--out", str(out), *options]) == 0
    names = {path.name for path in out.iterdir()}
    plots = {"fan.png", "crps.png", "coverage.png", "pit.png", "reliability.png", "training.png"}
    trees = {f"{m}.nc" for m in models} | {f"{m}_forecast.nc" for m in {"pool", *models}}
    assert names == plots | trees | {"report.html", "scores.nc", "scores.csv", "truth.nc"}
    with xr.open_dataset(out / "scores.nc", engine="h5netcdf") as scores:
        assert set(scores["model"].values) == {"pool", *models}
        skill = scores["crps_skill"].mean(("variable", "lead_time"))
        assert (skill.diff("model") <= 0).all()
        assert scores["lead_time"].values[-1] == np.timedelta64(minutes, "m")
    joined = read_tree(out / "pool_forecast.nc")
    assert json.loads(joined.attrs["pool"]) == {"departures": 0.5, "autoregressive": 0.5}
    truth = read_tree(out / "truth.nc").to_dataset()
    for model in models:
        tree = read_tree(out / f"{model}.nc")
        assert tree["belief"]["time"].values[-1] < truth["time"].values[-1] - np.timedelta64(
            23, "h"
        )
