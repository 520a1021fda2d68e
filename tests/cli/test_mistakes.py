"""A mistake in the input is one sentence and exit code 2; Ctrl-C is 130; a fault of the package is 1."""

import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from assim.cli import run
from assim.inference.progress import Progress
from assim.tree import read_tree

FAST = ["--method", "prior", "--set", "num_draws=5", "--set", "lags=3", "--set", "hidden=", "-q"]


@pytest.fixture
def mistake(capsys):
    """Run a command that must end in one sentence and exit code 2, and give the sentence."""

    def refused(*argv: object) -> str:
        capsys.readouterr()
        assert run([str(a) for a in argv]) == 2
        said = capsys.readouterr()
        lines = [line for line in said.err.splitlines() if line.strip()]
        assert said.out == "" and len(lines) == 1, said
        assert lines[0].startswith("assim: ") and "Traceback" not in lines[0]
        return lines[0]

    return refused


@pytest.fixture
def written(tmp_path, mast_record):
    """Write a record that differs from the good one in one respect, and fit it."""

    def path(change) -> str:
        changed = change(mast_record.drop_vars(["battery", "dead"]))
        file = tmp_path / "record.nc"
        changed.to_netcdf(file, engine="h5netcdf")
        return str(file)

    return path


def off_the_clock(ds):
    jitter = np.random.default_rng(1).integers(0, 300, ds.sizes["time"]) * np.timedelta64(1, "s")
    return ds.assign_coords(time=ds["time"] + jitter)


RECORDS = {
    "no clock": (lambda ds: ds.rename(time="x").drop_vars("x"), "time"),
    "constant": (
        lambda ds: ds * 0,
        "'air_temperature' is constant, 'wind_speed' is constant: give",
    ),
    "missing": (lambda ds: ds * np.nan, "missing"),
    "text": (lambda ds: ds.astype(str), "no sensor reading"),
    "irregular": (off_the_clock, "--step"),
    "short": (lambda ds: ds.isel(time=slice(0, 6)), "longer record"),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_record_that_cannot_be_fitted(case, written, mistake, tmp_path):
    change, words = RECORDS[case]
    said = mistake("fit", written(change), "-o", tmp_path / "ar.nc", *FAST)
    assert any(word in said for word in words.split("|")), said
    assert [p.name for p in tmp_path.iterdir()] == ["record.nc"]


def test_files_that_are_none(mistake, tmp_path, run_dir):
    out = tmp_path / "ar.nc"
    assert "absent.nc" in mistake("fit", tmp_path / "absent.nc", "-o", out, *FAST)
    assert "no-*.nc" in mistake("fit", tmp_path / "no-*.nc", "-o", out, *FAST)
    (tmp_path / "text.nc").write_text("these are words")
    assert "text.nc" in mistake("check", tmp_path / "text.nc")
    whole = (run_dir / "truth.nc").read_bytes()
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    assert "cut.nc" in mistake("check", tmp_path / "cut.nc")


def test_names_that_are_not_there(mistake, run_dir, tmp_path):
    truth, out = run_dir / "truth.nc", tmp_path / "ar.nc"
    fit = ("fit", truth, "-o", out, *FAST)
    assert "wind_speed" in mistake(*fit, "--variables", "windspeed")
    assert "battery" in mistake(*fit, "--variables", "battery")
    assert "valve" in mistake(*fit, "--controls", "valve")
    assert "lags" in mistake(*fit, "--set", "lagz=3")
    assert "choose from" in mistake(*fit, "--model", "arima")
    assert "suspect" in mistake(*fit, "--qc", "good")
    assert "No such option" in mistake(*fit, "--foo")
    assert "Missing option" in mistake("fit", truth)
    assert "No such command" in mistake("fti", truth)
    assert "There is no dataset" in mistake("datasets", "--export", "mast", tmp_path / "m.nc")
    assert not out.exists()


def test_a_method_that_cannot_serve_names_those_that_can(mistake, run_dir, tmp_path):
    argv = ["fit", run_dir / "truth.nc", "-o", tmp_path / "ar.nc", "--method", "laplace", "-q"]
    said = mistake(*argv, "--model", "climatology", "--set", "curvature=LastLayer")
    assert "GaussNewton" in said


def test_trees_that_are_none(mistake, run_dir, tmp_path):
    truth, out = run_dir / "truth.nc", tmp_path / "fc.nc"
    assert "no file" in mistake("forecast", tmp_path / "absent.nc", truth, "-o", out)
    whole = bytearray((run_dir / "ar.nc").read_bytes())
    (tmp_path / "cut.nc").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in mistake("forecast", tmp_path / "cut.nc", truth, "-o", out)
    assert "cannot be read" in mistake("compare", tmp_path / "cut.nc", "--truth", truth)
    old = xr.open_datatree(run_dir / "ar.nc", engine="h5netcdf").load()
    old.attrs["schema"] = "0"
    old.to_netcdf(tmp_path / "old.nc", engine="h5netcdf")
    assert "schema 0" in mistake("forecast", tmp_path / "old.nc", truth, "-o", out)
    less = xr.open_datatree(run_dir / "ar.nc", engine="h5netcdf").load()
    less["posterior"] = xr.DataTree(less["posterior"].to_dataset().drop_vars("net.skip.bias"))
    less.to_netcdf(tmp_path / "less.nc", engine="h5netcdf")
    said = mistake("forecast", tmp_path / "less.nc", truth, "-o", out)
    assert f"The tree {tmp_path / 'less.nc'} is damaged" in said and "lacks net.skip.bias" in said
    assert not out.exists()


def test_a_horizon_that_is_none_and_a_truth_of_another_time(mistake, run_dir, tmp_path):
    tree, truth = run_dir / "ar.nc", run_dir / "truth.nc"
    forecast = ("forecast", tree, truth, "-o", tmp_path / "fc.nc", "-q")
    assert "not a duration" in mistake(*forecast, "--horizon", "soon")
    assert "shorter than one step" in mistake(*forecast, "--horizon", "1s")
    with xr.open_dataset(truth, engine="h5netcdf") as ds:
        ds.assign_coords(time=ds["time"] + np.timedelta64(999, "D")).to_netcdf(
            tmp_path / "later.nc", engine="h5netcdf"
        )
    said = mistake("compare", run_dir / "persistence.nc", "--truth", tmp_path / "later.nc")
    assert "none of the forecast's valid times" in said
    said = mistake("compare", run_dir / "persistence.nc", "--truth", truth, "--baseline", "var")
    assert "'var' is not among" in said


def test_a_folder_without_results_is_told_the_commands(mistake, tmp_path):
    said = mistake("report", tmp_path)
    assert "nothing to report" in said
    assert f"assim forecast FIT FILE -o {tmp_path}/forecast.nc" in said
    assert f"assim compare FORECAST --truth FILE -o {tmp_path}/scores.nc" in said


def test_controls_that_end_too_soon_are_named(mistake, mast_record, tmp_path):
    record, tree = tmp_path / "record.nc", tmp_path / "ar.nc"
    mast_record.drop_vars(["battery", "dead"]).to_netcdf(record, engine="h5netcdf")
    argv = ["fit", str(record), "-o", str(tree), "--controls", "wind_speed", *FAST]
    assert run(argv) == 0
    said = mistake("forecast", tree, record, "-o", tmp_path / "fc.nc", "--horizon", "1h", "-q")
    assert "wind_speed" in said and "2020-01-02T16:00:00" in said
    plain = ["fit", record, "-o", tree, "--controls", "wind_speed", "--model", "persistence"]
    assert "takes none" in mistake(*plain)


@pytest.mark.parametrize("place", ["absent/ar.nc", "."])
def test_an_output_that_cannot_be_written_is_known_at_once(place, mistake, tmp_path):
    said = mistake("fit", tmp_path / "absent.nc", "-o", tmp_path / place, *FAST)
    assert "does not exist" in said or "is a folder" in said


@pytest.fixture
def idle(monkeypatch):
    """No command comes to its work."""

    def worked(*args: object, **more: object) -> None:
        raise AssertionError("the place was not asked for first")

    for verb in ("tree.read_tree", "report.collecting.collect", "data.open_dataset"):
        monkeypatch.setattr(f"assim.{verb}", worked)


@pytest.mark.parametrize("place", ["absent/a.nc", "."])
def test_every_other_place_is_asked_for_at_once(place, mistake, idle, run_dir, tmp_path):
    tree, truth, bad = run_dir / "ar.nc", run_dir / "truth.nc", tmp_path / place
    for argv in (
        ("forecast", tree, truth, "-o", tmp_path / "fc.nc", "--cf", bad),
        ("forecast", tree, truth, "-o", tmp_path / "fc.zarr", "--cf", bad),
        ("forecast", tree, truth, "-o", tmp_path / "absent" / "fc.zarr"),
        ("compare", run_dir / "persistence.nc", "--truth", truth, "-o", bad),
        ("report", run_dir, "-o", bad),
    ):
        said = mistake(*argv)
        assert "does not exist" in said or "is a folder" in said or "ends in .nc or .csv" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["fc.nc", "fc.zarr"])
def test_a_flat_file_that_fails_leaves_no_forecast(name, mistake, run_dir, tmp_path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError("There is no room left.")

    monkeypatch.setattr("assim.data.to_cf", full)
    argv = ["forecast", run_dir / "ar.nc", "-o", tmp_path / name, "--cf", tmp_path / "flat.nc"]
    assert "no room" in mistake(*argv, "--horizon", "1", "--draws", "2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["s.txt", "scores", "s.zarr"])
def test_scores_go_to_netcdf_or_csv(name, mistake, idle, run_dir, tmp_path):
    argv = ["compare", run_dir / "persistence.nc", "--truth", run_dir / "truth.nc"]
    assert "a name that ends in .nc or .csv" in mistake(*argv, "-o", tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission_is_a_sentence(mistake, run_dir, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert "permission" in mistake("fit", run_dir / "truth.nc", "-o", closed / "ar.nc", *FAST)


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for a disk without room."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)); "
        "from assim.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    argv = ["datasets", "--export", "met_mast", str(tmp_path / "mast.nc")]
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("assim: ") and done.stderr.count("\n") == 1
    assert f"({tmp_path / 'mast.nc'})" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_the_program_still_loads():
    code = (
        "import sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'assim.cli.application': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Stop())\n"
        "from assim.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "assim: Interrupted; nothing was left half-written.\n"


def test_ctrl_c_that_an_extension_takes_for_a_fault_of_its_own(run_dir, capsys, monkeypatch):
    def load(*args: object, **more: object) -> None:
        raise ImportError("Encountered an error.") from KeyboardInterrupt()

    monkeypatch.setattr("assim.report.report", load)
    assert run(["report", str(run_dir), "-q"]) == 130
    assert capsys.readouterr().err == "assim: Interrupted; nothing was left half-written.\n"


def test_ctrl_c_keeps_the_state_and_the_same_command_goes_on(run_dir, tmp_path, capsys):
    argv = ["fit", str(run_dir / "truth.nc"), "--method", "svi", "-q", "--set", "hidden="]
    argv += ["--set", "num_steps=20", "--set", "ascent.num_steps=600", "--set", "num_draws=5"]
    out, state = tmp_path / "ar.nc", tmp_path / "state"
    calls = []

    def interrupt(self, steps, figures):
        calls.append(steps)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "advance", interrupt)
        assert run([*argv, "-o", str(out), "--checkpoint", str(state)]) == 130
    said = capsys.readouterr().err
    assert "state.MAP.npz" in said and "goes on from there" in said and said.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["state.MAP.npz"]
    assert run([*argv, "-o", str(out), "--checkpoint", str(state)]) == 0
    assert run([*argv, "-o", str(tmp_path / "whole.nc")]) == 0
    resumed, whole = (read_tree(tmp_path / f"{n}.nc")["posterior"] for n in ("ar", "whole"))
    xr.testing.assert_identical(resumed.to_dataset(), whole.to_dataset())


def test_ctrl_c_without_a_checkpoint_names_it(run_dir, tmp_path, capsys, monkeypatch):
    def stopped(*args: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("assim.inferring.infer", stopped)
    assert run(["fit", str(run_dir / "truth.nc"), "-o", str(tmp_path / "ar.nc"), "-q"]) == 130
    assert "--checkpoint PATH" in capsys.readouterr().err
    monkeypatch.setattr("assim.comparing.compare", stopped)
    argv = ["compare", str(run_dir / "persistence.nc"), "--truth", str(run_dir / "truth.nc")]
    assert run(argv) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_a_fault_keeps_its_traceback(run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("assim.report.report", lambda *a, **k: {}["gone"])
    assert run(["report", str(run_dir), "-o", str(tmp_path / "r.html")]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and "KeyError" in said and "please report it" in said


def test_a_type_error_from_elsewhere_is_a_fault(run_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("assim.report.report", lambda *a, **k: np.zeros((1, 2)).reshape("x"))
    assert run(["report", str(run_dir), "-o", str(tmp_path / "r.html")]) == 1
    assert "Traceback" in capsys.readouterr().err
