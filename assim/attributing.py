r"""`attribute`: what a forecast owes to each sensor at each lag, and to each planned control at each lead.

$$\sum_i \mathrm{IG}_i(x) = F(x) - F(x')$$

Integrated gradients (Sundararajan, Taly and Yan 2017) from a baseline x' to the window x of an origin, with F the
predictive mean, the log of the aleatoric variance and the epistemic variance at one lead
(`assim.integrated_gradients`).
"""

import json
import math
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.attributing_baselines import Baseline, baselines_of, windows_of
from assim.attributing_labels import labelled
from assim.continuing import continued
from assim.data.framing import Frame, frame_of
from assim.data.stepping import Steps
from assim.forecasting_populations import Origins
from assim.integrated_gradients import Attributed, Baselines, integrated_gradients, serves
from assim.model import AbstractModel, AbstractWindowless
from assim.origins import duration, in_steps, last_row, origin_rows, with_plan
from assim.series import Layout, Series
from assim.statespace import AbstractForecaster, AbstractStateSpace
from assim.tree import Fitted, model_attrs, read_tree, require_key, restore, tree_of
from assim.types import Key, Sites

ORIGINS = 16
"""Origins under one call, or the next power of two where there are fewer: so few shapes are ever compiled."""
INCOMPLETE = 1e-2
"""An error of completeness above this is worth a word."""


def attribute(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset | None = None,
    lead: str | int = 1,
    *,
    key: Key,
    variable: str | None = None,
    origins: Origins = "last",
    baseline: Baseline = None,
    num_baselines: int = 16,
    points: int = 32,
    num_draws: int | None = 100,
    model: AbstractModel | None = None,
) -> xr.DataTree:
    r"""What a forecast owes to its inputs: integrated gradients of its mean, its noise and its ignorance.

    Args:
        post: the posterior tree, or its path; of a model that looks back through a lag window, as `Autoregressive`.
        ds: the record up to the origins, file units, with the plan of the controls at every lead that the model
            reads. None for the end of the training record.
        lead: which lead is explained, as a duration ("500ms") or a number of steps. Where the model rolls out step
            by step, a lead above 1 is that of the mean path, and the log variance that of the last step alone.
        key: draws the windows of a baseline that is a record.
        variable: the target that is explained; None for all.
        origins: "last"; a duration between origins ("6h"), counted back from the last time; a list of times; None
            for one every lead. Of those that are not listed, the ones whose plan every run knows.
        baseline: what the forecast is held against: None for the training mean of every reading and control; a time
            of `ds`, or several, for the window that ends there in each run; a record, file units, for windows of
            it. Attributions are averaged over windows: of training data these are expected gradients, of a stretch
            of one operating point they tell of what has changed since.
        num_baselines: windows that are drawn from a record, without replacement.
        points: midpoints on each path.
        num_draws: posterior draws used, evenly spaced; None for all.
        model: the model, where it is of a class of your own; None to make it from the settings in the tree.

    Returns:
        A tree with the groups `mean`, `log_variance` and `epistemic_variance`. Each holds `attribution` ([chain,
        draw,] [station,] init_time, target, sensor, offset): of readings at offsets up to 0, of controls after it,
        NaN where there is no such input, and 0 where a reading is missing. Those of the mean are in the `units` of
        the target, of the epistemic variance in these squared, of the log without any. `change` is what they should
        add up to. `share` (target, sensor) is the share of each sensor in the sum of absolute attributions, these
        averaged over draws first: that of the mean forecast. `share_draws` is that of each draw by itself, and its
        spread is around its own mean, not around `share`, in which draws of opposite sign cancel.
        `completeness_error` ([station,] init_time, target) is the error of the sum as a share of the largest
        change. The epistemic variance is one number of all draws together; of a single one it is NaN.

    Raises:
        ValueError: a lead beyond the model's own, a plan that does not reach as far as the model reads, an origin
            or a baseline off the record, no such target.
        TypeError: a model that does not forecast from a lag window; a seed in place of a key.
    """
    require_key(key)
    if min(points, num_baselines, 1 if num_draws is None else num_draws) < 1:
        raise ValueError(
            f"points={points}, num_baselines={num_baselines}, num_draws={num_draws}: give 1 or more of each."
        )
    tree = read_tree(post) if isinstance(post, str | Path) else post
    fitted = restore(tree, model=model)
    whole, needs = isinstance(_serving(fitted), AbstractForecaster), fitted.model.needs()
    selection = needs.selection(tuple(fitted.frame["calendar"]))
    frame = frame_of(continued(fitted, ds), selection, like=fitted.frame)
    targets, steps = _targets(frame, variable), Steps(frame.step)
    at = in_steps(lead, steps, "lead")
    if whole and at > needs.horizon:
        raise ValueError(
            f"The model was fitted for {needs.horizon} leads and lead {at} is asked for: ask for one of them, or "
            f"fit it again for a horizon of {at} steps."
        )
    ahead = needs.horizon if whole else at
    first = None if ds is None else ds["time"].values[0]
    rows = origin_rows(frame.times, steps, last_row(frame), origins, at, first)
    some = origins is None or isinstance(origins, str)
    rows = with_plan(frame, rows, ahead, some=some, shorter=not whole and at > 1)
    frame = frame.extended(ahead)  # the calendar goes on beyond the record
    starts, words = baselines_of(fitted, frame, baseline, num_baselines, ahead, key=key)
    sites = fitted.thinned(num_draws)
    told = _explained(fitted, frame, rows, starts, sites, at, ahead, targets, points)
    chains, draws = next(iter(sites.values())).shape[:2]
    groups = labelled(told, frame, rows, targets, (chains, draws), needs.context)
    _say_incomplete(groups, points)
    attrs = model_attrs(fitted.model, fitted.layout, fitted.frame, key) | {
        "method": tree.attrs.get("method", ""),
        "lead": duration(at, steps),
        "path": "all leads at once" if whole else "one step" if at == 1 else "mean roll-out",
        "baseline": words,
        "points": json.dumps(points),
        "num_draws": json.dumps(num_draws),
    }
    return tree_of(groups, attrs)


def _serving(fitted: Fitted) -> AbstractStateSpace:
    """What the state space of a draw is like.

    Raises:
        TypeError: its forecasts are no function of the readings of a window.
    """
    if not isinstance(fitted.model, AbstractWindowless) and "mean" in fitted.constants:
        one = {k: v[0, 0] for k, v in fitted.sites.items()}
        ssm = eqx.filter_eval_shape(lambda: fitted.state_space(one))
        if serves(ssm):
            return ssm
    raise TypeError(
        f"{type(fitted.model).__name__} does not forecast from a lag window, and integrated gradients are of its "
        "readings: use assim.attribute with Autoregressive, VAR or Departures of assim.models."
    )


def _targets(frame: Frame, variable: str | None) -> tuple[int, ...]:
    names = [n for n, target in zip(frame.channels, frame.is_target, strict=True) if target]
    if variable is not None and variable not in names:
        raise ValueError(f"The model has no target '{variable}': choose of {', '.join(names)}.")
    return tuple(frame.channels.index(n) for n in names if variable in (None, n))


def _explained(
    fitted: Fitted,
    frame: Frame,
    rows: np.ndarray,
    starts: Baselines,
    sites: Sites,
    lead: int,
    ahead: int,
    targets: tuple[int, ...],
    points: int,
) -> Attributed:
    """The attributions of each run and row, run by run, a few at a time; NumPy arrays."""
    layout, series = Layout.of(frame), Series.of(frame)
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    fixed = (layout, fitted.constants, fitted.centre)
    pairs = np.array([(run, row) for run in range(frame.y.shape[0]) for row in rows])
    size = min(ORIGINS, 2 ** math.ceil(math.log2(len(pairs))))
    parts = []
    for start in range(0, len(pairs), size):
        here = pairs[np.minimum(np.arange(start, start + size), len(pairs) - 1)]
        cut_out, runs = windows_of(fitted, series, here, ahead), jnp.asarray(here[:, 0])
        told = integrated_gradients(
            *(fitted.model, fixed, flat, cut_out, runs, starts),
            lead=lead,
            targets=targets,
            points=points,
        )
        parts.append(jax.tree.map(np.asarray, told))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(pairs)], *parts)


def _say_incomplete(groups: dict[str, xr.Dataset], points: int) -> None:
    worst = {name: float(found["completeness_error"].max()) for name, found in groups.items()}
    wrong = [name.replace("_", " ") for name, error in worst.items() if error > INCOMPLETE]
    if wrong:
        warnings.warn(
            f"The attributions of the {', '.join(wrong)} miss what they should add up to by up to "
            f"{np.nanmax(list(worst.values())):.2g} of the largest change: ask for more points= than {points}.",
            UserWarning,
            stacklevel=3,
        )
