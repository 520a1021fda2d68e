r"""The state space of the published observer: a residual operator, and a gate without memory.

$$\hat z = \hat z^b + g \odot (d + c), \qquad d = y - E_\theta(\hat z^b), \qquad (g, c) = K_\theta(\hat z^b, d)$$

with g between 0 and 1 at each place. What was not measured has d = 0, and a step without any leaves the forecast as
it is. It says nothing of its own error.
"""

import jax
import jax.numpy as jnp

from assim.models.semilinear.around import AbstractAround
from assim.models.semilinear.field import LearnedField
from assim.nn.spectral import FourierOperator
from assim.statespace import AbstractObserver, Estimate, Span
from assim.types import Array, Bool, Float


class GatedField(AbstractAround, AbstractObserver):
    """Fields on a grid under a residual operator with a gate.

    Args:
        field: the operator, of one residual step.
        gate: K, from the forecast and the innovation of every field to g before its sigmoid, and c.
        reader: E, from the forecast to what would be measured of it.
    """

    field: LearnedField
    gate: FourierOperator
    reader: FourierOperator

    def opened(self, mean: Float[Array, " state"], sd: Float[Array, " state"]) -> Estimate:
        """The mean alone."""
        return _known(mean)

    def predict(self, held: Estimate, span: Span, u: Array | None = None) -> Estimate:
        """The residual step."""
        return _known(self.flow(held.mean, span, u))

    def correct(
        self,
        held: Estimate,
        y: Float[Array, " channel"],
        mask: Bool[Array, " channel"],
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Estimate:
        """What the gate lets in.

        Raises:
            ValueError: sensors between places.
        """
        if where is not None:
            raise ValueError(
                "PublishedNODA reads fields at the places of their grid, and the readings have sensors with "
                "coordinates: lay them on the grid, or use SemilinearOperator with gain=models.Gain()."
            )
        z, beside = self._spread(held.mean), self.field.beside(None)
        foreseen = self._read(z, beside)
        lag = jnp.where(mask, self._cells(self._spread(y) - foreseen), 0.0)
        d = self.field.mirrored(lag.reshape(-1, *self.grid.sizes))
        gate, more = jnp.split(self.gate(jnp.concatenate([z, d, beside])), 2)
        move = self._cells(jax.nn.sigmoid(gate) * (d + more))
        scale = jnp.repeat(self.field.scale, self.grid.places)
        return _known(held.mean + jnp.where(self.wet, scale * move, 0.0))

    def measured(self, x: Float[Array, " state"]) -> Float[Array, " state"]:
        """E(x), what would be measured, file units."""
        said = self._read(self._spread(x), self.field.beside(None))
        return self.field.outside(self.field.cropped(said))

    def _read(self, z: Float[Array, "field ..."], beside: Array) -> Float[Array, "field ..."]:
        return z + self.reader(jnp.concatenate([z, beside]))

    def _spread(self, x: Float[Array, " state"]) -> Float[Array, "field ..."]:
        return self.field.mirrored(self.field.inside(x))

    def _cells(self, z: Float[Array, "field ..."]) -> Float[Array, " state"]:
        return self.field.cropped(z).ravel()


def _known(mean: Float[Array, " state"]) -> Estimate:
    """An estimate that tells nothing of its error."""
    return Estimate(mean, jnp.zeros_like(mean), jnp.zeros((1, mean.size)), jnp.zeros(0))
