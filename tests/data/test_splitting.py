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


def test_runs_end_to_end_whose_clocks_overlap_are_not_cut_in_time(record):
    ends = xr.concat([record, record.isel(time=slice(48, None))], "time")
    words = "go backwards .2020-01-03T00:00:00 follows 2020-01-04T23:00:00.*xr.concat.runs, 'run'"
    with pytest.raises(ValueError, match=words):
        assim.split(ends, at="2020-01-02")
    with pytest.raises(ValueError, match=words):
        assim.rolling_origins(ends, "12h")


@pytest.fixture
def runs(record):
    """Five runs of the record."""
    names = [f"run{i}" for i in range(5)]
    return record.expand_dims(run=names).copy(deep=True)


@pytest.mark.parametrize(
    ("at", "held"),
    [(2, [3, 4]), (0.2, [4]), (0.3, [3, 4]), (["run3", "run0"], [0, 3]), ("run2", [2])],
)
def test_runs_are_held_out_by_number_share_or_label(runs, at, held):
    train, test = assim.split(runs, at, by="run")
    assert test["run"].values.tolist() == [f"run{i}" for i in held]
    assert train["run"].values.tolist() == [f"run{i}" for i in range(5) if i not in held]
    xr.testing.assert_identical(xr.concat([train, test], "run").sortby("run"), runs)


def test_the_last_runs_are_not_copied(runs):
    for part in assim.split(runs, 2, by="run"):
        assert np.shares_memory(part["t"].values, runs["t"].values)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (0, "at=0 leaves no run on one side: the record has 5 runs; give a number from 1 to 4"),
        (5, "at=5 leaves no run"),
        (1.5, "at=1.5 leaves no run"),
        (["run9"], "There is no run run9: the record has run0, run1, run2, run3, run4"),
        ([], "names 0 of 5 runs, which leaves one part empty"),
        ([f"run{i}" for i in range(5)], "names 5 of 5 runs"),
        (None, "at=None names no run"),
    ],
    ids=str,
)
def test_runs_that_cannot_be_held_out_are_refused(runs, at, words):
    with pytest.raises(ValueError, match=words):
        assim.split(runs, at, by="run")


def test_runs_without_labels_keep_their_numbers(runs, key):
    bare = runs.drop_vars("run")
    train, test = assim.split(bare, 2, by="run")
    assert (train["run"].values.tolist(), test["run"].values.tolist()) == ([0, 1, 2], [3, 4])
    np.testing.assert_array_equal(test["t"], bare["t"][3:])
    drawn = assim.split(bare, 2, by="run", key=key)
    assert sorted(np.concatenate([part["run"].values for part in drawn])) == list(range(5))


def test_a_record_without_runs_or_with_two_of_one_label_is_refused(record, runs):
    with pytest.raises(ValueError, match="no runs to tell apart .dimensions: time.*by='time'"):
        assim.split(record, 1, by="run")
    with pytest.raises(ValueError, match="The label 'a' stands 5 times along 'run'"):
        assim.split(runs.assign_coords(run=list("aaaaa")), 1, by="run")
    with pytest.raises(ValueError, match="by='sensor' is unknown"):
        assim.split(record, 1, by="sensor")


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


def test_centuries_have_folds_from_their_middle_on():
    years = np.arange("1700", "2010", dtype="datetime64[Y]").astype("datetime64[ns]")
    ds = xr.Dataset({"y": ("time", np.arange(310.0))}, {"time": years})
    train, test = next(assim.rolling_origins(ds, "3653D"))
    assert train.sizes["time"] == 155 and test["time"].values[0] == np.datetime64("1855")
