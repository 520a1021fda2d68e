"""Peak memory of an assimilation and of a fixed-lag smoothing as the record grows, each written as it is made.

Each run is a process of its own, and its peak is that of the whole process. The readings are held from the start.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import json
import shutil
import subprocess
import sys
import time

import jax
from _recording import SCRATCH, peak_memory, record

import assim
from assim.filters import ETKF, EnKS
from assim.systems import SAKOV2008, SAKOV2008_STEP

LENGTHS = (5000, 50_000)
WAYS = {
    "ETKF N=20": lambda ds, to: assim.assimilate(
        SAKOV2008, ds, ETKF(20, 1.04), key=jax.random.key(1), to=to
    ),
    "EnKS N=20 lag 10": lambda ds, to: assim.reconstruct(
        SAKOV2008, ds, EnKS(20, 10, 1.04), key=jax.random.key(1), to=to
    ),
}


def one(name: str, cycles: int) -> None:
    """Run in a process of its own: peak before and after, seconds, GiB on disk."""
    _, readings = assim.twin_experiment(SAKOV2008, (SAKOV2008_STEP, cycles), key=jax.random.key(0))
    before, begun, store = peak_memory(), time.perf_counter(), SCRATCH / "analysis.zarr"
    SCRATCH.mkdir(exist_ok=True)
    try:
        WAYS[name](readings, store)
        disk = sum(f.stat().st_size for f in store.rglob("*") if f.is_file()) / 2**30
    finally:
        shutil.rmtree(store, ignore_errors=True)
    print(json.dumps([before, peak_memory(), time.perf_counter() - begun, disk]))


def main() -> None:
    rows = []
    for name in WAYS:
        peaks = []
        for cycles in LENGTHS:
            argv = [sys.executable, __file__, name, str(cycles)]
            said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
            before, peak, seconds, disk = json.loads(said.splitlines()[-1])
            peaks.append(peak)
            grown = peak / peaks[0] if len(peaks) > 1 else ""
            rows.append([name, cycles, before, peak, seconds, disk, grown])
            print(*rows[-1], flush=True)
    record(
        "assimilation_memory",
        [
            *("filter", "cycles", "GiB before", "peak GiB", "seconds", "GiB written"),
            "over the shortest",
        ],
        rows,
        aims="Aim: memory that does not grow with the record, but for the readings themselves.",
    )


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 2 else main()
