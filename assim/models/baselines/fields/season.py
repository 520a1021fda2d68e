r"""The mean of fields by place and by calendar, told for any time from its phases.

$$m(x, t) = \beta_0(x) + \sum_j \beta_j(x)\,c_j(t), \qquad
c_j \in \Big\{\cos\tfrac{2\pi k t}{P}, \sin\tfrac{2\pi k t}{P}\Big\}$$

A step is told by the phases at its end; those at its start are theirs, turned back by $2\pi k \Delta / P$.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.data.calendar import HARMONICS, PERIODS
from assim.types import Array, Float

RIDGE = 0.1
"""Weight of a prior at 0 on each harmonic, in fields: what a short record cannot tell stays small."""


class Season(eqx.Module):
    """The mean of fields.

    Args:
        coefficients: beta, the constant first, shape (1 + input, newest), file units.
        cycles: of "day" and "year".
    """

    coefficients: Float[Array, "term newest"]
    cycles: tuple[str, ...] = eqx.field(static=True)

    def at(self, u: Float[Array, " input"] | None) -> Float[Array, " newest"]:
        """At calendar phases u; without any, the constant."""
        held = self.coefficients[0]
        return held if u is None else held + u[: len(self.coefficients) - 1] @ self.coefficients[1:]

    def before(self, u: Float[Array, " input"] | None, dt: Array | float) -> Array:
        """As long before the phases u as `dt`, seconds."""
        return self.at(None if u is None else turned_back(u, dt, self.cycles))


def turned_back(u: Array, dt: Array | float, cycles: tuple[str, ...]) -> Array:
    """Calendar phases a while earlier.

    Args:
        u: phases as `CalendarFeatures` orders them, shape (..., input).
        dt: how long before, seconds, shape (...).
        cycles: of "day" and "year".
    """
    turns = jnp.array([2 * np.pi * k / PERIODS[c] for c in cycles for k in HARMONICS])
    angle = jnp.asarray(dt)[..., None] * turns
    pairs = u.reshape(*u.shape[:-1], -1, 2)
    cos, sin = pairs[..., 0], pairs[..., 1]
    back = [
        cos * jnp.cos(angle) + sin * jnp.sin(angle),
        sin * jnp.cos(angle) - cos * jnp.sin(angle),
    ]
    return jnp.stack(back, axis=-1).reshape(u.shape)


def season_of(u: np.ndarray, y: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Least-squares coefficients of each place, over what is observed; shape (1 + input, place).

    Args:
        u: phases, shape (n, input).
        y: fields, shape (n, place), file units; anything where missing.
        mask: True where observed, same shape.
    """
    centre = np.where(mask, y, 0.0).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    if u.shape[1] == 0:
        return centre[None]
    c = np.concatenate([np.ones((len(u), 1)), u], axis=1)
    apart = np.where(mask, y - centre, 0.0)
    held = RIDGE * np.diag([1e-9] + [1.0] * u.shape[1])
    if mask.any(axis=1).all() and (mask == mask.any(axis=0)).all():  # the same places at all times
        found = np.linalg.solve(c.T @ c + held, c.T @ apart)
    else:
        gram = np.einsum("nf,np,ng->pfg", c, mask.astype(float), c, optimize=True)
        found = np.linalg.solve(gram + held, (c.T @ apart).T[..., None])[..., 0].T
    found[0] += centre
    return found
