"""Room for what a smoother leaves on its way forward: memory while it lasts, then a Zarr store of its own."""

import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import jax
import numpy as np
import zarr

from assim.types import PyTree

MOST_BYTES = 500_000_000


class Spill:
    """Pytrees of arrays by number; what is beyond `most` bytes lies in a store that vanishes with this.

    Args:
        most: bytes held in memory; None for `MOST_BYTES`.
        beside: directory of the store; None for the system's.
    """

    def __init__(self, most: int | None = None, beside: Path | None = None) -> None:
        self.most, self.held = MOST_BYTES if most is None else most, 0
        self.room = tempfile.TemporaryDirectory(dir=beside, prefix=".smoothing-")
        self.kept: dict[int, list[np.ndarray]] = {}
        self.shapes: dict[int, jax.tree_util.PyTreeDef] = {}

    def __setitem__(self, number: int, tree: PyTree) -> None:
        """Keep a pytree."""
        leaves, self.shapes[number] = jax.tree.flatten(tree)
        arrays = [np.asarray(leaf) for leaf in leaves]
        size = sum(a.nbytes for a in arrays)
        if self.held + size <= self.most:
            self.kept[number], self.held = arrays, self.held + size
            return
        store = zarr.open_group(Path(self.room.name) / str(number), mode="w")
        for i, array in enumerate(arrays):
            store.create_array(f"leaf_{i}", data=array)

    def pop(self, number: int) -> PyTree:
        """Give it back, and forget it."""
        if number in self.kept:
            leaves = self.kept.pop(number)
            self.held -= sum(a.nbytes for a in leaves)
        else:
            store = zarr.open_group(Path(self.room.name) / str(number), mode="r")
            leaves = [np.asarray(store[f"leaf_{i}"]) for i in range(len(list(store.array_keys())))]
        return jax.tree.unflatten(self.shapes.pop(number), leaves)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.room.cleanup()
