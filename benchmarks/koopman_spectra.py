"""Eigenvalues with uncertainty: two modes, 20 sensors, 200 readings each, and a forecast 10 s beyond.

mu = -0.02 + 1i and 0 + 2.3i per second, steps of 0.1 s, errors of reading of 0.1 and 0.5, 30 replicates with mode
shapes drawn anew. `regular`: every reading; `half, jittered`: half of the readings dropped at random, and every
stamp moved by up to 0.04 s; `three runs`: trajectories of 200, 140 and 80 readings from other first states. Medians
and intervals are those that `assim.koopman.spectrum` gives: of a rate that lies at 0 the shortest that holds 90 %
of the draws, closed at 0. Fits are Laplace approximations (Gauss-Newton) with settings fixed beforehand.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import time
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _recording import record

import assim
from assim import inference, koopman, models
from assim.data.framing import Selection, frame_of
from assim.problem import bind
from assim.series import Series, cut
from assim.statespace import Context, regular_spans

STEP, ROWS, SENSORS, AHEAD = 0.1, 200, 20, 100
RATES = np.array([-0.02 + 1j, 0.0 + 2.3j])
NOISES = (0.1, 0.5)
KINDS = ("regular", "half, jittered", "three runs")
BOP = {0.1: ("0.68", "0.12", "0.0140"), 0.5: ("0.77", "0.15", "0.0727")}
METHOD = inference.Laplace(
    inference.GaussNewton(), inference.Ascent(400, 2e-2, polish=60), num_draws=200
)


def case(seed: int, noise: float, kind: str) -> tuple[xr.Dataset, np.ndarray]:
    """A record, and the clean signal of the first run beyond it."""
    rng = np.random.default_rng(seed)
    shapes = rng.normal(size=(SENSORS, 2)) + 1j * rng.normal(size=(SENSORS, 2))
    firsts = np.ones((3, 2)) * np.exp(1j * rng.uniform(0, 2 * np.pi, (3, 2)))
    firsts[0] = 1.0
    t = np.arange(ROWS) * STEP
    if kind == "half, jittered":
        t = t + rng.uniform(-0.04, 0.04, ROWS)
        t[0] = 0.0

    def clean(t: np.ndarray, first: np.ndarray) -> np.ndarray:
        return ((first * shapes) * np.exp(RATES * t[:, None])[:, None]).sum(axis=-1).real

    ends = (ROWS, 140, 80) if kind == "three runs" else (ROWS,)
    y = np.full((len(ends), ROWS, SENSORS), np.nan)
    for run, end in enumerate(ends):
        y[run, :end] = clean(t[:end], firsts[run]) + noise * rng.normal(size=(end, SENSORS))
    if kind == "half, jittered":
        y[rng.random(y.shape) < 0.5] = np.nan
    stamps = np.datetime64("2024-01-01", "ns") + (t * 1e9).round().astype("timedelta64[ns]")
    ds = xr.Dataset(
        {f"s{c:02d}": (("run", "time"), y[..., c]) for c in range(SENSORS)},
        coords={"time": stamps, "run": np.arange(len(ends))},
    )
    beyond = t[-1] + np.arange(1, AHEAD + 1) * STEP
    return ds if len(ends) > 1 else ds.isel(run=0, drop=True), clean(beyond, firsts[0])


@eqx.filter_jit
def told(model, layout, constants, sites, context: Context, key) -> tuple:
    """Of each draw a path of the signal beyond the record, and its errors of reading, internal units."""

    def one(theta, key):
        ssm = bind(model, theta, layout, constants)
        z = ssm.init(context, key=key).sample(key)
        spans = regular_spans(STEP, AHEAD)

        def step(z, at):
            number, span = at
            z = ssm.transition(z, span, jnp.zeros(0), key=jax.random.fold_in(key, number))
            seen = ssm.seen(z)
            return z, (seen.loc, seen.scale)

        return jax.lax.scan(step, z, (jnp.arange(AHEAD), spans))[1]

    count = next(iter(sites.values())).shape[0]
    return jax.vmap(one)(sites, jax.random.split(key, count))


def replicate(seed: int, noise: float, kind: str) -> dict[str, np.ndarray | float]:
    """What one record says."""
    ds, clean = case(seed, noise, kind)
    model = models.LinearKoopman(2, window=ROWS, start=models.Anywhere(correlated=False))
    began = time.perf_counter()
    post = assim.infer(model, ds, METHOD, key=jax.random.key(seed), pointwise=0)
    seconds = time.perf_counter() - began
    fitted = assim.restore(post)
    frame = frame_of(ds, Selection(own_times=True), like=fitted.frame)
    window = cut(
        *(Series.of(frame), jnp.asarray(0), jnp.asarray(ROWS - 1)),
        context=ROWS,
        horizon=0,
        step=frame.step,
        own_times=True,
    )
    sites = {k: jnp.asarray(v[0]) for k, v in fitted.sites.items()}
    loc, scale = told(
        *(fitted.model, fitted.layout, fitted.constants, sites),
        window.context,
        jax.random.key(seed + 999),
    )
    known = koopman.spectrum(post)
    turns, growth = (known[k].values for k in ("frequency", "growth_rate"))
    around, bands = (known[f"{k}_interval"].values.T for k in ("frequency", "growth_rate"))
    hertz = RATES.imag / (2 * np.pi)
    signal = frame.scaling.inverse(np.asarray(loc))
    error = np.asarray(scale) * frame.scaling.scale[0]
    rng = np.random.default_rng(seed + 77)
    noisy = signal + error * rng.normal(size=signal.shape)
    new = clean + noise * rng.normal(size=clean.shape)
    low, high = np.quantile(signal, [0.025, 0.975], axis=0)
    below, above = np.quantile(noisy, [0.025, 0.975], axis=0)
    return {
        "frequency": np.abs(turns / hertz - 1.0),
        "decay": np.abs(growth - RATES.real),
        "frequency_in": (around[0] <= hertz) & (hertz <= around[1]),
        "decay_in": (bands[0] <= RATES.real) & (RATES.real <= bands[1]),
        "clean_in": np.mean((low <= clean) & (clean <= high)),
        "new_in": np.mean((below <= new) & (new <= above)),
        "rmse": np.sqrt(np.mean((signal.mean(axis=0) - clean) ** 2)),
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=30)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    asked = parser.parse_args()
    rows = []
    for kind in asked.kinds:
        for noise in NOISES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parts = [replicate(seed, noise, kind) for seed in range(asked.replicates)]
            mean = {k: np.mean([p[k] for p in parts]) for k in parts[0]}
            worst = np.max([p["frequency"] for p in parts])
            bop = BOP[noise] if kind == "regular" else ("", "", "")
            rows.append(
                [kind, noise, f"{100 * mean['frequency']:.3f} (at most {100 * worst:.2f})"]
                + [mean["decay"], mean["frequency_in"], mean["decay_in"]]
                + [mean["clean_in"], mean["new_in"], f"{mean['rmse']:.4f}", *bop, mean["seconds"]]
            )
            print(rows[-1], flush=True)
    record(
        "koopman_spectra" + ("" if asked.kinds == list(KINDS[:1]) else "_more"),
        ["record", "error", "frequency off, %", "decay off, 1/s", "cover (frequency)"]
        + ["cover (decay)", "95 % cover, signal", "95 % cover, readings", "RMSE ahead"]
        + ["BOP-DMD: signal", "readings", "RMSE", "fit, s"],
        rows,
        aims="Aims: frequency within 0.5 % and 2 %, decay within 0.005 and 0.02 per second; intervals of 90 % for "
        "both cover in 0.80 to 0.97; 10 s ahead the 95 % intervals cover the clean signal in 0.90 to 0.98 and new "
        "readings in 0.92 to 0.98, RMSE no more than that of BOP-DMD; with half of the readings and jittered times "
        "the same, the frequency at most twice as far off; with three runs the errors fall.",
    )


if __name__ == "__main__":
    main()
