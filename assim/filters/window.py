"""The last cycles that a filter remembers: the way from the state where it corrects to the present.

A belief is started before any cycle is known, so its window is opened by `AbstractRemembering.opened`. Until as
many cycles have passed as it holds, the window grows and its beginning stays; then both move on, one cycle at a
time.
"""

from typing import Self

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.filters.base import Cycle
from assim.filters.variational import Move
from assim.types import Array, Bool, Int, PyTree


class Window(eqx.Module):
    """The last cycles, the oldest first.

    Args:
        cycles: stacked on a leading axis as long as the window.
        count: how many have come yet; they are the last ones, shape ().
    """

    cycles: Cycle
    count: Int[Array, ""]

    @classmethod
    def opened(cls, cycles: Cycle, lag: int) -> Self:
        """Room for `lag` cycles like those of a record.

        Args:
            cycles: the record, stacked on a leading time axis.
            lag: how many are held.

        Returns:
            A window without any yet.
        """

        def empty(leaf: Array) -> Array:
            return jnp.zeros((lag, *leaf.shape[1:]), leaf.dtype)

        return cls(jax.tree.map(empty, cycles), jnp.zeros((), int))

    def slid(self, cycle: Cycle) -> "Window":
        """The window with one more cycle, the oldest dropped where there is no room.

        Args:
            cycle: the newest.

        Returns:
            The window one cycle further.
        """

        def push(ring: Array, leaf: Array) -> Array:
            return jnp.concatenate([ring[1:], leaf[None]])

        count = jnp.minimum(self.count + 1, self.lag)
        return Window(jax.tree.map(push, self.cycles, cycle), count)

    def read(self, cycle: Cycle) -> "Window":
        """The window with the readings of its newest cycle as they are told now.

        Args:
            cycle: the newest, as it is told now.

        Returns:
            The window with it in place of its last.
        """

        def replace(ring: Array, leaf: Array) -> Array:
            return ring.at[-1].set(leaf)

        return Window(jax.tree.map(replace, self.cycles, cycle), self.count)

    @property
    def lag(self) -> int:
        """How many cycles it holds."""
        return self.cycles.mask.shape[0]

    @property
    def full(self) -> Bool[Array, ""]:
        """Whether the next cycle pushes the oldest out."""
        return self.count == self.lag

    def advanced(self, move: Move, x: PyTree) -> PyTree:
        """The state at the beginning of the window once the next cycle has come.

        Args:
            move: over the span of a cycle.
            x: at its beginning now, one state or one for each member.

        Returns:
            As it is, until the window is full.
        """
        oldest = jax.tree.map(lambda leaf: leaf[0], self.cycles)
        return _where(self.full, move(x, oldest), x)

    def through(self, move: Move, x: PyTree) -> PyTree:
        """The state at the end of the window, from that at its beginning.

        Args:
            move: over the span of a cycle.
            x: at its beginning, one state or one for each member.

        Returns:
            The same at its end.
        """

        def step(x: PyTree, at: tuple[Array, Cycle]) -> tuple[PyTree, None]:
            number, cycle = at
            return _where(number >= self.lag - self.count, move(x, cycle), x), None

        return jax.lax.scan(step, x, (jnp.arange(self.lag), self.cycles))[0]


def _where(chosen: Array, a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(lambda a, b: jnp.where(chosen, a, b), a, b)
