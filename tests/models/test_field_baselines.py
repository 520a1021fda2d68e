"""Fields that stay, that are drawn anew, that a network moves: what is counted, what noise is like, land."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from assim.data.calendar import CalendarFeatures
from assim.data.gridding import Grid
from assim.models import DMD, FNO, FieldClimatology, FieldPersistence
from assim.models.baselines.fields.reduction import modes_of, smooth_root
from assim.models.baselines.fields.season import Season, season_of, turned_back
from assim.problem import bind
from assim.series import Layout, Stretch
from assim.statespace import Span

PLACES = 12
GRID = Grid(("x",), (0.0,), (0.5,), (PLACES,), ("m",))
SMOOTH = np.cos(2 * np.pi * (np.arange(PLACES)[:, None] - np.arange(PLACES)) / PLACES)
"""A covariance of fields: one wave of any phase."""


def one(dt):
    return Span(jnp.asarray(dt), jnp.zeros(0))


def record(count, key, shape=SMOOTH, mean=3.0, step=1.0):
    """A random walk of smooth steps: stretches of one step, each from a field of its own."""
    root = np.linalg.cholesky(shape + 1e-9 * np.eye(PLACES))
    k_first, k_step = jax.random.split(key)
    first = mean + 2.0 * jax.random.normal(k_first, (count, PLACES)) @ root.T
    return first, first + step * jax.random.normal(k_step, (count, PLACES)) @ root.T


def stretches(first, y, u=None):
    n, state = first.shape
    spans = Span(jnp.full((n, 1), 10.0), jnp.zeros((n, 1, 0)))
    u = jnp.zeros((n, 1, 0)) if u is None else u[:, None]
    told, mask = jnp.ones((n, state), bool), jnp.ones((n, 1, y.shape[1]), bool)
    return Stretch(first, told, spans, u, y[:, None], mask, jnp.arange(n))


def posed(model, parts, names=("u",), **values):
    """A state space with a nominal step of 10 s, its factors at 0 but those given."""
    inputs = CalendarFeatures(model.calendar).names
    real = ("real",) * len(names)
    layout = Layout(names, real, (True,) * len(names), inputs, 0, 10.0, GRID)
    constants = model.counted(parts, layout)
    traced = handlers.trace(handlers.seed(model.prior, 0)).get_trace(layout, constants)
    sites = {n: s["value"] for n, s in traced.items() if s["type"] == "sample"}
    fixed = {k: jnp.zeros_like(v) for k, v in sites.items() if k.startswith("noise")}
    return bind(model, sites | fixed | values, layout, constants), constants


def test_what_stays_strays_as_the_record_does(x64, key):
    first, y = record(4000, key, step=0.5)
    ssm, _ = posed(FieldPersistence(), stretches(first, y))
    x = first[0]
    np.testing.assert_array_equal(ssm.flow(x, one(50.0)), x)
    increments = np.asarray(y - first)
    noise = ssm.process_noise(x, one(10.0))
    np.testing.assert_allclose(noise.variance, (increments**2).mean(axis=0), rtol=1e-3)
    np.testing.assert_allclose(ssm.process_noise(x, one(40.0)).variance, 4 * noise.variance)
    drawn = np.asarray(noise.sample(key, (4000,)))
    np.testing.assert_allclose(np.cov(drawn.T), 0.25 * SMOOTH, atol=0.04)


def test_a_factor_widens_what_strays(x64, key):
    parts = stretches(*record(50, key))
    plain, _ = posed(FieldPersistence(), parts)
    wide, _ = posed(FieldPersistence(), parts, noise=jnp.array([2.0 * np.log(3.0)]))
    x = parts.first[0]
    one_wide, one_plain = (s.process_noise(x, one(10.0)).variance for s in (wide, plain))
    np.testing.assert_allclose(one_wide, 9.0 * one_plain)


def test_increments_over_other_spans_are_brought_to_the_nominal_one(x64, key):
    first, y = record(500, key)
    parts = stretches(first, first + np.sqrt(3.0) * (y - first))
    long = replace(parts, spans=Span(3.0 * parts.spans.dt, parts.spans.phase))
    (_, counted), (_, wanted) = (posed(FieldPersistence(), p) for p in (long, stretches(first, y)))
    np.testing.assert_allclose(counted["root"] ** 2, wanted["root"] ** 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("model", "settles"),
    [(FieldPersistence(), False), (FieldClimatology(), True), (DMD(rank=2), True)],
    ids=["persistence", "climatology", "dmd"],
)
def test_what_is_foretold_of_each_lead_is_what_paths_do(model, settles, x64, key):
    """Mean and variance of `ahead` against many roll-outs; noise that does not persist comes to a rest."""
    first, y = record(600, key, step=0.7)
    ssm, _ = posed(model, stretches(first, 3.0 + 0.8 * (first - 3.0) + (y - first)))
    spans = Span(jnp.array([10.0, 5.0, 20.0, 10.0]), jnp.zeros((4, 0)))

    def path(key):
        keys = jax.random.split(key, 4)
        x, seen = first[0], []
        for i in range(4):
            x = ssm.transition(x, one(spans.dt[i]), key=keys[i])
            seen.append(x)
        return jnp.stack(seen)

    paths = np.asarray(jax.jit(jax.vmap(path))(jax.random.split(key, 6000)))
    mean, variance = ssm.ahead(first[0], spans, jnp.zeros((4, 0)))
    np.testing.assert_allclose(paths.var(axis=0), variance, rtol=0.12)
    bound = 5.0 * np.sqrt(variance / len(paths))
    assert (np.abs(paths.mean(axis=0) - mean) < bound).all()
    assert (variance[3].mean() < 3.5 * variance[0].mean()) == settles


def test_phases_are_turned_back_to_those_of_an_earlier_time(x64):
    cycles = ("day", "year")
    times = np.datetime64("2001-03-05T07:00", "ns") + np.arange(5) * np.timedelta64(37, "h")
    before = times - np.timedelta64(100, "h")
    features = CalendarFeatures(cycles)
    back = turned_back(jnp.asarray(features(times)), jnp.full(5, 360_000.0), cycles)
    np.testing.assert_allclose(back, features(before), atol=1e-9)


@pytest.mark.parametrize("gaps", [False, True])
def test_the_season_of_each_place_is_found(gaps, x64, key):
    days = np.arange(800) * np.timedelta64(1, "D")
    u = CalendarFeatures(("year",))(np.datetime64("2001-01-01", "ns") + days)
    beta = np.asarray(jax.random.normal(key, (5, PLACES)))
    y = np.concatenate([np.ones((800, 1)), u], axis=1) @ beta
    mask = np.ones(y.shape, bool)
    if gaps:
        mask = np.asarray(jax.random.uniform(key, y.shape)) < 0.7
    found = season_of(u, np.where(mask, y, 1e9), mask)
    np.testing.assert_allclose(found, beta, atol=5e-3)
    season = Season(jnp.asarray(found), ("year",))
    later = season.before(jnp.asarray(u[30]), 30 * 86_400.0)
    np.testing.assert_allclose(later, season.at(jnp.asarray(u[0])), atol=1e-9)
    np.testing.assert_array_equal(season.at(None), found[0])


def test_climate_is_drawn_anew_around_its_season(x64, key):
    days = 30 * np.arange(400) * np.timedelta64(1, "D")
    u = jnp.asarray(CalendarFeatures(("year",))(np.datetime64("2001-01-01", "ns") + days))
    _, noise = record(400, key, mean=0.0)
    y = 3.0 + 5.0 * u[:, :1] + noise
    ssm, counted = posed(FieldClimatology(calendar="year"), stretches(y, y, u))
    near, far = (ssm.flow(x, one(10.0), u[7]) for x in (y[0], y[0] + 100.0))
    np.testing.assert_array_equal(near, far)
    np.testing.assert_allclose(near, 3.0 + 5.0 * u[7, 0], atol=0.6)
    short, long = (ssm.process_noise(y[0], one(dt)).variance for dt in (10.0, 90.0))
    np.testing.assert_array_equal(short, long)
    np.testing.assert_allclose(short, np.asarray(noise).var(axis=0), rtol=0.05)
    neighbours = np.corrcoef(ssm.process_noise(y[0], one(10.0)).sample(key, (4000,)).T)
    np.testing.assert_allclose(neighbours, SMOOTH, atol=0.1)
    assert 0.9 < float(counted["own"][0]) < 1.0


def test_a_short_record_knows_that_its_own_mean_fits_it_best(x64, key):
    """Of 20 fields and 5 coefficients: what comes strays further than what the mean was made from, by (1 + p/n)."""
    days = 30 * np.arange(20) * np.timedelta64(1, "D")
    u = jnp.asarray(CalendarFeatures(("year",))(np.datetime64("2001-01-01", "ns") + days))
    _, y = record(20, key, shape=np.eye(PLACES))
    ssm, counted = posed(FieldClimatology(calendar="year"), stretches(y, y, u))
    assert float(counted["own"][0]) < 0.75
    parts = stretches(y, y, u)
    example = jax.tree.map(lambda leaf: leaf[4], parts)
    told = FieldClimatology(calendar="year").density(ssm, example).variance[0]
    new = ssm.process_noise(y[0], one(10.0)).variance
    np.testing.assert_allclose(told, counted["own"][0] * new)


def test_modes_are_those_of_the_fields(x64, key):
    x = np.asarray(jax.random.normal(key, (40, 3)) @ jax.random.normal(key, (3, PLACES)))
    modes, shares = modes_of(x, 8)
    assert modes.shape == (3, PLACES) and shares[-1] == pytest.approx(1.0)
    np.testing.assert_allclose(modes @ modes.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(x @ modes.T @ modes, x, atol=1e-10)
    sd = np.arange(1.0, PLACES + 1)
    root = smooth_root(x, sd, 8)
    np.testing.assert_allclose((root**2).sum(axis=1), sd**2)
    size = np.sqrt((x**2).sum(axis=0))
    wanted = x.T @ x / np.outer(size, size)
    np.testing.assert_allclose(root @ root.T / np.outer(sd, sd), wanted, atol=1e-10)
    assert modes_of(np.zeros((5, 4)), 3)[0].shape == (0, 4)


@pytest.fixture
def network(x64, key):
    model = FNO(modes=3, width=4, layers=2, features=4)
    return posed(model, stretches(*record(30, key)))[0]


def test_a_network_takes_the_whole_step_and_nothing_of_the_old_field(network):
    """Without its head it gives the mean, whatever the field was: there is no residual and no linear part."""
    silent = eqx.tree_at(
        lambda s: s.network.head, network, jax.tree.map(jnp.zeros_like, network.network.head)
    )
    x = network.states[0]
    np.testing.assert_allclose(silent.flow(x, one(10.0)), network.centre[0])
    z = ((x - network.centre[0]) / network.scale[0])[None]
    after = network.network(jnp.concatenate([z, network.fixed]))[0]
    wanted = network.centre[0] + network.scale[0] * after
    np.testing.assert_allclose(network.flow(x, one(10.0)), wanted)
    np.testing.assert_allclose(network.flow(x, one(2.5)), x + 0.25 * (wanted - x))
    np.testing.assert_allclose(network.flow(x, one(99.0)), wanted)
    np.testing.assert_allclose(network.flow(x, one(0.0)), x)


def test_the_noise_of_a_network_is_the_same_everywhere(network):
    x = network.states[0]
    variance = network.process_noise(x, one(40.0)).variance
    np.testing.assert_allclose(variance, 4.0 * (network.noise[0] * network.scale[0]) ** 2)
    spans = Span(jnp.array([10.0, 10.0]), jnp.zeros((2, 0)))
    mean, gathered = network.ahead(x, spans, jnp.zeros((2, 0)))
    first = network.flow(x, one(10.0))
    np.testing.assert_allclose(mean, [first, network.flow(first, one(10.0))])
    np.testing.assert_allclose(gathered, np.outer([0.25, 0.5], variance))


MODELS = [
    FieldPersistence(error=0.1),
    FieldClimatology(error=0.1),
    DMD(rank=3, error=0.1),
    DMD(rank=3, delay=2, error=0.1),
    FNO(modes=3, width=3, layers=1, periodic=False, error=0.1),
]


@pytest.mark.parametrize("model", MODELS, ids=["stays", "climate", "dmd", "delayed", "fno"])
def test_land_is_never_moved_and_fields_move_beside_each_other(model, x64, key):
    land = jnp.zeros(PLACES, bool).at[jnp.array([1, 2, 5])].set(True)
    first, y = (
        jnp.concatenate([a, 2.0 * a + 1.0], axis=1) for a in record(60, key, shape=np.eye(PLACES))
    )
    wet = ~jnp.tile(land, 2)
    held = jnp.concatenate([first] * model.memory(), axis=1)
    parts = stretches(held, y)
    told = jnp.broadcast_to(jnp.tile(wet, model.memory()), held.shape)
    mask = jnp.broadcast_to(wet, parts.y.shape)
    parts = replace(
        parts,
        told=told,
        mask=mask,
        first=jnp.where(told, held, 0.0),
        y=jnp.where(mask, parts.y, 0.0),
    )
    ssm, _ = posed(model, parts, names=("a", "b"))
    x = ssm.states[3]
    after = ssm.transition(x, one(10.0), key=key)
    assert after.shape == x.shape and ssm.places().shape == (x.size, 1)
    np.testing.assert_array_equal(after[: wet.size][~wet], x[: wet.size][~wet])
    assert np.abs(after - x)[: wet.size][wet].min() > 0
    np.testing.assert_array_equal(after[wet.size :], x[: x.size - wet.size])  # what was, is known
    assert ssm.observation(x, one(10.0)).mean.shape == wet.shape
    density = model.density(ssm, jax.tree.map(lambda leaf: leaf[0], parts))
    assert np.isfinite(density.log_prob(parts.y[0])).all()
    assert ssm.components() == ("a", "b")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: FieldPersistence(horizon=0), "horizon=0 must be"),
        (lambda: FieldClimatology(calendar="month"), r"calendar=\['month'\] is unknown"),
        (lambda: DMD(error=-1.0), "error=-1.0 must not be negative"),
        (lambda: DMD(delay=0), "delay=0 must be"),
        (lambda: DMD(rank=0), "rank=0 must be"),
        (lambda: FNO(width=0), "width=0 must be"),
        (lambda: FNO(modes=1), "modes=1 keeps no wave but the mean"),
    ],
)
def test_settings_that_make_no_baseline_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
