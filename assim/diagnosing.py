r"""`diagnose`: is a sensor dead, scaled, stuck or drifting? Told from what the others say.

With z the distance of a reading from what the other sensors expect and v the epistemic variance of the next row
(`assim.consistency`), over the K newest rows of a time t and against what is usual,

$$\text{innovation}_c = \Big(\tfrac1K \textstyle\sum_{t-K<s\le t} z_{c,s}^2\Big)^{1/2}, \qquad
\text{ratio} = \max_c \frac{v_c}{\tilde v_c}, \qquad \text{relief}_h = \max_c \frac{v_c}{v_c^{(h)}}$$

An ensemble alone misses a sensor that is stuck at a value that it often has: the innovations do not, and neither
does a count of equal readings one after the other. What is usual is learned from a record in which all is well
(`accustom`).

A broken sensor makes those that are foretold by it look wrong, too: who is blamed is decided by hiding them in turn
(`assim.blaming`).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from assim.blaming import blamed
from assim.consistency import Expected, expected, require_masked
from assim.continuing import continued
from assim.data.clockwork import stamp
from assim.data.framing import Frame, frame_of
from assim.model import AbstractModel
from assim.series import Layout, Series
from assim.tree import Fitted, read_tree, restore

USUAL = "usual"
"""Where a posterior keeps what is usual of its sensors."""
RARE = 0.001
"""Share of usual times at which a sensor is suspected."""
MOST = 4096
"""Times of a record that what is usual is learned from."""
LEAST = 1e-6
"""No innovation is usually smaller, standard deviations."""
BLAME = 2.0
"""How much surer a forecast has to be without a sensor, for the sensor to be blamed."""
WHY = ("", "contradicts the others", "does not move", "makes the forecast unsure", "is silent")
"""What a suspicion is for, by the number of its flag."""


def accustom(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset,
    *,
    rows: int = 10,
    num_draws: int = 50,
    model: AbstractModel | None = None,
) -> xr.DataTree:
    """Learn what is usual of each sensor, from a record in which all is well: `forecast` warns from then on.

    Args:
        post: the posterior tree of an `Autoregressive` with random masks in training, or its path.
        ds: a record with all sensors well, file units; the one of the fit, or better one that it has not seen.
        rows: how many newest rows are judged together.
        num_draws: posterior draws used, evenly spaced.
        model: the model, where it is of a class of your own.

    Returns:
        The tree with a group `usual`: for each sensor (variable) the innovation, in standard deviations, the number
        of equal readings one after the other, and of rows since the newest, that are not passed but in one of a
        thousand times; the median epistemic variance of its next reading (internal units squared), and the ratio to
        it that is not passed.

    Raises:
        TypeError: a model whose sensors cannot be hidden.
        ValueError: a model that has always seen all sensors, or fewer than 2 rows.
    """
    if rows < 2:
        raise ValueError(f"rows={rows} judges no sensor; give 2 or more.")
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    require_masked(fitted.model)
    frame = _framed(fitted, ds)
    times = np.arange(fitted.model.needs().context + rows, len(frame.times))
    if not times.size:
        raise ValueError(
            f"The record has {len(frame.times)} times, and {fitted.model.needs().context + rows + 1} are needed to "
            "learn what is usual: give a longer one, or fewer rows=."
        )
    chosen = times[:: max(1, -(-times.size * len(frame.y) // MOST))]
    found = _signs(fitted, frame, chosen, rows, num_draws)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a sensor that is not foretold has none
        typical = np.nanmedian(found.epistemic[..., 0, :], axis=(0, 1))
        ratio = _ratios(found.epistemic, typical)[0]
        high: dict[str, Any] = {"axis": (0, 1), "method": "higher"}
        innovation = np.nanquantile(found.innovation, 1 - RARE, **high)
    group = xr.Dataset(
        {
            "innovation": ("variable", innovation),
            "still": ("variable", np.nanquantile(found.still, 1 - RARE, **high)),
            "age": ("variable", np.nanquantile(found.age, 1 - RARE, **high)),
            "epistemic": ("variable", typical),
            "ratio": ((), np.nanquantile(ratio, 1 - RARE, **high)),
        },
        {"variable": list(frame.channels)},
        {"rows": rows, "num_draws": num_draws, "times": int(chosen.size * len(frame.y))},
    )
    return tree.assign({USUAL: xr.DataTree(group)})


def diagnose(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset | None = None,
    *,
    model: AbstractModel | None = None,
) -> xr.Dataset:
    """Suspicions against each sensor at each time of a record.

    Args:
        post: a posterior tree that `accustom` gave, or its path.
        ds: the record, file units; None for the end of that of the fit.
        model: the model, where it is of a class of your own.

    Returns:
        On ([run,] time, variable): `innovation` (standard deviations), `still` (equal readings one after the
        other), `relief` (how many times surer the forecast is without the sensor), and `suspicion`, a flag: 0 none,
        1 contradicts the others, 2 does not move, 3 makes the forecast unsure, 4 is silent; on ([run,] time)
        `ratio`, the epistemic variance over the usual one.

    Raises:
        ValueError: a tree that knows nothing of what is usual.
    """
    tree = read_tree(post) if isinstance(post, str | Path) else post
    if USUAL not in tree.children:
        raise ValueError(
            "The tree does not know what is usual of its sensors: let it learn that from a record in which all is "
            "well, post = assim.accustom(post, train)."
        )
    fitted = restore(tree, model=model)
    frame = _framed(fitted, ds)
    return signs_at(fitted, tree, frame, np.arange(len(frame.times)), "time")


def signs_at(
    fitted: Fitted, tree: xr.DataTree, frame: Frame, rows: np.ndarray, dim: str
) -> xr.Dataset:
    """What `diagnose` gives, at some rows of a record.

    Args:
        fitted: the posterior.
        tree: where it comes from, with its group `usual`.
        frame: the record.
        rows: increasing.
        dim: what the dimension of the rows is called.
    """
    usual = tree[USUAL].to_dataset()
    found = _signs(fitted, frame, rows, int(usual.attrs["rows"]), int(usual.attrs["num_draws"]))
    ratio, relief = _ratios(found.epistemic, usual["epistemic"].values)
    silent = found.age > np.maximum(2 * usual["age"].values, usual.attrs["rows"] - 1)
    unsure = (ratio > float(usual["ratio"]))[..., None]
    relieving = (relief > BLAME) & (relief == relief.max(axis=-1, keepdims=True))
    still = found.still > 2 * np.maximum(usual["still"].values, 2)
    off = _contradicting(fitted, frame, rows, usual, found.innovation, still)
    flag = np.select([silent, still, off, unsure & relieving], [4, 2, 1, 3], 0).astype(np.int8)
    labels: dict[str, Any] = {dim: frame.times[rows], "variable": list(frame.channels)}
    dims: tuple[str, ...] = (dim, "variable")
    if frame.stations is not None:
        labels[frame.instance], dims = list(frame.stations), (frame.instance, *dims)
    one = slice(None) if frame.stations is not None else 0
    meanings = " ".join(w.replace(" ", "_") or "none" for w in WHY)
    said = {"long_name": "suspicion", "flag_values": np.arange(5, dtype=np.int8)}
    return xr.Dataset(
        {
            "innovation": (dims, found.innovation[one], _about("distance from the others")),
            "still": (dims, found.still[one], _about("equal readings one after the other")),
            "relief": (dims, relief[one], _about("epistemic variance over that without it")),
            "ratio": (dims[:-1], ratio[one], _about("epistemic variance over the usual one")),
            "suspicion": (dims, flag[one], said | {"flag_meanings": meanings}),
        },
        labels,
    )


def warn_of(signs: xr.Dataset, dim: str, *, stacklevel: int) -> None:
    """A warning for each sensor that is suspected somewhere, with its name.

    Args:
        signs: what `signs_at` gives.
        dim: the dimension of its rows.
        stacklevel: as of `warnings.warn`, seen from the caller.
    """
    for name in signs["variable"].values:
        one = signs["suspicion"].sel(variable=name)
        over = [d for d in one.dims if d != dim]
        flagged = one.max(over) if over else one
        at = np.flatnonzero(flagged.values)
        if not at.size:
            continue
        first, why = flagged[dim].values[at[0]], WHY[int(flagged.values[at[0]])]
        warnings.warn(
            f"The sensor '{name}' {why}, at {at.size} of {flagged.size} times and first at {stamp(first)}: look at "
            "it, and set its readings to NaN where it is broken; the forecast then goes by the others.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def with_signs(
    parts: Iterator[dict[str, xr.Dataset]],
    fitted: Fitted,
    tree: xr.DataTree,
    frame: Frame,
    rows: np.ndarray,
) -> Iterator[dict[str, xr.Dataset]]:
    """Parts of a forecast with a group `health` beside them; what is suspected is said at once.

    Args:
        parts: groups along `init_time`, some rows at a time.
        fitted: the posterior.
        tree: where it comes from, with its group `usual`.
        frame: the record.
        rows: of the origins, in the order of the parts.
    """
    signs = signs_at(fitted, tree, frame, rows, "init_time")
    warn_of(signs, "init_time", stacklevel=3)

    def beside() -> Iterator[dict[str, xr.Dataset]]:
        start = 0
        for part in parts:
            count = part["predictions"].sizes["init_time"]
            yield part | {"health": signs.isel(init_time=slice(start, start + count))}
            start += count

    return beside()


@dataclass(frozen=True)
class _Found:
    """Signs of all sensors, each shape (run, row, ...), NaN before the first reading of a run and after its last.

    Args:
        innovation: root of the mean square of the innovations.
        still: equal readings one after the other.
        age: rows since the newest reading.
        epistemic: variance of the next row, with none hidden and then with each sensor.
    """

    innovation: np.ndarray
    still: np.ndarray
    age: np.ndarray
    epistemic: np.ndarray


def _framed(fitted: Fitted, ds: xr.Dataset | None) -> Frame:
    needs = fitted.model.needs()
    return frame_of(
        continued(fitted, ds), needs.selection(tuple(fitted.frame["calendar"])), like=fitted.frame
    )


def _signs(fitted: Fitted, frame: Frame, rows: np.ndarray, count: int, num_draws: int) -> _Found:
    """Innovations over the newest rows, equal readings, and epistemic variances of the next row."""
    layout, series, runs = Layout.of(frame), Series.of(frame), len(frame.y)
    sites = {k: v.reshape(-1, *v.shape[2:]) for k, v in fitted.thinned(num_draws).items()}
    needed = np.unique(np.clip(rows[:, None] - np.arange(count + 1), 0, None))
    pairs = np.array([(run, row) for run in range(runs) for row in needed], np.int32)
    told: Expected = expected(fitted, layout, series, pairs, sites)
    channels = len(frame.channels)
    off = np.full((runs, len(frame.times) + 1, channels), np.nan)  # of the row after each window
    off[pairs[:, 0], pairs[:, 1] + 1] = told.off
    newest = rows[:, None] - np.arange(count)
    taken = np.where((newest >= 0)[..., None], off[:, np.maximum(newest, 0)], np.nan)
    seen = np.isfinite(taken)
    with np.errstate(invalid="ignore"):
        square = np.where(seen, taken, 0.0) ** 2
        innovation = np.sqrt(square.sum(axis=2) / seen.sum(axis=2))
    at = np.searchsorted(needed, rows)
    epistemic = np.asarray(told.epistemic).reshape(runs, len(needed), channels + 1, channels)[:, at]
    still, age = (found[:, rows] for found in _still(frame.y))
    read = np.isfinite(frame.y).any(axis=-1)
    inside = np.maximum.accumulate(read, axis=1) & np.maximum.accumulate(read[:, ::-1], 1)[:, ::-1]
    inside = inside[:, rows, None]
    signs = [np.where(inside, sign, np.nan) for sign in (innovation, still, age)]
    return _Found(signs[0], signs[1], signs[2], np.where(inside[..., None], epistemic, np.nan))


def _contradicting(
    fitted: Fitted,
    frame: Frame,
    rows: np.ndarray,
    usual: xr.Dataset,
    innovation: np.ndarray,
    still: np.ndarray,
) -> np.ndarray:
    """Which sensors are blamed for contradicting the others, shape (run, row, channel)."""
    limit = np.maximum(usual["innovation"].values, LEAST)

    def judged(hidden: np.ndarray, at: np.ndarray) -> np.ndarray:
        told = int(usual.attrs["rows"]), int(usual.attrs["num_draws"])
        without = replace(frame, y=np.where(hidden, np.nan, frame.y))
        return _signs(fitted, without, rows[at], *told).innovation / limit

    return blamed(innovation / limit, judged, still)


def _still(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many readings before the newest are equal to it, and its age in rows, each shape (run, row, channel)."""
    seen, row = np.isfinite(y), np.arange(y.shape[1])[:, None]
    last = np.maximum.accumulate(np.where(seen, row, -1), axis=1)
    before = np.concatenate([np.full_like(last[:, :1], -1), last[:, :-1]], axis=1)
    earlier = np.take_along_axis(y, np.maximum(before, 0), axis=1)
    number = np.cumsum(seen, axis=1)
    moved = seen & ((before < 0) | (y != earlier))
    since = np.maximum.accumulate(np.where(moved, number, 0), axis=1)
    return np.where(last >= 0, number - since, np.nan), row - last


def _ratios(epistemic: np.ndarray, typical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ratio to what is usual, shape (run, row), and relief by hiding each sensor, (run, row, channel)."""
    whole, hidden = epistemic[..., 0, :], epistemic[..., 1:, :]
    over = np.where(np.isfinite(whole / typical), whole / typical, -np.inf)
    ratio, most = over.max(axis=-1), over.argmax(axis=-1)[..., None, None]
    ratio = np.where(np.isfinite(ratio), ratio, np.nan)
    own = np.take_along_axis(whole, most[..., 0], axis=-1)
    return ratio, own / np.take_along_axis(hidden, most, axis=-1)[..., 0]


def _about(words: str) -> dict[str, str]:
    return {"long_name": words, "units": "1"}
