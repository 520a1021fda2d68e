"""`open_dataset`: from files of any of the usual layouts to one dataset with one clock.

What comes back has a strictly increasing `time` in datetime64[ns], NaN where a reading is missing, an instance
dimension (station, trajectory or profile) in front where there is one, readings as data variables and positions as
coordinates. Each mend is a sentence in `ds.attrs["repairs"]`.
"""

import glob
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from assim.data.choosing import has, not_there
from assim.data.joining import join
from assim.data.mending import is_lazy
from assim.data.reading import open_raw
from assim.data.recording import Record, record_of

OPEN = "the dataset"


def open_dataset(
    path_or_paths: str | Path | xr.Dataset | Iterable[str | Path | xr.Dataset],
    variables: str | Iterable[str] | None = None,
    qc: str | Mapping[str, str] = "bad",
    chunks: Any = None,
) -> xr.Dataset:
    """Opens sensor files: netCDF or Zarr, one or several, or a dataset that is already open.

    Args:
        path_or_paths: a file, a Zarr store, a pattern such as ``2020/*.nc``, a list of these, or an xarray.Dataset.
        variables: readings to keep, by name or standard name; None for all. A clock among them settles which of
            two time coordinates counts.
        qc: which flagged readings become NaN: "bad" keeps suspect ones, "suspect" drops both, "none" drops
            nothing; or one of these for each variable.
        chunks: sizes of dask chunks, for example {"time": 100_000}, to keep the readings lazy; the files then stay
            open, and sentinels that are not declared are not looked for.

    Returns:
        Readings (instance, time, ...) in file units with their CF attributes; in memory with `n_missing`.

    Raises:
        FileNotFoundError: no such file, or a pattern that matches none.
        ValueError: no netCDF, damaged, no clock or two, a variable that is not there, no reading left.
    """
    from assim.data.quality import screen

    wanted = (
        [variables]
        if isinstance(variables, str)
        else None
        if variables is None
        else list(variables)
    )
    if wanted == []:
        raise ValueError("variables=[] chooses nothing: name some, or leave it out to read all.")
    sources = _sources(path_or_paths)
    records: list[Record] = []
    opened: list[xr.Dataset] = []
    strange: dict[str, ValueError] = {}
    met: set[str] = set()
    try:
        for source in sources:
            if isinstance(source, xr.Dataset):
                raw, label = source, OPEN
            else:
                raw, label = open_raw(source), str(source)
                opened.append(raw)
            here = wanted
            if wanted is not None and len(sources) > 1:
                here = has(raw, wanted)
                met |= set(here)
                for name in set(wanted) - met:
                    strange.setdefault(name, not_there(raw, name))
            if here != []:
                records.append(record_of(raw, label, here, qc, chunks, screen))
            if chunks is None and opened:
                opened.pop().close()
        for name in wanted or ():
            if name in strange and name not in met:
                raise strange[name]
        ds, repairs = join(records)
        return _finished(ds, records, repairs, qc)
    except BaseException:
        for raw in opened:
            raw.close()
        raise


def present(
    path_or_paths: str | Path | xr.Dataset | Iterable[str | Path | xr.Dataset],
    variables: Iterable[str],
) -> list[str]:
    """Those of some variables, by name or standard name, that any of the files has, in their order.

    Args:
        path_or_paths: as of `open_dataset`.
        variables: names.

    Raises:
        FileNotFoundError: no such file, or a pattern that matches none.
        ValueError: no netCDF, damaged, or readings in groups alone.
    """
    wanted, met = list(variables), set[str]()
    for source in _sources(path_or_paths):
        raw = source if isinstance(source, xr.Dataset) else open_raw(source)
        met |= set(has(raw, wanted))
        if raw is not source:
            raw.close()
    return [name for name in wanted if name in met]


def _sources(given: Any) -> list[Path | xr.Dataset]:
    """The files that are meant, each once and in order."""
    if isinstance(given, xr.Dataset):
        return [given]
    if isinstance(given, xr.DataArray):
        return [given.to_dataset(name=given.name or "reading")]
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        if path.exists() or not glob.has_magic(str(path)):
            return [path]
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise FileNotFoundError(f"No file matches {given}: check the pattern and the folder.")
        return [Path(p) for p in found]
    if isinstance(given, xr.DataTree):
        raise _is_a_tree(given)
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise ValueError(
            f"A file, a pattern, a list of files or an xarray.Dataset is needed, not {type(given).__name__}."
        )
    sources = [source for one in given for source in _sources(one)]
    if not sources:
        raise FileNotFoundError("The list of files is empty: name at least one.")
    return sources


def _is_a_tree(tree: xr.DataTree) -> ValueError:
    groups = [node.path.strip("/") for node in tree.subtree if node.data_vars]
    told = ", ".join(f"tree[{g!r}].to_dataset()" if g else "tree.to_dataset()" for g in groups[:6])
    return ValueError(
        "A file, a pattern, a list of files or an xarray.Dataset is needed, and this is an xarray.DataTree: give "
        f"the dataset of one group, {told or 'but all of its groups are empty'}."
    )


def _finished(ds: xr.Dataset, records: list[Record], repairs: list[str], qc: Any) -> xr.Dataset:
    """Counts, refusals and a dataset that can be written as it is."""
    ds = ds.drop_encoding()
    source = records[0].source if len(records) == 1 else f"the {len(records)} files"
    if not is_lazy(ds):
        readings = [n for n in dict.fromkeys(n for r in records for n in r.readings) if n in ds]
        left = {n: int(ds[n].notnull().sum()) for n in readings}
        if not any(left.values()):
            raise _nothing_left(readings, source, records, qc)
        for name in readings:
            ds[name].attrs["n_missing"] = int(ds[name].size) - left[name]
    ds.attrs = {k: v for k, v in ds.attrs.items() if ":" not in str(k)} | {
        "repairs": "\n".join(repairs)
    }
    return ds


def _nothing_left(readings: list[str], source: str, records: list[Record], qc: Any) -> ValueError:
    names = ", ".join(map(repr, readings[:6])) + (" and more" if len(readings) > 6 else "")
    if any(r.kept for r in records):
        return ValueError(
            f"All readings of {names} in {source} lie in rows without a time, which are dropped: "
            "choose other variables."
        )
    if any(r.seen for r in records):
        return ValueError(
            f"All readings of {names} in {source} are flagged bad under the policy qc={qc!r}: read them with "
            "qc='none', or choose other variables."
        )
    return ValueError(
        f"All readings of {names} in {source} are missing: choose other variables, or check the fill value and the "
        "valid range in the file."
    )
