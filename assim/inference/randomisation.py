r"""What makes the members of an ensemble of most probable parameters differ, beside their anchors.

In a linear-Gaussian model with prior covariance $P$ and posterior covariance $A$, members with anchors from the
prior have covariance $A P^{-1} A$, far less than $A$ once data are many; with noise of the likelihood's own size on
the targets it is $A$ exactly (Pearce, Leibfried and Brintrup 2020). The bootstrap gives weights in place of noise
(Newton and Raftery 1994).
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.nn.emission import Emission
from assim.types import Array, Key


class AbstractRandomisation(eqx.Module):
    """How one member sees one window; what it sees is the same at every step."""

    @abstractmethod
    def reading(self, y: Array, density: Emission, *, key: Key) -> Array:
        """What the mean is fitted to in place of y, shape (lead, channel), internal units."""

    @abstractmethod
    def weight(self, *, key: Key) -> Array:
        """Weight of the window in the likelihood, shape ()."""


class TargetNoise(AbstractRandomisation):
    r"""Noise of the likelihood's own scale on every reading: $y + s\,\varepsilon$."""

    def reading(self, y: Array, density: Emission, *, key: Key) -> Array:
        """The noisy reading, inside its support."""
        noise = jax.random.normal(key, y.shape, y.dtype)
        return density.fold(y + density.scale * noise)

    def weight(self, *, key: Key) -> Array:
        """All windows alike."""
        return jnp.ones(())


class AnchorsOnly(AbstractRandomisation):
    """Nothing but the anchors: the spread is far too small wherever the data speak."""

    def reading(self, y: Array, density: Emission, *, key: Key) -> Array:
        """The reading itself."""
        return y

    def weight(self, *, key: Key) -> Array:
        """All windows alike."""
        return jnp.ones(())


class Bootstrap(AbstractRandomisation):
    """A weight from Exp(1) for every window: right in spread where the likelihood is not."""

    def reading(self, y: Array, density: Emission, *, key: Key) -> Array:
        """The reading itself."""
        return y

    def weight(self, *, key: Key) -> Array:
        """A draw from the exponential distribution of mean one."""
        return jax.random.exponential(key)
