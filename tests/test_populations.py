"""The verbs on snapshots of prey and predators: fit, paths through them, what comes after, and fits that go on."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import xarray as xr

import assim
from assim import inferring
from assim.inference import NUTS, AbstractMethod, Adjusted, Ascent, Draws, Prior
from assim.inference.density import constrain, draw_start, potential, scattered, to_unconstrained
from assim.inference.optimise import most_probable
from assim.models import Adjacent, Bridge, SchrodingerBridge, references, volatilities
from assim.populations import pose_population, unidentified

KEY = jax.random.key(0)
TRUTH = {
    "drift.birth": 1.0,
    "drift.predation": 0.4,
    "drift.death": 0.4,
    "drift.growth": 0.1,
    "volatility.share": 0.02,
}
NAMES = ("prey", "predator")
MODEL = SchrodingerBridge(references.LotkaVolterra(), volatilities.Multiplicative(), steps=4)
WHOLE = assim.load_dataset("lotka_volterra").load()
TRAIN = WHOLE.isel(time=slice(0, 5), sample=slice(0, 30))
OTHERS = WHOLE.isel(time=slice(0, 5), sample=slice(30, 60))
STAMPS = TRAIN["time"].values


class MostProbable(AbstractMethod):
    """A few draws close about the most probable parameters."""

    def run(self, problem, *, key, watch, start=None):
        v, loss = most_probable(
            problem, to_unconstrained(problem, start), Ascent(60, 1e-2, None), key=key, watch=watch
        )
        near = scattered(v, 4, 0.01, key=key)
        sites = eqx.filter_jit(lambda v: jax.vmap(lambda one: constrain(problem, one))(v))(near)
        return Draws({k: np.asarray(x)[None] for k, x in sites.items()}, curves={"loss": loss})


class FromThePrior(AbstractMethod):
    """Draws that snapshots have no part in."""

    def run(self, problem, *, key, watch, start=None):
        v = draw_start(problem, key, 200)
        sites = eqx.filter_jit(lambda v: jax.vmap(lambda one: constrain(problem, one))(v))(v)
        return Draws({k: np.asarray(x)[None] for k, x in sites.items()})


@pytest.fixture(scope="module")
def post() -> xr.DataTree:
    return assim.infer(MODEL, TRAIN, MostProbable(), key=KEY)


@pytest.fixture(scope="module")
def file(post, tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "post.nc"
    post.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.fixture(scope="module")
def paths(file) -> xr.Dataset:
    return assim.generate(file, 200, key=KEY, times=1)["generated"].to_dataset()


def nearest(paths: xr.Dataset, snapshots: xr.Dataset, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each path at a snapshot: the sample that it is nearest to, and how far, in spreads."""
    at = paths.sel(time=snapshots["time"].values[row])
    spread = [float(TRAIN[n].std()) for n in NAMES]
    x, y = (
        np.stack([ds[n].values / s for n, s in zip(NAMES, spread, strict=True)], axis=-1)
        for ds in (at, snapshots.isel(time=row))
    )
    apart = np.abs(x[:, None] - y).max(axis=-1)
    return apart.argmin(axis=1), apart.min(axis=1)


def test_parameters_are_near_the_truth_and_the_tree_says_what_it_is(post):
    for name, value in TRUTH.items():
        within = 0.5 if name == "volatility.share" else 0.1
        assert abs(float(post["posterior"][name].mean()) / value - 1) < within, name
    assert post.attrs["likelihood"] == "composite"
    assert "log_likelihood" not in post.children and "observed_data" not in post.children
    xr.testing.assert_identical(post["belief"].to_dataset()[list(NAMES)], TRAIN[list(NAMES)])


def test_every_path_is_at_a_sample_at_the_time_of_each_snapshot(paths):
    assert paths.sizes == {"sample": 200, "time": 9} and set(paths["draw"].values) == {0, 1, 2, 3}
    for row in range(5):
        which, far = nearest(paths, TRAIN, row)
        assert far.max() < 6e-3  # an error of a thousandth of the spread
        # as often at one sample as at another: 200 / 30, Poisson but that marginals are held
        visits = np.bincount(which, minlength=30)
        assert (visits == 0).sum() <= 2 and visits.max() < 20
        for name in NAMES:
            seen, told = TRAIN[name].values[row], paths[name].sel(time=STAMPS[row])
            assert abs(told.mean() - seen.mean()) < 4 * seen.std() / 200**0.5


def test_between_snapshots_paths_are_where_others_were_seen(paths):
    held_out = assim.load_dataset("lotka_volterra_held_out")
    for row in range(4):
        half = held_out.isel(time=row)
        for name in NAMES:
            told = paths[name].sel(time=half["time"])
            assert abs(float(told.mean()) / float(half[name].mean()) - 1) < 0.05
            assert 0.6 < float(told.std()) / float(half[name].std()) < 1.6


def test_paths_stand_at_stamps_that_are_asked_for(post):
    between = STAMPS[0] + np.array([5, 2250], "timedelta64[ms]")
    asked = [*between[::-1].astype(str), STAMPS[1]]
    made = assim.generate(post, 200, key=KEY, times=asked)["generated"].to_dataset()
    np.testing.assert_array_equal(made["time"], np.union1d(between, STAMPS))
    prey = made["prey"].values
    moved = np.abs(prey[:, 1:] - prey[:, :-1]).max(axis=0)
    assert moved[0] < 0.05 < 1.0 < moved[1]  # hardly in 5 ms, far in the rest of a second
    quarter = prey[:, 3] + 0.25 * (prey[:, 5] - prey[:, 3])
    assert np.abs(prey[:, 4] - quarter).max() < 0.3


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([STAMPS[-1] + np.timedelta64(1, "s")], "00:00:05 lies outside the snapshots (2000-01-01"),
        ([STAMPS[0] - np.timedelta64(1, "ms")], "23:59:59.999 lies outside the snapshots"),
        (-1, "times=-1: ask for 0 or more"),
        (["noon"], "times=['noon'] are no stamps"),
        (2.5, "times=2.5 are no stamps"),
    ],
)
def test_times_that_are_none_are_refused(post, times, said):
    with pytest.raises(ValueError) as refused:
        assim.generate(post, 6, key=KEY, times=times)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_paths_go_through_other_snapshots(post):
    made = assim.generate(post, 200, key=KEY, given=OTHERS, times=np.int64(1))["generated"]
    for row in range(5):
        assert nearest(made.to_dataset(), OTHERS, row)[1].max() < 6e-3
    with pytest.raises(
        ValueError, match="1 of the snapshots hold samples, and what happens takes 2 of"
    ):
        assim.generate(post, 6, key=KEY, given=OTHERS.isel(time=[0]))
    strange = OTHERS.rename(prey="hares")
    with pytest.raises(ValueError, match="have no prey: give some of the same coordinates"):
        assim.generate(post, 6, key=KEY, given=strange)


def test_a_snapshot_of_nobody_is_passed_through_and_starts_no_forecast(post):
    six = WHOLE.isel(time=slice(0, 6), sample=slice(0, 30)).copy(deep=True)
    for name in NAMES:
        six[name][2] = np.nan
        six[name][3, 1:] = np.nan
    with pytest.warns(UserWarning, match="2 of 6 snapshots hold one particle or none"):
        made = assim.generate(post, 200, key=KEY, given=six, times=1)["generated"].to_dataset()
    prey = made["prey"].sel(time=six["time"]).values
    assert np.isfinite(prey).all() and np.ptp(prey[:, 2]) > 0.02
    # of one alone the population is as wide as at the next time, of which there are more
    assert 0.5 < prey[:, 3].std() / float(six["prey"][4].std()) < 1.5
    assert abs(prey[:, 2].mean() / float(TRAIN["prey"][2].mean()) - 1) < 0.1
    with pytest.warns(UserWarning, match="one particle or none"):
        problem = pose_population(MODEL, six)[0]
    assert problem.examples.x.shape[1] == 5 and (problem.examples.weight > 0).any(axis=-1).all()
    with pytest.warns(UserWarning, match="none"), pytest.raises(ValueError, match="no snapshot wi"):
        assim.forecast(post, six, "1s", key=KEY, origins=six["time"].values[[2]])


def test_forecasts_from_the_last_the_first_and_stamps(post, file):
    last = assim.forecast(post, None, "2s", key=KEY)["predictions"].to_dataset()
    assert last.sizes == {"chain": 1, "draw": 4, "init_time": 1, "lead_time": 2, "sample": 30}
    assert last["init_time"].values == STAMPS[-1]
    np.testing.assert_array_equal(
        last["valid_time"].values[0], STAMPS[-1] + np.array([1, 2], "timedelta64[s]")
    )
    for name in NAMES:  # the next snapshot, which the fit has not seen
        after = float(WHOLE[name].sel(time=last["valid_time"][0, 0]).mean())
        assert abs(float(last[name].isel(lead_time=0).mean()) / after - 1) < 0.05
    first = assim.forecast(file, None, 2, key=KEY, origins="first")["predictions"].to_dataset()
    assert first["init_time"].values == STAMPS[0]
    stamps = [STAMPS[-1], str(STAMPS[0])]
    both = assim.forecast(post, None, np.int64(2), key=KEY, origins=stamps)["predictions"]
    np.testing.assert_array_equal(both["init_time"], STAMPS[[0, -1]])
    alone = xr.concat([first, last], "init_time")
    np.testing.assert_allclose(both["prey"], alone["prey"], rtol=1e-5)
    noise = both["prey"].isel(lead_time=0) - both["prey"].isel(lead_time=0).mean("draw")
    again = np.corrcoef(noise.values[0, :, 0].ravel(), noise.values[0, :, 1].ravel())[0, 1]
    assert abs(again) < 0.4  # each origin by chances of its own


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"origins": "6h"}, "origins='6h': a population starts from the 'last' snapshot"),
        ({"origins": [STAMPS[1] + np.timedelta64(5, "ms")]}, "samples at 2000-01-01T00:00:01.005"),
        ({"origins": []}, "origins=[] asks for no forecast"),
        ({"origins": ["noon"]}, "origins=['noon'] are no stamps"),
        ({"horizon": "2500ms"}, "is 2.5 units of time (1s)"),
        ({"horizon": 0}, "is 0 units of time"),
        ({"horizon": "soon"}, "horizon='soon' is not a duration"),
        ({"horizon": "4000D"}, "asks for 4e+10 places: ask for less"),
    ],
)
def test_origins_and_horizons_that_are_none_are_refused(post, asked, said):
    with pytest.raises(ValueError) as refused:
        assim.forecast(post, None, key=KEY, **{"horizon": "2s"} | asked)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_fit_goes_on_with_new_snapshots_and_one_more(post):
    six = WHOLE.isel(time=slice(0, 6), sample=slice(30, 60))
    later = assim.infer(MODEL, six, MostProbable(), key=KEY, init=post)
    fixed, mine = (tree["constant_parameters"].to_dataset() for tree in (post, later))
    xr.testing.assert_identical(fixed, mine)
    assert json.loads(later.attrs["init"])[0] == post.attrs["data_fingerprint"]
    for name, value in TRUTH.items():
        within = 0.5 if name == "volatility.share" else 0.1
        found = float(later["posterior"][name].mean())
        assert abs(found / value - 1) < within and found != float(post["posterior"][name].mean())


def test_what_is_held_keeps_its_value_and_is_not_asked_what_the_snapshots_tell(post):
    one = post.copy()
    one["posterior"] = xr.DataTree(post["posterior"].to_dataset().isel(draw=[0]))
    with pytest.warns(UserWarning, match="The snapshots do not tell") as said:
        held = assim.infer(MODEL, TRAIN, FromThePrior(), key=KEY, init=one, hold="volatility")
    told = {str(w.message).split("'")[1] for w in said}
    kept = json.loads(held.attrs["posterior_over_prior"])  # of what is free alone
    assert told == set(kept) == set(TRUTH) - {"volatility.share"}
    assert min(kept.values()) > 0.8 and "posterior_over_prior" not in post.attrs  # of four draws
    share = held["posterior"]["volatility.share"].values
    assert np.unique(share) == one["posterior"]["volatility.share"].values


def test_draws_of_the_prior_need_no_search():
    tree = assim.infer(MODEL, TRAIN, Prior(3), key=KEY)
    assert "prior" in tree.children and tree["posterior"].sizes["draw"] == 3


def test_the_order_of_particles_changes_nothing(post):
    rng = np.random.default_rng(0)
    mixed = TRAIN.copy(deep=True)
    for row in range(5):
        order = rng.permutation(30)
        for name in NAMES:
            mixed[name][row] = TRAIN[name].values[row, order]
    again = assim.infer(MODEL, mixed, MostProbable(), key=KEY)
    for name in TRUTH:
        np.testing.assert_allclose(again["posterior"][name], post["posterior"][name], rtol=2e-3)


def test_rates_are_per_unit_of_time():
    minutes = TRAIN.assign_coords(time=STAMPS[0] + 60 * (STAMPS - STAMPS[0]))
    adjacent = dataclasses.replace(MODEL, matching=Adjacent(), steps=2)
    told, drawn = [], []
    for ds, unit, scale in ((TRAIN, "1s", 1.0), (minutes, "1min", 1.0), (minutes, "1s", 60.0)):
        model = dataclasses.replace(adjacent, unit=unit)
        problem, _, stored = pose_population(model, ds)
        assert stored["population"]["unit"] == unit
        sites = {k: jnp.asarray(v / scale) for k, v in TRUTH.items()}
        sites["volatility.share"] *= scale**0.5
        snapshots = jax.tree.map(lambda leaf: leaf[0], problem.examples)
        told.append(float(model.terms(problem.bind(sites), snapshots).sum()))
        prior = problem.bind({})
        drawn.append([prior.drift.birth * scale, prior.volatility.share * scale**0.5])
    assert np.isfinite(told[0])
    np.testing.assert_allclose(told, told[0], rtol=1e-4)
    np.testing.assert_allclose(drawn, drawn[:1] * 3, rtol=1e-5)


def nothing_there(x, theta):
    return -theta["rate"] * jnp.sqrt(x - 2.0)


@pytest.mark.parametrize(
    ("model", "ds", "said"),
    [
        (MODEL, TRAIN.isel(time=[0]), "There is one snapshot, and what happens between two"),
        (
            MODEL,
            TRAIN.where(TRAIN["time"] == STAMPS[0]),
            "1 of the snapshots hold samples",
        ),
        (
            SchrodingerBridge(references.Own(nothing_there, {"rate": dist.LogNormal(0.0, 1.0)})),
            TRAIN,
            "The drift of prey is nan at prey = 1.",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:4 of 5 snapshots hold one particle or none")
def test_what_cannot_be_fitted_is_refused(model, ds, said):
    with pytest.raises(ValueError) as refused:
        assim.infer(model, ds, Prior(2), key=KEY)
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value)


def test_known_particles_are_said(recwarn):
    id = np.tile(np.arange(30), (5, 1))
    id[1, 20:] += 100
    pose_population(MODEL, TRAIN.assign_coords(id=(("time", "sample"), id)))
    said = str(recwarn.pop(UserWarning).message)
    assert said.startswith("100 of 120 samples are particles that the snapshot before has too")


ROTATION = jnp.array([[0.0, -1.0], [1.0, 0.0]])


def turning(x, theta):
    return theta["turn"] * (ROTATION @ x) - x


@pytest.mark.parametrize(
    ("stretched", "apart", "least", "most"), [(1, 2, 0.8, 1.3), (5, 0.5, 0, 0.1)]
)
def test_a_rotation_is_seen_of_a_cloud_that_is_not_round_alone(stretched, apart, least, most):
    # the stationary law of dX = (w R - 1) X dt + sqrt 2 dW is round, however fast it turns
    rng, times, truth = np.random.default_rng(0), apart * np.arange(3.0), 1.0
    x = rng.normal(size=(150, 2)) * [stretched, 1]
    clouds = []
    for t in times:
        turn = np.array(
            [[np.cos(truth * t), -np.sin(truth * t)], [np.sin(truth * t), np.cos(truth * t)]]
        )
        noise = rng.normal(size=x.shape) * np.sqrt(1.0 - np.exp(-2.0 * t))
        clouds.append(np.exp(-t) * rng.permutation(x) @ turn.T + noise)
    model = SchrodingerBridge(
        references.Own(turning, {"turn": dist.Normal(0.0, 1.0)}),
        volatilities.Given(2.0**0.5),
        matching=Adjacent(),
        steps=8,
    )
    problem = pose_population(model, assim.stack_snapshots(clouds, times, ("x", "y")))[0]
    grid = np.linspace(-3.5, 3.5, 57)
    energy = eqx.filter_jit(jax.vmap(lambda v: potential(problem, {"drift.turn": v})))(
        jnp.asarray(grid, jnp.float32)
    )
    weight = np.exp(float(energy.min()) - np.asarray(energy, float))
    drawn = np.interp((np.arange(400) + 0.5) / 400, np.cumsum(weight) / weight.sum(), grid)
    kept = unidentified(problem, {"drift.turn": drawn[None]}, key=KEY)["drift.turn"]
    assert least < kept < most
    if stretched > 1:
        assert abs(drawn.mean() / truth - 1) < 0.1


@pytest.mark.filterwarnings("ignore:.* samples are particles:UserWarning")
def test_a_checkpoint_knows_weights_and_who_is_who():
    dims, shape = ("time", "sample"), (TRAIN.sizes["time"], TRAIN.sizes["sample"])
    weight, who = np.ones(shape), np.broadcast_to(np.arange(shape[1]), shape)
    weight[0, 0] = 2.0
    others = [TRAIN, TRAIN.assign(weight=(dims, weight)), TRAIN.assign(id=(dims, who))]
    told = {inferring._identity({}, pose_population(MODEL, ds)[0]) for ds in others}
    assert len(told) == 3


def test_by_default_chains_are_adjusted_where_terms_are_enough():
    problem = pose_population(MODEL, TRAIN)[0]
    assert isinstance(inferring.chosen_method(problem, None), Adjusted)
    few = dataclasses.replace(MODEL, matching=Bridge())  # one term an interval
    assert isinstance(inferring.chosen_method(pose_population(few, TRAIN)[0], None), NUTS)
