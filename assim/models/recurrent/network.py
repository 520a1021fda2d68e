r"""What the networks of the family have in common: a map that is linear in each region of its state.

$$z_t = F(z_{t-1}, s_t), \qquad F(z, s) = J_\omega z + o_\omega + C s \quad \text{in the region } \omega$$

Regions are told by which units are switched on, and J is the Jacobian there.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.types import Array, Float, Int

MIDDLE, SPREAD = 1.472, 0.5
"""Of the inverse hyperbolic tangent of a decay: prior 0.9, give or take 0.1."""
OFFSET, DRIVE = 0.1, 0.3
"""Factors on the prior deviations of what a step adds, and of what inputs do."""


class AbstractNetwork(eqx.Module):
    """A piecewise-linear map of a state."""

    decay: eqx.AbstractVar[Float[Array, " state"]]
    drive: eqx.AbstractVar[Float[Array, "state input"] | None]

    @abstractmethod
    def inner(self, z: Float[Array, " state"]) -> Float[Array, " state"]:
        """What a step makes of the state without inputs."""

    @abstractmethod
    def symbol(self, z: Float[Array, " state"]) -> Int[Array, " unit"]:
        """What is switched on: states of one region have the same."""

    def __call__(self, z: Float[Array, " state"], u: Float[Array, " input"]) -> Array:
        """The state after a step, with the inputs that hold at its end."""
        moved = self.inner(z)
        return moved if self.drive is None else moved + self.drive @ u

    def jacobian(self, z: Float[Array, " state"]) -> Float[Array, "state state"]:
        """J of the region that holds z."""
        return jax.jacfwd(self.inner)(z)

    @property
    def a(self) -> Float[Array, " state"]:
        r"""The diagonal of A, $\tanh(1.472 + d / 2)$: about 0.9 before anything is seen, and below 1 throughout."""
        return jnp.tanh(MIDDLE + SPREAD * self.decay)
