"""Every real file: read into one shape, or refused in one sentence; and what is known of some of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from assim.data.opening import open_dataset

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("ASSIM_SHARED_DATA", ROOT.parent / "shared" / "data"))
FILES = (
    sorted(p for p in HOME.rglob("*") if p.suffix in (".nc", ".cdf", ".nc4"))
    if HOME.is_dir()
    else []
)


def name_of(path):
    return str(path.relative_to(HOME))


@pytest.mark.skipif(
    not FILES, reason="the shared folder of real sensor files is not on this machine"
)
@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_is_read_or_refused_in_one_sentence(path, tmp_path):
    try:
        ds = open_dataset(path)
    except ValueError as refusal:
        assert refusal.__traceback__ is not None
        assert "\n" not in str(refusal) and str(refusal).strip().endswith((".", "'"))
        return
    assert ds["time"].dtype == "datetime64[ns]"
    assert (np.diff(ds["time"].values.astype(np.int64)) > 0).all()
    assert ds.data_vars
    for name, da in ds.data_vars.items():
        assert da.dtype.kind == "f" and "time" in da.dims, name
        assert not np.isinf(da).any()
        assert da.encoding == {}
    assert all(line.endswith(".") for line in ds.attrs["repairs"].splitlines())
    if path.stat().st_size < 500_000:
        ds.to_netcdf(tmp_path / "out.nc", engine="netcdf4")


@pytest.mark.parametrize(
    ("pattern", "sizes", "repairs"),
    [
        ("met_arm/sgpmetE13.b1.2019010*.cdf", {"time": 10080}, ()),
        ("mooring_imos/*SBE39-23*", {"time": 12001}, ()),
        ("mooring_imos/*SBE39-43*", {"time": 101}, ()),
        ("mooring_imos/*TEMP-aggregated*", {"station": 3, "time": 32150}, ("indexed ragged",)),
        (
            "mooring_imos/*velocity-aggregated*",
            {"station": 3, "time": 386, "level": 23},
            ("indexed ragged", "CELL_INDEX"),
        ),
        ("mooring_imos/*LAT_LON_DIMS*", {"time": 21, "HEIGHT_ABOVE_SENSOR": 6}, ()),
        ("glider/*", {"time": 7722}, ()),
        ("series/RMM1*", {"time": 15468}, ("145 row(s) without a time",)),
        ("series/SOI*", {"time": 1776}, ()),
        ("gridded/E1*", {"time": 240, "latitude": 37, "longitude": 49}, ("calendar '360_day'",)),
        ("gridded/hgt*", {"time": 65, "pressure": 1, "latitude": 29, "longitude": 49}, ()),
        ("ugly/met_lcl.nc", {"time": 10080}, ("backwards 2 time(s)",)),
        ("ugly/sgpmet_test_time.nc", {"time": 60}, ()),
        ("ugly/cont_ragged.nc", {"time": 4, "level": 3}, ("contiguous ragged",)),
        (
            "ugly/mapping.nc",
            {"station": 1, "time": 99019},
            ("backwards 1 time(s)", "1435785 row(s) repeated"),
        ),
        ("argo/2902746_Sprof.nc", {"time": 91, "N_LEVELS": 208}, ()),
        (
            "argo/EN3*",
            {"time": 1250, "N_LEVELS": 55},
            ("backwards 359 time(s)", "1331 row(s) repeated"),
        ),
        ("sonde_arm/twp*112000*", {"time": 1727}, ("'lat': 15 undeclared -9999",)),
        ("ugly/twpvisst*", {"time": 1, "lat": 30, "lon": 60}, ("503 undeclared -99",)),
    ],
)
def test_what_is_known_of_a_file(shared_data, pattern, sizes, repairs):
    ds = open_dataset(str(shared_data / pattern))
    assert dict(ds.sizes) == sizes
    for told in repairs:
        assert told in ds.attrs["repairs"]
    if not repairs:
        assert not any(
            word in ds.attrs["repairs"] for word in ("row(s)", "undeclared", "calendar", "ragged")
        )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("argo/2902746_Rtraj.nc", "2 time coordinates, JULD and JULD_ADJUSTED"),
        ("gridded/air.sig995.2012.nc", "no time coordinate"),
        ("gridded/eraint_uvz.nc", "no time coordinate"),
        ("ugly/space_weather.nc", "no time coordinate"),
        ("ugly/bad_missing_data.nc", "no time coordinate"),
        ("ugly/IMOS_ANMN-NSW_TZ_PH100_ALL_FLAGGED_BAD.nc", "flagged bad under the policy qc='bad'"),
        ("ugly/IMOS_ANMN-NRS_BAD_VELOCITY_FILE.nc", "'UCUR'.*are missing"),
        ("drifter/baltic_drifters_raw.csv", "not a netCDF file"),
    ],
)
def test_what_is_refused_says_why(shared_data, name, says):
    with pytest.raises(ValueError, match=says):
        open_dataset(shared_data / name)


def test_one_mooring_is_its_instruments(shared_data):
    ds = open_dataset(sorted((shared_data / "mooring_imos").glob("*SBE39*")), variables="TEMP")
    assert ds["TEMP"].dims == ("station", "time") and ds.sizes["station"] == 2
    assert "each is an instrument of its own" in ds.attrs["repairs"]


def test_the_stamps_of_three_instruments_meet(shared_data):
    """Days stored as float64 blur by microseconds; the union of the stamps must not be twice as long for it."""
    ds = open_dataset(str(shared_data / "mooring_imos/*velocity-hourly*"))
    assert (ds["time"].values.astype(np.int64) % 1_000_000 == 0).all()
