r"""Both ends of every interval pinned: the objective of multi-marginal bridges with a refined reference.

$$F(\theta) = \sum_k \min_{P \in \Pi(\mu_k, \mu_{k+1})} \big\{\mathbb E_P[-\log p_\theta(y \mid x)] +
\operatorname{KL}(P \,\|\, \mu_k \otimes \mu_{k+1})\big\}, \qquad
\mathcal L(\theta) = -\sum_k n_{k+1} F_k(\theta)$$

(Shen, Berlinghieri and Broderick 2025, whose alternation of bridges and least squares is EM on F for a volatility
that is held.) It finds paths, not parameters: as a likelihood it makes the volatility much too large and is far too
sure of it.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.models.bridge.diffusion import AbstractDiffusion
from assim.models.bridge.matching.base import (
    AbstractMatching,
    Snapshot,
    departed,
    kernel,
    known_pairs,
    survivors,
    taken,
)
from assim.nn.coupling import Coupling, coupled
from assim.nn.linear_noise import Leg
from assim.snapshots import Snapshots
from assim.types import Array, Float


class Bridge(AbstractMatching):
    """Pins every snapshot to the one before it.

    Args:
        iterations: of Sinkhorn in each interval, at most.
    """

    iterations: int = eqx.field(static=True, default=500)

    def terms(self, diffusion: AbstractDiffusion, snapshots: Snapshots) -> Float[Array, " term"]:
        """One for each interval: a coupling is of all samples together."""
        whole, dt = taken(diffusion, snapshots)

        def interval(k: Array) -> Array:
            here, there = (jax.tree.map(lambda leaf, at=at: leaf[at], whole) for at in (k, k + 1))
            leg = departed(diffusion, here, dt[k])
            known = known_pairs(snapshots, k, k + 1)
            told = joined(leg, here, there, known, most=self.iterations)
            total = -there.weight.sum() * told.value
            return total if diffusion.hazard is None else total + survivors(leg, here, there)

        return jax.lax.map(interval, jnp.arange(dt.shape[0]))


def joined(
    leg: Leg,
    here: Snapshot,
    there: Snapshot,
    known: Array | None,
    *,
    reach: float | None = None,
    most: int = 2000,
) -> Coupling:
    """Who goes where between two snapshots, among those that survive.

    Args:
        leg: of those that depart, stacked.
        here: those that depart.
        there: those that arrive.
        known: True for a sample and itself, shape (departed, arrived); None where nobody is known.
        reach: of soft marginals, nats; None where the share of each is held to.
        most: iterations.

    Returns:
        The coupling.
    """
    log_a = here.shares()
    log_a = jnp.where(log_a == -jnp.inf, -jnp.inf, log_a + leg.log_mass)
    log_a -= jax.nn.logsumexp(log_a)
    return coupled(kernel(leg, there), log_a, there.shares(), reach=reach, known=known, most=most)
