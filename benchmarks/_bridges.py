"""What the benchmarks of bridges share: sets of snapshots with what was held out, fits, and paths through them."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from numpyro.infer.autoguide import AutoDelta

import assim
from assim import inference, models
from assim.models import references, volatilities

jax.config.update("jax_enable_compilation_cache", False)  # seconds are with all compilation

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "snapshots"
NAMES = ("x", "y", "z", "u", "v")


@dataclass(frozen=True)
class Set:
    """Snapshots to fit, those that are held out, and what others have published on them.

    `published` is W2 by who has it, one figure for each held-out time or the mean; `beside` the means of other
    scores, by the column of the table that they stand in.
    """

    train: xr.Dataset
    held: xr.Dataset
    family: Callable[[], references.AbstractReference]
    volatility: Callable[[], volatilities.AbstractVolatility]
    published: dict[str, str] = field(default_factory=dict)
    beside: dict[str, dict[str, str]] = field(default_factory=dict)
    aim: str = ""
    unseen: models.Unseen | None = None


def stacked(x: list[np.ndarray], t: list[float]) -> xr.Dataset:
    return assim.stack_snapshots(x, np.asarray(t, float), NAMES[: x[0].shape[1]])


def _alternate(name: str, step: float, train: slice, held: slice) -> tuple[xr.Dataset, xr.Dataset]:
    x = np.load(SHARED / name)["X"].astype(float)
    t = step * np.arange(len(x))
    return stacked(list(x[train]), t[train]), stacked(list(x[held]), t[held])


def _squared_mmd(snap: str, sbirr: str, midpoint: str) -> dict[str, dict[str, str]]:
    return {
        who: {"MMD²": told}
        for who, told in (("SnapMMD", snap), ("SBIRR", sbirr), ("OT midpoint", midpoint))
    }


def lv_11() -> Set:
    train, held = (
        assim.load_dataset("lotka_volterra"),
        assim.load_dataset("lotka_volterra_held_out"),
    )
    told = {
        "SnapMMD": "0.060±0.030",
        "SBIRR": "0.096±0.075",
        "PI-SDE": "0.155",
        "PI-SDE, learned volatility": "0.186",
        "[SF]2M": "0.241±0.275",
        "OT-CFM": "0.300±0.247",
        "SB-CFM": "0.320±0.357",
        "DMSB": "0.819±0.559",
        "PRESCIENT": "1.06",
        "scNODE": "2.00",
        "JKOnet*": "15.6",
        "persistence": "0.722",
        "OT midpoint": "0.131",
    }
    return Set(
        train.isel(time=slice(0, 10)),
        held.isel(time=slice(0, 9)),
        references.LotkaVolterra,
        volatilities.Multiplicative,
        told,
        _squared_mmd("0.015", "0.041", "0.144"),
        "0.060, stretch 0.050",
    )


def repressilator_11() -> Set:
    file = np.load(SHARED / "snapmmd_repressilator_mrna.npz")
    x, h = file["X"].astype(float), file["X_heldout"].astype(float)
    train = stacked(list(x[:10]), list(range(10)))
    held = stacked(list(h), [0.5 + k for k in range(9)])
    told = {
        "SnapMMD": "0.102±0.057",
        "SBIRR": "0.168±0.057",
        "SnapMMD, semi-parametric": "0.238±0.109",
        "SBIRR, semi-parametric": "0.394±0.136",
        "PI-SDE": "0.459",
        "PI-SDE, learned volatility": "0.566",
        "OT-CFM": "0.781",
        "SB-CFM": "1.213±1.107",
        "scNODE": "1.87",
        "DMSB": "1.887±0.865",
        "PRESCIENT": "1.95",
        "[SF]2M": "9.6",
        "JKOnet*": "20.8",
        "persistence": "1.496",
        "OT midpoint": "0.598",
    }
    beside = _squared_mmd("0.038", "0.159", "0.600")
    family, volatility = references.Repressilator, volatilities.Multiplicative
    return Set(train, held, family, volatility, told, beside, "0.102, stretch 0.070")


def repressilator_proteins() -> Set:
    file = np.load(SHARED / "snapmmd_repressilator_mrna_protein_observed_mrna.npz")
    x, h = file["X"].astype(float)[..., :3], file["X_heldout"].astype(float)[..., :3]
    train = stacked(list(x[:10]), list(range(10)))
    held = stacked(list(h), [0.5 + k for k in range(9)])
    told = {
        "SnapMMD": "0.094±0.036",
        "PI-SDE": "0.560",
        "PI-SDE, learned volatility": "0.586",
        "SBIRR": "0.591±0.783",
        "OT-CFM": "0.652±0.767",
        "DMSB": "1.480±1.011",
        "scNODE": "2.04",
        "PRESCIENT": "2.26",
        "JKOnet*": "26.7",
        "SB-CFM": "diverges",
        "[SF]2M": "diverges",
        "persistence": "1.307",
        "OT midpoint": "0.505",
    }
    hidden = models.Unseen(("p", "q", "r"))
    family = references.RepressilatorProteins
    return Set(train, held, family, volatilities.Multiplicative, told, unseen=hidden)


def lv_original() -> Set:
    parts = _alternate("sbirr_lotka_volterra.npz", 1.0, slice(0, None, 2), slice(1, None, 2))
    told = {
        "SBIRR (rerun)": "0.19 0.25 0.45 0.74",
        "Smooth SB": "0.27 0.27 0.22 0.68",
        "3MSBM": "0.24 0.17 0.15 0.36",
        "DeepRUOT": "0.44 0.19 0.31 0.65",
        "MMFM": "0.22 0.43 0.77 1.23",
        "DMSB": "0.84 0.98 0.71 1.24",
        "MIOFlow": "2.77 2.34 1.76 1.55",
    }
    means = {"SBIRR (rerun)": "0.293", "Smooth SB": "0.365", "3MSBM": "0.220"}
    means |= {"DeepRUOT": "0.370", "MMFM": "0.498", "DMSB": "0.828"}
    beside, aim = {who: {"W1": mean} for who, mean in means.items()}, "0.19 0.17 0.15 0.36"
    return Set(*parts, references.LotkaVolterra, volatilities.Constant, told, beside, aim)


def repressilator_original() -> Set:
    parts = _alternate("sbirr_repressilator.npz", 0.75, slice(0, None, 2), slice(1, None, 2))
    return Set(*parts, references.Repressilator, volatilities.Constant)


def gulf(size: str) -> Set:
    file = f"sbirr_gulf_of_mexico_{size}.npz"
    parts = _alternate(file, 0.9, slice(0, None, 2), slice(1, None, 2))
    big = {
        "SB": "0.270 0.300 0.420 0.410",
        "SBIRR": "0.073 0.072 0.120 0.094",
        "metric FM": "0.107 0.056 0.052 0.070",
        "OT-CFM": "0.148 0.227 0.191 0.250",
        "Curly-FM (given the field)": "0.019 0.045 0.027 0.030",
        "3MSBM": "0.20 0.18 0.07 0.09",
        "SBIRR (rerun)": "0.24 0.13 0.21 0.17",
        "Smooth SB": "0.22 0.27 0.21 0.16",
        "MMFM": "0.33 0.32 0.19 0.31",
        "DeepRUOT": "0.32 0.43 0.36 0.33",
        "DMSB": "0.28 0.30 0.72 0.46",
    }
    second_order = "Wasserstein Lagrangian mechanics"
    small, beside = {second_order: ""}, {second_order: {"W1": "0.060 to 0.068"}}
    told = big if size == "big" else small

    def family() -> references.AbstractReference:
        return references.Sum(references.Vortex(), references.RandomFeatures(60))

    aim = "0.075 in the mean"
    return Set(*parts, family, volatilities.Constant, told, beside, aim if told is big else "")


def hesc() -> Set:
    file = np.load(SHARED / "sbirr_hesc_pca5.npz")
    x = [file[f"X{k}"].astype(float) for k in range(5)]
    train, held = stacked([x[0], x[2], x[4]], [0, 24, 72]), stacked([x[1], x[3]], [12, 36])
    told = {"TrajectoryNet": "1.30 1.93", "DMSB": "1.10 1.51", "SBIRR": "1.08 1.33"}
    told |= {"MSBM": "1.09 1.30"}
    return Set(train, held, references.Linear, volatilities.Constant, told, aim="1.05 1.52")


def embryoid() -> Set:
    parts = _alternate("sbirr_embryoid_body_pca5.npz", 1.0, slice(0, None, 2), slice(1, None, 2))
    return Set(*parts, references.Linear, volatilities.Constant)


SETS: dict[str, Callable[[], Set]] = {
    "LV-11": lv_11,
    "Repressilator-11": repressilator_11,
    "Repressilator-11, proteins unseen": repressilator_proteins,
    "LV original": lv_original,
    "Repressilator original": repressilator_original,
    "Gulf, large vortex": lambda: gulf("big"),
    "Gulf, small vortex": lambda: gulf("small"),
    "hESC": hesc,
    "EB": embryoid,
}
MOST_PROBABLE = inference.SVI(
    1,
    AutoDelta,
    1e-6,
    batch_size=None,
    num_draws=1,
    ascent=inference.Ascent(400, 1e-2, None, polish=50),
)


def fitted(
    model: models.SchrodingerBridge,
    ds: xr.Dataset,
    *,
    key: jax.Array,
    method: inference.AbstractMethod = MOST_PROBABLE,
) -> tuple[xr.DataTree, float]:
    """A posterior, and the CPU seconds that it took, compilation and all."""
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        post = assim.infer(model, ds, method, key=key)
    return post, time.process_time() - begun


def clouds(post: xr.DataTree, held: xr.Dataset, num: int, *, key: jax.Array) -> xr.Dataset:
    """Paths at the held-out times."""
    told = assim.generate(post, num, key=key, times=held["time"].values)
    return told["generated"].to_dataset().sel(time=held["time"].values)
