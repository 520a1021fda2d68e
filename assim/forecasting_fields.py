r"""Fields rolled out from a complete field, or from the members of an analysis: one parameter draw for each path.

$$z_{k+1} = F_\theta(z_k, \Delta_k) + w_k, \qquad w_k \sim p_\theta(w \mid z_k),
\quad \theta \sim p(\theta \mid D)$$

What came is scored by $\log \tfrac1M \sum_m p_{\theta_m}(z_{k+1}(x) \mid z^m_k)$ over the M paths. The variance is
parted by more paths of a few draws; where they start from an analysis, each starts from a member at random, so that
what is not known of the state is aleatoric. Steps of calendar months are as long as these.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.beginning import Begun
from assim.assimilation.drawing import spread_draws
from assim.data.clockwork import JITTER
from assim.data.gridding import on_grid
from assim.data.stepping import CALENDAR, Steps
from assim.gridded import inputs_of, require_known
from assim.inference.progress import Progress
from assim.model import AbstractGridded
from assim.rollout import NESTED_PARAMETERS, roll_fields
from assim.statespace import Span
from assim.tree import Fitted
from assim.types import Key, Keys, Sites
from assim.uncertainty import COMPONENTS, parted, squared

ABREAST = 16
"""Paths that step together at most: so many stay near the processor, and fit in memory on a large grid."""
AGAIN = 2**32 - 1
"""Number of the key of the paths of a few draws, beyond those of one path for each draw."""
PATHS = 50
"""Paths from each origin where a posterior has fewer draws: what a step leaves unknown differs between them."""

type Roll = Callable[[Sites, np.ndarray, Keys], list[np.ndarray]]
"""From the draws, starts and keys of paths that step together to their fields and the density of what came."""


def field_parts(
    fitted: Fitted,
    begun: Begun,
    rows: np.ndarray,
    leads: int,
    steps: Steps,
    num_draws: int | None,
    *,
    key: Key,
    progress: bool,
) -> Iterator[dict[str, xr.Dataset]]:
    """The forecast, an origin at a time.

    Args:
        fitted: the posterior.
        begun: where from.
        rows: of the origins, on its clock.
        leads: steps ahead.
        steps: of the clock beyond it.
        num_draws: paths from each origin, at most one from each member of an analysis, and from a field one from
            each draw, or `PATHS` where there are fewer; None for as many.
        key: all randomness.
        progress: whether to show a progress bar.
    """
    held = int(np.prod(next(iter(fitted.sites.values())).shape[:2]))
    most = begun.values.shape[0] if begun.members else max(held, PATHS)
    count = most if num_draws is None else min(num_draws, most)
    few = spread_draws(fitted.sites, min(NESTED_PARAMETERS, held, count))
    draws = (spread_draws(fitted.sites, count), few)
    ahead = [steps.after(begun.times[row], leads) for row in rows]
    scored = any(np.isfinite(_came(begun, at, steps)).any() for at in ahead)
    lead = ("lead_time", ahead[0] - begun.times[rows[0]], _words(steps))
    with Progress(progress, "forecast", len(rows)) as bar:
        for row, at in zip(rows, ahead, strict=True):
            told = _from_origin(fitted, begun, row, at, _came(begun, at, steps), draws, key=key)
            part = _labelled(fitted, begun, told, begun.times[row], at, lead)
            yield {k: v for k, v in part.items() if scored or k != "log_score"}
            bar.advance(1, {})


def planned(
    fitted: Fitted, begun: Begun, rows: np.ndarray, leads: int, steps: Steps, *, some: bool
) -> np.ndarray:
    """Rows of the origins from which all that drives the fields is known over the horizon.

    Args:
        fitted: the posterior.
        begun: where from.
        rows: of the origins, on its clock.
        leads: steps ahead.
        steps: of the clock beyond it.
        some: whether a part of them will do.

    Raises:
        ValueError: none, or not all where all are asked for.
    """
    ahead = [steps.after(begun.times[row], leads) for row in rows]
    known = np.array([np.isfinite(_inputs(fitted, begun, at)).all() for at in ahead])
    if not known.all() and not (some and known.any()):
        at = ahead[int(np.flatnonzero(~known)[-1])]
        require_known(_inputs(fitted, begun, at), begun.controls, at)
    return rows[known]


def _inputs(fitted: Fitted, begun: Begun, ahead: np.ndarray) -> np.ndarray:
    """What drives the fields at some times, shape (run, lead, input), one run where all have the same."""
    assert isinstance(fitted.model, AbstractGridded)
    u = inputs_of(fitted.model, begun.controls, ahead, fitted.layout.step)
    if len(u) not in (1, runs := 1 if begun.runs is None else len(begun.runs)):
        raise ValueError(
            f"The plan of {', '.join(begun.controls.names)} has {len(u)} runs, and the fields have {runs}: give "
            "one for each of them, or one on 'time' for all."
        )
    return u


@dataclass(frozen=True)
class Foretold:
    """What is told from one origin, file units.

    Args:
        paths: shape (run, draw, lead, newest).
        parts: aleatoric and epistemic variance, shape (2, run, lead, newest).
        log_score: of what came, shape (run, lead, newest); NaN where nothing did.
    """

    paths: np.ndarray
    parts: np.ndarray
    log_score: np.ndarray


def _from_origin(
    fitted: Fitted,
    begun: Begun,
    row: int,
    ahead: np.ndarray,
    came: np.ndarray,
    draws: tuple[Sites, Sites],
    *,
    key: Key,
) -> Foretold:
    """The paths of every run from one origin: one for each draw, and more of a few draws."""
    model, dtype, init = fitted.model, jnp.zeros(0).dtype, begun.times[row]
    assert isinstance(model, AbstractGridded)
    dt = np.diff(ahead, prepend=init) / np.timedelta64(1, "ns") * 1e-9
    spans = Span(jnp.asarray(dt, dtype), jnp.zeros((dt.size, 0), dtype))
    u = jnp.asarray(_inputs(fitted, begun, ahead), dtype)
    states = _states(begun, row, model.memory())
    k_here = jax.random.fold_in(key, int(init.astype("datetime64[us]").astype(np.uint32)))
    told, size = [], _abreast(len(next(iter(draws[0].values()))))
    for run, truth in enumerate(came):
        starts = states if begun.members else states[[run]]
        y, k_run = jnp.asarray(np.nan_to_num(truth), dtype), jax.random.fold_in(k_here, run)
        go = partial(_rolled, fitted, starts, (spans, u[min(run, len(u) - 1)], y))
        paths, density = _mixture(go, len(starts), draws[0], key=k_run)
        parts = _parts(go, len(starts), draws[1], size, key=jax.random.fold_in(k_run, AGAIN))
        told.append((paths, parts, np.where(np.isfinite(truth), density, np.nan)))
    every, parts, scores = (np.stack(part) for part in zip(*told, strict=True))
    return Foretold(every, np.moveaxis(parts, 0, 1), scores)


def _rolled(
    fitted: Fitted, starts: np.ndarray, beyond: tuple, sites: Sites, at: np.ndarray, keys: Keys
) -> list[np.ndarray]:
    """Paths that step together, each from one of the starts: their fields, and the density of what came."""
    spans, u, y = beyond
    first = jnp.asarray(starts[at], y.dtype)
    fixed = (fitted.model, fitted.layout, fitted.constants)
    return [np.asarray(part) for part in roll_fields(*fixed, sites, first, spans, u, y, keys)]


def _abreast(count: int) -> int:
    """How many paths step together, so that few are stepped for nothing."""
    return max(2, math.ceil(count / math.ceil(count / ABREAST)))


def _mixture(go: Roll, starts: int, sites: Sites, *, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """A path for each draw, spread over the starts, and the log density of what came by all of them."""
    count = len(next(iter(sites.values())))
    start = np.linspace(0, starts - 1, count).round().astype(int)
    keys, paths, densities = jax.random.split(key, count), [], []
    for block in range(0, count, size := _abreast(count)):
        at = np.minimum(block + np.arange(size), count - 1)
        rolled = go({k: v[at] for k, v in sites.items()}, start[at], keys[at])
        fields, density = (part[: count - block] for part in rolled)
        paths.append(fields)
        densities.append(np.logaddexp.reduce(density, axis=0))
    return np.concatenate(paths), np.logaddexp.reduce(densities, axis=0) - np.log(count)


def _parts(go: Roll, starts: int, sites: Sites, size: int, *, key: Key) -> np.ndarray:
    """Aleatoric and epistemic variance by some paths of each draw, each from any of the starts."""
    means, variances = [], []
    for number in range(len(next(iter(sites.values())))):
        k_start, k_paths = jax.random.split(jax.random.fold_in(key, number))
        start = np.asarray(jax.random.randint(k_start, (size,), 0, starts))
        alike = {k: v[np.full(size, number)] for k, v in sites.items()}
        fields = go(alike, start, jax.random.split(k_paths, size))[0].astype(float)
        means.append(fields.mean(axis=0))
        variances.append(fields.var(axis=0, ddof=1))
    return parted(np.stack(means)[None], np.stack(variances)[None], size)[:, 0]


def _states(begun: Begun, row: int, held: int) -> np.ndarray:
    """What paths may start from, of which a state holds several fields, shape (run or member, state)."""
    rows = row - np.arange(held)
    return np.nan_to_num(begun.values[:, rows]).reshape(begun.values.shape[0], -1)


def _came(begun: Begun, ahead: np.ndarray, steps: Steps) -> np.ndarray:
    """The fields at some times, shape (run, lead, newest); NaN where none is known."""
    fields, places = begun.values.shape[2:]
    if begun.members:
        return np.full((1, ahead.size, fields * places), np.nan)
    at = np.abs(begun.times[:, None] - ahead).argmin(axis=0)
    off = np.abs(begun.times[at] - ahead) / np.timedelta64(1, "ns") * 1e-9
    known = (off <= JITTER * steps.seconds)[:, None, None]
    values = np.where(known, begun.values[:, at], np.nan)
    return values.reshape(*values.shape[:2], -1)


def _words(steps: Steps) -> dict[str, str | int]:
    """What is said of the time ahead."""
    if not steps.months:
        return {}
    month = "a calendar month" if steps.months == 1 else f"{steps.months} calendar months"
    return {
        "long_name": f"time ahead, in steps of {month}",
        "comment": "as it is from the first init_time; valid_time is exact from each",
        CALENDAR: steps.months,
    }


def _labelled(
    fitted: Fitted,
    begun: Begun,
    told: Foretold,
    init: np.datetime64,
    ahead: np.ndarray,
    lead: tuple,
) -> dict[str, xr.Dataset]:
    layout, sea = fitted.layout, np.asarray(fitted.constants["sea"])
    grid, attrs = layout.grid, fitted.frame["attrs"]
    assert grid is not None
    run = () if begun.runs is None else ("run",)
    coords = {
        "init_time": [init],
        "lead_time": lead,
        "valid_time": (("init_time", "lead_time"), ahead[None]),
        **grid.coords(),
        **({"run": list(begun.runs)} if begun.runs else {}),
    }
    drawn = np.moveaxis(told.paths, 0, 1)[None]
    parts: dict[str, tuple[dict, np.ndarray, Callable[[dict], dict]]] = {
        "predictions": ({"chain": [0], "draw": np.arange(drawn.shape[1])}, drawn, dict),
        "uncertainty": ({"component": list(COMPONENTS)}, told.parts, squared),
        "log_score": ({}, told.log_score, lambda known: {}),
    }
    out = {}
    for group, (own, values, said) in parts.items():
        values = values if run else values.take(0, axis=len(own))
        values = values.reshape(*values.shape[:-1], len(layout.channels), grid.places)
        values = np.where(sea, values, np.asarray(np.nan, values.dtype))
        shaped = on_grid(np.expand_dims(np.moveaxis(values, -2, 0), -3), grid)
        dims = (*own, *run, "init_time", "lead_time", *grid.dims)
        pairs = zip(layout.channels, shaped, strict=True)
        variables = {name: (dims, field, said(attrs.get(name, {}))) for name, field in pairs}
        out[group] = xr.Dataset(variables, coords | own)
    return out
