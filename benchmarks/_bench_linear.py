"""What is known in closed form: posteriors of ensembles, and forecasts that are iterated.

The posterior of the linear autoregression is that of tests/references.py, in float64, 22 coefficients. Of iterated
forecasts the step y' = A y + b + s e is read off the one-step density of the fit, and its law at each lead follows.
"""

import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import assim
from assim.data.scaling import Scaling
from assim.inference import AnchorsOnly, EnsembleMAP, TargetNoise
from assim.inference.loop import Watch
from assim.models import VAR, Autoregressive, Direct, Iterated
from tests.references import coefficients, conjugate, linear_problem

MEMBERS = EnsembleMAP(2000, 0, batch_size=None, polish=40)
WINDOWS, FEW, BATCH = 100, 40, 8
SEARCHED = EnsembleMAP(50, 10_000, 3e-3, BATCH)
LEADS, PATHS, ORIGINS = 8, 4000, 40
PHI = {"AR(1)": np.array([[0.8]]), "VAR": np.array([[0.7, 0.2], [-0.1, 0.9]])}
SHORT = 40


def exactness(seed: int) -> dict[str, float]:
    """Members against the posterior: their mean, their variance, and that of members with clean targets."""
    key = jax.random.key(seed)
    problem = linear_problem(key=key, seed=seed, rows=WINDOWS)
    exact = conjugate(problem)
    noisy, clean = (
        coefficients(
            replace(MEMBERS, randomisation=each).run(problem, key=key, watch=Watch()).sites
        )
        for each in (TargetNoise(), AnchorsOnly())
    )
    ratio, theory = noisy.var(axis=0) / exact.sd**2, clean.var(axis=0) / exact.anchored
    return {
        "mean": (np.abs(noisy.mean(axis=0) - exact.mean) / exact.sd).max(),
        "least": ratio.min(),
        "largest": ratio.max(),
        "least of theory": theory.min(),
        "largest of theory": theory.max(),
        "share": np.median(exact.anchored / exact.sd**2),
    }


def batches(seed: int) -> dict[str, float]:
    """How far members of minibatches end from the same ones of all data, in posterior sd.

    Beside it how far the mean would move if the prior were divided by the batch in place of the data.
    """
    key = jax.random.key(seed)
    problem = linear_problem(key=key, seed=seed, rows=FEW)
    exact = conjugate(problem)
    few, all_data = (
        coefficients(replace(SEARCHED, batch_size=size).run(problem, key=key, watch=Watch()).sites)
        for size in (BATCH, None)
    )
    off = np.abs(few - all_data) / exact.sd
    precision = np.linalg.inv(exact.cov)
    eye = np.eye(precision.shape[-1])
    heavier = precision + eye * (FEW / BATCH - 1) / exact.prior[..., None]
    told = np.einsum("cij,cj->ci", precision, exact.mean)
    moved = np.linalg.solve(heavier, told[..., None])[..., 0] - exact.mean
    return {
        "typical": np.sqrt(np.mean(off**2)),
        "worst": off.max(),
        "wrong": np.sqrt(np.mean((moved / exact.sd) ** 2)),
    }


def iterated(name: str, seed: int) -> dict[str, float]:
    """Forecasts of one draw against their law: of all origins together, and of one alone."""
    ds = _record(PHI[name], 400, seed)
    post = assim.infer(VAR(1), ds, key=jax.random.key(seed), pointwise=0)
    z, starts, (a, b, s) = _rolled(post, ds, num_draws=1, paths=PATHS, seed=seed)
    mean, variance = _law(starts, a[0], b[0], s[0])
    off = (z.mean(axis=0) - mean) / np.sqrt(variance)
    ratio = z.var(axis=0) / variance - 1
    return {
        "mean": np.abs(off.mean(axis=0)).max(),
        "variance": np.abs(ratio.mean(axis=0)).max(),
        "mean of one": np.median(np.abs(off)),
        "variance of one": np.median(np.abs(ratio)),
    }


def fixed(seed: int) -> dict[str, float]:
    """The variance at the last lead where each path has a draw of its own, and where each step had one."""
    ds = _record(PHI["AR(1)"], SHORT + LEADS, seed)
    known = ds.isel(time=slice(0, SHORT))
    method = assim.inference.Laplace(num_draws=PATHS)
    post = assim.infer(VAR(1), known, method, key=jax.random.key(seed), pointwise=0)
    z, starts, steps = _rolled(post, known, num_draws=None, paths=1, seed=seed)
    told = [_law(starts, *step) for step in zip(*steps, strict=True)]
    means, variances = (np.stack(part) for part in zip(*told, strict=True))
    wanted = variances.mean(axis=0) + means.var(axis=0)
    a, b, s = (part.ravel() for part in steps)
    first, second = starts[:, 0], starts[:, 0] ** 2
    for _ in range(LEADS):
        second = (a**2).mean() * second + 2 * (a * b).mean() * first + (b**2 + s**2).mean()
        first = a.mean() * first + b.mean()
    return {
        "variance": np.abs((z.var(axis=0) / wanted - 1).mean(axis=0)).max(),
        "redrawn": ((second - first**2) / wanted[:, -1, 0]).mean(),
    }


def one_step(seed: int) -> dict[str, float]:
    """How far log scores of both decodings differ one step ahead, nats; and their means, in sd of the forecast."""
    ds = _record(PHI["VAR"], 200, seed)
    method = EnsembleMAP(4, 300, batch_size=None)
    found = []
    for decoding in (Iterated(), Direct(1)):
        model = Autoregressive(2, (8,), calendar=(), mask_rate=0.0, decoding=decoding)
        post = assim.infer(model, ds, method, key=jax.random.key(seed), pointwise=0)
        origins = ds["time"].values[20:180:4]
        found.append(
            assim.forecast(
                post, ds, 1, key=jax.random.key(1), origins=origins, num_draws=None, paths=1000
            )
        )
    scores = [fc["log_score"].to_dataset().to_dataarray().values for fc in found]
    drawn = [fc["predictions"].to_dataset().to_dataarray() for fc in found]
    means = [each.mean(("chain", "draw")) for each in drawn]
    spread = drawn[0].std(("chain", "draw"))
    return {
        "score": np.abs(scores[0] - scores[1]).max(),
        "mean": float(np.abs((means[0] - means[1]) / spread).mean()),
    }


def closed_forms(told: dict[str, dict[str, float]]) -> list[list]:
    """Rows of what is known in closed form: claim, aim, found, whether the aim is met."""
    exact, batch, along, one = (told[k] for k in ("exact", "batches", "fixed", "one step"))
    low, high = exact["least of theory"], exact["largest of theory"]
    rows = [
        [
            "2000 members, noise in the targets: means of 22 coefficients, the worst",
            "0.1 posterior sd",
            f"{exact['mean']:.3f}",
            exact["mean"] <= 0.1,
        ],
        [
            "their variances over those of the posterior",
            "0.85 to 1.15",
            _near(exact["least"], exact["largest"]),
            exact["least"] >= 0.85 and exact["largest"] <= 1.15,
        ],
        [
            "anchors alone: variances over those of A P^-1 A",
            "0.90 to 1.10",
            f"{_near(low, high)} (that is {exact['share']:.2f} of the posterior's, in the median)",
            low >= 0.9 and high <= 1.1,
        ],
        [
            "minibatches of 8 of 40 windows and all windows find the same members",
            "0.1 posterior sd",
            f"{batch['typical']:.3f} apart, RMS (a prior divided by the batch: {batch['wrong']:.2f})",
            batch["typical"] <= 0.1,
        ],
    ]
    for name in ("AR(1)", "VAR"):
        here = told[name]
        rows.append(
            [
                f"{name}, 8 leads, 4000 paths of one draw: mean (of the sd) and variance",
                "2 %",
                f"{here['mean']:.1%} and {here['variance']:.1%} over 40 origins (of one alone "
                f"{here['mean of one']:.1%} and {here['variance of one']:.1%}, which is chance)",
                max(here["mean"], here["variance"]) <= 0.02,
            ]
        )
    rows.append(
        [
            "a draw is fixed along its path: variance of 4000 draws, 40 readings to learn from",
            "2 %",
            f"{along['variance']:.1%} (drawn anew each step it would be {1 - along['redrawn']:.0%} less at lead 8)",
            along["variance"] <= 0.02,
        ]
    )
    rows.append(
        [
            "direct and iterated one step ahead: log scores of a network",
            "agree",
            f"{one['score']:.0e} nats apart at most",
            one["score"] <= 1e-4,
        ]
    )
    return rows


def _near(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def _record(phi: np.ndarray, times: int, seed: int) -> xr.Dataset:
    """A path of y' = phi y + 0.5 e, in units of its own."""
    rng = np.random.default_rng(seed)
    y = np.zeros((times + 50, len(phi)))
    for t in range(1, len(y)):
        y[t] = phi @ y[t - 1] + 0.5 * rng.normal(size=len(phi))
    stamps = np.datetime64("2024-01-01", "ns") + np.arange(times) * np.timedelta64(1, "s")
    named = {name: ("time", 10 + 3 * y[50:, i]) for i, name in enumerate("ab"[: len(phi)])}
    return xr.Dataset(named, {"time": stamps})


def _rolled(
    post: xr.DataTree, ds: xr.Dataset, *, num_draws: int | None, paths: int, seed: int
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Paths (path, origin, lead, channel) and starts (origin, channel), internal units; steps of the draws used."""
    names = list(ds.data_vars)
    fitted = assim.restore(post)
    scaling = Scaling.from_dict(fitted.frame["scaling"])
    origins = ds["time"].values[2 : len(ds["time"]) : max(1, len(ds["time"]) // ORIGINS)]
    asked = {"key": jax.random.key(seed), "num_draws": num_draws, "paths": paths}
    told = assim.forecast(post, ds, LEADS, origins=list(origins), **asked)["predictions"]
    y = told.to_dataset()[names].to_dataarray().stack(path=("chain", "draw"))
    y = y.transpose("path", "init_time", "lead_time", "variable").values
    start = ds[names].sel(time=origins).to_dataarray().transpose("time", "variable").values
    sites = {k: v.reshape(-1, *v.shape[2:]) for k, v in fitted.thinned(num_draws).items()}

    def step(draw: dict) -> tuple[jax.Array, ...]:
        ssm = fitted.state_space(draw)

        def density(values):
            window = jnp.stack([values, jnp.ones_like(values), 0 * values, values])[:, None]
            return ssm.predictive(window, None)

        none = density(jnp.zeros(len(names)))
        columns = jax.vmap(lambda unit: density(unit).loc)(jnp.eye(len(names))) - none.loc
        return columns.T, none.loc, none.scale

    steps = tuple(np.asarray(part, float) for part in jax.jit(jax.vmap(step))(sites))
    centre, scale = scaling.centre[0], scaling.scale[0]
    return (y - centre) / scale, (start - centre) / scale, steps


def _law(
    starts: np.ndarray, a: np.ndarray, b: np.ndarray, s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (origin, lead, channel) and variance (lead, channel) of y' = a y + b + s e."""
    mean, cov, means, variances = starts, np.zeros_like(a), [], []
    for _ in range(LEADS):
        mean, cov = mean @ a.T + b, a @ cov @ a.T + np.diag(s**2)
        means.append(mean)
        variances.append(np.diag(cov))
    return np.stack(means, axis=1), np.stack(variances)
