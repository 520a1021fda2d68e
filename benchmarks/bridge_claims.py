"""Claims about bridges that can be measured: forecasts, errors of reading, volatility, thinned snapshots.

Each is fitted by the verbs alone, with settings fixed before any score was looked at: the most probable parameters
of the family that the data were simulated by, told by the first snapshot unless said, 16 steps between snapshots.
"""

import os

os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
)

import warnings

import jax
import numpy as np
import numpyro.distributions as dist
import xarray as xr
from _bridge_claims import (
    KEY,
    SEEDS,
    Law,
    Table,
    as_cloud,
    at,
    in_proportion,
    laplace,
    most_probable,
    moved,
    prey_and_predators,
    repressilator,
    spread,
    tabled,
    w2,
    with_values,
)
from _bridges import SETS, SHARED, clouds, fitted, lv_11, stacked

import assim
from assim import models
from assim.models import errors, references, volatilities

SHARE = "volatility.share"
RATES = ("drift.birth", "drift.predation", "drift.death", "drift.growth", SHARE)
TRUE_SHARE = 0.02


def lotka_volterra(
    prior: dist.Distribution | None = None, **settings: object
) -> models.SchrodingerBridge:
    volatility = volatilities.Multiplicative({} if prior is None else {"share": prior})
    return models.SchrodingerBridge(references.LotkaVolterra(), volatility, **settings)


def bridged(post: xr.DataTree, held: xr.Dataset, train: xr.Dataset, num: int) -> np.ndarray:
    """W2 of paths at the held-out times, its mean over them for each seed."""
    made = {
        str(seed): clouds(post, held, num, key=jax.random.key(100 + seed)) for seed in range(SEEDS)
    }
    return w2(held, made, train).sel(generator=list(made)).mean("time").values


def forecast(quick: bool) -> Table:
    """The eleventh snapshot, from the tenth and from the first, by the reference; and by the truth."""
    eleventh = np.load(SHARED / "snapmmd_repressilator_mrna.npz")["X"][10].astype(float)
    target = {
        "LV-11": assim.load_dataset("lotka_volterra").isel(time=[10]).load(),
        "Repressilator-11": stacked([eleventh], [10.0]),
    }
    truth: dict[str, Law] = {"LV-11": prey_and_predators, "Repressilator-11": repressilator}
    aims = {"LV-11": ("0.20", "0.30"), "Repressilator-11": ("", "")}
    published = {
        "LV-11": {
            "SnapMMD": ("", "0.220 ± 0.037"),
            "SBIRR's reference": ("0.424 ± 0.023", "0.788 ± 0.053"),
            "persistence": ("2.510", ""),
        },
        "Repressilator-11": {
            "SnapMMD": ("", "0.221 ± 0.125"),
            "SBIRR's reference": ("0.326 ± 0.029", "1.548 ± 0.793"),
            "persistence": ("3.576", ""),
        },
    }
    rows = []
    for name, to in list(target.items())[: 1 if quick else None]:
        found = SETS[name]()
        train = found.train.isel(sample=slice(0, 25 if quick else None)).load()
        names = list(to.data_vars)
        made: dict[str, xr.Dataset] = {}
        for word, matching in (("first", models.FirstSnapshot()), ("adjacent", models.Adjacent())):
            model = models.SchrodingerBridge(found.family(), found.volatility(), matching=matching)
            post, seconds = fitted(model, train, key=KEY, method=most_probable(quick))
            print(name, word, f"{seconds:.0f} CPU s", flush=True)
            for seed in range(SEEDS):
                for start, lead in (("last", 1), ("first", 10)):
                    told = assim.forecast(
                        post, None, lead, origins=start, key=jax.random.key(100 + seed)
                    )
                    one = told["predictions"].isel(chain=0, draw=0, init_time=0, lead_time=-1)
                    x = np.stack([one[n].values for n in names], axis=-1)
                    made[f"assim, {word}/{start}/{seed}"] = as_cloud(x, to)
        for seed in range(SEEDS):
            for start, row, lead in (("last", 9, 1.0), ("first", 0, 10.0)):
                x = np.stack([train[n].values[row] for n in names], axis=-1)
                rng = np.random.default_rng(seed)
                x = moved(x, lead, truth[name], in_proportion(TRUE_SHARE), rng)
                made[f"simulated truth/{start}/{seed}"] = as_cloud(x, to)
        table = w2(to, made, train).isel(time=0)
        for who in ("assim, first", "assim, adjacent", "simulated truth"):
            scores = [
                spread(table.sel(generator=[f"{who}/{start}/{s}" for s in range(SEEDS)]).values)
                for start in ("last", "first")
            ]
            rows.append([name, who, *scores])
        for floor in ("split_half", "persistence"):
            rows.append([name, floor.replace("_", " "), f"{table.sel(generator=floor):.3f}", ""])
        rows += [[name, f"published: {who}", *told] for who, told in published[name].items()]
        rows.append([name, "aim", *aims[name]])
    return Table(
        ["set", "who", "from the last", "from the first"],
        rows,
        "W2 of the forecast of the eleventh snapshot. Aims stand in the rows; the simulated truth is the floor of "
        "all forecasts that start from these samples.",
        [
            f"Ours: {SEEDS} seeds of the paths, one fit (mean ± sd). Published: 10 seeds of the whole algorithm. A "
            "midpoint does not exist ahead, where nothing is seen after; persistence is the snapshot before.",
        ],
    )


def noise(quick: bool) -> Table:
    """Readings with an error of 0.05, which the model is told, learns, or does not know of."""
    clean = lv_11().train.isel(sample=slice(0, 25 if quick else None)).load()
    sd, rows = 0.05, []
    kinds = {"Given": errors.Given(sd), "Learned": errors.Learned(), "Exact": errors.Exact()}
    matchings = (models.FirstSnapshot(), models.Adjacent())[: 1 if quick else None]
    cases = [(m, k) for m in matchings for k in kinds]
    for matching, kind in [*cases, (models.Bridge(), "Exact")][: 3 if quick else None]:
        shares, seen, spent = [], [], 0.0
        for seed in range(1 if quick else 3):
            rng = np.random.default_rng(seed)
            noisy = clean.map(lambda v, rng=rng: v + sd * rng.normal(size=v.shape))
            model = lotka_volterra(error=kinds[kind], matching=matching)
            post, seconds = fitted(model, noisy, key=KEY, method=most_probable(quick))
            shares.append(at(post, SHARE) / TRUE_SHARE)
            seen.append(at(post, "error.sd") if kind == "Learned" else np.nan)
            spent += seconds
        worst = max(abs(s - 1.0) for s in shares)
        met = min(shares) > 1.5 if kind == "Exact" else worst < 0.3
        learned = f"{np.mean(seen):.4f}" if kind == "Learned" else ""
        each = " ".join(f"{s:.2f}" for s in shares)
        name = type(matching).__name__
        rows.append([name, kind, each, learned, round(spent), "yes" if met else "no"])
        print(rows[-1], flush=True)
    return Table(
        ["matching", "error", "volatility over the truth", "learned error", "CPU s", "met"],
        rows,
        "LV-11 with errors of 0.05 added. Aim: Given and Learned have the volatility (0.02) within 30 %, Exact has "
        "it more than 50 % too large, with every seed of the errors.",
    )


def volatility(quick: bool) -> Table:
    """A start at five times the volatility, a prior centred there, and one that is held there."""
    found = lv_11()
    most = slice(0, 25 if quick else None)
    train, held = found.train.isel(sample=most).load(), found.held.isel(sample=most).load()
    num, far = train.sizes["sample"], 5.0 * TRUE_SHARE
    prior, held_at = dist.LogNormal(float(np.log(far)), 1.0), "held at five times"
    begins = {"start at five times (init=)": (), held_at: (SHARE,)}
    matchings = (models.FirstSnapshot(), models.Adjacent(), models.Bridge())
    rows = []
    for matching in matchings[: 1 if quick else None]:
        wide = lotka_volterra(prior, matching=matching)
        centred, _ = fitted(wide, train, key=KEY, method=most_probable(quick))
        runs = {"prior centred at five times, sd 1 of its log": centred}
        begun = with_values(centred, {SHARE: far})
        for word, hold in begins.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                method = most_probable(quick)
                runs[word] = assim.infer(wide, train, method, key=KEY, init=begun, hold=hold)
        scores = {word: bridged(post, held, train, num) for word, post in runs.items()}
        least = scores[next(iter(runs))].mean()
        for word, post in runs.items():
            ratio, times = at(post, SHARE) / TRUE_SHARE, float(scores[word].mean() / least)
            met = times >= 2 if word == held_at else abs(ratio - 1) < 0.25
            name, told = type(matching).__name__, spread(scores[word])
            met_as = "yes" if met else "no"
            rows.append([name, word, round(ratio, 3), told, round(times, 2), met_as])
            print(rows[-1], flush=True)
    return Table(
        ["matching", "volatility", "over the truth", "held-out W2", "times the free one", "met"],
        rows,
        "LV-11. Aim: the volatility (0.02) within 25 %; held at five times it the held-out W2 is at least twice as "
        "large.",
        [
            f"W2 is the mean over nine half times; mean and sd over {SEEDS} seeds of the paths. The floors of this "
            "set stand in its rows of the first table."
        ],
    )


def thinned(quick: bool) -> Table:
    """Snapshots of fewer samples, and how much wider the posterior is."""
    train = lv_11().train.load()
    every = [train.isel(time=k).to_dataarray().values.T for k in range(train.sizes["time"])]
    share = 8 if quick else 1
    ways = {
        "all 200": [200] * 10,
        "200 and then 50 each": [200] + [50] * 9,
        "50 each": [50] * 10,
        "200, 20, 100, 10, ...": [200, 20, 100, 10] * 2 + [200, 20],
    }
    rows, whole, total = [], np.empty(0), 0
    for word, counts in list(ways.items())[: 2 if quick else None]:
        rng = np.random.default_rng(0)
        kept = [
            x[rng.permutation(len(x))[: max(n // share, 3)]]
            for x, n in zip(every, counts, strict=True)
        ]
        post, seconds = fitted(
            lotka_volterra(), stacked(kept, list(range(10))), key=KEY, method=laplace(quick)
        )
        sd = np.array([np.log(post["posterior"][k].values).std() for k in RATES])
        later = sum(len(x) for x in kept[1:])
        if not whole.size:
            whole, total = sd, later
        expected, ratio = (total / later) ** 0.5, sd / whole
        off = np.exp(np.abs(np.log(ratio / expected)).max())
        each, wider = (" ".join(f"{v:.{d}f}" for v in a) for a, d in ((sd, 4), (ratio, 2)))
        fine = np.isfinite(sd).all() and off <= 1.5
        rows.append([word, later, each, wider, round(expected, 2), round(float(off), 2)])
        rows[-1] += [round(seconds), "yes" if fine else "no"]
        print(rows[-1], flush=True)
    return Table(
        [
            "samples",
            "after the first",
            "posterior sd",
            "over that of all",
            "expected",
            "worst factor off",
            "CPU s",
            "met",
        ],
        rows,
        "LV-11 thinned at random. Aim: the posterior sd widens as expected, to a factor of 1.5. Numbers are of log "
        "a, log b, log c, log d, log sigma, by Laplace's approximation. Told by the first snapshot.",
        [
            "Expected is the root of the ratio of the samples after the first snapshot: each of them counts once, "
            "as if samples of all times told the same, and the first only says where particles start.",
        ],
    )


ITEMS = {
    "forecast": forecast,
    "noise": noise,
    "volatility": volatility,
    "thinned": thinned,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tabled(ITEMS, __doc__)
