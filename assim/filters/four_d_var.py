r"""Four-dimensional variational assimilation in a window that slides (Le Dimet and Talagrand 1986).

$$w = \arg\min_w\ \tfrac12\,\lvert w\rvert^2 +
\tfrac12\,\big\lvert R^{-1/2}\big(y_k - h(\mathcal M_L(x_{k-L} + B^{1/2} w))\big)\big\rvert^2, \qquad
x_{k-L} \leftarrow x_{k-L} + B^{1/2} w$$

The model is taken as perfect (strong constraint): the state L cycles ago is corrected, and the flow $\mathcal M_L$
carries the correction to the present. It has taken in all earlier readings by then, so each reading counts once,
the newest alone (the cycling of Bocquet and Sakov 2013). B is static at the beginning of the window, and the flow
shapes it; the longer the window, the smaller it has to be. The slope of the flow is exact, by automatic
differentiation.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.base import AbstractRemembering, AbstractSingle, Cycle, Dynamics, Innovation
from assim.filters.checking import counted, positive, rooted
from assim.filters.gaussian import drawn
from assim.filters.variational import Tangent, fitted, flowing
from assim.filters.window import Window
from assim.types import Array, Float, Key


class Slid(eqx.Module):
    """The belief of a window that slides.

    Args:
        early: state at the beginning of the window, shape (state,), internal units.
        late: where it leads to, at the present, shape (state,), internal units.
        root: a root of the covariance at the present, shape (state, control), internal units.
        window: the cycles between; None before the record is known.
    """

    early: Float[Array, " state"]
    late: Float[Array, " state"]
    root: Float[Array, "state control"]
    window: Window | None


class FourDVar(AbstractSingle, AbstractRemembering):
    """Four-dimensional variational assimilation.

    Args:
        root: any root of a covariance, shape (state, state), internal units; see `variational.climatological`.
        scale: share of that covariance which is B.
        lag: cycles in the window.
        iterations: steps of Gauss and Newton.

    Raises:
        ValueError: a number of cycles or iterations below 1, or a scale that is not above 0.
        TypeError: a setting that is no number.
    """

    root: Float[Array, "state state"]
    scale: Float[Array, ""] | float = 1.0
    lag: int = eqx.field(static=True, default=1)
    iterations: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        counted(self, lag=self.lag, iterations=self.iterations)
        positive(self, scale=self.scale)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Slid:
        """The mean of the prior, and the static covariance."""
        flowing(dynamics, "FourDVar")
        rooted(self, self.root, prior.mean)
        return Slid(prior.mean, prior.mean, self._root, None)

    def opened(self, belief: Slid, cycles: Cycle) -> Slid:
        """The belief with a window."""
        if belief.window is not None:
            return belief
        return Slid(belief.early, belief.late, belief.root, Window.opened(cycles, self.lag))

    def forecast(self, dynamics: Dynamics, belief: Slid, cycle: Cycle, *, key: Key) -> Slid:
        """The window one cycle further, and the state through it."""
        assert belief.window is not None
        early = belief.window.advanced(flowing(dynamics, "FourDVar"), belief.early)
        window = belief.window.slid(cycle)
        there = self._at(dynamics, window, early)
        return Slid(early, there.state, there.directions.T, window)

    def analysis(
        self, dynamics: Dynamics, belief: Slid, cycle: Cycle, *, key: Key
    ) -> tuple[Slid, Innovation]:
        """The state of least cost at the beginning of the window, carried to the present."""
        assert belief.window is not None
        window, ways = belief.window, self._root.T

        def at(control: Array) -> Tangent:
            return self._at(dynamics, window, belief.early + control @ ways)

        first = Tangent(belief.late, belief.root.T)
        control, root, innovation = fitted(dynamics, at, first, cycle, self.iterations)
        early = belief.early + control @ ways
        late = window.through(flowing(dynamics, "FourDVar"), early)
        seen = cycle.mask.any()
        after = Slid(
            jnp.where(seen, early, belief.early),
            jnp.where(seen, late, belief.late),
            jnp.where(seen, root, belief.root),
            window,
        )
        return after, innovation

    def moments(self, belief: Slid) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation, at the present."""
        return belief.late, jnp.sqrt((belief.root**2).sum(axis=1))

    def sample(
        self, belief: Slid, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the Gaussian."""
        return drawn(belief.late, belief.root, key=key)

    @property
    def _root(self) -> Float[Array, "state state"]:
        return jnp.sqrt(self.scale) * self.root

    def _at(self, dynamics: Dynamics, window: Window, early: Array) -> Tangent:
        move = flowing(dynamics, "FourDVar")
        late, slope = jax.linearize(lambda x: window.through(move, x), early)
        return Tangent(late, jax.vmap(slope)(self._root.T))
