"""`take_snapshots`: populations at a few times, out of records of particles that were seen at their own times.

Sightings come from files (`assim.data.spotting`), windows are laid over them (`assim.data.windowing`), and what
these keep is stacked (`assim.data.stacking`).
"""

import glob
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from assim.data.aligning import Duration
from assim.data.clockwork import stamp
from assim.data.geometry import MOST_CELLS
from assim.data.projecting import Projection, axis_of, centred_on, is_angle
from assim.data.reading import open_raw
from assim.data.sighting import Sightings, together
from assim.data.spotting import sightings_of
from assim.data.stacking import stacked
from assim.data.tabulating import is_table, table_of
from assim.data.windowing import between, nearest, windows

HOWS = ("nearest", "linear")
type Source = str | Path | xr.Dataset | pd.DataFrame


def take_snapshots(
    source: Source | Iterable[Source],
    *,
    every: Duration | None = None,
    at: ArrayLike | None = None,
    within: Duration | None = None,
    variables: str | Iterable[str] | None = None,
    id: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    how: str = "nearest",
    paired: bool = True,
    projection: str | tuple[float, float] | None = None,
    qc: str | Mapping[str, str] = "bad",
) -> xr.Dataset:
    """Snapshots of particles that were seen at times of their own.

    Args:
        source: a netCDF file or Zarr store, a table of comma separated values, a pattern, an xarray.Dataset or a
            pandas.DataFrame of trajectories, profiles, stations or points in any layout of CF 9; or a list of them.
        every: width of the windows, for example "1D": they follow each other from the midnight before the first
            sighting, and each is stamped with its centre. With neither `every` nor `at` each stamp of the file is
            a snapshot.
        at: stamps in place of that, increasing dates, shape (snapshot,).
        within: the furthest a sighting may lie from its stamp; None for half a window, of `at` for half the
            shortest time between stamps.
        variables: coordinates, by name or standard name; None for the horizontal positions along the clock, or all
            readings along it where there are none.
        id: what tells the particles apart, a variable or a dimension; None to find it.
        weight: a variable that says how much each sighting counts; None for 1.
        time: the clock, a variable or the column of a table; None to find it.
        how: "nearest", or "linear" between the sightings before and after the stamp, both `within`; a particle that
            was seen on one side alone is left out.
        paired: whether identities are kept, so that samples of several snapshots are known to be one particle.
        projection: "local" to turn longitude and latitude into km about their middle, (lon, lat) in degrees to
            turn them about that point; None to keep the units of the file.
        qc: which flagged values become NaN, as in `assim.open_dataset`.

    Returns:
        Snapshots (time, sample): each coordinate in file units or in km, NaN where a snapshot holds fewer samples
        than the largest, `<name>_sd` where errors are known, `weight`, and the coordinate `id`, "" in the padding.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no clock, no coordinate, coordinates of mixed units, a window longer than the record, nothing
            within the windows, "linear" without identities, a projection of what is not in degrees.
    """
    if how not in HOWS:
        raise ValueError(f"how={how!r} is none of {', '.join(HOWS)}: choose one of these.")
    if every is not None and at is not None:
        raise ValueError("Give every= or at=, and not both: a width of windows, or the stamps.")
    seen = _sighted(source, variables, {"id": id, "weight": weight, "time": time, "qc": qc})
    seen = _continued(seen) if projection is None else _projected(seen, projection)
    stamps, reach, words = windows(seen, every, at, within)
    if how == "linear":
        rows, snapshot = between(seen, stamps.astype(np.int64), reach)
    else:
        rows, snapshot = nearest(seen, stamps.astype(np.int64), reach)
    if snapshot.size == 0:
        first, last = stamp(seen.times[0]), stamp(seen.times[-1])
        raise ValueError(
            f"No particle was seen about any of the {stamps.size} stamps ({words}); the sightings run from {first} "
            f"to {last}: take other stamps, or a wider within=."
        )
    kept = paired and rows.who is not None
    _refuse_too_many(stamps.size, int(np.bincount(snapshot).max()), seen.times.size)
    ds = stacked(
        stamps,
        snapshot,
        rows.x,
        rows.names,
        sd=rows.sd,
        weight=rows.weight,
        who=rows.who if kept else None,
        labels=rows.labels,
        attrs={n: a | {"cell_methods": "time: point"} for n, a in rows.attrs.items()},
    )
    ds["time"].attrs["comment"] = words
    said = [*seen.said, _told(seen, snapshot, stamps.size, how, words, kept)]
    return ds.assign_attrs(seen.about | {"repairs": "\n".join(said)})


def _sighted(
    source: Any, variables: str | Iterable[str] | None, asked: dict[str, Any]
) -> Sightings:
    """The sightings of all sources, with the coordinates of the first."""
    wanted = [variables] if isinstance(variables, str) else variables
    wanted = None if wanted is None else list(wanted)
    parts: list[Sightings] = []
    for one in _each(source):
        if is_table(one):
            table, label = table_of(one, asked["time"])
            parts.append(sightings_of(table, label, wanted, **asked))
        elif isinstance(one, xr.Dataset):
            parts.append(sightings_of(one, "the dataset", wanted, **asked))
        else:
            with open_raw(Path(one)) as raw:
                parts.append(sightings_of(raw, str(one), wanted, **asked))
        wanted = list(parts[0].names)
    if not parts:
        raise FileNotFoundError(f"No file matches {source}: check the pattern and the folder.")
    return parts[0] if len(parts) == 1 else together(parts)


def _each(source: Any) -> Iterator[Any]:
    if isinstance(source, xr.Dataset | pd.DataFrame):
        yield source
    elif isinstance(source, str | Path):
        path = Path(source).expanduser()
        pattern = glob.has_magic(str(path)) and not path.exists()
        yield from sorted(glob.glob(str(path), recursive=True)) if pattern else [path]
    elif isinstance(source, Iterable) and not isinstance(source, Mapping):
        for one in source:
            yield from _each(one)
    else:
        raise ValueError(
            "A file, a pattern, an xarray.Dataset, a pandas.DataFrame or a list of these is needed, not "
            f"{type(source).__name__}."
        )


def _horizontal(seen: Sightings) -> tuple[int, int] | None:
    """The columns of longitude and latitude in degrees."""
    axes = {
        axis_of(n, seen.attrs[n]): c for c, n in enumerate(seen.names) if is_angle(n, seen.attrs[n])
    }
    return (axes["X"], axes["Y"]) if {"X", "Y"} <= set(axes) else None


def _continued(seen: Sightings) -> Sightings:
    """Longitudes counted on across the date line, where they lie on both sides of it."""
    columns = _horizontal(seen)
    if columns is None:
        return seen
    lon = seen.x[:, columns[0]]
    if np.nanmax(lon) - np.nanmin(lon) <= 180.0:
        return seen
    middle = centred_on(lon, np.zeros_like(lon)).lon
    counted = middle + np.mod(lon - middle + 180.0, 360.0) - 180.0
    if np.ptp(counted[np.isfinite(counted)]) > 180.0:
        return seen
    x = seen.x.copy()
    x[:, columns[0]] = counted
    said = "Longitudes were counted on across the date line."
    return seen.with_coordinates(x, said=said)


def _projected(seen: Sightings, projection: str | tuple[float, float]) -> Sightings:
    """Longitude and latitude in km about a point, their errors by the scale at each place."""
    columns = _horizontal(seen)
    if columns is None:
        units = ", ".join(f"'{n}' in {seen.attrs[n].get('units', 'no units')}" for n in seen.names)
        raise ValueError(
            f"projection={projection!r} needs a longitude and a latitude in degrees, and the coordinates are "
            f"{units}: leave projection= out, or name both with variables=[...]."
        )
    lon, lat = seen.x[:, columns[0]], seen.x[:, columns[1]]
    about = centred_on(lon, lat) if projection == "local" else _about(projection)
    x, sd, names, attrs = seen.x.copy(), seen.sd.copy(), list(seen.names), dict(seen.attrs)
    per_degree = np.radians(about.radius)
    for axis, c, values, shrink in zip(
        "XY", columns, about.forward(lon, lat), (np.cos(np.radians(lat)), 1.0), strict=True
    ):
        x[:, c], sd[:, c] = values, seen.sd[:, c] * per_degree * shrink
        names[c] = axis.lower()
        attrs[names[c]] = about.attrs(axis)
    if len(set(names)) < len(names):
        raise ValueError(
            f"The coordinates {', '.join(seen.names)} hold an x or a y beside longitude and latitude, which become "
            "x and y: choose either with variables=[...]."
        )
    side = f"{abs(about.lat):g} {'S' if about.lat < 0 else 'N'}, {about.lon:g} E"
    said = f"Longitude and latitude became x and y, km about {side} on a sphere."
    return seen.with_coordinates(x, sd, tuple(names), {n: attrs[n] for n in names}, said)


def _about(projection: Any) -> Projection:
    try:
        lon, lat = (float(v) for v in projection)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"projection={projection!r} is no projection: give 'local', an origin (lon, lat) in degrees, or None."
        ) from error
    if not (-360.0 <= lon <= 360.0 and -90.0 <= lat <= 90.0):
        raise ValueError(
            f"projection=({lon:g}, {lat:g}) is no place: longitude comes first, and latitude lies in -90 to 90."
        )
    return Projection(lon, lat)


def _refuse_too_many(snapshots: int, samples: int, rows: int) -> None:
    if snapshots * samples > MOST_CELLS:
        raise ValueError(
            f"{snapshots} snapshots of up to {samples} of {rows} sightings do not fit: take fewer windows."
        )


def _told(seen: Sightings, snapshot: NDArray, count: int, how: str, words: str, kept: bool) -> str:
    """The sentence on what the snapshots hold."""
    counts = np.bincount(snapshot, minlength=count)
    span = " to ".join(map(str, np.unique([counts.min(), counts.max()])))
    held = f"{count} snapshots hold {span} samples each; a stamp is {words}"
    if seen.who is None:
        return f"{held}; nothing tells whose a sighting is, and each is a sample."
    of = "the sighting nearest to the stamp" if how == "nearest" else "the line through the stamp"
    pairs = "paired by id" if kept else "unpaired"
    return f"{held}; of each of {len(seen.labels)} particles {of} was taken, {pairs}."
