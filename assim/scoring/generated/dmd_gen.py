r"""DMD-GEN (Aboussalah & Abbahaddou 2024, arXiv:2412.11292): are the modes of generated windows those of real ones?

Each window, as snapshots $X = (x_1 \dots x_{T-1})$ and $Y = (x_2 \dots x_T)$, has the dynamic modes
$\Phi = Y V \Sigma^{-1} W$ of rank $r$, from $X \approx U \Sigma V^\top$ and $W$ the eigenvectors of
$U^\top Y V \Sigma^{-1}$. They span a point of the Grassmann manifold, the range of $Y V$ since $W$ is invertible.
With the principal angles $\cos\theta_k = \sigma_k(Q^\top \hat Q)$ of two of them,

$$d(Q, \hat Q) = \Big(\sum_k \theta_k^2\Big)^{1/2}, \qquad
s = \min_\pi \frac1n \sum_i d\big(Q_i, \hat Q_{\pi(i)}\big),$$

the optimal transport between equally many real and generated windows: in radians, 0 only where every mode is met
as often as it happens. Nothing is trained. Where a window has fewer than $r$ modes, each that the other has more
counts as a right angle (Ye & Lim 2016, SIAM J. Matrix Anal. 37). The floor is far from 0, for two samples never
match window by window.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from assim.scoring.generated.base import AbstractScore, Verdict
from assim.types import Keys

NEGLIGIBLE = 1e-9  # of the largest singular value


class DMDGen(AbstractScore):
    """The cost of turning the mode subspaces of generated windows into those of real ones.

    Args:
        rank: modes of a window, fewer than channels; None for half the channels.
        num: windows that a judge draws of each, without replacement.
    """

    rank: int | None = None
    num: int = 256

    @property
    def name(self) -> str:
        return "dmd_gen"

    @property
    def words(self) -> str:
        return "transport between mode subspaces, rad"

    def against(self, real: np.ndarray, *, keys: Keys) -> Verdict:
        channels = real.shape[-1]
        rank = max(channels // 2, 1) if self.rank is None else self.rank
        if not 1 <= rank < channels or rank >= real.shape[1]:
            raise ValueError(
                f"DMDGen(rank={self.rank}) asks for {rank} of {channels} channels and {real.shape[1] - 1} steps: "
                "give a rank of 1 or more, below both, else all subspaces are the same."
            )
        k_reals, k_fakes = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)

        def verdict(fake: np.ndarray) -> np.ndarray:
            size = min(self.num, len(real), len(fake))
            pairs = zip(_parts(real, size, k_reals), _parts(fake, size, k_fakes), strict=True)
            modes = ((mode_subspaces(a, rank), mode_subspaces(b, rank)) for a, b in pairs)
            return np.array([transport(grassmann(a, b)) for a, b in modes])

        return verdict


def mode_subspaces(windows: np.ndarray, rank: int) -> np.ndarray:
    """Find what the dynamic modes of each window span.

    Args:
        windows: shape (num, time, channel).
        rank: modes of each.

    Returns:
        Orthonormal bases, shape (num, channel, rank); a column of zeros for each mode that a window lacks.
    """
    snapshots = np.moveaxis(np.asarray(windows, dtype=float), 1, 2)
    _, size, rows = np.linalg.svd(snapshots[..., :-1], full_matrices=False)
    kept = size[:, :rank] > NEGLIGIBLE * np.maximum(size[:, :1], np.finfo(float).tiny)
    moved = snapshots[..., 1:] @ np.moveaxis(rows[:, :rank], 1, 2) * kept[:, None]
    basis, size, _ = np.linalg.svd(moved, full_matrices=False)
    return basis * (size > NEGLIGIBLE * np.maximum(size[:, :1], np.finfo(float).tiny))[:, None]


def grassmann(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Measure the geodesic distance of each subspace from each.

    Args:
        one: bases as `mode_subspaces` gives, shape (n, channel, rank).
        other: shape (m, channel, rank).

    Returns:
        Shape (n, m), in radians.
    """
    cosines = np.linalg.svd(np.einsum("ncr,mcs->nmrs", one, other), compute_uv=False)
    angles = np.arccos(np.clip(cosines, 0.0, 1.0))
    counts = [(basis**2).sum(axis=(1, 2)).round() for basis in (one, other)]
    lacked = one.shape[-1] - np.maximum(counts[0][:, None], counts[1])  # right angles of no mode
    return np.sqrt(np.maximum((angles**2).sum(-1) - lacked * (np.pi / 2) ** 2, 0.0))


def transport(costs: np.ndarray) -> float:
    """Match each of one sample to one of the other, at the least mean cost.

    Args:
        costs: shape (n, n).

    Returns:
        The mean cost of the best match.
    """
    from scipy.optimize import linear_sum_assignment

    return float(costs[linear_sum_assignment(costs)].mean())


def _parts(windows: np.ndarray, size: int, keys: Keys) -> list[np.ndarray]:
    """What each judge looks at."""
    draws = jax.vmap(lambda key: jax.random.permutation(key, len(windows))[:size])(keys)
    return [windows[i] for i in np.asarray(draws)]
