"""What fields on grids share: noise that goes together, open axes, sensors between places and beside land."""

import jax.numpy as jnp
import numpy as np
import pytest

from assim.data.gridding import Grid
from assim.models.baselines.fields.persistence import StillField
from assim.nn.lowrank import LowRankNoise
from assim.nn.openaxes import cropped, for_each, mirrored, positions, require_closing
from assim.statespace import Span

GRID = Grid(("y", "x"), (0.0, 10.0), (1.0, 2.0), (4, 5), ("m", "m"))
STEP = Span(jnp.asarray(1.0), jnp.zeros(0))


def test_noise_goes_together_as_its_root_says(x64, key):
    root = jnp.array([[1.0, 0.0], [0.5, 2.0], [0.0, -1.0]])
    floor = jnp.array([0.1, 0.0, 0.7])
    noise = LowRankNoise(root, floor)
    covariance = np.asarray(root @ root.T) + np.diag(floor**2)
    np.testing.assert_allclose(noise.variance, np.diag(covariance))
    drawn = noise.sample(key, (40_000,))
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1)
    np.testing.assert_allclose(drawn.mean(axis=0), noise.mean, atol=0.05)
    alone = LowRankNoise(jnp.zeros((3, 0)), floor)
    assert alone.sample(key, (2, 5)).shape == (2, 5, 3)
    np.testing.assert_allclose(alone.variance, floor**2)


def test_an_open_axis_is_followed_by_its_mirror_image():
    z = jnp.arange(6.0).reshape(1, 2, 3)
    both = mirrored(z, (False, True))
    np.testing.assert_array_equal(both[0, :, 0], [0.0, 3.0, 3.0, 0.0])
    np.testing.assert_array_equal(mirrored(z, (True, True)), z)
    np.testing.assert_array_equal(cropped(mirrored(z, (False, False)), (2, 3)), z)


def test_positions_run_along_open_axes_alone(x64):
    np.testing.assert_allclose(positions(GRID, (False, True))[0][:6], [-1, -1, -1, -1, -1, -1 / 3])
    np.testing.assert_allclose(positions(GRID, (False, False))[1][:5], np.linspace(-1, 1, 5))
    assert positions(GRID, (True, True)).shape == (0, 20)


def test_a_setting_is_for_all_axes_or_for_each():
    assert for_each(True, 2) == (True, True) and for_each((3, 4), 2) == (3, 4)
    with pytest.raises(ValueError, match="3 values are given for a grid of 2 axes"):
        for_each((1, 2, 3), 2)


@pytest.mark.parametrize(
    ("units", "periodic", "says"),
    [
        (("degrees_north", "degrees_east"), (True, True), r"'y' .* as periodic=\(False, True\)"),
        (("m", "degrees_east"), (True, True), r"'x' .* spans 10 .* as periodic=\(True, False\)"),
    ],
)
def test_an_axis_that_cannot_close_is_refused(units, periodic, says):
    grid = Grid(GRID.dims, GRID.starts, GRID.steps, GRID.sizes, units)
    with pytest.raises(ValueError, match=says):
        require_closing(grid, periodic)
    require_closing(grid, (False, False))


@pytest.fixture
def field(x64):
    """Two fields, of which the first is 10 y + x, with land at one place."""
    sea = jnp.ones(20, bool).at[6].set(False)
    states = jnp.concatenate([jnp.asarray(GRID.points() @ [10.0, 1.0]), jnp.zeros(20)])[None]
    return StillField(
        jnp.zeros((40, 1)),
        jnp.ones(40),
        states,
        sea,
        jnp.array([0.3, 0.4]),
        GRID,
        ("a", "b"),
        (False, True),
        1.0,
    )


def test_sensors_read_the_first_field_between_its_places(field):
    where = jnp.array([[2.5, 13.0], [99.0, 10.0], [1.0, 13.0]])
    seen = field.observation(field.states[0], STEP, where, jnp.array([0.4, 0.0, 0.0]))
    np.testing.assert_allclose(
        seen.mean, [25.0 + 13.0, 40.0, 10.0 + 14.0]
    )  # beside land, its other side
    np.testing.assert_allclose(seen.scale, [0.5, 0.3, 0.3])


def test_without_sensors_every_place_is_read(field):
    seen = field.observation(field.states[0], STEP)
    np.testing.assert_array_equal(seen.mean, field.states[0])
    np.testing.assert_allclose(seen.scale, np.repeat([0.3, 0.4], 20))
    np.testing.assert_array_equal(field.sensors(), field.places())
    np.testing.assert_array_equal(field.places()[20:], GRID.points())
    assert field.channels() == ("a", "b") and not field.wet[26]
