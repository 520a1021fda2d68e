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
from make_bench import SEED, test_bench, test_bench_raw
from make_labels import names, placed, write
from statsmodels.datasets import co2

from assim.statespace import Span
from assim.systems import SHEN2025_POPULATIONS

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
        attrs = names(standard_name or name, long_name, units)
        attrs |= {"comment": BROADER} if standard_name else {}
        attrs |= {"ancillary_variables": f"{name}_qc"}
        ds[name] = ("time", values.astype(np.float32), attrs)
        flag_attrs = {"standard_name": "quality_flag", "long_name": f"QARTOD flag of {long_name}"}
        span_text = f"gross range: fail outside {span[0]:g} to {span[1]:g}, suspect below {span[2]:g} {units}"
        flag_attrs |= {**FLAGS, "comment": span_text}
        ds[f"{name}_qc"] = ("time", _gross_range(values, *span), flag_attrs)
    ds = placed(ds, "NREL RMIS, Golden, Colorado", 39.74, -105.18, 1800.0)
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
    attrs = names(
        "mole_fraction_of_carbon_dioxide_in_air",
        "mole fraction of carbon dioxide in dry air",
        "1e-6",
    )
    attrs |= {"comment": "parts per million by volume", "cell_methods": "time: mean"}
    values = table["co2"].to_numpy(np.float32)
    times = table.index.as_unit("ns").values
    ds = xr.Dataset({"co2": ("time", values, attrs)}, {"time": times})
    ds = placed(ds, "Mauna Loa, Hawaii", 19.54, -155.58, 3397.0)
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


def lotka_volterra() -> xr.Dataset:
    """Snapshots of prey and predators at whole times, no population seen twice."""
    return _populations(slice(0, None, 2), "at times 0, 1, ..., 10")


def lotka_volterra_held_out() -> xr.Dataset:
    """Snapshots of the same prey and predators at the half times between."""
    return _populations(slice(1, None, 2), "at times 0.5, 1.5, ..., 9.5, held out")


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
        attrs = names(TAXON, f"number of {name}", "m-3") | about
        ds[name] = (("sample", "time"), seen[..., c].T, attrs)
    return placed(ds, None, 0.0, 0.0, 0.0).assign_attrs(
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


def _gross_range(values: np.ndarray, low: float, high: float, suspect: float) -> np.ndarray:
    """QARTOD's gross-range flags."""
    flags = np.where(values < suspect, 3, 1)
    flags = np.where((values < low) | (values > high), 4, flags)
    return np.where(np.isnan(values), 9, flags).astype(np.int8)


MAKERS = {
    **{"met_mast": met_mast, "mauna_loa_co2": mauna_loa_co2, "test_bench": test_bench},
    "test_bench_raw": test_bench_raw,
    **{"lotka_volterra": lotka_volterra, "lotka_volterra_held_out": lotka_volterra_held_out},
}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for title, make in MAKERS.items():
        target = folder / f"{title}.nc"
        write(make(), target)
        print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")
