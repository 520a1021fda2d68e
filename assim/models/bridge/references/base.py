r"""What a reference is: a prior over drifts, $dX = b(X)\,dt + g(X)\,dW$ with $b \sim p(b)$.

A bridge departs from its reference no further than the snapshots ask for. The settings say which drifts there are
(`AbstractReference`); one of them, drawn, is a vector field (`AbstractDrift`).
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np

from assim.models.bridge.priors import AbstractPriors
from assim.models.bridge.region import Region
from assim.types import Array, Float

SEVERAL = 12
"""Searches of a fit that may be caught by a wrong peak."""


class AbstractDrift(eqx.Module):
    """A vector field, autonomous, in the units of the coordinates per unit of time."""

    @abstractmethod
    def __call__(self, x: Float[Array, " coordinate"]) -> Float[Array, " coordinate"]:
        """The velocity at one place.

        Args:
            x: shape (coordinate,), units of the coordinates.

        Returns:
            Shape (coordinate,), units of the coordinates per unit of time.
        """


class AbstractReference(eqx.Module):
    """A family of drifts, with its settings."""

    @abstractmethod
    def sites(self) -> tuple[str, ...]:
        """Its sample sites, or the beginnings of their names, each behind `drift.`."""

    def require(self, coordinates: tuple[str, ...]) -> None:
        """Refuse coordinates that it does not move; none by default.

        Args:
            coordinates: their names, in order.
        """
        return

    def rough(self) -> bool:
        """Whether its drifts may bend within the spread of a particle; none by default."""
        return False

    def searches(self) -> int:
        """How many searches a fit begins, the best of which is kept: several where there may be several peaks."""
        return SEVERAL if self.rough() else 1

    @abstractmethod
    def prior(self, region: Region, coordinates: tuple[str, ...]) -> AbstractDrift:
        """NumPyro sample statements.

        Args:
            region: what priors are scaled by.
            coordinates: their names, in order.

        Returns:
            A drift.

        Raises:
            ValueError: coordinates that it does not move, or a prior of another shape.
        """


class AbstractNamedReference(AbstractReference, AbstractPriors):
    """A family of a known form: its sites are its parameters by name.

    Args:
        priors: distributions instead of the default ones, by the name of the site without `drift.`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    moves: eqx.AbstractClassVar[tuple[int, str] | None]
    """How many coordinates, and what they are; None for any number of any kind."""

    def sites(self) -> tuple[str, ...]:
        """Its parameters."""
        return self.parameters

    def require(self, coordinates: tuple[str, ...]) -> None:
        """Refuse another number of coordinates than it moves.

        Args:
            coordinates: their names, in order.

        Raises:
            ValueError: another number.
        """
        if self.moves is None or len(coordinates) == self.moves[0]:
            return
        number, meaning = self.moves
        told = ", ".join(coordinates) or "none"
        raise ValueError(
            f"{type(self).__name__} moves {number} coordinates, {meaning}, and the record has "
            f"{len(coordinates)} ({told}): select {number} of them in that order, or give another reference."
        )


def require_finite(
    drift: Callable[[Float[Array, " coordinate"]], Array],
    x: Float[Array, "sample coordinate"],
    coordinates: tuple[str, ...] | None = None,
) -> None:
    """Refuse a drift that says nothing where the samples are.

    Args:
        drift: the field, its parameters in place.
        x: places, shape (sample, coordinate), units of the coordinates.
        coordinates: their names, for the message; None to count them.

    Raises:
        ValueError: a velocity that is not finite; it says where.
    """
    velocity = np.asarray(jax.vmap(drift)(x))
    wrong = ~np.isfinite(velocity)
    if wrong.any():
        first, j = np.argwhere(wrong)[0]
        names = coordinates or tuple(f"x[{i}]" for i in range(velocity.shape[1]))
        place = ", ".join(f"{n} = {v:g}" for n, v in zip(names, np.asarray(x[first]), strict=True))
        raise ValueError(
            f"The drift of {names[j]} is {velocity[first, j]} at {place}, and not finite at "
            f"{wrong.any(axis=1).sum()} of {len(velocity)} samples: mend the function there, or leave them out."
        )
