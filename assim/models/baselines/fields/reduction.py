r"""Fields reduced to their leading modes: proper orthogonal decomposition (Sirovich 1987).

$$X = U\,S\,V^\top, \qquad X \approx U_r\,V_r^\top\text{-coordinates}, \qquad
\text{share} = \textstyle\sum_{i \le r} s_i^2 \big/ \sum_i s_i^2$$

with fields along the rows of X. Rows of V are orthonormal; S falls.
"""

import numpy as np

MOST_ROWS = 1024
"""Fields that the modes are taken from, evenly chosen where there are more."""
NOTHING = 1e-5
"""Singular values below this share of the first are rounding."""


def modes_of(x: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The leading modes, and the share of the squares that the first 1, 2, ... of them hold.

    Args:
        x: anomalies, shape (n, state).
        rank: modes at most; fewer where the fields have no more.

    Returns:
        Modes, shape (mode, state), orthonormal; shares, shape (mode,).
    """
    at = np.linspace(0, len(x) - 1, min(MOST_ROWS, len(x))).round().astype(int)
    _, s, v = np.linalg.svd(x[at], full_matrices=False)
    kept = min(rank, int((s > NOTHING * s[0]).sum())) if s.size and s[0] > 0 else 0
    total = max(float((s**2).sum()), np.finfo(float).tiny)
    return v[:kept], np.cumsum(s**2)[:kept] / total


def smooth_root(x: np.ndarray, sd: np.ndarray, rank: int) -> np.ndarray:
    r"""A thin root R of a covariance of fields: correlations of the leading modes, variances as given.

    Args:
        x: anomalies, shape (n, state).
        sd: deviation of each component, shape (state,), of the same units.
        rank: modes at most.

    Returns:
        Shape (state, mode), with $\sum_i R_{xi}^2 = \sigma_x^2$.
    """
    v, _ = modes_of(x, rank)
    root = (v * np.sqrt(np.mean((x @ v.T) ** 2, axis=0))[:, None]).T
    size = np.sqrt((root**2).sum(axis=1, keepdims=True))
    known = size > 1e-6 * max(float(size.max(initial=0.0)), np.finfo(float).tiny)
    return sd[:, None] * np.where(known, root, 0.0) / np.where(known, size, 1.0)
