"""Trees: exact through netCDF, and every damage told in a sentence."""

import gc
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr

from assim import models
from assim.data.framing import Selection, describe_frame, frame_of
from assim.inference.density import prior_draw
from assim.problem import pose
from assim.series import Layout, Series
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


def record(count=40):
    time = np.datetime64("2020-01-01", "ns") + np.arange(count) * np.timedelta64(600, "s")
    speed = {"units": "m s-1", "standard_name": "wind_speed"}
    values = {"t": ("time", RNG.normal(size=count)), "v": ("time", RNG.gamma(2, size=count), speed)}
    return xr.Dataset(values, {"time": time})


RECORD = record()
FRAME = frame_of(RECORD, Selection())


def problem_of(model, key):
    pairs = jnp.stack([jnp.zeros(20, jnp.int32), jnp.arange(5, 25)], axis=1)
    return pose(model, Series.of(FRAME), pairs, Layout.of(FRAME), key=key)


PROBLEM = problem_of(MODEL, jax.random.key(0))
CONSTANTS = {k: np.asarray(v) for k, v in PROBLEM.constants.items()}
CENTRE = {k: np.asarray(v) for k, v in prior_draw(PROBLEM, jax.random.key(1)).items()}
SITES = {k: RNG.normal(size=(2, 30, *v.shape)).astype(np.float32) for k, v in CENTRE.items()}
BIAS = "net.head.bias"


def tree_with(model=MODEL, sites=SITES, constants=CONSTANTS, centre=CENTRE):
    attrs = model_attrs(model, Layout.of(FRAME), describe_frame(FRAME), jax.random.key(3))
    groups = {
        "posterior": sites_dataset(sites),
        "constant_parameters": arrays_dataset(constants=constants, centre=centre),
        "belief": RECORD.isel(time=slice(-3, None)),
        "nothing": xr.Dataset(),
    }
    return tree_of(groups, attrs)


@pytest.fixture
def tree():
    return tree_with()


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
    assert tree["posterior"][BIAS].dims == ("chain", "draw", f"{BIAS}_dim_0")
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


def test_a_tree_without_centre_or_tail_restores():
    tree = tree_with(centre={})
    del tree["belief"]
    fitted = restore(tree)
    assert (fitted.centre, fitted.tail) == (None, None)


def test_a_model_of_one_s_own_is_taken_as_it_is_given(tree):
    other = models.Autoregressive(2, (3,), calendar=(), prior_scale=2.0)
    assert restore(tree, model=other).model is other
    tree.attrs["model"] = json.dumps({"type": "Mine"})
    with pytest.raises(ValueError, match=r"'Mine', which .* does not know.*restore\(tree, model="):
        restore(tree)
    with pytest.raises(ValueError, match="holds a Mine and you gave a Autoregressive"):
        restore(tree, model=other)


def test_a_model_of_one_s_own_has_to_be_that_of_the_fit(tree):
    with pytest.raises(
        ValueError, match="not of the model that you gave.*has the shape.*as it was"
    ):
        restore(tree, model=models.Autoregressive(5, (3,), calendar=()))


class Local(models.Persistence):
    """A model with a latent for each reading, in the likelihood."""

    def likelihood(self, ssm, examples, num_data):
        numpyro.sample("local", dist.Normal(jnp.zeros(examples.y.shape), 1.0).to_event(3))


def test_latents_of_the_likelihood_are_let_be():
    model = Local(1, 2)
    problem = problem_of(model, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), 4)
    sites = {
        k: np.asarray(v)[None]
        for k, v in jax.vmap(lambda key: prior_draw(problem, key))(keys).items()
    }
    assert set(sites) == {"noise", "local"}
    constants = {k: np.asarray(v) for k, v in problem.constants.items()}
    assert set(restore(tree_with(model, sites, constants, {}), model).sites) == set(sites)


def test_a_model_that_counts_nothing_restores():
    class Plain(Local):
        """Without constants."""

        def constants(self, windows, layout):
            return {}

        def prior(self, layout, constants):
            numpyro.sample("level", dist.Normal(0.0, 1.0))

    sites = {"level": np.zeros((1, 3), np.float32)}
    fitted = restore(tree_with(Plain(1, 2), sites, {}, {}), Plain(1, 2))
    assert fitted.constants == {} and fitted.sites["level"].shape == (1, 3)


@pytest.mark.parametrize(
    ("attrs", "sentence"),
    [
        ({"schema": "99"}, "has schema 99.*this version reads schema 1: fit again"),
        ({"model": "{"}, "is damaged: its attribute 'model' .* take a whole copy of the file"),
        ({"model": "[]"}, "is damaged: its attribute 'model'"),
        ({"model": 3}, "is damaged: its attribute 'model'"),
        ({"model": '{"type": "SVI"}'}, "is damaged: its .*'SVI' object has no attribute"),
        ({"layout": "{}"}, "is damaged: its attribute 'layout'"),
        ({"scaling": '{"step": 1}'}, "is damaged: its attribute 'scaling'"),
        ({"model": '{"type": "os.system"}'}, "does not know"),
        ({"model": '{"type": "Autoregressive", "depth": 2}'}, "other settings of Autoregressive"),
    ],
)
def test_damaged_attributes_are_told(tree, attrs, sentence):
    tree.attrs |= attrs
    with pytest.raises(ValueError, match=sentence) as caught:
        restore(tree)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "changes", "sentence"),
    [
        ("model", {"lags": "x"}, r"'model' cannot be used \(invalid literal for int"),
        ("model", {"lags": None}, "'model' cannot be used|other settings of"),
        ("model", {"lags": [1]}, r"weight has the shape .* in place of "),
        ("model", {"hidden": []}, r"the model has no net.head.bias"),
        ("model", {"hidden": [3, 3]}, r"it lacks net.layers.1"),
        ("layout", {"more": 1}, "'layout' cannot be used"),
        ("layout", {"channels": ["q"]}, "channels and layout disagree"),
        ("layout", {"channels": 3}, "'scaling' cannot be used"),
        ("scaling", {"scaling": {}}, r"'scaling' cannot be used \(it lacks 'supports'\)"),
        ("scaling", {"scaling": None}, "'scaling' cannot be used"),
        ("scaling", {"step": -5}, "step and layout disagree"),
        ("scaling", {"stations": ["a", "b"]}, "centre and layout disagree"),
        ("scaling", {"calendar": ["day"]}, "calendar and layout disagree"),
        ("scaling", {"control_scaling": [[0.0], [1.0]]}, "controls and layout disagree"),
    ],
)
def test_damaged_settings_are_told(tree, attribute, changes, sentence):
    tree.attrs[attribute] = json.dumps(json.loads(tree.attrs[attribute]) | changes)
    told(tree, sentence)


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_a_scale_that_scales_nothing_is_told(tree, bad):
    frame = json.loads(tree.attrs["scaling"])
    frame["scaling"]["scale"][0][0] = bad
    tree.attrs["scaling"] = json.dumps(frame)
    told(tree, "numbers are not finite, or its scales not positive")


def told(tree, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        restore(tree)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(("take a whole copy of the file, or fit again.", "wrote it."))


def without(arrays, name):
    return {k: v for k, v in arrays.items() if k != name}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sites": without(SITES, BIAS)}, r"'posterior' cannot be used \(it lacks net.head.bias\)"),
        ({"sites": SITES | {BIAS: SITES[BIAS] * np.nan}}, f"{BIAS} holds values that are not"),
        ({"sites": SITES | {BIAS: SITES[BIAS][..., 1:]}}, f"{BIAS} has the shape"),
        ({"sites": SITES | {"more": SITES[BIAS]}}, "the model has no more"),
        ({"constants": {}}, "'constant_parameters' cannot be used .it lacks"),
        ({"constants": without(CONSTANTS, "lead_root")}, "it lacks lead_root"),
        ({"constants": CONSTANTS | {"sd": CONSTANTS["sd"] * np.nan}}, "sd holds values that are"),
        ({"constants": CONSTANTS | {"lead_sd": np.ones(3)}}, "'constant_parameters' cannot be"),
        ({"centre": without(CENTRE, BIAS)}, "'constant_parameters' cannot be used .it lacks net"),
    ],
)
def test_damaged_arrays_are_told(changes, sentence):
    told(tree_with(**changes), sentence)


def test_a_lost_group_of_constants_is_told(tree):
    del tree["constant_parameters"]
    told(tree, "it lacks error_sd")


def test_what_was_checked_once_is_not_traced_again(tree):
    restore(tree)
    count = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "eval_shape", lambda *a, **k: count.append(a))
        same(restore(tree))
    assert count == []


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


def test_flipped_bytes_are_read_or_refused_without_a_word_beside(file, monkeypatch, capfd):
    """Also where the damage is in the root, which the destructor of h5netcdf would complain of."""
    beside = []
    monkeypatch.setattr(sys, "unraisablehook", beside.append)
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for number in range(24):
        broken = bytearray(whole)
        for at in rng.integers(0, len(whole) if number % 2 else len(whole) // 10, 40):
            broken[at] ^= 1 << rng.integers(8)
        file.write_bytes(bytes(broken))
        try:
            restore(file)
        except ValueError as error:
            assert "\n" not in str(error)
        if number % 8 == 7:  # destructors speak when they run
            gc.collect()
    assert beside == []
    assert capfd.readouterr() == ("", "")


def test_draws_are_thinned_evenly_over_chains(tree):
    fitted = restore(tree)
    assert fitted.thinned(None)[BIAS].shape[:2] == (2, 30)
    few = fitted.thinned(8)[BIAS]
    np.testing.assert_array_equal(few, jnp.asarray(SITES[BIAS][:, [0, 10, 19, 29]]))
    assert fitted.thinned(1)[BIAS].shape[:2] == (2, 1)
    assert fitted.thinned(10_000)[BIAS].shape[:2] == (2, 30)


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
