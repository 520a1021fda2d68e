"""Origins of forecasts: which of them the plans of several runs leave, and the word on the others."""

import warnings

import numpy as np
import pytest
import xarray as xr

from assim.data.framing import frame_of
from assim.models import Autoregressive
from assim.origins import with_plan

ROWS, LEADS = np.arange(1, 20, 3), 3


def framed(*ends):
    """Runs of 20 rows whose readings and plans end before those rows."""
    rng = np.random.default_rng(0)
    y, u = rng.normal(size=(2, len(ends), 20))
    time = np.datetime64("2020-01-01", "ns") + np.arange(20) * np.timedelta64(1, "s")
    ds = xr.Dataset(
        {"y": (("run", "time"), y), "u": (("run", "time"), u)},
        {"run": [f"run{i}" for i in range(len(ends))], "time": time},
    )
    model = Autoregressive(1, (), targets="y", controls="u", calendar=())
    return frame_of(ds.where(np.arange(20) < np.array(ends)[:, None]), model.needs().selection())


def test_origins_lost_to_a_shorter_run_are_told_of():
    words = "3 of the 7 origins are left out of every run, .* the controls of run1 at all leads"
    with pytest.warns(UserWarning, match=words):
        kept = with_plan(framed(20, 12, 20), ROWS, LEADS, some=True, shorter=True)
    assert kept.tolist() == [1, 4, 7]
    with pytest.raises(ValueError, match="of run run1 from 2020-01-01T00:00:10 needs"):
        with_plan(framed(20, 12, 20), ROWS[3:4], LEADS, some=False, shorter=True)


def test_where_all_plans_end_there_is_nothing_to_tell():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = with_plan(framed(20, 20), ROWS, LEADS, some=True, shorter=True)
    assert kept.tolist() == ROWS[:-1].tolist()
