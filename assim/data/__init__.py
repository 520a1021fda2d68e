"""The data layer: labelled data in, labelled data out, and no JAX.

Names are imported when first used, so that the array floors can take a frame from here without opening a file.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assim.data.aligning import align as align
    from assim.data.datasets import list_datasets as list_datasets
    from assim.data.datasets import load_dataset as load_dataset
    from assim.data.describing import describe as describe
    from assim.data.features import Feature as Feature
    from assim.data.fluctuating import Fluctuation as Fluctuation
    from assim.data.frames import frame_features as frame_features
    from assim.data.grouping import open_groups as open_groups
    from assim.data.indicating import indicators as indicators
    from assim.data.opening import open_dataset as open_dataset
    from assim.data.projecting import to_lonlat as to_lonlat
    from assim.data.rates import join_rates as join_rates
    from assim.data.recurring import Recurrence as Recurrence
    from assim.data.snapping import take_snapshots as take_snapshots
    from assim.data.spectra import Mode as Mode
    from assim.data.splitting import rolling_origins as rolling_origins
    from assim.data.splitting import split as split
    from assim.data.stacking import stack_snapshots as stack_snapshots
    from assim.data.writing import to_cf as to_cf

_HOME = {
    "open_dataset": "assim.data.opening",
    "open_groups": "assim.data.grouping",
    "join_rates": "assim.data.rates",
    "frame_features": "assim.data.frames",
    "Feature": "assim.data.features",
    "Mode": "assim.data.spectra",
    "describe": "assim.data.describing",
    "align": "assim.data.aligning",
    "split": "assim.data.splitting",
    "rolling_origins": "assim.data.splitting",
    "take_snapshots": "assim.data.snapping",
    "stack_snapshots": "assim.data.stacking",
    "to_lonlat": "assim.data.projecting",
    "load_dataset": "assim.data.datasets",
    "list_datasets": "assim.data.datasets",
    "to_cf": "assim.data.writing",
    "indicators": "assim.data.indicating",
    "Fluctuation": "assim.data.fluctuating",
    "Recurrence": "assim.data.recurring",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'assim.data' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
