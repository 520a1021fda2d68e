"""Every call of ArviZ that the package promises, on the tree of every method, after netCDF."""

from __future__ import annotations

import warnings

import arviz as az
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import assim
from assim.models import Autoregressive, Normal
from assim.tree import read_tree
from tests.contract.members import METHODS, OTHERS, fit, make_record

MODEL = Autoregressive(2, (), noise=Normal(varying=False), mask_rate=0.0, calendar=())
MODELS = {"Exact": OTHERS["departures"]}
SHOWN = {"Exact": ["precision"]}
SLOW = [pytest.param("SGMCMC", marks=pytest.mark.slow)]
SERVING = [name for name in METHODS if name not in ("LastLayer", "SGMCMC")]
ONE_STEP = [name for name in SERVING if name not in ("Prior", "Exact")]
TREES: dict[str, xr.DataTree] = {}


@pytest.fixture(scope="module")
def record():
    return make_record().drop_vars("lamp")


@pytest.fixture(scope="module")
def tree_of(record, tmp_path_factory):
    """The tree of a method, written and read; each fitted once."""
    folder = tmp_path_factory.mktemp("trees")

    def made(name: str) -> xr.DataTree:
        if name not in TREES:
            model = MODELS.get(name, MODEL)
            post = fit(model, METHODS[name], record, jax.random.key(3))
            post.to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
            back = read_tree(folder / f"{name}.nc")
            xr.testing.assert_identical(back, post)
            for group in post.subtree:
                for label, value in group.to_dataset().variables.items():
                    assert back[group.path][label].dtype == value.dtype, (group.path, label)
            TREES[name] = back
        return TREES[name]

    yield made
    TREES.clear()


@pytest.fixture(params=SERVING + SLOW)
def name(request):
    return request.param


@pytest.fixture
def tree(name, tree_of):
    return tree_of(name)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def pareto_k_said(call):
    """What a call gives; ArviZ may say that some Pareto k are too large, and nothing else."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = call()
    assert [str(w.message) for w in said if "Pareto" not in str(w.message)] == []
    return found


def test_the_tree_holds_observed_cells_on_one_dimension(tree, record):
    count = int(record.to_dataarray().isel(time=slice(-200, None)).notnull().sum())
    assert tree["observed_data"]["y"].dims == ("obs_id",)
    for group in ("posterior_predictive", "log_likelihood"):
        y = tree[group]["y"]
        assert y.dims == ("chain", "draw", "obs_id")
        assert y.sizes["chain"] * y.sizes["draw"] >= 100
        assert np.isfinite(y).all()
        assert {"time", "variable"} <= set(y.coords)
    assert tree["observed_data"].sizes["obs_id"] >= count
    for value in tree["posterior"].data_vars.values():
        assert value.dims[:2] == ("chain", "draw")


def test_summary(tree):
    table = az.summary(tree, round_to="none")
    assert np.isfinite(table[["mean", "sd"]].astype(float)).all(axis=None)
    assert len(table) == sum(v[0, 0].size for v in tree["posterior"].data_vars.values())


def test_diagnose(tree):
    good, _ = az.diagnose(tree, show_diagnostics=False, return_diagnostics=True)
    assert isinstance(good, bool)


def test_loo(tree):
    found = pareto_k_said(lambda: az.loo(tree, pointwise=True))
    assert np.isfinite(found.elpd)
    assert np.isfinite(found.elpd_i).all()
    assert found.n_data_points == tree["observed_data"].sizes["obs_id"]


def test_loo_pit(tree):
    pit = pareto_k_said(lambda: az.loo_pit(tree))["y"]
    assert ((pit >= 0) & (pit < 1 + 1e-12)).all()
    assert pit.dims == ("obs_id",)


def test_loo_score(tree):
    found = pareto_k_said(lambda: az.loo_score(tree, pointwise=True))
    assert np.isfinite(found.pointwise).all()


@pytest.mark.parametrize("plot", [az.plot_ppc_dist, az.plot_ppc_pit, az.plot_ppc_interval])
def test_predictive_plots(tree, plot):
    drawn = plot(tree)
    assert drawn.viz["figure"].item() is not None


@pytest.mark.parametrize("plot", [az.plot_trace_dist, az.plot_forest])
def test_posterior_plots(name, tree, plot):
    drawn = plot(tree, var_names=SHOWN.get(name, ["noise", "net.skip.bias"]))
    assert drawn.viz["figure"].item() is not None


@pytest.mark.parametrize("name", ONE_STEP)
def test_lfo_cv(name, tree_of, record):
    times = tree_of(name)["observed_data"]["time"].values
    rows = record.dropna("time", how="all").sizes["time"] - 1
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = assim.lfo_cv(
            tree_of(name), record, key=jax.random.key(0), min_observations=rows - 6
        )
    plain = ("refits out of", "still", "diverged", "max_tree_depth", "not found yet")
    assert [w for w in said if not any(p in str(w.message) for p in plain)] == []
    assert np.isfinite(found.elpd_i).all()
    np.testing.assert_array_equal(found.elpd_i["time"], np.unique(times)[-6:])


def test_methods_are_compared_on_the_same_points(tree_of):
    trees = {name: tree_of(name) for name in SERVING}
    table = pareto_k_said(lambda: az.compare(trees, round_to="none"))
    assert set(table.index) == set(SERVING)
    assert np.isfinite(table["elpd"]).all()
    assert table.index[-1] == "Prior"
    drawn = az.plot_compare(table)
    assert drawn.viz["figure"].item() is not None
