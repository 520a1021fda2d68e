r"""What the other sensors say of each, and how sure a posterior is, under one `jit`.

For each reading $y_c$ of the row after a window, with D posterior draws of location $\mu$ and variance $s^2$, once
with all sensors in the window and once with the past of each sensor h hidden,

$$m_h = \operatorname E_\theta\,\mu_h, \qquad v_h = \operatorname{Var}_\theta\,\mu_h, \qquad
z_c = \frac{y_c - m_{c,c}}{\sqrt{\operatorname E_\theta s_{c,c}^2 + v_{c,c}}}$$

$z_c$ is far from 0 where a sensor says what the others, by whatever they know of it, do not. $v$ is large where a
window is unlike those of the fit, and less so once the sensor that makes it so is hidden.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.model import AbstractModel, AbstractPointwise, AbstractStretched, AbstractWindowless
from assim.nn.emission import Emission, directions, wrap
from assim.problem import bind
from assim.series import Layout, Series, Window, windows
from assim.tree import Fitted
from assim.types import Array, Float, Int, Sites

TOGETHER = 64
"""Windows looked at at once, so that no more shapes are compiled."""


class Expected(eqx.Module):
    """What a posterior expects of the row after each window.

    Args:
        off: z, how far each reading is from what the other sensors expect, shape (window, channel), in standard
            deviations; NaN where nothing was read, and of a sensor that the model does not foretell.
        epistemic: v, with none hidden and then with each sensor, shape (window, hidden, channel), internal units
            squared; NaN of a sensor that the model does not foretell.
    """

    off: Float[Array, "window channel"]
    epistemic: Float[Array, "window hidden channel"]


def require_masked(model: AbstractModel) -> AbstractPointwise:
    """The model, as one that has learned to do without a sensor.

    Raises:
        TypeError: a model without a density for each reading after a window.
        ValueError: one that has always seen all sensors.
    """
    windowed = not isinstance(model, AbstractWindowless | AbstractStretched)
    if not (isinstance(model, AbstractPointwise) and windowed):
        raise TypeError(
            f"{type(model).__name__} has no density of a reading given a window of the others: sensors are checked "
            "by an Autoregressive."
        )
    if model.undisturbed() == model:
        raise ValueError(
            f"The {type(model).__name__} was fitted with all sensors seen (mask_rate=0) and has not learned to do "
            "without one: fit it with mask_rate=0.2."
        )
    return model


def expected(
    fitted: Fitted, layout: Layout, series: Series, pairs: Int[np.ndarray, "n 2"], sites: Sites
) -> Expected:
    """What a posterior expects of rows of a record, of each sensor given all others.

    Args:
        fitted: the posterior.
        layout: what the columns are.
        series: the record.
        pairs: run and row that each window ends with; the row after it is what is expected.
        sites: draws used, each shape (draw, ...).
    """
    needs = fitted.model.needs()
    model, fixed = require_masked(fitted.model).undisturbed(), (fitted.constants, fitted.centre)
    told = []
    for start in range(0, len(pairs), TOGETHER):
        here = pairs[start : start + TOGETHER]
        padded = np.concatenate([here, np.repeat(here[-1:], TOGETHER - len(here), axis=0)])
        cut_out = windows(series, jnp.asarray(padded), step=layout.step, **needs.size)
        part = _expected(model, layout, *fixed, cut_out, sites)
        told.append(jax.tree.map(lambda leaf: np.asarray(leaf), part))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(pairs)], *told)


@eqx.filter_jit
def _expected(
    model: AbstractPointwise,
    layout: Layout,
    constants: Sites,
    centre: Sites | None,
    cut_out: Window,
    sites: Sites,
) -> Expected:
    channels = len(layout.channels)
    each = jnp.eye(channels, dtype=bool)
    hidden = jnp.concatenate([jnp.zeros((1, channels), bool), each])

    def without(window: Window, gone: Array) -> object:
        context = window.context
        mask = context.mask & ~gone
        y, sd = (jnp.where(mask, leaf, 0.0) for leaf in (context.y, context.sd))
        context = replace(context, y=y, mask=mask, sd=sd)
        told = jnp.ones_like(window.mask)
        window = replace(window, context=context, mask=told, run=jnp.asarray(-1))
        return model.prepare(window, layout, constants, key=jax.random.key(0))  # nothing is random

    examples = jax.vmap(lambda w: jax.vmap(lambda gone: without(w, gone))(hidden))(cut_out)
    scored = jax.vmap(jax.vmap(lambda e: model.reading(e)[1]))(examples)[:, 0, 0]

    def draw(theta: Sites) -> tuple[Array, Array]:
        ssm = bind(model, theta, layout, constants, centre)
        density = jax.vmap(jax.vmap(lambda e: model.density(ssm, e)))(examples)
        return density.mean[:, :, 0], density.variance[:, :, 0]

    loc, variance = jax.lax.map(draw, sites)
    turning = jnp.asarray(directions(layout.supports))
    near = loc[0] + jnp.where(turning, wrap(loc - loc[0]), loc - loc[0])
    mean, epistemic = near.mean(axis=0), near.var(axis=0)
    y, mask = cut_out.y[:, 0], cut_out.mask[:, 0]
    own = 1 + jnp.arange(channels), jnp.arange(channels)
    middle = Emission(mean[:, *own], jnp.ones(y.shape), layout.supports).fold(mean[:, *own])
    error = jnp.where(turning, wrap(y - middle), y - middle)
    spread = variance.mean(axis=0)[:, *own] + epistemic[:, *own]
    off = jnp.where(mask & scored, error / jnp.sqrt(spread), jnp.nan)
    return Expected(off, jnp.where(scored[:, None], epistemic, jnp.nan))
