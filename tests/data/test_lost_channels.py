"""A later record that lacks a channel of the fit, has one more, or has two runs of one label."""

import json

import numpy as np
import pytest
import xarray as xr

from assim.data.framing import Selection, describe_frame, frame_of
from assim.data.mending import STRETCH, put_in_order
from assim.data.opening import open_dataset, present

STEP = np.timedelta64(50, "ms").astype("timedelta64[ns]")


def record(names="abu", runs=2, times=30, seed=0):
    rng = np.random.default_rng(seed)
    coords = {
        "run": [f"r{i}" for i in range(runs)],
        "time": np.datetime64("2024-01-01", "ns") + np.arange(times) * STEP,
    }
    return xr.Dataset({n: (("run", "time"), rng.normal(size=(runs, times))) for n in names}, coords)


def fitted(selection, ds=None):
    return json.loads(
        json.dumps(describe_frame(frame_of(record() if ds is None else ds, selection)))
    )


@pytest.mark.parametrize(
    "selection",
    [Selection(("u",)), Selection(("u",), ("b",)), Selection(("u",), ("b",), targets=("a",))],
)
def test_a_channel_that_is_lost_is_missing_throughout_and_named(selection):
    ds = record()
    less = ds.drop_vars("b").assign(b_sd=ds["a"])
    with pytest.warns(
        UserWarning, match="fitted on a, b, and the dataset has no b: taken as missing"
    ):
        frame = frame_of(less, selection, like=fitted(selection))
    assert frame.channels == ("a", "b")
    np.testing.assert_array_equal(frame.y[..., 0], ds["a"])
    assert np.isnan(frame.y[..., 1]).all() and (frame.sd == 0).all()
    assert frame.attrs["b"] == frame_of(ds, selection, like=fitted(selection)).attrs["b"]


def test_the_last_channel_and_a_control_are_missed():
    selection = Selection(("u",))
    with pytest.raises(
        ValueError, match="fitted on a, b, and the dataset has no a, b: give a file with the same"
    ):
        frame_of(record("uc"), selection, like=fitted(selection))
    with pytest.raises(ValueError, match="no variable 'u'"):
        frame_of(record("ab"), selection, like=fitted(selection))


def test_a_channel_that_the_fit_never_saw_is_named_and_left_out():
    selection, more = Selection(("u",)), record().assign(c=record()["a"], word=("run", ["x", "y"]))
    with pytest.warns(UserWarning, match="The model never saw c, which the dataset has: left out"):
        frame = frame_of(more, selection, like=fitted(selection))
    assert frame.channels == ("a", "b")
    chosen = Selection(("u",), targets=("a", "b"))
    assert frame_of(more, chosen, like=fitted(chosen)).channels == ("a", "b")


def test_what_any_file_has_is_present(tmp_path):
    for name in "ab":
        record(name).to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
    assert present(tmp_path / "*.nc", "cba") == ["b", "a"]
    assert present([tmp_path / "a.nc", record("u")], ["u", "b", "a"]) == ["u", "a"]
    assert present(tmp_path / "b.nc", ["a"]) == []
    named = record("a").assign(t=record()["a"].assign_attrs(standard_name="air_temperature"))
    assert present(named, ["air_temperature"]) == ["air_temperature"]


def test_two_runs_of_one_label_are_refused():
    twice = record().assign_coords(run=["r0", "r0"])
    with pytest.raises(ValueError, match="The label 'r0' stands 2 times along 'run'"):
        frame_of(twice, Selection(("u",)))


def test_a_file_with_two_runs_of_one_label_says_that_it_numbers_them(tmp_path):
    twice = record().assign_coords(run=["r0", "r0"])
    twice.to_netcdf(tmp_path / "twice.nc", engine="h5netcdf")
    ds = open_dataset(tmp_path / "twice.nc")
    assert ds["run"].values.tolist() == ["0", "1"]
    assert "The label 'r0' stands more than once along 'run'" in ds.attrs["repairs"]


def end_to_end(shift, values):
    """Two stretches on one dimension, the second `shift` steps after the beginning of the first."""
    rows = np.concatenate([np.arange(30), shift + np.arange(30)])
    return xr.Dataset({"a": ("t", values)}), "t", np.datetime64("2024-01-01", "ns") + rows * STEP


def test_runs_laid_end_to_end_are_said_to_be_mixed():
    values = np.random.default_rng(0).normal(size=60)
    _, said = put_in_order(*end_to_end(0, values))
    assert said[-1].startswith("The clock starts again 1 time(s), first at row 30")
    _, said = put_in_order(*end_to_end(30 - STRETCH, values))
    assert "as runs laid end to end do" in said[-1]
    _, said = put_in_order(*end_to_end(31 - STRETCH, values))
    assert not any("end to end" in s for s in said)


def test_what_is_sent_twice_or_comes_late_is_no_run_of_its_own():
    values = np.random.default_rng(0).normal(size=30)
    for again in (end_to_end(0, np.tile(values, 2)), end_to_end(-30, np.tile(values, 2))):
        _, said = put_in_order(*again)
        assert not any("end to end" in s for s in said)
