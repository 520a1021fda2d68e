"""How the last axis of an array is labelled: by a name for each column, or as one or several fields at places."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Columns:
    """How the last axis of an array is labelled.

    Args:
        names: one for a field, or for each of several that follow each other, else one for each column.
        dim: dimension of each field, or None.
        coords: coordinates along that dimension, by name.
        attrs: CF attributes of each name.
        axes: names and sizes of the axes that the dimension is folded into; none to leave it as it is.
        blank: columns of which nothing is told, as land, shape (column,); None for none.
    """

    names: tuple[str, ...]
    dim: str | None = None
    coords: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, dict] = field(default_factory=dict)
    axes: tuple[tuple[str, int], ...] = ()
    blank: np.ndarray | None = None

    def labelled(
        self, values: np.ndarray, dims: tuple[str, ...], suffix: str = "", says: str = ""
    ) -> dict[str, tuple]:
        """Variables of an array (*dims, column), their names with a suffix.

        Args:
            values: shape (*dims, column).
            dims: names of the leading dimensions.
            suffix: behind each name.
            says: what goes into `long_name` beside the name.
        """
        told = {
            name: {k: v for k, v in self.attrs.get(name, {}).items() if k != "ancillary_variables"}
            for name in self.names
        }
        if says:
            told = {n: _said(a, n, says) for n, a in told.items()}
        if self.dim is not None:
            parts = zip(self.names, np.split(values, len(self.names), axis=-1), strict=True)
            return {f"{n}{suffix}": self._field(part, dims, told[n]) for n, part in parts}
        return {
            f"{name}{suffix}": (dims, values[..., c], told[name])
            for c, name in enumerate(self.names)
        }

    def _field(self, values: np.ndarray, dims: tuple[str, ...], attrs: dict) -> tuple:
        """The variable of one field."""
        if self.blank is not None:
            values = np.where(self.blank, np.asarray(np.nan, values.dtype), values)
        if not self.axes:
            return ((*dims, self.dim), values, attrs)
        over, sizes = zip(*self.axes, strict=True)
        return ((*dims, *over), values.reshape(*values.shape[:-1], *sizes), attrs)


def _said(attrs: Mapping[str, Any], name: str, says: str) -> dict[str, Any]:
    plain = {k: v for k, v in attrs.items() if k not in ("standard_name", "valid_min", "valid_max")}
    return plain | {"long_name": f"{says} of {attrs.get('long_name', name)}"}
