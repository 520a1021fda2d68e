"""Fields on another grid, against fields of a few waves told there."""

import jax.numpy as jnp
import numpy as np
import pytest

from assim.data.gridding import Grid
from assim.nn.resampling import resampled, turns


def grid(*sizes, lengths=(8.0, 6.0), turned=False):
    steps = tuple(length / n for length, n in zip(lengths, sizes, strict=False))
    starts = tuple(0.5 * step for step in steps)
    if turned:
        starts, steps = (lengths[0] - starts[0], *starts[1:]), (-steps[0], *steps[1:])
    dims = ("y", "x")[: len(sizes)]
    return Grid(dims, starts, steps, sizes, ("",) * len(sizes))


def closed(at):
    return 1.0 + np.cos(2 * np.pi * at / 8.0) - 0.5 * np.sin(2 * np.pi * 3 * at / 8.0)


def opened(at):
    """Waves whose slope is none at both ends."""
    return 1.0 + np.cos(np.pi * at / 8.0) - 0.5 * np.cos(np.pi * 5 * at / 8.0)


@pytest.mark.parametrize("sizes", [(10, 16), (16, 10), (9, 25)])
@pytest.mark.parametrize("field, closes", [(closed, True), (opened, False)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_field_of_long_waves_is_the_same_on_either_grid(sizes, field, closes, turned, x64):
    old, new = (grid(n, turned=turned) for n in sizes)
    found = resampled(jnp.asarray(field(old.axis(0)))[None], turns(old, new, (closes,)))
    np.testing.assert_allclose(found[0], field(new.axis(0)), atol=1e-12)


def test_each_axis_by_itself(x64):
    old, new = grid(9, 12), grid(14, 10)
    told = lambda g: opened(g.axis(0))[:, None] * np.cos(2 * np.pi * g.axis(1) / 6.0)  # noqa: E731
    found = resampled(jnp.asarray(told(old))[None], turns(old, new, (False, True)))
    np.testing.assert_allclose(found[0], told(new), atol=1e-12)


def test_waves_too_short_for_the_coarser_grid_are_left_behind(x64):
    old, new = grid(32), grid(8)
    short = np.cos(2 * np.pi * 6 * old.axis(0) / 8.0)
    found = resampled(jnp.asarray(closed(old.axis(0)) + short)[None], turns(old, new, (True,)))
    np.testing.assert_allclose(found[0], closed(new.axis(0)), atol=1e-12)
