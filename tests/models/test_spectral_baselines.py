"""Linear maps of delayed observables: their spectra against known ones, their forecasts, and gaps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference
from assim.data.framing import Selection, frame_of
from assim.models import EDMD, HAVOK, HankelDMD, MeasurePreservingEDMD, Monomials, RadialBasis
from assim.models.baselines.spectral.reading import features, held, reading
from assim.nn.hankel import delay_embed, havok
from assim.nn.resdmd import residual
from assim.registry import made_from, settings_of
from assim.series import Layout, Series, Stream, cut
from assim.statespace import AbstractSpectral, Context

STEP = 600.0
RATE = np.array([-1 / 200 + 2j * np.pi / 25, -1 / 400 + 2j * np.pi / 9]) / STEP
TRAINED = 300


def waves(rows, rate=RATE):
    """Two modes in two channels, shape (row, 2)."""
    shape = np.array([[2.0, 1j], [1j, 1.5]])
    return (np.exp(np.outer(STEP * np.arange(rows), rate)) @ shape.T).real


def series_of(y, mask=None):
    """One run of any channels."""
    mask = np.ones(y.shape, bool) if mask is None else mask
    none = jnp.zeros((1, len(y)))
    stream = Stream(
        tick=jnp.arange(len(y), dtype=jnp.int32)[None],
        frac=none,
        y=jnp.asarray(np.where(mask, y, 0.0)[None], jnp.float32),
        mask=jnp.asarray(mask)[None],
        sd=jnp.zeros((1, *y.shape)),
    )
    return Series({"main": stream}, jnp.zeros((1, len(y), 0)), jnp.ones((1, len(y)), bool))


@eqx.filter_jit
def counted_in(model, series, ends, layout):
    """What a model counts in windows that end at given rows, and its modes."""
    needs = model.needs()

    def window(end):
        return cut(series, 0, end, context=needs.context, horizon=needs.horizon, step=STEP)

    constants = model.constants(jax.vmap(window)(ends), layout)
    ssm = model.bound(constants["lead_sd"], constants, layout)
    return constants, ssm.modes()


def counted(model, y, mask=None):
    """What a model counts in 200 windows, its state space and its modes."""
    channels = y.shape[1]
    layout = Layout(("a", "b")[:channels], ("real",) * channels, (True,) * channels, (), 0, STEP)
    ends = jnp.asarray(np.linspace(12, len(y) - 12, 200).astype(np.int32))
    constants, modes = counted_in(model, series_of(y, mask), ends, layout)
    return model.bound(constants["lead_sd"], constants, layout), np.asarray(modes.rate)


@pytest.fixture(scope="module")
def ds():
    """Two damped modes with 1 % of noise, in units of their own."""
    y = waves(400) + 0.01 * np.random.default_rng(0).normal(size=(400, 2))
    time = np.datetime64("2020-01-01", "ns") + np.arange(400) * np.timedelta64(600, "s")
    data = {"a": ("time", 280 + 5 * y[:, 0]), "b": ("time", 3 * y[:, 1])}
    return xr.Dataset(data, {"time": time})


@pytest.fixture(scope="module")
def post(ds):
    model = HankelDMD(8, rank=4, horizon=12)
    return assim.infer(
        model,
        ds.isel(time=slice(TRAINED)),
        inference.Prior(20),
        key=jax.random.key(0),
        pointwise=0,
    )


@pytest.fixture(scope="module")
def ssm(post):
    fitted = assim.restore(post)
    return fitted.state_space({k: v[0, 0] for k, v in fitted.sites.items()})


@pytest.fixture(scope="module")
def told(ssm, post, ds):
    """The modes, and on windows that the map was not made from the coordinates and the guess."""
    series = Series.of(frame_of(ds, Selection(), like=assim.restore(post).frame))
    ends = jnp.arange(350, 380)

    @eqx.filter_jit
    def on(ssm, series, ends):
        def at(end):
            context = cut(series, 0, end, context=8, horizon=1, step=STEP).context
            guess = ssm.model.guess(context.y, context.mask, ssm.layout, ssm.constants)
            return ssm.coordinates(context), guess

        modes = ssm.modes()
        return (
            modes,
            *jax.vmap(at)(ends),
            residual(ssm.gram, jnp.exp(modes.rate * STEP), ssm.spectrum.vectors),
        )

    return on(ssm, series, ends)


def test_two_damped_modes_are_recovered(ssm, told):
    assert isinstance(ssm, AbstractSpectral)
    rate = np.asarray(told[0].rate)
    assert rate.shape == (5,) and np.isnan(rate[3:]).all()
    assert abs(rate[0] * STEP) < 1e-4  # the constant
    np.testing.assert_allclose(rate.imag[1:3], RATE.imag, rtol=2e-3)
    np.testing.assert_allclose(rate.real[1:3], RATE.real, rtol=0.05)
    assert not np.asarray(told[0].shape)[:, 3:].any()
    assert not np.asarray(told[0].floor).any()


def test_coordinates_are_eigenfunctions_also_where_none_was_trained(told):
    modes, phi, *_ = told
    step = np.exp(np.asarray(modes.rate)[:3] * STEP)
    phi = np.asarray(phi)
    missed = np.linalg.norm(phi[1:, :3] - step * phi[:-1, :3], axis=0)
    assert (missed < 0.02 * np.linalg.norm(phi[1:, :3], axis=0)).all()
    assert not phi[:, 3:].any()


def test_modes_add_up_to_the_forecast(ssm, told):
    modes, phi, guess, _ = told
    leads = np.arange(1, 13)[:, None]
    power = np.exp(np.asarray(modes.rate)[:3] * STEP * leads)
    shown = np.einsum("cj,nj,hj->nhc", modes.shape[:, :3], phi[:, :3], power)
    mean = np.asarray(ssm.constants["mean"])
    np.testing.assert_allclose(shown.real + mean, guess, atol=1e-4)


def test_residuals_of_the_training_pairs_come_with_the_model(told):
    left = np.asarray(told[3])
    assert (left[:3] < 0.02).all() and np.isnan(left[3:]).all()


def test_a_forecast_of_an_oscillation_beats_persistence(post, ds):
    ahead = assim.forecast(post, ds, "2h", key=jax.random.key(1), origins="6h", num_draws=20)
    paths = ahead["predictions"]["a"].mean(["chain", "draw"])
    paths = paths.sel(init_time=slice(ds["time"].values[TRAINED], ds["time"].values[380]))
    truth = ds["a"].sel(time=paths["init_time"] + paths["lead_time"])
    stays = ds["a"].sel(time=paths["init_time"])
    assert paths.sizes["init_time"] >= 2
    missed = [float(np.sqrt(((p - truth) ** 2).mean())) for p in (paths, stays)]
    assert missed[0] < 0.3 * missed[1]


def test_two_delays_for_each_sinusoid_suffice():
    t = np.arange(400.0)
    y = np.cos(2 * np.pi * t / 20) + np.cos(2 * np.pi * t / 8 + 1)
    ssm, rate = counted(HankelDMD(4, horizon=2), y[:, None])
    assert ssm.constants["lead_sd"].max() < 1e-3
    np.testing.assert_allclose(rate[1:3].imag * STEP / (2 * np.pi), [1 / 20, 1 / 8], rtol=1e-3)


def test_pairs_with_a_missing_entry_have_no_weight():
    """What is said of two modes is the same where rows are missing, whatever stands there."""
    y = waves(400)
    mask = np.broadcast_to(np.random.default_rng(1).random((400, 1)) < 0.9, y.shape)
    series = series_of(y, mask)
    noisy = eqx.tree_at(lambda s: s.main.y, series, series.main.y + 1e3 * ~series.main.mask)
    layout = Layout(("a", "b"), ("real",) * 2, (True,) * 2, (), 0, STEP)
    model, ends = HankelDMD(4, 4, 2), jnp.arange(12, 212, dtype=jnp.int32)
    rate = np.asarray(counted_in(model, noisy, ends, layout)[1].rate)[1:3]
    np.testing.assert_allclose(rate.imag, RATE.imag, rtol=1e-4)
    np.testing.assert_allclose(rate.real, RATE.real, rtol=1e-2)


def test_nothing_but_gaps_is_a_guess_of_the_mean():
    y, mask = waves(400), np.ones((400, 2), bool)
    mask[::2, 0] = False
    ssm, rate = counted(HankelDMD(4, 4, 2), y, mask)
    assert np.isnan(rate).all()
    window = jnp.asarray(y[:4]), jnp.asarray(mask[:4])
    guess = ssm.model.guess(*window, ssm.layout, ssm.constants)
    np.testing.assert_allclose(guess, np.broadcast_to(ssm.constants["mean"], (2, 2)), atol=1e-6)


def test_a_missing_entry_holds_the_newest_reading_before_it():
    values = jnp.array([[1.0, 0.0], [0.0, 5.0], [0.0, 0.0], [4.0, 6.0]])
    present = jnp.array([[1, 0], [0, 1], [0, 0], [1, 1]], bool)
    found = held(values, present, jnp.array([9.0, 9.0]))
    np.testing.assert_array_equal(found, [[1, 9], [1, 5], [1, 5], [4, 6]])


def test_a_steady_turn_of_a_direction_is_linear():
    angle = np.angle(np.exp(0.5j * np.arange(300)))
    mean, cosine = jnp.array([1.0]), jnp.array([0.1])
    told = features(jnp.asarray(angle)[:, None], mean, cosine, ("circle",))
    assert told.shape == (300, 2)
    back = reading(told, mean, cosine, ("circle",))[:, 0]
    np.testing.assert_allclose(np.exp(1j * back), np.exp(1j * angle), atol=1e-5)
    layout = Layout(("d",), ("circle",), (True,), (), 0, STEP)
    model = HankelDMD(2, horizon=3)
    series = series_of(angle[:, None])

    @jax.jit
    def guess(ends, series):
        parts = jax.vmap(lambda end: cut(series, 0, end, context=2, horizon=3, step=STEP))(ends)
        counted = model.constants(parts, layout)
        y = parts.context
        return jax.vmap(lambda v, p: model.guess(v, p, layout, counted))(y.y, y.mask), parts.y

    found, wanted = guess(jnp.arange(2, 290), series)
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * wanted), atol=0.02)


def test_a_measure_preserving_map_neither_grows_nor_decays():
    rate = 1j * RATE.imag
    model = MeasurePreservingEDMD(4, rank=4, horizon=2)
    ssm, found = counted(model, waves(400, rate))
    np.testing.assert_allclose(found[:3].real * STEP, 0.0, atol=1e-5)
    np.testing.assert_allclose(found[:3].imag, [0.0, *RATE.imag], rtol=1e-3, atol=1e-6)
    assert np.isnan(found[3:]).all()
    assert (ssm.constants["lead_sd"] < 0.03).all()


def test_havok_is_its_regression_and_its_forcing_fades():
    y = waves(400) + 0.3 * np.random.default_rng(2).normal(size=(400, 2))
    ssm, rate = counted(HAVOK(6, rank=5, horizon=2), y)
    rows = np.linspace(12, 388, 200).astype(int)
    mean, basis = (np.asarray(ssm.constants[name]) for name in ("mean", "basis"))
    h = np.asarray(delay_embed(jnp.asarray(y - mean), 6))
    z = np.column_stack([np.ones(len(h)), h]) @ basis
    a, b = havok(*(jnp.asarray(z[at], jnp.float32) for at in (rows - 5, rows - 4)))
    matrix = np.asarray(ssm.constants["matrix"])
    np.testing.assert_allclose(matrix[:5, :5].T, a, atol=1e-4)
    np.testing.assert_allclose(matrix[5, :5], b, atol=1e-4)
    assert not matrix[:, 5].any()
    wanted = np.log(np.linalg.eigvals(np.asarray(a, complex))) / STEP
    found = rate[np.isfinite(rate)]
    wanted = wanted[wanted.imag > -1e-9]
    np.testing.assert_allclose(np.sort(found.imag), np.sort(wanted.imag), atol=1e-3 / STEP)
    context = Context(jnp.asarray(y[7:13]), jnp.ones((6, 2), bool), *jnp.zeros((2, 6, 0)))
    np.testing.assert_allclose(ssm.reduced(context), z[7], atol=1e-4)


def test_products_tell_what_is_not_linear():
    """Of x' = 0.8 x + y^2 with a rotation y, polynomials of degree 2 are closed but for what is made of x."""
    t = np.arange(400.0)
    y = np.cos(2 * np.pi * t / 7.3)
    x = np.zeros(400)
    for step in range(1, 400):
        x[step] = 0.8 * x[step - 1] + 3 * y[step - 1] ** 2
    model = EDMD(2, Monomials(2), horizon=1)
    ssm, rate = counted(model, np.stack([x, y], axis=1))
    assert (ssm.constants["lead_sd"] < 0.02).all()
    wanted = 2 * np.pi * np.array([1, 2]) / 7.3 / STEP
    assert np.nanmin(np.abs(rate[:, None] - 1j * wanted), axis=0).max() < 1e-3 * wanted[0]


@pytest.mark.parametrize(
    "model",
    [
        EDMD(3, RadialBasis(20, 2.0), 10, 4, "a"),
        HankelDMD(4, 3),
        MeasurePreservingEDMD(2, Monomials(2)),
        HAVOK(),
    ],
    ids=lambda m: type(m).__name__,
)
def test_settings_come_back_from_json(model):
    assert made_from(settings_of(model)) == model
    assert model.needs().context == model.delays


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: HankelDMD(0), "delays=0"),
        (lambda: EDMD(horizon=0), "horizon=0"),
        (lambda: MeasurePreservingEDMD(rank=0), "rank of 1 or more"),
        (lambda: HAVOK(rank=1), "rank of 2 or more"),
    ],
)
def test_settings_without_sense_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize("kind", [EDMD, HankelDMD, HAVOK, MeasurePreservingEDMD])
def test_where_nothing_was_regressed_there_is_no_model(kind):
    with pytest.raises(
        ValueError, match=rf"^{kind.__name__}.delays=3. regresses on 4 rows without a gap"
    ):
        kind(3).cautions({"basis": np.zeros((4, 4))})
    assert kind(3).cautions({"basis": np.eye(4)}) == ()


def test_a_record_without_a_whole_window_is_refused(ds, key):
    holed = ds.assign(b=ds["b"].where(np.arange(400) % 3 > 0))
    with pytest.raises(ValueError, match="and nowhere does the record have as many: lower delays"):
        assim.infer(HankelDMD(3, horizon=1), holed, inference.Prior(1), key=key, pointwise=0)


def test_what_the_record_has_not_is_refused(ds, key):
    with pytest.raises(ValueError, match="has 0 usable windows .* give a longer record"):
        assim.infer(HankelDMD(500), ds, key=key)
    with pytest.raises(ValueError, match="more than the 6 observables of 3 delays of 2 channels"):
        assim.infer(HankelDMD(3, rank=9), ds, key=key)
