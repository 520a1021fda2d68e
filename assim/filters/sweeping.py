"""Many settings of one filter as one batch: what differs between them are numbers, stacked on a leading axis."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters.base import AbstractFilter, Belief, Cycle, Dynamics, Innovation, Told, run
from assim.types import Array, Keys, PyTree

ABREAST = 4
"""Filters that step together: so many stay near the processor."""


def stacked(trees: Sequence[PyTree]) -> PyTree:
    """Filters, or beliefs, of one structure as one, every number stacked on a leading axis.

    Args:
        trees: filters that differ in numbers alone, as factors and radii; sizes are no such numbers.

    Returns:
        One of their kind, for `jax.vmap`.

    Raises:
        ValueError: they differ in more than numbers.
    """
    if len({_structure(tree) for tree in trees}) > 1:
        raise ValueError(
            "Filters of one batch may differ in numbers alone (a factor, a radius), and these differ in kind or in "
            "size: run each kind by itself."
        )
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *trees)


def levelled(beliefs: Sequence[Belief]) -> list[Belief]:
    """Beliefs of one shape: what is shorter is filled with zeros, as readings near a place, which weigh nothing.

    Args:
        beliefs: of one structure.

    Returns:
        The same, each array as long as its longest along every axis.
    """

    def fill(*leaves: Array) -> list[Array]:
        shape = [max(sizes) for sizes in zip(*(leaf.shape for leaf in leaves), strict=True)]
        return [
            jnp.pad(leaf, [(0, n - m) for n, m in zip(shape, leaf.shape, strict=True)])
            if shape
            else leaf
            for leaf in leaves
        ]

    leaves, structure = zip(*(jax.tree.flatten(belief) for belief in beliefs), strict=True)
    filled = [fill(*column) for column in zip(*leaves, strict=True)]
    return [jax.tree.unflatten(structure[0], row) for row in zip(*filled, strict=True)]


def grouped(filters: Sequence[AbstractFilter]) -> list[list[int]]:
    """Numbers of the filters that can be stacked with each other, in the order of their first.

    Args:
        filters: any.

    Returns:
        Numbers from 0, each once, a list for each kind.
    """
    groups: dict[object, list[int]] = {}
    for number, chosen in enumerate(filters):
        groups.setdefault(_structure(chosen), []).append(number)
    return list(groups.values())


@eqx.filter_jit
def run_all(
    filters: AbstractFilter, dynamics: Dynamics, beliefs: Belief, cycles: Cycle, keys: Keys
) -> tuple[tuple[Array, Array], Innovation]:
    """A record through many settings of a filter at once.

    Args:
        filters: stacked on a leading axis.
        dynamics: the model of all.
        beliefs: before the first span, on the same axis.
        cycles: one record, stacked on a leading time axis.
        keys: of each.

    Returns:
        Mean and standard deviation of the analyses, each shape (filter, time, state), and the innovations.
    """

    def one(chosen: AbstractFilter, belief: Belief, key: Array) -> tuple:
        told: Told = run(chosen, dynamics, belief, cycles, key=key)[1]
        return told.analysis, told.innovation

    numbers, rest = eqx.partition((filters, beliefs, keys), eqx.is_array)
    return jax.lax.map(
        lambda part: one(*eqx.combine(part, rest)), numbers, batch_size=min(ABREAST, keys.shape[0])
    )


def _structure(tree: PyTree) -> object:
    """What has to agree: the kind, what is static, and the shapes of the numbers."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(jnp.shape(leaf) for leaf in leaves)
