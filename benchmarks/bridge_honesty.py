"""Whether a bridge says how sure it may be: bands on held-out snapshots, what cannot be told, posteriors by chains.

By the verbs alone, with settings fixed before any figure was looked at.
"""

import os

os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
)

import dataclasses
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from _bridge_claims import (
    KEY,
    Table,
    corner,
    in_proportion,
    laplace,
    populations,
    prey_and_predators,
    search,
    tabled,
)
from _bridges import fitted, lv_11, stacked
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.autoguide import AutoMultivariateNormal, AutoNormal

import assim
from assim import inference, models
from assim.models import errors, references, volatilities

RATES = ("drift.birth", "drift.predation", "drift.death", "drift.growth", "volatility.share")


def moments(x: np.ndarray) -> np.ndarray:
    """Mean and variance of clouds (..., sample, time, coordinate), shape (..., time, coordinate, 2)."""
    return np.stack([x.mean(axis=-3), x.var(axis=-3, ddof=1)], axis=-1)


def values(ds: xr.Dataset) -> np.ndarray:
    """Shape (sample, time, coordinate)."""
    return ds.to_dataarray("coordinate").transpose("sample", "time", "coordinate").values


def bands(quick: bool) -> Table:
    """Means and variances of held-out snapshots in bands of 90 % over draws of the parameters and of clouds."""
    found = lv_11()
    most = slice(0, 20 if quick else None)
    train, held = found.train.isel(sample=most).load(), found.held.isel(sample=most).load()
    post, _ = fitted(
        models.SchrodingerBridge(references.LotkaVolterra(), volatilities.Multiplicative()),
        train,
        key=KEY,
        method=laplace(quick),
    )
    size, draws, each = held.sizes["sample"], 50, 4
    stamps = held["time"].values
    told = assim.generate(post, draws * each * size, key=jax.random.key(1), times=stamps)
    paths = told["generated"].to_dataset().sel(time=stamps)[list(held.data_vars)]
    x = values(paths)
    ways = {"given these snapshots": moments(x.reshape(-1, size, *x.shape[1:]))}
    clouds, rng = [], np.random.default_rng(0)
    for number in range(4 if quick else 100):
        at = rng.integers(0, size, (train.sizes["time"], size))
        anew = train.map(lambda v, at=at: v.copy(data=np.take_along_axis(v.values, at, axis=1)))
        one = post.copy()
        one["posterior"] = xr.DataTree(post["posterior"].to_dataset().isel(draw=[4 * number]))
        key = jax.random.key(1000 + number)
        told = assim.generate(one, size, key=key, given=anew, times=stamps)
        paths = told["generated"].to_dataset().sel(time=stamps)[list(held.data_vars)]
        clouds.append(values(paths))
    ways["snapshots drawn anew"] = moments(np.stack(clouds))
    seen, rows = moments(values(held)), []
    for word, made in ways.items():
        low, high = np.quantile(made, [0.05, 0.95], axis=0)
        inside = (low <= seen) & (seen <= high)
        count = int(inside.sum())
        each_of = [f"{n} of {len(seen)}" for n in inside.sum(axis=0).T.ravel()]
        met = "yes" if count >= 0.8 * inside.size else "no"
        rows.append([word, len(made), *each_of, f"{count} of {inside.size}"])
        rows[-1] += [round(count / inside.size, 3), met]
    return Table(
        [
            "clouds",
            "number",
            "mean of prey",
            "mean of predators",
            "variance of prey",
            "variance of predators",
            "all",
            "share",
            "met",
        ],
        rows,
        "LV-11, bands of 90 % for the mean and variance of each held-out snapshot of 200. Aim: 80 % of 36 inside. "
        "Told by the first snapshot.",
        [
            "Each cloud is of 200 paths by one draw of the parameters (Laplace). The snapshots that paths meet "
            "are finite too: in the second row they are drawn anew from themselves for each cloud.",
        ],
    )


ROTATION = jnp.array([[0.0, -1.0], [1.0, 0.0]])


def turning(x: jax.Array, theta: dict[str, jax.Array]) -> jax.Array:
    return theta["turn"] * (ROTATION @ x) - x


def turned(stretched: float, times: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Populations of dX = (R - 1) X dt + sqrt 2 dW, whose stationary law is round."""
    rng = np.random.default_rng(seed)
    rows = []
    for t in times:
        x = rng.normal(size=(count, 2)) * [stretched, 1.0]
        turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        noise = rng.normal(size=x.shape) * np.sqrt(1.0 - np.exp(-2.0 * t))
        rows.append(np.exp(-t) * x @ turn.T + noise)
    return rows


def rotation(quick: bool) -> Table:
    """A round population that turns, and one that is not round, with a free rate of turning."""
    method = inference.NUTS(200, 250, 2, ascent=inference.Ascent(100, 1e-2, None))
    count, seeds, rows = (40, 1, []) if quick else (200, 5, [])
    for word, stretched, apart in (("round", 1.0, 2.0), ("stretched five times", 5.0, 0.5)):
        for matching in (models.FirstSnapshot(), models.Adjacent())[: 1 if quick else None]:
            times, kept, rates, said = apart * np.arange(3), [], [], 0
            begun = time.process_time()
            for seed in range(seeds):
                ds = stacked(turned(stretched, times, count, seed), list(times))
                model = models.SchrodingerBridge(
                    references.Own(turning, {"turn": dist.Normal(0.0, 1.0)}),
                    volatilities.Given(2.0**0.5),
                    matching=matching,
                )
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    post = assim.infer(model, ds, method, key=jax.random.key(seed))
                said += any("do not tell 'drift.turn'" in str(w.message) for w in caught)
                drawn = post["posterior"]["drift.turn"].values
                kept.append(drawn.std())
                rates.append(drawn.mean())
            spent = round(time.process_time() - begun)
            name, round_cloud = type(matching).__name__, stretched == 1.0
            off = max(abs(r - 1.0) for r in rates)
            met = min(kept) >= 0.8 and said == seeds if round_cloud else off < 0.1
            each = [" ".join(f"{v:.2f}" for v in a) for a in (kept, rates)]
            rows.append([word, name, each[0], f"{said} of {seeds}", each[1], spent])
            rows[-1].append("yes" if met else "no")
            print(rows[-1], flush=True)
    return Table(
        ["population", "matching", "sd over that of the prior", "warned", "rate", "CPU s", "met"],
        rows,
        "A rotation (rate 1, prior N(0, 1)) of a population of 200. Aim: round, the posterior keeps 0.8 of the sd "
        "of the prior and a warning says so; stretched, the rate is within 10 %. With every seed.",
    )


def posterior(quick: bool) -> Table:
    """One posterior by chains, by guides and by Laplace's approximation."""
    share, error = 0.06, 0.01
    rng = np.random.default_rng(0)
    count, times = (20 if quick else 100), np.arange(6.0)
    seen = populations(corner(count), times, prey_and_predators, in_proportion(share), rng)
    ds = stacked([x + error * rng.normal(size=x.shape) for x in seen], list(times))
    model = models.SchrodingerBridge(
        references.LotkaVolterra(), volatilities.Multiplicative(), errors.Given(error), steps=8
    )
    tuned = inference.NUTS(500, 500, 4, dense_mass=True, jitter=0.005, ascent=search(quick))
    guided = {"batch_size": None, "num_draws": 2000, "ascent": search(quick)}
    methods = {
        "NUTS, dense mass, jitter 0.005": tuned,
        "NUTS, diagonal mass": inference.NUTS(),
        "SVI, full rank, 10 000 steps": inference.SVI(10_000, AutoMultivariateNormal, **guided),
        "SVI, full rank, 3000 steps": inference.SVI(3000, AutoMultivariateNormal, **guided),
        "SVI, default": inference.SVI(3000, AutoNormal),
        "Laplace": laplace(quick, 2000),
    }
    if quick:
        short = {"num_warmup": 30, "num_samples": 30, "num_chains": 2}
        methods = {
            "NUTS": dataclasses.replace(tuned, **short),
            "SVI": inference.SVI(200, AutoMultivariateNormal, **guided),
            "Laplace": laplace(quick, 2000),
        }
    rows, against = [], np.empty(0)
    for word, method in methods.items():
        begun = time.process_time()
        post, _ = fitted(model, ds, key=KEY, method=method)
        spent = time.process_time() - begun
        draws = {k: np.log(post["posterior"][k].values) for k in RATES}
        sd = np.array([v.std() for v in draws.values()])
        if not against.size:
            against = sd
        r_hat, ess, met = np.nan, np.nan, np.abs(sd / against - 1.0).max() < 0.15
        if isinstance(method, inference.NUTS):
            r_hat = max(float(split_gelman_rubin(v)) for v in draws.values())
            ess = min(float(effective_sample_size(v)) for v in draws.values())
            met = r_hat < 1.01 and ess > 400 and spent <= 600
        told = ["" if np.isnan(v) else v for v in (r_hat, ess)]
        each = [" ".join(f"{v:.{d}f}" for v in a) for a, d in ((sd, 4), (sd / against, 2))]
        divergent = post["sample_stats"].get("diverging")
        rows.append([word, *told, "" if divergent is None else int(divergent.sum())])
        rows[-1] += [*each, round(spent), "yes" if met else "no"]
        print(rows[-1], flush=True)
    return Table(
        [
            "method",
            "R-hat, worst",
            "ESS, least",
            "divergences",
            "sd",
            "over the first",
            "CPU s",
            "met",
        ],
        rows,
        "Prey and predators, six snapshots of 100, five parameters. Aim: R-hat below 1.01 and ESS above 400 by "
        "four chains of 500 in 600 CPU s; sds of SVI and Laplace within 15 % of those of the chains. "
        "Told by the first snapshot.",
        [
            "Numbers are of log a, log b, log c, log d, log sigma. CPU s hold the search and compilation."
        ],
    )


ITEMS = {"bands": bands, "rotation": rotation, "posterior": posterior}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tabled(ITEMS, __doc__)
