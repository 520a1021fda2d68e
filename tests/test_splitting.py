"""Runs that are drawn: by a key alone, none twice, none left."""

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim.splitting import folds_of


@pytest.fixture
def runs():
    time = np.datetime64("2020-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    names = [f"run{i}" for i in range(12)]
    return xr.Dataset({"t": (("run", "time"), np.zeros((12, 4)))}, {"run": names, "time": time})


def test_runs_are_drawn_by_the_key(runs, key):
    parts = [assim.split(runs, 0.25, by="run", key=k) for k in (key, key, jax.random.key(1))]
    drawn = [test["run"].values.tolist() for _, test in parts]
    assert [len(d) for d in drawn] == [3, 3, 3]
    assert drawn[0] == drawn[1] != drawn[2]
    train, test = parts[0]
    assert sorted([*train["run"].values, *test["run"].values]) == sorted(runs["run"].values)
    assert drawn[0] == sorted(drawn[0], key=lambda name: int(name[3:]))
    _, counted = assim.split(runs, np.int64(3), by="run", key=key)
    assert counted["run"].values.tolist() == drawn[0]


def test_a_key_where_nothing_is_drawn_and_a_seed_are_refused(runs, key):
    for at, by in (("2020-01-01T02", "time"), (["run1"], "run")):
        with pytest.raises(ValueError, match="leaves nothing to draw"):
            assim.split(runs, at, by=by, key=key)
    with pytest.raises(TypeError, match="jax.random.key"):
        assim.split(runs, 2, by="run", key=3)


@pytest.mark.parametrize(("count", "folds"), [(12, 5), (6, 6), (7, 2)])
def test_folds_hold_every_run_once_and_are_of_a_size(count, folds, key):
    dealt = folds_of(count, folds, key=key)
    assert sorted(np.concatenate(dealt)) == list(range(count))
    assert np.ptp([len(f) for f in dealt]) <= 1
    assert all((np.diff(f) > 0).all() for f in dealt)


@pytest.mark.parametrize("folds", [1, 13])
def test_folds_that_hold_none_or_all_are_refused(folds, key):
    with pytest.raises(ValueError, match=f"folds={folds} of 12 runs: give from 2 to 12"):
        folds_of(12, folds, key=key)
