"""Draws of a posterior as the models of an ensemble: one for each member, stacked on a leading axis."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.assimilation.augmenting import Augmented, Flat, Varying
from assim.model import AbstractModel, bind
from assim.series import Layout
from assim.statespace import AbstractStateSpace, Context
from assim.types import Array, Key, Sites


def spread_draws(sites: Sites, size: int) -> Sites:
    """As many draws as members, evenly spaced over all chains."""
    flat = {k: np.asarray(v).reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    count = next(iter(flat.values())).shape[0]
    at = np.linspace(0, count - 1, size).round().astype(int)
    return {k: jnp.asarray(v[at]) for k, v in flat.items()}


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
) -> tuple[AbstractStateSpace, Array]:
    """A model for each draw, stacked on a leading axis, and its first state; as it is where no shape is given."""

    def member(theta: Sites, key: Key) -> tuple[AbstractStateSpace, Array]:
        ssm = bind(model, theta, layout, constants, centre)
        if shape is not None and varying is None:
            ssm = Flat(ssm, shape)
        elif shape is not None and varying is not None:
            ssm = Augmented(model, constants, centre, theta, varying, shape, layout)
        return ssm, ssm.init(context, key=key).sample(key)

    size = next(iter(sites.values())).shape[0]
    return eqx.filter_vmap(member)(sites, jax.random.split(key, size))
