"""Small fields for tests: grids, stretches, and a learned operator of a draw of its prior."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from assim.data.gridding import Grid
from assim.problem import bind
from assim.series import Layout, Stretch
from assim.statespace import Span

LENGTH = 8.0


def grid(*sizes):
    dims = ("x", "y")[: len(sizes)]
    steps = tuple(LENGTH / n for n in sizes)
    return Grid(dims, (0.0,) * len(sizes), steps, sizes, ("m",) * len(sizes))


def stretch(fields, horizon=2, inputs=0):
    """Stretches (n, state) of fields that all are known."""
    n, state = fields.shape
    y = jnp.broadcast_to(fields[:, None], (n, horizon, state))
    spans = Span(jnp.full((n, horizon), 10.0), jnp.zeros((n, horizon, 0)))
    told = jnp.ones((n, state), bool)
    u = jnp.zeros((n, horizon, inputs))
    return Stretch(fields, told, spans, u, y, jnp.ones(y.shape, bool), jnp.arange(n))


def made(model, *sizes, key, names=("u",), land=None, **changes):
    """The state space of a draw of the prior on a grid, with a nominal step of 10 s."""
    layout = Layout(names, ("real",) * len(names), (True,) * len(names), (), 0, 10.0, grid(*sizes))
    fields = 3.0 + 2.0 * jax.random.normal(key, (20, len(names) * int(np.prod(sizes))))
    parts = stretch(fields)
    if land is not None:
        told = jnp.broadcast_to(~jnp.tile(land, len(names)), fields.shape)
        parts = replace(parts, told=told, first=jnp.where(told, fields, 0.0))
    constants = model.counted(parts, layout)
    traced = handlers.trace(handlers.seed(model.prior, key)).get_trace(layout, constants)
    sites = {n: s["value"] for n, s in traced.items() if s["type"] == "sample"}
    sites |= {k: jnp.broadcast_to(jnp.asarray(v), sites[k].shape) for k, v in changes.items()}
    return bind(model, sites, layout, constants)


def quiet(ssm):
    """The same without its network."""
    return eqx.tree_at(
        lambda s: s.network.head, ssm, jax.tree.map(jnp.zeros_like, ssm.network.head)
    )


def one(dt):
    return Span(jnp.asarray(dt), jnp.zeros(0))
