r"""Leave-future-out: fit on what came before, score what came next, move on (Bürkner, Gabry and Vehtari 2020).

$$\text{elpd} = \sum_{i \ge L} \log p(y_{i:i+M-1} \mid y_{<i}), \qquad
p(y_{i:i+M-1} \mid y_{<i}) = \mathbb E_{\theta \mid y_{<i}} \prod_{m<M} p(y_{i+m} \mid y_{<i+m}, \theta)$$

The index $i$ counts the times with a reading of a target; all channels and stations of a time are scored together.
Exact: every expectation is over a fit of its own. Approximate: a fit is carried on by Pareto-smoothed importance
weights, and renewed where these fail. The bookkeeping is ArviZ's, the fits are those of `assim.refitting`.

A block is scored by the chain rule with observed lags. That is another number than the score of simulated paths,
each lead by itself, which `assim.backtest` gives: for blocks of more than one time the two are not comparable.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from assim.data.framing import Frame, frame_of
from assim.inference import AbstractMethod
from assim.inference.progress import Progress
from assim.inferring import infer
from assim.model import AbstractModel, AbstractPointwise, Needs
from assim.pointwise import Cells, judge, newest_cells
from assim.problem import Problem
from assim.refitting import Refits
from assim.registry import made_from
from assim.scoring.elpd import CHAIN
from assim.series import Series
from assim.tree import Fitted, fingerprint, require_key, restore, sites_dataset, tree_of
from assim.types import Key

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLFO


def lfo_cv(
    post_or_model: xr.DataTree | AbstractModel,
    ds: xr.Dataset,
    method: AbstractMethod | None = None,
    *,
    key: Key,
    min_observations: int,
    forecast_horizon: int = 1,
    how: str = "approx",
    k_threshold: float = 0.7,
    progress: bool = False,
) -> ELPDDataLFO:
    """Leave-future-out cross-validation by `az.lfo_cv`: the model is fitted to the past and scored on the future.

    A later reading of the scored block is scored given the true ones before it, as ArviZ has it; `assim.backtest`
    scores simulated paths instead, each lead by itself, and `elpd_i.attrs["block_scoring"]` says which it is.

    Args:
        post_or_model: a posterior tree of this record, or a model that is fitted to it first.
        ds: the record, file units.
        method: the backend of every fit; None for that of the tree (of a model: what `infer` takes).
        key: all randomness; a refit's key is folded from the time that it stops at.
        min_observations: scored times before the first origin: those with a reading of a target, but for the first
            row of the record, which nothing precedes.
        forecast_horizon: number of times scored together from each origin.
        how: "exact" for a refit at every origin, "approx" for importance weights between refits.
        k_threshold: Pareto k above which "approx" refits.
        progress: whether to show a progress bar over the origins.

    Returns:
        ArviZ's `ELPDDataLFO`, in log of one over file units, pointwise along `time`.

    Raises:
        ValueError: a record too short for `min_observations`, a tree of another record, or "approx" for a
            likelihood that is not the one-step density of the targets.
        TypeError: a model without a density for each reading.
    """
    import arviz as az

    require_key(key)
    k_full, k_refit = jax.random.split(key)
    given = post_or_model
    model = _scorable(given if isinstance(given, AbstractModel) else restore(given).model)
    _require_one_step(how, model.fitting())
    if isinstance(given, AbstractModel):
        post = infer(model, ds, method, key=k_full, pointwise=0)
    else:
        post = given
    method = made_from(json.loads(post.attrs["method"])) if method is None else method
    full = restore(post, model=model)
    frame = _frame(ds, model.fitting(), full)
    if fingerprint(frame) != post.attrs["data_fingerprint"]:
        raise ValueError(
            "The tree was fitted on another record than the one given: give the record of the fit, or the model "
            "(assim.restore(tree).model), which is then fitted here."
        )
    with Progress(progress, "leave future out", len(frame.times) - min_observations) as bar:
        refits = Refits(model, method, ds)
        scored = _Scored(refits, full, frame, min_observations, k_refit, bar)
        _require_room(min_observations, forecast_horizon, len(scored.times))
        tree = {"log_likelihood": xr.Dataset({"y": scored.score(full)})}
        found = az.lfo_cv(
            tree_of(tree | {"posterior": post["posterior"].to_dataset()}, {}),
            _wrapper(scored),
            min_observations,
            forecast_horizon,
            pointwise=True,
            method=how,
            k_threshold=k_threshold,
        )
    found.elpd_i.attrs["block_scoring"] = CHAIN
    for sentence in refits.advice:
        warnings.warn(sentence, UserWarning, stacklevel=2)
    return found


class _Scored:
    """The scored times of a record, with fits to what came before each of them.

    Args:
        refits: the fits.
        full: the fit to the whole record, for what its windows look like.
        frame: that record, as that fit saw it.
        first: number of scored times before the first origin.
        key: all randomness.
        bar: moves on with the origins.
    """

    def __init__(
        self, refits: Refits, full: Fitted, frame: Frame, first: int, key: Key, bar: Progress
    ):
        self.refits, self.key, self.bar = refits, key, bar
        self.model = _scorable(refits.model)
        every = newest_cells(refits.series, full.layout, len(frame.times))
        self.times = frame.times[np.unique(every.row)]
        self.cells = every if first >= len(self.times) else _from(every, frame, self.times[first])
        self.size = refits.count(np.ones(frame.y.shape[:2], bool))
        self.reached = first

    def fit(self, count: int) -> Fitted:
        """The posterior given what came before the scored time number `count`."""
        self.bar.advance(count - self.reached, {})
        self.reached, whole = count, self.refits.frame
        seen = np.broadcast_to(whole.times < self.times[count], whole.y.shape[:2])
        frame, pairs = self.refits.part(seen)
        if len(pairs) < self.refits.needs.fewest:
            raise ValueError(
                f"There are {len(pairs)} usable windows before {self.times[count]} and at least "
                f"{self.refits.needs.fewest} are needed for a fit: raise min_observations."
            )
        key = jax.random.fold_in(self.key, count)
        return self.refits.fit(frame, pairs, size=self.size, key=key)

    def score(self, fitted: Fitted) -> xr.DataArray:
        """The log density of all that was read at each time from the first origin on, (chain, draw, time)."""
        frame = _frame(self.refits.ds, self.refits.needs, fitted)
        problem = Problem(self.model, fitted.constants, {}, fitted.layout)
        judged = judge(
            self.model,
            problem,
            Series.of(frame),
            frame,
            self.cells,
            fitted.sites,
            fitted.centre,
            key=self.key,
        )
        chains, draws = judged.log_likelihood.shape[:2]
        log_p = np.zeros((chains, draws, len(self.times)))
        at = np.searchsorted(self.times, frame.times[self.cells.row])
        for cell, number in enumerate(at):
            log_p[..., number] += judged.log_likelihood[..., cell]
        coords = {"chain": np.arange(chains), "draw": np.arange(draws), "time": self.times}
        return xr.DataArray(log_p, coords, ["chain", "draw", "time"])


def _wrapper(scored: _Scored) -> Any:
    """The fits as ArviZ asks for them; a part of the data is told by the number of the first time left out."""
    import arviz as az

    class Wrapper(az.SamplingWrapper):
        """`fit` and `score` for ArviZ."""

        def sel_observations(self, idx: np.ndarray) -> tuple[int, int]:
            return int(idx[0]), int(idx[0])

        def sample(self, modified_observed_data: int) -> Fitted:
            self.fitted = scored.fit(modified_observed_data)
            return self.fitted

        def get_inference_data(self, fitted_model: Fitted) -> xr.DataTree:
            sites = {k: np.asarray(v) for k, v in fitted_model.sites.items()}
            return tree_of({"posterior": sites_dataset(sites)}, {})

        def log_likelihood__i(self, excluded_obs: int, idata__i: xr.DataTree) -> xr.DataArray:
            return scored.score(self.fitted).isel(time=slice(excluded_obs, None))

    return Wrapper(scored.model)


def _from(cells: Cells, frame: Frame, start: np.datetime64) -> Cells:
    """The cells from a time on."""
    kept = frame.times[cells.row] >= start
    used, window = np.unique(cells.window[kept], return_inverse=True)
    return Cells(cells.pairs[used], window, cells.channel[kept])


def _scorable(model: AbstractModel) -> AbstractPointwise:
    if not isinstance(model, AbstractPointwise):
        raise TypeError(
            f"lfo_cv needs a density for each reading, which {type(model).__name__} does not have: score its "
            "forecasts with assim.compare instead."
        )
    return model


def _require_one_step(how: str, needs: Needs) -> None:
    if how not in ("approx", "exact"):
        raise ValueError(f"how={how!r} is unknown: choose 'approx' or 'exact'.")
    if how == "approx" and (needs.horizon > 1 or needs.covariates):
        raise ValueError(
            "how='approx' carries a fit on by the one-step density of the targets, and this model is fitted to "
            "more than that (several leads, or covariates): use how='exact'."
        )


def _require_room(min_observations: int, forecast_horizon: int, count: int) -> None:
    if min_observations < 1 or forecast_horizon < 1 or min_observations + forecast_horizon > count:
        raise ValueError(
            f"min_observations={min_observations} and forecast_horizon={forecast_horizon} do not fit a record with "
            f"{count} scored times: each is at least 1, and their sum at most {count}."
        )


def _frame(ds: xr.Dataset, needs: Needs, fitted: Fitted | None) -> Frame:
    """The frame of a record; with the scaling of a fit, where one is given."""
    calendar = None if fitted is None else tuple(fitted.frame["calendar"])
    return frame_of(ds, needs.selection(calendar), like=None if fitted is None else fitted.frame)
