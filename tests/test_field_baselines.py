"""Baselines on fields through the verbs: fit, file, forecast, assimilation and comparison on a travelling wave."""

import warnings

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim import filters, inference, models
from assim.gridded import pose_fields
from assim.inference import ensemble
from assim.inference.gaussian import gaussian_prior
from tests.test_fields import START, STEP, front, later, readings

MODELS = {
    "stays": models.FieldPersistence(error=0.3),
    "climate": models.FieldClimatology(error=0.3),
    "dmd": models.DMD(error=0.3),
    "delayed": models.DMD(rank=6, delay=2, error=0.3),
    "fno": models.FNO(modes=5, width=6, layers=2, error=0.3),
}
QUICK = inference.EnsembleMAP(2, num_steps=500, batch_size=32, learning_rate=2e-2)
"""Climatology is fitted as it is by default."""


@pytest.fixture(scope="module")
def posts():
    train = front(40, 8, key=jax.random.key(1))
    with warnings.catch_warnings():  # that more steps would do better is true, and no matter here
        warnings.filterwarnings("ignore", message="The members were still moving")
        return {
            name: assim.infer(
                model, train, None if name == "climate" else QUICK, key=jax.random.key(0)
            )
            for name, model in MODELS.items()
        }


@pytest.fixture(scope="module")
def truth():
    return later(front(40, key=jax.random.key(5)))


@pytest.fixture(scope="module")
def told(posts, truth):
    past = truth.isel(time=slice(0, 34))
    return {
        name: assim.forecast(post, past, 6, key=jax.random.key(2), origins="4s", num_draws=40)
        for name, post in posts.items()
    }


def paths_of(tree):
    return tree["predictions"]["h"].stack(path=("chain", "draw"))


def errors_of(tree, truth):
    """Root mean square of the error of the mean, and the spread, by lead."""
    paths, over = paths_of(tree), ("init_time", "x")
    wanted = truth["h"].sel(time=tree["predictions"]["valid_time"])
    error = np.sqrt(((paths.mean("path") - wanted) ** 2).mean(over)).values
    return error, np.sqrt(paths.var("path", ddof=1).mean(over)).values


@pytest.mark.slow
def test_a_fit_comes_back_from_its_file(posts, truth, tmp_path):
    for name, post in posts.items():
        post.to_netcdf(tmp_path / f"{name}.nc")
        again = assim.restore(tmp_path / f"{name}.nc")
        assert again.model == MODELS[name]
        alike = [
            assim.forecast(p, truth, 2, key=jax.random.key(3), origins="last", num_draws=3)
            for p in (post, assim.tree.read_tree(tmp_path / f"{name}.nc"))
        ]
        xr.testing.assert_equal(*(t["predictions"]["h"] for t in alike))
    assert posts["dmd"].attrs["likelihood"] == "exact"
    assert posts["fno"].attrs["likelihood"] == "composite"


@pytest.mark.slow
def test_what_stays_strays_with_the_lead_as_increments_do(told, truth):
    error, spread = errors_of(told["stays"], truth)
    np.testing.assert_allclose(spread, spread[0] * np.sqrt(np.arange(1, 7)), rtol=0.15)
    increments = np.sqrt((truth["h"].diff("time") ** 2).mean())
    assert 0.7 * increments < spread[0] < 1.4 * increments
    origin = truth["h"].sel(time=told["stays"]["predictions"]["init_time"])
    apart = paths_of(told["stays"]).mean("path") - origin
    assert float(np.abs(apart).mean()) < 0.5 * spread.mean()


@pytest.mark.slow
def test_climatology_covers_and_is_the_same_at_every_lead(told, truth):
    error, spread = errors_of(told["climate"], truth)
    paths = paths_of(told["climate"])
    low, high = paths.quantile([0.05, 0.95], "path")
    wanted = truth["h"].sel(time=told["climate"]["predictions"]["valid_time"])
    assert 0.8 < float(((low <= wanted) & (wanted <= high)).mean()) <= 1.0
    assert np.ptp(spread) < 0.2 * spread.mean()
    rough = np.abs(paths.diff("x")).mean() / np.abs(paths - paths.mean("path")).mean()
    assert rough < 0.7  # white noise: 1.4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dmd", "delayed"])
def test_a_linear_wave_is_foretold_exactly(name, told, truth, posts):
    error, spread = errors_of(told[name], truth)
    assert error.max() < 1e-3 and spread.max() < 1e-3
    growth, turn = assim.restore(posts[name]).constants["rate"]
    np.testing.assert_allclose(np.exp(growth), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.sort(turn), [-0.6, -0.4, -0.2, 0.2, 0.4, 0.6], atol=1e-3)


@pytest.mark.slow
def test_a_network_beats_what_stays(told, truth):
    error, spread = errors_of(told["fno"], truth)
    assert error[0] < 0.3 * errors_of(told["stays"], truth)[0][0]
    assert 0.3 < spread[0] / error[0] < 3.0


@pytest.mark.slow
def test_they_are_compared_in_one_table(told, truth):
    table = assim.compare(told, truth=truth)
    crps = table.to_dataset() if isinstance(table, xr.DataTree) else table
    assert set(MODELS) <= {str(v) for v in np.ravel(crps["model"].values)}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_few_sensors_tell_the_whole_field(name, posts, truth, key):
    chosen = (
        filters.LETKF(30, 8.0, filters.Straight((32.0,)), 1.05)
        if name in ("climate", "delayed")
        else filters.ETKF(30, 1.05)
    )
    said = assim.assimilate(posts[name], readings(truth, key=key), chosen, key=key)
    error = said["analysis"]["h_mean"] - truth["h"]
    assert np.sqrt((error**2).isel(time=slice(10, None)).mean()) < 0.3
    ahead = assim.forecast(posts[name], said, 2, key=key, origins="last")["predictions"]
    assert ahead.sizes["draw"] == 30 and np.isfinite(ahead["h"]).all()


@pytest.mark.slow
def test_two_fields_are_told_each_by_itself(key):
    """Of two fields, one is read; the other is known by it."""
    ds = front(40, 8, key=jax.random.key(1))
    ds["g"] = (3.0 - 2.0 * ds["h"]).assign_attrs(units="K")
    post = assim.infer(models.DMD(error=0.3), ds, QUICK, key=key)
    truth = later(front(30, key=jax.random.key(5)))
    analysis = assim.assimilate(post, readings(truth, key=key), filters.ETKF(30), key=key)[
        "analysis"
    ]
    for name, wanted, bound in (("h", truth["h"], 0.2), ("g", 3.0 - 2.0 * truth["h"], 0.4)):
        error = (analysis[f"{name}_mean"] - wanted).isel(time=slice(10, None))
        assert np.sqrt((error**2).mean()) < bound
        drawn = analysis[name].mean(("chain", "draw"))
        np.testing.assert_allclose(analysis[f"{name}_mean"], drawn, atol=1e-4)


def test_stretches_begin_where_all_fields_of_a_state_are_known(key):
    ds = front(30, key=key)
    ds["h"][9, 3] = np.nan
    late = ds["time"].values >= ds["time"].values[20]
    ds = ds.assign_coords(time=ds["time"] + late * np.timedelta64(1, "h"))
    problem, _ = pose_fields(models.DMD(rank=2, delay=2), ds)
    rows = ds["h"].values.astype(np.float32)
    begun = [
        *range(1, 9),
        *range(11, 19),
        *range(21, 29),
    ]  # none at 9 and 10, none over the gap from 19 to 20
    np.testing.assert_array_equal(problem.examples.first[:, :32], rows[begun])
    np.testing.assert_array_equal(problem.examples.first[:, 32:], rows[np.array(begun) - 1])
    last = np.array(begun) + 1
    np.testing.assert_array_equal(problem.examples.y[:, 0], np.nan_to_num(rows[last]))


@pytest.mark.slow
def test_a_field_before_the_origin_is_missed_where_two_are_needed(posts, truth, key):
    holed = truth.copy(deep=True)
    holed["h"][5, 3] = np.nan
    told = assim.forecast(posts["delayed"], holed, 2, key=key, origins="1s", num_draws=2)
    inits = told["predictions"]["init_time"].values
    assert not {START + np.timedelta64(1, "h") + s * STEP for s in (0, 5, 6)} & set(inits)


def test_many_places_are_no_channels(key):
    ds = front(40, key=key)
    wide = xr.concat(
        [ds, ds.assign_coords(x=ds["x"] + 32.0), ds.assign_coords(x=ds["x"] + 64.0)], "x"
    )
    with pytest.raises(
        ValueError, match="at most 64 .* fields on a grid go whole into FieldPersist"
    ):
        assim.infer(models.Persistence(horizon=4), wide, key=key)


def test_an_ensemble_is_told_by_every_place():
    problem, _ = pose_fields(models.FieldPersistence(error=0.3), front(12, key=jax.random.key(1)))
    prior = gaussian_prior(problem, method="EnsembleMAP")
    method = inference.EnsembleMAP(1, randomisation=inference.AnchorsOnly())
    member = ensemble._Team(prior.loc, jax.random.key(0))

    def loss(y):
        told = eqx.tree_at(lambda p: p.examples.y, problem, y)
        return ensemble._loss(method, told, prior, member, prior.loc, None, np.arange(4))

    slope = jax.grad(loss)(problem.examples.y)
    assert (np.abs(slope[:4]) > 0).all()
