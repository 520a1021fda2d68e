r"""Langevin diffusions in steps, driven by estimated slopes: the kernels of stochastic-gradient MCMC, by blackjax.

With $g$ an unbiased estimate of $\nabla\log p(z \mid D)$, a step $h$ and $\varepsilon \sim \mathcal N(0, I)$:

$$z \leftarrow z + \tfrac{h^2}{2}\, g + h\,\varepsilon$$

(Welling and Teh 2011); with a momentum p and a friction $\alpha$,

$$z \leftarrow z + h p, \qquad p \leftarrow (1 - \alpha h)\,p + h g + \sqrt{2\alpha h}\,\varepsilon$$

(Chen, Fox and Guestrin 2014, equation 15), the slope taken where the chain has moved to; and with a friction $\xi$
in place of $\alpha$ that grows while the momenta are too hot, as noise of $g$ makes them (Ding et al. 2014),

$$\xi \leftarrow \xi + h\,(\|p\|^2/d - 1).$$

At the largest curvature $\lambda$ steps are stable up to about $2/\sqrt\lambda$. A friction that moves must not
turn a momentum round either, $h^2 \|p\|^2/d < 1$: for momenta of up to five standard deviations,
$\|p\| < \sqrt d + 5$, the thermostat is held to

$$h < 2 \big/ \sqrt{\lambda + 4\,(1 + 5/\sqrt d)^2}.$$

Momenta are kept, and every step has an estimate of its own. The samplers of blackjax take the slope before they
move, which heats stiff directions, and hold one minibatch along a path; so its integrators are used by themselves.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.types import Array, Float, Key, PyTree

type Slope = Callable[[Array, Key], Array]
"""(z, key) -> an estimate of the gradient of the log density at z."""


class AbstractKernel(eqx.Module):
    """How a chain takes a step: settings only."""

    @abstractmethod
    def begin(self, z: Float[Array, " parameter"], *, key: Key) -> PyTree:
        """The state of a chain at `z`."""

    @abstractmethod
    def step(self, state: PyTree, slope: Slope, step_size: Array, *, key: Key) -> PyTree:
        """The state one step later.

        Args:
            state: of the chain.
            slope: estimates the gradient of the log density.
            step_size: h.
            key: of the minibatch and of the noise.
        """

    def longest(self, stiffness: Float[Array, ""], size: int) -> Array:
        """The longest stable step.

        Args:
            stiffness: the largest curvature, lambda, in units of z.
            size: number of parameters, d.
        """
        return 2 * jax.lax.rsqrt(stiffness)

    @abstractmethod
    def place(self, state: PyTree) -> Float[Array, " parameter"]:
        """Where the chain is."""


class SGLD(AbstractKernel):
    """Stochastic-gradient Langevin dynamics: a walk downhill with noise."""

    def begin(self, z: Array, *, key: Key) -> Array:
        """The place itself."""
        return z

    def step(self, state: Array, slope: Slope, step_size: Array, *, key: Key) -> Array:
        """Move along the slope, and at random."""
        from blackjax.sgmcmc import sgld

        k_batch, k_noise = jax.random.split(key)
        return sgld.build_kernel()(k_noise, state, slope, k_batch, 0.5 * step_size**2)

    def place(self, state: Array) -> Array:
        """The state itself."""
        return state


class SGHMC(AbstractKernel):
    """Stochastic-gradient Hamiltonian Monte Carlo: a walk with momentum and friction.

    Noise of minibatches heats it, which a larger friction or a shorter step keeps small.

    Args:
        friction: alpha, the share of the momentum that is lost in a unit of time; its inverse is how far a chain
            goes before it turns.
    """

    friction: float = 0.3

    def begin(self, z: Array, *, key: Key) -> tuple[Array, Array]:
        """The place, with a momentum from its own law."""
        return z, jax.random.normal(key, z.shape, z.dtype)

    def step(
        self, state: tuple[Array, Array], slope: Slope, step_size: Array, *, key: Key
    ) -> tuple[Array, Array]:
        """Move by the momentum, and turn it."""
        from blackjax.sgmcmc.diffusions import sghmc

        k_batch, k_noise = jax.random.split(key)
        z, momentum = state
        told = slope(z + step_size * momentum, k_batch)
        return sghmc(self.friction)(k_noise, z, momentum, told, step_size)

    def place(self, state: tuple[Array, Array]) -> Array:
        """Without the momentum."""
        return state[0]


class SGNHT(AbstractKernel):
    """The stochastic-gradient thermostat (after Nosé and Hoover): friction takes out what noise of slopes puts in.

    Args:
        friction: alpha, the first friction; noise is added as for it.
    """

    friction: float = 0.1

    def begin(self, z: Array, *, key: Key) -> PyTree:
        """The place, with a momentum from its own law."""
        momentum = jax.random.normal(key, z.shape, z.dtype)
        return z, momentum, jnp.full((), self.friction, z.dtype)

    def step(self, state: PyTree, slope: Slope, step_size: Array, *, key: Key) -> PyTree:
        """Move by the momentum, turn it, and set the friction."""
        from blackjax.sgmcmc.diffusions import sgnht

        k_batch, k_noise = jax.random.split(key)
        z, momentum, friction = state
        told = slope(z + step_size * momentum, k_batch)
        return sgnht(self.friction)(k_noise, z, momentum, friction, told, step_size)

    def longest(self, stiffness: Array, size: int) -> Array:
        """Shorter where parameters are few, whose momenta vary more."""
        return 2 * jax.lax.rsqrt(stiffness + 4 * (1 + 5 / size**0.5) ** 2)

    def place(self, state: PyTree) -> Array:
        """Without momentum and friction."""
        return state[0]
