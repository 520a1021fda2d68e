import numpy as np
import pytest
import xarray as xr

import assim


@pytest.fixture
def record():
    time = np.datetime64("2020-01-01", "ns") + np.arange(96) * np.timedelta64(1, "h")
    return xr.Dataset({"t": ("time", np.arange(96.0))}, {"time": time})


def test_the_parts_are_before_and_from(record):
    train, test = assim.split(record, at="2020-01-03")
    assert (train.sizes["time"], test.sizes["time"]) == (48, 48)
    assert test.time.values[0] == np.datetime64("2020-01-03")
    xr.testing.assert_identical(xr.concat([train, test], "time"), record)


def test_a_cut_between_two_stamps(record):
    _, test = assim.split(record, at="2020-01-02T11:30")
    assert test["t"].values[0] == 36


@pytest.mark.parametrize("at, word", [("2019-01-01", "before"), ("2021-01-01", "after")])
def test_an_empty_part_is_refused(record, at, word):
    with pytest.raises(ValueError, match=rf"Nothing lies {word}.*2020-01-01T00:00:00"):
        assim.split(record, at=at)


def test_what_is_no_time_is_refused(record):
    with pytest.raises(ValueError, match="is not a time"):
        assim.split(record, at="spring")
    with pytest.raises(ValueError, match="no times to cut"):
        assim.split(record.rename(time="TIME"), at="2020-01-02")


def test_folds_do_not_overlap_and_end_with_the_record(record):
    folds = list(assim.rolling_origins(record, "12h"))
    assert [int(test["t"][0]) for _, test in folds] == [48, 60, 72, 84]
    assert all(test.sizes["time"] == 12 for _, test in folds)
    assert all(train.time[-1] < test.time[0] for train, test in folds)
    assert [train.sizes["time"] for train, _ in folds] == [48, 60, 72, 84]


def test_folds_can_slide_and_overlap(record):
    folds = list(assim.rolling_origins(record, "12h", every="6h", start="2020-01-02", window="24h"))
    assert [int(test["t"][0]) for _, test in folds] == list(range(24, 85, 6))
    assert {train.sizes["time"] for train, _ in folds} == {24}


def test_a_horizon_longer_than_the_record_is_refused(record):
    with pytest.raises(ValueError, match="No fold of horizon 9D fits"):
        assim.rolling_origins(record, "9D")
    with pytest.raises(ValueError, match="horizon='-1h' is not positive"):
        assim.rolling_origins(record, "-1h")
