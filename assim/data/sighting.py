"""Sightings: a row for each time that a particle was seen, of one file or of several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assim.data.units import agree, convert, convert_difference


@dataclass(frozen=True)
class Sightings:
    """Rows in order of time.

    Args:
        times: when, shape (row,), datetime64[ns].
        x: coordinates, shape (row, coordinate), file units; NaN where missing.
        sd: their standard errors, shape (row, coordinate), file units; NaN where unknown.
        weight: what each row counts, shape (row,).
        who: index of the particle of each row in `labels`, -1 where it has no name, shape (row,); or None where
            nobody tells.
        labels: identities of the particles.
        names: of the coordinates.
        attrs: CF attributes of each coordinate.
        about: attributes of the file.
        said: what was decided or mended.
    """

    times: NDArray[np.datetime64]
    x: NDArray[np.float64]
    sd: NDArray[np.float64]
    weight: NDArray[np.float64]
    who: NDArray[np.intp] | None
    labels: tuple[str, ...]
    names: tuple[str, ...]
    attrs: dict[str, dict]
    about: dict[str, Any]
    said: tuple[str, ...] = ()

    def rows(self, keep: NDArray) -> "Sightings":
        """Those rows, by a mask or in an order, shape (row,)."""
        who = None if self.who is None else self.who[keep]
        return replace(
            self,
            times=self.times[keep],
            x=self.x[keep],
            sd=self.sd[keep],
            weight=self.weight[keep],
            who=who,
        )

    def with_coordinates(
        self,
        x: NDArray[np.float64],
        sd: NDArray[np.float64] | None = None,
        names: tuple[str, ...] | None = None,
        attrs: dict[str, dict] | None = None,
        said: str = "",
    ) -> "Sightings":
        """The same rows with other coordinates, shapes (row, coordinate), and what was done to them."""
        return replace(
            self,
            x=x,
            sd=self.sd if sd is None else sd,
            names=names or self.names,
            attrs=attrs or self.attrs,
            said=(*self.said, *filter(None, [said])),
        )


def together(parts: Sequence[Sightings]) -> Sightings:
    """The sightings of several files, in the units of the first; identities count across them.

    Raises:
        ValueError: units that cannot be converted.
    """
    first = parts[0]
    labels = tuple(dict.fromkeys(label for p in parts for label in p.labels))
    at = {label: i for i, label in enumerate(labels)}
    who = [
        np.full(p.times.size, -1)
        if p.who is None
        else np.array([*map(at.get, p.labels), -1])[p.who]
        for p in parts
    ]
    parts = [_in_units_of(first, p) for p in parts]
    whole = replace(
        first,
        times=np.concatenate([p.times for p in parts]),
        x=np.concatenate([p.x for p in parts]),
        sd=np.concatenate([p.sd for p in parts]),
        weight=np.concatenate([p.weight for p in parts]),
        who=np.concatenate(who) if labels else None,
        labels=labels,
        said=tuple(dict.fromkeys(line for p in parts for line in p.said)),
    )
    return whole.rows(np.argsort(whole.times, kind="stable"))


def _in_units_of(first: Sightings, part: Sightings) -> Sightings:
    x, sd = part.x.copy(), part.sd.copy()
    for c, name in enumerate(first.names):
        has, wanted = (str(p.attrs[name].get("units", "")) for p in (part, first))
        if has and wanted and not agree(has, wanted):
            x[:, c] = convert(x[:, c], has, wanted)
            sd[:, c] = convert_difference(sd[:, c], has, wanted)
    return replace(part, x=x, sd=sd)
