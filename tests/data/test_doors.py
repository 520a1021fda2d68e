"""What `open_dataset` is given that it cannot take: one sentence that says what was given and what would do."""

import numpy as np
import pytest
import xarray as xr

from assim.data.opening import open_dataset

HOURS = np.datetime64("2020-01-01", "ns") + np.arange(9) * np.timedelta64(1, "h")


def record(**more):
    return xr.Dataset({"a": ("time", np.arange(9.0)), **more}, {"time": HOURS})


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ({"/up": record(), "/low/deep": record()}, r"tree\['up'\].*tree\['low/deep'\].to_dataset"),
        ({"/": record()}, r"give the dataset of one group, tree\.to_dataset\(\)\.$"),
        ({}, "all of its groups are empty"),
    ],
)
def test_a_tree_is_told_from_a_file(groups, says):
    tree = xr.DataTree.from_dict(groups)
    for given in (tree, [record(), tree]):
        with pytest.raises(ValueError, match=f"this is an xarray.DataTree.*{says}"):
            open_dataset(given)


def test_a_mapping_is_no_list_of_files():
    with pytest.raises(ValueError, match="not dict"):
        open_dataset({"a": record()})


@pytest.mark.parametrize("chunks", ["lots", 0, 2.5, {"time": 0}, {"time": "lots"}, {"time": 2.5}])
def test_chunks_that_are_none_are_one_sentence(chunks):
    with pytest.raises(ValueError, match=r'^chunks=.* gives no sizes of chunks: .*, or "auto"\.$'):
        open_dataset(record(), chunks=chunks)


def test_chunks_of_no_dimension_name_those_there_are():
    with pytest.raises(
        ValueError, match="names 'nosuch' and the file has the dimension time: name"
    ):
        open_dataset(record(), chunks={"nosuch": 3})
    wide = record(b=(("time", "z"), np.zeros((9, 2))))
    with pytest.raises(ValueError, match="the file has the dimensions time, z: name one"):
        open_dataset(wide, chunks={"nosuch": 3})
    assert open_dataset(wide, chunks={"time": 4, "z": 1})["b"].chunks == ((4, 4, 1), (1, 1))


@pytest.mark.parametrize("kind", [str, object])
def test_a_file_of_text_is_told_so(kind):
    words = np.array([str(i) for i in range(9)]).astype(kind)
    text = record().assign(a=("time", words))
    with pytest.raises(
        ValueError, match=r"holds text \(a\), and a reading is a number.*astype\(float\)"
    ):
        open_dataset(text)
    np.testing.assert_array_equal(
        open_dataset(text.assign(a=text["a"].astype(float)))["a"], range(9)
    )
    with pytest.raises(ValueError, match=r"it has lat\): name what to read with variables="):
        open_dataset(text.assign(lat=("time", np.zeros(9))))
