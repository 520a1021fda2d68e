"""Who keeps the contracts: a new model, method or system joins by one line here."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import xarray as xr

import assim
from assim.inference import (
    NUTS,
    SGMCMC,
    SVI,
    Ascent,
    EnsembleMAP,
    Exact,
    GaussNewton,
    Laplace,
    LastLayer,
    Prior,
    Stein,
)
from assim.models import (
    VAR,
    AlmostLinearRNN,
    Autoregressive,
    Climatology,
    Departures,
    Direct,
    FixedNormal,
    Iterated,
    Normal,
    Persistence,
    SeasonalNaive,
    ShallowPLRNN,
    StudentT,
)

SHORT = Ascent(num_steps=100, polish=20)
METHODS = {
    "NUTS": NUTS(40, 60, 2, ascent=SHORT, max_tree_depth=5),
    "SVI": SVI(200, ascent=SHORT, num_draws=100),
    "Laplace": Laplace(GaussNewton(), SHORT, num_draws=100),
    "LastLayer": Laplace(LastLayer(), SHORT, num_draws=100),
    "EnsembleMAP": EnsembleMAP(100, 60),
    "Stein": Stein(100, 60),
    "SGMCMC": SGMCMC(500, 50, 2, ascent=SHORT),
    "Exact": Exact(100),
    "Prior": Prior(100),
}
SMALL = {"lags": (1, 2), "calendar": ("day",), "controls": ("lamp",)}
HIDDEN = {"linear": (), "network": (4,)}
DECODINGS = {"iterated": Iterated(), "direct": Direct(3)}
NOISES = {
    "fixed": FixedNormal(0.9),
    "constant": Normal(varying=False),
    "normal": Normal(),
    "student": StudentT(),
}
OTHERS = {
    "var": VAR(2, controls=("lamp",)),
    "persistence": Persistence(horizon=3, context=4),
    "climatology": Climatology(("day",)),
    "seasonal": SeasonalNaive(period=24, horizon=3),
    "departures": Departures(horizon=3, lags=(1, 2), memory=4),
    "shallow": ShallowPLRNN(2, 4, window=12, controls=("lamp",)),
    "almost-linear": AlmostLinearRNN(6, 2, window=12, controls=("lamp",)),
}


def autoregression(hidden: str, decoding: str, noise: str) -> Autoregressive:
    """Make the autoregression of three named parts."""
    return Autoregressive(
        hidden=HIDDEN[hidden], decoding=DECODINGS[decoding], noise=NOISES[noise], **SMALL
    )


PLAIN = ("diverged", "still", "do not yet agree", "max_tree_depth", "not found yet")


def make_record(seed: int = 0, rows: int = 300) -> xr.Dataset:
    """Draw hourly temperature and wind with a daily cycle: 15 % missing, a gap of 30 hours, and a control."""
    rng = np.random.default_rng(seed)
    hours = np.arange(rows)
    cycle = np.sin(2 * np.pi * hours / 24)
    y = np.zeros((rows, 2))
    for t in range(1, rows):
        y[t] = 0.7 * y[t - 1] + 0.3 * cycle[t] + 0.5 * rng.normal(size=2)
    y = np.stack([15 + 3 * y[:, 0], np.maximum(4 + 2 * y[:, 1], 0.0)], axis=1)
    holes = np.random.default_rng(99)
    y[holes.random(y.shape) < 0.15] = np.nan
    y[150:180] = np.nan
    channels = {
        "air_temperature": ("time", y[:, 0], {"units": "degC", "standard_name": "air_temperature"}),
        "wind_speed": ("time", y[:, 1], {"units": "m s-1", "standard_name": "wind_speed"}),
        "lamp": ("time", (hours % 24 < 12).astype(float), {"units": "1"}),
    }
    time = np.datetime64("2020-06-01", "ns") + hours * np.timedelta64(1, "h")
    return xr.Dataset(channels, {"time": time})


def record_for(model: object, seed: int = 0, rows: int = 300) -> xr.Dataset:
    """The record, with the control where the model has a use for it."""
    ds = make_record(seed, rows)
    return ds if model.needs().controls else ds.drop_vars("lamp")


def fit(model: object, method: object, ds: xr.Dataset, key: jax.Array) -> xr.DataTree:
    """Infer; that so short a fit has not converged is expected, and no other warning is."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        post = assim.infer(model, ds, method, key=key)
    unexpected = [str(w.message) for w in said if not any(p in str(w.message) for p in PLAIN)]
    assert unexpected == []
    return post
