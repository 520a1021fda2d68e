"""What stands around a learned operator, as an observer does: it moves, lies and is read as the operator is."""

import equinox as eqx

from assim.data.gridding import Grid
from assim.models.semilinear.field import LearnedField
from assim.models.semilinear.noise import LastLayerNoise
from assim.nn.gridfield import AbstractGridField
from assim.statespace import AbstractAdditiveNoise, Span
from assim.types import Array, Bool, Float


class AbstractAround(AbstractAdditiveNoise, AbstractGridField):
    """A learned operator with something beside it."""

    field: eqx.AbstractVar[LearnedField]

    def flow(self, x: Array, span: Span, u: Array | None = None) -> Array:
        """The state after `span` without noise."""
        return self.field.flow(x, span, u)

    def process_noise(self, x: Array, span: Span) -> LastLayerNoise:
        """What a span leaves unknown."""
        return self.field.process_noise(x, span)

    @property  # type: ignore[misc]
    def grid(self) -> Grid:
        """Where the fields lie."""
        return self.field.grid

    @property  # type: ignore[misc]
    def periodic(self) -> tuple[bool, ...]:
        """Whether each axis closes."""
        return self.field.periodic

    @property  # type: ignore[misc]
    def sea(self) -> Bool[Array, " place"]:
        """Where there is something to move."""
        return self.field.sea

    @property  # type: ignore[misc]
    def names(self) -> tuple[str, ...]:
        """Of the fields."""
        return self.field.names

    @property  # type: ignore[misc]
    def states(self) -> Float[Array, "kept state"]:
        """In which a field may begin."""
        return self.field.states

    @property  # type: ignore[misc]
    def error(self) -> Float[Array, " field"]:
        """Of a sensor, beside what a file tells."""
        return self.field.error
