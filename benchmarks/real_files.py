"""Every real file in the shared folder: opened and described, or refused in a sentence; met, flux, moorings fitted.

The folder is `ASSIM_SHARED_DATA`, or ../shared/data beside the checkout; without it the script says so and stops.
"""

import os
import tempfile
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import xarray as xr
from _recording import FOLDER, record

import assim
from assim.inference import Ascent, GaussNewton, Laplace

FITTED = ("met_arm", "flux_arm", "mooring_imos")
ENDINGS = (".nc", ".cdf")
ROWS, CHANNELS, FEWEST = 400, 2, 15
METHOD = Laplace(GaussNewton(), Ascent(num_steps=200, polish=50), num_draws=50)


def checked(path: Path) -> tuple[str, str, xr.Dataset | None]:
    """Whether a file opens and is described: what happened, a sentence, the record."""
    try:
        ds = assim.open_dataset(path)
        assim.describe(ds)
        return "opened", "", ds
    except (ValueError, OSError) as refusal:
        said = str(refusal)
        return ("refused in a sentence" if "\n" not in said else "failed"), said, None
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}".splitlines()[0], None


def thinned(ds: xr.Dataset) -> xr.Dataset:
    """The newest rows of the first channels that vary, at the place with most readings: a small fit."""
    names = [n for n, v in ds.data_vars.items() if "time" in v.dims and v.dtype.kind in "fiu"]
    for dim in {d for n in names for d in ds[n].dims} - {"time"}:
        held = sum(
            ds[n].notnull().sum([d for d in ds[n].dims if d != dim])
            for n in names
            if dim in ds[n].dims
        )
        ds = ds.isel({dim: int(held.argmax())})
    varying = []
    for name in names:
        seen = ds[name].values[np.isfinite(ds[name].values)]
        if seen.size > FEWEST and np.ptp(seen[-ROWS:]) > 0:
            varying.append(name)
    part = ds[varying[:CHANNELS]]
    if not varying:
        return part
    return part.dropna("time", how="all").isel(time=slice(-ROWS, None))


def fitted(ds: xr.Dataset) -> tuple[str, str]:
    """Whether a small linear autoregression is fitted."""
    part = thinned(ds)
    if not part.data_vars:
        return "nothing to fit", "no series along time that varies"
    try:
        assim.infer(assim.models.VAR(2), part, METHOD, key=jax.random.key(0), pointwise=20)
        return "fitted", ""
    except ValueError as refusal:
        step = np.median(np.diff(ds["time"].values)) / np.timedelta64(1, "s")
        try:
            part = assim.align(part, f"{max(round(step), 1)}s")
            assim.infer(assim.models.VAR(2), part, METHOD, key=jax.random.key(0), pointwise=20)
            return "fitted once aligned", str(refusal)
        except ValueError as again:
            return "refused in a sentence", str(again)
        except Exception as error:
            return "failed", f"{type(error).__name__}: {error}".splitlines()[0]
    except Exception as error:
        return "failed", f"{type(error).__name__}: {error}".splitlines()[0]


def main() -> None:
    shared = Path(os.environ.get("ASSIM_SHARED_DATA", FOLDER.parent.parent / "shared" / "data"))
    if not shared.is_dir():
        print("There is no folder of real files here: set ASSIM_SHARED_DATA to try one.")
        return
    warnings.simplefilter("ignore")
    jax.config.update("jax_compilation_cache_dir", tempfile.mkdtemp())
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    rows, notes = [], []
    for folder in sorted(p for p in shared.iterdir() if p.is_dir()):
        paths = sorted(p for p in folder.rglob("*") if p.suffix in ENDINGS)
        counts: dict[str, int] = {}
        begun = time.perf_counter()
        for path in paths:
            what, said, ds = checked(path)
            counts[what] = counts.get(what, 0) + 1
            if said:
                notes.append(
                    f"- `{folder.name}/{path.name}`: {what}: {said}".replace(str(shared), "...")
                )
            if ds is None or folder.name not in FITTED:
                continue
            fit, said = fitted(ds)
            counts[fit] = counts.get(fit, 0) + 1
            if fit != "fitted":
                notes.append(f"- `{folder.name}/{path.name}`: {fit}: {said}")
            print(path.name, what, fit, said, flush=True)
        if paths:
            told = ", ".join(f"{v} {k}" for k, v in counts.items())
            met = "no" if "failed" in counts else "yes"
            rows.append([folder.name, len(paths), told, time.perf_counter() - begun, met])
    record(
        "real_files",
        ["folder", "files", "what happened", "seconds", "met"],
        rows,
        notes=notes,
        aims="Aim: every file opens, or is refused in a sentence; a small linear fit (VAR(2), Laplace, the newest "
        f"{ROWS} rows of {CHANNELS} channels) runs on every met, flux and mooring series.",
    )


if __name__ == "__main__":
    main()
