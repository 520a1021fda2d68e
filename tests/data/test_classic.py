"""The header of a classic netCDF file: whole files pass, what cannot be is refused before the C library loops."""

import numpy as np
import pytest
import xarray as xr

from assim.data.classic import Broken, check_classic

FORMS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT", "NETCDF3_64BIT_DATA"]


def written(path, form):
    ds = xr.Dataset(
        {
            "temp": ("time", np.arange(7.0), {"units": "degC"}),
            "flag": ("time", np.zeros(7, "i1")),
            "level": ("z", np.arange(3, dtype="i4"), {"long_name": "a level"}),
        },
        attrs={"title": "odd"},
    )
    ds.to_netcdf(path, engine="netcdf4", format=form, unlimited_dims=["time"])
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_file_passes_and_a_shorter_one_does_not(tmp_path, form):
    path = written(tmp_path / "a.nc", form)
    check_classic(path)
    data = path.read_bytes()
    for length in (len(data) - 12, len(data) // 2, 40, 5):
        path.write_bytes(data[:length])
        with pytest.raises(Broken):
            check_classic(path)


@pytest.mark.parametrize("form", FORMS)
def test_a_count_that_cannot_be_is_refused(tmp_path, form):
    path = written(tmp_path / "a.nc", form)
    data = bytearray(path.read_bytes())
    at = 4 + (
        8 if form == FORMS[2] else 4
    )  # behind the magic and the number of records: the list of dimensions
    data[at + 4] = 0x7F
    path.write_bytes(data)
    with pytest.raises(Broken, match="longer than the file"):
        check_classic(path)
    data[at + 3] = 0x55
    path.write_bytes(data)
    with pytest.raises(Broken, match="wrong tag"):
        check_classic(path)
