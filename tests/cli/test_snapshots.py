"""Snapshots of a population on the command line: a fit, a forecast, and what a wrong file is told."""

import numpy as np
import pytest
import xarray as xr

import assim
from assim.cli import run
from assim.cli.choosing import chosen
from assim.tree import read_tree

BRIDGE = [
    *("--model", "schrodinger-bridge", "--method", "prior", "--set", "num_draws=3"),
    *("--set", "reference=references.LotkaVolterra", "--set", "steps=2"),
    *("--set", "volatility=volatilities.Multiplicative"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots")
    ds = assim.load_dataset("lotka_volterra").isel(time=slice(0, 5), sample=slice(0, 10))
    ds.to_netcdf(path / "snapshots.nc", engine="h5netcdf")
    fit = ["fit", str(path / "snapshots.nc"), "-o", str(path / "post.nc"), *BRIDGE, "-q"]
    assert run(fit) == 0
    return path


def test_a_bridge_is_fitted_to_a_file_of_snapshots(folder, tmp_path, capsys):
    fit = ["fit", str(folder / "snapshots.nc"), "-o", str(tmp_path / "post.nc"), *BRIDGE]
    assert run([*fit, "--until", "2000-01-01T00:00:04"]) == 0
    said = capsys.readouterr()
    assert "5 snapshots hold 10 samples each" in said.err
    assert "schrodinger-bridge on prey, predator up to 2000-01-01T00:00:03: 3 draws" in said.out
    model = assim.restore(tmp_path / "post.nc").model
    assert type(model.volatility).__name__ == "Multiplicative" and model.steps == 2


def test_parts_are_typed_as_in_python():
    told = ["reference=references.Sum(Linear, RandomFeatures(6))", "error=errors.Given(0.2)"]
    model, _ = chosen("SchrodingerBridge", None, [*told, "unit=1min", "matching=Adjacent"])
    assert [type(part).__name__ for part in model.reference.parts] == ["Linear", "RandomFeatures"]
    assert type(model.error).__module__.endswith("bridge.errors") and model.error.sd == 0.2
    assert model.unit == "1min" and type(model.matching).__name__ == "Adjacent"


@pytest.mark.parametrize("files", [[], ["snapshots.nc"]])
def test_a_population_is_forecast_from_its_last_snapshot(files, folder, tmp_path, capsys):
    out = tmp_path / "forecast.nc"
    given = [str(folder / name) for name in files]
    assert (
        run(["forecast", str(folder / "post.nc"), *given, "-o", str(out), "--horizon", "2s"]) == 0
    )
    assert "1 forecast" in capsys.readouterr().out
    with xr.open_dataset(out, group="predictions", engine="h5netcdf") as made:
        assert made.sizes == {"chain": 1, "draw": 3, "init_time": 1, "lead_time": 2, "sample": 10}
        assert made["init_time"].values == np.datetime64("2000-01-01T00:00:04")


@pytest.mark.slow
def test_a_particle_is_assimilated_with_a_fit_to_snapshots(folder, tmp_path):
    ds = assim.load_dataset("lotka_volterra").isel(time=slice(5, 9), sample=0)
    ds[["prey", "predator"]].to_netcdf(tmp_path / "record.nc", engine="h5netcdf")
    out = tmp_path / "analysis.nc"
    command = ["assimilate", folder / "post.nc", tmp_path / "record.nc", "-o", out, "-q"]
    assert run([*map(str, command), "--filter", "etkf"]) == 0
    assert read_tree(out)["analysis"].sizes["time"] == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"FILE": "post.nc"}, "post.nc is a fit, and a record is wanted"),
        ({"FILE": "nowhere.nc"}, "nowhere.nc"),
        ({"reference": "references.Nothing"}, "expected one of Brownian, Linear, LotkaVolterra"),
        ({"reference": "Vortex(priors=1)"}, "expected what Python alone can give"),
        ({"volatility": "errors.Learned"}, "expected one of Constant, Diagonal, Multiplicative"),
        ({"steps": "0"}, "--set steps=0: expected 1 or more"),
    ],
)
def test_mistakes_are_told_in_a_sentence(change, said, folder, tmp_path, refused):
    words = [w for w in BRIDGE if w.partition("=")[0] not in change]
    words = [w for k, w in enumerate(words) if w != "--set" or words[k + 1 : k + 2] != ["--set"]]
    words = words[:-1] if words[-1] == "--set" else words
    more = [w for k, v in change.items() if k != "FILE" for w in ("--set", f"{k}={v}")]
    file = folder / change.get("FILE", "snapshots.nc")
    assert said in refused("fit", file, "-o", tmp_path / "out.nc", *words, *more)
    assert list(tmp_path.iterdir()) == []


def test_a_series_is_no_file_of_snapshots_and_a_horizon_may_be_too_far(folder, tmp_path, refused):
    clock = np.datetime64("2000-01-01", "ns") + np.arange(5) * np.timedelta64(1, "s")
    xr.Dataset({"wind": ("time", np.arange(5.0))}, {"time": clock}).to_netcdf(
        tmp_path / "series.nc", engine="h5netcdf"
    )
    forecast = ["forecast", folder / "post.nc", "-o", tmp_path / "out.nc"]
    said = refused(*forecast[:2], tmp_path / "series.nc", *forecast[2:], "--horizon", "2s")
    assert "prey" in said
    said = refused("fit", folder / "snapshots.nc", "-o", tmp_path / "out.nc", *BRIDGE[:2])
    assert "schrodinger-bridge needs reference: give --set reference=VALUE." in said
    assert "ask for less" in refused(*forecast, "--horizon", "90000D")
    assert not (tmp_path / "out.nc").exists()
