"""Bayesian forecasting and data assimilation for sensor files.

The verbs take labelled data and give an `xarray.DataTree`; models, inference backends and systems are
plain objects handed to them. Names are imported when first used, so `import assim` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assim import data as data
    from assim import filters as filters
    from assim import inference as inference
    from assim import koopman as koopman
    from assim import models as models
    from assim import plotting as plotting
    from assim import report as report
    from assim import scoring as scoring
    from assim import systems as systems
    from assim.assimilating import assimilate as assimilate
    from assim.attributing import attribute as attribute
    from assim.backtesting import backtest as backtest
    from assim.calibrating import conformal as conformal
    from assim.calibrating import intervals as intervals
    from assim.comparing import compare as compare
    from assim.comparing import table as table
    from assim.crossval import lfo_cv as lfo_cv
    from assim.data import align as align
    from assim.data import describe as describe
    from assim.data import frame_features as frame_features
    from assim.data import join_rates as join_rates
    from assim.data import list_datasets as list_datasets
    from assim.data import load_dataset as load_dataset
    from assim.data import open_dataset as open_dataset
    from assim.data import open_groups as open_groups
    from assim.data import rolling_origins as rolling_origins
    from assim.data import stack_snapshots as stack_snapshots
    from assim.data import take_snapshots as take_snapshots
    from assim.data import to_cf as to_cf
    from assim.diagnosing import accustom as accustom
    from assim.diagnosing import diagnose as diagnose
    from assim.forecasting import forecast as forecast
    from assim.generating import generate as generate
    from assim.inferring import infer as infer
    from assim.pooling import pool as pool
    from assim.reconstructing import reconstruct as reconstruct
    from assim.regridding import regrid as regrid
    from assim.simulating import simulate_runs as simulate_runs
    from assim.splitting import split as split
    from assim.switching import regimes as regimes
    from assim.tree import restore as restore
    from assim.tuning import tune as tune
    from assim.twin import twin_experiment as twin_experiment
    from assim.verifying import elpds as elpds
    from assim.verifying import exceedance as exceedance
    from assim.verifying import verify as verify
    from assim.verifying_assimilation import verify_assimilation as verify_assimilation

_HOME = {
    # the verbs
    "infer": "assim.inferring",
    "assimilate": "assim.assimilating",
    "reconstruct": "assim.reconstructing",
    "tune": "assim.tuning",
    "forecast": "assim.forecasting",
    "attribute": "assim.attributing",
    "generate": "assim.generating",
    "pool": "assim.pooling",
    "compare": "assim.comparing",
    "table": "assim.comparing",
    "verify": "assim.verifying",
    "elpds": "assim.verifying",
    "exceedance": "assim.verifying",
    "accustom": "assim.diagnosing",
    "diagnose": "assim.diagnosing",
    "verify_assimilation": "assim.verifying_assimilation",
    "lfo_cv": "assim.crossval",
    "backtest": "assim.backtesting",
    "conformal": "assim.calibrating",
    "intervals": "assim.calibrating",
    "regimes": "assim.switching",
    "regrid": "assim.regridding",
    "restore": "assim.tree",
    "twin_experiment": "assim.twin",
    "simulate_runs": "assim.simulating",
    # data in and out
    "open_dataset": "assim.data",
    "open_groups": "assim.data",
    "load_dataset": "assim.data",
    "list_datasets": "assim.data",
    "describe": "assim.data",
    "align": "assim.data",
    "frame_features": "assim.data",
    "join_rates": "assim.data",
    "split": "assim.splitting",
    "take_snapshots": "assim.data",
    "stack_snapshots": "assim.data",
    "rolling_origins": "assim.data",
    "to_cf": "assim.data",
}
_NAMESPACES = (
    *("data", "filters", "inference", "koopman", "models"),
    *("plotting", "report", "scoring", "systems"),
)

__all__ = [*_HOME, *_NAMESPACES]


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return import_module(f"assim.{name}")
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name == "__version__":
        from importlib.metadata import version

        value = version("assim")
    else:
        raise AttributeError(f"module 'assim' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
