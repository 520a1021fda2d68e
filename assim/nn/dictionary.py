r"""Dictionaries of observables: what a Koopman operator is seen through, $\psi(x) \in \mathbb R^N$.

$$\psi^{\text{delays}} = [1, x], \qquad
\psi^{\text{radial}}_j = e^{-\lVert x - c_j\rVert / d}, \qquad
\psi^{\text{monomial}}_\alpha = \prod_i x_i^{\alpha_i},\ |\alpha| \le p$$

The points x are delay vectors (`assim.nn.hankel`) or states. Centres are means of the nearest points (Lloyd 1982),
begun at points each of which is farthest from those before it (Gonzalez 1985): nothing of them is random.
"""

from abc import abstractmethod
from itertools import combinations_with_replacement
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.types import Array, Float, Sites

ROUNDS = 30
"""Rounds in which centres move to the means of the points that are nearest to them."""


class AbstractDictionary(eqx.Module):
    """Observables of a point, with what has to be counted for them in training points."""

    constant: eqx.AbstractClassVar[bool]
    """Whether the first of them is 1."""

    def counted(self, points: Float[Array, "n variable"], weight: Float[Array, " n"]) -> Sites:
        """Numbers found in the points of weight above 0."""
        return {}

    @abstractmethod
    def __call__(
        self, x: Float[Array, "... variable"], counted: Sites
    ) -> Float[Array, "... observable"]:
        """The observables of points."""


class Delays(AbstractDictionary):
    """The constant and the delay vector itself: plain DMD on delays."""

    constant: ClassVar[bool] = True

    def __call__(
        self, x: Float[Array, "... variable"], counted: Sites
    ) -> Float[Array, "... observable"]:
        """The constant and the point."""
        return jnp.concatenate([jnp.ones_like(x[..., :1]), x], axis=-1)


class RadialBasis(AbstractDictionary):
    r"""Functions of the distance from a centre, $e^{-r/d}$.

    Args:
        num: how many centres.
        width: d, units of the points; None for the mean distance of the points from their mean.

    Raises:
        ValueError: no centre, or a width that is not above 0.
    """

    constant: ClassVar[bool] = False
    num: int = eqx.field(static=True, default=100)
    width: float | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.num < 1 or (self.width is not None and not self.width > 0):
            raise ValueError(
                f"RadialBasis(num={self.num}, width={self.width}) needs 1 centre or more and a width above 0."
            )

    def counted(self, points: Float[Array, "n variable"], weight: Float[Array, " n"]) -> Sites:
        """The centres and the width."""
        told = (weight > 0).astype(points.dtype)
        if self.width is None:
            count = jnp.maximum(told.sum(), 1)
            apart = jnp.sqrt(_apart(points, (told @ points / count)[None]))[:, 0]
            width = jnp.maximum(told @ apart / count, jnp.finfo(points.dtype).eps)
        else:
            width = jnp.asarray(self.width, points.dtype)
        return {"centres": centres(points, weight, self.num), "width": width}

    def __call__(
        self, x: Float[Array, "... variable"], counted: Sites
    ) -> Float[Array, "... observable"]:
        """The values at points."""
        return jnp.exp(-jnp.sqrt(_apart(x, counted["centres"])) / counted["width"])


class Monomials(AbstractDictionary):
    """All products of variables, the constant first.

    Args:
        degree: highest total degree.

    Raises:
        ValueError: a degree below 1.
    """

    constant: ClassVar[bool] = True
    degree: int = eqx.field(static=True, default=2)

    def __check_init__(self) -> None:
        if self.degree < 1:
            raise ValueError(f"degree={self.degree} must be a whole number above 0.")

    def __call__(
        self, x: Float[Array, "... variable"], counted: Sites
    ) -> Float[Array, "... observable"]:
        """The values at points, by degree."""
        one = jnp.concatenate([jnp.ones_like(x[..., :1]), x], axis=-1)
        factors = combinations_with_replacement(range(one.shape[-1]), self.degree)
        return one[..., np.array(list(factors))].prod(axis=-1)


def centres(
    points: Float[Array, "n variable"], weight: Float[Array, " n"], num: int
) -> Float[Array, "num variable"]:
    """Centres of points by k-means; points of weight 0 do not count, the others count alike.

    Args:
        points: shape (n, variable), any units.
        weight: shape (n,).
        num: how many; more than there are different points repeats some.
    """
    told = (weight > 0).astype(points.dtype)
    mean = told @ points / jnp.maximum(told.sum(), 1)

    def farthest(gap: Array, _: None) -> tuple[Array, Array]:
        at = points[jnp.argmax(jnp.where(told > 0, gap, -1.0))]
        return jnp.minimum(gap, _apart(points, at[None])[:, 0]), at

    first = points[jnp.argmin(jnp.where(told > 0, _apart(points, mean[None])[:, 0], jnp.inf))]
    gap = _apart(points, first[None])[:, 0]
    _, others = jax.lax.scan(farthest, gap, None, num - 1)

    def moved(held: Array, _: None) -> tuple[Array, None]:
        near = jax.nn.one_hot(_apart(points, held).argmin(axis=1), num, dtype=points.dtype)
        near = near * told[:, None]
        count = near.sum(axis=0)[:, None]
        return jnp.where(count > 0, near.T @ points / jnp.maximum(count, 1), held), None

    return jax.lax.scan(moved, jnp.concatenate([first[None], others]), None, ROUNDS)[0]


def _apart(x: Float[Array, "... variable"], to: Float[Array, "m variable"]) -> Array:
    """Squared distances, shape (..., m)."""
    return ((x[..., None, :] - to) ** 2).sum(axis=-1)
