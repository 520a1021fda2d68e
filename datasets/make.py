"""Makes the small CF files of this folder: `python datasets/make.py [folder]`.

Two are real records that installed packages carry (pvanalytics, statsmodels), the others are simulated. Same
packages, same files: nothing depends on the day, the machine's name or the order of a dictionary. See README.md for
where each comes from and under what licence.
"""

import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from statsmodels.datasets import co2

from assim.data.atomic import replacing
from assim.statespace import Span
from assim.systems import SHEN2025_POPULATIONS
from assim.systems.bench import CHANNELS, ThermoacousticBench, plan, simulate_bench

VERSION = "2026-11-25"
"""Day of the last change to what this script writes, for `date_created`."""
EPOCH = "seconds since 1970-01-01T00:00:00Z"
SEED = 20
RUNS, SECONDS = 24, 20.0
SNAPSHOTS, SAMPLES, HALF = 21, 200, np.timedelta64(500, "ms")
TAXON = "number_concentration_of_biological_taxon_in_sea_water"

# standard name, long name, unit, and the gross range: below, above which a reading fails; below which it is suspect
RADIATION = (-4.0, 2000.0, -2.0)
BROADER = "CF has no name for this quantity; the standard name is the nearest broader one."
MAST = {
    "Ambient Temperature": ("air_temperature", "", "air temperature", "degC", (-35.0, 50.0, -35.0)),
    "Barometric Pressure": ("air_pressure", "", "station pressure", "hPa", (500.0, 1100.0, 500.0)),
    "Relative Humidity": ("relative_humidity", "", "relative humidity", "%", (0.0, 100.0, 0.0)),
    "Wind Speed": ("wind_speed", "", "wind speed", "m s-1", (0.0, 50.0, 0.0)),
    "Wind Direction": (
        *("wind_from_direction", "", "direction from which the wind blows", "degree"),
        (-5.0, 365.0, 0.0),
    ),
    "Global Horizontal": (
        *("surface_downwelling_shortwave_flux_in_air", ""),
        *("global horizontal irradiance", "W m-2", RADIATION),
    ),
    "Diffuse Horizontal": (
        *("surface_diffuse_downwelling_shortwave_flux_in_air", ""),
        *("diffuse horizontal irradiance", "W m-2", RADIATION),
    ),
    "Direct Normal": (
        *("surface_direct_along_beam_shortwave_flux_in_air", ""),
        *("direct normal irradiance", "W m-2", RADIATION),
    ),
    "Global Normal": (
        *("global_normal_irradiance", "downwelling_shortwave_flux_in_air"),
        *("global irradiance on a plane that faces the sun", "W m-2", RADIATION),
    ),
    "Plane of array": (
        *("plane_of_array_irradiance", "downwelling_shortwave_flux_in_air"),
        *("global irradiance on the tilted plane of the modules", "W m-2", RADIATION),
    ),
    "UV-A": (
        *("uva_irradiance", "downwelling_shortwave_flux_in_air"),
        *("ultraviolet A irradiance", "W m-2", RADIATION),
    ),
    "UV-B": (
        *("uvb_irradiance", "downwelling_shortwave_flux_in_air"),
        *("ultraviolet B irradiance", "W m-2", RADIATION),
    ),
}
FLAGS = {
    "flag_values": np.array([1, 3, 4, 9], np.int8),
    "flag_meanings": "pass suspect fail missing",
}


def met_mast() -> xr.Dataset:
    """Four days of the mast beside NREL's solar laboratory, 12 channels every 5 minutes."""
    table = pd.read_csv(str(files("pvanalytics") / "data" / "rmis_weather_data.csv"), index_col=0)
    local = pd.to_datetime(table.index, format="%m/%d/%Y %H:%M").as_unit("ns")
    ds = xr.Dataset(coords={"time": (local + pd.Timedelta(hours=7)).values})
    for column, (name, standard_name, long_name, units, span) in MAST.items():
        values = table[column].to_numpy(float)
        attrs = _names(standard_name or name, long_name, units)
        attrs |= {"comment": BROADER} if standard_name else {}
        attrs |= {"ancillary_variables": f"{name}_qc"}
        ds[name] = ("time", values.astype(np.float32), attrs)
        flag_attrs = {"standard_name": "quality_flag", "long_name": f"QARTOD flag of {long_name}"}
        span_text = f"gross range: fail outside {span[0]:g} to {span[1]:g}, suspect below {span[2]:g} {units}"
        flag_attrs |= {**FLAGS, "comment": span_text}
        ds[f"{name}_qc"] = ("time", _gross_range(values, *span), flag_attrs)
    ds = _placed(ds, "NREL RMIS, Golden, Colorado", 39.74, -105.18, 1800.0)
    return ds.assign_attrs(
        title="Weather and solar radiation at Golden, Colorado, 1 to 4 January 2022",
        summary="Air temperature, pressure, humidity, wind and seven irradiances of the reference meteorological "
        "and irradiance system of the National Renewable Energy Laboratory, every 5 minutes; one reading a day is "
        "missing in all channels.",
        keywords="meteorology, solar radiation, wind, air temperature, met mast",
        institution="National Renewable Energy Laboratory",
        creator_name="National Renewable Energy Laboratory",
        creator_url="https://www.nrel.gov",
        source="RMIS ground station; rmis_weather_data.csv of the Python package pvanalytics",
        references="https://pvanalytics.readthedocs.io",
        license="MIT, as the package pvanalytics, copyright its contributors",
        comment="Values are those of the source. Its clock is local standard time without a zone; 7 hours were "
        "added, which sunrise fits. The position is that of the laboratory to 0.01 degree and about 50 m, since "
        "the source gives none. Flags are gross ranges alone, after the default limits of pvanalytics and of BSRN.",
        acknowledgement="Measured by NREL; carried by pvanalytics.",
        metadata_link="https://pvanalytics.readthedocs.io",
        platform="ground station",
        instrument="meteorological sensors and radiometers, not named in the source",
        processing_level="as published, with flags of a gross-range test",
        project="assim example data",
        time_coverage_resolution="PT5M",
    )


def mauna_loa_co2() -> xr.Dataset:
    """The weekly record of carbon dioxide that statsmodels carries, 1958 to 2001."""
    table = co2.load_pandas().data
    attrs = _names(
        "mole_fraction_of_carbon_dioxide_in_air",
        "mole fraction of carbon dioxide in dry air",
        "1e-6",
    )
    attrs |= {"comment": "parts per million by volume", "cell_methods": "time: mean"}
    values = table["co2"].to_numpy(np.float32)
    times = table.index.as_unit("ns").values
    ds = xr.Dataset({"co2": ("time", values, attrs)}, {"time": times})
    ds = _placed(ds, "Mauna Loa, Hawaii", 19.54, -155.58, 3397.0)
    return ds.assign_attrs(
        title="Weekly atmospheric carbon dioxide at Mauna Loa, 1958 to 2001",
        summary="Weekly means of continuous measurements of carbon dioxide at Mauna Loa Observatory, 2284 weeks, "
        "of which 59 are missing.",
        keywords="carbon dioxide, atmosphere, climate, Mauna Loa, Keeling curve",
        institution="Scripps Institution of Oceanography",
        creator_name="C. D. Keeling and T. P. Whorf",
        creator_url="https://scrippsco2.ucsd.edu",
        source="continuous non-dispersive infrared analyser; dataset co2 of the Python package statsmodels",
        references="Keeling and Whorf 2004, in Trends: A Compendium of Data on Global Change, Carbon Dioxide "
        "Information Analysis Center, Oak Ridge National Laboratory",
        license="public domain, as marked in statsmodels",
        comment="Values and gaps are those of the source; the stamp is the Saturday that it gives. The position is "
        "that of the observatory to 0.01 degree.",
        acknowledgement="Measured by C. D. Keeling and T. P. Whorf; carried by statsmodels.",
        metadata_link="https://www.statsmodels.org/stable/datasets/generated/co2.html",
        platform="Mauna Loa Observatory",
        instrument="non-dispersive infrared gas analyser",
        processing_level="as published",
        project="assim example data",
        time_coverage_resolution="P7D",
    )


def test_bench(runs: int = RUNS, seconds: float = SECONDS) -> xr.Dataset:
    """Runs of the simulated thermoacoustic bench; fewer or shorter ones agree with the first of the whole.

    Args:
        runs: how many.
        seconds: how long is each.
    """
    bench = ThermoacousticBench()
    substep, per_frame = bench.oscillator.substep, round(bench.frame / bench.oscillator.substep)
    plans = np.stack([[_plan(r, i, substep) for i in range(2)] for r in range(runs)])
    plans = np.swapaxes(plans, 1, 2)[:, : round(seconds / substep)]
    seen = simulate_bench(bench, jnp.asarray(plans, jnp.float32), key=jax.random.key(SEED))
    frames = seen.shape[1]
    frame_ns = np.int64(round(bench.frame * 1e9))
    times = np.datetime64("2000-01-01", "ns") + frame_ns * np.arange(1, frames + 1)
    labels = [f"run{r:02d}" for r in range(runs)]
    ds = xr.Dataset(coords={"time": times.astype("datetime64[ns]"), "run": np.array(labels, "S5")})
    for c, name in enumerate(CHANNELS):
        ds[name] = (("run", "time"), np.asarray(seen[..., c], np.float32), _bench_names(name))
    for i, name in enumerate(("u1", "u2")):
        planned = plans[:, per_frame - 1 :: per_frame, i].astype(np.float32)
        ds[name] = (("run", "time"), planned, _bench_names(name))
    ds["run"].attrs = {"long_name": "name of the run", "cf_role": "timeseries_id"}
    ds = _placed(ds, None, 0.0, 0.0, 0.0)
    return ds.assign_attrs(
        title="Simulated thermoacoustic test bench under planned set-points",
        summary="24 runs of 20 s of a noise-driven Van der Pol oscillator whose growth rate follows two actuators "
        "and drifts from run to run; features of two pressure sensors and a flame sensor in frames of 50 ms, "
        "with the planned set-points.",
        keywords="thermoacoustics, Van der Pol oscillator, Hopf bifurcation, test bench, simulation",
        institution="The assim developers",
        creator_name="The assim developers",
        creator_url="none",
        source="simulation by assim.systems.simulate_bench",
        references="Boujo and Noiray 2016, arXiv:1612.02579, for the oscillator",
        license="Apache-2.0",
        comment="A simulation: no such bench exists. The model has no dimensions; its units of pressure, "
        "temperature and light are taken as Pa, K and W m-2 sr-1 to have names, and date and position "
        "(0, 0) are nominal.",
        acknowledgement="none",
        metadata_link="https://arxiv.org/abs/1612.02579",
        platform="none",
        instrument="none",
        processing_level="simulated",
        project="assim example data",
        time_coverage_resolution="PT0.05S",
    )


def lotka_volterra() -> xr.Dataset:
    """Snapshots of prey and predators at whole times, no population seen twice."""
    return _populations(slice(0, None, 2), "at times 0, 1, ..., 10")


def lotka_volterra_held_out() -> xr.Dataset:
    """Snapshots of the same prey and predators at the half times between."""
    return _populations(slice(1, None, 2), "at times 0.5, 1.5, ..., 9.5, held out")


def write(ds: xr.Dataset, path: Path) -> None:
    """The dataset as a compressed netCDF that holds no date of its making."""
    times = pd.DatetimeIndex(ds["time"].values)
    version = ds.attrs.get("product_version", VERSION)
    sampling = {} if "sample" in ds.dims else {"featureType": "timeSeries"}
    fixed = {
        "Conventions": "CF-1.8, ACDD-1.3",
        **sampling,
        "id": f"assim.{path.stem}",
        "naming_authority": "assim",
        "history": f"{version}: written by datasets/make.py",
        "date_created": version,
        "date_modified": version,
        "date_issued": version,
        "date_metadata_modified": version,
        "creator_email": "none",
        "creator_type": "group" if "assim" in ds.attrs["creator_name"] else "institution",
        "creator_institution": ds.attrs["institution"],
        "publisher_name": "The assim developers",
        "publisher_url": "none",
        "publisher_email": "none",
        "publisher_type": "group",
        "publisher_institution": "The assim developers",
        "program": "none",
        "product_version": version,
        "keywords_vocabulary": "none",
        "platform_vocabulary": "none",
        "instrument_vocabulary": "none",
        "contributor_name": "The assim developers",
        "contributor_role": "conversion to CF",
        "standard_name_vocabulary": "CF Standard Name Table v93",
        "time_coverage_start": f"{times[0].isoformat()}Z",
        "time_coverage_end": f"{times[-1].isoformat()}Z",
        "time_coverage_duration": (times[-1] - times[0]).isoformat(),
    }
    ds = ds.assign_attrs(**fixed)
    ds.attrs = dict(sorted(ds.attrs.items()))
    coords = [str(c) for c in ds.coords if c not in ds.dims]
    encoding: dict[str, dict] = {"time": {"units": EPOCH, "calendar": "standard", "dtype": "f8"}}
    for name in ds.variables:
        encoding.setdefault(str(name), {})["_FillValue"] = None
    for name, da in ds.data_vars.items():
        encoding[str(name)] |= {"zlib": True, "complevel": 6, "shuffle": True}
        encoding[str(name)] |= {"_FillValue": np.float32(-9999.0)} if da.dtype.kind == "f" else {}
        da.encoding["coordinates"] = " ".join(coords)
    with replacing(path) as temporary:
        ds.to_netcdf(temporary, engine="netcdf4", format="NETCDF4_CLASSIC", encoding=encoding)


def _populations(which: slice, when: str) -> xr.Dataset:
    """Some of the snapshots 0.5 apart, each a batch of populations that were simulated from the start anew."""
    system = replace(SHEN2025_POPULATIONS, substeps=25)
    first, later = jax.random.split(jax.random.key(SEED))
    span = Span(jnp.asarray(0.5), jnp.zeros(0))
    start = system.init().sample(first, (SNAPSHOTS, SAMPLES))

    def step(x: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        keys = jax.random.split(key, (SNAPSHOTS, SAMPLES))
        moved = jax.vmap(jax.vmap(lambda x, k: system.transition(x, span, key=k)))(x, keys)
        return moved, moved

    walked = jax.lax.scan(step, start, jax.random.split(later, SNAPSHOTS - 1))[1]
    logs = jnp.concatenate([start[None], walked])[np.arange(SNAPSHOTS), np.arange(SNAPSHOTS)]
    seen = np.exp(np.asarray(logs, np.float64))[which].astype(np.float32)
    times = np.datetime64("2000-01-01", "ns") + np.arange(SNAPSHOTS)[which] * HALF
    ds = xr.Dataset(coords={"time": times.astype("datetime64[ns]")})
    for c, name in enumerate(system.channels()):
        about = {"cell_methods": "time: point", "coverage_content_type": "modelResult"}
        attrs = _names(TAXON, f"number of {name}", "m-3") | about
        ds[name] = (("sample", "time"), seen[..., c].T, attrs)
    return _placed(ds, None, 0.0, 0.0, 0.0).assign_attrs(
        title=f"Simulated snapshots of prey and predators {when}",
        summary=f"{SAMPLES} pairs of prey and predators {when}, each snapshot of populations of its own, by the "
        "equations of Lotka and Volterra with a = 1, b = c = 0.4, d = 0.1 and multiplicative noise of 0.02, from "
        "prey in [5, 5.1] and predators in [4, 4.1].",
        keywords="Lotka-Volterra equations, population dynamics, snapshots, Schroedinger bridge, simulation",
        institution="The assim developers",
        creator_name="The assim developers",
        creator_url="none",
        source="simulation by assim.systems.LotkaVolterra",
        references="Shen, Berlinghieri and Broderick 2025, arXiv:2408.06277, for the trial",
        license="Apache-2.0",
        comment="A simulation: the model has no dimensions. A second stands for its unit of time, so that rates "
        "are per second; m-3, the date and the position (0, 0) are nominal.",
        acknowledgement="none",
        metadata_link="https://arxiv.org/abs/2408.06277",
        platform="none",
        instrument="none",
        processing_level="simulated",
        project="assim example data",
        time_coverage_resolution="PT1S",
        product_version="2026-11-27",
    )


def _names(standard_name: str, long_name: str, units: str) -> dict:
    content = {"coverage_content_type": "physicalMeasurement"}
    return {"standard_name": standard_name, "long_name": long_name, "units": units, **content}


def _bench_names(name: str) -> dict:
    """Attributes of a feature; a logarithm is a unit to UDUNITS, so it can keep the name of its quantity."""
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
    standard_name, long_name, units, cell_methods = table[name]
    kind = "auxiliaryInformation" if name in ("u1", "u2") else "modelResult"
    return _names(standard_name, long_name, units) | {
        "coverage_content_type": kind,
        "cell_methods": cell_methods,
        "support": "real",
    }


def _gross_range(values: np.ndarray, low: float, high: float, suspect: float) -> np.ndarray:
    """QARTOD's gross-range flags."""
    flags = np.where(values < suspect, 3, 1)
    flags = np.where((values < low) | (values > high), 4, flags)
    return np.where(np.isnan(values), 9, flags).astype(np.int8)


def _plan(run: int, index: int, substep: float) -> np.ndarray:
    return plan(SECONDS, substep, np.random.default_rng([SEED, run, index]))


def _placed(ds: xr.Dataset, station: str | None, lat: float, lon: float, alt: float) -> xr.Dataset:
    """The dataset with its position as scalar coordinates, and the attributes that repeat it."""
    ds = ds.assign_coords(
        lat=((), lat, {**_axis("latitude", "degrees_north"), "axis": "Y"}),
        lon=((), lon, {**_axis("longitude", "degrees_east"), "axis": "X"}),
        alt=((), alt, {**_axis("altitude", "m"), "axis": "Z", "positive": "up"}),
    )
    if station is not None:
        label = {"long_name": "name of the station", "cf_role": "timeseries_id"}
        ds = ds.assign_coords(station_name=((), np.array(station, "S"), label))
    ds["time"].attrs = {"standard_name": "time", "long_name": "time", "axis": "T"}
    extent = {"geospatial_bounds": f"POINT ({lat:g} {lon:g})", "geospatial_bounds_crs": "EPSG:4326"}
    extent |= {"geospatial_bounds_vertical_crs": "EPSG:5714"}
    ranges = (("lat", lat, "degrees_north"), ("lon", lon, "degrees_east"), ("vertical", alt, "m"))
    for name, value, units in ranges:
        extent |= {f"geospatial_{name}_{end}": value for end in ("min", "max")}
        extent |= {f"geospatial_{name}_units": units, f"geospatial_{name}_resolution": "point"}
    return ds.assign_attrs(**extent, geospatial_vertical_positive="up")


def _axis(standard_name: str, units: str) -> dict:
    return {"standard_name": standard_name, "long_name": standard_name, "units": units}


MAKERS = {
    **{"met_mast": met_mast, "mauna_loa_co2": mauna_loa_co2, "test_bench": test_bench},
    **{"lotka_volterra": lotka_volterra, "lotka_volterra_held_out": lotka_volterra_held_out},
}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for title, make in MAKERS.items():
        target = folder / f"{title}.nc"
        write(make(), target)
        print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
