r"""Three genes in a ring: messengers, and the proteins that they are read to, which repress the next gene.

$$\dot m_i = \frac{\beta}{1 + (p_{i-1}/k)^n} - \gamma\,m_i, \qquad \dot p_i = \beta_p\,m_i - \gamma_p\,p_i$$

(Elowitz and Leibler 2000.) With the step h, the mean $\bar c$ of all centres and the largest values $\hat m$ of the
region,

$$\gamma, \gamma_p, \beta_p \sim \mathrm{LogNormal}(\log h^{-1}, 1), \quad
k \sim \mathrm{LogNormal}(\log \bar c, 1), \quad
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


class RepressilatorProteinsDrift(AbstractDrift):
    """Messengers that are made where their repressor lacks, and proteins that are made of them.

    Args:
        production: beta, shape (), concentration per unit of time.
        threshold: k, shape (), concentration at which half is made.
        cooperativity: n, shape ().
        decay: gamma, shape (), per unit of time.
        translation: beta_p, shape (), per unit of time.
        protein_decay: gamma_p, shape (), per unit of time.
    """

    production: Float[Array, ""]
    threshold: Float[Array, ""]
    cooperativity: Float[Array, ""]
    decay: Float[Array, ""]
    translation: Float[Array, ""]
    protein_decay: Float[Array, ""]

    def __call__(self, x: Float[Array, "6"]) -> Float[Array, "6"]:
        """The velocity of three messengers and three proteins, shape (6,)."""
        messenger, protein = x[:3], x[3:]
        repressor = jnp.log(jnp.maximum(jnp.roll(protein, 1) / self.threshold, LEAST))
        made = self.production * jax.nn.sigmoid(-self.cooperativity * repressor)
        read = self.translation * messenger
        return jnp.concatenate([made - self.decay * messenger, read - self.protein_decay * protein])


class RepressilatorProteins(AbstractNamedReference):
    """Three messengers in the order of the ring and behind them their proteins, each against the next gene.

    Sites, each of shape (): `drift.production` beta, concentration per unit of time; `drift.threshold` k,
    concentration; `drift.cooperativity` n; `drift.decay` gamma, `drift.translation` beta_p and
    `drift.protein_decay` gamma_p, per unit of time.

    Args:
        priors: distributions instead of the default ones, by the name of the site without `drift.`.

    Raises:
        ValueError: a name that it does not have, or a discrete distribution.
        TypeError: what is no distribution.
    """

    parameters = (
        *("production", "threshold", "cooperativity", "decay"),
        *("translation", "protein_decay"),
    )
    moves = (6, "a messenger of each of three genes and behind them their proteins")

    def prior(self, region: Region, coordinates: tuple[str, ...]) -> RepressilatorProteinsDrift:
        """Rates of one in a step, to a factor."""
        self.require(coordinates)
        rate = 1.0 / region.step
        least = 0.1 * jnp.mean(region.spread)
        defaults = {
            "production": around(jnp.maximum(jnp.mean(region.high[:3]), least) * rate, WIDE),
            "threshold": around(jnp.maximum(jnp.mean(region.centre), least), WIDE),
            "cooperativity": around(jnp.full_like(rate, 2.0), 0.5),
            **{name: around(rate, WIDE) for name in ("decay", "translation", "protein_decay")},
        }
        return RepressilatorProteinsDrift(**sampled("drift", defaults, self.priors))
