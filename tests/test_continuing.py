"""A record goes on from the end of that of the fit, however fast or long ago that was."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from assim.continuing import continued
from assim.models import Persistence


def record(times):
    return xr.Dataset({"y": ("time", np.arange(float(times.size)))}, {"time": times})


def fitted(tail, step):
    return SimpleNamespace(tail=tail, frame={"step": step}, model=Persistence())


@pytest.mark.parametrize("rate", [48_000.0, 96_000.0, 192_000.0])
def test_steps_that_are_no_whole_microseconds_are_on_the_clock(rate):
    ns = np.rint(np.arange(20) * 1e9 / rate).astype("timedelta64[ns]")
    whole = record(np.datetime64("2020-01-01", "ns") + ns)
    for cut in range(8, 14):
        tail, ds = whole.isel(time=slice(cut)), whole.isel(time=slice(cut, None))
        xr.testing.assert_equal(continued(fitted(tail, 1 / rate), ds), whole)


def test_a_record_of_three_centuries_later_stands_for_itself():
    old, new = (np.arange(y, y + 5).astype("M8[Y]") for y in (-270, 40))
    tail, ds = (record(times.astype("datetime64[ns]")) for times in (old, new))
    xr.testing.assert_equal(continued(fitted(tail, 3_600.0), ds), ds)
