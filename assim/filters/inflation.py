r"""Giving back the spread that a small ensemble loses.

$$E \leftarrow \bar x + \lambda\,(E - \bar x) \qquad
\sigma \leftarrow (1 - \alpha)\,\sigma^a + \alpha\,\sigma^b \qquad
E \leftarrow E + q\,(\varepsilon - \bar\varepsilon)$$
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters.checking import between, positive
from assim.types import Array, Float, Key


class AbstractInflation(eqx.Module):
    """What is done to the members after an analysis."""

    @abstractmethod
    def __call__(
        self,
        background: Float[Array, "member state"],
        analysis: Float[Array, "member state"],
        *,
        key: Key,
    ) -> Float[Array, "member state"]:
        """The inflated analysis.

        Args:
            background: members before the readings, shape (member, state), internal units.
            analysis: the same after them.
            key: all randomness.

        Returns:
            Members of the same shape and mean.
        """


class Multiplicative(AbstractInflation):
    """Anomalies times a factor.

    Args:
        factor: lambda; 1 for none.

    Raises:
        ValueError: a factor that is not above 0.
        TypeError: no number.
    """

    factor: Float[Array, ""] | float = 1.0

    def __check_init__(self) -> None:
        positive(self, factor=self.factor)

    def __call__(
        self,
        background: Float[Array, "member state"],
        analysis: Float[Array, "member state"],
        *,
        key: Key,
    ) -> Float[Array, "member state"]:
        """Members further from their mean."""
        mean = analysis.mean(axis=0)
        return mean + self.factor * (analysis - mean)


class RTPS(AbstractInflation):
    """Relaxation to prior spread (Whitaker and Hamill 2012).

    Args:
        alpha: share of the background's spread, 0 for none.

    Raises:
        ValueError: a negative share.
        TypeError: no number.
    """

    alpha: Float[Array, ""] | float = 0.5

    def __check_init__(self) -> None:
        between(self, alpha=self.alpha)

    def __call__(
        self,
        background: Float[Array, "member state"],
        analysis: Float[Array, "member state"],
        *,
        key: Key,
    ) -> Float[Array, "member state"]:
        """Anomalies scaled so that the spread is a mixture of both."""
        before, after = background.std(axis=0, ddof=1), analysis.std(axis=0, ddof=1)
        mean = analysis.mean(axis=0)
        factor = jnp.where(
            after > 0, 1.0 + self.alpha * (before - after) / jnp.where(after > 0, after, 1.0), 1.0
        )
        return mean + factor * (analysis - mean)


class Additive(AbstractInflation):
    """Independent noise, centred over members.

    Args:
        sd: its standard deviation, shape () or (state,), internal units.

    Raises:
        ValueError: a negative deviation.
        TypeError: no number.
    """

    sd: Float[Array, "..."] | float = 0.1

    def __check_init__(self) -> None:
        between(self, sd=self.sd)

    def __call__(
        self,
        background: Float[Array, "member state"],
        analysis: Float[Array, "member state"],
        *,
        key: Key,
    ) -> Float[Array, "member state"]:
        """Members with noise that leaves their mean where it is."""
        noise = jax.random.normal(key, analysis.shape, analysis.dtype)
        return analysis + self.sd * (noise - noise.mean(axis=0))


def inflating(given: AbstractInflation | float) -> AbstractInflation:
    """An inflation as it is; a number as that factor of anomalies.

    Args:
        given: either.

    Returns:
        An inflation.
    """
    return given if isinstance(given, AbstractInflation) else Multiplicative(given)
