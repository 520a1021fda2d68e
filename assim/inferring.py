"""`infer`: a model, a labelled record and a method; a posterior tree."""

import json
import os
import warnings
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame, describe_frame, frame_of
from assim.data.spreading import INSTANCES
from assim.gridded import judge_fields, newest_places, pose_fields, with_places
from assim.inference import (
    NUTS,
    SVI,
    AbstractMethod,
    Adjusted,
    Ascent,
    Draws,
    EnsembleMAP,
    Exact,
    GaussNewton,
    Laplace,
    Prior,
)
from assim.inference.adjusted import tells
from assim.inference.annealing import annealed
from assim.inference.holding import begun_at_centre, begun_from, with_held
from assim.inference.known import Known
from assim.inference.loop import Watch
from assim.inference.prescribed import Prescribed, prescription
from assim.model import (
    MAY_CHANGE,
    AbstractConjugate,
    AbstractGridded,
    AbstractModel,
    AbstractPointwise,
    AbstractPopulation,
    AbstractSequential,
    AbstractStretched,
    Needs,
    named,
)
from assim.pointwise import Cells, Judged, judge, newest_cells, on_cells
from assim.populations import all_known, pose_population, unidentified
from assim.problem import Problem, count_parameters, pose, prepare
from assim.registry import settings_of
from assim.scoring import trained_on
from assim.sequential import judge_record, newest_readings, pose_record, require_whole, with_sensors
from assim.series import Layout, Series, origins_with_truth
from assim.snapshots import Snapshots
from assim.stretched import cautions_on
from assim.tree import (
    Fitted,
    arrays_dataset,
    fingerprint,
    fingerprint_of,
    model_attrs,
    require_key,
    restore,
    sites_dataset,
    stored,
    tree_of,
)
from assim.types import Key

AT_ONCE = Prior | Known | Prescribed
FEW_PARAMETERS = 1500
FEW_SIZES = 20
"""A model of fields with no more parameters has no network: they are sizes of its noise."""
KEPT = 0.8
"""A parameter that keeps this share of its prior sd is not told by the snapshots."""
UNTOLD = (
    "The snapshots do not tell '{}': its posterior is {:.2f} as wide as its prior; give a prior that you can stand "
    "by, or a reference without it."
)
NOTHING = "Nothing is unknown in this {}: {} had nothing to draw, and the posterior is one draw; leave method= out."
MOST_WINDOWS = 500_000
"""More than this many windows are not fitted: a random part of a long record tells the parameters as well."""


def infer(
    model: AbstractModel,
    ds: xr.Dataset,
    method: AbstractMethod | None = None,
    *,
    key: Key,
    init: xr.DataTree | None = None,
    hold: str | Iterable[str] = (),
    checkpoint: str | Path | None = None,
    progress: bool = False,
    pointwise: int = 200,
) -> xr.DataTree:
    r"""The posterior of a model given a record, $p(\theta \mid D)$, with what ArviZ needs to judge it.

    Args:
        model: a family with its settings, from `assim.models`.
        ds: the training record, as `open_dataset` and `split` give it, on a regular clock; file units. For
            `Mechanistic` a record of its system at any times, units of the system.
        method: a backend from `assim.inference`; None for `Exact` where the model has a closed form,
            `Prescribed` where it says how it is fitted, Gauss-Newton Laplace where parameters are few (of a model
            of populations `Adjusted(NUTS(dense_mass=True))` up to twenty), else SVI. Where nothing is unknown there
            is one draw at once, whatever is asked for.
        key: all randomness of the fit.
        init: an earlier posterior of the same model, to start from; its scaling is kept, the data may be new, and
            so may parts of the model that the earlier one was without.
        hold: sites of `init` that keep their values, by name or by the beginning of their names, as "net".
        checkpoint: file that keeps the state of a long fit; the same call resumes from it, bit for bit.
        progress: whether to show progress bars.
        pointwise: number of newest times whose one-step-ahead density is stored for ArviZ; 0 for none.

    Returns:
        A tree with `posterior`, `sample_stats`, and, on observed cells in file units, `observed_data`,
        `posterior_predictive` and `log_likelihood` (for `Prior`: `prior` and `prior_predictive` as well).

    Raises:
        ValueError: a record that cannot be fitted, and why.
        TypeError: a method that cannot serve the model; it names those that can. A seed in place of a key.
    """
    require_key(key)
    method = prescription(model, method, init is not None or bool(hold))
    watch = Watch(progress, None if checkpoint is None else _writable(checkpoint))
    earlier = None if init is None else _earlier(init, model)
    k_pose, k_run, k_judge = jax.random.split(key, 3)
    stored_of = None
    if isinstance(model, AbstractSequential):
        require_whole(method)
        problem, frame = pose_record(model, ds)
    elif isinstance(model, AbstractGridded):
        problem, frame = pose_fields(model, ds, earlier)
    elif isinstance(model, AbstractPopulation):
        problem, frame, stored_of = pose_population(model, ds, earlier)
    else:
        problem, frame = _posed(model, ds, earlier, key=k_pose)
    asked, method = method, chosen_method(problem, method)
    told = describe_frame(frame) if stored_of is None else stored_of
    attrs: dict[str, Any] = model_attrs(model, problem.layout, told, key) | {
        "method": json.dumps(settings_of(method)),
        "likelihood": _likelihood(model),
        "data_fingerprint": fingerprint(frame),
    }
    attrs |= trained_on(ds)
    if init is not None:
        attrs["init"] = json.dumps(
            [*(init.attrs.get(k) for k in ("data_fingerprint", "key", "created")), named(hold)]
        )
    watch = replace(watch, identity=_identity(attrs, problem))
    start = begun_at_centre(problem, model.centred(), key=k_run)
    if earlier is not None:
        start, held = begun_from(earlier.sites, problem, named(hold) or (), key=k_run)
        problem = replace(problem, held=held)
    elif isinstance(model, AbstractPopulation) and not isinstance(method, AT_ONCE):
        start = annealed(problem, key=k_run, watch=watch)
    elif hold:
        raise ValueError(f"hold={hold!r} keeps values of an earlier posterior: give it by init=.")
    draws = with_held(method.run(problem, key=k_run, watch=watch, start=start), problem.held)
    cells, judged, advice = None, None, list(draws.advice)
    convergence: dict[str, Any] = dict(draws.diagnostics)
    if isinstance(model, AbstractPointwise) and pointwise > 0:
        cells, judged = _judged(model, problem, frame, draws, pointwise, key=k_judge)
        convergence |= _convergence(judged, advice)
    if isinstance(model, AbstractPopulation) and not isinstance(method, AT_ONCE):
        kept = unidentified(problem, dict(draws.sites), key=k_judge)
        convergence |= {"posterior_over_prior": json.dumps(kept)} if kept else {}
        advice += [UNTOLD.format(k, v) for k, v in kept.items() if v >= KEPT]
    if isinstance(method, Known) and asked is not None:
        advice.append(NOTHING.format(type(model).__name__, type(asked).__name__))
    convergence["advice"] = "\n".join(advice)
    for sentence in advice:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    groups = _groups(draws, problem, frame, cells, judged)
    if isinstance(model, AbstractSequential) and cells is not None:
        groups = {name: with_sensors(group, cells) for name, group in groups.items()}
    if isinstance(model, AbstractGridded) and cells is not None:
        groups = {name: with_places(group, cells, problem.layout) for name, group in groups.items()}
    groups["sample_stats"].attrs = {k: v for k, v in convergence.items() if v}
    if isinstance(model, AbstractPopulation):
        groups["belief"] = ds.load().drop_encoding()
    elif not isinstance(model, AbstractSequential | AbstractGridded):
        groups["belief"] = _tail_of(ds, model.needs().context, frame)
    if isinstance(method, Prior):
        groups["prior"] = groups["posterior"]
        if "posterior_predictive" in groups:
            groups["prior_predictive"] = groups["posterior_predictive"]
    return tree_of(groups, attrs | convergence)


def _posed(
    model: AbstractModel, ds: xr.Dataset, earlier: Fitted | None, *, key: Key
) -> tuple[Problem, Frame]:
    """The problem of fitting a model to the windows of a record, and the record as arrays with labels."""
    needs = model.fitting()
    frame = frame_of(ds, needs.selection(), like=None if earlier is None else earlier.frame)
    if not any(frame.is_target):
        raise ValueError(
            "Every variable is a control or a covariate, so there is none to forecast: leave one out of them."
        )
    layout, series, sentences = Layout.of(frame), Series.of(frame), list[str]()
    if isinstance(model, AbstractStretched):
        sentences += cautions_on(model, series, frame, anew=earlier is None)
    pairs = _pairs(series, needs, frame, key=key)
    if earlier is None:
        problem = pose(model, series, pairs, layout, key=key)
        sentences += model.cautions(problem.constants)
    for sentence in sentences:
        warnings.warn(sentence, UserWarning, stacklevel=3)
    if earlier is None:
        return problem, frame
    runs = describe_frame(frame)["stations"]
    if "runs" in earlier.constants and runs != earlier.frame["stations"]:
        raise ValueError(
            "init= holds numbers of the runs that it was fitted to, and the record has others: fit anew."
        )
    examples = prepare(model, series, pairs, layout, earlier.constants, needs, key=key)
    return Problem(model, earlier.constants, examples, layout), frame


def _judged(
    model: AbstractPointwise,
    problem: Problem,
    frame: Frame,
    draws: Draws,
    count: int,
    *,
    key: Key,
) -> tuple[Cells, Judged]:
    """The readings at the newest `count` times, and what the draws say of them."""
    sites: dict[str, Any] = draws.sites
    if isinstance(model, AbstractSequential):
        cells = newest_readings(frame, count)
        return cells, judge_record(model, problem, cells, sites, key=key)
    if isinstance(model, AbstractGridded):
        cells = newest_places(problem, frame, count)
        return cells, judge_fields(model, problem, frame, cells, sites, key=key)
    cells = newest_cells(series := Series.of(frame), problem.layout, count)
    return cells, judge(model, problem, series, frame, cells, sites, draws.centre, key=key)


def _likelihood(model: AbstractModel) -> str:
    """What kind of likelihood a model has."""
    if isinstance(model, AbstractSequential):
        return "marginal"
    if isinstance(model, AbstractGridded) and model.horizon == 1:
        return "exact"
    if isinstance(model, AbstractGridded | AbstractPopulation):
        return "composite"
    fitting = model.fitting()
    if fitting.context < model.needs().context:  # stretches that begin anew
        if fitting.stride < fitting.horizon:
            return "composite"
        return "marginal" if isinstance(model, AbstractPointwise) else "bound"
    if model.needs().horizon > 1:  # overlapping windows score a reading once for each lead
        return "composite"
    return "exact" if isinstance(model, AbstractPointwise) else "bound"


def _earlier(init: xr.DataTree, model: AbstractModel) -> Fitted:
    told, mine = stored(init, "model") if "model" in init.attrs else {}, settings_of(model)
    if told.get("type") != mine["type"] or told == mine:
        return restore(init, model=model)
    fitted = restore(init)
    told = settings_of(fitted.model)
    free = {f.name for f in fields(model) if MAY_CHANGE.items() <= f.metadata.items()}
    kept = {k: v for k, v in told.items() if v is not None and k not in free}
    if any(mine.get(name) != value for name, value in kept.items()):
        raise ValueError(
            "init= holds the posterior of the same family with other settings: "
            "start from a tree of the same settings, or use restore(init).model."
        )
    return fitted


def _writable(checkpoint: str | Path) -> Path:
    path, folder = Path(checkpoint), Path(checkpoint).parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return path
    raise OSError(
        f"The checkpoint {path} cannot be written, since {folder} is no folder that may be written to: make it."
    )


def _pairs(series: Series, needs: Needs, frame: Frame, *, key: Key) -> jax.Array:
    pairs = origins_with_truth(
        series, needs.context, needs.horizon, overhang=needs.overhang, stride=needs.stride
    )
    if len(pairs) < needs.fewest:
        raise ValueError(
            f"The record has {len(pairs)} usable windows ({len(frame.times)} times; {needs.context} of context and "
            f"{needs.horizon} ahead are needed, with the controls known); at least {needs.fewest} are needed: "
            "give a longer record, a shorter context (lags, or the window, of the model) or a shorter horizon."
        )
    if len(pairs) > MOST_WINDOWS:
        warnings.warn(
            f"The record has {len(pairs)} windows; {MOST_WINDOWS} of them, chosen at random, are fitted.",
            UserWarning,
            stacklevel=4,
        )
        chosen = jax.random.choice(key, len(pairs), (MOST_WINDOWS,), replace=False)
        pairs = pairs[np.sort(chosen)]
    return jnp.asarray(pairs)


def chosen_method(problem: Problem, asked: AbstractMethod | None) -> AbstractMethod:
    """What was asked for, else exact or nearly so where parameters are few, variational where they are many."""
    if isinstance(problem.model, AbstractPopulation) and all_known(problem):
        return Known()
    if asked is not None:
        return asked
    if isinstance(problem.model, AbstractConjugate):
        return Exact()
    few = count_parameters(problem)
    if isinstance(problem.model, AbstractPopulation):
        chains = NUTS(dense_mass=True)
        return SVI() if few > FEW_SIZES else Adjusted(chains) if tells(problem, few) else chains
    if isinstance(problem.model, AbstractGridded):
        if few <= FEW_SIZES and not problem.model.at_random():
            return Laplace(GaussNewton(), Ascent(300, 2e-2, 32, polish=30), num_draws=50)
        # so many draws of so many weights fit nowhere
        return EnsembleMAP(3, num_steps=4000, batch_size=32)
    if few <= FEW_PARAMETERS and isinstance(problem.model, AbstractPointwise):
        return Laplace(GaussNewton(), ascent=Ascent(num_steps=1000, polish=100))
    return SVI()


def _identity(attrs: dict[str, Any], problem: Problem) -> str:
    """What a checkpoint is of: the fit as it was asked for, what its record told, and who is who in that."""
    told = ("model", "method", "key", "data_fingerprint", "init")
    counted, seen = problem.constants, problem.examples
    if isinstance(seen, Snapshots):
        counted = counted | {"weight": seen.weight} | ({} if seen.id is None else {"id": seen.id})
    return json.dumps([*(attrs.get(k) for k in told), fingerprint_of(counted)])


def _convergence(judged: Judged, advice: list[str]) -> dict[str, float]:
    """R-hat of predictions where there are chains to compare."""
    chains, draws = judged.location.shape[:2]
    if chains < 2 or draws < 4:
        return {}
    from numpyro.diagnostics import split_gelman_rubin

    r_hat = split_gelman_rubin(judged.location[..., :: max(judged.location.shape[-1] // 200, 1)])
    worst, middle = float(np.nanpercentile(r_hat, 95)), float(np.nanmedian(r_hat))
    if worst > 1.05:
        advice.append(
            f"The chains do not yet agree on predictions (r-hat {worst:.2f} at the 95th percentile, "
            "1.05 or less is wanted): sample longer, or raise max_tree_depth."
        )
    return {"r_hat_predictions_median": middle, "r_hat_predictions_95": worst}


def _groups(
    draws: Draws, problem: Problem, frame: Frame, cells: Cells | None, judged: Judged | None
) -> dict[str, xr.Dataset]:
    stats = xr.Dataset({k: (("chain", "draw"), np.asarray(v)) for k, v in draws.stats.items()})
    for name, curve in draws.curves.items():
        stats[name] = xr.DataArray(np.asarray(curve), dims=["step"])
    groups = {
        "posterior": sites_dataset(draws.sites),
        "sample_stats": stats,
        "constant_parameters": arrays_dataset(constants=problem.constants, centre=draws.centre),
    }
    if cells is None or judged is None:
        return groups
    y = frame.y[cells.run, cells.row, cells.channel]
    drawn = ("chain", "draw")
    known = {"sd": frame.sd[cells.run, cells.row, cells.channel]}
    known |= {
        name: np.nan_to_num(frame.u[cells.run, cells.row, i]) for i, name in enumerate(frame.inputs)
    }
    return groups | {
        "observed_data": xr.Dataset({"y": on_cells(y, frame, cells, ())}),
        "posterior_predictive": xr.Dataset({"y": on_cells(judged.predictive, frame, cells, drawn)}),
        "log_likelihood": xr.Dataset(
            {"y": on_cells(_dithered(judged.log_likelihood), frame, cells, drawn)}
        ),
        "constant_data": xr.Dataset({k: on_cells(v, frame, cells, ()) for k, v in known.items()}),
    }


def _dithered(log_likelihood: np.ndarray) -> np.ndarray:
    """With a millionth of a nat on cells that all draws score alike, which ArviZ's smoothing refuses."""
    alike = np.ptp(log_likelihood, axis=(0, 1)) == 0
    noise = np.random.default_rng(0).normal(0.0, 1e-6, log_likelihood.shape)
    return np.where(alike, log_likelihood.astype(float) + noise, log_likelihood)


def _tail_of(ds: xr.Dataset, context: int, frame: Frame) -> xr.Dataset:
    """The end of the record, from which a forecast goes on."""
    names = {n.partition("@")[0] for n in frame.channels} | set(frame.inputs[: frame.num_controls])
    names |= {f"{n}_sd" for n in names if f"{n}_sd" in ds}
    start = frame.times[-min(context + 1, len(frame.times))]
    keep = [d for d in ("time", *INSTANCES) if d in ds.coords]
    tail = ds[sorted(names)].sel(time=slice(start, None)).load().drop_encoding()
    return tail.drop_vars([c for c in tail.coords if c not in tail.dims and c not in keep])
