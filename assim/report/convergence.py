"""Did the fit converge? R-hat, divergences, k-hat of a guide, Pareto k, the loss, and the advice that was given."""

from __future__ import annotations

import warnings

import numpy as np
import xarray as xr

from assim.report.provenance import short_name

COLUMNS = (
    "fit",
    "method",
    "likelihood",
    "chains × draws",
    "worst r-hat",
    "r-hat of predictions",
    "divergences",
    "k-hat of the guide",
    "Pareto k > 0.7",
    "last loss",
)
MOST_PARAMETERS = 500
FEWEST_DRAWS = 100
HIGHEST_R_HAT = 1.05
RANKABLE = ("exact", "marginal")
"""Likelihoods of which az.loo makes an estimate; a bound or a composite of overlapping windows is none."""


def convergence(name: str, tree: xr.DataTree) -> tuple[list[object], list[str]]:
    """Sum up how one fit went.

    Args:
        name: of the fit.
        tree: the fitted tree.

    Returns:
        A row for `COLUMNS`, and the sentences of advice.
    """
    posterior = tree["posterior"]
    chains, draws = posterior.sizes.get("chain", 1), posterior.sizes.get("draw", 0)
    share, said = _pareto(tree)
    r_hat, of_predictions = _worst_r_hat(posterior.to_dataset()), _r_hat_of_predictions(tree)
    if r_hat > HIGHEST_R_HAT and np.isnan(of_predictions):
        said += [
            f"The chains differ in their parameters (r-hat {r_hat:.2f}, {HIGHEST_R_HAT} or less is wanted), and "
            "whether their predictions agree is not known: sample longer."
        ]
    advice = [line for line in str(tree.attrs.get("advice", "")).splitlines() if line] + said
    diverging = _stat(tree, "diverging")
    loss = _stat(tree, "loss")
    finite = loss[np.isfinite(loss)] if loss is not None else np.array([])
    row: list[object] = [
        name,
        short_name(tree.attrs.get("method")),
        tree.attrs.get("likelihood", "–"),
        f"{chains} × {draws}",
        r_hat,
        of_predictions,
        "–" if diverging is None else f"{int(diverging.sum())}",
        float(tree.attrs.get("k_hat", np.nan)),
        share,
        float(finite[-1]) if finite.size else np.nan,
    ]
    return row, advice


def _stat(tree: xr.DataTree, name: str) -> np.ndarray | None:
    """Read one of the sampler's statistics, if it was recorded."""
    if "sample_stats" not in tree.children or name not in tree["sample_stats"].data_vars:
        return None
    return tree["sample_stats"].to_dataset()[name].values


def _r_hat_of_predictions(tree: xr.DataTree) -> float:
    """Read r-hat of the predictions at its 95th percentile; NaN where it was not taken."""
    return float(tree.attrs.get("r_hat_predictions_95", np.nan))


def _worst_r_hat(posterior: xr.Dataset) -> float:
    """Find the largest r-hat over (at most 500) parameters; NaN for one chain."""
    if posterior.sizes.get("chain", 1) < 2 or posterior.sizes.get("draw", 0) < 4:
        return float("nan")
    import arviz as az

    flat = np.concatenate(
        [
            v.transpose("chain", "draw", ...).values.reshape(*v.shape[:2], -1)
            for v in _real(posterior)
        ],
        axis=-1,
    )
    step = max(1, flat.shape[-1] // MOST_PARAMETERS)
    thinned = xr.Dataset({"parameter": (("chain", "draw", "element"), flat[..., ::step])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        values = az.rhat(thinned)["parameter"].values
    return float(np.nanmax(values)) if np.isfinite(values).any() else float("nan")


def _real(posterior: xr.Dataset) -> list[xr.DataArray]:
    """Take the variables that hold real numbers for each draw."""
    return [
        v
        for v in posterior.data_vars.values()
        if {"chain", "draw"} <= set(v.dims) and v.dtype.kind == "f"
    ]


def _pareto(tree: xr.DataTree) -> tuple[str, list[str]]:
    """Count the cells that importance sampling cannot leave out."""
    if "log_likelihood" not in tree.children or tree.attrs.get("likelihood") not in RANKABLE:
        return "–", []
    log_likelihood = tree["log_likelihood"]
    if log_likelihood.sizes.get("chain", 1) * log_likelihood.sizes.get("draw", 0) < FEWEST_DRAWS:
        return "–", []
    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            k = az.loo(tree, pointwise=True).pareto_k.values
        except (ValueError, TypeError, KeyError) as error:
            return "–", [f"Leave-one-out could not be computed: {str(error).splitlines()[0]}"]
    bad = int((k > 0.7).sum())
    said = []
    if bad > 0.01 * k.size:
        said = [
            f"{bad} of {k.size} cells have a Pareto k above 0.7, so that az.loo is not to be "
            "trusted there; compare by out-of-sample scores, or by assim.lfo_cv."
        ]
    return f"{bad} of {k.size}", said
