"""Trees: exact through netCDF, and every damage told in a sentence."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from assim import models
from assim.data.framing import Selection, describe_frame, frame_of
from assim.series import Layout
from assim.tree import (
    SCHEMA,
    arrays_dataset,
    fingerprint,
    model_attrs,
    read_tree,
    restore,
    sites_dataset,
    tree_of,
)

MODEL = models.Autoregressive(2, (3,), calendar=())
RNG = np.random.default_rng(0)
SITES = {
    "net.skip.weight": RNG.normal(size=(2, 30, 2, 5)).astype(np.float32),
    "net.skip.bias": RNG.normal(size=(2, 30, 2)).astype(np.float32),
    "level": RNG.normal(size=(2, 30)),
}
CONSTANTS = {"mean": RNG.normal(size=2).astype(np.float32), "lead.root": np.eye(3)}
CENTRE = {"net.skip.bias": np.ones(2, np.float32)}


def record(count=40):
    time = np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(600, "s")
    speed = {"units": "m s-1", "standard_name": "wind_speed"}
    values = {"t": ("time", RNG.normal(size=count)), "v": ("time", RNG.gamma(2, size=count), speed)}
    return xr.Dataset(values, {"time": time})


RECORD = record()
FRAME = frame_of(RECORD, Selection())


@pytest.fixture
def tree():
    attrs = model_attrs(MODEL, Layout.of(FRAME), describe_frame(FRAME), jax.random.key(3))
    groups = {
        "posterior": sites_dataset(SITES),
        "constant_parameters": arrays_dataset(constants=CONSTANTS, centre=CENTRE),
        "belief": RECORD.isel(time=slice(-3, None)),
        "nothing": xr.Dataset(),
    }
    return tree_of(groups, attrs)


@pytest.fixture
def file(tree, tmp_path):
    path = tmp_path / "a.nc"
    tree.to_netcdf(path)
    return path


def same(fitted):
    assert fitted.model == MODEL
    assert fitted.layout == Layout.of(FRAME)
    assert fitted.frame == json.loads(json.dumps(describe_frame(FRAME)))
    for told, held in (
        (fitted.sites, SITES),
        (fitted.constants, CONSTANTS),
        (fitted.centre, CENTRE),
    ):
        assert set(told) == set(held)
        for name, value in held.items():
            np.testing.assert_array_equal(told[name], value.astype(told[name].dtype))
    xr.testing.assert_identical(fitted.tail, RECORD.isel(time=slice(-3, None)))


def test_a_tree_gives_the_fit_back(tree):
    same(restore(tree))
    assert "nothing" not in tree.children
    assert tree["posterior"]["level"].dims == ("chain", "draw")
    assert tree["posterior"]["net.skip.bias"].dims == ("chain", "draw", "net.skip.bias_dim_0")
    assert tree.attrs["schema"] == SCHEMA
    assert json.loads(tree.attrs["versions"])["jax"] == jax.__version__
    assert json.loads(tree.attrs["key"]) == [0, 3]


def test_it_is_exact_through_netcdf(tree, file):
    same(restore(file))
    same(restore(str(file)))
    again = read_tree(file)
    assert again.attrs == tree.attrs
    for name, value in SITES.items():
        assert again["posterior"][name].dtype == value.dtype
        np.testing.assert_array_equal(again["posterior"][name], value)


def test_it_is_exact_through_zarr(tree, tmp_path):
    tree.to_zarr(tmp_path / "a.zarr", consolidated=False)
    same(restore(tmp_path / "a.zarr"))


def test_an_open_file_is_not_held(file):
    read_tree(file)
    file.unlink()
    assert not file.exists()


def test_a_tree_without_constants_or_tail_restores(tree):
    bare = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=tree.attrs), "posterior": tree["posterior"]}
    )
    fitted = restore(bare)
    assert (fitted.constants, fitted.centre, fitted.tail) == ({}, None, None)


def test_a_model_of_one_s_own_is_taken_as_it_is_given(tree):
    other = models.Autoregressive(5)
    assert restore(tree, model=other).model is other
    tree.attrs["model"] = json.dumps({"type": "Mine"})
    with pytest.raises(ValueError, match=r"'Mine', which .* does not know.*restore\(tree, model="):
        restore(tree)
    with pytest.raises(ValueError, match="holds a Mine and you gave a Autoregressive"):
        restore(tree, model=other)


@pytest.mark.parametrize(
    ("attrs", "sentence"),
    [
        ({"schema": "99"}, "has schema 99.*this version reads schema 1: fit again"),
        ({"model": "{"}, "attribute 'model' of the tree is damaged"),
        ({"model": "[]"}, "attribute 'model' of the tree is damaged"),
        ({"model": 3}, "attribute 'model' of the tree is damaged"),
        ({"layout": "{}"}, "attribute 'layout' of the tree is damaged"),
        ({"scaling": '{"step": 1}'}, "attribute 'scaling' of the tree is damaged"),
        ({"model": '{"type": "os.system"}'}, "does not know"),
        ({"model": '{"type": "Autoregressive", "depth": 2}'}, "other settings of Autoregressive"),
    ],
)
def test_damaged_attributes_are_told(tree, attrs, sentence):
    tree.attrs |= attrs
    with pytest.raises(ValueError, match=sentence) as caught:
        restore(tree)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lost", ["model", "layout", "scaling", "schema"])
def test_a_lost_attribute_is_named(tree, lost):
    del tree.attrs[lost]
    with pytest.raises(ValueError, match=f"not a posterior tree.*lacks {lost}"):
        restore(tree)


def test_a_lost_posterior_is_named(tree):
    del tree["posterior"]
    with pytest.raises(ValueError, match="lacks posterior"):
        restore(tree)


def test_a_record_is_no_tree(tmp_path):
    RECORD.to_netcdf(tmp_path / "r.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="not a posterior tree of assim"):
        restore(tmp_path / "r.nc")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        restore(tmp_path / "none.nc")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_a_truncated_file_is_told(file, share):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    refused(file)


def test_other_files_are_told(tmp_path):
    (tmp_path / "a.nc").write_text("not a netCDF")
    refused(tmp_path / "a.nc")
    (tmp_path / "folder").mkdir()
    refused(tmp_path / "folder")


def refused(path: Path):
    with pytest.raises(ValueError, match=f"{path.name} cannot be read as a result") as caught:
        restore(path)
    assert "\n" not in str(caught.value)


# where the root attributes are damaged, the destructor of h5netcdf.File fails on its half-made object
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_flipped_bytes_are_read_or_refused(file):
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for _ in range(12):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole), 40):
            broken[at] ^= 1 << rng.integers(8)
        file.write_bytes(bytes(broken))
        try:
            restore(file)
        except ValueError as error:
            assert "\n" not in str(error)


def test_draws_are_thinned_evenly_over_chains(tree):
    fitted = restore(tree)
    assert fitted.thinned(None)["level"].shape == (2, 30)
    few = fitted.thinned(8)["level"]
    np.testing.assert_array_equal(few, jnp.asarray(SITES["level"][:, [0, 10, 19, 29]]))
    assert fitted.thinned(1)["level"].shape == (2, 1)
    assert fitted.thinned(10_000)["level"].shape == (2, 30)


def test_the_fingerprint_changes_with_what_it_says():
    def of(change=lambda ds: ds, selection=None):
        return fingerprint(frame_of(change(RECORD.copy(deep=True)), selection or Selection()))

    changes = [
        lambda ds: ds.assign(t=ds.t + 1e-9 * (np.arange(40) == 5)),
        lambda ds: ds.assign(t=ds.t.where(np.arange(40) != 5)),
        lambda ds: ds.rename(t="u"),
        lambda ds: ds.assign_coords(time=ds.time + np.timedelta64(1, "s")),
        lambda ds: ds.assign(t_sd=0 * ds.t + 0.1),
        lambda ds: ds.assign(v=ds.v.assign_attrs(support="real")),
        lambda ds: ds.isel(time=slice(39)),
    ]
    prints = [of(), *(of(change) for change in changes), of(selection=Selection(("t",)))]
    assert len(set(prints)) == len(prints)
    assert of() == prints[0]
    assert all(len(p) == 16 for p in prints)
