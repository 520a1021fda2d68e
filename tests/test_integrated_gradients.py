"""The path to a window: directions go the short way round, gaps stay, a baseline is whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assim.data.scaling import TURN
from assim.integrated_gradients import Baselines, straight
from assim.series import Layout, Series, Stream, cut

LAYOUT = Layout(("d", "y"), ("circle", "real"), (True, True), ("u",), 1, 1.0)
ROWS = 4
ALL = (True,) * ROWS


@jax.jit
def told(series, baseline, linked):
    """To the window that ends at the fourth row, with two leads."""
    window = cut(series, jnp.asarray(0), jnp.asarray(3), context=ROWS, horizon=2, step=1.0)
    return straight(
        window, baseline, linked[:, None] | jnp.array([False, True]), jnp.zeros(2), LAYOUT
    )


def path(readings, baseline, read=ALL, there=ALL, linked=ALL):
    """Start and way of a direction and a plain sensor with the same numbers, and of a control."""
    y, mask = (np.repeat(np.array(v)[:, None], 2, axis=1)[None] for v in (readings, read))
    pad = ((0, 0), (0, 2), (0, 0))
    y, mask = (jnp.asarray(np.pad(v, pad)) for v in (y.astype(np.float32), mask))
    tick = jnp.arange(ROWS + 2, dtype=jnp.int32)[None]
    stream = Stream(tick, 0.0 * tick, y, mask, 0 * y)
    series = Series({"main": stream}, 0 * y[..., :1] + 0.5, tick >= 0)
    start, known = (jnp.asarray(np.repeat(np.array(v)[:, None], 2, 1)) for v in (baseline, there))
    parts = told(series, Baselines(start, known, jnp.full((2, 1), -1.0)), jnp.array(linked))
    return [(np.asarray(p[:-2]).reshape(ROWS, 2), np.asarray(p[-2:])) for p in parts]


def test_readings_and_controls_end_where_the_window_is():
    (start, u), (way, more) = path([0.1, 0.2, 0.3, 0.4], [1.0, 1.1, 1.2, 1.3])
    np.testing.assert_allclose(start[:, 1] + way[:, 1], [0.1, 0.2, 0.3, 0.4], rtol=1e-6)
    np.testing.assert_allclose(start[:, 1], [1.0, 1.1, 1.2, 1.3], rtol=1e-6)
    np.testing.assert_allclose(u, -1.0)
    np.testing.assert_allclose(more, 1.5)


@pytest.mark.parametrize("turns", [0.0, TURN, -TURN])
def test_directions_go_the_short_way_round(turns):
    """From 3.0 to -3.0 it is 0.28, not 6; what came before keeps its turn from it."""
    (start, _), (way, _) = path([2.8, 2.9, 3.1, -3.0], np.full(4, 3.0) + turns)
    np.testing.assert_allclose(way[:, 0], [-0.2, -0.1, 0.1, TURN - 6.0], atol=1e-5)
    np.testing.assert_allclose(start[:, 1] + way[:, 1], [2.8, 2.9, 3.1, -3.0], atol=1e-5)


def test_increments_of_directions_never_jump_along_the_way():
    """The way of each row alone would be the short one too, and neighbours would part by a turn."""
    (start, _), (way, _) = path([-3.1, 3.0, 2.9, 2.8], np.zeros(4))
    ends = start[:, 0] + way[:, 0]
    np.testing.assert_allclose(np.diff(ends), [3.0 - (TURN - 3.1), -0.1, -0.1], atol=1e-5)
    assert ends[-1] == pytest.approx(2.8, abs=1e-5)


def test_a_turn_is_kept_from_what_is_linked_alone():
    """In steps of 1.4 the oldest is 4.2 away, and by itself as far as 2.1 the other way round."""
    readings, still = np.mod([4.2, 2.8, 1.4, 0.0], TURN), np.zeros(4)
    for linked, oldest in ((ALL, 4.2), ((True, False, False, True), 4.2 - TURN)):
        (start, _), (way, _) = path(readings, still, linked=linked)
        ends = start[:, 0] + way[:, 0]
        np.testing.assert_allclose(ends, [oldest, 2.8, 1.4, 0.0], atol=1e-5)


def test_gaps_have_no_way_and_a_baseline_fills_its_own():
    read, there = (True, False, True, False), (False, True, False, False)
    (start, _), (way, _) = path([1.0, 0.0, 2.0, 0.0], [9.0, 0.5, 9.0, 9.0], read, there)
    np.testing.assert_allclose(start[:, 1], 0.5)
    np.testing.assert_allclose(way[:, 1], [0.5, 0.0, 1.5, 0.0])


def test_a_sensor_that_a_baseline_never_read_starts_from_its_mean():
    (start, _), (way, _) = path([1.0, 2.0, 3.0, 4.0], np.full(4, 9.0), there=(False,) * ROWS)
    np.testing.assert_allclose(start[:, 1], 0.0)
    np.testing.assert_allclose(way[:, 1], [1.0, 2.0, 3.0, 4.0])
