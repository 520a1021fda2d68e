"""`open_dataset`: what comes back has one shape, and what cannot be read is one sentence."""

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from assim.data import recording
from assim.data.opening import open_dataset

HOURS = pd.date_range("2020-01-01", periods=48, freq="h")


def mast(seed=0, start=0, label=None, **attrs):
    """Two days of a mast as a CF file would hold them, undecoded."""
    rng = np.random.default_rng(seed)
    ds = xr.Dataset(
        {
            "temp": (
                "time",
                rng.normal(280, 3, 48),
                {
                    "units": "K",
                    "standard_name": "air_temperature",
                    "ancillary_variables": "temp_qc",
                },
            ),
            "wind": ("time", rng.gamma(2, 2, 48).astype("f4"), {"units": "m s-1"}),
            "temp_qc": (
                "time",
                np.zeros(48, "i1"),
                {"flag_values": np.array([0, 1, 2], "i1"), "flag_meanings": "good suspect bad"},
            ),
            "lat": ((), 52.0, {"standard_name": "latitude"}),
            "lon": ((), 4.9, {"standard_name": "longitude"}),
            "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
            "time_bounds": (("time", "bnds"), np.zeros((48, 2))),
        },
        {
            "time": (
                "time",
                np.arange(start, start + 48),
                {"units": "hours since 2020-01-01", "standard_name": "time"},
            )
        },
        attrs,
    )
    return ds if label is None else ds.assign_attrs(station_id=label)


def written(ds, path, **options):
    ds.to_netcdf(path, engine="netcdf4", **options)
    return path


def readings(ds):
    return {str(n): ds[n].values for n in ds.data_vars}


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_a_file_comes_back_in_one_shape(tmp_path, form):
    ds = open_dataset(written(mast(), tmp_path / "a.nc", format=form))
    assert list(ds.data_vars) == ["temp", "wind"]
    assert set(ds.coords) == {"time", "lat", "lon"}
    assert ds["time"].dtype == "datetime64[ns]"
    np.testing.assert_array_equal(ds["time"], HOURS.values.astype("M8[ns]"))
    assert ds["temp"].attrs["units"] == "K" and ds["temp"].attrs["n_missing"] == 0
    assert ds.attrs["repairs"] == ""
    np.testing.assert_array_equal(ds["temp"], mast()["temp"])


def test_a_zarr_store_and_an_open_dataset_are_the_same(tmp_path):
    path = tmp_path / "a.zarr"
    mast().drop_vars("crs").to_zarr(path, consolidated=False)
    expected = open_dataset(mast())
    xr.testing.assert_identical(open_dataset(path).drop_attrs(), expected.drop_attrs())
    xr.testing.assert_identical(
        open_dataset(xr.decode_cf(mast())).drop_attrs(), expected.drop_attrs()
    )
    xr.testing.assert_equal(open_dataset(expected), expected)


def test_fill_scale_range_and_infinity_are_honoured():
    raw = mast()
    stored = np.full(48, 100, "i2")
    stored[:5] = [-999, -998, 32000, -20000, 0]
    raw["temp"] = (
        "time",
        stored,
        {
            "_FillValue": np.int16(-999),
            "missing_value": np.int16(-998),
            "valid_range": np.array([-10000, 10000], "i2"),
            "scale_factor": 0.5,
            "add_offset": 250.0,
            "units": "K",
        },
    )
    raw["wind"].values[:2] = [np.inf, -np.inf]
    ds = open_dataset(raw)
    np.testing.assert_array_equal(ds["temp"][:6], [np.nan, np.nan, np.nan, np.nan, 250.0, 300.0])
    assert np.isnan(ds["wind"][:2]).all()
    assert (ds["temp"].attrs["valid_min"], ds["temp"].attrs["valid_max"]) == (-4750.0, 5250.0)
    assert "'temp': 2 reading(s) outside its valid range" in ds.attrs["repairs"]
    assert "'wind': 2 reading(s) of infinite size" in ds.attrs["repairs"]


def test_an_undeclared_sentinel_is_told():
    raw = mast()
    raw["wind"].values[10:20] = -9999.0
    ds = open_dataset(raw)
    assert ds["wind"].attrs["n_missing"] == 10
    assert "'wind': 10 undeclared -9999 became missing." in ds.attrs["repairs"]


def test_flags_are_heard_and_gone():
    raw = mast()
    raw["temp_qc"].values[:3] = [2, 1, 2]
    assert open_dataset(raw)["temp"].attrs["n_missing"] == 2
    assert open_dataset(raw, qc="suspect")["temp"].attrs["n_missing"] == 3
    assert open_dataset(raw, qc="none")["temp"].attrs["n_missing"] == 0
    assert "temp_qc" not in open_dataset(raw).variables


def test_all_flagged_bad_names_the_policy():
    raw = mast()
    raw["temp_qc"].values[:] = 2
    with pytest.raises(
        ValueError,
        match="'temp' in the dataset are flagged bad under the policy qc='bad'.*qc='none'",
    ):
        open_dataset(raw, variables="temp")
    assert open_dataset(raw)["wind"].attrs["n_missing"] == 0


def test_all_missing_is_one_sentence():
    raw = mast()
    raw["wind"].values[:] = np.nan
    with pytest.raises(ValueError, match="All readings of 'wind' in the dataset are missing"):
        open_dataset(raw, variables="wind")


def test_variables_are_chosen_by_name_or_standard_name():
    assert list(open_dataset(mast(), variables=["air_temperature"]).data_vars) == ["temp"]
    assert list(open_dataset(mast(), variables="wind").data_vars) == ["wind"]
    with pytest.raises(ValueError, match="no variable 'tmep': did you mean .*'temp'"):
        open_dataset(mast(), variables=["tmep"])
    with pytest.raises(ValueError, match="'lat' .a single number. does not lie along the clock"):
        open_dataset(mast(), variables=["lat"])
    raw = mast().assign(note=("time", np.array(["calm"] * 48)))
    with pytest.raises(ValueError, match="'note' holds no numbers"):
        open_dataset(raw, variables=["note"])
    with pytest.raises(ValueError, match="chooses nothing"):
        open_dataset(mast(), variables=[])


def test_a_position_asked_for_is_a_reading():
    raw = mast().assign(depth=("time", np.linspace(0, 9, 48), {"standard_name": "depth"}))
    assert "depth" in open_dataset(raw).coords
    assert "depth" in open_dataset(raw, variables=["temp", "depth"]).data_vars


@pytest.mark.parametrize("name", ["temp_sd", "temp_uncertainty", "other"])
def test_a_known_error_stays_beside_its_reading(name):
    attrs = {"standard_name": "air_temperature standard_error"} if name == "other" else {}
    raw = mast().assign({name: ("time", np.full(48, 0.3), attrs)})
    raw["temp"].attrs["ancillary_variables"] += f" {name}"
    ds = open_dataset(raw, variables="temp")
    assert list(ds.data_vars) == ["temp", "temp_sd"]
    assert ds["temp"].attrs["ancillary_variables"] == "temp_sd"
    assert ds["temp_sd"].attrs["standard_name"] == "air_temperature standard_error"


def test_single_positions_are_squeezed_and_depths_stay():
    raw = mast()[["wind"]].expand_dims(
        {"LATITUDE": [52.0], "LONGITUDE": [4.9], "depth": [1.0, 2.0]}
    )
    ds = open_dataset(raw, variables="wind")
    assert ds["wind"].dims == ("time", "depth")
    assert float(ds["LATITUDE"]) == 52.0
    np.testing.assert_array_equal(ds["depth"], [1.0, 2.0])


def test_the_clock_may_have_another_name():
    raw = mast().rename(time="OBS").rename_vars(OBS="JULD")
    ds = open_dataset(raw)
    np.testing.assert_array_equal(ds["time"], HOURS.values.astype("M8[ns]"))
    assert "JULD" not in ds.variables


def test_mends_of_the_clock_are_told():
    raw = mast()
    hours = np.arange(48.0)
    hours[[3, 10, 20, 30]] = [np.nan, 1e30, 19.0, 2.0]
    raw = raw.assign_coords(time=("time", hours, raw["time"].attrs))
    ds = open_dataset(raw)
    assert ds.sizes["time"] == 44 and ds.indexes["time"].is_monotonic_increasing
    for told in (
        "1 row(s) without a time",
        "1 row(s) were dropped",
        "backwards 1 time(s)",
        "2 row(s) repeated",
    ):
        assert told in ds.attrs["repairs"]
    assert float(ds["temp"].sel(time="2020-01-01T19:00")) == float(raw["temp"][20])


def test_what_comes_back_can_be_written(tmp_path):
    raw = mast()
    raw["temp"].attrs |= {
        "_FillValue": -1.0,
        "missing_value": -2.0,
        "coordinates": "lat lon",
        "a:b": 1,
    }
    ds = open_dataset(raw)
    ds.to_netcdf(tmp_path / "out.nc", engine="netcdf4")
    xr.testing.assert_allclose(open_dataset(tmp_path / "out.nc"), ds)


def test_days_of_one_station_follow_each_other(tmp_path):
    for i in (1, 0, 2):
        written(mast(seed=i, start=48 * i, label="m"), tmp_path / f"{i}.nc")
    ds = open_dataset(tmp_path / "*.nc", variables=["temp", "wind"])
    assert dict(ds.sizes) == {"time": 144}
    np.testing.assert_array_equal(ds["temp"][48:96], mast(seed=1)["temp"])
    assert float(ds["lat"]) == 52.0 and ds["temp"].attrs["n_missing"] == 0
    turned = open_dataset([tmp_path / f"{i}.nc" for i in (2, 0, 1)])
    xr.testing.assert_equal(turned, ds)


def test_an_overlap_that_agrees_is_one_record(tmp_path):
    whole = mast(label="m")
    a, b = whole.isel(time=slice(0, 30)), whole.isel(time=slice(20, 48))
    ds = open_dataset([a, b])
    xr.testing.assert_equal(ds, open_dataset(whole))
    assert "10 row(s) repeated a stamp" in ds.attrs["repairs"]


def test_an_overlap_that_disagrees_is_two_instruments(tmp_path):
    paths = [written(mast(seed=i, label="m"), tmp_path / f"top{i}.nc") for i in range(2)]
    ds = open_dataset(paths)
    assert ds["station"].values.tolist() == ["top0", "top1"]
    assert "each is an instrument of its own" in ds.attrs["repairs"]


def test_stations_stand_side_by_side(tmp_path):
    paths = [written(mast(seed=i, start=i, label=f"s{i}"), tmp_path / f"{i}.nc") for i in range(3)]
    ds = open_dataset(paths)
    assert ds["temp"].dims == ("station", "time") and dict(ds.sizes) == {"station": 3, "time": 50}
    assert ds["station"].values.tolist() == ["s0", "s1", "s2"]
    np.testing.assert_array_equal(ds["temp"][2, 2:], mast(seed=2)["temp"])
    assert np.isnan(ds["temp"][2, :2]).all() and ds["temp"].attrs["n_missing"] == 6
    assert ds["lat"].dims == ("station",)


def test_files_without_a_label_are_named_by_their_stem(tmp_path):
    paths = []
    for i in range(2):
        raw = mast(seed=i).assign(lat=((), 50.0 + i, {"standard_name": "latitude"}))
        paths.append(written(raw, tmp_path / f"hill{i}.nc"))
    assert open_dataset(paths)["station"].values.tolist() == ["hill0", "hill1"]


def test_units_follow_the_first_file():
    a, b = mast(label="m").assign(temp_sd=("time", np.full(48, 0.9))), mast(start=48, label="m")
    b["temp"] = b["temp"].copy(data=(b["temp"] - 273.15) * 1.8 + 32).assign_attrs(units="degF")
    b["temp_sd"] = ("time", np.full(48, 0.9), {"units": "degF"})
    a["temp_sd"].attrs["units"] = "K"
    ds = open_dataset([a, b])
    np.testing.assert_allclose(ds["temp"][48:], mast()["temp"])
    np.testing.assert_allclose(ds["temp_sd"], np.repeat([0.9, 0.5], 48))
    assert "'temp' was converted from degF to K" in ds.attrs["repairs"]
    b["temp"].attrs["units"] = "m"
    with pytest.raises(
        ValueError, match="'temp' of the dataset: Units cannot be converted from 'm' to 'K'"
    ):
        open_dataset([a, b])


def test_different_variables_of_one_station_are_merged():
    a, b = mast(label="m")[["temp"]], mast(start=24, label="m")[["wind"]]
    ds = open_dataset([a, b], variables=["temp", "wind"])
    assert dict(ds.sizes) == {"time": 72} and set(ds.data_vars) == {"temp", "wind"}
    with pytest.raises(ValueError, match="no variable 'rain'"):
        open_dataset([a, b], variables=["temp", "rain"])


def test_stations_without_a_common_variable_are_refused():
    with pytest.raises(ValueError, match="no variable in common"):
        open_dataset([mast(label="a")[["temp"]], mast(label="b")[["wind"]]])


def test_chunks_stay_lazy_and_agree(tmp_path):
    raw = mast().isel(time=np.r_[24:48, 0:24, 5])
    raw["temp_qc"].values[:2] = 2
    path = written(raw, tmp_path / "a.nc")
    lazy = open_dataset(path, chunks={"time": 10})
    assert lazy["temp"].chunks is not None and "n_missing" not in lazy["temp"].attrs
    eager = open_dataset(path)
    xr.testing.assert_equal(lazy.compute(), eager)
    lazy.close()
    with pytest.raises(ValueError, match="chunks= names 'obs'"):
        open_dataset(path, chunks={"obs": 10})


def test_no_reading_is_loaded_while_lazy(tmp_path):
    raw = mast()
    raw["temp"].attrs |= {"valid_min": 0.0, "_FillValue": -1.0}
    lazy = open_dataset(
        raw.chunk(time=10).assign(temp=raw["temp"].copy(data=_untouchable())), chunks={}
    )
    assert lazy["temp"].chunks is not None
    with pytest.raises(RuntimeError, match="touched"):
        lazy["temp"].load()


def _untouchable():
    import dask.array

    def read(block):
        raise RuntimeError("touched")

    return dask.array.map_blocks(
        read, dask.array.zeros(48, chunks=10), dtype=float, meta=np.zeros(0)
    )


def test_chunks_without_dask_name_the_extra(monkeypatch):
    monkeypatch.setattr(recording, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'assim\[dask\]'"):
        open_dataset(mast(), chunks={"time": 10})


def test_what_is_no_file_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        open_dataset(tmp_path / "none.nc")
    with pytest.raises(FileNotFoundError, match="No file matches"):
        open_dataset(tmp_path / "*.nc")
    with pytest.raises(FileNotFoundError, match="empty"):
        open_dataset([])
    (tmp_path / "a.csv").write_text("time,temp\n")
    (tmp_path / "b.nc").write_text("")
    for name, says in (("a.csv", "not a netCDF file"), ("b.nc", "is empty"), ("", "no Zarr store")):
        with pytest.raises(ValueError, match=says):
            open_dataset(tmp_path / name)
    with pytest.raises(ValueError, match="not int"):
        open_dataset(3)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC"])
def test_a_truncated_file_is_told(tmp_path, form):
    path = written(mast(), tmp_path / "a.nc", format=form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="truncated"):
        open_dataset(path)


def test_damage_in_the_values_is_told(tmp_path):
    raw = mast()
    path = written(raw, tmp_path / "a.nc", encoding={"temp": {"zlib": True, "fletcher32": True}})
    data = bytearray(path.read_bytes())
    with netCDF4.Dataset(path) as file:
        assert file["temp"].filters()["fletcher32"]
    middle = data.rfind(b"\x78\x5e")  # where zlib's stream begins
    data[middle + 40 : middle + 60] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="truncated or damaged"):
        open_dataset(path)


def test_groups_are_named(tmp_path):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        file.createGroup("upper")
    with pytest.raises(ValueError, match="only the groups upper"):
        open_dataset(tmp_path / "a.nc")


def test_no_reading_along_the_clock_is_told():
    with pytest.raises(ValueError, match="no sensor reading along its clock 'time'"):
        open_dataset(mast()[["lat", "lon", "time_bounds"]])


def test_a_single_stamp_is_a_record_of_one_row():
    raw = mast().isel(time=0, drop=False)[["wind", "time"]].expand_dims(x=3)
    assert dict(open_dataset(raw).sizes) == {"time": 1, "x": 3}


def test_files_are_closed_unless_lazy(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(xr.Dataset, "close", lambda self: closed.append(1))
    path = written(mast(), tmp_path / "a.nc")
    closed.clear()
    open_dataset(path, chunks={})
    assert not closed
    open_dataset(path)
    assert closed
