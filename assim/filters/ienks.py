r"""The iterative ensemble Kalman smoother (Bocquet and Sakov 2014).

$$J(w) = \tfrac12\,\lvert w\rvert^2 + \tfrac12\,\lvert\delta(w)\rvert^2, \qquad
\delta(w) = R^{-1/2}\big(y - \overline{h(\mathcal M_L(E_w))}\big), \qquad
E_w = \bar x + X^\top w + \epsilon\,\sqrt{N-1}\,T X$$

$$w_{j+1} = T_{j+1}^2\,S_j\,\big(\delta(w_j) + S_j^\top w_j\big), \qquad T_{j+1} = (I + S_j S_j^\top)^{-1/2},
\qquad S_j = T_j^{-1}\,\frac{R^{-1/2}}{\epsilon\sqrt{N-1}}\,
\big(h(\mathcal M_L(E_w)) - \overline{h(\mathcal M_L(E_w))}\big)$$

What four-dimensional assimilation does, in the space of the members: the ensemble L cycles ago is corrected by the
newest reading, with slopes from members instead of an adjoint, and
$E \leftarrow \bar x + X^\top w + \sqrt{N-1}\,T X$. Slopes are those over the spread that the analysis leaves
($\epsilon = 1$, the transform of Sakov, Oliver and Bertino 2012), which bears a strongly nonlinear window best, or
those at its middle ($\epsilon \to 0$, the bundle). Unlike there, the background's covariance is the ensemble's own.
The model is taken as perfect within the window.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters import ensemble
from assim.filters.base import AbstractRemembering, Cycle, Dynamics, Innovation
from assim.filters.checking import counted, positive
from assim.filters.ensemble import Whitened
from assim.filters.inflation import AbstractInflation, inflating
from assim.filters.variational import Move, flowing
from assim.filters.window import Window
from assim.types import Array, Float, Key


class Spanning(eqx.Module):
    """The belief of an ensemble over a window.

    Args:
        early: members at the beginning of the window, shape (member, state), internal units.
        late: where they lead to, at the present, shape (member, state), internal units.
        window: the cycles between; None before the record is known.
    """

    early: Float[Array, "member state"]
    late: Float[Array, "member state"]
    window: Window | None


class IEnKS(AbstractRemembering):
    """The iterative ensemble Kalman smoother, as a filter.

    Args:
        size: members.
        lag: cycles in the window.
        iterations: steps of Gauss and Newton.
        inflation: how the spread that sampling loses is given back, at the beginning of the window.
        rotate: whether a random rotation follows each analysis.
        bundle: how close the members that tell slopes lie, as a share of the spread that the analysis leaves.

    Raises:
        ValueError: fewer than two members, a number of cycles or iterations below 1, or a bundle not above 0.
        TypeError: a setting that is no number.
    """

    size: int = eqx.field(static=True, default=40)
    lag: int = eqx.field(static=True, default=1)
    iterations: int = eqx.field(static=True, default=3)
    inflation: AbstractInflation = eqx.field(converter=inflating, default=1.0)
    rotate: bool = eqx.field(static=True, default=False)
    bundle: Float[Array, ""] | float = 1.0

    def __check_init__(self) -> None:
        counted(self, lag=self.lag, iterations=self.iterations)
        positive(self, bundle=self.bundle)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Spanning:
        """Members drawn from the prior."""
        flowing(dynamics, "IEnKS")
        members = prior.sample(key, (self.size,))
        return Spanning(members, members, None)

    def opened(self, belief: Spanning, cycles: Cycle) -> Spanning:
        """The belief with a window."""
        if belief.window is not None:
            return belief
        return Spanning(belief.early, belief.late, Window.opened(cycles, self.lag))

    def forecast(self, dynamics: Dynamics, belief: Spanning, cycle: Cycle, *, key: Key) -> Spanning:
        """The window one cycle further, and every member through it."""
        assert belief.window is not None
        early = belief.window.advanced(_every(dynamics), belief.early)
        window = belief.window.slid(cycle)
        return Spanning(early, window.through(_every(dynamics), early), window)

    def analysis(
        self, dynamics: Dynamics, belief: Spanning, cycle: Cycle, *, key: Key
    ) -> tuple[Spanning, Innovation]:
        """The members of least cost at the beginning of the window, carried to the present."""
        assert belief.window is not None
        window, root = belief.window, (self.size - 1) ** 0.5
        k_turn, k_inflate = jax.random.split(key)
        mean, anomalies = ensemble.centred(belief.early)
        _, innovation = ensemble.whitened(dynamics, belief.late, cycle)

        def step(_: int, at: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            control, transform, undone = at
            close = mean + control @ anomalies + self.bundle * root * transform @ anomalies
            seen, variance = dynamics.seen(window.through(_every(dynamics), close), cycle)
            middle, near = ensemble.centred(seen)
            wide = undone @ near / self.bundle
            white = ensemble.in_errors(dynamics, middle, wide, variance.mean(axis=0), cycle)[0]
            s, lag = white.anomalies, white.innovation + control @ white.anomalies
            control, transform = ensemble.transformed(Whitened(s, lag))
            return control, transform, transform + s @ (s.T @ transform)

        one = jnp.eye(self.size, dtype=mean.dtype)
        first = (jnp.zeros(self.size, mean.dtype), one, one)
        shift, transform, _ = jax.lax.fori_loop(0, self.iterations, step, first)
        if self.rotate:
            transform = ensemble.rotation(self.size, key=k_turn) @ transform
        early = mean + shift @ anomalies + root * transform @ anomalies
        early = self.inflation(belief.early, early, key=k_inflate)
        late = window.through(_every(dynamics), early)
        unless = partial(ensemble.unless_blind, cycle.mask)
        return Spanning(unless(early, belief.early), unless(late, belief.late), window), innovation

    def moments(self, belief: Spanning) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation over members, at the present."""
        return ensemble.moments(belief.late)

    def sample(
        self, belief: Spanning, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """The members at the present, all of one weight."""
        return belief.late, None


def _every(dynamics: Dynamics) -> Move:
    return jax.vmap(flowing(dynamics, "IEnKS"), in_axes=(0, None))
