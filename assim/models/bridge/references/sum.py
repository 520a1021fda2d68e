r"""Several drifts at once: $b(x) = \sum_p b_p(x)$, each with its own prior."""

from assim.models.bridge.references.base import AbstractDrift, AbstractReference
from assim.models.bridge.region import Region
from assim.types import Array


class SumDrift(AbstractDrift):
    """The sum of drifts.

    Args:
        parts: the drifts.
    """

    parts: tuple[AbstractDrift, ...]

    def __call__(self, x: Array) -> Array:
        """The velocity at x, shape (coordinate,)."""
        first, *others = (part(x) for part in self.parts)
        return sum(others, first)


class Sum(AbstractReference):
    """References one beside the other, as `Sum(Vortex(), RandomFeatures(60))`: a family, and what it misses.

    Sites: those of its parts.

    Args:
        references: the parts.
        parts: more of them, as one tuple.

    Raises:
        ValueError: no part, or two that share the name of a site.
        TypeError: what is no reference.
    """

    parts: tuple[AbstractReference, ...]

    def __init__(
        self, *references: AbstractReference, parts: tuple[AbstractReference, ...] = ()
    ) -> None:
        self.parts = (*references, *parts)

    def __check_init__(self) -> None:
        if not self.parts:
            raise ValueError(
                "Sum() has no part: give references, as Sum(Vortex(), RandomFeatures())."
            )
        taken: dict[str, str] = {}
        for part in self.parts:
            kind = type(part).__name__
            if not isinstance(part, AbstractReference):
                raise TypeError(f"A part is of type {kind}: give references, as Vortex().")
            for name in part.sites():
                if name in taken:
                    raise ValueError(
                        f"{taken[name]} and {kind} both have a site 'drift.{name}', which the posterior could not "
                        "tell apart: give one of them, or write their sum as one Own."
                    )
            taken |= dict.fromkeys(part.sites(), kind)

    def sites(self) -> tuple[str, ...]:
        """Those of its parts."""
        return tuple(name for part in self.parts for name in part.sites())

    def require(self, coordinates: tuple[str, ...]) -> None:
        """Coordinates that every part moves.

        Raises:
            ValueError: some do not.
        """
        for part in self.parts:
            part.require(coordinates)

    def rough(self) -> bool:
        """Where one of them may be."""
        return any(part.rough() for part in self.parts)

    def searches(self) -> int:
        """As many as the part that needs most."""
        return max(part.searches() for part in self.parts)

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> SumDrift:
        """Each part by itself."""
        return SumDrift(tuple(part.prior(region, coordinates) for part in self.parts))
