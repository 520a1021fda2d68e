"""What drives the operator beside its fields: it tells places apart by what stays, and steps by what is known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from assim.models import Gain, SemilinearOperator
from assim.problem import bind
from assim.series import Layout
from tests.learned_fields import grid, one, stretch


def driven(model, *sizes, static, key, land=None):
    """The state space of a draw of the prior, and what was counted, with inputs of the names of the model."""
    place = int(np.prod(sizes))
    inputs = model.controls
    layout = Layout(("u",), ("real",), (True,), inputs, len(inputs), 10.0, grid(*sizes))
    parts = stretch(3.0 + 2.0 * jax.random.normal(key, (20, place)), inputs=len(inputs))
    if land is not None:
        told = jnp.broadcast_to(~land, parts.first.shape)
        parts = replace(parts, told=told, first=jnp.where(told, parts.first, 0.0))
    constants = model.placed(model.counted(parts, layout), static)
    traced = handlers.trace(handlers.seed(model.prior, key)).get_trace(layout, constants)
    sites = {n: s["value"] for n, s in traced.items() if s["type"] == "sample"}
    return bind(model, sites, layout, constants), constants, layout


@pytest.mark.slow
def test_places_of_a_ring_are_told_apart_by_what_stays_alone(x64, key):
    """The flow commutes with shifts: of field and static field together, and without one of the field alone."""
    k_static, k_field = jax.random.split(key)
    pattern = jax.random.normal(k_static, (1, 16))
    x = 3.0 + jax.random.normal(k_field, (16,))
    turned = jnp.roll(x, 5)
    for static, same in ((pattern, False), (pattern[:0], True)):
        model = SemilinearOperator(modes=4, width=4, layers=1, static=("f",) if static.size else ())
        here, there = (
            driven(model, 16, static=jnp.roll(static, by, axis=1), key=key)[0] for by in (0, 5)
        )
        wanted = jnp.roll(here.flow(x, one(10.0)), 5)
        np.testing.assert_allclose(there.flow(turned, one(10.0)), wanted, rtol=1e-9)
        alike = np.allclose(here.flow(turned, one(10.0)), wanted, atol=1e-3)
        assert alike is same


def test_what_is_known_of_a_step_drives_all_places_alike(x64, key):
    model = SemilinearOperator(modes=4, width=4, layers=1, controls=("wind", "tide"))
    ssm, _, _ = driven(model, 16, static=jnp.zeros((0, 16)), key=key)
    x, apart = jnp.full(16, 3.0), []
    for u in (jnp.zeros(2), jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0])):
        moved = ssm.flow(x, one(10.0), u)
        np.testing.assert_allclose(moved, moved[0], rtol=1e-9)
        apart.append(float(moved[0]))
    assert min(abs(a - b) for a, b in zip(apart, apart[1:] + apart[:1], strict=True)) > 1e-3
    np.testing.assert_array_equal(ssm.flow(x, one(10.0)), ssm.flow(x, one(10.0), jnp.zeros(2)))


@pytest.mark.parametrize("periodic", [pytest.param(True, marks=pytest.mark.slow), (False, True)])
def test_what_stays_is_zero_on_land_and_read_between_places_on_another_grid(periodic, x64, key):
    land = jnp.zeros((6, 8), bool).at[2, 3].set(True)
    model = SemilinearOperator(modes=3, width=4, layers=1, periodic=periodic, static=("f", "g"))
    static = jax.random.normal(key, (2, 48))
    _, constants, layout = driven(model, 6, 8, static=static, key=key, land=land.ravel())
    fixed = constants["fixed"]
    assert fixed.shape[0] == 2 + (1 if periodic is True else 2)
    np.testing.assert_array_equal(fixed[-2:][:, land.ravel()], 0.0)
    np.testing.assert_allclose(fixed[-2:][:, ~land.ravel()], static[:, ~land.ravel()])
    finer = model.regridded(constants, layout, grid(6, 32))
    assert finer["fixed"].shape == (fixed.shape[0], 192)
    old, new = fixed[-2:].reshape(2, 6, 8), finer["fixed"][-2:].reshape(2, 6, 32)
    np.testing.assert_allclose(new[:, :, ::4], old, atol=1e-12)
    wanted = 0.75 * old + 0.25 * jnp.roll(old, -1, axis=2)
    np.testing.assert_allclose(new[:, 0, 1::4], wanted[:, 0], atol=1e-12)
    np.testing.assert_allclose(new[:, 2, 9], old[:, 2, 2], atol=1e-12)  # beside land: by the sea
    np.testing.assert_array_equal(new[:, 2, 11:14], 0.0)
    again = model.regridded(finer, replace(layout, grid=grid(6, 32)), grid(6, 8))
    np.testing.assert_allclose(again["fixed"], fixed, atol=1e-12)


def test_a_gain_reads_what_drives_the_operator(x64, key):
    gain = Gain(width=4, layers=1, memory=2)
    model = SemilinearOperator(
        modes=3, width=4, layers=1, gain=gain, static=("f",), controls=("wind",), error=0.5
    )
    ssm, _, _ = driven(model, 16, static=jax.random.normal(key, (1, 16)), key=key)
    held = ssm.opened(jnp.full(16, 3.0), jnp.ones(16))
    assert float(jnp.std(held.alike[0])) > 1e-3  # of fields without a wave: the static one is seen
    y, mask, told = jnp.full(16, 4.0), jnp.arange(16) == 2, []
    for u in (jnp.zeros(1), jnp.ones(1)):
        told.append(ssm.correct(held, y, mask, one(10.0), u=u).mean)
    assert float(jnp.abs(told[0] - told[1]).max()) > 1e-4


def test_an_operator_without_a_network_is_driven_by_nothing():
    with pytest.raises(ValueError, match="layers=0 is an operator .* which f, wind would drive"):
        SemilinearOperator(layers=0, static="f", controls=["wind"])
