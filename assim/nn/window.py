r"""The state of a model that looks back: its lag window, as planes (values, presence, noise, latent).

Shape (4, lag, channel), the newest row last. A small known share $\alpha$ of the one-step noise s is the sensor's:
a state is never observed without error, so that filters can use the model.

$$\ell = \mu + \sqrt{1-\alpha^2}\,s\,\varepsilon, \qquad x = \text{fold}(\ell), \qquad
y = \text{fold}(\ell + \alpha\,s\,\varepsilon')$$

The reading is taken of the latent value, before a bound or the circle folds it: so it has the density of the model,
point masses included.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from assim.nn.counting import excess
from assim.nn.emission import Emission, directions, wrap
from assim.statespace import AbstractConstrained, AbstractTurning, Context, Span
from assim.types import Array, Bool, Float, Key, Sites

SENSOR_SHARE = 0.05
"""Standard deviation of the sensor's own noise, as a share of the one-step noise."""
LEAST_NOISE = 1e-6


class LagWindow(eqx.Module):
    """What a lag window is, beside its values.

    Args:
        rows: how many.
        supports: kind of each channel.
        constants: what was counted, `error_sd` (channel,) of it: the known error that readings have as a rule.
        df: degrees of freedom of the sensor's own noise, or None for a Normal.
    """

    rows: int = eqx.field(static=True)
    supports: tuple[str, ...] = eqx.field(static=True)
    constants: Sites
    df: float | None = eqx.field(static=True, default=None)


class AbstractWindowed(AbstractConstrained, AbstractTurning):
    """A model whose state is a lag window: what a filter may correct is its latent plane."""

    @property
    @abstractmethod
    def window(self) -> LagWindow:
        """What its window is."""

    def init(self, context: Context, *, key: Key) -> Distribution:
        """The window as observed."""
        return window_state(context, self.window.rows)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Emission:
        """The newest row through the sensor's own noise, and what the file's error has beyond the usual."""
        told = self.window
        more = None if sd is None else excess(sd, told.constants["error_sd"])
        return seen(x, told.supports, told.df, more)

    def settled(self, x: Array) -> Array:
        """Values, presence and noise as they follow from corrected latent values."""
        present, latent = x[1] > 0.5, x[3]
        folded = Emission(latent, jnp.ones_like(latent), self.window.supports).fold(latent)
        noise = jnp.maximum(x[2], 0.0)
        values = jnp.where(present, folded, 0.0)
        return jnp.stack([values, present.astype(x.dtype), noise, latent])

    def beside(self, x: Array, other: Array) -> Array:
        """The window, its directions within half a turn of those of another."""
        near = self.facing(x[3], other[3])
        return x.at[0].add(near - x[3]).at[3].set(near)

    def facing(self, seen: Array, y: Array) -> Array:
        """Values (..., channel), directions within half a turn of others."""
        turning = directions(self.window.supports)
        return jnp.where(turning, y + wrap(seen - y), seen) if turning.any() else seen


def window_state(context: Context, rows: int) -> Distribution:
    """The newest `rows` rows of a context, as observed."""
    y, mask, sd = context.y[-rows:], context.mask[-rows:], context.sd[-rows:]
    return dist.Delta(jnp.stack([y, mask.astype(y.dtype), sd, y]), event_dim=3)


def moved_on(x: Array, density: Emission, *, key: Key) -> Array:
    """The window one row later: the oldest row leaves, a row drawn from `density` (channel,) enters."""
    own = (1 - SENSOR_SHARE**2) ** 0.5
    latent = Emission(density.loc, own * density.scale, density.supports, density.df).latent(key)
    row = jnp.stack([density.fold(latent), jnp.ones_like(latent), density.scale, latent])
    return jnp.concatenate([x[:, 1:], row[:, None]], axis=1)


def seen(x: Array, supports: tuple[str, ...], df: float | None, sd: Array | None) -> Emission:
    """The newest row through the sensor's own noise, and the file's error where it is known."""
    own = jnp.maximum(SENSOR_SHARE * x[2, -1], LEAST_NOISE)
    reading = Emission(x[3, -1], own, supports, df)
    return reading if sd is None else reading.widened(sd)


def newest(
    values: Float[Array, "lag channel"], present: Bool[Array, "lag channel"], absent: Array
) -> tuple[Float[Array, " channel"], Float[Array, " channel"]]:
    """The newest present value of each channel (`absent` where there is none) and its age in [0, 1]."""
    lags = values.shape[0]
    rows = jnp.where(present, jnp.arange(lags)[:, None], -1)
    last = rows.max(axis=0)
    value = jnp.take_along_axis(values, jnp.maximum(last, 0)[None], axis=0)[0]
    return jnp.where(last >= 0, value, absent), (lags - 1 - last) / lags
