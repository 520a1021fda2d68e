r"""What particle filters share: particles, their weights, and drawing them again.

$$w_n \propto w_n\,g_n, \qquad p(y \mid y_{<k}) \approx \sum_n w_n\,g_n, \qquad
N_{\text{eff}} = \Big(\sum_n w_n^2\Big)^{-1}$$

with $g_n$ what the readings say of particle n. Drawn again by one uniform number (Kitagawa 1996), each particle
comes as often as its weight says, within one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters.base import AbstractFilter
from assim.types import Array, Bool, Float, Int, Key


class AbstractPicking(AbstractFilter):
    """A filter that draws whole members again: what a member has of its own has to be in its state."""


class Particles(eqx.Module):
    """The belief of a particle filter.

    Args:
        members: shape (member, state), internal units.
        log_weight: normalised, shape (member,).
        log_density: log of the density of the readings of this cycle, all channels together, shape (); 0 before
            them.
    """

    members: Float[Array, "member state"]
    log_weight: Float[Array, " member"]
    log_density: Float[Array, ""]


def weighted_moments(
    members: Float[Array, "member n"], log_weight: Float[Array, " member"]
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Weighted mean and standard deviation.

    Args:
        members: of states or of readings, shape (member, n), internal units.
        log_weight: normalised, shape (member,).

    Returns:
        Each shape (n,).
    """
    weight = jnp.exp(log_weight)
    mean = weight @ members
    return mean, jnp.sqrt(weight @ (members - mean) ** 2)


def reweighed(
    log_weight: Float[Array, " member"], told: Float[Array, " member"]
) -> tuple[Float[Array, " member"], Float[Array, ""]]:
    """Weights after what was told of each.

    Args:
        log_weight: normalised, shape (member,).
        told: log density of the readings given each, shape (member,).

    Returns:
        Normalised log weights, shape (member,); and the log density of the readings, shape ().
    """
    heavy = log_weight + told
    total = jax.nn.logsumexp(heavy)
    return heavy - total, total


def few(log_weight: Float[Array, " member"], least: Float[Array, ""] | float) -> Bool[Array, ""]:
    """Whether less than that share of the particles is effective.

    Args:
        log_weight: normalised, shape (member,).
        least: the share, from 0 to 1.

    Returns:
        Shape ().
    """
    return 1.0 / jnp.exp(2.0 * log_weight).sum() < least * log_weight.shape[0]


def systematic(weight: Float[Array, " member"], *, key: Key) -> Int[Array, " member"]:
    """Numbers of the particles drawn again: each as often as its weight says, within one.

    Args:
        weight: shape (member,), with a sum of 1.
        key: all randomness.

    Returns:
        Numbers from 0, in order, shape (member,).
    """
    size, begin = weight.shape[0], jax.random.uniform(key, dtype=weight.dtype)
    reached = jnp.cumsum(weight)
    # how many of the ticks begin, begin + 1, ... lie below the reach of each
    ticks = jnp.ceil(size * (reached / reached[-1]) - begin)
    passed = jnp.zeros(size + 1, int).at[ticks.astype(int).clip(0, size)].add(1)
    return jnp.cumsum(passed)[:-1]


def alike(
    members: Float[Array, "member state"],
) -> tuple[Float[Array, "member state"], Float[Array, " member"]]:
    """Members all of one weight, and its log.

    Args:
        members: shape (member, state), internal units.

    Returns:
        The members, and the log of the weight of each, shape (member,).
    """
    size = members.shape[0]
    return members, jnp.full(size, -jnp.log(size), members.dtype)
