"""Linear latent worlds: their bound and evidence, their windows, and what they refuse."""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpyro import handlers
from numpyro.infer.autoguide import AutoDelta

import assim
from assim import inference, models
from assim.filters import Kalman
from assim.filters.base import Cycle, Dynamics, run
from assim.inference.loop import Watch
from assim.inferring import _posed
from assim.models.koopman.identified import identified
from assim.models.koopman.mixture import Mixed
from assim.models.koopman.world import in_company
from assim.statespace import Context, Span, regular_spans

STEP = 600
KEY = jax.random.key(0)
SMALL = {"window": 10, "normalised": False}


def record(rows=60, gap=None, seed=0, start="2024-01-01"):
    rng, t = np.random.default_rng(seed), np.arange(rows)
    wave = np.exp(-0.01 * t) * np.cos(0.5 * t)
    y = {"a": wave + 0.05 * rng.normal(size=rows), "b": 2 * wave + 0.1 * rng.normal(size=rows)}
    times = np.datetime64(start, "ns") + t * np.timedelta64(STEP, "s")
    ds = xr.Dataset({k: ("time", v) for k, v in y.items()}, coords={"time": times})
    return ds if gap is None else ds.where(~ds["time"].isin(times[gap]))


def posed(model, ds):
    return _posed(model, ds, None, key=jax.random.key(0))[0]


def drawn(problem, seed=0):
    """A state space of the prior."""
    with handlers.block(), handlers.seed(rng_seed=seed):
        return problem.prior()


def quiet(ssm, network):
    """A network that says nothing."""
    zeros = jax.tree.map(jnp.zeros_like, getattr(ssm, network))
    return dataclasses.replace(ssm, **{network: zeros})


@pytest.fixture(scope="module")
def worlds():
    """The same world seen through a matrix and by networks, and a window with a gap."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    settings = SMALL | {"hidden": (3,)}
    problem = posed(models.KoopmanVAE(1, 1, **settings), record(gap=slice(3, 7)))
    network = drawn(problem)
    shared = {f.name: getattr(network, f.name) for f in dataclasses.fields(network)}
    kinds = {k: shared[k] for k in shared if k not in ("variety", "decoder", "encoder", "doubt")}
    from assim.models.koopman.linear import LinearWorld

    yield network, LinearWorld(**kinds), problem.example(0)
    jax.config.update("jax_enable_x64", before)


def mean_bound(ssm, record, count=64):
    keys = jax.random.split(jax.random.key(1), count)
    told = jax.vmap(lambda k: ssm.bound(record, key=k))(keys)
    return float(told.mean()), float(told.std() / count**0.5)


def evidence(linear, record):
    return float(linear.believed(record).evidence(linear.readings(record)))


def test_with_networks_that_say_nothing_the_bound_is_the_evidence(worlds):
    network, linear, example = worlds
    silent = quiet(quiet(quiet(network, "decoder"), "encoder"), "doubt")
    told = jax.vmap(lambda k: silent.bound(example.record, key=k))(
        jax.random.split(jax.random.key(0), 5)
    )
    np.testing.assert_allclose(told, evidence(linear, example.record), atol=1e-6)


def test_the_bound_lies_below_the_evidence(worlds):
    network, linear, example = worlds
    deaf = quiet(
        network, "decoder"
    )  # its evidence is that of the linear world, its encoder is wrong
    told, error = mean_bound(deaf, example.record)
    assert told < evidence(linear, example.record) - 3 * error
    worse = dataclasses.replace(deaf, encoder=jax.tree.map(lambda w: 3 * w, deaf.encoder))
    assert mean_bound(worse, example.record)[0] < told


def test_a_variety_that_is_the_gaussian_changes_no_bound(worlds):
    network, _, example = worlds
    size = network.mean.shape[0]
    one = Mixed(network.mean, network.root, *_alike(size, 0.0))
    far = Mixed(network.mean, network.root, *_alike(size, 4.0))
    key = jax.random.key(0)
    plain, same, other = (
        dataclasses.replace(network, variety=v).bound(example.record, key=key)
        for v in (None, one, far)
    )
    np.testing.assert_allclose(same, plain, rtol=1e-10)
    assert not np.isclose(other, plain)


def _alike(size, place):
    return jnp.log(jnp.full(2, 0.5)), jnp.full((2, size), place), jnp.ones((2, size))


def test_a_variety_has_the_moments_that_it_says():
    rng = np.random.default_rng(0)
    v = Mixed(
        jnp.asarray(rng.normal(size=2)),
        jnp.asarray([[1.0, 0.0], [0.5, 2.0]]),
        jnp.log(jnp.asarray([0.3, 0.7])),
        jnp.asarray(rng.normal(size=(2, 2))),
        jnp.asarray(rng.uniform(0.3, 1.0, (2, 2))),
    )
    z = jax.vmap(lambda k: v.sample(key=k))(jax.random.split(jax.random.key(0), 20_000))
    mean, root = v.moments()
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(np.cov(z.T), root @ root.T, atol=0.1)
    grid = np.linspace(-12, 12, 200)
    at = jnp.asarray(np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2))
    mass = np.exp(jax.vmap(v.log_prob)(at)).sum() * (grid[1] - grid[0]) ** 2
    np.testing.assert_allclose(mass, 1.0, atol=1e-3)


def test_rows_that_were_not_read_after_a_run_ended_are_not_there(worlds):
    _, linear, example = worlds
    whole = example.record
    ended = dataclasses.replace(whole, mask=whole.mask.at[8:].set(False))
    cut = jax.tree.map(lambda leaf: leaf[:8], whole)
    assert evidence(linear, whole) != evidence(linear, ended)
    np.testing.assert_allclose(evidence(linear, ended), evidence(linear, cut), rtol=1e-10)


def test_modes_are_read_off_the_moments_of_a_record():
    t = np.arange(40)
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (200, 1, 1))
    y = np.exp(-0.02 * t)[None, :, None] * np.cos(0.7 * t[None, :, None] + phase) * [1.0, 2.0]
    found = identified(jnp.asarray(y), jnp.ones(y.shape, bool), 1, 0)
    np.testing.assert_allclose(found["frequency"], 0.7, atol=0.01)
    np.testing.assert_allclose(found["decay"], 0.02, atol=0.005)
    shown = np.linalg.norm(found["emission"], axis=1)
    np.testing.assert_allclose(shown[1] / shown[0], 2.0, rtol=0.05)


def test_places_left_over_are_filled_and_show_nothing():
    y = jnp.asarray(record()["a"].values.reshape(6, 10, 1))
    found = identified(y, jnp.ones(y.shape, bool), 6, 2)
    assert found["emission"].shape == (1, 14) and found["decay"].shape == (8,)
    assert all(np.isfinite(v).all() for v in found.values())
    assert (found["decay"] > 0).all() and (found["frequency"] > 0).all()


def test_stretches_hold_every_reading_once():
    problem = posed(models.LinearKoopman(1, **SMALL), record(rows=34))
    assert problem.num_data == 4
    assert int(problem.examples.record.mask.sum()) == 2 * 34
    other = posed(models.LinearKoopman(1, stride=3, **SMALL), record(rows=34))
    assert other.num_data == 12 and other.model.share() == 0.3


def test_readings_stand_at_their_own_times():
    ds = record().isel(time=np.sort(np.random.default_rng(0).choice(60, 30, replace=False)))
    moved = ds["time"].values + (np.arange(30) % 7) * np.timedelta64(45, "s")
    ds = ds.assign_coords(time=moved)
    problem = posed(models.LinearKoopman(1, window=30, normalised=False), ds)
    dt = np.diff(moved) / np.timedelta64(1, "s")
    np.testing.assert_allclose(problem.examples.record.dt[0, 1:], dt, rtol=1e-5)


@pytest.fixture(scope="module")
def fitted():
    model = models.LinearKoopman(1, window=20, start=models.Anywhere(correlated=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        method = inference.SVI(600, AutoDelta, 2e-2, num_draws=4, ascent=None)
        return assim.infer(model, record(120), method, key=jax.random.key(0), pointwise=10)


@pytest.mark.slow
def test_a_fit_finds_the_mode(fitted):
    post = assim.restore(fitted)
    draws = {k: v[0] for k, v in post.sites.items()}
    rate = np.mean(jax.vmap(lambda s: post.state_space(s).modes().rate)(draws)) * STEP
    assert fitted.attrs["likelihood"] == "marginal"
    np.testing.assert_allclose(rate.imag, 0.5, atol=0.02)
    np.testing.assert_allclose(-rate.real, 0.01, atol=0.02)


@pytest.mark.slow
def test_it_goes_on_from_a_record(fitted):
    ahead = record(144).isel(time=slice(120, None))
    told = assim.forecast(fitted, None, "4h", key=jax.random.key(1))["predictions"]
    mean = told["a"].mean(("chain", "draw")).values[0]
    assert np.sqrt(np.mean((mean - ahead["a"].values) ** 2)) < 0.15
    assert told["a"].dims == ("chain", "draw", "init_time", "lead_time")


@pytest.mark.slow
def test_coordinates_turn_as_the_modes_say(fitted):
    post = assim.restore(fitted)
    ssm = post.state_space({k: v[0, 0] for k, v in post.sites.items()})
    y = jnp.asarray(np.stack([record(41)[n].values for n in "ab"], axis=-1))
    frame_of = lambda part: Context(part, part == part, 0 * part, part[:, :0])  # noqa: E731
    one, two = (ssm.coordinates(frame_of(y[k : k + 40])) for k in (0, 1))
    turn = jnp.exp(ssm.modes().rate * STEP)
    assert abs(two - turn * one)[0] < 0.15 * abs(one)[0]


def test_series_from_nothing_have_the_moments_of_the_world(worlds):
    _, linear, _ = worlds
    spans, none = regular_spans(STEP, 4), jnp.zeros((4, 0))
    keys = jax.random.split(jax.random.key(0), 4000)
    y = jax.vmap(lambda k: linear.series(spans, none, key=k))(keys)
    move, noise = linear.dynamics.over(jnp.asarray(float(STEP)))
    cov = linear.root @ linear.root.T
    for t in range(4):
        seen = linear.weight @ cov @ linear.weight.T + jnp.diag(linear.error**2)
        np.testing.assert_allclose(
            np.cov(y[:, t].T), seen, rtol=0.15, atol=0.03 * float(seen.max())
        )
        cov = move @ cov @ move.T + jnp.diag(noise**2)


@pytest.mark.parametrize(
    ("kind", "settings", "told"),
    [
        ("LinearKoopman", {"pairs": 0}, "leave no mode"),
        ("LinearKoopman", {"window": 1}, "shows no step"),
        ("LinearKoopman", {"stride": 99}, "give 1 to 48"),
        ("KoopmanVAE", {"conservative": True, "start": models.Stationary()}, "no long run"),
        ("KoopmanVAE", {"variety": 1}, "no mixture"),
    ],
)
def test_settings_that_make_no_world_are_refused(kind, settings, told):
    with pytest.raises(ValueError, match=told):
        if "variety" in settings:
            settings = {"variety": models.Mixture(settings["variety"])}
        getattr(models, kind)(**settings)


def test_a_direction_is_refused():
    ds = record()
    ds["a"] = ds["a"] * 0 + np.arange(60) % 360
    ds["a"].attrs = {"standard_name": "wind_from_direction", "units": "degree"}
    with pytest.raises(ValueError, match="'a' is a direction.*components"):
        drawn(posed(models.LinearKoopman(1, window=10), ds))


def test_what_inputs_add_is_no_part_of_the_modes(worlds):
    _, linear, _ = worlds
    drive = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2))) / STEP
    driven = dataclasses.replace(linear, dynamics=dataclasses.replace(linear.dynamics, drive=drive))
    span, u, z = Span(jnp.asarray(1.5 * STEP), jnp.zeros(0)), jnp.asarray([1.0, -2.0]), jnp.ones(3)
    move, offset, _ = driven.matrices(span, u)
    alone = jnp.exp(driven.dynamics.rates() * span.dt) * driven.dynamics.turned(z)
    moved = driven.dynamics.turned(move @ z + offset)
    np.testing.assert_allclose(moved - alone, driven.pushed(span, u), atol=1e-10)
    assert abs(driven.pushed(span, u)).min() > 0.1


def test_a_record_that_fades_is_no_record_of_a_world_that_keeps_all():
    model = models.LinearKoopman(1, conservative=True, **SMALL)
    faded = record() * np.exp(-0.1 * xr.DataArray(np.arange(60), dims="time"))
    with pytest.warns(UserWarning, match="^conservative=True .* of 10 rows has .*% of the power"):
        problem = posed(model, faded)
    y, mask = problem.examples.record.y, problem.examples.record.mask
    power = [jnp.where(mask, y**2, 0.0)[:, part].sum() for part in (slice(5), slice(5, 10))]
    np.testing.assert_allclose(problem.constants["lasting"], power[1] / power[0], rtol=1e-5)
    assert model.cautions({"lasting": 0.7}) == ()
    assert models.LinearKoopman(1, **SMALL).cautions(problem.constants) == ()


def test_a_copy_is_warned_of_once_and_a_window_too_long_refused():
    ds = record().assign(c=1 - 3 * record()["a"])
    with pytest.warns(UserWarning) as told:
        posed(models.LinearKoopman(1, **SMALL), ds)
    assert [str(w.message)[:42] for w in told] == ["'a' and 'c' are copies of one another but "]
    with pytest.raises(
        ValueError, match=r"KoopmanVAE\(window=48\).* record has 34: give window=34"
    ):
        posed(models.KoopmanVAE(1), record(rows=34))


@pytest.mark.parametrize("rows", [2, 3])
def test_the_shortest_record_has_a_density(rows):
    with pytest.warns(UserWarning, match=f"readings at {rows} times in all"):
        problem = posed(models.LinearKoopman(1, window=2, normalised=False), record(rows=rows))
    problem = dataclasses.replace(
        problem, examples=jax.tree.map(lambda leaf: leaf[:1], problem.examples)
    )
    told = problem.model.density(drawn(problem), problem.example(0))
    assert np.isfinite(told.log_prob(problem.example(0).record.y)).all()


def test_stretches_read_alike_share_their_covariances_and_say_the_same(worlds):
    _, linear, example = worlds
    rows = [example.record, dataclasses.replace(example.record, y=example.record.y + 1.0)]
    alike = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    unlike = dataclasses.replace(alike, mask=alike.mask.at[1, 0, 0].set(False))
    tell = jax.jit(lambda records: in_company(lambda r: linear.believed(r).loc, records))
    each = jax.jit(jax.vmap(lambda r: linear.believed(r).loc))
    for records in (alike, unlike):
        np.testing.assert_allclose(tell(records), each(records), rtol=1e-12)


def test_the_kalman_filter_serves_a_network_by_what_it_makes_of_readings(worlds):
    network, linear, example = worlds
    silent = quiet(quiet(quiet(network, "decoder"), "encoder"), "doubt")
    record = example.record
    told = silent.encoded(record.y[0], record.mask[0], record.sd[0])
    np.testing.assert_array_equal(told.y, record.y[0])
    cycles = Cycle(Span(record.dt, record.y[:, :0]), record.y, record.mask, record.sd, record.u)
    beliefs = [
        run(
            Kalman(),
            Dynamics(ssm),
            Kalman().start(Dynamics(ssm), first(ssm), key=None),
            cycles,
            key=KEY,
        )
        for ssm in (silent, linear)
    ]
    (one, said), (two, told) = beliefs
    np.testing.assert_allclose(one.mean, two.mean, rtol=1e-8)
    np.testing.assert_allclose(said.innovation.log_score, told.innovation.log_score, rtol=1e-8)


def first(ssm):
    return ssm.init(Context(*(jnp.zeros((0, 0)),) * 4), key=KEY)


def test_noise_of_readings_is_refused_where_windows_have_a_bound():
    problem = posed(models.KoopmanVAE(1, hidden=(2,), **SMALL), record(24))
    with pytest.raises(TypeError, match="bound for each window.*Bootstrap"):
        inference.EnsembleMAP(2, 3).run(problem, key=KEY, watch=Watch())


@pytest.mark.slow
def test_an_ensemble_of_networks_takes_weights_for_windows():
    problem = posed(models.KoopmanVAE(1, hidden=(2,), **SMALL), record(24))
    method = inference.EnsembleMAP(2, 3, randomisation=inference.Bootstrap())
    draws = method.run(problem, key=KEY, watch=Watch())
    assert draws.sites["world.frequency"].shape == (1, 2, 1)
    assert np.isfinite(draws.stats["lp"]).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        inference.NUTS(20, 10, 1, max_tree_depth=4, ascent=None),
        inference.SVI(50, ascent=None, num_draws=10),
        inference.Laplace(inference.GaussNewton(), inference.Ascent(50), num_draws=10),
        inference.EnsembleMAP(4, 20),
        inference.Stein(4, 20),
        inference.Prior(4),
    ],
    ids=lambda m: type(m).__name__,
)
def test_every_backend_gives_a_posterior_of_the_spectrum(method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = assim.infer(
            models.LinearKoopman(1, **SMALL), record(30), method, key=KEY, pointwise=0
        )
        told = assim.koopman.spectrum(post)
    assert np.isfinite(told["frequency_interval"]).all()
    assert "unverified" in assim.koopman.table(told)["status"].values


@pytest.mark.parametrize(
    ("family", "modes"),
    [
        (models.LinearKoopman, {"pairs": 0, "singles": 2}),
        pytest.param(models.LinearKoopman, {"pairs": 1, "singles": 0}, marks=pytest.mark.slow),
        pytest.param(models.KoopmanVAE, {"pairs": 0, "singles": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_world_may_have_modes_of_one_kind_alone(family, modes):
    method = inference.SVI(20, ascent=None, guide=AutoDelta, num_draws=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = assim.infer(family(**SMALL, **modes), record(), method, key=KEY, pointwise=0)
        table = assim.koopman.spectrum(post, record(), in_sample=True)
    assert ("world.frequency" in post["posterior"]) == (modes["pairs"] > 0)
    assert np.isfinite(table["growth_rate"]).sum() == modes["pairs"] + modes["singles"]
