r"""Four-dimensional variational assimilation under a weak constraint: the model may err (Trémolet 2006).

$$J(w) = \tfrac12 \sum_{j=0}^{L} \lvert w_j\rvert^2 +
\tfrac12 \sum_{j=1}^{L} \big\lvert R_j^{-1/2}\big(y_j - h(x_j)\big)\big\rvert^2, \qquad
x_0 = x^b + B^{1/2} w_0, \quad x_j = \mathcal M(x_{j-1}) + Q_j^{1/2} w_j$$

The control is the state at the beginning of the window and the model's error in each of its cycles (the forcing
formulation), and all readings of the window are in the cost. Its background is the prior until the window is full.
From then on it is what the analysis of that time said, which knows of the readings up to there: each reading counts
once. B is the static covariance of its error. The slopes of flow and noise are exact, by automatic differentiation.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.filters.base import AbstractRemembering, AbstractSingle, Cycle, Dynamics, Innovation
from assim.filters.checking import counted, positive, rooted
from assim.filters.ensemble import Whitened, in_errors
from assim.filters.gaussian import drawn, root_of
from assim.filters.variational import Tangent, additive, descended, sighted
from assim.filters.window import Window
from assim.linalg import tria
from assim.types import Array, Float, Key

type Way = Callable[[Array], tuple[tuple[Array, Array], Array]]


class Loose(eqx.Module):
    """The belief of a window in which the model may err.

    Args:
        early: background at the beginning of the window, shape (state,), internal units.
        spread: a root of its covariance, shape (state, state), internal units.
        late: state at the present, shape (state,), internal units.
        root: lower root of its covariance, shape (state, state), internal units.
        past: what was believed at the end of each cycle of the window, shape (lag, state), internal units.
        window: its cycles; None before the record is known.
    """

    early: Float[Array, " state"]
    spread: Float[Array, "state state"]
    late: Float[Array, " state"]
    root: Float[Array, "state state"]
    past: Float[Array, "lag state"]
    window: Window | None


class WeakFourDVar(AbstractSingle, AbstractRemembering):
    """Four-dimensional variational assimilation under a weak constraint.

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
    lag: int = eqx.field(static=True, default=3)
    iterations: int = eqx.field(static=True, default=3)

    def __check_init__(self) -> None:
        counted(self, lag=self.lag, iterations=self.iterations)
        positive(self, scale=self.scale)

    def start(self, dynamics: Dynamics, prior: Distribution, *, key: Key) -> Loose:
        """The prior, taken for a Gaussian."""
        additive(dynamics, "WeakFourDVar")
        rooted(self, self.root, prior.mean)
        mean, spread = prior.mean, tria(root_of(prior))
        return Loose(mean, spread, mean, spread, jnp.tile(mean, (self.lag, 1)), None)

    def opened(self, belief: Loose, cycles: Cycle) -> Loose:
        """The belief with a window."""
        if belief.window is not None:
            return belief
        window = Window.opened(cycles, self.lag)
        return Loose(belief.early, belief.spread, belief.late, belief.root, belief.past, window)

    def forecast(self, dynamics: Dynamics, belief: Loose, cycle: Cycle, *, key: Key) -> Loose:
        """The window one cycle further; the state by the flow, its covariance by the slope and the noise."""
        assert belief.window is not None
        ssm = additive(dynamics, "WeakFourDVar")
        late, slope = jax.linearize(lambda x: ssm.flow(x, cycle.span, cycle.u), belief.late)
        moved = jax.vmap(slope, in_axes=1, out_axes=1)(belief.root)
        noise = root_of(ssm.process_noise(belief.late, cycle.span))
        static = jnp.sqrt(self.scale) * self.root
        return Loose(
            jnp.where(belief.window.full, belief.past[0], belief.early),
            jnp.where(belief.window.full, static, belief.spread),
            late,
            tria(jnp.concatenate([moved, noise], axis=1)),
            jnp.concatenate([belief.past[1:], late[None]]),
            belief.window.slid(cycle),
        )

    def analysis(
        self, dynamics: Dynamics, belief: Loose, cycle: Cycle, *, key: Key
    ) -> tuple[Loose, Innovation]:
        """The end of the way of least cost through the window."""
        assert belief.window is not None
        window = belief.window.read(cycle)
        _, innovation = sighted(dynamics, Tangent(belief.late, belief.root.T), cycle)
        way = _way(dynamics, belief, window)

        def at(control: Array) -> tuple[Array, Whitened]:
            return _sighted(dynamics, way, control, window.cycles)

        none = jnp.zeros((self.lag + 1) * belief.late.shape[0], belief.late.dtype)
        control, root = descended(at, at(none), self.iterations)
        seen = cycle.mask.any()
        late = jnp.where(seen, way(control)[0][0], belief.late)
        root = jnp.where(seen, tria(root), belief.root)
        past = belief.past.at[-1].set(late)
        return Loose(belief.early, belief.spread, late, root, past, window), innovation

    def moments(self, belief: Loose) -> tuple[Float[Array, " state"], Float[Array, " state"]]:
        """Mean and standard deviation, at the present."""
        return belief.late, jnp.sqrt((belief.root**2).sum(axis=1))

    def sample(
        self, belief: Loose, *, key: Key
    ) -> tuple[Float[Array, "member state"], Float[Array, " member"] | None]:
        """Draws of the Gaussian."""
        return drawn(belief.late, belief.root, key=key)


def _way(dynamics: Dynamics, belief: Loose, window: Window) -> Way:
    """Of a control, where it ends and what it would be read as, (lag, channel); and the variance of the error."""
    ssm = additive(dynamics, "WeakFourDVar")
    numbers = jnp.arange(window.lag)

    def way(control: Array) -> tuple[tuple[Array, Array], Array]:
        first, *pushes = control.reshape(window.lag + 1, -1)

        def step(x: Array, at: tuple[Array, Cycle, Array]) -> tuple[Array, tuple[Array, Array]]:
            number, cycle, push = at
            noise = root_of(ssm.process_noise(x, cycle.span))
            ahead = ssm.flow(x, cycle.span, cycle.u) + noise @ push
            x = jnp.where(number >= window.lag - window.count, ahead, x)
            density = dynamics.sight(ssm, x, cycle)
            return x, (density.mean, density.variance)

        x = belief.early + belief.spread @ first
        late, (seen, variance) = jax.lax.scan(step, x, (numbers, window.cycles, jnp.stack(pushes)))
        return (late, seen), variance

    return way


def _sighted(dynamics: Dynamics, way: Way, control: Array, cycles: Cycle) -> tuple[Array, Whitened]:
    """What turning a control changes at the end of its way, and in the readings, in units of their error."""
    (_, seen), slope, variance = jax.linearize(way, control, has_aux=True)
    directions, slopes = jax.vmap(slope)(jnp.eye(control.shape[0], dtype=control.dtype))
    each = jax.vmap(partial(in_errors, dynamics), in_axes=(0, 1, 0, 0))
    white, _ = each(seen, slopes, variance, cycles)
    flat = white.anomalies.swapaxes(0, 1).reshape(control.shape[0], -1)
    return directions, Whitened(flat, white.innovation.ravel())
