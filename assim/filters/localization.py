r"""Which readings count for which place, and how much: distances and tapers.

$$\rho(r) = \begin{cases} 1 - \tfrac53 z^2 + \tfrac58 z^3 + \tfrac12 z^4 - \tfrac14 z^5 & z \le 1 \\
4 - 5z + \tfrac53 z^2 + \tfrac58 z^3 - \tfrac12 z^4 + \tfrac1{12} z^5 - \tfrac{2}{3z} & 1 < z < 2 \end{cases},
\qquad z = \frac{r}{c}$$

(Gaspari and Cohn 1999, eq. 4.10.) The radius that a user gives is about the standard deviation of a Gaussian of
that shape: $c = 1.82$ radii (the convention of DAPPER, in which published settings are told), where the taper is
0.63 at the radius, and nothing counts beyond $2c = 3.64$ radii.
"""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp

from assim.types import Array, Float

EARTH = 6371.0
"""Mean radius, km."""
HALF_SUPPORT = 1.82


class AbstractDistance(eqx.Module):
    """How far two places are from each other."""

    @abstractmethod
    def __call__(
        self, a: Float[Array, "... coordinate"], b: Float[Array, "... coordinate"]
    ) -> Float[Array, "..."]:
        """The distance between places.

        Args:
            a: coordinates of places, shape (..., coordinate).
            b: of others; leading axes are broadcast.

        Returns:
            Shape (...), in the units of a radius.
        """

    @property
    @abstractmethod
    def dimensions(self) -> int | None:
        """How many coordinates a place has; None for any."""


def require_dimensions(distance: "AbstractDistance", found: int) -> None:
    """Refuse coordinates that a distance is not made for.

    Args:
        distance: how far places are from each other.
        found: how many coordinates a place has.

    Raises:
        ValueError: more or fewer of them.
    """
    if distance.dimensions not in (None, found):
        raise ValueError(
            f"{type(distance).__name__} measures between places of {distance.dimensions} coordinates, and those of "
            f"the model have {found}: give a period for each coordinate (inf for none), or another distance."
        )


class Straight(AbstractDistance):
    """The straight line, round the shorter way where a coordinate is periodic; units of the coordinates.

    Args:
        periods: length of the period of each coordinate, infinite where there is none.
    """

    periods: tuple[float, ...] = eqx.field(static=True, default=())

    @property
    def dimensions(self) -> int | None:
        """As many as there are periods; any where there are none."""
        return len(self.periods) or None

    def __call__(self, a: Array, b: Array) -> Array:
        """The distance."""
        apart = jnp.abs(a - b)
        if self.periods:
            period = jnp.array(self.periods)
            around = jnp.where(jnp.isinf(period), apart, jnp.mod(apart, period))
            apart = jnp.minimum(around, jnp.where(jnp.isinf(period), around, period - around))
        return jnp.sqrt((apart**2).sum(axis=-1))


class GreatCircle(AbstractDistance):
    """Over the Earth, km; coordinates are latitude and longitude, degrees."""

    @property
    def dimensions(self) -> int:
        """Latitude and longitude."""
        return 2

    def __call__(self, a: Array, b: Array) -> Array:
        """The distance, by the haversine."""
        a, b = jnp.deg2rad(a), jnp.deg2rad(b)
        half = jnp.sin((a - b) / 2.0) ** 2
        chord = half[..., 0] + jnp.cos(a[..., 0]) * jnp.cos(b[..., 0]) * half[..., 1]
        return 2.0 * EARTH * jnp.arcsin(jnp.sqrt(jnp.clip(chord, 0.0, 1.0)))


def taper(distance: Float[Array, "..."], radius: Float[Array, ""] | float) -> Float[Array, "..."]:
    """The function of Gaspari and Cohn: 1 at no distance, 0.63 at the radius, 0 beyond 3.64 of it.

    Args:
        distance: any shape, units of the radius.
        radius: as a Gaussian's standard deviation; infinite for no taper.

    Returns:
        Weights from 0 to 1, of the same shape.
    """
    z = distance / (HALF_SUPPORT * radius)
    near = 1.0 - 5.0 / 3.0 * z**2 + 5.0 / 8.0 * z**3 + 0.5 * z**4 - 0.25 * z**5
    safe = jnp.where(z > 0, z, 1.0)
    tail = 4.0 - 5.0 * z + 5.0 / 3.0 * z**2 + 5.0 / 8.0 * z**3 - 0.5 * z**4 + z**5 / 12.0
    far = tail - 2.0 / (3.0 * safe)
    return jnp.where(z <= 1.0, near, jnp.where(z < 2.0, jnp.maximum(far, 0.0), 0.0))
