"""What is said of a record before stretches are cut from it, and what is refused."""

import numpy as np
import pytest
import xarray as xr

from assim.data.framing import frame_of
from assim.models import KoopmanVAE, LinearKoopman
from assim.series import Series
from assim.stretched import cautions_on

MODEL = LinearKoopman(1, window=10)
TIME = np.datetime64("2024-01-01", "ns") + np.arange(60) * np.timedelta64(600, "s")


def record(rows=60, **more):
    y = np.random.default_rng(0).normal(size=(2, rows))
    return xr.Dataset(
        {"a": ("time", y[0]), "b": ("time", y[1]), **more}, coords={"time": TIME[:rows]}
    )


def said(model, ds, **settings):
    frame = frame_of(ds, model.fitting().selection())
    return cautions_on(model, Series.of(frame), frame, **settings)


def test_of_a_plain_record_nothing_is_said():
    assert said(MODEL, record()) == [] and said(LinearKoopman(1, window=60), record()) == []


def test_a_window_longer_than_the_record_is_refused_unless_a_fit_goes_on():
    for kind in (LinearKoopman, KoopmanVAE):
        with pytest.raises(
            ValueError, match=rf"^{kind.__name__}\(window=61\) .* record has 60: give window=60 or"
        ):
            said(kind(1, window=61), record())
    assert said(LinearKoopman(1, window=61), record(), anew=False) == []


def test_of_several_runs_one_has_to_be_as_long():
    one = record().expand_dims(run=2).copy(deep=True)
    short = one.where((one["run"] == 0) | (one["time"] < TIME[7]))
    assert said(LinearKoopman(1, window=60), short) == []


def test_copies_are_named_in_one_sentence():
    ds = record()
    ds["c"], ds["d"] = 3 - 2 * ds["a"], ds["a"]
    (told,) = said(MODEL, ds)
    assert told.startswith("'a', 'c' and 'd' are copies of one another") and "targets=" in told
    assert said(LinearKoopman(1, window=10, targets=["a", "b"]), ds) == []


def test_gaps_in_a_control_say_what_they_leave_out():
    lamp = np.cos(np.arange(60.0))
    lamp[[13, 14, 31]] = np.nan
    ds = record(lamp=("time", lamp), pump=("time", np.sin(np.arange(60.0))))
    (told,) = said(LinearKoopman(1, window=10, controls=("lamp", "pump")), ds)
    assert told.startswith("2 of 6 stretches of 10 rows are left out, since the control 'lamp' has")
    (told,) = said(LinearKoopman(1, window=10, stride=1, controls=("lamp", "pump")), ds)
    assert told.startswith("21 of 51 stretches")
    ds["lamp"] = ds["lamp"].fillna(0.0)
    assert said(LinearKoopman(1, window=10, controls=("lamp", "pump")), ds) == []


def test_readings_at_a_few_times_say_next_to_nothing():
    (told,) = said(LinearKoopman(1, window=2), record(2))
    assert told.startswith("The record has readings at 2 times in all") and "the prior" in told
    ds = record()
    (told,) = said(MODEL, ds.where(ds["time"] < TIME[9]))
    assert "at 9 times" in told and said(MODEL, record(9), anew=False) == []
    assert said(MODEL, ds.where(ds["time"] < TIME[10])) == []


def test_gaps_nearly_everywhere_are_counted_between_the_first_reading_and_the_last():
    rng = np.random.default_rng(1)
    ds = record().map(lambda v: v.where(rng.random(60) < 0.15))
    (told,) = said(MODEL, ds)
    read = np.stack([ds[n] for n in "ab"])
    first, last = np.flatnonzero(np.isfinite(read).any(axis=0))[[0, -1]]
    share = np.isnan(read[:, first : last + 1]).mean()
    assert told.startswith(
        f"{share:.0%} of the readings between the first and the last are missing"
    )
    assert f"within {1 / (1 - share):.0f} rows" in told and "assim.align" in told
    half = record()
    half["a"][:] = np.where(np.arange(60) % 4, np.nan, half["a"])  # a slow sensor beside a fast one
    assert said(MODEL, half) == []


def test_what_shorter_runs_lack_is_no_gap():
    many = record().expand_dims(run=12).copy(deep=True)
    ragged = many.where((many["run"] == 0) | (many["time"] < TIME[5]))
    assert said(MODEL, ragged) == []
