r"""Each snapshot foreseen from the one before it.

$$\mathcal L(\theta) = \sum_k \sum_j \log \Big[\sum_i w_k^i\, p_\theta(x_{k+1}^j \mid x_k^i;\ t_{k+1} - t_k)\Big]$$

Every interval starts from data, so that a family that is wrong adapts from one to the next. A finite cloud taken
for the whole population makes the volatility too large and the posterior too sure; where identities are known it is
the ordinary likelihood of transitions, and exact.
"""

import jax
import jax.numpy as jnp

from assim.models.bridge.diffusion import AbstractDiffusion
from assim.models.bridge.matching.base import (
    AbstractMatching,
    Snapshot,
    departed,
    foreseen,
    kernel,
    known_pairs,
    survivors,
    taken,
)
from assim.snapshots import Snapshots
from assim.types import Array, Float


class Adjacent(AbstractMatching):
    """Foresees every snapshot from the one before."""

    def terms(self, diffusion: AbstractDiffusion, snapshots: Snapshots) -> Float[Array, " term"]:
        """One for each sample but those of the first snapshot, and one for how many are left at each time."""
        whole, dt = taken(diffusion, snapshots)

        def interval(k: Array) -> Array:
            here, there = (jax.tree.map(lambda leaf, at=at: leaf[at], whole) for at in (k, k + 1))
            return self.interval(diffusion, here, there, dt[k], known_pairs(snapshots, k, k + 1))

        return jax.vmap(interval)(jnp.arange(dt.shape[0])).ravel()

    def interval(
        self,
        diffusion: AbstractDiffusion,
        here: Snapshot,
        there: Snapshot,
        dt: Float[Array, ""],
        known: Array | None,
    ) -> Float[Array, " term"]:
        """Of one interval.

        Args:
            diffusion: what moves particles.
            here: those that depart.
            there: those that arrive.
            dt: the time between, shape (), units of time.
            known: True for a sample and itself, shape (departed, arrived); None where nobody is known.

        Returns:
            Shape (term,), nats.
        """
        leg = departed(diffusion, here, dt)
        told = foreseen(kernel(leg, there), here.shares(), jnp.asarray(leg.log_mass), known)
        terms = jnp.where(there.weight > 0, there.weight * told, 0.0)
        return terms if diffusion.hazard is None else jnp.append(terms, survivors(leg, here, there))
