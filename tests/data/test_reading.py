"""What is no netCDF file: its refusal says how it becomes one."""

import re
from pathlib import Path

import numpy as np
import pytest

from assim.data.opening import open_dataset

TABLE = "pandas.read_csv('a.csv', index_col='time', parse_dates=True).tz_localize(None)"
MADE = f"{TABLE}.to_xarray().to_netcdf('table.nc')"


def test_a_table_becomes_a_file_as_its_refusal_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = (f"2020-01-01T00:{minute}:00Z,{minute}.5" for minute in (10, 20, 30))
    Path("a.csv").write_text("\n".join(("time,temp", *rows)))
    with pytest.raises(ValueError, match=re.escape(MADE)):
        open_dataset("a.csv")
    Path("O'Hare.CSV").write_bytes(Path("a.csv").read_bytes())
    with pytest.raises(ValueError, match=r"read_csv\(\"O'Hare\.CSV\", index_col"):
        open_dataset("O'Hare.CSV")
    exec(f"import pandas; {MADE}")
    ds = open_dataset("table.nc")
    assert ds["temp"].values.tolist() == [10.5, 20.5, 30.5]
    assert ds["time"].values[0] == np.datetime64("2020-01-01T00:10")


def test_arrays_are_told_to_become_one(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"it starts with b'PK.*xarray\.Dataset\(\.\.\.\)\.to_netcdf"
    ):
        open_dataset(tmp_path / "a.npz")
