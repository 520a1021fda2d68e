r"""One named Normal prior for each leaf of a network: `net.layers.0.weight`, and so on.

$$W_{ij} \sim \mathcal N(0, 1/\text{fan-in}), \qquad b_i \sim \mathcal N(0, 1)$$

so that every layer's output has prior variance of order one whatever its width (Neal 1996, ch. 2): priors are
set on what a network says, not on how it is built.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.tree_util import GetAttrKey, KeyPath, SequenceKey

from assim.types import Array, Key


def network_prior[Net: eqx.Module](
    name: str, build: Callable[[Key], Net], scales: dict[str, float | Array] | None = None
) -> Net:
    """A network whose every array leaf is a NumPyro sample site.

    Args:
        name: prefix of the site names.
        build: what makes the network from a key; only its shapes are used.
        scales: factor on the prior sd of the sites whose name (without prefix) starts with a key, the first that
            does; a number, or an array that broadcasts to the leaf.

    Returns:
        The network with sampled leaves.
    """
    template = eqx.filter_eval_shape(build, jax.random.key(0))
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    return jax.tree_util.tree_unflatten(
        structure, [_sampled(name, path, leaf, scales or {}) for path, leaf in leaves]
    )


def _sampled(name: str, path: KeyPath, leaf: object, scales: dict[str, float | Array]) -> object:
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    label = ".".join(_word(part) for part in path)
    factor = next((s for start, s in scales.items() if label.startswith(start)), 1.0)
    fan_in = leaf.shape[-1] if len(leaf.shape) > 1 else 1
    sd = jnp.broadcast_to(jnp.asarray(factor, leaf.dtype) / fan_in**0.5, leaf.shape)
    prior = dist.Normal(jnp.zeros(leaf.shape, leaf.dtype), sd).to_event(len(leaf.shape))
    value: Array = numpyro.sample(f"{name}.{label}", prior)
    return value


def _word(part: object) -> str:
    if isinstance(part, GetAttrKey):
        return part.name
    if isinstance(part, SequenceKey):
        return str(part.idx)
    return str(getattr(part, "key", part))
