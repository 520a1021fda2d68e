r"""What a departure is told from: the level of each channel, its recent increments, its unrest.

$$\phi_t = \Big[\tfrac{d}{s}\,\tfrac{\ell_t - m}{s},\
\tfrac{\rho}{\sqrt F}\,\tfrac{y_t - y_{t-k}}{d \sqrt k}\Big], \qquad
v_t^4 = \tfrac{1}{1.1}\Big(0.1 + \sum_{i=0}^{M-2} \lambda_i \big(\tfrac{y_{t-i} - y_{t-i-1}}{d}\big)^2\Big), \qquad
\lambda_i \propto e^{-2i/M}$$

with $\ell$ the newest reading present, m and s the mean and spread of the channel, d the root mean square of its
steps, k the lags, F the number of features, $\rho$ the trend and M the memory. A missing increment is 0 in $\phi$
and of the usual size in v: no silent fill. Directions are compared the short way round.

A restless hour is less sure than a calm one, but not by as much as it moved: the next hours will be calmer than it.
Hence the square root of that, the unrest v. It multiplies what a change comes to at rest, the root mean square
$d_{h,a}$ of $y_{t+h} - y_{t-a}$ with a the age of the newest reading, no less than at a lower age: so a gap widens
the forecast. Where no row of the memory was read, $\ell = m$ and $d_{h,a}$ is at least s.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.nn.counting import LEAST, deviation, known_error, moments
from assim.nn.emission import directions
from assim.nn.paths import lead_correlation_root
from assim.nn.window import newest
from assim.series import Window
from assim.types import Array, Bool, Float, Sites

CALM = 0.1
"""Mean square step that a channel at a standstill is taken to make, as a share of the usual one."""


class Recent(eqx.Module):
    """The recent past of each channel.

    Args:
        features: phi, shape (channel, feature).
        level: newest reading, shape (channel,), internal units.
        spread: what a departure comes to, $d_{h,a} v$, shape (lead, channel), internal units.
    """

    features: Float[Array, "channel feature"]
    level: Float[Array, " channel"]
    spread: Float[Array, "lead channel"]


class Look(eqx.Module):
    """How the recent past is looked at.

    Args:
        lags: increments, in rows.
        memory: number of rows.
        trend: share of the increments in the features.
        supports: kind of each channel.
    """

    lags: tuple[int, ...] = eqx.field(static=True)
    memory: int = eqx.field(static=True)
    trend: float = eqx.field(static=True)
    supports: tuple[str, ...] = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of features."""
        return 1 + len(self.lags)

    def __call__(
        self,
        values: Float[Array, "lag channel"],
        present: Bool[Array, "lag channel"],
        constants: Sites,
    ) -> Recent:
        """What the rows of the memory tell."""
        sd, step_sd = constants["sd"], constants["step_sd"]
        level, age = newest(values, present, constants["mean"])
        rate = step_sd / sd * self.difference(level, constants["mean"]) / sd
        share = self.trend / self.size**0.5

        def increment(lag: int) -> Array:
            change = self.difference(values[-1], values[-1 - lag]) / (step_sd * lag**0.5)
            return jnp.where(present[-1] & present[-1 - lag], share * change, 0.0)

        steps = self.difference(values[1:], values[:-1]) / step_sd
        square = jnp.where(present[1:] & present[:-1], steps**2, 1.0)
        fading = jax.nn.softmax(-2.0 * jnp.arange(self.memory - 1)[::-1] / self.memory)
        unrest = ((fading @ square + CALM) / (1 + CALM)) ** 0.25
        rows = jnp.round(age * self.memory).astype(int)
        at_rest = jnp.take_along_axis(constants["aged_sd"], rows[None, None], axis=0)[0]
        features = jnp.stack([rate, *(increment(lag) for lag in self.lags)], axis=-1)
        return Recent(features, level, at_rest * unrest)

    def count(self, windows: Window) -> Sites:
        """Mean, sd, known error and step of each channel, what its change over each lead comes to at each age."""
        y, mask = windows.context.y, windows.context.mask
        mean, sd = moments(y, mask, (0, 1), directions(self.supports))
        sd = jnp.maximum(sd, LEAST)

        def size(change: Array, told: Array, axes: tuple[int, ...]) -> Array:
            square = jnp.where(told, change**2, 0.0).sum(axes) / jnp.maximum(told.sum(axes), 1)
            return jnp.maximum(jnp.where(square > 0, jnp.sqrt(square), sd), LEAST)

        def change_sd(age: Array) -> Array:
            change = self.difference(windows.y, y[:, None, -1 - age])
            return size(change, windows.mask & mask[:, None, -1 - age], (0,))

        aged_sd = jax.lax.map(change_sd, jnp.arange(self.memory))
        never = jnp.broadcast_to(sd, aged_sd[:1].shape)
        steps = self.difference(y[:, 1:], y[:, :-1])
        return {
            "mean": mean,
            "sd": sd,
            "error_sd": known_error(windows.context.sd, mask),
            "step_sd": size(steps, mask[:, 1:] & mask[:, :-1], (0, 1)),
            "lead_sd": aged_sd[0],
            "aged_sd": jax.lax.cummax(jnp.concatenate([aged_sd, never])),
            "lead_root": lead_correlation_root(
                self.difference(windows.y, y[:, None, -1]), windows.mask & mask[:, None, -1]
            ),
        }

    def difference(self, later: Array, earlier: Array) -> Array:
        """`later - earlier`, the short way round for directions; shape (..., channel)."""
        return deviation(later, earlier, directions(self.supports))
