r"""What an autoregression looks at: the newest level of each channel, its recent increments, what is missing.

$$\phi_t = \Big[\rho\,\tfrac{\ell_t - m}{s},\ \tfrac{y_{t-k_i} - y_{t-k_{i+1}}}{d\sqrt{k_{i+1}-k_i}},\
1 - b_{t-k_i},\ a_t,\ u_t,\ \bar\rho\,c_t\Big], \qquad \rho = \tfrac ds \sqrt F$$

with $\ell$ the newest reading present, $d$ the standard deviation of one-step increments, $b$ the presence flags,
$a$ the age of the newest reading, $u$ the controls, $c$ the calendar and $F$ the number of features. A missing
increment is 0 and its flag says so: no silent fill. Directions enter as cosine and sine, and their increments the
short way round.

What moves slowly acts in every step of a roll-out, so its weights need a prior of their own size. A channel that
walks in steps $d$ within a spread $s$ returns at the rate $d/s$ (in units of $d$, for a level of $s$), as an
Ornstein-Uhlenbeck process does; $\rho$ gives the weights of level and calendar, of prior variance $1/F$, that size.
The drift has it too.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.nn.counting import deviation
from assim.nn.emission import directions
from assim.nn.window import newest
from assim.types import Array, Bool, Float, Int, Sites

LARGEST = 8.0
"""Features are clipped to this many standard deviations, so that no roll-out runs away."""


class Lags(eqx.Module):
    """Which rows are compared, in which channels.

    Args:
        steps: lags in rows, increasing from 1 (the newest row).
        supports: kind of each channel.
        num_calendar: how many of the inputs, counted from the last, are calendar features.
    """

    steps: tuple[int, ...] = eqx.field(static=True)
    supports: tuple[str, ...] = eqx.field(static=True)
    num_calendar: int = eqx.field(static=True, default=0)

    @property
    def context(self) -> int:
        """How many rows are looked at."""
        return self.steps[-1]

    @property
    def circular(self) -> np.ndarray:
        """Which channels are directions."""
        return directions(self.supports)

    def size(self, num_inputs: int) -> int:
        """Number of features."""
        channels, lags = len(self.supports), len(self.steps)
        return channels * (1 + (lags - 1) + lags + 1) + int(self.circular.sum()) + num_inputs

    def __call__(
        self,
        values: Float[Array, "lag channel"],
        present: Bool[Array, "lag channel"],
        u: Float[Array, " input"],
        constants: Sites,
    ) -> tuple[Float[Array, " feature"], Float[Array, " channel"], Int[Array, " channel"]]:
        """The features, the newest level of each channel (its mean where none is present), its age in rows."""
        level, age = newest(values, present, constants["mean"])
        slow = constants["step_sd"] / constants["sd"] * self.size(u.shape[0]) ** 0.5
        turning = self.circular
        standard = jnp.where(turning, jnp.sin(level), (level - constants["mean"]) / constants["sd"])
        standard = slow * jnp.clip(standard, -LARGEST, LARGEST)
        turn = slow[turning] * jnp.cos(level[turning])
        known, calendar = jnp.split(u, [u.shape[0] - self.num_calendar])
        rows = -np.array(self.steps)
        seen, at = present[rows], values[rows]
        change = self.difference(at[:-1], at[1:])
        gap = np.sqrt(np.diff(self.steps))[:, None]
        change = jnp.where(seen[:-1] & seen[1:], change / (constants["step_sd"] * gap), 0.0)
        fast = [change.ravel(), (~seen).ravel(), age, known]
        fast = [jnp.clip(jnp.asarray(p, values.dtype), -LARGEST, LARGEST) for p in fast]
        features = jnp.concatenate([standard, turn, *fast, slow.mean() * calendar])
        return features, level, jnp.round(age * values.shape[0]).astype(int)

    def difference(self, later: Array, earlier: Array) -> Array:
        """`later - earlier`, the short way round for directions; shape (..., channel)."""
        return deviation(later, earlier, self.circular)
