r"""Three-dimensional variational assimilation: a background of one covariance, always (Lorenc 1986).

$$m^a = \arg\min_x\ \tfrac12\,(x - m^b)^\top B^{-1} (x - m^b) + \tfrac12\,(y - h(x))^\top R^{-1} (y - h(x)),
\qquad m^b = f(m^a)$$

B says how wrong a forecast usually is, whatever the flow: a share of the climatological covariance. Where h is
linear this is optimal interpolation with that B; where it bends, Gauss and Newton.
"""

import equinox as eqx
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.base import AbstractSingle, Cycle, Dynamics, Innovation
from assim.filters.checking import counted, positive, rooted
from assim.filters.gaussian import Gaussian, drawn
from assim.filters.variational import Tangent, fitted, flowing
from assim.linalg import tria
from assim.types import Array, Float, Key


class ThreeDVar(AbstractSingle):
    """Three-dimensional variational assimilation.

    Args:
        root: any root of a covariance, shape (state, state), internal units; see `variational.climatological`.
        scale: share of that covariance which is B.
        iterations: steps of Gauss and Newton; one is exact where the readings are linear in the state.

    Raises:
        ValueError: a number of iterations below 1, or a scale that is not above 0.
        TypeError: a setting that is no number.
    """

    root: Float[Array, "state state"]
    scale: Float[Array, ""] | float = 1.0
    iterations: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        counted(self, iterations=self.iterations)
        positive(self, scale=self.scale)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Gaussian:
        """The prior, taken for a Gaussian."""
        flowing(dynamics, "ThreeDVar")
        rooted(self, self.root, prior.mean)
        return Gaussian.of(prior)

    def forecast(self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key) -> Gaussian:
        """The mean by the flow, the covariance as ever."""
        move = flowing(dynamics, "ThreeDVar")
        root = jnp.sqrt(self.scale) * self.root
        return Gaussian(move(belief.mean, cycle), root, belief.log_density)

    def analysis(
        self, dynamics: Dynamics, belief: Gaussian, cycle: Cycle, *, key: Key
    ) -> tuple[Gaussian, Innovation]:
        """The state of least cost, and the covariance that the curvature there says."""
        ways = belief.root.T

        def at(control: Array) -> Tangent:
            return Tangent(belief.mean + control @ ways, ways)

        first = Tangent(belief.mean, ways)
        control, root, innovation = fitted(dynamics, at, first, cycle, self.iterations)
        seen = cycle.mask.any()
        after = Gaussian(
            jnp.where(seen, at(control).state, belief.mean),
            jnp.where(seen, tria(root), belief.root),
            innovation.log_score.sum(),
        )
        return after, innovation

    def moments(self, belief: Gaussian) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation."""
        return belief.moments()

    def sample(
        self, belief: Gaussian, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the Gaussian."""
        return drawn(belief.mean, belief.root, key=key)
