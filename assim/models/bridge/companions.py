r"""Which samples a path goes through: draws of a chain of couplings, all paths together, spread evenly.

$$i_0 \sim w_0, \qquad i_{k+1} \sim P_k(\cdot \mid i_k)$$

Each path by itself is an ordinary draw. Together they are stratified: of N paths in the order in which they lie
along the widest direction of the population, the n-th has the quantile

$$u_n = \frac{n + U}{N} \quad\text{of the start}, \qquad u_n = n\,\phi + U \bmod 1 \quad\text{of each partner}$$

with one uniform U for all and $\phi$ the golden section, so that neighbours go on to different quantiles
(Kronecker's sequence; compare Owen 2013, chapter 16). So every snapshot is met by nearly as many paths as its
samples weigh.
"""

import jax
import jax.numpy as jnp

from assim.models.bridge.matching.base import Snapshot
from assim.types import Array, Float, Int, Key

GOLDEN = 0.6180339887498949


def companions(
    whole: Snapshot, log_next: Float[Array, "interval departed arrived"], count: int, *, key: Key
) -> Int[Array, "path snapshot"]:
    """The sample of each snapshot that each path goes through.

    Args:
        whole: the snapshots, stacked.
        log_next: logarithms of the probabilities of partners, shape (interval, departed, arrived); -inf all along a
            row for one that goes nowhere, whose companions mean nothing from there on.
        count: how many paths.
        key: all randomness.

    Returns:
        Shape (path, snapshot), the paths in no order.
    """
    k_first, k_on, k_deal = jax.random.split(key, 3)
    along = jax.vmap(_along)(whole)
    order = jnp.argsort(along[0])
    first = jax.tree.map(lambda leaf: leaf[0], whole)
    even = (jnp.arange(count) + jax.random.uniform(k_first)) / count
    start = _quantiles(jnp.exp(first.shares())[order][None], even)

    def on(i: Array, at: tuple[Array, Array, Array, Key]) -> tuple[Array, Array]:
        logits, here, there, key = at
        rank, order = jnp.argsort(jnp.argsort(here[i])), jnp.argsort(there)
        u = (rank * GOLDEN + jax.random.uniform(key)) % 1.0
        row = logits[i][:, order]
        row = jnp.where((row > -jnp.inf).any(axis=1, keepdims=True), row, 0.0)
        j = order[_quantiles(jax.nn.softmax(row, axis=1), u)]
        return j, j

    keys = jax.random.split(k_on, log_next.shape[0])
    later = jax.lax.scan(on, order[start], (log_next, along[:-1], along[1:], keys))[1]
    return jax.random.permutation(k_deal, jnp.concatenate([order[start][None], later]).T)


def _along(snapshot: Snapshot) -> Float[Array, " sample"]:
    """Where samples lie along the direction in which there are most of them apart, padding last."""
    scale = jnp.sqrt(jnp.where(jnp.diagonal(snapshot.cov) > 0, jnp.diagonal(snapshot.cov), 1.0))
    widest = jnp.linalg.eigh(snapshot.cov / (scale[:, None] * scale))[1][:, -1]
    apart = jnp.where(snapshot.mask, snapshot.x - snapshot.middle, 0.0)
    return jnp.where(snapshot.weight > 0, apart / scale @ widest, jnp.inf)


def _quantiles(p: Float[Array, "row place"], u: Float[Array, " path"]) -> Int[Array, " path"]:
    """The first place at which the sum of probabilities passes a quantile; rows are those of the paths, or one."""
    total = jnp.cumsum(p, axis=1)
    passed = (total <= u[:, None] * total[:, -1:]).sum(axis=1)
    return jnp.minimum(passed, p.shape[1] - 1)
