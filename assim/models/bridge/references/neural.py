r"""A drift about whose form nothing is known: a network of the position.

$$b_i(x) = a\,v_i\,f_i(z), \qquad z_i = (x_i - c_i)/s_i$$

with the centre c, the spread s and the speed v of the region, and f a perceptron with a linear path past it
(`assim.nn.mlp.Perceptron`), of prior standard deviation near one where the samples are.
"""

import equinox as eqx

from assim.models.bridge.references.base import AbstractDrift, AbstractReference
from assim.models.bridge.references.networks import require_network
from assim.models.bridge.region import Region
from assim.nn.mlp import Perceptron
from assim.nn.priors import network_prior
from assim.types import Array, Float

HALF: dict[str, float | Array] = {"skip": 0.5, "head": 0.5}
"""Of the line and of the read-out, whose weights and biases add up to a variance of about four."""


class NeuralDrift(AbstractDrift):
    """A network in scaled coordinates.

    Args:
        network: f, (coordinate) -> (coordinate).
        centre: c, shape (coordinate,).
        spread: s, shape (coordinate,).
        speed: a v, shape (coordinate,), per unit of time.
    """

    network: Perceptron
    centre: Float[Array, " coordinate"]
    spread: Float[Array, " coordinate"]
    speed: Float[Array, " coordinate"]

    def __call__(self, x: Array) -> Array:
        """The velocity at x, shape (coordinate,)."""
        return self.speed * self.network((x - self.centre) / self.spread)


class Neural(AbstractReference):
    """A network, for any number of coordinates.

    Sites: `drift.network.skip.weight`, `drift.network.layers.0.weight` and so on, in scaled coordinates; shapes
    (out, in), of biases (out,).

    Args:
        hidden: widths of the hidden layers; none for a linear drift.
        scale: a, prior standard deviation of the drift, of the region's speed.

    Raises:
        ValueError: a width or a scale that is not positive.
    """

    hidden: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(32,))
    scale: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        require_network("Neural", self.hidden, self.scale)

    def sites(self) -> tuple[str, ...]:
        """The network's."""
        return ("network",)

    def rough(self) -> bool:
        """As rough as its weights make it."""
        return True

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> NeuralDrift:
        """Independent weights, by `assim.nn.priors.network_prior`."""
        size = region.size
        network = network_prior(
            "drift.network", lambda key: Perceptron.build(size, size, self.hidden, key=key), HALF
        )
        return NeuralDrift(network, region.centre, region.spread, self.scale * region.speed)
