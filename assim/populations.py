r"""A model of populations meets snapshots: the problem of fitting it, and paths through and beyond them.

$$X_{t_k} \to X_{t_{k+1}}: \qquad (i, j) \sim P^\theta_k, \qquad
X_t \mid x_k^i, x_{k+1}^j \sim \text{the bridge of the reference}, \qquad \theta \sim p(\theta \mid D)$$

Each draw of the parameters has couplings of its own, by Sinkhorn's iteration on its densities of transition; a path
goes from sample to sample as they say, and between two of them as the reference does, held at both ends.
"""

import warnings
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpyro import handlers

from assim.data.clockwork import stamp
from assim.data.framing import Frame, describe_frame
from assim.data.populating import Population, describe_population, population_of
from assim.data.scaling import Scaling
from assim.inference.density import draw_start, to_unconstrained
from assim.model import AbstractModel, AbstractPaths, AbstractPopulation, Walks
from assim.problem import Problem, bind
from assim.series import Layout
from assim.snapshots import Snapshots
from assim.tree import Fitted
from assim.types import Array, Key, Sites

POPULATION = "population"
"""Where a frame keeps what a later population needs."""
FEW, ENOUGH = 20, 200
"""Entries of a site that is a parameter rather than a family of weights, and draws that its sd is told by."""
LEFT = {"long_name": "particles that it stands for", "units": "1"}
DRAWS = 50
"""Draws of the parameters that paths are made by, at most: each has couplings of its own."""


def pose_population(
    model: AbstractPopulation, ds: xr.Dataset, earlier: Fitted | None = None
) -> tuple[Problem, Frame, dict]:
    """The problem of fitting a model to snapshots, their labels, and what is stored of them.

    Args:
        model: the model.
        ds: snapshots, as `assim.take_snapshots` gives them, file units.
        earlier: the fit that this one goes on from.

    Raises:
        ValueError: snapshots that cannot be fitted, and why.
    """
    like = None if earlier is None else earlier.frame[POPULATION]
    population = _populated(population_of(ds, model.unit, like=like))
    frame = _frame(population)
    layout = Layout.of(frame)
    snapshots = Snapshots.from_population(population)
    constants = model.counted(snapshots) if earlier is None else earlier.constants
    examples = jax.tree.map(lambda leaf: leaf[None], snapshots)
    told = describe_frame(frame) | {POPULATION: describe_population(population)}
    problem = Problem(model, constants, examples, layout)
    model.require(handlers.seed(problem.prior, 0)(), snapshots)
    _say_paired(population)
    return problem, frame, told


def all_known(problem: Problem) -> bool:
    """Whether nothing is unknown in a model of populations, so that there is nothing to draw."""
    return not handlers.trace(handlers.seed(problem.prior, 0)).get_trace()


def unidentified(problem: Problem, sites: dict[str, Any], *, key: Key) -> dict[str, float]:
    """How much of its prior each parameter keeps: the sd of its posterior, of that of the prior, unconstrained.

    Args:
        problem: prior and likelihood.
        sites: posterior draws, each shape (chain, draw, ...).
        key: of draws of the prior.

    Returns:
        The largest ratio of each site of few entries; families of weights are meant to be known but in part.
    """
    free = {k: v for k, v in sites.items() if k not in problem.held}
    few = {k for k, v in free.items() if np.prod(np.shape(v)[2:]) <= FEW}
    flat = {k: jnp.asarray(v).reshape(-1, *np.shape(v)[2:]) for k, v in free.items()}
    count = max((v.shape[0] for v in flat.values()), default=0)
    if count < ENOUGH:
        return {}
    prior = draw_start(problem, key, ENOUGH)
    posterior = _unconstrained(problem, jax.tree.map(lambda v: v[:: count // ENOUGH], flat))
    told = {
        k: np.std(np.asarray(v), axis=0) / np.std(prior[k], axis=0) for k, v in posterior.items()
    }
    return {k: float(np.max(v)) for k, v in told.items() if k in few}


@eqx.filter_jit
def _unconstrained(problem: Problem, sites: Sites) -> Sites:
    return jax.vmap(lambda v: to_unconstrained(problem, v))(sites)


def _say_paired(population: Population) -> None:
    """Say how many samples are the same particle as one of the snapshot before."""
    if population.id is None:
        return
    pairs = zip(population.id[:-1], population.id[1:], strict=True)
    same = sum(np.intersect1d(a[a >= 0], b[b >= 0]).size for a, b in pairs)
    total = int(population.counts[1:].sum())
    warnings.warn(
        f"{same} of {total} samples are particles that the snapshot before has too, by their id: each is foreseen "
        "from where it was; drop 'id' where identities are not to be trusted.",
        UserWarning,
        stacklevel=4,
    )


def _populated(population: Population, least: int = 2) -> Population:
    """The snapshots that hold samples: nothing is foreseen from one that holds none, nor does it tell anything."""
    some = (population.weight > 0).any(axis=1)
    if some.sum() < least:
        raise ValueError(
            f"{some.sum()} of the snapshots hold samples, and what happens takes {least} of them: give more."
        )
    rows = {k: getattr(population, k)[some] for k in ("times", "t", "x", "sd", "weight")}
    id = None if population.id is None else population.id[some]
    return replace(population, **rows, id=id)


def snapshots_of(fitted: Fitted, ds: xr.Dataset | None) -> Population:
    """The snapshots that paths are made between: those of the fit, or others of the same coordinates."""
    ds = fitted.tail if ds is None else ds
    if ds is None:
        raise ValueError("The tree holds no snapshots: give them, as given=snapshots.")
    population = population_of(ds, like=fitted.frame[POPULATION])
    model, begun = fitted.model, np.datetime64(fitted.frame[POPULATION]["origin"], "ns")
    if isinstance(model, AbstractPopulation) and model.hidden() and population.times[0] != begun:
        raise ValueError(
            f"The snapshots begin at {stamp(population.times[0])}, and where {', '.join(model.hidden())} are is "
            f"known at the first snapshot of the fit, {stamp(begun)}: give snapshots from then on."
        )
    return population


@dataclass(frozen=True)
class Paths:
    """Paths and the times they stand at.

    Args:
        x: shape (path, time, coordinate), file units.
        times: shape (time,), datetime64[ns].
        draw: the draw of the parameters of each path, shape (path,).
        weight: of how many particles of the start it is what is left, shape (path, time); None where none is lost.
    """

    x: np.ndarray
    times: np.ndarray
    draw: np.ndarray
    weight: np.ndarray | None


def paths_through(
    fitted: Fitted, population: Population, num: int, times: np.ndarray | list | int, *, key: Key
) -> Paths:
    """Paths through snapshots.

    Args:
        fitted: the model.
        population: the snapshots.
        num: how many paths, spread over draws of the parameters.
        times: stamps between the first snapshot and the last at which they are wanted beside those of the
            snapshots; or how many in each interval, evenly.
        key: all randomness.

    Raises:
        ValueError: fewer than two snapshots with samples, samples where the model says nothing, what is no stamp,
            or one before the first snapshot or after the last.
    """
    whole, population = population.times, _populated(population)
    between = np.union1d(_between(population, times), _within(population, whole))
    k_draw, k_path = jax.random.split(key)
    sites, numbers = _thinned(fitted, min(num, DRAWS))
    each = -(-num // len(numbers))
    snapshots, since = Snapshots.from_population(population), _since(population, between)
    if isinstance(fitted.model, AbstractPopulation):
        first = fitted.state_space({k: v[0] for k, v in sites.items()})
        fitted.model.require(first, snapshots)
    fixed = (fitted.layout, fitted.constants, fitted.centre)
    made = _walked(fitted.model, fixed, sites, (snapshots, jnp.asarray(since)), each, k_path)
    stamps, kept = _stamps(population, between)

    def dealt(leaf: Array) -> np.ndarray:  # a path of each draw before there is another
        return np.swapaxes(np.asarray(leaf), 0, 1).reshape(-1, *leaf.shape[2:])[:num, kept]

    weight = None if made.log_mass is None else np.exp(dealt(made.log_mass))
    return Paths(dealt(made.x), stamps, np.tile(numbers, each)[:num], weight)


def paths_beyond(
    fitted: Fitted, population: Population, row: int, leads: int, num: int | None, *, key: Key
) -> tuple[np.ndarray, np.ndarray | None]:
    """What becomes of the samples of a snapshot by the reference alone.

    Args:
        fitted: the model.
        population: the snapshots.
        row: the one to start from.
        leads: how many units of time, one after the other.
        num: draws of the parameters used; None for all.
        key: all randomness.

    Returns:
        Shape (chain, draw, sample, lead, coordinate), file units, and how many particles each stands for, shape
        (chain, draw, sample, lead), or None where all samples weigh the same and none is lost.
    """
    sites = fitted.thinned(num)
    row = int((population.weight[:row] > 0).any(axis=1).sum())
    snapshots = Snapshots.from_population(_populated(population, 1))
    chains, draws = next(iter(sites.values())).shape[:2]
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    fixed = (fitted.layout, fitted.constants, fitted.centre)
    made = _onward(fitted.model, fixed, flat, snapshots, jnp.asarray(row), leads, key)
    kept = np.flatnonzero(np.asarray(snapshots.weight[row]) > 0)

    def each(leaf: Array) -> np.ndarray:
        return np.asarray(leaf).reshape(chains, draws, *leaf.shape[1:])[:, :, kept]

    x, own = each(made.x), np.asarray(snapshots.weight[row])[kept][:, None]
    if made.log_mass is not None:
        return x, own * np.exp(each(made.log_mass))
    alike = np.ptp(np.asarray(snapshots.weight)[np.asarray(snapshots.weight) > 0]) == 0
    return x, None if alike else np.broadcast_to(own, x.shape[:-1])


@eqx.filter_jit
def _walked(
    model: AbstractModel,
    fixed: tuple[Layout, Sites, Sites | None],
    sites: Sites,
    where: tuple[Snapshots, Array],
    each: int,
    key: Key,
) -> Walks:
    """Paths, leaves (draw, path, time, ...)."""

    def one(numbered: tuple[Array, Sites]) -> Walks:
        number, theta = numbered
        ssm = bind(model, theta, *fixed)
        if not isinstance(ssm, AbstractPaths):
            raise TypeError(f"{type(ssm).__name__} makes no paths between snapshots.")
        return ssm.paths(*where, each, key=jax.random.fold_in(key, number))

    count = next(iter(sites.values())).shape[0] if sites else 1
    return jax.lax.map(one, (jnp.arange(count), sites))


@eqx.filter_jit
def _onward(
    model: AbstractModel,
    fixed: tuple[Layout, Sites, Sites | None],
    sites: Sites,
    snapshots: Snapshots,
    row: Array,
    leads: int,
    key: Key,
) -> Walks:
    """Paths, leaves (draw, sample, lead, ...)."""

    def one(numbered: tuple[Array, Sites]) -> Walks:
        number, theta = numbered
        ssm = bind(model, theta, *fixed)
        if not isinstance(ssm, AbstractPaths):
            raise TypeError(f"{type(ssm).__name__} goes on from no snapshot.")
        return ssm.onward(snapshots, row, leads, key=jax.random.fold_in(key, number))

    return jax.lax.map(one, (jnp.arange(next(iter(sites.values())).shape[0]), sites))


def _thinned(fitted: Fitted, count: int) -> tuple[Sites, np.ndarray]:
    """Draws evenly spaced over all chains, and their numbers."""
    flat = {k: np.asarray(v).reshape(-1, *v.shape[2:]) for k, v in fitted.sites.items()}
    total = next(iter(flat.values())).shape[0]
    at = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    return {k: jnp.asarray(v[at]) for k, v in flat.items()}, at


def _between(population: Population, times: np.ndarray | list | int) -> np.ndarray:
    """Stamps that are asked for, each once and not those of the snapshots."""
    clock = population.times
    if isinstance(times, Integral):
        if times < 0:
            raise ValueError(f"times={times}: ask for 0 or more in each interval, or for stamps.")
        share = np.arange(1, times + 1) / (times + 1)
        steps = (clock[1:] - clock[:-1]).astype(np.int64)
        return (clock[:-1, None] + (steps[:, None] * share).astype("timedelta64[ns]")).ravel()
    asked = stamps_in(times, "times")
    outside = np.setdiff1d(asked, np.append(_within(population, asked), clock))
    if outside.size:
        raise ValueError(
            f"{stamp(outside[0])} lies outside the snapshots ({stamp(clock[0])} to {stamp(clock[-1])}): ask for "
            "stamps between them, and for what comes after by assim.forecast."
        )
    return _within(population, asked)


def _within(population: Population, stamps: np.ndarray) -> np.ndarray:
    """Those of some stamps that lie between two snapshots, each once."""
    clock = population.times
    return np.setdiff1d(stamps[(stamps > clock[0]) & (stamps < clock[-1])], clock)


def stamps_in(given: Any, name: str) -> np.ndarray:
    """Stamps as dates, each once and in order.

    Args:
        given: one or several.
        name: of the argument, for the message.

    Raises:
        ValueError: what is no date.
    """
    told = np.atleast_1d(np.asarray(given))
    try:
        if told.size and told.dtype.kind not in "MUSO":
            raise ValueError
        stamps = told.astype("datetime64[ns]")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}={given!r} are no stamps: give dates, as '2020-06-01T12:00'."
        ) from error
    if np.isnat(stamps).any():
        raise ValueError(f"{name}= holds a stamp that is no time (NaT): leave it out.")
    return np.unique(stamps)


def _since(population: Population, between: np.ndarray) -> np.ndarray:
    """Times in each interval since its start, shape (interval, time), units; what is left over is its end."""
    clock, unit = population.times, population.step * 1e9
    which = np.searchsorted(clock, between) - 1
    spans = np.diff(population.t)
    most = np.bincount(which, minlength=len(spans)).max(initial=0)
    since = np.repeat(spans[:, None], most + 1, axis=1)
    for k in range(len(spans)):
        mine = between[which == k]
        since[k, : mine.size] = (mine - clock[k]).astype(np.int64) / unit
    return since


def _stamps(population: Population, between: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The stamps of all rows that are kept, and which rows of the padded ones those are."""
    clock = population.times
    which = np.searchsorted(clock, between) - 1
    counts = np.bincount(which, minlength=len(clock) - 1)
    most = counts.max(initial=0)
    kept = [np.zeros(1, int)]
    for k, count in enumerate(counts):
        start = 1 + k * (most + 1)
        kept.append(np.append(start + np.arange(count), start + most))
    return np.sort(np.concatenate([clock, between])), np.concatenate(kept)


def _frame(population: Population) -> Frame:
    """The samples as a frame of as many runs, each coordinate on the scale of the file."""
    count = len(population.names)
    return Frame(
        times=population.times,
        step=population.step,
        channels=population.names,
        is_target=(True,) * count,
        inputs=(),
        y=population.x.swapaxes(0, 1),
        sd=population.sd.swapaxes(0, 1),
        u=np.zeros((population.x.shape[1], len(population.times), 0)),
        scaling=Scaling(
            ("real",) * count, np.zeros((1, count)), np.ones((1, count)), np.ones(count)
        ),
        control_scaling=np.zeros((2, 0)),
        stations=None,
        instance="sample",
        attrs=population.attrs,
    )
