"""How long to the same score: our latent world and the published generator on torch, Stocks, one thread each.

Ours is fitted as in koopman_generation.py, compilation and all; torch then has so many times its CPU time, and its
windows are judged beside ours by the same judges. Then how long each takes to make as many windows as there are,
the median of three after a first time; ours come labelled, and in units of the file. ASSIM_TORCH names a Python
with torch.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import _generated_data
import jax
import numpy as np
import xarray as xr
from _koopman import FILES, SHARED, fitted, made, method_of, record_of, rows_of, world_of
from _recording import FOLDER, record

from assim.scoring import generated as scores

jax.config.update("jax_enable_compilation_cache", False)  # ours is with all compilation

MODEL = {"window": 24, "z_dim": 16, "hidden": 20, "layers": 3, "w_kl": 0.009, "w_pred": 0.03}
"""Sizes and weights of the release, for Stocks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=float, nargs="*", default=[5.0, 20.0])
    parser.add_argument("--judges", type=int, default=5)
    asked = parser.parse_args()
    python = os.environ.get("ASSIM_TORCH")
    if python is None:
        raise SystemExit("There is no torch to race: set ASSIM_TORCH to a Python that has it.")
    frame = rows_of("stocks")
    low, high = frame.min().to_numpy(), frame.max().to_numpy()
    real = _generated_data.stocks(SHARED / FILES["stocks"])
    begun = time.process_time()
    post, wall = fitted(world_of("stocks", "linear"), record_of(frame), method_of("stocks"), 0)
    ours = time.process_time() - begun
    y, _ = made(post, len(real), 0)
    making = {"assim": median(_making(post, len(real)) for _ in range(3))}
    fakes = {"assim": np.clip((y - low) / (high - low), 0.0, 1.0)}
    seconds, visits = {"assim": ours}, {"assim": ""}
    with tempfile.TemporaryDirectory() as folder:
        windows, spec = Path(folder) / "windows.npy", Path(folder) / "spec.json"
        np.save(windows, real.astype(np.float32))
        marks = [times * ours for times in asked.times]
        outs = [str(Path(folder) / f"{k}.npy") for k in range(len(marks))]
        case = MODEL | {"batch": 64, "windows": str(windows), "marks": marks, "outs": outs}
        spec.write_text(json.dumps({"race": case}))
        run = subprocess.run(
            [python, str(FOLDER / "_kovae.py"), str(spec)], check=True, capture_output=True
        )
        for times, out, line in zip(
            asked.times, outs, run.stdout.decode().splitlines(), strict=True
        ):
            name, told = f"torch, {times:.0f} times as long", json.loads(line)
            fakes[name], seconds[name] = np.load(out), told["seconds"]
            visits[name], making[name] = told["visits"], told["making"]
    wanted = [scores.Discriminative(), scores.Predictive(-1)]
    told = scores.generated(real, fakes, key=jax.random.key(5), scores=wanted, judges=asked.judges)
    rows = []
    for generator in told["generator"].values:
        at, name = told.sel(generator=generator), str(generator)
        rows.append(
            [
                name,
                seconds.get(name, ""),
                visits.get(name, ""),
                f"{making[name]:.2f}" if name in making else "",
                f"{float(at.discriminative):.3f} ± {float(at.discriminative_sd):.3f}",
                float(at.predictive),
            ]
        )
        print(rows[-1], flush=True)
    record(
        "koopman_race",
        ["generator", "CPU seconds of the fit", "visits of every window", "CPU seconds of making"]
        + ["discriminative", "predictive"],
        rows,
        aims="Aim: to the same score five times faster than the published architecture on torch.",
        notes=[f"Ours took {wall:.0f} s of wall time, with compilation."],
    )


def _making(post: xr.DataTree, num: int) -> float:
    begun = time.process_time()
    made(post, num, 1)
    return time.process_time() - begun


if __name__ == "__main__":
    main()
