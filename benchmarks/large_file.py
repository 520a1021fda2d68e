"""A file larger than memory should be: made block by block, opened lazily, put on a slow clock, fitted.

Forty sensors every 10 seconds for about twenty years are 10 GB. The file is deleted afterwards.
"""

import argparse
import resource
import shutil
import time

import jax
import netCDF4
import numpy as np
from _recording import SCRATCH, peak_memory, record

import assim
from assim.inference import SVI, Ascent

CHANNELS, STEP, BLOCK = 40, 10, 500_000


def make(path, gigabytes: float) -> int:
    """Write a CF file of about that size; gives the number of times."""
    rng = np.random.default_rng(0)
    blocks = max(round(gigabytes * 1e9 / (4 * CHANNELS * BLOCK)), 1)
    noise = np.cumsum(rng.normal(size=(BLOCK, CHANNELS)).astype(np.float32), axis=0)
    noise -= np.linspace(0, 1, BLOCK, dtype=np.float32)[:, None] * noise[-1]
    with netCDF4.Dataset(path, "w") as file:
        file.Conventions = "CF-1.8"
        file.createDimension("time", blocks * BLOCK)
        clock = file.createVariable("time", "i4", ("time",), chunksizes=(BLOCK,))
        clock.units, clock.standard_name = "seconds since 2000-01-01", "time"
        sensors = [
            file.createVariable(f"x{c}", "f4", ("time",), chunksizes=(BLOCK,), fill_value=np.nan)
            for c in range(CHANNELS)
        ]
        for b in range(blocks):
            here = slice(b * BLOCK, (b + 1) * BLOCK)
            clock[here] = STEP * np.arange(here.start, here.stop)
            for c, sensor in enumerate(sensors):
                sensor.units = "1"
                values = 0.01 * np.roll(noise[:, c], 7919 * b) + 0.1 * rng.standard_normal(
                    BLOCK, np.float32
                )
                values[rng.integers(0, BLOCK, BLOCK // 100)] = np.nan
                sensor[here] = values
    return blocks * BLOCK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    chosen = parser.parse_args()
    SCRATCH.mkdir(exist_ok=True)
    path, free = SCRATCH / "large.nc", shutil.disk_usage(SCRATCH).free / 1e9
    if free < 1.5 * chosen.gigabytes:
        print(
            f"There are {free:.0f} GB free and {1.5 * chosen.gigabytes:.0f} are needed: give --gigabytes."
        )
        return
    rows = []

    def stage(name: str, begun: float, shape: str) -> None:
        rows.append([name, time.perf_counter() - begun, peak_memory(), shape])
        print(rows[-1], flush=True)

    try:
        begun = time.perf_counter()
        times = make(path, chosen.gigabytes)
        stage("make", begun, f"{path.stat().st_size / 1e9:.1f} GB, {times:,} x {CHANNELS}")
        begun = time.perf_counter()
        ds = assim.open_dataset(path, chunks={"time": BLOCK})
        stage("open_dataset(chunks=)", begun, f"{ds.sizes['time']:,} x {len(ds.data_vars)}, lazy")
        begun = time.perf_counter()
        slow = assim.align(ds, "10min")
        stage("align, lazy", begun, f"{slow.sizes['time']:,} x {len(slow.data_vars)}")
        begun = time.perf_counter()
        slow = slow.load()
        stage("read it all once", begun, f"{slow.nbytes / 1e9:.2f} GB")
        begun = time.perf_counter()
        few = slow[[f"x{c}" for c in range(4)]]
        method = SVI(500, ascent=Ascent(num_steps=500), num_draws=200)
        assim.infer(assim.models.VAR(3), few, method, key=jax.random.key(0), pointwise=0)
        stage("infer, 4 channels, SVI", begun, f"{few.sizes['time']:,} windows")
    finally:
        path.unlink(missing_ok=True)
    read = resource.getrusage(resource.RUSAGE_SELF).ru_inblock * 512 / 1e9
    record(
        "large_file",
        ["stage", "seconds", "peak memory so far, GiB", "size"],
        rows,
        aims="Peak memory of the whole process on a file larger than it (no aim is set).",
        notes=[f"Blocks read from the disk: {read:.1f} GB (the rest came from the page cache)."],
    )


if __name__ == "__main__":
    main()
