r"""Where each channel stands: its newest reading or, where the window has none, what the sensor most like it tells.

$$\ell_c = m_c + s_c\,\rho_c\,\frac{\ell_j - m_j}{s_j}, \qquad \rho_c = r_{cj}\,r_j(a_j), \qquad
j = \arg\max_{j\ \text{read}} |r_{cj}\,r_j(a_j)|$$

with m and s the means and spreads, r the correlations of the newest readings of two channels over the windows of
the fit that have both, $r_j(a) \ge 0$ that of a channel with itself over its age a in rows; $\rho$ is 0.999 at
most. A correlation counts as none where one of the two is a direction, or where it could be chance: cut into ten
stretches one after the other, the record has as many correlations, each about its own means (eight of them at
least, of three pairs or more), whose mean has to be of the same sign and four standard errors from 0. Those of
channels that know nothing of each other differ in sign, however long their memory and wherever runs begin, unless
both drift all through the record.

Where nothing that was read is like a channel, its level is its mean; a reading of its own, however old, comes
before what others tell. Flags and ages among the features say that it was not read, and the scale is that of such a
prediction, as if the channel were read without error: over a lead through which it keeps the correlation $r_h$,

$$d_{h,c} = d_h \sqrt{(1 - \rho_c^2 r_h^2) / (1 - r_h^2)}$$
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.nn.counting import LEAST
from assim.nn.emission import Emission
from assim.nn.window import newest
from assim.types import Array, Bool, Float, Int, Sites

MOST, STRETCHES, CERTAIN = 0.999, 10, 4.0
"""Largest correlation that is believed; how many stretches have to agree, and by how many standard errors."""
LARGEST = 8.0
"""Standard deviations that a reading may tell, and that a feature may have: no roll-out runs away."""


class Standing(eqx.Module):
    """Where each channel stands.

    Args:
        level: shape (channel,), internal units.
        age: of the newest reading, in rows; the number of rows where none was read, shape (channel,).
        told: rho of a channel that was not read, 0 where nothing tells of it, shape (channel,).
    """

    level: Float[Array, " channel"]
    age: Int[Array, " channel"]
    told: Float[Array, " channel"]


def standing(
    values: Float[Array, "lag channel"],
    present: Bool[Array, "lag channel"],
    constants: Sites,
    supports: tuple[str, ...],
) -> Standing:
    """Levels, ages and who told, of a window."""
    mean, sd = constants["mean"], constants["sd"]
    own, age = newest(values, present, mean)
    rows = jnp.round(age * values.shape[0]).astype(int)
    read = present.any(axis=0)
    kept = jnp.take_along_axis(constants["memory"], rows[None], axis=0)[0]
    tells = constants["likeness"] * jnp.where(read, kept, 0.0)
    best = jnp.abs(tells).argmax(axis=1)
    most = jnp.clip(jnp.take_along_axis(tells, best[:, None], axis=1)[:, 0], -MOST, MOST)
    told = jnp.where(read, 0.0, most)
    z = jnp.clip((own - mean) / sd, -LARGEST, LARGEST)
    level = Emission(mean, sd, supports).fold(mean + sd * told * z[best])
    return Standing(jnp.where(read, own, jnp.where(told == 0, mean, level)), rows, told)


def memory(aged: Float[Array, "age channel"], sd: Float[Array, " channel"]) -> Array:
    """Correlation of each channel with itself over 0, 1, ... rows, and 0 for what was never read.

    Args:
        aged: standard deviation of the change over 1, 2, ... rows, internal units; `sd` where no change was seen.
        sd: spread of each channel, internal units.
    """
    kept = jnp.where(aged[:-1] == sd, 0.0, 1.0 - lost_over(aged[:-1], sd))
    one, never = jnp.ones((1, aged.shape[1])), jnp.zeros((1, aged.shape[1]))
    return jnp.concatenate([one, kept, never]).astype(aged.dtype)


def likeness(
    z: Float[Array, "n channel"], mask: Bool[Array, "n channel"], circular: np.ndarray
) -> Float[Array, "channel channel"]:
    """Correlations of the channels over what was read of both; 0 on the diagonal.

    Args:
        z: newest readings in standard deviations from the mean, in their order; anything where missing.
        mask: True where observed.
        circular: which channels are directions.
    """
    whole = len(z) // STRETCHES
    cut = (STRETCHES, whole, z.shape[1])
    parts = (leaf[: STRETCHES * whole].reshape(cut) for leaf in (z, mask))
    r, _ = _correlations(z[None], mask[None])
    each, known = _correlations(*parts)
    count = known.sum(axis=0)
    mean = jnp.where(known, each, 0.0).sum(axis=0) / jnp.maximum(count, 1)
    square = jnp.where(known, (each - mean) ** 2, 0.0).sum(axis=0) / jnp.maximum(count - 1, 1)
    error = jnp.sqrt(square / jnp.maximum(count, 1))
    sure = (count >= STRETCHES - 2) & (mean * r[0] > 0) & (jnp.abs(mean) >= CERTAIN * error)
    real = ~circular & ~circular[:, None] & ~np.eye(len(circular), dtype=bool)
    return jnp.where(real & sure, r[0], 0.0)


def _correlations(
    z: Float[Array, "part n channel"], mask: Bool[Array, "part n channel"]
) -> tuple[Float[Array, "part channel channel"], Bool[Array, "part channel channel"]]:
    """Of each part over its pairs, and where there are enough of them."""
    seen = mask.astype(z.dtype)
    z = jnp.where(mask, z, 0.0)

    def summed(a: Array, b: Array) -> Array:
        return jnp.einsum("pnc,pnd->pcd", a, b, precision="highest")

    count = summed(seen, seen)
    mean, square, product = (
        summed(*of) / jnp.maximum(count, 1.0) for of in ((z, seen), (z**2, seen), (z, z))
    )
    variance = square - mean**2
    other = jnp.swapaxes(mean, 1, 2)
    spread = jnp.sqrt(jnp.maximum(variance * jnp.swapaxes(variance, 1, 2), LEAST))
    return jnp.clip((product - mean * other) / spread, -1.0, 1.0), count > 2


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
