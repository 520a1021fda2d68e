r"""Three genes in a ring, each of which represses the next, by their messengers alone.

$$b_i(m) = \frac{\beta}{1 + (m_{i-1}/k)^n} - \gamma\,m_i$$

(Elowitz and Leibler 2000, without the proteins between; Shen, Berlinghieri and Broderick 2025, arXiv:2408.06277.) A
concentration below zero, which noise may lead to, represses as none does. With the step h, the mean concentration
$\bar m$ and the largest ones $\hat m$ of the region,

$$\gamma \sim \mathrm{LogNormal}(\log h^{-1}, 1), \quad k \sim \mathrm{LogNormal}(\log \bar m, 1), \quad
\beta \sim \mathrm{LogNormal}(\log(\overline{\hat m} / h), 1), \quad n \sim \mathrm{LogNormal}(\log 2, 0.5).$$
"""

import jax
import jax.numpy as jnp

from assim.models.bridge.priors import around, sampled
from assim.models.bridge.references.base import AbstractDrift, AbstractNamedReference
from assim.models.bridge.region import Region
from assim.types import Array, Float

WIDE = 1.0
"""Prior sd of the logarithm of a rate or of a concentration."""
LEAST = 1e-6
"""Of the threshold: a concentration that represses as none does, where a power of it still has a slope."""


class RepressilatorDrift(AbstractDrift):
    """Messengers that are made where their repressor lacks, and decay.

    Args:
        production: beta, shape (), concentration per unit of time.
        threshold: k, shape (), concentration at which half is made.
        cooperativity: n, shape ().
        decay: gamma, shape (), per unit of time.
    """

    production: Float[Array, ""]
    threshold: Float[Array, ""]
    cooperativity: Float[Array, ""]
    decay: Float[Array, ""]

    def __call__(self, x: Float[Array, "3"]) -> Float[Array, "3"]:
        """The velocity of the three concentrations, shape (3,)."""
        repressor = jnp.log(jnp.maximum(jnp.roll(x, 1) / self.threshold, LEAST))
        free = jax.nn.sigmoid(-self.cooperativity * repressor)
        return self.production * free - self.decay * x


class Repressilator(AbstractNamedReference):
    """Three messengers in the order of the ring: the first represses the second, the third the first.

    Sites, each of shape (): `drift.production` beta, concentration per unit of time; `drift.threshold` k,
    concentration; `drift.cooperativity` n; `drift.decay` gamma, per unit of time.

    Args:
        priors: distributions instead of the default ones, by the name of the site without `drift.`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = ("production", "threshold", "cooperativity", "decay")
    moves = (3, "one for each gene")

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> RepressilatorDrift:
        """Rates of one in a step, to a factor."""
        self.require(coordinates)
        rate = 1.0 / region.step
        least = 0.1 * jnp.mean(region.spread)
        defaults = {
            "production": around(jnp.maximum(jnp.mean(region.high), least) * rate, WIDE),
            "threshold": around(jnp.maximum(jnp.mean(region.centre), least), WIDE),
            "cooperativity": around(jnp.full_like(rate, 2.0), 0.5),
            "decay": around(rate, WIDE),
        }
        return RepressilatorDrift(**sampled("drift", defaults, self.priors))
