r"""What an autoregression looks at: the newest level of each channel, its recent increments, what is missing.

$$\phi_t = \Big[\rho\,\tfrac{\ell_t - m}{s},\ \tfrac{y_{t-k_i} - y_{t-k_{i+1}}}{d\sqrt{k_{i+1}-k_i}},\
1 - b_{t-k_i},\ a_t,\ u_t,\ \bar\rho\,c_t\Big], \qquad \rho = \tfrac ds \sqrt F$$

with $\ell$ the newest reading present (where there is none, what `likeness` tells), $d$ the standard deviation of
one-step increments, $b$ the presence flags, $a$ the age of the newest reading, $u$ the controls, $c$ the calendar
and $F$ the number of features. A missing increment is 0 and its flag says so: no silent fill. Directions enter as
cosine and sine, and their increments the short way round.

What moves slowly acts in every step of a roll-out, so its weights need a prior of their own size. A channel that
walks in steps $d$ within a spread $s$ returns at the rate $d/s$ (in units of $d$, for a level of $s$), as an
Ornstein-Uhlenbeck process does; $\rho$ gives the weights of level and calendar, of prior variance $1/F$, that size.
The drift has it too.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.models.autoregressive.likeness import LARGEST, Standing, standing
from assim.nn.counting import deviation
from assim.nn.emission import directions
from assim.types import Array, Bool, Float, Sites


class Group(eqx.Module):
    """Channels that are looked at together.

    Args:
        columns: numbers of the channels.
        steps: lags in rows, increasing from 1 (the newest row).
    """

    columns: tuple[int, ...] = eqx.field(static=True)
    steps: tuple[int, ...] = eqx.field(static=True)


class Lags(eqx.Module):
    """Which rows are compared, in which channels.

    Args:
        steps: lags in rows, increasing from 1 (the newest row), of the channels in no group.
        supports: kind of each channel.
        num_calendar: how many of the inputs, counted from the last, are calendar features.
        groups: channels with lags of their own, each in one of them; their features stand first.
    """

    steps: tuple[int, ...] = eqx.field(static=True)
    supports: tuple[str, ...] = eqx.field(static=True)
    num_calendar: int = eqx.field(static=True, default=0)
    groups: tuple[Group, ...] = eqx.field(static=True, default=())

    @property
    def context(self) -> int:
        """How many rows are looked at."""
        return max(self.steps[-1], *(group.steps[-1] for group in self.groups), 1)

    @property
    def parts(self) -> tuple[Group, ...]:
        """The groups, and last of all the channels that are in none."""
        taken = {column for group in self.groups for column in group.columns}
        rest = tuple(c for c in range(len(self.supports)) if c not in taken)
        return (*self.groups, *([Group(rest, self.steps)] if rest else []))

    @property
    def circular(self) -> np.ndarray:
        """Which channels are directions."""
        return directions(self.supports)

    def sizes(self) -> tuple[int, ...]:
        """Number of features of each part."""
        turning = self.circular
        return tuple(
            len(part.columns) * (1 + (len(part.steps) - 1) + len(part.steps) + 1)
            + int(turning[list(part.columns)].sum())
            for part in self.parts
        )

    def size(self, num_inputs: int) -> int:
        """Number of features."""
        return sum(self.sizes()) + num_inputs

    def __call__(
        self,
        values: Float[Array, "lag channel"],
        present: Bool[Array, "lag channel"],
        u: Float[Array, " input"],
        constants: Sites,
    ) -> tuple[Float[Array, " feature"], Standing]:
        """The features, and where each channel stands."""
        at = standing(values, present, constants, self.supports)
        slow = constants["step_sd"] / constants["sd"] * self.size(u.shape[0]) ** 0.5
        known, calendar = jnp.split(u, [u.shape[0] - self.num_calendar])
        told = [
            p for part in self.parts for p in self._part(part, values, present, at, slow, constants)
        ]
        told += [_clipped(known, values), slow.mean() * calendar]
        return jnp.concatenate(told), at

    def _part(
        self,
        part: Group,
        values: Array,
        present: Array,
        at: Standing,
        slow: Array,
        constants: Sites,
    ) -> list[Array]:
        """Levels, cosines of directions, increments, flags and ages of one part."""
        columns, rows = np.array(part.columns), -np.array(part.steps)
        turning = self.circular[columns]
        level, slow = at.level[columns], slow[columns]
        standard = (level - constants["mean"][columns]) / constants["sd"][columns]
        standard = jnp.where(turning, jnp.sin(level), standard)
        standard = slow * jnp.clip(standard, -LARGEST, LARGEST)
        turn = slow[turning] * jnp.cos(level[turning])
        seen, told = present[rows][:, columns], values[rows][:, columns]
        change = deviation(told[:-1], told[1:], turning)
        gap = np.sqrt(np.diff(part.steps))[:, None]
        change = change / (constants["step_sd"][columns] * gap)
        change = jnp.where(seen[:-1] & seen[1:], change, 0.0)
        fast = [change.ravel(), (~seen).ravel(), at.age[columns] / values.shape[0]]
        return [standard, turn, *(_clipped(p, values) for p in fast)]

    def difference(self, later: Array, earlier: Array) -> Array:
        """`later - earlier`, the short way round for directions; shape (..., channel)."""
        return deviation(later, earlier, self.circular)


def lag_steps(lags: int | tuple[int, ...]) -> tuple[int, ...]:
    """Lags as they are looked at, of a number of newest rows or of lags.

    Raises:
        ValueError: lags that do not increase from 1.
    """
    steps = tuple(range(1, lags + 1)) if isinstance(lags, int) else tuple(int(k) for k in lags)
    if not steps or steps[0] != 1 or any(b <= a for a, b in zip(steps, steps[1:], strict=False)):
        raise ValueError(
            f"lags={lags} must be a positive number or increase from 1, as (1, 2, 3, 6)."
        )
    return steps


def _clipped(features: Array, values: Array) -> Array:
    return jnp.clip(jnp.asarray(features, values.dtype), -LARGEST, LARGEST)
