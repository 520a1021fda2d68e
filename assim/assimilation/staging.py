"""What an assimilation is made of: dynamics, a first state, cycles, and the labels and units that lead back.

A known system is taken as it is. Of a posterior tree the draws become models: members of one ensemble, or, for a
filter whose belief is a Gaussian, as many filters side by side. Where parameters are to be corrected they stand in
the state.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
import xarray as xr
from numpyro.distributions import Distribution

from assim.assimilation.augmenting import Drawn, Varying, sites_of
from assim.assimilation.drawing import drawn, side_by_side, spread_draws
from assim.assimilation.fields import of_fields
from assim.assimilation.latent import of_latent
from assim.assimilation.opened import open_record
from assim.assimilation.scene import AbstractShown, AsItIs, AsRead, Scene, Table, Units
from assim.data.columns import Columns
from assim.filters.base import Dynamics
from assim.model import AbstractGridded, AbstractModel, AbstractPopulation, AbstractSequential
from assim.observing import NOTHING, observe_system, state_columns
from assim.problem import bind
from assim.series import Layout
from assim.statespace import (
    AbstractAdditiveNoise,
    AbstractCorrelated,
    AbstractStateSpace,
    Context,
    regular_spans,
)
from assim.tree import Fitted, restore
from assim.types import Array, Key, Sites

STATE, PARAMETERS, BOTH = "state", "parameters", "both"
"""What a reading may correct, where no parameters are named."""
NO_LAYOUT = Layout((), (), (), (), 0, 1.0)


def staged(
    model: AbstractStateSpace | AbstractModel | Fitted | xr.DataTree,
    ds: xr.Dataset,
    size: int | None,
    *,
    update: str | Sequence[str] = STATE,
    since: np.datetime64 | None = None,
    resumed: bool = False,
    whole: bool = False,
    key: Key,
) -> list[Scene]:
    """A model and a record, a scene for each station.

    Args:
        model: a known system, a posterior tree or what `restore` makes of it, or a `Mechanistic`.
        ds: the record, file units.
        size: members of the filter, None where it has none.
        update: "state", "parameters", "both", or names of parameters.
        since: time of the state before the first reading.
        resumed: whether that is the time of an earlier analysis.
        whole: whether the filter draws whole members again, whose parameters then have to go with them.
        key: of the first states.
    """
    if isinstance(model, AbstractStateSpace):
        if update != STATE:
            raise ValueError(
                f"update={update!r}: {type(model).__name__} has no unknown parameters; make them unknown by "
                "models.Mechanistic(system, priors={...})."
            )
        return of_system(model, ds, since=since, key=key)
    if isinstance(model, AbstractSequential):
        if size is None:
            raise TypeError(
                "A filter without members carries no draws of a prior: use ETKF, EnKF or Particle, or infer the "
                "parameters first and give the posterior."
            )
        sites = _prior_draws(model, size, key=key)
        fitted = Fitted(model, NO_LAYOUT, {}, {}, sites, None, None)
    elif isinstance(model, AbstractModel):
        raise TypeError(
            f"{type(model).__name__} is not fitted yet: give the posterior, as assim.infer(model, train, key=key)."
        )
    else:
        fitted = model if isinstance(model, Fitted) else restore(model)
    if isinstance(fitted.model, AbstractGridded):
        if update != STATE:
            raise ValueError(
                f"update={update!r}: a {type(fitted.model).__name__} has more parameters than a filter can "
                "correct: correct its state alone, and learn from new fields by infer(init=tree)."
            )
        return [of_fields(fitted, ds, size, since=since, whole=whole, key=key)]
    names = _named(fitted, update)
    if isinstance(fitted.model, AbstractSequential | AbstractPopulation):
        return [_of_known(fitted, ds, size, names, since, whole=whole, key=key)]
    if since is not None and not resumed:
        raise ValueError(
            "since= is of known systems: the state of a fit is what the record before the first reading says."
        )
    if size is None:
        if names:
            raise ValueError(
                f"update={list(names)}: a filter without members corrects no parameters; use ETKF or EnKF."
            )
        return of_latent(fitted, ds, since)
    return of_fit(fitted, ds, size=size, update=names, since=since, whole=whole, key=key)


def _named(fitted: Fitted, update: str | Sequence[str]) -> tuple[str, ...]:
    if update == STATE:
        return ()
    if update in (PARAMETERS, BOTH):
        return tuple(sites_of(fitted.model, fitted.layout, fitted.constants))
    return (update,) if isinstance(update, str) else tuple(update)


def _require_apart(system: AbstractStateSpace) -> None:
    """Refuse errors that go together where parameters stand in the state, which would be taken for independent."""
    if not isinstance(system, AbstractCorrelated):
        return
    span = jax.tree.map(lambda leaf: leaf[0], regular_spans(1.0, 1))
    root = np.asarray(system.error_root(span))
    covariance = root @ root.T
    if not np.allclose(covariance, np.diag(np.diagonal(covariance))):
        raise ValueError(
            f"The errors of {type(system).__name__} go together, which is not followed where parameters stand in "
            "the state (update=, or a particle filter on draws): correct the state alone with an ensemble filter."
        )


def _prior_draws(model: AbstractSequential, size: int, *, key: Key) -> Sites:
    """Draws of the priors of a system, shape (1, member, ...)."""
    fns = sites_of(model, NO_LAYOUT, {})
    keys = jax.random.split(key, len(fns))
    return {
        name: fn.sample(k, (size,))[None] for (name, fn), k in zip(fns.items(), keys, strict=True)
    }


def of_system(
    system: AbstractStateSpace, ds: xr.Dataset, *, since: np.datetime64 | None, key: Key
) -> list[Scene]:
    """A known system and its record."""
    first = system.init(NOTHING, key=key)
    shape = first.event_shape or first.batch_shape
    if len(shape) != 1:
        raise ValueError(
            f"The state of {type(system).__name__} is no vector (it has the shape {shape}): a known system is "
            "assimilated as a vector of components."
        )
    first = first if first.event_shape else first.to_event(1)
    return [_observed(system, Dynamics(system), first, ds, since, shape[0], AsItIs(size=shape[0]))]


def _observed(
    system: AbstractStateSpace,
    dynamics: Dynamics,
    first: Distribution,
    ds: xr.Dataset,
    since: np.datetime64 | None,
    size: int,
    shown: AbstractShown,
    several: tuple[int, int] | None = None,
) -> Scene:
    seen = observe_system(system, ds, since)
    return Scene(
        replace(dynamics, where=seen.where),
        first,
        seen.times,
        seen.cycles,
        seen.y,
        seen.columns,
        shown,
        _tables(state_columns(system, size), size, Units(), shown.varying),
        several=several,
    )


def _of_known(
    fitted: Fitted,
    ds: xr.Dataset,
    size: int | None,
    update: tuple[str, ...],
    since: np.datetime64 | None,
    *,
    whole: bool,
    key: Key,
) -> Scene:
    """A system at every draw of its parameters: members of one filter, or a filter for each."""
    model = fitted.model
    if size is None:
        if update:
            raise ValueError(
                f"update={list(update)}: a filter without members corrects no parameters; use ETKF or EnKF."
            )
        several, sites = side_by_side(fitted)
    else:
        several, sites = None, spread_draws(fitted.sites, size)
    varying = _varying(fitted, update, size, whole=whole) if size and update else None
    carried = _carried(fitted) if whole else varying
    one = {name: value[0] for name, value in sites.items()}
    system = model.system if isinstance(model, AbstractSequential) else fitted.state_space(one)
    if carried is not None:
        _require_apart(system)
    state = system.init(NOTHING, key=key).shape()
    fixed = (fitted.constants, fitted.centre)
    shape = None if carried is None else state
    dynamics, first = drawn(model, fitted.layout, *fixed, sites, carried, shape, NOTHING, key)
    dynamics = replace(dynamics, each=several is None)
    if whole and isinstance(dynamics.ssm, AbstractAdditiveNoise):
        # all parameters stand in the state, so that one model moves every member
        dynamics = Dynamics(dynamics.one)
    begun = Drawn(first)
    return _observed(
        system, dynamics, begun, ds, since, state[0], AsItIs(varying, size=state[0]), several
    )


def of_fit(
    fitted: Fitted,
    ds: xr.Dataset,
    *,
    size: int,
    update: Sequence[str],
    since: np.datetime64 | None,
    whole: bool = False,
    key: Key,
) -> list[Scene]:
    """A posterior and a record: a scene for each station, the draws its members.

    Args:
        fitted: the posterior.
        ds: the record, file units.
        size: members; draws are taken evenly, or several times where there are fewer.
        update: sites that the filter corrects beside the state.
        since: time of the last analysis, where one is gone on from.
        whole: whether the filter draws whole members again.
        key: of the first states.

    Raises:
        ValueError: a record that the model cannot use, a site that it does not have, more parameters than members.
    """
    opened = open_record(fitted, ds, since)
    frame, layout = opened.frame, opened.layout
    sites = spread_draws(fitted.sites, size)
    varying = None if not update else _varying(fitted, tuple(update), size, whole=whole)
    carried = _carried(fitted) if whole else varying
    columns, scenes = opened.columns, []
    for run in range(frame.y.shape[0]):
        context, cycles = opened.run(run)
        k_here = jax.random.fold_in(key, run)
        dynamics, members = _members(fitted, layout, sites, carried, context, key=k_here)
        scenes.append(
            Scene(
                dynamics,
                Drawn(members),
                opened.times,
                cycles,
                opened.y(run),
                columns,
                AsRead(varying),
                _tables(columns, len(frame.channels), opened.units(run), varying),
                opened.units(run),
                opened.station(run),
            )
        )
    return scenes


def _tables(state: Columns, size: int, units: Units, varying: Varying | None) -> tuple[Table, ...]:
    """The state, and each parameter that it holds."""
    tables, at = [Table(state, slice(0, size), units)], size
    for name, shape in () if varying is None else zip(varying.names, varying.shapes, strict=True):
        count = math.prod(shape)
        columns = Columns((name,), None if shape == () else f"{name}_dim_0")
        tables.append(Table(columns, slice(at, at + count)))
        at += count
    return tuple(tables)


def _carried(fitted: Fitted) -> Varying:
    """All parameters, to go with a member that is drawn again."""
    known = sites_of(fitted.model, fitted.layout, fitted.constants)
    return Varying.of(known, tuple(known))


def _varying(fitted: Fitted, update: tuple[str, ...], size: int, *, whole: bool) -> Varying:
    """The parameters that are corrected; all that go with a member, where whole members are drawn again."""
    known = sites_of(fitted.model, fitted.layout, fitted.constants)
    if strange := sorted(set(update) - set(known)):
        raise ValueError(
            f"update= names {', '.join(strange)}, which the model does not have; it has {', '.join(known)}."
        )
    if whole:
        return Varying.of(known, tuple(known))
    varying = Varying.of(known, update)
    if varying.size >= size:
        raise ValueError(
            f"update= names {varying.size} parameters and the filter has {size} members, which vary in {size - 1} "
            "directions: give it more members, name fewer sites, or learn from new data by infer(init=tree)."
        )
    return varying


def _members(
    fitted: Fitted,
    layout: Layout,
    sites: Sites,
    varying: Varying | None,
    context: Context,
    *,
    key: Key,
) -> tuple[Dynamics, Array]:
    """Every draw as a model whose state is a vector, and its first state (member, state)."""
    fixed = (fitted.constants, fitted.centre)
    one = {k: v[0] for k, v in sites.items()}

    def first(theta: Sites, key: Key) -> Array:
        return bind(fitted.model, theta, layout, *fixed).init(context, key=key).sample(key)

    shape = jax.eval_shape(first, one, key).shape
    return drawn(fitted.model, layout, *fixed, sites, varying, shape, context, key)
