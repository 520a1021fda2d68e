r"""What variational filters share: a cost in whitened coordinates, and the steps of Gauss and Newton down it.

$$J(w) = \tfrac12\,\lvert w\rvert^2 + \tfrac12\,\big\lvert R^{-1/2}\big(y - h(x(w))\big)\big\rvert^2, \qquad
S_j = R^{-1/2} h'(x(w_j))\,x'(w_j)$$

$$w_{j+1} = S_j^\top (I + S_j S_j^\top)^{-1} \big(\delta_j + S_j w_j\big), \qquad
P^a = x'(w)\,(I + S^\top S)^{-1} x'(w)^\top$$

(Courtier, Thépaut and Hollingsworth 1994, each inner problem solved exactly.) Slopes are dense: for states of a
few hundred components. Missing readings are zeros in S and $\delta$, as in ensembles.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from assim.filters import ensemble
from assim.filters.base import Cycle, Dynamics, Innovation
from assim.filters.ensemble import Whitened
from assim.linalg import tria
from assim.statespace import AbstractAdditiveNoise
from assim.types import Array, Float

type Move = Callable[[Array, Cycle], Array]


class Tangent(eqx.Module):
    """Where a control leads, and what turning it changes there.

    Args:
        state: x(w), shape (state,), internal units.
        directions: its slope by rows, shape (control, state), internal units.
    """

    state: Float[Array, " state"]
    directions: Float[Array, "control state"]


def climatological(states: Float[Array, "time state"]) -> Float[Array, "state state"]:
    """A root of the covariance of many states: what a static background is scaled from.

    Args:
        states: shape (time, state), internal units.

    Returns:
        Lower, shape (state, state), internal units.
    """
    apart = states - states.mean(axis=0)
    return tria(apart.T / (states.shape[0] - 1) ** 0.5)


def additive(dynamics: Dynamics, who: str) -> AbstractAdditiveNoise:
    """The model, where it is one of a flow and additive noise.

    Args:
        dynamics: the model.
        who: the filter that needs it, by name.

    Returns:
        The model.

    Raises:
        TypeError: a model without a flow, or one for each member.
    """
    ssm = dynamics.ssm
    if not isinstance(ssm, AbstractAdditiveNoise) or dynamics.each:
        raise TypeError(
            f"{who} needs one model of a flow and additive noise, which {dynamics.name} is not: use ETKF or "
            "Particle."
        )
    return ssm


def flowing(dynamics: Dynamics, who: str) -> Move:
    """The move over the span of a cycle, without noise.

    Args:
        dynamics: the model.
        who: the filter that needs it, by name.

    Returns:
        Of a state (state,) and a cycle, the state at the end of its span.

    Raises:
        TypeError: as `additive` does.
    """
    ssm = additive(dynamics, who)
    return lambda x, cycle: ssm.flow(x, cycle.span, cycle.u)


def sighted(dynamics: Dynamics, tangent: Tangent, cycle: Cycle) -> tuple[Whitened, Innovation]:
    r"""Readings and their slopes in units of their error.

    Args:
        dynamics: the model.
        tangent: a state, and what turning a control changes there.
        cycle: what was read.

    Returns:
        $S$ by rows of the control and $\delta$; and the innovation, scored as a Gaussian.
    """

    def see(x: Array) -> tuple[Array, Array]:
        density = dynamics.sight(dynamics.ssm, x, cycle)
        return density.mean, density.variance

    seen, slope, variance = jax.linearize(see, tangent.state, has_aux=True)
    slopes = jax.vmap(slope)(tangent.directions)
    return ensemble.in_errors(dynamics, seen, slopes, variance, cycle)


def fitted(
    dynamics: Dynamics,
    at: Callable[[Array], Tangent],
    first: Tangent,
    cycle: Cycle,
    iterations: int,
) -> tuple[Float[Array, " control"], Float[Array, "state control"], Innovation]:
    """The control of least cost, by steps of Gauss and Newton from 0.

    Args:
        dynamics: the model.
        at: where a control leads.
        first: the same at 0.
        cycle: what was read.
        iterations: steps, each from a slope of its own.

    Returns:
        The control, a root of the covariance of the state that it leads to, and the innovation.
    """
    white, innovation = sighted(dynamics, first, cycle)

    def told(control: Array) -> tuple[Array, Whitened]:
        tangent = at(control)
        return tangent.directions, sighted(dynamics, tangent, cycle)[0]

    return *descended(told, (first.directions, white), iterations), innovation


def descended(
    at: Callable[[Array], tuple[Array, Whitened]], first: tuple[Array, Whitened], iterations: int
) -> tuple[Float[Array, " control"], Float[Array, "state control"]]:
    """Steps of Gauss and Newton from 0.

    Args:
        at: of a control, what turning it changes in the state, shape (control, state), and in the readings.
        first: the same at 0.
        iterations: steps, each from a slope of its own.

    Returns:
        The control, and a root of the covariance of the state that it leads to.
    """

    def again(_: int, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        directions, white = at(carry[0])
        return stepped(carry[0], white), directions, white.anomalies

    directions, white = first
    carry = (stepped(jnp.zeros_like(directions[:, 0]), white), directions, white.anomalies)
    control, directions, s = jax.lax.fori_loop(1, iterations, again, carry)
    chol = jnp.linalg.cholesky(jnp.eye(s.shape[0], dtype=s.dtype) + s @ s.T)
    return control, solve_triangular(chol, directions, lower=True).T


def stepped(control: Float[Array, " control"], white: Whitened) -> Float[Array, " control"]:
    r"""The control that one step of Gauss and Newton leads to.

    Args:
        control: w, shape (control,).
        white: S there, shape (control, channel), and $\delta$.

    Returns:
        Shape (control,).
    """
    lag = white.innovation + control @ white.anomalies
    return ensemble.weighed(white.anomalies, lag[None])[0]
