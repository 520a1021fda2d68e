r"""Correlational score (Liao et al. 2020, arXiv:2006.05421; as in Diffusion-TS, Yuan & Qiao 2024, ICLR).

$$s = \frac{1}{10} \sum_{i > j} \big| \rho_{ij} - \hat\rho_{ij} \big|$$

with the correlations of channels $i, j$ at the same time, over all windows and steps. Published figures are means
over five random fifths of the windows, drawn with replacement, and so have the floor of such a part; `share=1`
draws as many as there are.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from assim.scoring.generated.base import AbstractScore, Verdict
from assim.types import Keys


class Correlational(AbstractScore):
    """How far the correlations between channels are off.

    Args:
        share: of the windows that a judge draws, with replacement, in (0, 1].

    Raises:
        ValueError: another share.
    """

    share: float = 0.2

    def __check_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(
                f"Correlational(share={self.share}) draws no windows: give a share in (0, 1]."
            )

    @property
    def name(self) -> str:
        return "correlational"

    @property
    def words(self) -> str:
        return "sum of the differences of correlations between channels, over 10"

    def against(self, real: np.ndarray, *, keys: Keys) -> Verdict:
        k_reals, k_fakes = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        known = [correlations(part) for part in self._parts(real, k_reals)]
        return lambda fake: np.array(
            [
                correlation_distance(rho, correlations(part))
                for rho, part in zip(known, self._parts(fake, k_fakes), strict=True)
            ]
        )

    def _parts(self, windows: np.ndarray, keys: Keys) -> list[np.ndarray]:
        """What each judge looks at."""
        size = max(int(self.share * len(windows)), 2)
        draws = jax.vmap(lambda key: jax.random.randint(key, (size,), 0, len(windows)))(keys)
        return [windows[i] for i in np.asarray(draws)]


def correlations(windows: np.ndarray) -> np.ndarray:
    """Correlate the channels at the same time.

    Args:
        windows: shape (num, time, channel).

    Returns:
        Shape (channel, channel); 0 where a channel does not vary.
    """
    rows = windows.reshape(-1, windows.shape[-1])
    rows = rows - rows.mean(axis=0)
    spread = np.sqrt((rows**2).mean(axis=0))
    rows = rows / np.where(spread > 0, spread, 1.0)
    return rows.T @ rows / len(rows)


def correlation_distance(one: np.ndarray, other: np.ndarray) -> float:
    r"""Sum the differences of correlations, $\tfrac{1}{10} \sum_{i > j} \lvert\rho_{ij} - \hat\rho_{ij}\rvert$.

    Args:
        one: shape (channel, channel).
        other: the same.

    Returns:
        The score.
    """
    return float(np.abs(np.tril(one - other, k=-1)).sum() / 10)
