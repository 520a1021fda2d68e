"""A distance between two clouds of points, each with weights, of any sizes."""

from __future__ import annotations

from abc import abstractmethod
from zlib import crc32

import equinox as eqx
import jax
import numpy as np

from assim.scoring.transported.clouds import Cloud
from assim.types import Key


class AbstractDistance(eqx.Module):
    """Settings of a distance; it is 0 between a cloud and itself, and the lower the better."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What it is called in a table."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What it is."""

    @property
    def power(self) -> int:
        """Of the units of the coordinates that it has: 0 for a number without units."""
        return 1

    @abstractmethod
    def __call__(self, truth: Cloud, made: Cloud, *, key: Key) -> float:
        """Measure how far a cloud is from the true one.

        Args:
            truth: what was seen.
            made: what a model has in its place.
            key: of projections, where there are any: the same for all clouds of a table.

        Returns:
            The distance.
        """


def key_of(key: Key, name: str) -> Key:
    """A key for each name, whatever else is asked for."""
    return jax.random.fold_in(key, crc32(name.encode()))


def rng_of(key: Key) -> np.random.Generator:
    """NumPy's randomness from a key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))
