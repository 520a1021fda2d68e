r"""A drift downhill: the gradient field of a potential that a small network draws.

$$b_i(x) = -a\,\nu\,s_i\,\frac{\partial \phi}{\partial z_i}, \qquad
\phi(z) = \tfrac12\kappa |z|^2 + f(z), \qquad z_i = (x_i - c_i)/s_i$$

with the centre c, the spread s and the rate $\nu$ of the region, `Region.pace`, and f a perceptron (Waddington's
landscape of cells; Shen, Berlinghieri and Broderick 2025, arXiv:2408.06277, take such a field without the bowl).
The bowl $\kappa \sim \mathrm{HalfNormal}(1/2)$ keeps particles from leaving where the network is silent. The field
has no curl in coordinates over their spread, $\partial_{z_k} b_i/s_i = \partial_{z_i} b_k/s_k$, whatever the units.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import Distribution

from assim.models.bridge.priors import require_priors, sampled
from assim.models.bridge.references.base import AbstractDrift, AbstractReference
from assim.models.bridge.references.networks import require_network
from assim.models.bridge.region import Region
from assim.nn.mlp import Perceptron
from assim.nn.priors import network_prior
from assim.types import Array, Float, Key

NAMES = ("confinement",)


class PotentialDrift(AbstractDrift):
    """Minus the slope of a potential.

    Args:
        confinement: kappa, shape (), without unit.
        network: f, (coordinate) -> (1,).
        centre: c, shape (coordinate,).
        spread: s, shape (coordinate,).
        rate: a nu, shape (), per unit of time.
    """

    confinement: Float[Array, ""]
    network: Perceptron
    centre: Float[Array, " coordinate"]
    spread: Float[Array, " coordinate"]
    rate: Float[Array, ""]

    def potential(self, x: Array) -> Float[Array, ""]:
        """The potential phi at x, shape (), without unit."""
        return self._scaled((x - self.centre) / self.spread)

    def __call__(self, x: Array) -> Array:
        """The velocity at x, shape (coordinate,)."""
        slope = jax.grad(self._scaled)((x - self.centre) / self.spread)
        return -self.rate * self.spread * slope

    def _scaled(self, z: Array) -> Array:
        return 0.5 * self.confinement * jnp.sum(z**2) + self.network(z)[0]


class Potential(AbstractReference):
    """The gradient field of a network within a bowl, for any number of coordinates.

    Sites: `drift.confinement` kappa, shape (), without unit; `drift.potential.skip.weight`,
    `drift.potential.layers.0.weight` and so on, in scaled coordinates; shapes (out, in), of biases (out,).

    Args:
        hidden: widths of the hidden tanh layers, one at least.
        scale: a, prior standard deviation of the drift, about, in spreads times the region's rate.
        priors: a distribution instead of the default one, by the name `confinement`.

    Raises:
        ValueError: no hidden layer, a width or a scale that is not positive; a name of a prior that it does not
            have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    hidden: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(32,))
    scale: float = eqx.field(static=True, default=1.0)
    priors: dict[str, Distribution] = eqx.field(converter=dict, default_factory=dict)

    def __check_init__(self) -> None:
        if not self.hidden:
            raise ValueError(
                "Potential with hidden=() is a straight slope: give the width of a layer, as hidden=(32,)."
            )
        require_network("Potential", self.hidden, self.scale)
        require_priors("Potential", self.priors, NAMES)

    def sites(self) -> tuple[str, ...]:
        """The bowl, and the network's."""
        return (*NAMES, "potential")

    def rough(self) -> bool:
        """As rough as its weights make it."""
        return True

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> PotentialDrift:
        """Independent weights, by `assim.nn.priors.network_prior`, and a bowl that may be flat."""
        rate = self.scale * region.pace()
        defaults = {"confinement": dist.HalfNormal(jnp.full_like(rate, 0.5))}
        steep = (region.size / 2) ** 0.5
        network = network_prior(
            "drift.potential", self._built(region.size), {"skip": steep, "head": steep}
        )
        return PotentialDrift(
            **sampled("drift", defaults, self.priors),
            network=network,
            centre=region.centre,
            spread=region.spread,
            rate=rate,
        )

    def _built(self, size: int) -> Callable[[Key], Perceptron]:
        """A network without the biases of its output, which move nothing."""

        def build(key: Key) -> Perceptron:
            network = Perceptron.build(size, 1, self.hidden, key=key)
            return eqx.tree_at(lambda n: (n.skip.bias, n.head.bias), network, (0.0, 0.0))

        return build
