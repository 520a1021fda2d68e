"""`assimilate` over several stations: a dimension of their own, gone on from by name."""

import jax
import numpy as np
import pytest

import assim
from assim import inference
from assim.filters import EnKF
from assim.models import Autoregressive, FixedNormal
from tests.test_forecasting import mast

KEY = jax.random.key(0)


def test_stations_have_a_dimension():
    ds = mast(stations=2)[["t", "w"]]
    model = Autoregressive(lags=1, hidden=(), calendar=(), noise=FixedNormal())
    post = assim.infer(model, ds.isel(time=slice(0, 400)), inference.Prior(8), key=KEY, pointwise=0)
    later = ds.isel(time=slice(400, 430))
    found = assim.assimilate(post, later, EnKF(20), key=KEY)
    assert set(found["analysis"]["t"].dims) == {"chain", "draw", "station", "time"}
    assert list(found["analysis"]["station"].values) == ["mast 0", "mast 1"]
    first = assim.assimilate(post, later.isel(time=slice(0, 15)), EnKF(20), key=KEY)
    second = assim.assimilate(post, later, EnKF(20), key=KEY, resume=first)
    rest = found["analysis"].to_dataset()["t"].isel(time=slice(15, None))
    np.testing.assert_array_equal(second["analysis"]["t"], rest)
    alone = assim.assimilate(post, later.isel(station=[1]), EnKF(20), key=KEY, resume=first)
    np.testing.assert_array_equal(alone["analysis"]["t"], rest.isel(station=[1]))
    with pytest.raises(ValueError, match="knows nothing of 'mast 0'"):
        more = ds.isel(time=slice(400, 435))
        assim.assimilate(post, more, EnKF(20), key=KEY, resume=alone)
