"""`generate`: series that never were, as a posterior would have them; or what a record with gaps may have been."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import REPEATED, Frame, frame_of
from assim.data.scaling import Scaling
from assim.model import (
    AbstractModel,
    AbstractPopulation,
    AbstractPrescribed,
    AbstractWindowless,
)
from assim.populations import LEFT, paths_through, snapshots_of
from assim.problem import bind
from assim.series import Layout, Series, cut
from assim.statespace import (
    AbstractConditional,
    AbstractGenerator,
    AbstractStateSpace,
    Context,
    Span,
    regular_spans,
)
from assim.tree import Fitted, model_attrs, read_tree, require_key, restore, tree_of
from assim.types import Array, Key, Sites

TOGETHER = 256
"""Series that are made at once."""
BETWEEN = 8
"""Times between two snapshots at which a path is told, where none are asked for."""


def generate(
    post: xr.DataTree | str | Path,
    num: int = 100,
    *,
    key: Key,
    length: int | None = None,
    given: xr.Dataset | None = None,
    plan: xr.Dataset | None = None,
    times: np.ndarray | list | int | None = None,
    model: AbstractModel | None = None,
) -> xr.DataTree:
    r"""New series, $y \sim p(y \mid D)$, one draw of the parameters each; or $y \sim p(y \mid y_{\text{seen}}, D)$.

    Args:
        post: the posterior tree, or its path.
        num: how many series.
        key: all randomness.
        length: rows of each; None for as many as the stretches of the fit, or as `plan` has where there are inputs.
        given: a record with gaps, file units. What was read stays; what was not is drawn, together with all that
            surrounds it. For a model of populations the snapshots that paths go through; None for those of the fit.
        plan: inputs along `time`, for a model that has any; its rows are taken a nominal step apart.
        times: of a model of populations, stamps between the first snapshot and the last at which paths are wanted
            beside those of the snapshots, or how many in each interval, evenly; None for 8.
        model: the model, where it is of a class of your own.

    Returns:
        A tree with `generated`: every variable on (sample, step), or (sample, time) where a record or snapshots are
        given; file units. `step` is the time since the first row, `draw` that of the parameters of a path. Paths of
        a model of populations show the coordinates that no snapshot does, too; where particles are lost or born
        there is also `weight`, without unit: how many particles one of the first time stands for, 1 there.

    Raises:
        ValueError: no series or no row asked for, inputs without a plan, a record that the model cannot use, a fit
            of several stations.
        TypeError: a model that begins at no time of its own, or one that cannot be held to what was seen; a seed in
            place of a key.
    """
    require_key(key)
    if num < 1 or (length is not None and length < 2):
        raise ValueError(
            f"num={num}, length={length}: ask for one series or more, of two rows or more."
        )
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    population = isinstance(fitted.model, AbstractPopulation)
    if times is not None and not population:
        raise ValueError(
            f"times= is of models of populations, and a {type(fitted.model).__name__} makes whole series: ask for "
            "a length= instead."
        )
    if isinstance(fitted.model, AbstractWindowless) and not population:
        raise _unable(type(fitted.model).__name__)
    attrs = model_attrs(fitted.model, fitted.layout, fitted.frame, key)
    attrs |= {"method": tree.attrs.get("method", ""), "num": json.dumps(num)}
    if population:
        if length is not None or plan is not None:
            raise ValueError(
                "length= and plan= are of series: paths go from the first snapshot to the last, at times=."
            )
        return tree_of({"generated": _through(fitted, given, num, times, key=key)}, attrs)
    stations = fitted.frame["stations"] or ()
    if given is None and len(stations) > 1 and fitted.frame["instance"] not in REPEATED:
        raise ValueError(
            f"The model was fitted to {len(stations)} stations, each on a scale of its own, and a new series would "
            "be of none of them: fit one of them, or give a record by given=."
        )
    if given is not None:
        return tree_of({"generated": _filled(fitted, given, num, key=key)}, attrs)
    rows = fitted.model.fitting().horizon if length is None else length
    inputs = _inputs(fitted, plan, rows if length is not None or plan is None else None)
    spans = regular_spans(fitted.layout.step, len(inputs))
    made = _made(_anew, fitted, num, (spans, jnp.asarray(inputs)), key=key)
    since = np.arange(len(inputs)) * np.timedelta64(round(fitted.layout.step * 1e9), "ns")
    scaling = Scaling.from_dict(fitted.frame["scaling"])
    return tree_of({"generated": _labelled(fitted, scaling, made, "step", since)}, attrs)


def _through(
    fitted: Fitted,
    given: xr.Dataset | None,
    num: int,
    times: np.ndarray | list | int | None,
    *,
    key: Key,
) -> xr.Dataset:
    """Paths through snapshots, (sample, time), file units."""
    if given is not None and isinstance(fitted.model, AbstractPrescribed):
        raise ValueError(
            f"The paths of a {type(fitted.model).__name__} come of its fit and meet no other snapshots: leave "
            "given= out, or fit it to those."
        )
    model = fitted.model
    assert isinstance(model, AbstractPopulation)
    population = snapshots_of(fitted, given)
    told = paths_through(fitted, population, num, BETWEEN if times is None else times, key=key)
    coords = {
        "sample": np.arange(num),
        "time": told.times,
        "draw": ("sample", told.draw, {"long_name": "draw of the parameters, over all chains"}),
    }
    attrs, dims = fitted.frame["attrs"], ("sample", "time")
    made: dict[str, tuple] = {
        n: (dims, told.x[..., c], attrs.get(n, {}))
        for c, n in enumerate((*population.names, *model.hidden()))
    }
    if told.weight is not None:
        made["weight"] = (dims, told.weight, LEFT)
    return xr.Dataset(made, coords=coords)


def _anew(ssm: AbstractStateSpace, what: tuple[Span, Array], *, key: Key) -> Array:
    if not isinstance(ssm, AbstractGenerator):
        raise _unable(type(ssm).__name__)
    return ssm.series(*what, key=key)


def _around(ssm: AbstractStateSpace, what: tuple[Context], *, key: Key) -> Array:
    if not isinstance(ssm, AbstractConditional):
        raise TypeError(
            f"{type(ssm).__name__} cannot be held to what was seen: use KoopmanVAE or LinearKoopman, or "
            "assim.reconstruct with a smoother."
        )
    return ssm.filled(*what, key=key)


def _made(
    make: Callable[..., Array], fitted: Fitted, num: int, what: tuple, *, key: Key
) -> np.ndarray:
    """Series (num, time, channel), internal units, each by a draw of the parameters."""
    flat = {k: np.asarray(v).reshape(-1, *v.shape[2:]) for k, v in fitted.sites.items()}
    count = next(iter(flat.values())).shape[0]
    at = np.linspace(0, count - 1, num).round().astype(int) if num > 1 else np.zeros(1, int)
    sites = {k: jnp.asarray(v[at]) for k, v in flat.items()}
    fixed = (fitted.layout, fitted.constants, fitted.centre)
    return np.asarray(_drawn(make, fitted.model, fixed, sites, what, key))


@eqx.filter_jit
def _drawn(
    make: Callable[..., Array],
    model: AbstractModel,
    fixed: tuple[Layout, Sites, Sites | None],
    sites: Sites,
    what: tuple,
    key: Key,
) -> Array:
    def one(numbered: tuple[Array, Sites]) -> Array:
        number, theta = numbered
        return make(bind(model, theta, *fixed), what, key=jax.random.fold_in(key, number))

    num = next(iter(sites.values())).shape[0]
    return jax.lax.map(one, (jnp.arange(num), sites), batch_size=min(TOGETHER, num))


def _filled(fitted: Fitted, given: xr.Dataset, num: int, *, key: Key) -> xr.Dataset:
    """A record with its gaps drawn, (sample, time)."""
    frame = _frame(fitted, given)
    if frame.y.shape[0] > 1:
        raise ValueError(
            f"given= holds {frame.y.shape[0]} {frame.instance}s: give one of them, as "
            f"ds.isel({frame.instance}=0)."
        )
    if not np.isfinite(frame.u).all():
        raise ValueError(
            f"The inputs {', '.join(frame.inputs)} are not known at every row of given=: fill them in, or cut the "
            "record."
        )
    rows, zero = len(frame.times), jnp.asarray(0)
    size: dict[str, Any] = {"context": rows, "horizon": 0, "step": frame.step}
    context = cut(Series.of(frame), zero, jnp.asarray(rows - 1), own_times=True, **size).context
    made = _made(_around, fitted, num, (context,), key=key)
    drawn = _labelled(fitted, frame.scaling, made, "time", frame.times)
    for c, name in enumerate(frame.channels):
        seen = np.isfinite(frame.y[0, :, c])
        drawn[name] = drawn[name].where(~seen, frame.y[0, :, c].astype(drawn[name].dtype))
        drawn[name].attrs = dict(frame.attrs[name])
    return drawn


def _inputs(fitted: Fitted, plan: xr.Dataset | None, rows: int | None) -> np.ndarray:
    """Inputs of each row, shape (row, input), internal units."""
    names = fitted.layout.inputs
    if not names:
        return np.zeros((rows or fitted.model.fitting().horizon, 0))
    if plan is None:
        raise ValueError(
            f"The model has the inputs {', '.join(names)}: give them along time by plan=."
        )
    runs = fitted.frame["stations"]
    if runs is not None and fitted.frame["instance"] not in plan.dims:  # the plan of one more run
        plan = plan.assign_coords({fitted.frame["instance"]: [runs[0]]})
    dims = [d for d in (fitted.frame["instance"], "time") if d in plan.dims]
    nothing = np.full([plan.sizes[d] for d in dims], np.nan)
    absent = {n: (dims, nothing) for n in fitted.layout.channels if n not in plan}
    frame = _frame(fitted, plan.assign(absent))
    u = frame.u[0][:rows]
    if rows is not None and len(u) < rows or not np.isfinite(u).all():
        raise ValueError(
            f"plan= tells {np.isfinite(u).all(axis=1).sum()} rows of {', '.join(names)}, and {rows or len(u)} are "
            "needed without a gap: give more, or a shorter length=."
        )
    return u


def _frame(fitted: Fitted, ds: xr.Dataset) -> Frame:
    selection = fitted.model.needs().selection(tuple(fitted.frame["calendar"]))
    return frame_of(ds, selection, like=fitted.frame)


def _labelled(
    fitted: Fitted, scaling: Scaling, made: np.ndarray, dim: str, at: np.ndarray
) -> xr.Dataset:
    """Series in file units, by variable."""
    y = scaling.inverse(made)
    coords = {"sample": np.arange(len(made)), dim: at}
    names, attrs = fitted.layout.channels, fitted.frame["attrs"]
    told = zip(names, fitted.layout.is_target, range(len(names)), strict=True)
    return xr.Dataset(
        {n: (("sample", dim), y[..., c], attrs.get(n, {})) for n, target, c in told if target},
        coords=coords,
    )


def _unable(who: str) -> TypeError:
    return TypeError(
        f"{who} goes on from a record and begins at no time of its own: use assim.forecast, or generate from a "
        "KoopmanVAE, a LinearKoopman, a PublishedKoVAE or a SchrodingerBridge."
    )
