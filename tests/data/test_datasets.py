import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import assim
from assim.data import datasets
from assim.data.fetching import REMOTE
from assim.data.populating import population_of

FOLDER = Path(__file__).resolve().parents[2] / "datasets"
NAMES = ["met_mast", "mauna_loa_co2", "test_bench", "lotka_volterra", "lotka_volterra_held_out"]
GROUPED = "test_bench_raw"


@pytest.fixture(scope="module")
def make():
    """The script that makes the files."""
    pytest.importorskip("pvanalytics")
    spec = importlib.util.spec_from_file_location("assim_make_datasets", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        spec.loader.exec_module(module)
    return module


def findings(path: Path, out: Path) -> list[str]:
    """What compliance-checker has against a file, by CF and ACDD, of any priority."""
    runner = pytest.importorskip("compliance_checker.runner")
    runner.CheckSuite.load_all_available_checkers()
    runner.ComplianceChecker.run_checker(
        str(path),
        ["cf:1.8", "acdd:1.3"],
        0,
        "strict",
        output_filename=str(out),
        output_format="json",
    )
    told = json.loads(out.read_text())
    assert set(told) == {"cf:1.8", "acdd:1.3"}
    return [
        f"{suite}: {message}"
        for suite, result in told.items()
        for kind in ("high", "medium", "low")
        for check in result[f"{kind}_priorities"]
        if check["value"][0] != check["value"][1]
        for message in check["msgs"]
    ]


def test_each_name_is_listed_with_a_line_and_has_its_file():
    listed = assim.list_datasets()
    assert sorted(listed) == sorted([*NAMES, GROUPED, *REMOTE])
    assert all(line and "\n" not in line for line in listed.values())
    assert sorted(p.stem for p in FOLDER.glob("*.nc")) == sorted([*NAMES, GROUPED])


@pytest.mark.parametrize("name", NAMES)
def test_what_loads_has_the_shape_of_any_other_record(name):
    ds = assim.load_dataset(name)
    assert ds["time"].dtype == "datetime64[ns]"
    assert (np.diff(ds["time"].values) > np.timedelta64(0, "ns")).all()
    for da in ds.data_vars.values():
        assert da.dtype.kind == "f" and da.attrs["units"] and da.attrs["standard_name"], da.name
    assert (FOLDER / f"{name}.nc").stat().st_size < 1.5e6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compliance_checker_finds_nothing(name, tmp_path):
    assert findings(FOLDER / f"{name}.nc", tmp_path / "out.json") == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compliance_is_a_check_that_can_fail(tmp_path):
    with xr.open_dataset(FOLDER / "mauna_loa_co2.nc", engine="netcdf4") as ds:
        bad = ds.load().drop_attrs(deep=False)
    bad["co2"].attrs["units"] = "furlong"
    bad.to_netcdf(tmp_path / "bad.nc", engine="netcdf4")
    told = findings(tmp_path / "bad.nc", tmp_path / "out.json")
    assert any("furlong" in line for line in told) and any("title" in line for line in told)


@pytest.mark.parametrize("name", ["met_mast", "mauna_loa_co2"])
def test_the_script_makes_the_shipped_file_byte_for_byte(make, name, tmp_path):
    make.write(make.MAKERS[name](), tmp_path / f"{name}.nc")
    assert (tmp_path / f"{name}.nc").read_bytes() == (FOLDER / f"{name}.nc").read_bytes()


def test_the_script_makes_the_start_of_the_shipped_bench(make):
    with xr.open_dataset(FOLDER / "test_bench.nc", engine="netcdf4") as ds:
        shipped = ds.load().isel(run=slice(0, 2), time=slice(0, 40))
    made = make.test_bench(runs=2, seconds=2.0)
    for name, da in made.data_vars.items():
        assert made[name].attrs.items() <= shipped[name].attrs.items()
        np.testing.assert_allclose(shipped[name], da, rtol=2e-4, atol=2e-4, err_msg=str(name))


def test_the_script_makes_the_shipped_snapshots(make):
    made = make.lotka_volterra_held_out()
    with xr.open_dataset(FOLDER / "lotka_volterra_held_out.nc", engine="netcdf4") as shipped:
        assert made.attrs.items() <= shipped.attrs.items()
        np.testing.assert_array_equal(made["time"], shipped["time"])
        for name, da in made.data_vars.items():
            np.testing.assert_allclose(shipped[name], da, rtol=1e-4, err_msg=str(name))


@pytest.mark.slow
def test_the_script_makes_the_whole_bench(make, tmp_path):
    make.write(make.test_bench(), tmp_path / "test_bench.nc")
    with (
        xr.open_dataset(FOLDER / "test_bench.nc", engine="netcdf4") as shipped,
        xr.open_dataset(tmp_path / "test_bench.nc", engine="netcdf4") as made,
    ):
        assert made.attrs == shipped.attrs
        close = np.isclose(made["log_rms_p1"], shipped["log_rms_p1"], rtol=1e-3, atol=1e-3)
        assert (
            close.mean() > 0.99
        )  # rounding differs between processors; one phase slip is not an error
        for name in ("u1", "u2"):
            np.testing.assert_allclose(made[name], shipped[name], atol=1e-6)


def test_the_mast_holds_the_readings_of_its_source_and_no_others(make):
    table = pd.read_csv(
        str(make.files("pvanalytics") / "data" / "rmis_weather_data.csv"), index_col=0
    )
    with xr.open_dataset(FOLDER / "met_mast.nc", engine="netcdf4") as ds:
        assert ds.sizes["time"] == len(table)
        for column, (name, *_) in make.MAST.items():
            np.testing.assert_array_equal(ds[name], table[column].to_numpy(np.float32))
            np.testing.assert_array_equal(ds[f"{name}_qc"] == 9, table[column].isna())


def test_the_mast_has_its_gaps_and_its_flags():
    ds = assim.load_dataset("met_mast")
    assert ds.sizes == {"time": 1151} and len(ds.data_vars) == 12
    missing = ds["air_temperature"].isnull()
    assert {str(t)[11:16] for t in ds["time"].values[missing]} == {"06:55"} and missing.sum() == 4
    assert ds["wind_speed"].attrs["n_bad"] == 4 and float(ds["wind_speed"].min()) >= 0
    assert ds["wind_from_direction"].attrs["n_suspect"] == 9


def test_the_climate_record_has_59_gaps():
    co2 = assim.load_dataset("mauna_loa_co2")["co2"]
    assert (co2.size, int(co2.isnull().sum())) == (2284, 59)
    assert 310 < float(co2.min()) < float(co2.max()) < 375


def test_the_bench_has_runs_and_a_plan_that_is_complete():
    ds = assim.load_dataset("test_bench")
    assert dict(ds.sizes) == {"run": 24, "time": 400}
    assert list(ds["run"].values[:2]) == ["run00", "run01"]
    assert np.diff(ds["time"].values[:2]) == np.timedelta64(50, "ms")
    assert ds[["u1", "u2"]].to_array().notnull().all()


def test_the_populations_are_those_of_the_equations_and_none_is_seen_twice():
    """Without noise d x - c log x + b y - a log y stays; noise of 0.02 moves it a little."""
    ds = assim.load_dataset("lotka_volterra")
    assert ds["prey"].dims == ("time", "sample") and ds["prey"].shape == (11, 200)
    prey, predators = (ds[n].astype(float) for n in ("prey", "predator"))
    assert 5 <= prey[0].min() and prey[0].max() <= 5.1 and 4 <= predators[0].min()
    kept = 0.1 * prey - 0.4 * np.log(prey) + 0.4 * predators - np.log(predators)
    np.testing.assert_allclose(kept.mean("sample"), kept[0].mean(), atol=0.03)
    assert (np.abs(xr.corr(prey, prey.shift(time=1), dim="sample"))[1:] < 0.3).all()
    np.testing.assert_allclose(population_of(ds, "1s").t, range(11))
    later = assim.load_dataset("lotka_volterra_held_out")
    between = later["time"].values - ds["time"].values[:-1]
    assert (between == np.timedelta64(500, "ms")).all() and later["time"][-1] < ds["time"][-1]


def test_the_signals_of_the_bench_come_by_groups():
    tree = assim.load_dataset(GROUPED)
    steps = {"fast": np.timedelta64(500, "us"), "slow": np.timedelta64(100, "ms")}
    for name, step in (steps | {"plan": np.timedelta64(50, "ms")}).items():
        ds = tree[name].to_dataset()
        assert list(ds["run"].values) == ["run00", "run01", "run02"]
        assert (np.diff(ds["time"].values) == step).all() and not ds.to_array().isnull().any()
    assert tree["fast"].sizes["time"] == 8000 and (FOLDER / f"{GROUPED}.nc").stat().st_size < 150e3


@pytest.fixture(scope="module")
def signals(make):
    """Half a second of two runs, as finely as the bench is simulated."""
    return make.test_bench_raw(runs=2, seconds=0.5, rate=10_000.0)


def test_the_script_makes_the_start_of_the_signals(signals):
    """Up to packing; phases part where processors round in other ways, so no later than this."""
    shipped = assim.load_dataset(GROUPED).isel(run=[0, 1])
    assert signals.attrs["title"] == shipped.attrs["title"]
    for name, packed in (("p1", 0.01), ("p2", 0.02), ("oh", 0.03)):
        here = shipped["fast"][name].isel(time=slice(0, 1000))
        there = signals["fast"][name].sel(time=here["time"])
        np.testing.assert_allclose(here, there, atol=0.6 * packed)
    for group, name in (("slow", "T"), ("slow", "P"), ("plan", "u1"), ("plan", "u2")):
        there = signals[group][name]
        assert there.sizes["time"] == {"slow": 5, "plan": 30}[group]
        here = shipped[group][name].sel(time=there["time"])
        np.testing.assert_allclose(here, there, atol=1e-4)


def test_frames_of_the_whole_signals_are_the_channels_of_the_bench(signals):
    fast = signals["fast"].to_dataset()
    found = assim.frame_features(fast, "50ms", ["log_rms", "log_sd", "zero_crossing_rate"])
    shipped = assim.load_dataset("test_bench").isel(run=slice(0, 2), time=slice(0, 10))
    np.testing.assert_array_equal(found["time"], shipped["time"])
    for name in ("log_rms_p1", "log_rms_p2", "log_rms_oh", "log_sd_p1"):
        np.testing.assert_allclose(found[name], shipped[name], atol=2e-3, err_msg=name)
        for key in ("units", "cell_methods", "standard_name"):
            assert found[name].attrs[key] == shipped[name].attrs[key]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("group", ["fast", "slow", "plan"])
def test_compliance_checker_finds_nothing_in_a_group_with_what_the_root_tells(group, tmp_path):
    path = FOLDER / f"{GROUPED}.nc"
    with (
        xr.open_dataset(path, group=group, engine="netcdf4", decode_cf=False) as ds,
        xr.open_dataset(path, engine="netcdf4", decode_cf=False) as root,
    ):
        assert not {"Conventions", "external_variables"} & set(ds.attrs)  # CF 2.7.2: of the root
        flat = ds.load().assign(root.load().variables).assign_attrs(root.attrs | ds.attrs)
    flat.to_netcdf(tmp_path / "flat.nc", engine="netcdf4", format="NETCDF4_CLASSIC")
    assert findings(tmp_path / "flat.nc", tmp_path / "out.json") == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compliance_checker_asks_of_the_whole_only_for_one_clock(tmp_path):
    """It counts a coordinate that it finds above a group as a finding, and takes groups to share their times."""
    told = findings(FOLDER / f"{GROUPED}.nc", tmp_path / "out.json")
    others = sorted(line for line in told if not line.endswith("found in ancestor"))
    assert len(others) == 2 and "Could not find time variable" in others[0]
    assert others[1] == "cf:1.8: Dimensions with the same name must be the same object (ID)."


def test_a_name_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="no dataset 'mast': choose one of met_mast"):
        assim.load_dataset("mast")


def test_an_installation_without_its_files_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "FOLDERS", (tmp_path,))
    with pytest.raises(FileNotFoundError, match="met_mast.nc did not come"):
        assim.load_dataset("met_mast")


def test_what_was_mended_before_is_told_of_what_is_read_alone():
    whole = assim.load_dataset("met_mast")
    part = assim.open_dataset(whole, ["wind_speed", "air_temperature"])
    assert "irradiance" in whole.attrs["repairs"]
    assert part.attrs["repairs"] == "\n".join(
        line for line in whole.attrs["repairs"].splitlines() if "'wind_speed'" in line
    )
