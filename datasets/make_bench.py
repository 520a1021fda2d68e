"""The simulated test bench, as frames and as the signals behind them: used by `make.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from make_labels import names, placed

from assim.systems.bench import (
    CHANNELS,
    SIGNALS,
    ThermoacousticBench,
    plan,
    simulate_bench,
    simulate_bench_signals,
)

SEED = 20
RUNS, SECONDS = 24, 20.0
SCALES = {"p1": 0.01, "p2": 0.02, "oh": 0.03}
"""Steps of the signals where they are packed into 16 bits, a fifth of the noise of each sensor."""
SLOW = 2
"""Frames from one reading of T and P to the next."""
AHEAD = 1.0
"""Seconds that the plan goes on beyond the signals."""
SAME = {
    "keywords": "thermoacoustics, Van der Pol oscillator, Hopf bifurcation, test bench, simulation",
    "institution": "The assim developers",
    "creator_name": "The assim developers",
    "creator_url": "none",
    "references": "Boujo and Noiray 2016, arXiv:1612.02579, for the oscillator",
    "license": "Apache-2.0",
    "comment": "A simulation: no such bench exists. The model has no dimensions; its units of pressure, "
    "temperature and light are taken as Pa, K and W m-2 sr-1 to have names, and date and position "
    "(0, 0) are nominal.",
    "acknowledgement": "none",
    "metadata_link": "https://arxiv.org/abs/1612.02579",
    "platform": "none",
    "instrument": "none",
    "processing_level": "simulated",
    "project": "assim example data",
}


def test_bench(runs: int = RUNS, seconds: float = SECONDS) -> xr.Dataset:
    """Runs of the simulated thermoacoustic bench; fewer or shorter ones agree with the first of the whole.

    Args:
        runs: how many.
        seconds: how long is each.
    """
    bench = ThermoacousticBench()
    plans = _plans(bench, runs, seconds)
    seen = simulate_bench(bench, jnp.asarray(plans, jnp.float32), key=jax.random.key(SEED))
    ds = _record(
        dict(zip(CHANNELS, np.moveaxis(np.asarray(seen), -1, 0), strict=True)), bench.frame
    )
    at_ends = plans[:, _per_frame(bench) - 1 :: _per_frame(bench)]
    for i, name in enumerate(("u1", "u2")):
        ds[name] = (("run", "time"), at_ends[..., i].astype(np.float32), _names(name))
    return _finished(ds).assign_attrs(
        title="Simulated thermoacoustic test bench under planned set-points",
        summary="24 runs of 20 s of a noise-driven Van der Pol oscillator whose growth rate follows two actuators "
        "and drifts from run to run; features of two pressure sensors and a flame sensor in frames of 50 ms, "
        "with the planned set-points.",
        source="simulation by assim.systems.simulate_bench",
        time_coverage_resolution="PT0.05S",
        **SAME,
    )


def test_bench_raw(runs: int = 3, seconds: float = 4.0, rate: float = 2000.0) -> xr.DataTree:
    """The signals behind the first runs of `test_bench`, by groups with a rate each.

    Args:
        runs: how many.
        seconds: how long is each, at most 19 s: the plan goes on for another second.
        rate: of the fast signals, Hz; a whole fraction of 10 kHz, at which the bench is simulated.

    Returns:
        `fast` with p1, p2 and oh at that rate, `slow` with T and P at 10 Hz, `plan` with u1 and u2 at 20 Hz.
    """
    bench = ThermoacousticBench()
    plans = _plans(bench, runs, seconds + AHEAD)
    lasting = round(seconds / bench.oscillator.substep)
    stride = round(1 / bench.oscillator.substep / rate)
    moved = jnp.asarray(plans[:, :lasting], jnp.float32)
    signals, slow = simulate_bench_signals(bench, moved, key=jax.random.key(SEED))
    kept = np.moveaxis(np.asarray(signals)[:, stride - 1 :: stride], -1, 0)
    fast = _record(dict(zip(SIGNALS, kept, strict=True)), stride * bench.oscillator.substep)
    for name, scale in SCALES.items():
        fast[name].encoding["scale_factor"] = np.float32(scale)
    late = np.moveaxis(np.asarray(slow)[:, SLOW - 1 :: SLOW], -1, 0)
    at_ends = np.moveaxis(plans[:, _per_frame(bench) - 1 :: _per_frame(bench)], -1, 0)
    groups = {
        "fast": _finished(fast).assign_attrs(time_coverage_resolution=f"PT{1 / rate:g}S"),
        "slow": _finished(_record({"T": late[0], "P": late[1]}, SLOW * bench.frame)).assign_attrs(
            time_coverage_resolution=f"PT{SLOW * bench.frame:g}S"
        ),
        "plan": _finished(_record({"u1": at_ends[0], "u2": at_ends[1]}, bench.frame)).assign_attrs(
            time_coverage_resolution=f"PT{bench.frame:g}S"
        ),
    }
    tree = xr.DataTree.from_dict(groups)
    extent = {k: v for k, v in groups["fast"].attrs.items() if k.startswith("geospatial_")}
    tree.attrs = extent | {
        "title": "Signals of a simulated thermoacoustic test bench under planned set-points",
        "summary": f"{runs} runs of {seconds:g} s of a noise-driven Van der Pol oscillator whose growth rate "
        "follows two actuators and drifts from run to run: two pressure sensors and a flame sensor at "
        f"{rate:g} Hz, the actuators at 10 Hz, and the planned set-points at 20 Hz, which go on for another "
        f"{AHEAD:g} s.",
        "source": "simulation by assim.systems.simulate_bench_signals",
        "time_coverage_resolution": f"PT{1 / rate:g}S",
        "product_version": "2026-11-28",
        **SAME,
    }
    return tree


def _per_frame(bench: ThermoacousticBench) -> int:
    return round(bench.frame / bench.oscillator.substep)


def _plans(bench: ThermoacousticBench, runs: int, seconds: float) -> np.ndarray:
    """Set-points (run, substep, 2) of the first runs and seconds."""
    substep = bench.oscillator.substep
    plans = [
        [plan(SECONDS, substep, np.random.default_rng([SEED, run, i])) for i in range(2)]
        for run in range(runs)
    ]
    return np.swapaxes(np.stack(plans), 1, 2)[:, : round(seconds / substep)]


def _record(columns: dict[str, np.ndarray], step: float) -> xr.Dataset:
    """Variables (run, time), stamped at the end of each step of so many seconds."""
    runs, count = next(iter(columns.values())).shape
    times = np.datetime64("2000-01-01", "ns") + np.int64(round(step * 1e9)) * np.arange(
        1, count + 1
    )
    labels = [f"run{r:02d}" for r in range(runs)]
    ds = xr.Dataset(coords={"time": times.astype("datetime64[ns]"), "run": np.array(labels, "S5")})
    for name, values in columns.items():
        ds[name] = (("run", "time"), values.astype(np.float32), _names(name))
    return ds


def _finished(ds: xr.Dataset) -> xr.Dataset:
    ds["run"].attrs = {"long_name": "name of the run", "cf_role": "timeseries_id"}
    return placed(ds, None, 0.0, 0.0, 0.0)


def _names(name: str) -> dict:
    """Attributes of a variable; a logarithm is a unit to UDUNITS, so it can keep the name of its quantity."""
    pressure, light = "sound_pressure_in_air", "isotropic_shortwave_radiance_in_air"
    anomalies = {"P": "air_pressure_anomaly", "T": "air_temperature_anomaly"}
    rms, table = "time: root_mean_square", {}
    table["log_rms_p1"] = (pressure, "log RMS of pressure sensor 1", "ln(re 1 Pa)", rms)
    table["log_rms_p2"] = (pressure, "log RMS of pressure sensor 2", "ln(re 1 Pa)", rms)
    table["log_rms_oh"] = (light, "log RMS of the OH sensor", "ln(re 1 W m-2 sr-1)", rms)
    modulation = "time: standard_deviation (of the absolute value)"
    table["log_sd_p1"] = (
        pressure,
        "log modulation of pressure sensor 1",
        "ln(re 1 Pa)",
        modulation,
    )
    crossings = "zero crossings of pressure sensor 1 in a frame, two for each period"
    table["zero_crossings"] = ("sound_frequency", crossings, "10 s-1", "time: mean")
    table["T"] = (anomalies["T"], "wall temperature, from the operating point", "K", "time: point")
    table["P"] = (
        anomalies["P"],
        "power, as pressure from the operating point",
        "Pa",
        "time: point",
    )
    table["u1"] = (anomalies["P"], "planned set-point of P", "Pa", "time: point")
    table["u2"] = (anomalies["T"], "planned set-point of T", "K", "time: point")
    table["p1"] = (pressure, "pressure sensor 1", "Pa", "time: point")
    table["p2"] = (pressure, "pressure sensor 2", "Pa", "time: point")
    table["oh"] = (light, "OH sensor", "W m-2 sr-1", "time: point")
    standard_name, long_name, units, cell_methods = table[name]
    kind = "auxiliaryInformation" if name in ("u1", "u2") else "modelResult"
    return names(standard_name, long_name, units) | {
        "coverage_content_type": kind,
        "cell_methods": cell_methods,
        "support": "real",
    }
