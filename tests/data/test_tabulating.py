"""Tables of comma separated values."""

import gzip

import numpy as np
import pandas as pd
import pytest

import assim
from assim.data.tabulating import is_table, table_of

ROWS = """D_number,date_UTC,Latitude,Longitude,state
298,{0},54.1,10.1,GOOD
300,{1},54.2,10.2,
298,{2},54.3,,GOOD
"""
ISO = ("2023-04-20 10:04:49", "2023-04-20 11:00:00", "2023-04-21T10:00:00Z")
WRITTEN = ("20-Apr-2023 10:04:49", "20-Apr-2023 11:00:00", "21-Apr-2023 10:00:00")


def times_of(path, **given):
    ds, _ = table_of(path, **given)
    return next(v.values for v in ds.variables.values() if v.dtype.kind == "M")


@pytest.mark.parametrize("dates", [ISO, WRITTEN])
@pytest.mark.parametrize("by", [",", ";", "\t"])
def test_dates_and_delimiters_are_found(dates, by, tmp_path):
    path = tmp_path / "drifters.csv"
    path.write_text(ROWS.format(*dates).replace(",", by))
    ds, label = table_of(path)
    assert label == str(path) and is_table(path) and not is_table("a.nc")
    wanted = np.array([t.removesuffix("Z") for t in ISO], "datetime64[ns]")
    np.testing.assert_array_equal(ds["date_UTC"], wanted)
    np.testing.assert_array_equal(ds["Longitude"], [10.1, 10.2, np.nan])
    assert ds["Latitude"].attrs["units"] == "degrees_north"
    assert ds["state"].values.tolist() == ["GOOD", "", "GOOD"]


def test_a_table_of_drifters_becomes_snapshots(tmp_path):
    path = tmp_path / "drifters.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write(ROWS.format(*ISO))
    ds = assim.take_snapshots(path, every="1D")
    assert list(ds.data_vars) == ["Longitude", "Latitude"]
    assert ds["id"].values.tolist() == [["298", "300"], ["298", ""]]
    assert ds["Latitude"].values[1, 0] == 54.3 and np.isnan(ds["Longitude"].values[1, 0])


def test_heads_tell_units_and_what_numbers_of_time_count(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("t [hours since 2020-01-01],x [km],y (km),empty\n0,1,2,\n36.5,3,4,\n")
    ds, _ = table_of(path, "t")
    assert ds["x"].attrs == ds["y"].attrs == {"units": "km"} and "empty" not in ds
    assert ds["t"].values[1] == np.datetime64("2020-01-02T12:30", "ns")


def test_a_frame_is_a_table_with_its_clock_in_the_index():
    index = pd.DatetimeIndex(["2020-01-01", "2020-01-02"], tz="Europe/Berlin")
    frame = pd.DataFrame({"x": [1, 2], "when": ["2020-01-01", ""]}, index)
    assert times_of(frame)[0] == np.datetime64("2019-12-31T23:00", "ns")
    np.testing.assert_array_equal(
        np.isnat(times_of(frame.reset_index(drop=True), time="when")), [0, 1]
    )
    assert "index" not in table_of(frame.reset_index(drop=True), "when")[0]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("x,y\n1,2\n", r"has no column of dates \(it has x, y\): name one with time="),
        ("time,x\n0.5,2\n1,3\n", r"holds numbers and not dates.*'time \[hours since 2020-01-01\]'"),
        ("time,x\n03/04/2020,2\n", "no date that can be read .*starts with '03/04/2020'"),
        ("time,x\nnoon,2\nnight,3\n", "no date that can be read .*starts with 'noon'"),
        ("", "cannot be read as a table"),
        ("time,x\n1,2,3,4\n1,2\n1,2,3,4,5,6,7\n", "cannot be read as a table"),
    ],
)
def test_a_table_without_a_clock_is_one_sentence(rows, says, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(rows)
    with pytest.raises(ValueError, match=says) as refusal:
        assim.take_snapshots(path, every="1D")
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(".")


@pytest.mark.parametrize("head", ["lon", "depth [m]"])
def test_a_word_among_numbers_is_one_sentence(head, tmp_path):
    path = tmp_path / "drifters.csv"
    rows = "\n".join(f"2020-01-0{day},{value}" for day, value in enumerate((1, "", "lost", 4), 1))
    path.write_text(f"time,{head}\n{rows}\n")
    with pytest.raises(ValueError, match="holds 'lost' in row 3, and 1 of its 3 entries"):
        table_of(path)


def test_words_of_their_own_are_kept(tmp_path):
    path = tmp_path / "drifters.csv"
    path.write_text("time,note (free text),id\n2020-01-01,7,A3\n2020-01-02,bad,4\n")
    ds, _ = table_of(path)
    assert ds["note"].values.tolist() == ["7", "bad"] and ds["id"].values.tolist() == ["A3", "4"]


def test_a_table_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        assim.take_snapshots(tmp_path / "none.csv", every="1D")
    (tmp_path / "t.csv").write_text("time,x\n2020-01-01,1\n")
    with pytest.raises(ValueError, match="has no column 'when': it has time, x"):
        assim.take_snapshots(tmp_path / "t.csv", every="1D", time="when")
