r"""Where each channel stands: its newest reading or, where the window has none, what the sensor most like it tells.

$$\ell_c = m_c + s_c\,r_{cj}\,\frac{\ell_j - m_j}{s_j}, \qquad j = \arg\max_{j\ \text{read}} |r_{cj}|$$

with m and s the means and spreads, and r the correlations of the newest readings of two channels over the windows
of the fit: 0.999 at most, and 0 where it could be chance ($n r^2 < 16$ of n pairs) or where one is a direction.
Where nothing that was read is like a channel, its level is its mean. Flags and ages among the features say that it
was not read, and the scale is that of such a prediction: over a lead through which the channel itself keeps the
correlation $r_h$,

$$d_{h,c} = d_h \sqrt{(1 - r_{cj}^2 r_h^2) / (1 - r_h^2)}$$
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.nn.counting import LEAST, deviation
from assim.nn.window import newest
from assim.types import Array, Bool, Float, Int, Sites

MOST, CHANCE = 0.999, 16.0
"""Largest correlation that is believed, and the n r^2 below which none is."""


class Standing(eqx.Module):
    """Where each channel stands.

    Args:
        level: shape (channel,), internal units.
        age: of the newest reading, in rows; the number of rows where none was read, shape (channel,).
        told: correlation with the sensor that tells of a channel which was not read; 0 where none does, (channel,).
    """

    level: Float[Array, " channel"]
    age: Int[Array, " channel"]
    told: Float[Array, " channel"]


def standing(
    values: Float[Array, "lag channel"], present: Bool[Array, "lag channel"], constants: Sites
) -> Standing:
    """Levels, ages and who told, of a window."""
    mean, sd = constants["mean"], constants["sd"]
    own, age = newest(values, present, mean)
    read = present.any(axis=0)
    near = jnp.where(read, constants["likeness"], 0.0)
    most = jnp.abs(near).argmax(axis=1)
    told = jnp.where(read, 0.0, jnp.take_along_axis(near, most[:, None], axis=1)[:, 0])
    level = jnp.where(read, own, mean + sd * told * ((own - mean) / sd)[most])
    return Standing(level, jnp.round(age * values.shape[0]).astype(int), told)


def likeness(
    y: Float[Array, "n channel"],
    mask: Bool[Array, "n channel"],
    mean: Float[Array, " channel"],
    sd: Float[Array, " channel"],
    circular: np.ndarray,
) -> Float[Array, "channel channel"]:
    """Correlations of the channels over what was read of both; 0 on the diagonal."""
    seen = mask.astype(y.dtype)
    z = seen * deviation(jnp.where(mask, y, mean), mean, circular) / sd
    product, square, count = (
        jnp.matmul(a.T, b, precision="highest") for a, b in ((z, z), (z**2, seen), (seen, seen))
    )
    r = product / jnp.sqrt(jnp.maximum(square * square.T, LEAST**2))
    real = ~circular & ~circular[:, None] & ~np.eye(len(circular), dtype=bool)
    return jnp.where(real & (count * r**2 >= CHANCE), jnp.clip(r, -MOST, MOST), 0.0)


def grown(constants: Sites, at: Standing) -> Float[Array, "lead channel"]:
    """What the error of a linear prediction is, relative to that from a reading of age 0."""
    by_age = jnp.take_along_axis(constants["growth"], at.age[None, None], axis=1)[:, 0]
    lead_sd, sd, error_sd = (constants[k] for k in ("lead_sd", "sd", "error_sd"))
    kept, lost = lost_over(lead_sd, sd), 1.0 - jnp.abs(at.told)
    by_others = own_error(kept + lost - kept * lost, sd, error_sd) / own_error(kept, sd, error_sd)
    never = at.age == constants["growth"].shape[1] - 1
    return jnp.where(never, jnp.sqrt(by_others), by_age)


def lost_over(change: Array, sd: Array) -> Array:
    """How much of a correlation is lost where the change has an sd D: $1 - r = D^2 / 2 s^2$, exact in float32."""
    return jnp.clip(change**2 / (2.0 * sd**2), 0.0, 1.0)


def own_error(lost: Array, sd: Array, error_sd: Array) -> Array:
    """Variance of the error of a linear prediction, $s^2 (1 - r^2)$ with $r = 1 -$ lost, less the known error."""
    error = sd**2 * lost * (2.0 - lost)
    return jnp.maximum(error - error_sd**2, jnp.maximum(0.1 * error, LEAST**2))
