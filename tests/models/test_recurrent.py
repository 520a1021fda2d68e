"""Recurrent networks that readings force: their maps, the recursion, the gain, and the state space they are."""

import dataclasses
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from assim.filters import Observer
from assim.filters.base import Cycle, Dynamics, run
from assim.models.recurrent import AlmostLinearRNN, ShallowPLRNN, forcing
from assim.models.recurrent.almost_linear import AlmostLinear
from assim.models.recurrent.forced import ForcedNetwork
from assim.models.recurrent.forcing import Gain, mean_growth
from assim.models.recurrent.shallow import Shallow, principal_axes
from assim.nn.window import SENSOR_SHARE
from assim.series import Layout
from assim.statespace import Context, Span

ROWS, CHANNELS, STATE, UNITS = 9, 3, 2, 4
KEY = jax.random.key(0)
LAYOUT = Layout(("a", "b", "c"), ("real",) * 3, (True,) * 3, ("u",), 1, 60.0)
SPAN = Span(jnp.asarray(60.0), jnp.zeros(0))
SEEN = ShallowPLRNN(window=6).constants
along = eqx.filter_jit(ForcedNetwork.along)


@pytest.fixture(scope="module", autouse=True)
def in_double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def shallow():
    rng = np.random.default_rng(1)
    shapes = ((STATE,), (STATE, UNITS), (UNITS, STATE), (UNITS,), (STATE,), (STATE, 1))
    return Shallow(*(jnp.asarray(rng.normal(size=s)) for s in shapes))


@pytest.fixture(scope="module")
def forced(shallow):
    """A network of two components seen by three channels."""
    rng = np.random.default_rng(2)
    b = jnp.asarray(rng.normal(size=(CHANNELS, STATE)))
    inverse = jnp.linalg.pinv(b)
    counted = {
        "mean": jnp.asarray([0.5, -1.0, 2.0]),
        "sd": jnp.asarray([1.0, 0.5, 2.0]),
        "sample": jnp.asarray(rng.normal(size=(2, 3, CHANNELS))),
        "weight": jnp.asarray([[1.0, 0, 0], [0, 1, 1]]),
    }
    noise = jnp.asarray([0.3, 0.2, 0.4])
    return ForcedNetwork(
        shallow, b, inverse, inverse, noise, Gain(jnp.asarray(0.4)), counted, LAYOUT
    )


@pytest.fixture(scope="module")
def record():
    """Readings with gaps, of which the first row has none."""
    rng = np.random.default_rng(3)
    y, u = rng.normal(size=(ROWS, CHANNELS)), rng.normal(size=(ROWS, 1))
    mask = rng.random((ROWS, CHANNELS)) < 0.7
    mask[0], mask[1], mask[4], mask[-1] = False, (True, False, True), False, (True, True, False)
    return Context(*(jnp.asarray(x) for x in (y, mask, 0.1 * np.ones(y.shape), u)))


def relu(x):
    return np.maximum(x, 0.0)


def plain(tree):
    """The same with NumPy's arrays, whose sums compile nothing."""
    return jax.tree.map(np.asarray, tree)


def stepped(net, z, u):
    net = plain(net)
    a = np.tanh(1.472 + 0.5 * net.decay)
    reached = net.weight @ z
    layer = relu(reached + net.threshold) - relu(reached)
    return a * z + net.outer @ layer + net.offset + net.drive @ u


def by_hand(ssm, record, strength):
    """The recursion as it is written: locations, scales and states."""
    ssm, record = plain((ssm, record))
    m, d = ssm.counted["mean"], ssm.counted["sd"]
    told, z = [], None
    for y, mask, u, alpha in zip(record.y, record.mask, record.u, strength, strict=True):
        eta = np.where(mask, (y - m) / d, 0.0)
        if z is None:
            told.append((m, d, np.zeros(STATE)))
            if mask.any():
                z = ssm.first @ eta
                told[-1] = (m, d, z)
            continue
        z = stepped(ssm.network, z, u)
        foretold = ssm.emission @ z
        z = z + alpha * ssm.inverse @ np.where(mask, eta - foretold, 0.0)
        told.append((m + d * foretold, d * ssm.noise, z))
    return [np.stack(x) for x in zip(*told, strict=True)]


def test_the_shallow_network_is_the_published_map(shallow, rng):
    z, u = rng.normal(size=STATE), rng.normal(size=1)
    np.testing.assert_allclose(shallow(z, u), stepped(shallow, z, u), rtol=1e-12)
    open_ = dataclasses.replace(shallow, clipped=False)
    net = plain(shallow)
    rest = stepped(shallow, z, u) + net.outer @ relu(net.weight @ z)
    np.testing.assert_allclose(open_(z, u), rest, rtol=1e-12)


def test_in_a_region_it_is_linear(shallow, rng):
    net, z = plain(shallow), rng.normal(size=STATE)
    near = z + 1e-6

    @eqx.filter_jit
    def tell(net, z):
        return net.inner(z), net.symbol(z), net.jacobian(z)

    (here, code, slope), (there, other, _) = plain((tell(shallow, z), tell(shallow, near)))
    reached = net.weight @ z
    on = (reached + net.threshold > 0).astype(float) - (reached > 0)
    a = np.tanh(1.472 + 0.5 * net.decay)
    j = np.diag(a) + net.outer @ (on[:, None] * net.weight)
    np.testing.assert_allclose(slope, j, rtol=1e-12)
    np.testing.assert_allclose(there - here, j @ (near - z), rtol=1e-6)
    np.testing.assert_array_equal(code, other)
    np.testing.assert_array_equal(code % 2, reached + net.threshold > 0)
    np.testing.assert_array_equal(code // 2, reached > 0)


def test_orbits_of_the_clipped_form_are_bounded(shallow):
    net, norm = plain(shallow), np.linalg.norm
    wild = dataclasses.replace(net, outer=30 * net.outer, weight=30 * net.weight)
    reach = norm(wild.outer, 2) * norm(wild.threshold) + norm(wild.offset)
    bound = reach / (1 - np.abs(np.tanh(1.472 + 0.5 * wild.decay)).max())

    @eqx.filter_jit
    def farthest(net, u):
        z = jnp.full(STATE, 0.3)
        path = jax.lax.scan(lambda z, u: (net(z, u), net(z, u)), z, u)[1]
        return jnp.linalg.norm(path, axis=1).max()

    still = np.zeros((300, 1))
    pushed = 1e4 * norm(wild.drive, 2) / (1 - np.abs(np.tanh(1.472 + 0.5 * wild.decay)).max())
    assert farthest(wild, still) <= bound < farthest(wild, still + 1e4) <= bound + pushed
    assert not farthest(dataclasses.replace(wild, clipped=False), still) <= bound


def test_the_almost_linear_network_is_the_published_map(rng):
    shapes = ((4,), (4, 4), (4,), (4, 1))
    net = AlmostLinear(*(jnp.asarray(rng.normal(size=s)) for s in shapes), kinks=2)
    z, u = np.array([-1.0, 2.0, -3.0, 4.0]), np.array([0.5])
    bent = np.array([-1.0, 2.0, 0.0, 4.0])
    a = np.tanh(1.472 + 0.5 * np.asarray(net.decay))
    own = plain(net)
    expected = a * z + own.weight @ bent + own.offset + own.drive @ u
    np.testing.assert_allclose(net(jnp.asarray(z), u), expected, rtol=1e-12)
    assert net.symbol(jnp.asarray(z)).tolist() == [0, 1]


@pytest.mark.parametrize("every", [1, 3])
def test_the_recursion_is_the_written_one(forced, record, every):
    ssm = dataclasses.replace(forced, gain=Gain(jnp.asarray(0.4), every))
    newest = ROWS - 1
    strength = np.where((np.arange(ROWS) - newest) % every == 0, 0.4, 0.0)
    told = along(ssm, record, newest)
    for found, expected in zip(
        (told.loc, told.scale, told.z), by_hand(ssm, record, strength), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    other = dataclasses.replace(record, y=jnp.where(record.mask, record.y, 99.0))
    np.testing.assert_array_equal(along(ssm, other, newest).loc, told.loc)


def test_regions_of_past_rows_do_not_hang_on_how_many_follow(forced, record):
    ssm = dataclasses.replace(forced, gain=Gain(jnp.asarray(0.4), 3))
    strength = np.where((np.arange(ROWS) - 1) % 3 == 0, 0.4, 0.0)
    told = eqx.filter_jit(ForcedNetwork.symbols)(ssm, record)[1]
    np.testing.assert_allclose(told.z, by_hand(ssm, record, strength)[2], rtol=1e-9, atol=1e-12)


def test_stretches_without_a_reading_are_none_of_the_sample(rng):
    y = rng.normal(size=(20, 6, CHANNELS))
    empty = np.zeros((40, 6, CHANNELS))
    counted = eqx.filter_jit(lambda y, mask: SEEN(SimpleNamespace(y=y, mask=mask), LAYOUT))
    plain = counted(y, np.ones(y.shape, bool))
    padded = np.concatenate([empty, y])
    found = counted(padded, padded != 0)
    for name, expected in plain.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)


def test_forced_whole_it_foretells_one_step_and_unforced_it_runs_free(forced, rng):
    eye = jnp.eye(STATE)
    counted = {k: v[..., :STATE] if k != "weight" else v for k, v in forced.counted.items()}
    parts = {"emission": eye, "inverse": eye, "first": eye, "noise": forced.noise[:STATE]}
    ssm = dataclasses.replace(forced, counted=counted, **parts)
    y, u = jnp.asarray(rng.normal(size=(6, STATE))), jnp.zeros((6, 1))
    record = Context(y, jnp.ones(y.shape, bool), 0 * y, u)
    eta = (y - counted["mean"]) / counted["sd"]

    @eqx.filter_jit
    def tell(ssm):
        whole, free = (dataclasses.replace(ssm, gain=Gain(jnp.asarray(a))) for a in (1.0, 0.0))
        one = jax.vmap(lambda z: ssm.seen(ssm.network(z, u[0])))(eta[:-1])
        path = ssm.orbit(eta[0], u[1:])[1]

        def last(first):
            begun = record.y.at[0].set(counted["mean"] + counted["sd"] * first)
            told = ssm.along(dataclasses.replace(record, y=begun), 0).z
            return told[-1], jax.vmap(ssm.network.jacobian)(told[:-1])

        pairs = [(whole.along(record, 0).loc[1:], one), (free.along(record, 0).loc[1:], path)]
        return pairs, jax.jacfwd(last, has_aux=True)(eta[0])

    pairs, (slope, along_it) = plain(tell(ssm))
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected)
    product = np.linalg.multi_dot([0.6 * j for j in along_it[::-1]])
    np.testing.assert_allclose(slope, product, rtol=1e-9)


def test_a_forecast_begins_where_the_recursion_ends(forced, record):
    past = jax.tree.map(lambda leaf: leaf[:-1], record)
    nothing = dataclasses.replace(past, mask=jnp.zeros_like(past.mask))
    none = jax.tree.map(lambda leaf: leaf[:0], past)

    @eqx.filter_jit
    def tell(ssm):
        x = ssm.init(past, key=KEY).sample(KEY)
        ahead = ssm.predictive(x, SPAN, record.u[-1], record.sd[-1])
        starts = [ssm.init(context, key=KEY) for context in (nothing, none)]
        return x, ahead.loc, ahead.scale, [(s.mean, s.variance) for s in starts]

    x, loc, scale, starts = plain(tell(forced))
    told = plain(along(forced, record, ROWS - 2))
    np.testing.assert_allclose(x[:STATE], told.z[-2])
    np.testing.assert_allclose(loc, told.loc[-1])
    np.testing.assert_allclose(scale**2, told.scale[-1] ** 2 + 0.1**2)
    for mean, variance in starts:
        np.testing.assert_allclose(mean[STATE:], forced.counted["mean"])
        np.testing.assert_allclose(variance[STATE:], forced.counted["sd"] ** 2)


def test_noise_is_seen_and_carried_on(forced):
    x = jnp.concatenate([jnp.asarray([0.3, -0.2]), jnp.zeros(CHANNELS)])
    u = jnp.ones(1)

    def path(ssm, key):
        k_move, k_see = jax.random.split(key)
        moved = ssm.transition(x, SPAN, u, key=k_move)
        return moved[:STATE], ssm.observation(moved, SPAN).sample(k_see)

    @eqx.filter_jit
    def tell(ssm):
        ahead = ssm.predictive(x, SPAN, u)
        drawn = jax.vmap(lambda k: path(ssm, k))(jax.random.split(KEY, 20_000))
        return *drawn, ahead.loc, ahead.scale

    (z, y, loc, scale), ssm = plain((tell(forced), forced))
    np.testing.assert_allclose(y.mean(axis=0), loc, atol=0.02)
    np.testing.assert_allclose(y.std(axis=0), scale, rtol=0.03)
    own = ssm.noise * (1 - SENSOR_SHARE**2) ** 0.5
    carried = 0.4 * ssm.inverse * own
    together = np.cov(np.concatenate([z, y], axis=1).T)
    np.testing.assert_allclose(together[:STATE, :STATE], carried @ carried.T, atol=5e-3)
    crossed = carried * ssm.counted["sd"] * own
    np.testing.assert_allclose(together[:STATE, STATE:], crossed, atol=5e-3)


def test_the_observer_is_the_recursion(forced, record):
    first = jax.tree.map(lambda leaf: leaf[:2], record)
    rest = jax.tree.map(lambda leaf: leaf[2:], record)
    spans = Span(jnp.full(ROWS - 2, 60.0), jnp.zeros((ROWS - 2, 0)))
    cycles = Cycle(spans, rest.y, rest.mask, rest.sd, rest.u)

    @eqx.filter_jit
    def tell(ssm):
        belief = Observer().start(Dynamics(ssm), ssm.init(first, key=KEY), key=KEY)
        return run(Observer(), Dynamics(ssm), belief, cycles, key=KEY)[1]

    told, expected, rest = plain((tell(forced), along(forced, record, 0), rest))
    np.testing.assert_allclose(told.analysis[0][:, :STATE], expected.z[2:], atol=1e-10)
    sd = np.sqrt(expected.scale[2:] ** 2 + 0.1**2)
    np.testing.assert_allclose(told.innovation.sd, sd, rtol=1e-9)
    residual = np.where(rest.mask, rest.y - expected.loc[2:], 0.0)
    np.testing.assert_allclose(told.innovation.residual, residual, atol=1e-10)
    assert (told.analysis[1][:, STATE:][rest.mask] == 0).all()


def test_growth_is_the_largest_geometric_mean_of_spectral_norms(rng):
    j = rng.normal(size=(3, 4, 3, 3))
    weight = np.ones((3, 4))
    weight[0, 1] = weight[2, :] = 0.0
    logs = np.log(np.linalg.norm(j, ord=2, axis=(-2, -1)))
    expected = np.exp(max(logs[0, [0, 2, 3]].mean(), logs[1].mean(), 0.0))
    found = jax.jit(mean_growth)(jnp.asarray(j), jnp.asarray(weight))
    np.testing.assert_allclose(found, expected, rtol=1e-2)


def test_the_adaptive_gain_is_held_still():
    def alpha(noise, growth):
        return forcing.Adaptive().prior(lambda: growth, noise).alpha

    for noise, growth, expected in (((0.3, 0.4), 1.25, 0.125**0.5), ((0.1, 0.1), 1.25, 0.2)):
        np.testing.assert_allclose(alpha(jnp.asarray(noise), jnp.asarray(growth)), expected)
    np.testing.assert_allclose(alpha(jnp.asarray([3.0]), jnp.asarray(0.5)), 1.0)
    slopes = jax.grad(alpha, argnums=(0, 1))(jnp.asarray([0.1]), jnp.asarray(1.25))
    assert all((s == 0).all() for s in slopes)


def test_a_learned_gain_is_a_site():
    with handlers.seed(rng_seed=0), handlers.trace() as trace:
        gain = forcing.Learned().prior(lambda: jnp.ones(()), jnp.ones(2))
    place = trace["forcing.gain"]["value"]
    np.testing.assert_allclose(gain.alpha, 1 / (1 + np.exp(-(3 + 2 * place))))
    assert forcing.Sparse(5).prior(lambda: jnp.ones(()), jnp.ones(2)).passed_on() == 0.0
    assert forcing.Constant(0.2).prior(lambda: jnp.ones(()), jnp.ones(2)).passed_on() == 0.2


def test_axes_are_those_of_the_covariance(rng):
    mix = rng.normal(size=(3, 3))
    y = jnp.asarray(rng.normal(size=(50, 20, 3)) @ mix.T)
    found = np.asarray(jax.jit(principal_axes, static_argnums=2)(y, jnp.ones(y.shape, bool), 4))
    flat = np.asarray(y).reshape(-1, 3)
    covariance = flat.T @ flat / 1000
    np.testing.assert_allclose(found @ found.T, covariance, rtol=1e-9)
    size = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose((found**2).sum(axis=0), [*size, 0.0], rtol=1e-9, atol=1e-12)


def test_series_from_nothing_begin_at_whole_rows_of_the_record(forced):
    still = eqx.tree_at(lambda s: s.noise, forced, jnp.zeros(CHANNELS))
    spans = Span(jnp.full(1, 60.0), jnp.zeros((1, 0)))
    keys = jax.random.split(KEY, 40)

    @eqx.filter_jit
    def tell(ssm):
        whole = ssm.counted["sample"].reshape(-1, CHANNELS)[jnp.asarray([0, 4, 5])]
        after = jax.vmap(lambda e: ssm.seen(ssm.network(ssm.first @ e, jnp.zeros(1))))(whole)
        return jax.vmap(lambda k: ssm.series(spans, jnp.zeros((1, 1)), key=k)[0])(keys), after

    made, after = plain(tell(still))
    apart = np.abs(made[:, None] - after).max(axis=-1)
    assert (apart.min(axis=1) < 1e-9).all() and len(set(apart.argmin(axis=1))) == 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: ShallowPLRNN(hidden=0), "leave nothing to move"),
        (lambda: ShallowPLRNN(window=1), "shows no step"),
        (lambda: AlmostLinearRNN(stride=300), "give 1 to 200"),
        (lambda: AlmostLinearRNN(2, 2), "no almost-linear network"),
        (lambda: forcing.Constant(1.5), "no share of an innovation"),
        (lambda: forcing.Sparse(0), "forces nowhere"),
    ],
)
def test_settings_that_make_no_network_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
