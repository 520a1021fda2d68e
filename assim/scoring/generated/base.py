"""A score of generated windows: judges that differ by their key, each held against every generator alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np

from assim.types import Key, Keys

type Verdict = Callable[[np.ndarray], np.ndarray]
"""Of generated windows (num, time, channel): one score for each judge, (judge,)."""


class AbstractScore(eqx.Module):
    """Settings of a score; what it says of windows in [0, 1] is lower where they are more like the real ones."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in a table."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is, and in which units."""

    @abstractmethod
    def against(self, real: np.ndarray, *, keys: Keys) -> Verdict:
        """Make the judges, once for all generators.

        Args:
            real: shape (num, time, channel), in [0, 1].
            keys: one for each judge.

        Returns:
            What they say of generated windows, whose number may differ.
        """

    def __call__(
        self, real: np.ndarray, fake: np.ndarray, *, key: Key, judges: int = 5
    ) -> np.ndarray:
        """Score one generator, by each of several judges, shape (judge,)."""
        return self.against(real, keys=jax.random.split(key, judges))(fake)
