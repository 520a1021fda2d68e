r"""Fields on a regular grid as a state: where its components lie, and how sensors read them.

$$h_j(x) = \sum_c w_{jc}\,s_c\,x_c \Big/ \sum_c w_{jc}\,s_c$$

over the corners c of the cell in which sensor j lies, with the weights w of linear interpolation along each axis
and s = 1 at sea, 0 on land.
"""

import equinox as eqx
import jax.numpy as jnp
import numpyro.distributions as dist

from assim.nn.climate import Climate
from assim.nn.interpolation import read_fields
from assim.statespace import AbstractNamed, AbstractOnGrid, Context, Span
from assim.types import Array, Bool, Float, Key


class AbstractGridField(AbstractOnGrid, AbstractNamed):
    """Fields on a grid, laid out as one vector, field after field, file units.

    Behind the newest fields may stand earlier ones, newest first; sensors read the newest.
    """

    names: eqx.AbstractVar[tuple[str, ...]]
    states: eqx.AbstractVar[Float[Array, "kept state"]]
    error: eqx.AbstractVar[Float[Array, " field"]]

    def init(self, context: Context | None = None, *, key: Key | None = None) -> dist.Distribution:
        """A state of the record that it was fitted to."""
        return Climate(self.states)

    def observation(
        self,
        x: Array,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> dist.Distribution:
        """Every place of every field, or at the places `where` (channel, coordinate) the first field.

        Of several fields any is read, where its number stands behind the coordinates.
        """
        known = 0.0 if sd is None else sd
        if where is None:
            own = jnp.repeat(self.error, self.grid.places)
            return dist.Normal(x[: own.size], jnp.sqrt(own**2 + known**2))
        fields = x[: self.error.size * self.grid.places].reshape(-1, *self.grid.sizes)
        sea = self.sea.reshape(self.grid.sizes)
        grid = (self.grid.starts, self.grid.steps, self.periodic, sea)
        y, number = read_fields(fields, where, *grid)
        return dist.Normal(y, jnp.sqrt(self.error[number] ** 2 + known**2))

    def places(self) -> Float[Array, "state coordinate"]:
        """Coordinates of each component, units of the grid's axes."""
        return jnp.tile(self._points, (self.states.shape[-1] // self.grid.places, 1))

    def sensors(self, where: Array | None = None) -> Float[Array, "channel coordinate"]:
        """Where the sensors are, units of the grid's axes."""
        if where is not None:
            return where[:, : len(self.grid.sizes)]
        return jnp.tile(self._points, (len(self.names), 1))

    def components(self) -> tuple[str, ...]:
        """The fields."""
        return self.names

    def channels(self) -> tuple[str, ...]:
        """The fields."""
        return self.names

    @property
    def wet(self) -> Bool[Array, " newest"]:
        """Where the newest fields have something to move."""
        return jnp.tile(self.sea, len(self.names))

    @property
    def _points(self) -> Float[Array, "place coordinate"]:
        return jnp.asarray(self.grid.points(), float)
