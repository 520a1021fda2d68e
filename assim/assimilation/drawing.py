"""Draws of a posterior as the models of an ensemble: one for each member, stacked on a leading axis.

What was counted at the fit is the same for every member, and there but once: on a large grid it is most of a model.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.assimilation.augmenting import Augmented, AugmentedFlow, Flat, Varying
from assim.filters.base import Dynamics
from assim.model import AbstractModel
from assim.problem import bind
from assim.series import Layout
from assim.statespace import AbstractAdditiveNoise, AbstractStateSpace, Context
from assim.tree import Fitted
from assim.types import Array, Key, Sites

SEVERAL = 100
"""Draws of a posterior that run filters of their own."""


def spread_draws(sites: Sites, size: int) -> Sites:
    """As many draws as members, evenly spaced over all chains."""
    flat = {k: np.asarray(v).reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    count = next(iter(flat.values())).shape[0]
    at = np.linspace(0, count - 1, size).round().astype(int)
    return {k: jnp.asarray(v[at]) for k, v in flat.items()}


def side_by_side(fitted: Fitted) -> tuple[tuple[int, int], Sites]:
    """Draws that run filters of their own: how many (chain, draw), and their sites, stacked."""
    kept = fitted.thinned(SEVERAL)
    chains, draws = next(iter(kept.values())).shape[:2]
    return (chains, draws), {k: v.reshape(-1, *v.shape[2:]) for k, v in kept.items()}


@eqx.filter_jit
def drawn(
    model: AbstractModel,
    layout: Layout,
    constants: Sites,
    centre: Sites | None,
    sites: Sites,
    varying: Varying | None,
    shape: tuple[int, ...] | None,
    context: Context,
    key: Key,
) -> tuple[Dynamics, Array]:
    """A model for each draw, stacked on a leading axis, and its first state; as it is where no shape is given."""

    def made(theta: Sites) -> AbstractStateSpace:
        ssm = bind(model, theta, layout, constants, centre)
        if shape is not None and varying is None:
            return Flat(ssm, shape)
        if shape is not None and varying is not None:
            kind = AugmentedFlow if isinstance(ssm, AbstractAdditiveNoise) else Augmented
            return kind(model, constants, centre, theta, varying, shape, layout)
        return ssm

    one = made({k: v[0] for k, v in sites.items()})
    counted = jax.tree.leaves((constants, centre))
    same = jax.tree.map(lambda leaf: any(leaf is array for array in counted), one)

    def member(theta: Sites, key: Key) -> tuple[AbstractStateSpace, Array]:
        ssm = made(theta)
        own = eqx.filter(ssm, same, inverse=True)
        return own, ssm.init(context, key=key).sample(key)

    size = next(iter(sites.values())).shape[0]
    own, first = eqx.filter_vmap(member)(sites, jax.random.split(key, size))
    leaves = zip(jax.tree.leaves(same), jax.tree.leaves(one), strict=True)
    shared = tuple(told for told, leaf in leaves if eqx.is_array(leaf))
    return Dynamics(eqx.combine(own, eqx.filter(one, same)), each=True, shared=shared), first
