"""Paths of a posterior from many origins, under one `jit`: parameters are drawn once per path."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Normal

from assim.model import AbstractModel
from assim.problem import bind
from assim.series import Layout, Series, Window, on_the_clock, windows
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractForecaster,
    AbstractPredictive,
    AbstractStateSpace,
    Span,
)
from assim.tree import Fitted
from assim.types import Array, Float, Int, Key, Keys, Sites

NESTED_PARAMETERS = 24
NESTED_PATHS = 24


class Rolled(eqx.Module):
    """Forecasts in internal units.

    Args:
        paths: one path per posterior draw, shape (origin, draw, lead, channel).
        nested: several paths for each of a few draws, shape (origin, parameter, path, lead, channel).
        log_score: log of the mixture density at what came, shape (origin, lead, channel).
    """

    paths: Float[Array, "origin draw lead channel"]
    nested: Float[Array, "origin parameter path lead channel"]
    log_score: Float[Array, "origin lead channel"]


def roll(
    fitted: Fitted,
    layout: Layout,
    series: Series,
    pairs: Int[Array, "origin 2"],
    leads: int,
    sites: Sites,
    *,
    key: Key,
    labels: Int[Array, "origin 2"] | None = None,
    each: int = 1,
) -> Rolled:
    """The forecasts of a posterior from the (run, origin) `pairs`, `leads` steps ahead.

    Args:
        fitted: the posterior.
        layout: what the columns are.
        series: the record; what lies after an origin serves for scores and known inputs alone.
        pairs: run and row of each origin.
        leads: number of steps.
        sites: draws used, each shape (draw, ...).
        key: a path's key is folded from it and from the labels of its origin.
        labels: two numbers that name each origin whatever record it is cut from; None for its run and row.
        each: how many draws that follow each other are one, told again.
    """
    needs = fitted.model.needs()
    ahead = max(leads, needs.horizon)
    size = replace(needs, horizon=ahead).size
    cut_out = windows(series, pairs, step=layout.step, **size)
    if needs.own_times:
        cut_out = on_the_clock(cut_out, layout.step)
    labels = pairs if labels is None else labels
    fixed = (fitted.constants, fitted.centre)
    return _roll(fitted.model, layout, *fixed, cut_out, labels, leads, sites, key, each)


@eqx.filter_jit
def _roll(
    model: AbstractModel,
    layout: Layout,
    constants: Sites,
    centre: Sites | None,
    cut_out: Window,
    labels: Array,
    leads: int,
    sites: Sites,
    key: Key,
    each: int,
) -> Rolled:
    """The forecasts of windows, so that a record of another length compiles nothing again."""
    count = next(iter(sites.values())).shape[0]
    own = count // each
    few = np.unique(np.linspace(0, own - 1, min(NESTED_PARAMETERS, own)).round().astype(int))
    few *= each

    def path(theta: Sites, window: Window, key: Key) -> tuple[Array, Array]:
        ssm = bind(model, theta, layout, constants, centre)
        values, density = rolled_path(ssm, window, key=key)
        return values[:leads], density[:leads]

    def origin(window: Window, label: Array) -> tuple[Array, Array, Array]:
        k_here = jax.random.fold_in(jax.random.fold_in(key, label[0]), label[1])
        k_paths, k_nested = jax.random.split(k_here)
        keys = jax.random.split(k_paths, count)
        values, density = jax.vmap(path, in_axes=(0, None, 0))(sites, window, keys)
        some = jax.tree.map(lambda leaf: leaf[few], sites)
        more = jax.random.split(k_nested, (len(few), NESTED_PATHS))
        again = jax.vmap(path, in_axes=(None, None, 0))
        nested, _ = jax.vmap(again, in_axes=(0, None, 0))(some, window, more)
        return values, nested, jax.nn.logsumexp(density, axis=0) - jnp.log(count)

    return Rolled(*jax.vmap(origin)(cut_out, labels))


def rolled_path(ssm: AbstractStateSpace, window: Window, *, key: Key) -> tuple[Array, Array]:
    """One path of readings after a window, and the density of what came along it, each (lead, channel).

    The density of a step is that of the model's own one-step predictive given the path so far, or, where it has
    none, that of a reading of the path: averaged over paths it is the mixture score, by the former with less noise
    (Rao and Blackwell).
    """
    k_init, k_start, k_path = jax.random.split(key, 3)
    x = ssm.init(window.context, key=k_init).sample(k_start)
    if isinstance(ssm, AbstractForecaster):
        density = ssm.predict(x, window.spans, window.u)
        values = ssm.path(x, window.spans, window.u, key=k_path)
        return values, density.widened(window.sd).log_prob(window.y)

    def step(x: Array, at: tuple) -> tuple[Array, tuple[Array, Array]]:
        number, span, u, y, sd = at
        k_move, k_see = jax.random.split(jax.random.fold_in(k_path, number))
        before, x = x, ssm.transition(x, span, u, key=k_move)
        if isinstance(ssm, AbstractPredictive):
            told = ssm.predictive(before, span, u, sd)
        else:
            told = ssm.observation(x, span, sd=sd, u=u)
        return x, (ssm.observation(x, span, u=u).sample(k_see), told.log_prob(y))

    numbers = jnp.arange(window.y.shape[0])
    rows = (numbers, window.spans, window.u, window.y, window.sd)
    return jax.lax.scan(step, x, rows)[1]


@eqx.filter_jit
def roll_fields(
    model: AbstractModel,
    layout: Layout,
    constants: Sites,
    sites: Sites,
    first: Float[Array, "path state"],
    spans: Span,
    u: Float[Array, "lead input"],
    came: Float[Array, "lead newest"],
    keys: Keys,
) -> tuple[Float[Array, "path lead newest"], Float[Array, "path lead newest"]]:
    """Paths of fields from one time, and the density of what came along each, place by place.

    The density is that of one step given the path so far, as in `rolled_path`.

    Args:
        model: the family.
        layout: what the fields are.
        constants: what was counted at the fit.
        sites: a draw for each path, each shape (path, ...).
        first: what each path starts from, file units.
        spans: the steps, stacked on (lead,); seconds.
        u: inputs at the end of each step.
        came: the fields there, file units; any number where none is known.
        keys: of each path.
    """

    def path(theta: Sites, x: Array, key: Key) -> tuple[Array, Array]:
        ssm = bind(model, theta, layout, constants)
        if not isinstance(ssm, AbstractAdditiveNoise):
            raise TypeError(
                f"{type(ssm).__name__} has no density of one step: fields are told by theirs."
            )

        def step(x: Array, at: tuple) -> tuple[Array, tuple[Array, Array]]:
            number, span, inputs, y = at
            loc, noise = ssm.flow(x, span, inputs), ssm.process_noise(x, span)
            x = loc + noise.sample(jax.random.fold_in(key, number))
            sd = jnp.sqrt(jnp.where(noise.variance > 0, noise.variance, 1.0))[: y.size]
            return x, (x[: y.size], Normal(loc[: y.size], sd).log_prob(y))

        return jax.lax.scan(step, x, (jnp.arange(u.shape[0]), spans, u, came))[1]

    return jax.vmap(path)(sites, first, keys)
