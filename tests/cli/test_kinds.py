"""A wrong file is named for what it is; many files are one record, as a shell writes them."""

import pytest
import xarray as xr

from assim.cli import run


@pytest.fixture(scope="module")
def kinds(run_dir, tmp_path_factory):
    """One file of each kind."""
    scores = tmp_path_factory.mktemp("scores") / "scores.nc"
    forecast, truth = run_dir / "persistence.nc", run_dir / "truth.nc"
    assert run(["compare", str(forecast), "--truth", str(truth), "-o", str(scores), "-q"]) == 0
    fit, analysis = run_dir / "ar.nc", scores.with_name("analysis.nc")
    assert run(["assimilate", str(fit), str(truth), "-o", str(analysis), "-q"]) == 0
    return {
        "a fit": fit,
        "a forecast": forecast,
        "an assimilation": analysis,
        "a record": truth,
        "a table of scores": scores,
    }


KINDS = ("a fit", "a forecast", "an assimilation", "a record", "a table of scores")
COMMANDS = {
    "check {}": "a record",
    "fit {} -o {out} -q": "a record",
    "fit {record} -o {out} -q --init {}": "a fit",
    "forecast {} {record} -o {out} -q": "a fit",
    "forecast {fit} {} -o {out} -q": "a record",
    "assimilate {} {record} -o {out} -q": "a fit",
    "assimilate {fit} {} -o {out} -q": "a record",
    "assimilate {fit} {record} -o {out} -q --resume {}": "an assimilation",
    "compare {} --truth {record}": "a forecast",
    "compare {forecast} --truth {}": "a record",
}


@pytest.mark.parametrize(
    ("command", "wanted", "given"),
    [(c, wanted, given) for c, wanted in COMMANDS.items() for given in KINDS if given != wanted],
)
def test_a_wrong_file_is_named_for_what_it_is(command, wanted, given, kinds, tmp_path, capsys):
    names = {kind.split()[-1]: str(path) for kind, path in kinds.items()}
    line = command.format(str(kinds[given]), out=str(tmp_path / "out.nc"), **names)
    capsys.readouterr()
    assert run(line.split()) == 2
    said = capsys.readouterr().err
    assert f"{kinds[given]} is {given}, and {wanted} is wanted: " in said and said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def parts(run_dir, tmp_path_factory):
    """The record in three files, as the shell lists them."""
    folder = tmp_path_factory.mktemp("parts")
    with xr.open_dataset(run_dir / "truth.nc", engine="h5netcdf") as ds:
        for i in range(3):
            part = ds.isel(time=slice(80 * i, 80 * i + 80))
            part.to_netcdf(folder / f"part{i}.nc", engine="h5netcdf")
    return sorted(map(str, folder.glob("*.nc")))


def test_many_files_are_one_record(parts, run_dir, tmp_path, capsys):
    assert run(["check", *parts, "--variables", "wind_speed"]) == 0
    assert "stamps: 240" in capsys.readouterr().out
    out = str(tmp_path / "fc.nc")
    argv = ["forecast", str(run_dir / "ar.nc"), *parts, "-o", out, "--horizon", "1h"]
    assert run([*argv, "--draws", "10"]) == 0
    assert "1 h ahead, from 2020-01-01T23:50:00 to 2020-01-02T15:50:00" in capsys.readouterr().out


@pytest.mark.parametrize("turned", [False, True])
def test_a_truth_of_many_files_needs_no_quotes(turned, parts, run_dir, tmp_path, capsys):
    forecast, tables = str(run_dir / "persistence.nc"), []
    given = ["--truth", *parts, forecast] if turned else [forecast, "--truth", *parts]
    for argv in (given, [forecast, "--truth", str(run_dir / "truth.nc")]):
        assert run(["compare", *argv, "-o", str(tmp_path / "scores.nc")]) == 0
        tables.append(capsys.readouterr())
    assert tables[0].out == tables[1].out
    assert f"Taken as more of the truth: {parts[1]}, {parts[2]}." in tables[0].err
