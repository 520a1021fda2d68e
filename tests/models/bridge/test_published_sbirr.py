"""The published alternation behind the verbs: a point, its paths, which are drawn from, and a forecast beyond."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import assim
from assim.cli.choosing import chosen
from assim.inference import NUTS, SVI
from assim.models import Alternation, PublishedSBIRR, references
from assim.models.bridge.published.family import begun
from assim.models.bridge.published.walked import Walked
from assim.models.bridge.region import Region
from assim.registry import made_from, settings_of
from assim.snapshots import Snapshots

KEY = jax.random.key(3)
SETTINGS = Alternation(sigma=0.2, dt=0.1, passes=2, iterations=2, descent=100)
MODEL = PublishedSBIRR(references.LotkaVolterra(), SETTINGS)
NAMES = ("prey", "predator")
RATES = ("birth", "predation", "death", "growth")
TRUTH = (1.0, 0.4, 0.4, 0.1)
TIMES, SIZES = (0.0, 0.5, 1.5), (8, 6, 7)


def drift(x, a, b, c, d):
    """Of prey and predators, (sample, coordinate)."""
    prey, predators = x.T
    met = prey * predators
    return np.stack([a * prey - b * met, d * met - c * predators], axis=-1)


def seen_at(time, count, rng):
    """Some of a population that began near its place of rest."""
    x = np.array([4.0, 3.2]) + 0.15 * rng.normal(size=(count, 2))
    for _ in range(round(time / 0.01)):
        x = x + 0.01 * drift(x, *TRUTH) + 0.01 * rng.normal(size=x.shape)
    return x


RNG = np.random.default_rng(0)
CLOUDS = [seen_at(*given, RNG) for given in zip(TIMES, SIZES, strict=True)]
DATA = assim.stack_snapshots(CLOUDS, TIMES, NAMES)
STAMPS = DATA["time"].values


def stacked(ds):
    return np.stack([ds[n].values for n in NAMES], axis=-1)


@pytest.fixture(scope="module")
def post():
    return assim.infer(MODEL, DATA, key=KEY)


@pytest.fixture(scope="module")
def file(post, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "post.nc"
    post.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def paths(file):
    return assim.generate(file, 21, key=KEY, times=1)["generated"].to_dataset()


def test_the_tree_holds_a_point_and_a_path_through_each_sample(post):
    drawn = post["posterior"].to_dataset()
    assert {k: v.shape for k, v in drawn.items()} == {
        **{f"drift.{name}": (1, 1) for name in RATES},
        "paths": (1, 1, 21, 16, 2),
    }
    assert json.loads(post.attrs["method"]) == {"type": "Prescribed"}
    fixed = post["constant_parameters"]
    np.testing.assert_allclose(fixed["constants.time"], 0.1 * np.arange(16), atol=1e-6)
    np.testing.assert_array_equal(fixed["constants.weight"], np.ones(21))
    each = np.split(drawn["paths"].values[0, 0], np.cumsum(SIZES)[:-1])
    for walked, step, cloud in zip(each, (0, 5, 15), CLOUDS, strict=True):
        np.testing.assert_array_equal(walked[:, step], cloud.astype(np.float32))


def test_rates_are_positive_and_their_drift_goes_to_the_truth(post):
    found = [float(post["posterior"][f"drift.{name}"].mean()) for name in RATES]
    assert min(found) > 1e-3
    seen = np.concatenate(CLOUDS)
    truth, left = drift(seen, *TRUTH), drift(seen, *found) - drift(seen, *TRUTH)
    assert (left**2).mean() < 0.1 * (truth**2).mean()
    assert post["sample_stats"]["loss"].shape == (2,)


def test_as_many_paths_as_samples_are_each_once_and_straight_between_steps(post, paths):
    assert paths.sizes == {"sample": 21, "time": 5} and set(paths["draw"].values) == {0}
    walked = post["posterior"]["paths"].values[0, 0]
    half = 0.5 * (walked[:, 2] + walked[:, 3])
    wanted = np.stack([walked[:, 0], half, *(walked[:, i] for i in (5, 10, 15))], axis=1)
    np.testing.assert_allclose(stacked(paths), wanted, rtol=1e-4)
    between = STAMPS[0] + np.array([1025, 300], "timedelta64[ms]")
    some = assim.generate(post, 7, key=KEY, times=between)["generated"].to_dataset()
    x = stacked(some)
    at = np.abs(x[:, None, 0] - walked[:, 0]).max(axis=-1).argmin(axis=1)
    assert len(set(at)) == 7 and np.ptp(at) > 14
    wanted = np.stack([walked[at, 3], 0.75 * walked[at, 10] + 0.25 * walked[at, 11]], axis=1)
    np.testing.assert_allclose(x[:, [1, 3]], wanted, rtol=1e-4)


def test_a_file_generates_and_forecasts_as_the_tree(post, file, paths):
    assert eqx.tree_equal(assim.restore(file).model, MODEL)
    same = assim.generate(post, 21, key=KEY, times=1)["generated"].to_dataset()
    np.testing.assert_array_equal(stacked(same), stacked(paths))
    one, other = (assim.forecast(p, None, "2s", key=KEY)["predictions"] for p in (post, file))
    np.testing.assert_array_equal(one["prey"], other["prey"])
    assert one["prey"].shape == (1, 1, 1, 2, 7) and one["init_time"] == STAMPS[-1]


def test_a_forecast_is_eulers_with_the_volatility_that_was_given():
    x = np.random.default_rng(0).normal(size=(1, 2000, 2))
    there = Snapshots.of(STAMPS[:1], x, origin=STAMPS[0], step=1.0)
    one = jnp.ones(2)
    region = Region(0 * one, one, -one, one, jnp.asarray(1.0), jnp.asarray(1.0), one)
    walked = Walked(
        drift=lambda x: -0.5 * x,
        volatility=lambda x: 0.3 * jnp.eye(2),
        hazard=None,
        error=0 * one,
        error_share=None,
        region=region,
        unseen=None,
        walked=jnp.zeros((1, 2, 2)),
        weight=jnp.ones(1),
        time=jnp.arange(2.0),
        names=("x", "y"),
        unit=1.0,
        steps=4,
        second=False,
    )
    end = np.asarray(eqx.filter_jit(walked.onward)(there, jnp.asarray(0), 3, key=KEY).x)
    assert end.shape == (2000, 3, 2)
    shrunk = (1 - 0.5 / 4) ** 4
    left = end - x[0][:, None] * shrunk ** np.arange(1, 4)[:, None]
    spread = 0.3**2 / 4 * np.cumsum((1 - 0.5 / 4) ** (2 * np.arange(12)))[3::4]
    assert np.abs(left.mean(axis=0)).max() < 0.03
    np.testing.assert_allclose(left.var(axis=0), np.stack([spread, spread], 1), rtol=0.15)


def test_without_a_drift_there_are_paths_alone():
    still = PublishedSBIRR(references.Brownian(), Alternation(0.2, 0.1, passes=1, iterations=2))
    post = assim.infer(still, DATA, key=KEY)
    assert set(post["posterior"].data_vars) == {"paths"}
    made = assim.generate(post, 4, key=KEY, times=0)["generated"].to_dataset()
    assert made.sizes == {"sample": 4, "time": 3} and np.isfinite(stacked(made)).all()
    ahead = assim.forecast(post, None, 1, key=KEY)["predictions"].to_dataset()
    moved = stacked(ahead)[0, 0, 0, 0] - CLOUDS[2]
    assert 0.1 < moved.std() < 0.3


def test_parameters_start_near_zero_but_where_they_cannot():
    def started(reference, size=2, **start):
        one = jnp.ones(size)
        region = Region(0 * one, one, -one, one, one[0], one[0], one)
        return begun(reference, start, region, tuple("xyz"[:size]), key=KEY)

    family, theta = started(references.Repressilator(), 3)
    assert {k.removeprefix("drift."): round(float(v), 7) for k, v in theta.items()} == {
        **{"production": 1e-5, "decay": 1e-5, "threshold": 1.0, "cooperativity": 1.0}
    }
    assert set(family.positive) == set(theta)
    turned = {k: -v for k, v in theta.items()}
    np.testing.assert_array_equal(family(turned, jnp.ones(3)), family(theta, jnp.ones(3)))

    family, theta = started(references.Vortex(), centre=(0.5, 1.0), rotation=-2.0)
    assert family.positive == () and family.sites(theta) == theta
    np.testing.assert_allclose(family(theta, jnp.array([1.5, 1.0])), [0.0, -2.0], atol=1e-4)
    np.testing.assert_allclose(theta["drift.log_aspect"], 1e-5)

    own = references.Own(lambda x, t: t["a"] * x, {"a": dist.HalfNormal(jnp.ones(2))})
    assert started(own)[0].positive == ("drift.a",)
    _, theta = started(references.Neural((2,)))
    assert all(np.ptp(v) > 1e-2 for v in theta.values() if v.ndim > 1)
    with pytest.raises(ValueError, match="start names 'speed', which Vortex does not have: it has"):
        started(references.Vortex(), speed=1.0)
    with pytest.raises(ValueError, match=r"start gives 'centre' the shape \(3,\), and the para"):
        started(references.Vortex(), centre=(0.0, 1.0, 2.0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.assign(prey_sd=0.1 + 0 * ds["prey"]), "no place for errors of reading"),
        (
            lambda ds: ds.assign_coords(id=(("time", "sample"), np.tile(np.arange(8), (3, 1)))),
            "no place for identities",
        ),
        (
            lambda ds: ds.assign(prey=ds["prey"].where(ds["sample"] > 0)),
            "no place for samples that lack a coordinate: leave them out, or use SchrodingerBridge.",
        ),
        (
            lambda ds: ds.assign_coords(time=STAMPS + np.array([0, 50, 0], "timedelta64[ms]")),
            "are no whole numbers of steps of dt=0.1",
        ),
    ],
)
def test_snapshots_that_it_has_no_place_for_are_refused(change, said):
    with pytest.raises(ValueError) as refused:
        assim.infer(MODEL, change(DATA), key=KEY)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_not_prescribed_is_refused(post):
    for method in (NUTS(), SVI()):
        with pytest.raises(TypeError, match="PublishedSBIRR prescribes its fit and has no likeli"):
            assim.infer(MODEL, DATA, method, key=KEY)
    with pytest.raises(ValueError, match="prescribes where its fit begins"):
        assim.infer(MODEL, DATA, key=KEY, init=post)
    with pytest.raises(ValueError, match="come of its fit and meet no other snapshots: leave"):
        assim.generate(post, 3, key=KEY, given=DATA)
    with pytest.raises(ValueError, match="unit='soon' is not a duration"):
        PublishedSBIRR(references.Vortex(), unit="soon")


def test_settings_there_and_back_and_as_typed():
    model = PublishedSBIRR(references.Vortex(), SETTINGS, {"centre": (0.5, 1.0)}, unit="1D")
    assert eqx.tree_equal(made_from(json.loads(json.dumps(settings_of(model)))), model)
    told = ["reference=references.LotkaVolterra", "alternation=Alternation(0.2, passes=3)"]
    typed, _ = chosen("published-sbirr", None, told)
    assert eqx.tree_equal(
        typed, PublishedSBIRR(references.LotkaVolterra(), Alternation(0.2, passes=3))
    )
