"""What the Koopman benchmarks share: series as labelled records, fits with settings fixed beforehand, windows."""

import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from _generated_data import LENGTH, NOISE, sines
from numpyro.infer.autoguide import AutoDelta

import assim
from assim import inference, models
from assim.models.kovae import one_step_linearity, spectrum
from assim.statespace import regular_spans

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "timeseries"
STEP = np.timedelta64(600, "s")
START = np.datetime64("2016-01-11", "ns")
FILES = {"stocks": "stock_data.csv", "energy": "energy_series_19734x28.csv.gz"}
WORLDS = {
    "sines": {"pairs": 5, "singles": 5, "normalised": False},
    "stocks": {"pairs": 6, "singles": 6},
    "energy": {"pairs": 10, "singles": 10},
}
LARGER = {"pairs": 14, "singles": 24}
"""For Energy, whose rivals are Gaussians of all entries of a window."""
NUM_STEPS = {"sines": 6000, "stocks": 3000, "energy": 4000}


def rows_of(name: str, *, drop: tuple[str, ...] = ()) -> pd.DataFrame:
    """The rows of a real series."""
    return pd.read_csv(SHARED / FILES[name]).drop(columns=list(drop))


def record_of(rows: pd.DataFrame) -> xr.Dataset:
    """A series on a regular clock."""
    times = START + np.arange(len(rows)) * STEP
    return xr.Dataset(
        {str(c): ("time", rows[c].to_numpy(float)) for c in rows}, coords={"time": times}
    )


def windows_of_sines(num: int, seed: int) -> xr.Dataset:
    """Sines as a record of many short runs."""
    y = sines(num, key=jax.random.key(seed))
    times = START + np.arange(LENGTH) * STEP
    return xr.Dataset(
        {f"x{c}": (("run", "time"), y[..., c]) for c in range(y.shape[-1])},
        coords={"time": times, "run": np.arange(num)},
    )


def world_of(name: str, kind: str, **settings) -> assim.model.AbstractModel:
    """The model of a data set; the size of that of Sines was found by trying, on windows of another seed."""
    plain = {"normalised": True} | WORLDS[name] | {"window": LENGTH}
    plain |= {} if name == "sines" else {"stride": 1}
    if kind == "linear":
        return models.LinearKoopman(**(plain | settings))
    return models.KoopmanVAE(**(plain | settings))


def method_of(name: str, batch_size: int = 64, **settings) -> inference.SVI:
    """Adam for the most probable parameters."""
    plain = {"num_steps": NUM_STEPS[name], "guide": AutoDelta, "learning_rate": 5e-3}
    return inference.SVI(
        **(plain | {"batch_size": batch_size, "ascent": None, "num_draws": 1} | settings)
    )


def fitted(model, ds: xr.Dataset, method, seed: int):
    """A posterior, and the seconds it took."""
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = assim.infer(model, ds, method, key=jax.random.key(seed), pointwise=0)
    return post, time.perf_counter() - began


def made(post, num: int, seed: int) -> tuple[np.ndarray, float]:
    """Generated windows (num, time, channel), file units, and the seconds it took."""
    began = time.perf_counter()
    told = assim.generate(post, num, key=jax.random.key(1000 + seed))["generated"].to_dataset()
    y = np.stack([told[n].values for n in told.data_vars], axis=-1).astype(float)
    return y, time.perf_counter() - began


def linearity(post, num: int = 1000) -> str:
    """How linear latent paths are that generate: one map from every step to the next, by least squares."""
    fit = assim.restore(post)
    ssm = fit.state_space({k: jnp.asarray(v[0, 0]) for k, v in fit.sites.items()})
    spans = regular_spans(fit.layout.step, LENGTH)

    def path(key):
        if isinstance(fit.model, models.PublishedKoVAE):
            return ssm.rolled(LENGTH, key=key)[1]
        k_first, k_path = jax.random.split(key)

        def step(z, at):
            return ssm.transition(z, at[0], key=at[1]), z

        return jax.lax.scan(
            step, ssm.first(key=k_first), (spans, jax.random.split(k_path, LENGTH))
        )[1]

    z = jax.jit(jax.vmap(path))(jax.random.split(jax.random.key(7), num))
    told = float(one_step_linearity(z)), float(abs(spectrum(z))[0])
    return "one-step linearity of latent paths {:.3f}, largest modulus of their map {:.3f}".format(
        *told
    )


__all__ = [
    "LARGER",
    "LENGTH",
    "NOISE",
    "fitted",
    "linearity",
    "made",
    "method_of",
    "record_of",
    "rows_of",
    "world_of",
]
