r"""What dynamic mode decomposition counts in a record: the mean, the modes, the map between them, what they leave.

What is left is that of stretches that mean, modes and map were not made from, each fifth of the record in turn by
the other four: the record's own residuals are smaller than those to come. Where it is not given, the number of
modes is the one that leaves least so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from assim.models.baselines.fields.base import LEAST, arrays, basics, folds
from assim.models.baselines.fields.linear import fitted
from assim.models.baselines.fields.reduction import modes_of
from assim.models.baselines.fields.season import season_of, turned_back
from assim.series import Layout, Stretch
from assim.types import Sites

MOST_MODES = 64
"""Modes at most where their number is not given."""
PAIRS_A_MODE = (5, 2)
"""Pairs of fields for each mode, at least: where their number is not given, and where it is."""
MOST_STRETCHES = 4096
"""Stretches that are counted, evenly chosen where there are more."""
NOMINAL = 0.15
"""Of a step: a span within so much of it tells the map."""
LONGEST = 0.999
"""Nothing beyond the modes is taken to last longer: its share that is left after a step."""


@dataclass(frozen=True)
class Record:
    """Stretches in full.

    Args:
        values: fields from the oldest that a state holds to the last lead, shape (n, time, newest), file units.
        known: where they are, same shape; True on land.
        terms: calendar phases behind a 1, shape (n, time, term).
        nominal: whether each step is of the nominal length, shape (n, lead).
        scale: standard deviation, shape (newest,), file units.
        sea: True where there is something to move, shape (newest,).
    """

    values: np.ndarray
    known: np.ndarray
    terms: np.ndarray
    nominal: np.ndarray
    scale: np.ndarray
    sea: np.ndarray

    @property
    def delay(self) -> int:
        """Fields that a state holds."""
        return self.values.shape[1] - self.nominal.shape[1]

    def season(self, rows: np.ndarray) -> np.ndarray:
        """The mean of some stretches, shape (term, newest)."""
        later = (a[rows, self.delay :] for a in (self.terms[..., 1:], self.values, self.known))
        u, y, mask = (np.concatenate(np.moveaxis(a, 1, 0)) for a in later)
        return season_of(u, y, mask & self.sea)

    def pairs(self, season: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Anomalies of complete states and of those a nominal step later, newest first, in units of scale."""
        apart = (self.values[rows] - self.terms[rows] @ season) / self.scale
        apart = np.where(self.sea & self.known[rows], apart, 0.0)
        found = []
        for lead in range(self.nominal.shape[1]):
            part = slice(lead, lead + self.delay + 1)
            whole = self.known[rows, part].all(axis=(1, 2)) & self.nominal[rows, lead]
            told = apart[whole, part][:, ::-1]
            found.append((told[:, 1:].reshape(len(told), -1), told[:, :-1].reshape(len(told), -1)))
        before, after = (np.concatenate(side) for side in zip(*found, strict=True))
        return before, after


@dataclass(frozen=True)
class Modal:
    """Mean, modes and map.

    Args:
        season: shape (term, newest), file units.
        basis: shape (mode, delay * newest), orthonormal, units of scale.
        linear: what `LinearMap.of` takes.
        decay: what is left after a step of what is beyond the modes, shape (field,).
    """

    season: np.ndarray
    basis: np.ndarray
    linear: dict[str, np.ndarray]
    decay: np.ndarray

    def left(self, record: Record, rows: np.ndarray) -> np.ndarray:
        """What it does not foretell of some stretches, shape (pair, newest), units of scale."""
        before, after = record.pairs(self.season, rows)
        newest, still = record.sea.size, self.linear["still"]
        b = before @ self.basis.T
        moved = still + (b - still) @ self.linear["matrix"].T
        rest = before[:, :newest] - b @ self.basis[:, :newest]
        return after[:, :newest] - moved @ self.basis[:, :newest] - self._decays(record) * rest

    def _decays(self, record: Record) -> np.ndarray:
        return np.repeat(self.decay, record.sea.size // self.decay.size)


def counted_modes(
    stretches: Stretch, layout: Layout, cycles: tuple[str, ...], rank: int | None, delay: int
) -> Sites:
    """All of it.

    Args:
        stretches: (n, ...), of which `first` holds `delay` fields, file units.
        layout: what the fields are.
        cycles: calendar cycles of the mean.
        rank: modes, or None for the number that foretells best.
        delay: fields that are reduced together.

    Raises:
        ValueError: fields that do not vary, or too few pairs of them for so many modes.
    """
    held = basics(stretches, layout)
    fields = len(layout.channels)
    record = _record(stretches, layout, cycles, held, delay)
    rows = np.arange(len(record.values))
    before, _ = record.pairs(record.season(rows), rows)
    ranks = _ranks(rank, before, layout.step)
    left: dict[int, list[np.ndarray]] = {r: [] for r in ranks}
    for inside, outside in folds(len(rows)):
        for r, modal in _modal(record, rows[inside], ranks, fields).items():
            left[r].append(modal.left(record, rows[outside]))
    errors = {r: np.concatenate(parts) for r, parts in left.items()}
    best = min(ranks, key=lambda r: (errors[r] ** 2).mean())
    modal = _modal(record, rows, [best], fields)[best]
    own, new = modal.left(record, rows), errors[best]
    shapes, _ = modes_of(new, MOST_MODES)
    sizes = new @ shapes.T
    beyond = np.sqrt(((new - sizes @ shapes) ** 2).mean(axis=0) + LEAST**2)
    square = [(e**2).reshape(len(e), fields, -1).mean(axis=(0, 2)) + LEAST**2 for e in (own, new)]
    return held | arrays(
        season=modal.season,
        basis=modal.basis,
        **modal.linear,
        decay=np.repeat(modal.decay, layout.grid.places if layout.grid else 1),
        root=(np.sqrt((sizes**2).mean(axis=0))[:, None] * shapes).T,
        floor=np.where(record.sea, beyond, 0.0),
        own=square[0] / square[1],
    )


def _record(
    stretches: Stretch, layout: Layout, cycles: tuple[str, ...], held: Sites, delay: int
) -> Record:
    count, _, newest = stretches.y.shape
    at = np.linspace(0, count - 1, min(MOST_STRETCHES, count)).round().astype(int)
    part = jax.tree.map(lambda leaf: np.asarray(leaf)[at], stretches)
    sea = np.tile(np.asarray(held["sea"]), len(layout.channels))

    def joined(first: np.ndarray, later: np.ndarray) -> np.ndarray:
        return np.concatenate([first.reshape(len(at), delay, -1)[:, ::-1], later], axis=1)

    ages = part.spans.dt[:, :1] + layout.step * np.arange(delay)
    first = np.broadcast_to(part.u[:, :1], (len(at), delay, part.u.shape[-1]))
    back = turned_back(jnp.asarray(first), jnp.asarray(ages), cycles)
    u = joined(np.asarray(back), part.u).astype(float)
    return Record(
        values=joined(part.first, part.y).astype(float),
        known=joined(part.told, part.mask) | ~sea,
        terms=np.concatenate([np.ones((*u.shape[:2], 1)), u], axis=-1),
        nominal=np.abs(part.spans.dt / layout.step - 1.0) <= NOMINAL,
        scale=np.repeat(np.asarray(held["scale"], float), newest // len(layout.channels)),
        sea=sea,
    )


def _modal(record: Record, rows: np.ndarray, ranks: Sequence[int], fields: int) -> dict[int, Modal]:
    """Mean, modes and map of some stretches, for each number of modes."""
    season = record.season(rows)
    before, after = record.pairs(season, rows)
    basis, _ = modes_of(np.concatenate([before, after[-1:]]), max(ranks))
    found = {}
    for rank in ranks:
        kept = basis[:rank]
        reduced, moved = before @ kept.T, after @ kept.T
        rest, later = (
            (a - b @ kept)[:, : record.sea.size].reshape(len(a), fields, -1)
            for a, b in ((before, reduced), (after, moved))
        )
        square = np.maximum((rest**2).sum(axis=(0, 2)), np.finfo(float).tiny)
        decay = np.clip((rest * later).sum(axis=(0, 2)) / square, 0.0, LONGEST)
        found[rank] = Modal(season, kept, fitted(reduced, moved), decay)
    return found


def _ranks(rank: int | None, before: np.ndarray, step: float) -> list[int]:
    """Numbers of modes that are tried."""
    few, fewest = PAIRS_A_MODE
    basis, _ = modes_of(before, rank or MOST_MODES)
    if not len(basis):
        raise ValueError(
            f"The fields do not vary over the {len(before)} pairs of them that are complete and a nominal step "
            f"({step:g} s) apart: there is no mode to reduce them to; give a longer record."
        )
    if rank is not None:
        if len(before) < fewest * (rank + 1):
            raise ValueError(
                f"The record has {len(before)} pairs of complete fields a nominal step ({step:g} s) apart, and "
                f"rank={rank} needs {fewest * (rank + 1)}: give a longer record, or fewer modes."
            )
        return [len(basis)]
    most = max(min(len(before) // few, len(basis)), 1)
    return sorted({*(2**k for k in range(most.bit_length())), most})
