"""Out-of-sample log scores as ArviZ's expected log predictive density.

``elpd = sum_i log p(y_i | data before the origin)`` over the scored cells: no importance sampling,
so that a family without a pointwise likelihood enters the same table. The standard error
``sqrt(n var_i)`` takes cells as independent, which neighbouring leads and origins are not: it is
too small, and the interval of `skill.gain` is the one to quote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDData

PATHS = "simulated paths, each lead by itself: sum over h of log p(y[t+h] | y[..t])"
"""How a block of leads is scored by forecasts: what was read within the block is not used."""
CHAIN = "chain rule with observed lags: sum over h of log p(y[t+h] | y[..t+h-1])"
"""How a block of leads is scored by `lfo_cv`: each reading given the true ones before it."""


def elpd(log_score: xr.DataArray, draws: int, name: str = "the forecast") -> ELPDData:
    """Wrap pointwise log scores for `az.compare`.

    Args:
        log_score: (obs_id), log predictive density of each cell, in log of one over its units.
        draws: the number of paths behind them.
        name: the model, for messages.

    Returns:
        An `ELPDData` with `elpd_i`, whose attribute `block_scoring` says how leads are scored; `p` is NaN, since
        nothing was held in.

    Raises:
        ValueError: if a score is not finite.
    """
    values = np.asarray(log_score.values, dtype=float)
    if not values.size or not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"The log score of '{name}' is not finite at {bad} of {values.size} cells, so that "
            "az.compare cannot rank it; leave this model out, or the cells that it holds "
            "impossible."
        )
    import arviz as az

    return az.ELPDData(
        elpd=float(values.sum()),
        se=float(np.sqrt(values.size * values.var())),
        p=np.nan,
        n_samples=draws,
        n_data_points=values.size,
        scale="log",
        warning=False,
        good_k=0.7,
        elpd_i=log_score.astype(float).assign_attrs(block_scoring=PATHS),
        pareto_k=None,
    )
