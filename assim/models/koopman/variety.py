"""How windows of a record differ: what is asked of a law of first states that need not be Gaussian.

What a linear world does with a first state is the same for all; which first states there are is not said by it. The
belief before readings takes mean and covariance alone.
"""

from abc import abstractmethod

import equinox as eqx

from assim.types import Array, Float, Key


class AbstractFirst(eqx.Module):
    """A law of first states, in place."""

    @abstractmethod
    def log_prob(self, z: Float[Array, " state"]) -> Float[Array, ""]:
        """The log density of a first state, nats."""

    @abstractmethod
    def sample(self, *, key: Key) -> Float[Array, " state"]:
        """A first state."""

    @abstractmethod
    def moments(self) -> tuple[Float[Array, " state"], Float[Array, "state state"]]:
        """Mean and a lower root of the covariance."""


class AbstractVariety(eqx.Module):
    """A class of such laws, with its settings."""

    def silent(self) -> tuple[str, ...]:
        """Sites at whose prior means the law is the Gaussian that it is made around; none by default."""
        return ()

    @abstractmethod
    def prior(
        self, mean: Float[Array, " state"], root: Float[Array, "state state"]
    ) -> AbstractFirst:
        """NumPyro sample statements of a law around a mean and a lower root of a covariance."""
