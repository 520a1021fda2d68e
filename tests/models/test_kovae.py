"""The published KoVAE: its loss written out in NumPy, its size, what it makes, and how linear its latents are."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.infer.autoguide import AutoDelta

from assim.inference import SVI
from assim.inference.density import potential
from assim.inference.loop import Watch
from assim.models import PublishedKoVAE, UnitModulus
from assim.models.kovae import linear_map, one_step_linearity, spectrum
from assim.models.kovae.autoencoder import LEAST, Gaussians
from assim.models.kovae.model import Terms, divergence
from assim.problem import count_parameters
from assim.registry import made_from, settings_of
from assim.statespace import Context, regular_spans
from tests.nn.test_recurrent import along, sigmoid
from tests.references import make_problem, make_series

MODEL = PublishedKoVAE(window=6, z_dim=2, hidden=3, layers=1, w_kl=0.1, w_pred=0.2)
HELD = PublishedKoVAE(window=6, z_dim=2, hidden=3, layers=1, eigenvalues=UnitModulus(1, 0.5))
KEY = jax.random.key(5)


def shapes_of(problem):
    """Each site's distribution, nothing drawn."""
    return jax.eval_shape(
        lambda: {
            name: site["value"]
            for name, site in handlers.trace(handlers.seed(problem.prior, KEY)).get_trace().items()
        }
    )


def some(problem):
    """Values of all sites, far from those of a start."""
    rng = np.random.default_rng(3)
    return {
        name: jnp.asarray(0.5 * rng.normal(size=shape.shape))
        for name, shape in shapes_of(problem).items()
    }


@pytest.fixture(scope="module")
def posed():
    """Windows with gaps, an autoencoder, and the terms of its loss with its noise, in float64."""
    with jax.enable_x64(True):
        problem = make_problem(MODEL, make_series(times=25), key=KEY)
        sites = some(problem)
        ssm = jax.jit(lambda sites: problem.bind(sites))(sites)
        shape = (problem.num_data, 6, 2)

        def told(ssm):
            posterior, prior = jax.random.split(KEY)
            keys = jax.random.split(prior, shape[0])
            free = jax.vmap(lambda k: jax.random.normal(k, shape[1:]))(keys)
            noise = jax.random.normal(posterior, shape)
            return HELD.terms(ssm, problem.examples, key=KEY), (noise, free)

        terms, noise = jax.tree.map(np.asarray, jax.jit(told)(ssm))
        return problem, ssm, sites, terms, noise


def affine(m, x):
    return x @ np.asarray(m.weight).T + np.asarray(m.bias)


def both(layer, x):
    onwards, backwards = (jax.tree.map(lambda leaf, i=i: leaf[i], layer.both) for i in (0, 1))
    return np.stack([np.hstack([along(onwards, w), along(backwards, w[::-1])[::-1]]) for w in x])


def rolled(ssm, noise):
    """Means, log variances and draws of the prior for the noise of one window."""
    laws, path = [], np.zeros((0, 2))
    for now in noise:
        h = along(ssm.onwards, np.concatenate([np.zeros((1, 2)), path]))[-1]
        law = np.split(affine(ssm.ahead, h), 2)
        laws.append(law)
        path = np.concatenate([path, (law[0] + np.exp(0.5 * law[1]) * now)[None]])
    return *np.stack(laws, axis=1), path


def test_the_terms_of_the_loss_are_those_of_the_paper(posed):
    problem, ssm, _, terms, (noise, free) = posed
    x, mask = np.asarray(problem.examples.x), np.asarray(problem.examples.mask)
    assert not mask.all() and (x[~mask] == 0).all()
    h = both(ssm.encoder[0], np.concatenate([x, mask], axis=-1))
    h = (h - h.mean((0, 1))) / np.sqrt(h.var((0, 1)) + LEAST)
    h = h * (1 + np.asarray(ssm.norm.gain)) + np.asarray(ssm.norm.shift)
    mean, log_var = np.split(affine(ssm.posterior, h), 2, axis=-1)
    z = mean + np.exp(log_var / 2) * noise
    seen = sigmoid(affine(ssm.head, both(ssm.decoder[0], z)))
    squares = np.where(mask, x - seen, 0.0) ** 2
    np.testing.assert_allclose(terms.reconstruction, squares.sum((1, 2)), rtol=1e-8)

    m, log_s, path = (
        np.stack(parts) for parts in zip(*(rolled(ssm, n) for n in free), strict=True)
    )
    kl = 0.5 * (log_s - log_var + (np.exp(log_var) + (mean - m) ** 2) / np.exp(log_s) - 1)
    np.testing.assert_allclose(terms.divergence, kl.sum((1, 2)), rtol=1e-8)

    before, after = path[:, :-1].reshape(-1, 2), path[:, 1:].reshape(-1, 2)
    a = np.linalg.lstsq(before, after, rcond=None)[0].T
    foreseen = before @ a.T
    error = ((after - foreseen) ** 2).mean() / np.sqrt((foreseen**2).sum())
    np.testing.assert_allclose(terms.prediction, error, rtol=1e-8)
    largest = np.abs(np.linalg.eigvals(a)).max()
    np.testing.assert_allclose(terms.modulus, 0.5 * (largest - 1) ** 2, rtol=1e-8)


def test_divergence_is_that_of_gaussians():
    """Against the integral."""
    laws = [Gaussians(np.array([m]), np.array([v])) for m, v in ((0.3, -0.5), (-0.2, 0.4))]
    grid = np.linspace(-12, 12, 20_001)

    def log(law):
        v = law.log_variance
        return -0.5 * ((grid - law.mean) ** 2 / np.exp(v) + v + np.log(2 * np.pi))

    q, p = map(log, laws)
    np.testing.assert_allclose(
        divergence(*laws), np.trapezoid(np.exp(q) * (q - p), grid), rtol=1e-4
    )


def test_steps_lower_the_loss(posed):
    """All that the density holds is minus the loss for each window: the prior has no part in it."""
    problem, _, sites, _, _ = posed
    optimiser = optax.adam(1e-2)

    def descend(sites):
        first, unravel = ravel_pytree(sites)

        def step(carry, number):
            v, moments = carry
            k = jax.random.fold_in(KEY, number)
            loss, slope = jax.value_and_grad(lambda v: potential(problem, unravel(v), key=k))(v)
            moves, moments = optimiser.update(slope, moments)
            return (v + moves, moments), (loss, slope)

        return jax.lax.scan(step, (first, optimiser.init(first)), jnp.arange(60))[1]

    with jax.enable_x64(True):
        losses, slopes = map(np.asarray, jax.jit(descend)(sites))
    assert np.isfinite(losses).all() and np.isfinite(slopes).all()
    assert (slopes != 0).any(axis=0).all()
    assert losses[-10:].mean() < 0.6 * losses[:10].mean()


class Told(PublishedKoVAE):
    """Whose terms are known: the last is the first number of the key."""

    def terms(self, ssm, examples, *, key):
        number = jax.random.key_data(key).ravel()[-1].astype(float)
        return Terms(jnp.array([1.0, 2.0]), jnp.array([30.0, 40.0]), jnp.array(500.0), number)


def test_the_density_is_minus_the_weighed_loss_of_every_window():
    model = Told(w_rec=2.0, w_kl=0.1, w_pred=0.01)

    def density(statement):
        site = handlers.trace(statement).get_trace(None, None, 10)["loss"]
        return site["scale"] * site["fn"].log_prob(site["value"])

    expected = 5 * np.array([2.0 + 3.0 + 5.0, 4.0 + 4.0 + 5.0])
    np.testing.assert_allclose(density(model.likelihood), -expected, rtol=1e-6)
    seeded = (density(handlers.seed(model.likelihood, jax.random.key(n))) for n in (1, 2))
    assert next(seeded)[0] != next(seeded)[0]


def test_the_prior_is_flat_and_a_fit_starts_as_wide_as_published():
    """Uniform up to 1/sqrt(units) in recurrent layers, up to 1/sqrt(inputs) elsewhere: sd of that over sqrt(3)."""
    problem = make_problem(PublishedKoVAE(layers=2), make_series(times=40, channels=6), key=KEY)

    def told():
        trace = handlers.trace(handlers.seed(problem.prior, KEY)).get_trace()
        laws = {name: (site["fn"], site["value"]) for name, site in trace.items()}
        return {n: (fn.variance**0.5, fn.log_prob(value)) for n, (fn, value) in laws.items()}

    found = jax.tree.map(np.asarray, jax.jit(told)())
    inputs = {"posterior": 40, "ahead": 20, "head": 40}
    assert len(found) == 4 * 5 + 2 + 2 * 3
    for name, (sd, density) in found.items():
        widest = inputs.get(name.partition(".")[0], 20) ** -0.5
        expected = 1e-6 if name.startswith("norm") else widest / 3**0.5
        np.testing.assert_allclose(sd, expected, rtol=1e-5, err_msg=name)
        assert density == 0


def test_parameters_are_as_many_as_published():
    """42 270 for 6 channels, and here weights that read the mask: 3 gates, 20 units, 2 directions, 6 channels."""
    model = PublishedKoVAE()
    problem = make_problem(model, make_series(times=40, channels=6), key=KEY)
    assert count_parameters(problem) - 3 * 20 * 2 * 6 == 42_270


def test_what_it_makes_is_reproducible_and_within_what_was_seen(posed):
    problem, ssm, _, _, _ = posed
    spans, inputs = regular_spans(600.0, 9), jnp.zeros((9, 0))
    with jax.enable_x64(True):
        make = jax.jit(jax.vmap(lambda k: ssm.series(spans, inputs, key=k)))
        made, again = (np.asarray(make(jax.random.split(KEY, 40))) for _ in range(2))
        z = jax.jit(lambda k: ssm.rolled(9, key=k)[1])(jax.random.split(KEY, 40)[7])
    assert made.shape == (40, 9, 2)
    np.testing.assert_array_equal(made, again)
    lowest, width = np.asarray(ssm.lowest), np.asarray(ssm.width)
    assert (made > lowest).all() and (made < lowest + width).all()
    assert made.std(axis=0).min() > 0
    # the raw path is decoded, not the one that the linear map would take
    seen = sigmoid(affine(ssm.head, both(ssm.decoder[0], np.asarray(z)[None])))
    np.testing.assert_allclose(made[7], lowest + width * seen[0], rtol=1e-8)


def test_shares_are_of_the_range_that_was_read(posed):
    problem, *_ = posed
    x, mask = np.asarray(problem.examples.x), np.asarray(problem.examples.mask)
    for channel in (0, 1):
        read = x[..., channel][mask[..., channel]]
        np.testing.assert_allclose([read.min(), read.max()], [0.0, 1.0], atol=1e-12)


def test_a_channel_that_never_moves_and_one_that_is_never_read(posed):
    problem, *_ = posed
    y = jnp.stack([jnp.full((3, 6), 2.0), jnp.zeros((3, 6)), jnp.arange(18.0).reshape(3, 6)], -1)
    window = type("Window", (), {"y": y, "mask": jnp.ones_like(y, bool).at[..., 1].set(False)})
    found = MODEL.constants(window, problem.layout)
    np.testing.assert_array_equal(found["lowest"], [2.0, 0.0, 0.0])
    np.testing.assert_array_equal(found["width"], [1.0, 1.0, 17.0])


def paths(turn, size, noise=0.0, seed=0):
    """Rotations that shrink, with independent noise on each step of them."""
    rng = np.random.default_rng(seed)
    a = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    z = [rng.normal(size=(200, 2))]
    for _ in range(8):
        z.append(z[-1] @ a.T)
    z = np.stack(z, axis=1)
    return jnp.asarray(z + noise * rng.normal(size=z.shape)), a


def test_the_linear_map_of_a_rotation_is_found():
    z, a = paths(0.4, 0.9)
    np.testing.assert_allclose(linear_map(z), a, atol=1e-5)
    np.testing.assert_allclose(spectrum(z), 0.9 * np.exp([0.4j, -0.4j]), atol=1e-5)
    np.testing.assert_allclose(one_step_linearity(z), 1.0, atol=1e-5)


def test_noise_on_each_step_shrinks_the_map():
    z, _ = paths(0.4, 1.0, noise=2.0)
    modulus = np.abs(spectrum(z))
    np.testing.assert_allclose(modulus, 1 / (1 + 2.0**2), atol=0.05)  # variance of signal over all
    assert modulus[0] >= modulus[1]
    np.testing.assert_allclose(one_step_linearity(z), 1 / (1 + 2.0**2) ** 2, atol=0.03)


def test_a_mean_is_not_taken_for_dynamics():
    z = jnp.asarray(5.0 + np.random.default_rng(0).normal(size=(500, 9, 2)))
    assert 0 <= float(one_step_linearity(z)) < 0.01


def test_slopes_pass_the_solve_even_where_steps_are_few():
    z, _ = paths(0.4, 0.9, noise=0.1)

    def paid(z):
        return UnitModulus(None)(linear_map(z)) + (linear_map(z) ** 2).sum()

    assert np.isfinite(jax.jit(jax.grad(paid))(z)).all()
    few = jnp.asarray(np.random.default_rng(1).normal(size=(1, 3, 4)))
    np.testing.assert_allclose(few[0, 1:], few[0, :-1] @ linear_map(few).T, atol=1e-4)


def test_eigenvalues_pay_for_their_distance_from_the_circle():
    a = jnp.diag(jnp.array([0.5, -0.9, 1.2]))
    np.testing.assert_allclose(UnitModulus(2)(a), (0.2**2 + 0.1**2) / 2, rtol=1e-5)
    np.testing.assert_allclose(
        UnitModulus(None, 3.0)(a), 3 * (0.2**2 + 0.1**2 + 0.5**2) / 3, rtol=1e-5
    )


def test_it_has_no_state(posed):
    ssm = posed[1]
    nothing = Context(*(jnp.zeros((0, 2)),) * 3, jnp.zeros((0, 0)))
    for ask in (
        lambda: ssm.init(nothing, key=KEY),
        lambda: ssm.transition(jnp.zeros(2), regular_spans(1.0, 1), key=KEY),
        lambda: ssm.observation(jnp.zeros(2), regular_spans(1.0, 1)),
    ):
        with pytest.raises(TypeError, match="use assim.generate"):
            ask()


def test_settings_are_plain():
    assert made_from(json.loads(json.dumps(settings_of(HELD)))) == HELD


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: PublishedKoVAE(window=1), "window=1 holds no step"),
        (lambda: PublishedKoVAE(layers=0), "layers=0 must be a whole number"),
        (lambda: PublishedKoVAE(w_kl=-1.0), "w_kl=-1.0 must not be negative"),
        (lambda: UnitModulus(0), r"UnitModulus\(count=0, weight=1.0\) holds nothing"),
    ],
)
def test_wrong_settings_are_said(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.slow
def test_a_fit_makes_windows_like_those_it_saw():
    """A wave of one period and any height: its mean and its spread at each time are found."""
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * np.arange(240) / 8)[:, None] * np.repeat(
        rng.uniform(1, 2, (30, 1)), 8, axis=0
    )
    series = eqx.tree_at(
        lambda s: s.main.y,
        make_series(times=240, channels=1, missing=0.0),
        jnp.asarray(wave, jnp.float32)[None],
    )
    model = PublishedKoVAE(window=8, z_dim=3, hidden=8, layers=1)
    problem = make_problem(model, series, key=KEY)
    method = SVI(3000, AutoDelta, 5e-3, batch_size=64, num_draws=1, ascent=None)
    draws = method.run(problem, key=KEY, watch=Watch())
    loss = draws.curves["loss"]
    assert loss[-200:].mean() < 0.2 * loss[:20].mean()
    ssm = problem.bind({name: jnp.asarray(value[0, 0]) for name, value in draws.sites.items()})
    spans = regular_spans(600.0, 8)
    make = jax.jit(jax.vmap(lambda k: ssm.series(spans, jnp.zeros((8, 0)), key=k)))
    made = np.asarray(make(jax.random.split(KEY, 2000)))[..., 0]
    windows = np.lib.stride_tricks.sliding_window_view(wave[:, 0], 8)
    np.testing.assert_allclose(made.mean(axis=0), windows.mean(axis=0), atol=0.25)
    np.testing.assert_allclose(made.std(axis=0), windows.std(axis=0), rtol=0.25)
    # a window of a wave has two coordinates: its heights at two times a quarter apart
    np.testing.assert_allclose(
        (made[:, 0] + made[:, 4]).std(), (windows[:, 0] + windows[:, 4]).std(), atol=0.3
    )
