"""Stores are read back in the order in which they were written."""

import numpy as np
import pytest
import xarray as xr

from assim.data.storing import ORDER, open_store, write_store

NAMES = ("wind", "air", "zonal", "dew", "cloud", "hail")


def part(first: int, count: int = 2) -> dict[str, xr.Dataset]:
    time = np.datetime64("2020-01-01", "ns") + np.arange(first, first + count) * np.timedelta64(
        1, "h"
    )
    told = {n: ("time", first + np.arange(count) + 10.0 * k) for k, n in enumerate(NAMES)}
    both = {"b": xr.Dataset(told, coords={"time": time, "height": 2.0})}
    if first == 0:
        both["a"] = xr.Dataset(attrs={"k": 1})
    both["cells"] = xr.Dataset({"y": ("obs_id", np.arange(count) + 0.0)})
    return both


def test_parts_follow_one_another_and_keep_their_order(tmp_path):
    root = xr.DataTree(xr.Dataset(attrs={"who": "me"}))
    along = {"": "time", "cells": "obs_id"}
    write_store(root, [part(0), part(2)], tmp_path / "a.zarr", along=along)
    for lazy in (False, True):
        tree = open_store(tmp_path / "a.zarr", lazy=lazy)
        assert tuple(tree["b"].data_vars) == NAMES and list(tree.children) == ["b", "a", "cells"]
        assert tree.attrs == {"who": "me"} and tree["a"].attrs == {"k": 1}
        np.testing.assert_array_equal(tree["b"]["air"], 10.0 + np.arange(4))
        assert tree["b"]["time"].values[-1] == np.datetime64("2020-01-01T03")
        assert tree["b"]["height"] == 2.0 and tree["cells"].sizes["obs_id"] == 4


def test_a_store_of_another_hand_has_the_order_of_names(tmp_path):
    xr.DataTree.from_dict({"/b": part(0)["b"]}).to_zarr(tmp_path / "b.zarr", consolidated=False)
    tree = open_store(tmp_path / "b.zarr")
    assert tuple(tree["b"].data_vars) == tuple(sorted(NAMES)) and ORDER not in tree.attrs


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match="is a folder and no Zarr store"):
        write_store(xr.DataTree(), [part(0)], tmp_path / "mine", along={"": "time"})
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"
