"""The semilinear operator: its exact part, its noise, land, open ends, other grids."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.data.gridding import Grid
from assim.models.semilinear import SemilinearOperator
from assim.models.semilinear.generator import Generator, exponential
from assim.models.semilinear.noise import LastLayerNoise
from assim.models.semilinear.recursion import disturbed
from assim.nn.climate import Climate
from assim.series import Layout
from tests.learned_fields import grid, made, one, quiet, stretch


def test_the_linear_part_is_a_semigroup(x64, key):
    generator = Generator(jnp.array([0.3]), jnp.array([[0.1, -1.0]]), jnp.array([[[0.4, 0.2]]]))
    rates = generator.rates((jnp.linspace(0.0, 4.0, 33),))
    first, second = (exponential(rates, h)[0] for h in (0.7, 1.9))
    np.testing.assert_allclose(first * second, exponential(rates, 2.6)[0], rtol=1e-12)
    assert rates[0, -1].real < rates[0, 0].real
    np.testing.assert_allclose(rates[0, 0], 0.3)


def test_the_forcing_of_a_step_is_its_integral(x64):
    """h phi_1(lambda h) is the integral of exp(lambda s) over the step, near zero and far from it."""
    rates = jnp.array([0.0, 1e-9, 0.05, 0.0999, 0.1001, -3.0, -200.0, 2.0 + 1.0j])
    s = (np.arange(200_000) + 0.5) / 200_000 * 0.8
    wanted = np.array([np.exp(complex(r) * s).mean() * 0.8 for r in rates])
    np.testing.assert_allclose(exponential(rates, 0.8)[1], wanted, rtol=1e-6)


@pytest.mark.parametrize("dt", [3.0, pytest.param(10.0, marks=pytest.mark.slow), 47.0])
def test_without_its_network_a_field_decays_as_its_rates_say(dt, x64, key):
    """One wave of the field, in units of half the modes; any span, any number of substeps."""
    model = SemilinearOperator(modes=8, width=4, substeps=3)
    ssm = quiet(made(model, 32, key=key))
    wave = np.cos(2 * np.pi * 3 * np.arange(32) / 32 + 0.4)
    rates = ssm.generator.rates((jnp.array([3 / 4.0]),))[0, 0] * dt / 10.0
    turned = np.cos(2 * np.pi * 3 * np.arange(32) / 32 + 0.4 + float(rates.imag))
    x = ssm.centre[0] + ssm.scale[0] * wave
    wanted = ssm.centre[0] + ssm.scale[0] * np.exp(float(rates.real)) * turned
    np.testing.assert_allclose(ssm.flow(jnp.asarray(x), one(dt)), wanted, rtol=1e-9)


def test_a_network_that_stays_is_integrated_exactly(x64, key):
    """A constant forcing b: the mean obeys dz/dt = g z + b, in units of the nominal step."""
    ssm = quiet(made(SemilinearOperator(modes=4, width=4), 16, key=key))
    ssm = eqx.tree_at(lambda s: s.network.head.bias, ssm, jnp.array([0.7]))
    g, z = float(ssm.generator.growth[0]), 0.5
    x = jnp.full(16, ssm.centre[0] + ssm.scale[0] * z)
    wanted = z * np.exp(2.5 * g) + 0.7 * np.expm1(2.5 * g) / g
    moved = (ssm.flow(x, one(25.0)) - ssm.centre[0]) / ssm.scale[0]
    np.testing.assert_allclose(moved, wanted, rtol=1e-9)


def test_parameters_of_one_grid_hold_on_a_finer_one(x64, key):
    model = SemilinearOperator(modes=6, width=6, substeps=2)
    coarse = made(model, 64, key=key)
    fine = eqx.tree_at(
        lambda s: (s.fixed, s.sea), coarse, (jnp.zeros((1, 128)), jnp.ones(128, bool))
    )
    fine = replace(fine, grid=grid(128))
    x = 2 * np.pi * np.arange(128) / 128
    field = jnp.asarray(3.0 + np.cos(x) + 0.5 * np.sin(2 * x))
    after = fine.flow(field, one(10.0))[::2]
    np.testing.assert_allclose(after, coarse.flow(field[::2], one(10.0)), atol=2e-3)


def test_noise_varies_as_it_says(x64, key):
    features = jax.random.normal(key, (4, 6))
    noise = LastLayerNoise(
        features, jnp.array([[0.5, 1, 2, 0.1], [1, 0, 0, 0]]), jnp.array([[0.3] * 6, [0.2] * 6])
    )
    drawn = noise.sample(key, (40_000,))
    np.testing.assert_allclose(drawn.var(axis=0), noise.variance, rtol=0.05)
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.1)
    assert drawn.shape == (40_000, 12) and (noise.mean == 0).all()
    together = np.cov(drawn[:, 6], drawn[:, 7])[0, 1]  # of the second field, by its one feature
    assert together == pytest.approx(float(features[0, 0] * features[0, 1]), abs=0.05)


def test_noise_grows_with_the_span(x64, key):
    ssm = made(SemilinearOperator(modes=4, width=4), 16, key=key)
    x = ssm.states[0]
    short, long = (ssm.process_noise(x, one(dt)).variance for dt in (10.0, 40.0))
    np.testing.assert_allclose(long, 4.0 * short)


def test_a_stretch_gathers_the_noise_of_its_steps(x64, key):
    model = SemilinearOperator(modes=4, width=4, horizon=2)
    ssm = made(model, 16, key=key)
    example = jax.tree.map(lambda leaf: leaf[0], stretch(ssm.states[:1]))
    density = model.density(ssm, example)
    step = one(10.0)
    first = ssm.flow(ssm.states[0], step)
    np.testing.assert_allclose(density.loc, [first, ssm.flow(first, step)])
    gathered = (
        ssm.process_noise(ssm.states[0], step).variance + ssm.process_noise(first, step).variance
    )
    np.testing.assert_allclose(density.scale[1] ** 2, gathered)


@pytest.mark.parametrize("sizes", [pytest.param((12,), marks=pytest.mark.slow), (8, 10)])
def test_land_is_never_moved(sizes, x64, key):
    land = jnp.zeros(int(np.prod(sizes)), bool).at[jnp.array([1, 2, 5])].set(True)
    ssm = made(SemilinearOperator(modes=3, width=4), *sizes, key=key, land=land)
    x = ssm.states[3]
    after = ssm.transition(x, one(10.0), key=key)
    np.testing.assert_array_equal(np.asarray(ssm.sea), ~np.asarray(land))
    quiet_land = ssm.process_noise(x, one(10.0)).features[:, land]
    np.testing.assert_array_equal(quiet_land, 0.0)
    np.testing.assert_allclose(ssm.flow(x, one(10.0))[land], x[land])
    np.testing.assert_array_equal(after[land], x[land])
    assert np.abs(after - x)[~land].min() > 0


def test_an_open_end_lets_nothing_through(x64, key):
    """Without its network a bump at one end of an open axis stays away from the other; on a ring it does not."""
    bump = jnp.zeros(32).at[0].set(1.0)
    rates = {"generator.decay": [2.0, -20.0], "generator.turning": 0.0, "generator.growth": 0.0}
    reach = {}
    for closes in (True, False):
        model = SemilinearOperator(modes=8, width=4, periodic=closes)
        ssm = quiet(made(model, 32, key=key, **rates))
        x = ssm.centre[0] + bump
        reach[closes] = float(ssm.flow(x, one(10.0))[-1] - ssm.flow(x - bump, one(10.0))[-1])
    assert reach[True] > 0.01 and abs(reach[False]) < 1e-6


def test_several_fields_move_each_other(x64, key):
    ssm = made(SemilinearOperator(modes=4, width=4), 16, key=key, names=("a", "b"))
    slope = jax.jacobian(lambda x: ssm.flow(x, one(10.0)))(ssm.states[0])
    assert np.abs(slope[:16, 16:]).max() > 1e-3 and np.abs(slope[16:, :16]).max() > 1e-3
    assert ssm.places().shape == (32, 1) and ssm.components() == ("a", "b")


def test_a_climate_is_its_states(x64, key):
    states = jnp.arange(12.0).reshape(4, 3)
    climate = Climate(states)
    drawn = climate.sample(key, (4,))
    np.testing.assert_array_equal(np.sort(drawn[:, 0]), states[:, 0])
    np.testing.assert_allclose(climate.mean, states.mean(axis=0))
    np.testing.assert_allclose(climate.variance, states.var(axis=0))
    assert climate.sample(key, (9, 2)).shape == (9, 2, 3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"width": 0}, "width=0 must be"),
        ({"modes": 1}, "modes=1 keeps no wave but the mean"),
        ({"error": -1.0}, "error=-1.0 must not be negative"),
        ({"jitter": -1.0}, "jitter=-1.0 must not be negative"),
        ({"spans": (2.0, 3.0)}, r"spans=\(2.0, 3.0\) must rise .* the nominal step, 1, between"),
        ({"modes": [8, 1]}, r"modes=\(8, 1\) keeps no wave"),
        ({"calendar": "month"}, r"calendar=\['month'\] is unknown"),
    ],
)
def test_settings_that_make_no_operator_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        SemilinearOperator(**settings)


def test_an_axis_that_ends_at_the_poles_does_not_close(key):
    steps, sizes = (10.0, 20.0), (8, 18)
    globe = Grid(("lat", "lon"), (-35.0, 0.0), steps, sizes, ("degrees_north", "degrees_east"))
    layout = Layout(("t",), ("real",), (True,), (), 0, 10.0, globe)
    parts = stretch(jax.random.normal(key, (4, 144)))
    with pytest.raises(
        ValueError, match=r"'lat' .* does not close: say so, as periodic=\(False, True\)"
    ):
        SemilinearOperator(modes=3).counted(parts, layout)
    closed = SemilinearOperator(modes=3, periodic=[False, True])
    assert closed.counted(parts, layout)["centre"].shape == (1,)
    with pytest.raises(ValueError, match="'lon' .* does not close"):
        part = replace(globe, steps=(10.0, 10.0))
        closed.counted(parts, replace(layout, grid=part))


def test_settings_for_other_axes_are_refused(key):
    with pytest.raises(ValueError, match="2 values are given for a grid of 1 axes"):
        made(SemilinearOperator(modes=(4, 4)), 16, key=key)


@pytest.mark.parametrize("sizes", [(16,), (6, 8)])
def test_a_mean_that_is_kept_stays_whatever_was_learned(sizes, x64, key):
    x = 3.0 + jax.random.normal(key, (int(np.prod(sizes)),))
    moved = []
    for keeps in (True, False):
        model = SemilinearOperator(modes=3, width=4, substeps=2, keeps_mean=keeps)
        moved.append(made(model, *sizes, key=key).flow(x, one(10.0)))
    np.testing.assert_allclose(moved[0].mean(), x.mean(), rtol=1e-12)
    assert abs(moved[1].mean() - x.mean()) > 1e-4
    # waves go the same way, but for what the other mean makes of them in the second substep
    apart = [m - m.mean() for m in moved]
    assert np.corrcoef(apart)[0, 1] > 0.9
    assert not np.allclose(apart[0], x - x.mean())


def test_the_first_field_of_a_stretch_is_disturbed_by_its_share(x64, key):
    ssm = made(SemilinearOperator(modes=4, width=4, layers=1), 16, key=key)
    dry = replace(ssm, sea=ssm.sea.at[3].set(False))
    start = stretch(3.0 + jax.random.normal(key, (2000, 16)))
    moved = jax.vmap(lambda part: disturbed(dry, part, 0.25) - part.first)(start)
    np.testing.assert_array_equal(moved[:, 3], 0.0)
    wet = np.delete(np.asarray(moved), 3, axis=1)
    np.testing.assert_allclose(wet.std(axis=0), 0.25 * float(ssm.scale[0]), rtol=0.1)
    assert np.abs(np.corrcoef(wet[:, 0], wet[:, 1])[0, 1]) < 0.1
    one = jax.tree.map(lambda leaf: leaf[0], start)
    again = replace(one, number=one.number + 2000)
    assert float(jnp.abs(disturbed(dry, again, 0.25) - disturbed(dry, one, 0.25)).max()) > 0.01
    np.testing.assert_array_equal(disturbed(dry, one, 0.0), one.first)


def test_a_jitter_is_of_the_training_alone(x64, key):
    model = SemilinearOperator(modes=4, width=4, layers=1, jitter=0.3)
    ssm = made(model, 16, key=key)
    one_of = jax.tree.map(lambda leaf: leaf[0], stretch(3.0 + jax.random.normal(key, (5, 16))))
    plain = model.undisturbed().density(ssm, one_of).loc
    assert float(jnp.abs(model.density(ssm, one_of).loc - plain).max()) > 0.01
    np.testing.assert_array_equal(replace(model, jitter=0.0).density(ssm, one_of).loc, plain)
