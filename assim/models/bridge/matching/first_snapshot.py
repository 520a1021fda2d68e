r"""Every snapshot foreseen from the first, pushed on through the times of all.

$$\mathcal L(\theta) = \sum_{k > 0} \sum_j \log \Big[\sum_i w_0^i\, p_\theta(x_k^j \mid x_0^i;\ t_k - t_0)\Big]$$

Each later sample is used once and none is taken for the whole of its population: of the ways to match it is the one
whose posterior covers, where the family is right. Samples that are known from the snapshot before are foreseen from
there.
"""

import jax
import jax.numpy as jnp

from assim.models.bridge.diffusion import AbstractDiffusion
from assim.models.bridge.matching.base import (
    AbstractMatching,
    departed,
    foreseen,
    kernel,
    known_pairs,
    survivors,
    taken,
)
from assim.nn.linear_noise import Leg
from assim.snapshots import Snapshots
from assim.types import Array, Float


class FirstSnapshot(AbstractMatching):
    """Foresees every snapshot from the first."""

    def terms(self, diffusion: AbstractDiffusion, snapshots: Snapshots) -> Float[Array, " term"]:
        """One for each sample but those of the first snapshot, and one for how many are left at each time."""
        whole, dt = taken(diffusion, snapshots)
        first = jax.tree.map(lambda leaf: leaf[0], whole)
        shares = first.shares()

        def on(carry: tuple[Array, Array, Array], k: Array) -> tuple[tuple, Array]:
            mean, cov, mass = carry
            leg = jax.vmap(lambda m, c: diffusion.leg(m, c, dt[k]))(mean, cov)
            mass += leg.log_mass
            there = jax.tree.map(lambda leaf: leaf[k + 1], whole)
            known, own = known_pairs(snapshots, k, k + 1), None
            if known is not None:
                here = jax.tree.map(lambda leaf: leaf[k], whole)
                own = kernel(departed(diffusion, here, dt[k]), there)
            told = foreseen(kernel(leg, there), shares, mass, known, own)
            terms = jnp.where(there.weight > 0, there.weight * told, 0.0)
            if diffusion.hazard is not None:
                terms = jnp.append(terms, survivors(_with(leg, mass), first, there))
            return (leg.mean, leg.cov, mass), terms

        start = (*first.whereabouts(), jnp.zeros_like(shares))
        return jax.lax.scan(on, start, jnp.arange(dt.shape[0]))[1].ravel()


def _with(leg: Leg, mass: Array) -> Leg:
    return Leg(leg.mean, leg.cov, leg.slope, mass)
