r"""What a filter foresees of the readings of a cycle, and of each given those before it.

$$d = y - \overline{h(x)} \sim \mathcal N(0, L L^\top), \quad L w = d, \qquad
p(y_i \mid y_{<i}, \text{the past}) = \mathcal N\big(y_i;\; y_i - L_{ii} w_i,\; L_{ii}^2\big)$$

The channels of a cycle are not independent: each hangs on the same state. In the order of their columns the product
of these densities is that of all together, $\mathcal N(d; 0, L L^\top)$, so that every reading has a density of its
own and their sum is the log-likelihood (Schweppe 1965; for ensembles, whose sample covariance takes the place of
$H P H^\top$, Carrassi, Bocquet, Hannart and Ghil 2017).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from assim.filters import Kalman, ensemble
from assim.filters.base import AbstractFilter, Belief, Cycle, Dynamics, cycled, opened
from assim.filters.ensemble import Ensemble
from assim.filters.gaussian import Gaussian
from assim.linalg import mask_observation, tria
from assim.statespace import AbstractLinearGaussian, AbstractStateSpace, Context
from assim.types import Array, Float, Key, PyTree

SERVING = "Kalman, ExtendedKalman, EnKF, DEnKF or ETKF"
"""Filters of this package that foresee a Gaussian which is smooth in the parameters."""
NOTHING = Context(*(jnp.zeros((0, 0)),) * 4)
"""What is known of a record before it starts."""


def along(
    chosen: AbstractFilter,
    ssm: AbstractStateSpace,
    cycles: Cycle,
    keep: Callable[[Array, Array, Cycle, Array], PyTree],
    *,
    key: Key,
) -> PyTree:
    """A record through a filter: what is kept of what was foreseen at each cycle, on a leading time axis.

    Args:
        chosen: the filter.
        ssm: the model.
        cycles: stacked on a leading time axis.
        keep: of a cycle, given the mean foreseen (channel,), the root L (channel, channel), whose rows of missing
            readings are those of the identity, the cycle and its number.
        key: all randomness of the filter.
    """
    dynamics = Dynamics(ssm)
    k_start, k_run = jax.random.split(key)

    def step(belief: Belief, at: tuple[Array, Cycle]) -> tuple[Belief, PyTree]:
        number, cycle = at
        told = cycled(chosen, dynamics, belief, cycle, number, key=k_run)
        mean, root = foreseen(chosen, dynamics, told.background, cycle)
        return told.analysis, keep(mean, root, cycle, number)

    numbers = jnp.arange(cycles.mask.shape[0])
    belief = opened(chosen, begun(chosen, ssm, key=k_start), cycles)
    return jax.lax.scan(step, belief, (numbers, cycles))[1]


def begun(chosen: AbstractFilter, ssm: AbstractStateSpace, *, key: Key) -> Belief:
    """The belief of a filter before a record of a known system."""
    k_first, k_start = jax.random.split(key)
    return chosen.start(Dynamics(ssm), ssm.init(NOTHING, key=k_first), key=k_start)


def require_gaussian(chosen: AbstractFilter, ssm: AbstractStateSpace, *, key: Key) -> None:
    """Refuse a filter that cannot start on a system, or that foresees no Gaussian.

    Raises:
        TypeError: either; it names those that serve.
    """
    belief = eqx.filter_eval_shape(lambda: begun(chosen, ssm, key=key))
    if not isinstance(belief, Gaussian | Ensemble):
        raise _no_gaussian(chosen)


def foreseen(
    chosen: AbstractFilter, dynamics: Dynamics, belief: Belief, cycle: Cycle
) -> tuple[Float[Array, " channel"], Float[Array, "channel channel"]]:
    """Mean of the readings of a cycle by the background, and a lower root of their covariance.

    Args:
        chosen: the filter.
        dynamics: the model.
        belief: the background.
        cycle: what was read; rows of missing readings are those of the identity.

    Raises:
        TypeError: a belief that is neither a Gaussian nor an ensemble.
    """
    if isinstance(belief, Gaussian):
        mean, h, error = _linearised(chosen, dynamics, belief, cycle)
    elif isinstance(belief, Ensemble):
        seen, variance = dynamics.seen(belief.members, cycle)
        mean, anomalies = ensemble.centred(seen)
        h, error = anomalies.T, _error(dynamics, variance.mean(axis=0), cycle)
    else:
        raise _no_gaussian(chosen)
    h, _, error = mask_observation(h, jnp.zeros_like(mean), error, cycle.mask)
    return mean, tria(jnp.concatenate([error, h], axis=1))


def one_by_one(
    mean: Float[Array, " channel"], root: Float[Array, "channel channel"], cycle: Cycle
) -> tuple[Float[Array, " channel"], Float[Array, " channel"]]:
    """Location and scale of each reading given those before it, and given the earlier channels of its cycle.

    Args:
        mean: foreseen.
        root: L.
        cycle: what was read.
    """
    residual = jnp.where(cycle.mask, cycle.y - mean, 0.0)
    scale = jnp.diagonal(root)
    white = solve_triangular(root, residual, lower=True)
    return cycle.y - scale * white, scale


def _no_gaussian(chosen: AbstractFilter) -> TypeError:
    return TypeError(
        f"{type(chosen).__name__} foresees no Gaussian of the readings of a time: use {SERVING}."
    )


def _linearised(
    chosen: AbstractFilter, dynamics: Dynamics, belief: Gaussian, cycle: Cycle
) -> tuple[Array, Array, Array]:
    """Mean of the readings, a root of what the state adds to their covariance, and a root of their error's."""
    ssm = dynamics.ssm
    if isinstance(chosen, Kalman) and isinstance(ssm, AbstractLinearGaussian):
        h, offset, error = ssm.emission(cycle.span, dynamics.positions(cycle))
        error = tria(jnp.concatenate([error, jnp.diag(cycle.sd)], axis=1))
        return h @ belief.mean + offset, h @ belief.root, error

    def see(x: Array) -> tuple[Array, Array]:
        density = dynamics.sight(ssm, x, cycle)
        return density.mean, density.variance

    mean, slope, variance = jax.linearize(see, belief.mean, has_aux=True)
    across = jax.vmap(slope, in_axes=1, out_axes=1)(belief.root)
    return mean, across, _error(dynamics, variance, cycle)


def _error(dynamics: Dynamics, variance: Array, cycle: Cycle) -> Array:
    """A root of the covariance of the errors of reading, from their variances where each is by itself."""
    root = dynamics.error_root(cycle)
    return jnp.diag(jnp.sqrt(variance)) if root is None else root
