"""Peak memory of a large forecast written to Zarr as it is made.

1000 draws x 500 origins x 72 leads x 12 channels would be 3.5 GB in float64 and 1.7 GB in float32 if held at once.
"""

import argparse
import shutil
import time

import jax
import numpy as np
import xarray as xr
from _recording import SCRATCH, peak_memory, record

import assim
from assim.inference import Ascent, GaussNewton, Laplace


def mast(times: int, channels: int) -> xr.Dataset:
    """A vector autoregression every 5 minutes."""
    rng = np.random.default_rng(0)
    y = np.zeros((times, channels))
    for t in range(1, times):
        y[t] = 0.95 * y[t - 1] + rng.normal(size=channels)
    clock = np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(300, "s")
    columns = {f"x{c}": ("time", y[:, c], {"units": "1"}) for c in range(channels)}
    return xr.Dataset(columns, {"time": clock})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, size in (("draws", 1000), ("origins", 500), ("leads", 72), ("channels", 12)):
        parser.add_argument(f"--{name}", type=int, default=size)
    size = parser.parse_args()
    ds = mast(1500, size.channels)
    method = Laplace(GaussNewton(), Ascent(num_steps=300, polish=50), num_draws=size.draws)
    post = assim.infer(assim.models.VAR(3), ds, method, key=jax.random.key(0), pointwise=0)
    rows = [["after the fit", peak_memory(), "", "", ""]]
    store = SCRATCH / "forecast.zarr"
    SCRATCH.mkdir(exist_ok=True)
    origins = ds["time"].values[200 : 200 + 2 * size.origins : 2]
    begun = time.perf_counter()
    try:
        forecast = assim.forecast(
            post,
            ds,
            size.leads,
            key=jax.random.key(1),
            origins=origins,
            num_draws=size.draws,
            to=store,
        )
        told = forecast["predictions"].ds
        values = sum(v.size for v in told.data_vars.values())
        disk = sum(f.stat().st_size for f in store.rglob("*") if f.is_file()) / 2**30
        kind = str(next(iter(told.data_vars.values())).dtype)
    finally:
        shutil.rmtree(store, ignore_errors=True)
    spent, peak = time.perf_counter() - begun, peak_memory()
    rows.append(
        ["after the forecast", peak, spent, f"{values:.3g} values, {kind}, {disk:.2f} GiB", ""]
    )
    rows[-1][-1] = "yes" if peak < 2 else "no"
    record(
        "memory",
        ["stage", "peak memory, GiB", "seconds", "written", "met"],
        rows,
        aims=f"Aim: {size.draws} draws x {size.origins} origins x {size.leads} leads on {size.channels} "
        "channels written to Zarr under 2 GiB, the whole process counted.",
    )


if __name__ == "__main__":
    main()
