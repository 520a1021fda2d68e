r"""The extended Kalman filter: the Kalman filter of the model linearised where it is believed to be.

$$m^b = f(m^a), \quad L^b = \operatorname{tria}\big[F L^a,\ Q^{1/2}\big], \quad F = f'(m^a), \quad H = h'(m^b)$$

(Jazwinski 1970.) Its covariance lives in the tangent space alone: `inflation` of the background keeps it from being
too sure of itself where the model bends.
"""

import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.base import AbstractSingle, Cycle, Dynamics, Innovation
from assim.filters.checking import positive
from assim.filters.gaussian import Gaussian, conditioned, drawn, root_of
from assim.filters.variational import additive
from assim.linalg import tria
from assim.types import Array, Float, Key


class ExtendedKalman(AbstractSingle):
    """The extended Kalman filter.

    Args:
        inflation: factor on the background's standard deviations over a unit of time.

    Raises:
        ValueError: an inflation that is not above 0.
        TypeError: no number.
    """

    inflation: Float[Array, ""] | float = 1.0

    def __check_init__(self) -> None:
        positive(self, inflation=self.inflation)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Gaussian:
        """The prior, taken for a Gaussian."""
        additive(dynamics, "ExtendedKalman")
        return Gaussian.of(prior)

    def forecast(self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key) -> Gaussian:
        """The mean by the flow, the covariance by its slope."""
        ssm = additive(dynamics, "ExtendedKalman")

        def flow(x: Array) -> Array:
            return ssm.flow(x, cycle.span, cycle.u)

        mean, slope = jax.linearize(flow, belief.mean)
        factor = self.inflation**cycle.span.dt
        moved = factor * jax.vmap(slope, in_axes=1, out_axes=1)(belief.root)
        noise = root_of(ssm.process_noise(belief.mean, cycle.span))
        return Gaussian(mean, tria(jnp.concatenate([moved, noise], axis=1)), belief.log_density)

    def analysis(
        self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key
    ) -> tuple[Gaussian, Innovation]:
        """The conditional Gaussian of the linearised readings."""

        def see(x: Array) -> tuple[Array, Array]:
            density = dynamics.sight(dynamics.ssm, x, cycle)
            return density.mean, density.variance

        slope, variance = jax.jacfwd(see, has_aux=True)(belief.mean)
        foreseen, _ = see(belief.mean)
        root = dynamics.error_root(cycle)
        error = jnp.diag(jnp.sqrt(variance)) if root is None else root
        return conditioned(belief, cycle, foreseen, slope, error)

    def moments(self, belief: Gaussian) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation."""
        return belief.moments()

    def sample(
        self, belief: Gaussian, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the Gaussian."""
        return drawn(belief.mean, belief.root, key=key)
