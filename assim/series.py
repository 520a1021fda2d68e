"""Records as JAX sees them: arrays alone, cut into windows.

`Layout` says what the columns are (static, hashable, JSON in the tree); `Series` holds the
numbers. Labels, units and the time origin stay host-side in a `Frame`.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.data.clockwork import JITTER, counted_steps
from assim.data.framing import Frame
from assim.data.gridding import Grid
from assim.data.scaling import INTERNAL_BOUNDS
from assim.statespace import Context, Span
from assim.types import Array, Bool, Float, Int


@dataclass(frozen=True)
class Layout:
    """What the columns of a series are.

    Args:
        channels: name of each channel.
        supports: kind of each channel: real, lower, upper, both or circle.
        is_target: whether each channel is forecast.
        inputs: names of the input columns: controls first, then calendar features.
        num_controls: how many of the inputs are controls.
        step: nominal step, seconds.
        grid: where the channels lie, which are fields then; None for channels alone.
        origin: the grid of the record that a model was fitted to, where its fields lie on another now.
    """

    channels: tuple[str, ...]
    supports: tuple[str, ...]
    is_target: tuple[bool, ...]
    inputs: tuple[str, ...]
    num_controls: int
    step: float
    grid: Grid | None = None
    origin: Grid | None = None

    @classmethod
    def of(cls, frame: Frame) -> "Layout":
        """The layout of a frame."""
        return cls(
            frame.channels,
            frame.scaling.laws,
            frame.is_target,
            frame.inputs,
            frame.num_controls,
            frame.step,
        )

    @property
    def bounds(self) -> np.ndarray:
        """Internal bounds, shape (2, channel)."""
        return np.array([INTERNAL_BOUNDS[s] for s in self.supports], float).T

    def to_dict(self) -> dict:
        """JSON-ready; `from_dict` is its inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict) -> "Layout":
        """The layout that `to_dict` described."""
        parts: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()
        }
        for name in ("grid", "origin"):
            if isinstance(parts.get(name), dict):
                parts[name] = Grid.from_dict(parts[name])
        return cls(**parts)


class Stream(eqx.Module):
    """What one group of sensors read, each row at its own time.

    Args:
        tick: whole nominal steps since the start of the record, shape (run, time).
        frac: what is left of a step, in [0, 1), shape (run, time); with `tick` exact where float32 seconds are not.
        y: readings, shape (run, time, channel), internal units; 0 where missing.
        mask: True where observed, shape (run, time, channel).
        sd: known standard error, shape (run, time, channel), internal units; 0 where unknown.
        where: sensor coordinates, shape (run, time, coordinate), or None where they are fixed by the channel.
    """

    tick: Int[Array, "run time"]
    frac: Float[Array, "run time"]
    y: Float[Array, "run time channel"]
    mask: Bool[Array, "run time channel"]
    sd: Float[Array, "run time channel"]
    where: Float[Array, "run time coordinate"] | None = None

    @classmethod
    def of(
        cls,
        times: np.ndarray,
        y: np.ndarray,
        *,
        origin: np.datetime64,
        step: float,
        sd: np.ndarray | None = None,
        where: np.ndarray | None = None,
    ) -> "Stream":
        """A stream of readings at any times, none of them moved.

        Args:
            times: stamps, shape (time,) or (run, time), datetime64.
            y: readings, shape (run, time, channel), internal units; NaN where missing.
            origin: the start of the record, shared by its streams.
            step: nominal step of the record, seconds.
            sd: known standard error, shape of `y`, internal units; NaN or 0 where unknown.
            where: sensor coordinates, shape (run, time, coordinate).

        Raises:
            ValueError: stamps before the origin, or too far from it to count steps; coordinates for other rows.
        """
        if where is not None and (where.ndim != 3 or where.shape[:2] != y.shape[:2]):
            raise ValueError(
                f"where has shape {where.shape} for readings of shape {y.shape}: give the coordinates of each row, "
                "shape (run, time, coordinate)."
            )
        dtype, mask = jnp.zeros(0).dtype, np.isfinite(y)
        tick, frac = counted_steps(times, origin, step)
        known = np.zeros_like(y) if sd is None else np.where(mask, np.nan_to_num(sd), 0.0)
        return cls(
            tick=jnp.asarray(np.broadcast_to(tick, y.shape[:2]), jnp.int32),
            frac=jnp.asarray(np.broadcast_to(frac, y.shape[:2]), dtype),
            y=jnp.asarray(np.where(mask, y, 0.0), dtype),
            mask=jnp.asarray(mask),
            sd=jnp.asarray(known, dtype),
            where=None if where is None else jnp.asarray(where, dtype),
        )

    def spans(self, step: float) -> Float[Array, "run gap"]:
        """Seconds from each row to the next, shape (run, time - 1): exact to the dtype of the span itself."""
        whole = jnp.diff(self.tick, axis=1).astype(self.frac.dtype)
        return (whole + jnp.diff(self.frac, axis=1)) * step


class Series(eqx.Module):
    """Streams at their own rates and the inputs of the nominal clock, runs padded to one length.

    `Series.of` makes the one stream of a single-rate record, whose sensors stay where they are; several streams,
    and sensors that move, are put together from `Stream.of`.

    Args:
        streams: by name; a single-rate record has one, "main".
        inputs: shape (run, time, input), internal units; 0 where missing.
        inputs_known: True where all inputs are known, shape (run, time).
    """

    streams: dict[str, Stream]
    inputs: Float[Array, "run time input"]
    inputs_known: Bool[Array, "run time"]

    @property
    def main(self) -> Stream:
        """The stream of a single-rate record."""
        return self.streams["main"]

    @classmethod
    def of(cls, frame: Frame) -> "Series":
        """The series of a frame: scaled, masked, on one clock."""
        dtype = jnp.zeros(0).dtype
        mask = np.isfinite(frame.y)
        filled = np.where(mask, frame.y, frame.scaling.centre[:, None])
        stream = Stream.of(
            frame.times,
            np.where(mask, frame.scaling.forward(filled), np.nan),
            origin=frame.times[0],
            step=frame.step,
            sd=frame.scaling.error(filled, frame.sd),
        )
        known = np.isfinite(frame.u).all(axis=-1)
        return cls({"main": stream}, jnp.asarray(np.nan_to_num(frame.u), dtype), jnp.asarray(known))


class Window(eqx.Module):
    """A stretch of record up to an origin, and what came after it.

    Args:
        context: the rows up to and with the origin.
        spans: the steps after it, stacked on (lead,); seconds.
        u: inputs at the end of each step, shape (lead, input).
        y: what was read there, shape (lead, channel), internal units; 0 where missing.
        mask: True where observed, shape (lead, channel).
        sd: known standard error, shape (lead, channel), internal units.
        run: the number of its run, shape (); -1 for one of another record.
        runs: how many runs the record has.
    """

    context: Context
    spans: Span
    u: Float[Array, "lead input"]
    y: Float[Array, "lead channel"]
    mask: Bool[Array, "lead channel"]
    sd: Float[Array, "lead channel"]
    run: Int[Array, ""]
    runs: int = eqx.field(static=True)


class Stretch(eqx.Module):
    """A field and what came of it, all fields laid out as one vector.

    Args:
        first: shape (state,), file units; 0 where missing.
        told: True where observed, shape (state,).
        spans: the steps after it, stacked on (lead,); seconds.
        u: inputs at the end of each step, shape (lead, input).
        y: the fields there, shape (lead, state), file units; 0 where missing.
        mask: True where observed, shape (lead, state).
        number: of the stretch, shape (): what is drawn at random for it hangs on that alone.
    """

    first: Float[Array, " state"]
    told: Bool[Array, " state"]
    spans: Span
    u: Float[Array, "lead input"]
    y: Float[Array, "lead state"]
    mask: Bool[Array, "lead state"]
    number: Int[Array, ""]


def cut(
    series: Series,
    run: Array,
    origin: Array,
    *,
    context: int,
    horizon: int,
    step: float,
    own_times: bool = False,
) -> Window:
    """The window of `context` rows that ends at row `origin` of one run, and the `horizon` rows after it.

    Rows before the start or past the end of the record count as missing; inputs are held there.

    Args:
        series: the record.
        run: which run, shape ().
        origin: row of the last observation that may be used, shape ().
        context: number of rows, static.
        horizon: number of leads, static.
        step: nominal step, seconds.
        own_times: whether rows stand at their own times, none of them moved; else a nominal step apart.
    """
    stream = series.main
    length = stream.y.shape[1]
    rows = origin + jnp.arange(1 - context, horizon + 1)
    inside = (rows >= 0) & (rows < length)
    at = jnp.clip(rows, 0, length - 1)
    mask = stream.mask[run, at] & inside[:, None]
    y = jnp.where(mask, stream.y[run, at], 0.0)
    sd = jnp.where(mask, stream.sd[run, at], 0.0)
    u = series.inputs[run, at]
    past, future = slice(None, context), slice(context, None)
    dt = jnp.full(rows.shape, step, y.dtype)
    if own_times:
        before = jnp.clip(rows - 1, 0, length - 1)
        whole = (stream.tick[run, at] - stream.tick[run, before]).astype(y.dtype)
        apart = (whole + stream.frac[run, at] - stream.frac[run, before]) * step
        dt = jnp.where(inside & (rows > 0), apart, dt)
    return Window(
        context=Context(y[past], mask[past], sd[past], u[past], dt[past] if own_times else None),
        spans=Span(dt[future], jnp.zeros((horizon, 0), y.dtype)),
        u=u[future],
        y=y[future],
        mask=mask[future],
        sd=sd[future],
        run=jnp.asarray(run),
        runs=stream.y.shape[0],
    )


def origins_with_truth(
    series: Series, context: int, horizon: int, *, overhang: bool = False, stride: int = 1
) -> np.ndarray:
    """Every (run, origin) whose window lies in the record and whose leads hold a reading and know their inputs.

    Args:
        series: the record.
        context: number of rows up to the origin.
        horizon: number of rows after it.
        overhang: whether windows may reach beyond either end of the record, where nothing is read and no input is
            asked for.
        stride: rows from one origin to the next. Above 1 the last window may reach beyond the end of the record, so
            that no reading is left out.

    Returns:
        Shape (n, 2), oldest first.
    """
    mask = np.asarray(series.main.mask.any(axis=-1))
    runs, length = mask.shape
    beyond = ((0, 0), (0, horizon))
    mask = np.pad(mask, beyond)
    known = np.pad(np.asarray(series.inputs_known), beyond, constant_values=True)
    found = []
    for run in range(runs):
        first, last = (0, length - 1) if overhang else (context - 1, length - horizon)
        origins = np.arange(first, last if stride == 1 else length - 1, stride)
        if origins.size == 0:
            continue
        ahead = np.lib.stride_tricks.sliding_window_view
        seen = ahead(mask[run], horizon)[origins + 1].any(axis=-1)
        sure = ahead(known[run], horizon)[origins + 1].all(axis=-1)
        kept = origins[seen & sure & (origins + 1 < length)]
        found.append(np.stack([np.full(kept.size, run), kept], axis=-1))
    pairs = np.concatenate(found) if found else np.zeros((0, 2), int)
    return pairs[np.argsort(pairs[:, 1], kind="stable")].astype(np.int32)


@eqx.filter_jit
def windows(
    series: Series,
    pairs: Int[Array, "n 2"],
    *,
    context: int,
    horizon: int,
    step: float,
    own_times: bool = False,
) -> Window:
    """The windows of many (run, origin) pairs, stacked on a leading axis."""
    size: dict[str, Any] = {"context": context, "horizon": horizon, "own_times": own_times}
    return jax.vmap(lambda pair: cut(series, pair[0], pair[1], step=step, **size))(pairs)


@eqx.filter_jit
def on_the_clock(cut_out: Window, step: float) -> Window:
    """Windows whose leads are nominal steps apart; what was read at other times counts as missing.

    Args:
        cut_out: windows of rows at their own times, stacked on a leading axis.
        step: nominal step, seconds.

    Returns:
        The same contexts, and leads 1, 2, ... steps after them.
    """
    since = jnp.cumsum(cut_out.spans.dt, axis=-1) / step
    count = jnp.arange(1, since.shape[-1] + 1)
    there = cut_out.mask & (jnp.abs(since - count) <= JITTER)[..., None]
    equal = jnp.full_like(cut_out.spans.dt, step)
    return replace(cut_out, spans=Span(equal, cut_out.spans.phase), mask=there)
