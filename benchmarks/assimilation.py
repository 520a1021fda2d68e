"""What an assimilation of Lorenz-96 is worth: is it calibrated, and what do bad readings cost?

The settings are chosen by `assim.tune` on a record of their own, by innovations alone. Calibration is that of the
truth among the members; robustness is told beside the same filter on clean readings. Every figure is of labelled
records through the public verbs.
"""

import warnings
from collections.abc import Callable

import jax
import numpy as np
import xarray as xr
from _recording import record

import assim
from assim.filters import ETKF, LETKF, Gated, Straight, Tolerant
from assim.filters.base import AbstractFilter
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP

CYCLES, SPIN_UP, EVERY = 4000, 400, 20
RING = Straight((40.0,))
FACTORS = (1.0, 1.005, 1.01, 1.015, 1.02, 1.03, 1.05, 1.1, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0)
GROSS = 20.0
"""Standard deviations by which an outlier is off."""
KINDS: dict[str, Callable[[float], AbstractFilter]] = {
    "ETKF N=40": lambda f: ETKF(40, f, True),
    "LETKF N=20 r=4": lambda f: LETKF(20, 4.0, RING, f, True),
    "LETKF N=20 r=4, gated": lambda f: Gated(LETKF(20, 4.0, RING, f, True)),
    "LETKF N=20 r=4, Student-t": lambda f: Tolerant(LETKF(20, 4.0, RING, f, True)),
}


def tuned(kind: str, readings: xr.Dataset, *, key: jax.Array) -> tuple[AbstractFilter, float]:
    """The factor that foresees the readings best, tried twice each, and the filter."""
    choices = [KINDS[kind](f) for f in FACTORS]
    table = assim.tune(SAKOV2008, readings, choices, key=key, repeats=2)
    best = table.attrs["best"]
    return choices[best], FACTORS[best]


def spoilt(readings: xr.Dataset, how: str) -> xr.Dataset:
    """The readings with one thing wrong."""
    ds, rng = readings.copy(deep=True), np.random.default_rng(1)
    x = ds["x"].values
    if how == "90 % missing":
        x[rng.random(x.shape) < 0.9] = np.nan
    if how == "a sensor sticks":
        x[len(x) // 4 :, 7] = x[len(x) // 4, 7]
    if how == "an outlier in a thousand":
        hit = rng.random(x.shape) < 1e-3
        x[hit] += GROSS * rng.choice([-1.0, 1.0], hit.sum())
    if how == "twice the assumed noise":
        x += np.sqrt(3.0) * rng.normal(size=x.shape)
    return ds


def judged(
    chosen: AbstractFilter, readings: xr.Dataset, truth: xr.Dataset, *, key: jax.Array
) -> tuple[dict[str, float], str]:
    """Scores after the spin-up, and what was said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = assim.assimilate(SAKOV2008, readings, chosen, key=key)
    held = tree["analysis"].to_dataset().isel(time=slice(SPIN_UP, None))
    x = truth["x"].values[SPIN_UP:]
    error, spread = held["x_mean"].values - x, held["x_sd"].values
    members = held["x"].values[0][:, ::EVERY].reshape(chosen.size, -1)
    rank = (members < x[::EVERY].ravel()).sum(axis=0)
    count = np.bincount(rank, minlength=chosen.size + 1)
    told = tree["innovation"].to_dataset()
    scores = {
        "rmse": float(np.sqrt((error**2).mean(axis=1)).mean()),
        "spread": float(np.sqrt((spread**2).mean(axis=1)).mean()),
        "chi": float(np.nanmean(told["normalised"].values[SPIN_UP:])),
        "lost": float(told["lost"].values.mean()),
        "p": _flat(count, x[::EVERY].shape),
    }
    said = "; ".join(str(w.message).split(": ")[0] for w in caught if w.category is UserWarning)
    advice = assim.verify_assimilation(tree).attrs["advice"].splitlines()
    return scores, said or (advice[0].split(": ")[0] if advice else "")


def _flat(count: np.ndarray, shape: tuple[int, ...]) -> float:
    """The p-value of equal ranks; places of a ring that are four apart or nearer count for one."""
    from scipy.stats import chi2

    independent = shape[0] * shape[1] / 4.0
    share = count / count.sum()
    square = independent * ((share - 1.0 / count.size) ** 2 * count.size).sum()
    return float(chi2.sf(square, count.size - 1))


def main() -> None:
    k_tune, k_truth, k_run = jax.random.split(jax.random.key(0), 3)
    _, own = assim.twin_experiment(SAKOV2008, (SAKOV2008_STEP, CYCLES), key=k_tune)
    truth, readings = assim.twin_experiment(SAKOV2008, (SAKOV2008_STEP, CYCLES), key=k_truth)
    rows = []
    for name in list(KINDS)[:2]:
        chosen, factor = tuned(name, own, key=k_tune)
        scores, said = judged(chosen, readings, truth, key=k_run)
        ratio = scores["spread"] / scores["rmse"]
        met = "yes" if scores["p"] > 0.01 and 0.9 <= ratio <= 1.1 else "no"
        rows.append([name, factor, scores["rmse"], ratio, scores["chi"], scores["p"], met])
        print(rows[-1], said, flush=True)
    record(
        "calibration_of_filters",
        [
            *("filter", "factor tuned", "RMSE", "spread/RMSE"),
            *("innovations, mean square", "p of flat ranks", "met"),
        ],
        rows,
        aims="Aim: ranks flat (p > 0.01) and spread/RMSE between 0.9 and 1.1 for a tuned filter on Lorenz-96.",
    )
    rows, names, own = [], list(KINDS)[1:], own.isel(time=slice(0, CYCLES // 4))
    clean, factor = tuned(names[0], own, key=k_tune)
    for how in (
        "clean",
        "90 % missing",
        "a sensor sticks",
        "an outlier in a thousand",
        "twice the assumed noise",
    ):
        tried = [(f"{names[0]}, tuned on clean readings", clean, factor)]
        tried += [(name, *tuned(name, spoilt(own, how), key=k_tune)) for name in names]
        for name, chosen, f in tried:
            scores, said = judged(chosen, spoilt(readings, how), truth, key=k_run)
            ratio = scores["spread"] / scores["rmse"]
            told = [scores["rmse"], ratio, scores["chi"], scores["lost"], said]
            rows.append([how, name, f, *told])
            print(rows[-1], flush=True)
    record(
        "robustness_of_filters",
        [
            *("readings", "filter", "factor", "RMSE", "spread/RMSE"),
            *("innovations, mean square", "share lost", "said"),
        ],
        rows,
        aims="What each costs, with the factor tuned by innovations on a record of the same kind where nothing "
        "else is said; a filter that loses the state says so.",
    )


if __name__ == "__main__":
    main()
