r"""Integrated gradients: what each reading and each planned control adds to a forecast, along a straight path.

$$\mathrm{IG}_i(x) = (x_i - x'_i) \int_0^1 \partial_i F\big(x' + a\,(x - x')\big)\,da, \qquad
\sum_i \mathrm{IG}_i(x) = F(x) - F(x')$$

(Sundararajan, Taly and Yan 2017, arXiv 1703.01365, equation 1 and proposition 1), by the midpoint rule. The
entries of x are the readings of a lag window and the controls of the leads ahead. F is, at one lead, the mean
$\mu_\theta$ of each draw of the parameters, the log of its variance, or the variance of the K means, of which

$$\partial_i \operatorname{Var}_\theta \mu_\theta =
\frac{2}{K - 1} \sum_k (\mu_k - \bar\mu)\,\partial_i \mu_k.$$

Averaged over several x' these are expected gradients (Erion et al. 2021, arXiv 1906.10670).

What was not read is not read anywhere along the path, and the calendar is that of x. Where a start of a path
lacks a reading, the one next to it stands for it. Directions go the short way round to the newest reading, and an
earlier one keeps its turn from the next newer one that F hangs on; a model that compares it with yet another may
jump by a turn on the way, which the sum then misses. A model that rolls out goes along its mean path, each step
taking the mean of the one before for its reading.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.model import AbstractModel
from assim.nn.counting import deviation
from assim.nn.emission import Emission, directions
from assim.nn.window import AbstractWindowed, newest
from assim.problem import bind
from assim.series import Layout, Window
from assim.statespace import AbstractForecaster, AbstractPredictive, AbstractStateSpace
from assim.types import Array, Bool, Float, Int, Sites

QUANTITIES = ("mean", "log_variance")
"""What is told of each draw, in that order."""


class Baselines(eqx.Module):
    """Windows in which paths start, those of each run stacked on (run, baseline).

    Args:
        y: readings, shape (..., lag, channel), internal units; anything where missing.
        mask: True where read, shape (..., lag, channel).
        u: controls, shape (..., lead, control), internal units.
    """

    y: Float[Array, "... lag channel"]
    mask: Bool[Array, "... lag channel"]
    u: Float[Array, "... lead control"]


class Attributed(eqx.Module):
    """Attributions in internal units; entries are readings (lag, channel), behind them controls (lead, control).

    Args:
        each: of mean and log variance, shape (origin, draw, quantity, target, entry).
        epistemic: of the variance of the means, shape (origin, target, entry); NaN where there is but one draw.
        each_change: what the first should add up to, F(x) - F(x'), shape (origin, draw, quantity, target).
        epistemic_change: and the second, shape (origin, target).
    """

    each: Float[Array, "origin draw quantity target entry"]
    epistemic: Float[Array, "origin target entry"]
    each_change: Float[Array, "origin draw quantity target"]
    epistemic_change: Float[Array, "origin target"]


@eqx.filter_jit
def integrated_gradients(
    model: AbstractModel,
    fixed: tuple[Layout, Sites, Sites | None],
    sites: Sites,
    cut_out: Window,
    runs: Int[Array, " origin"],
    baselines: Baselines,
    *,
    lead: int,
    targets: tuple[int, ...],
    points: int,
) -> Attributed:
    """The attributions of the forecasts of some windows, one origin after the other.

    Args:
        model: whose state is its lag window.
        fixed: what a draw is bound with: the layout, the constants, with the `mean` of each channel among them, and
            the centre of a linearised network.
        sites: draws, each shape (draw, ...).
        cut_out: windows (origin, ...), the controls known at each of their leads.
        runs: the run of each.
        baselines: where the paths of each run start.
        lead: the lead, steps from 1.
        targets: the channels that are explained.
        points: midpoints on each path.
    """
    layout, mean = fixed[0], fixed[1]["mean"]
    count, starts = next(iter(sites.values())).shape[0], baselines.y.shape[1]
    part = 1.0 / (points * starts)

    def origin(at: tuple[Window, Array]) -> Attributed:
        window, run = at

        def told(theta: Sites, entries: Array) -> tuple[Array, Array]:
            ssm = bind(model, theta, *fixed)
            value = at_lead(ssm, _with_entries(window, entries, layout), lead)[:, np.array(targets)]
            return value, value

        slope_of = jax.jacrev(told, argnums=1, has_aux=True)
        slopes = jax.vmap(slope_of, in_axes=(0, None))
        linked = jnp.ones(window.context.y.shape, bool)
        if directions(layout.supports).any():
            still = jnp.broadcast_to(mean, linked.shape).ravel(), jnp.zeros(baselines.u[0, 0].size)
            slope, _ = slope_of({k: v[0] for k, v in sites.items()}, jnp.concatenate(still))
            linked = (slope != 0).any(axis=(0, 1))[: linked.size].reshape(linked.shape)
        here = jax.tree.map(lambda leaf: leaf[run], baselines)
        start, way = jax.vmap(lambda b: straight(window, b, linked, mean, layout))(here)

        def midpoint(total: tuple[Array, Array], number: Array) -> tuple[tuple[Array, Array], None]:
            which, a = number // points, (number % points + 0.5) / points
            slope, value = slopes(sites, start[which] + a * way[which])
            between = _slope_of_variance(value[:, 0], slope[:, 0])
            step = part * way[which]
            return (total[0] + step * slope, total[1] + step * between), None

        shape = (count, len(QUANTITIES), len(targets), start.shape[-1])
        none = jnp.zeros(shape, start.dtype), jnp.zeros(shape[2:], start.dtype)
        (each, epistemic), _ = jax.lax.scan(midpoint, none, jnp.arange(starts * points))

        def change(ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = (jax.vmap(told, in_axes=(0, None))(sites, end)[0] for end in ends)
            return high - low, _variance(high[:, 0]) - _variance(low[:, 0])

        changes = jax.lax.map(change, (start, start + way))
        return Attributed(each, epistemic, *(leaf.mean(axis=0) for leaf in changes))

    return jax.lax.map(origin, (cut_out, runs))


def straight(
    window: Window,
    baseline: Baselines,
    linked: Bool[Array, "lag channel"],
    mean: Float[Array, " channel"],
    layout: Layout,
) -> tuple[Float[Array, " entry"], Float[Array, " entry"]]:
    """Where the path to a window starts, and the way from there to the window; 0 along what was not read.

    Args:
        window: where the path ends.
        baseline: where it starts, one of one run.
        linked: whether older directions keep their turn from a reading, shape (lag, channel).
        mean: of each channel in training, shape (channel,), internal units: what a channel starts from that the
            baseline never read.
        layout: what the columns are.
    """
    y, mask = baseline.y, baseline.mask
    linked = linked | ~directions(layout.supports)
    start = _gapless(y, mask, linked, newest(y, mask, mean)[0], layout)
    end = _gapless(window.context.y, window.context.mask, linked, start[-1], layout)
    way = jnp.where(window.context.mask, end - start, 0.0)
    plan = window.u[:, : layout.num_controls]
    join = jnp.concatenate
    return (
        join([start.ravel(), baseline.u.ravel()]),
        join([way.ravel(), (plan - baseline.u).ravel()]),
    )


def at_lead(ssm: AbstractStateSpace, window: Window, lead: int) -> Float[Array, "quantity channel"]:
    """Mean and log variance at a lead, internal units, without regard to bounds and the file's own error.

    Of a model that rolls out, given that each earlier step came out at its mean: the variance is then that of the
    last step alone.
    """
    key = jax.random.key(0)  # a window is as it was read: nothing of it is drawn
    x = ssm.init(window.context, key=key).sample(key)
    if isinstance(ssm, AbstractForecaster):
        density = ssm.predict(x, window.spans, window.u)
        mean, variance = density.mean, density.variance
    else:
        assert isinstance(ssm, AbstractPredictive)

        def step(x: Array, at: tuple) -> tuple[Array, tuple[Array, Array]]:
            density = ssm.predictive(x, *at)
            return _moved_to_mean(x, density), (density.mean, density.variance)

        ahead = jax.tree.map(lambda leaf: leaf[:lead], (window.spans, window.u))
        mean, variance = jax.lax.scan(step, x, ahead)[1]
    return jnp.stack([mean[lead - 1], jnp.log(variance[lead - 1])])


def serves(ssm: AbstractStateSpace) -> bool:
    """Whether a state space forecasts from a lag window, so that readings are what its forecasts hang on."""
    return isinstance(ssm, AbstractWindowed) and isinstance(
        ssm, AbstractForecaster | AbstractPredictive
    )


def _gapless(
    y: Float[Array, "lag channel"],
    mask: Bool[Array, "lag channel"],
    linked: Bool[Array, "lag channel"],
    newest: Float[Array, " channel"],
    layout: Layout,
) -> Float[Array, "lag channel"]:
    """Readings, each direction within half a turn of the next newer linked one; where there is none, that one."""
    circular = directions(layout.supports)

    def row(newer: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        value, read, link = at
        near = jnp.where(read, newer + deviation(value, newer, circular), newer)
        return jnp.where(link, near, newer), near

    return jax.lax.scan(row, newest, (y, mask, linked), reverse=True)[1]


def _with_entries(window: Window, entries: Float[Array, " entry"], layout: Layout) -> Window:
    """The window with other readings and controls; its calendar stays."""
    y, u = jnp.split(entries, [window.context.y.size])
    known = u.reshape(window.u.shape[0], layout.num_controls)
    context = replace(window.context, y=y.reshape(window.context.y.shape))
    calendar = window.u[:, layout.num_controls :]
    return replace(window, context=context, u=jnp.concatenate([known, calendar], axis=1))


def _moved_to_mean(x: Array, density: Emission) -> Array:
    """The lag window one row later, the mean entering for a reading; a turn of a direction is no jump of it."""
    loc = density.loc
    value = jnp.where(directions(density.supports), loc, density.fold(loc))
    row = jnp.stack([value, jnp.ones_like(loc), density.scale, loc])
    return jnp.concatenate([x[:, 1:], row[:, None]], axis=1)


def _variance(mean: Float[Array, "draw target"]) -> Float[Array, " target"]:
    return mean.var(axis=0, ddof=1) if len(mean) > 1 else jnp.full(mean.shape[1:], jnp.nan)


def _slope_of_variance(
    mean: Float[Array, "draw target"], slope: Float[Array, "draw target entry"]
) -> Float[Array, "target entry"]:
    """Of the variance of the means."""
    weight = 2.0 / (len(mean) - 1) if len(mean) > 1 else jnp.nan
    return weight * jnp.einsum("kt,kte->te", mean - mean.mean(axis=0), slope)
