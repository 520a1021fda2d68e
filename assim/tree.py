"""Results as a self-contained `xr.DataTree` in ArviZ's schema, exact through netCDF, and back again.

Every group has (chain, draw); observed cells alone lie along `obs_id`. Settings, layout and scaling are JSON in
the root attributes, so that `restore` needs nothing but the file.
"""

import datetime
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame
from assim.model import AbstractModel, bind
from assim.registry import made_from, settings_of
from assim.series import Layout
from assim.statespace import AbstractStateSpace
from assim.types import Key, Sites

SCHEMA = "1"
PACKAGES = ("jax", "numpyro", "equinox", "optax", "xarray", "arviz", "numpy")


@dataclass(frozen=True)
class Fitted:
    """A posterior ready for use.

    Args:
        model: the family with its settings.
        layout: what the columns are.
        frame: what a later frame of the same columns needs.
        constants: what was counted at the fit.
        sites: draws of the sample sites, each shape (chain, draw, ...).
        centre: sites at which the network is linearised, or None.
        tail: the end of the training record, file units, or None.
    """

    model: AbstractModel
    layout: Layout
    frame: dict
    constants: Sites
    sites: Sites
    centre: Sites | None
    tail: xr.Dataset | None

    def state_space(self, sites: Sites) -> AbstractStateSpace:
        """The state-space model at one draw."""
        return bind(self.model, sites, self.layout, self.constants, self.centre)

    def thinned(self, num_draws: int | None) -> Sites:
        """Draws evenly spaced along each chain, about `num_draws` over all chains."""
        first = next(iter(self.sites.values()))
        chains, draws = first.shape[:2]
        kept = draws if num_draws is None else max(1, min(draws, num_draws // chains))
        at = np.linspace(0, draws - 1, kept).round().astype(int)
        return {k: jnp.asarray(v[:, at]) for k, v in self.sites.items()}


def tree_of(groups: dict[str, xr.Dataset], attrs: dict[str, str]) -> xr.DataTree:
    """A tree of the groups that hold something, with provenance beside `attrs`."""
    tree = xr.DataTree.from_dict(
        {f"/{k}": ds for k, ds in groups.items() if ds.variables or ds.attrs}
    )
    tree.attrs = {
        **attrs,
        "schema": SCHEMA,
        "assim_version": importlib.metadata.version("assim"),
        "versions": json.dumps({p: importlib.metadata.version(p) for p in PACKAGES}),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return tree


def model_attrs(model: AbstractModel, layout: Layout, frame: dict, key: Key) -> dict[str, str]:
    """The root attributes from which `restore` makes the model again."""
    return {
        "model": json.dumps(settings_of(model)),
        "layout": json.dumps(layout.to_dict()),
        "scaling": json.dumps(frame),
        "key": json.dumps(np.asarray(jax.random.key_data(key)).tolist()),
    }


def sites_dataset(sites: dict[str, np.ndarray]) -> xr.Dataset:
    """Draws (chain, draw, ...) with a dimension of its own for each further axis."""
    return xr.Dataset({name: _drawn(name, np.asarray(value)) for name, value in sites.items()})


def arrays_dataset(**named: dict[str, np.ndarray] | None) -> xr.Dataset:
    """Fixed arrays under `prefix.name`, for `constant_parameters`."""
    out = {}
    for prefix, arrays in named.items():
        for name, value in (arrays or {}).items():
            full, value = f"{prefix}.{name}", np.asarray(value)
            out[full] = xr.DataArray(value, dims=[f"{full}_dim_{i}" for i in range(value.ndim)])
    return xr.Dataset(out)


def fingerprint(frame: Frame) -> str:
    """Sixteen hexadecimal digits that change with any reading, error, stamp, or name or support of a channel."""
    names = frame.channels + frame.scaling.supports + frame.inputs
    digest = hashlib.sha256(",".join(names).encode())
    for part in (frame.times.astype("int64"), frame.y, frame.sd, frame.u):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]


def restore(tree: xr.DataTree | str | Path, model: AbstractModel | None = None) -> Fitted:
    """The fitted model that a posterior tree holds.

    Args:
        tree: what `infer` gave, or the path where it was written.
        model: the model, where it is of a class of your own; None to make it from the file's settings.

    Raises:
        ValueError: not a posterior tree of this package, another version of it, another model, or a damaged one.
    """
    tree = read_tree(tree) if isinstance(tree, str | Path) else tree
    missing = [k for k in ("model", "layout", "scaling", "schema") if k not in tree.attrs]
    if missing or "posterior" not in tree.children:
        raise ValueError(
            "This is not a posterior tree of assim (it lacks "
            f"{', '.join([*missing, *([] if 'posterior' in tree.children else ['posterior'])])}): "
            "give the file that `assim fit` or `infer(...).to_netcdf` wrote."
        )
    if str(tree.attrs["schema"]) != SCHEMA:
        raise ValueError(
            f"The tree has schema {tree.attrs['schema']} (written by assim "
            f"{tree.attrs.get('assim_version', '?')}) and this version reads schema {SCHEMA}: fit again."
        )
    stored = _stored(tree, "model")
    if model is not None and type(model).__name__ != stored["type"]:
        raise ValueError(
            f"The tree holds a {stored['type']} and you gave a {type(model).__name__}."
        )
    empty = xr.DataTree(name="constant_parameters")
    fixed = tree.children.get("constant_parameters", empty).to_dataset()
    parts: dict[str, Sites] = {"constants": {}, "centre": {}}
    for name, value in fixed.data_vars.items():
        prefix, _, rest = str(name).partition(".")
        if prefix in parts:
            parts[prefix][rest] = jnp.asarray(value.values)
    sites: dict[str, Any] = {
        str(k): v.values for k, v in tree["posterior"].to_dataset().data_vars.items()
    }
    return Fitted(
        model=made_from(stored) if model is None else model,
        layout=Layout.from_dict(_stored(tree, "layout")),
        frame=_stored(tree, "scaling"),
        constants=parts["constants"],
        sites=sites,
        centre=parts["centre"] or None,
        tail=_tail(tree),
    )


def read_tree(path: str | Path) -> xr.DataTree:
    """A tree from netCDF or Zarr.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be read as a tree.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the name, or fit a model first.")
    try:
        if path.is_dir():
            return xr.open_datatree(path, engine="zarr", consolidated=False)
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a result of assim ({reason}): it is damaged or something else; "
            "make it again."
        ) from error


def _stored(tree: xr.DataTree, name: str) -> dict:
    needed = {
        "model": {"type"},
        "layout": {f.name for f in fields(Layout)},
        "scaling": {"channels", "step", "calendar", "scaling", "control_scaling", "stations"},
    }[name]
    try:
        stored = json.loads(tree.attrs[name])
    except (TypeError, ValueError):
        stored = None
    if not isinstance(stored, dict) or not needed <= set(stored):
        raise ValueError(
            f"The attribute '{name}' of the tree is damaged: take a whole copy of the file, or fit again."
        )
    return stored


def _tail(tree: xr.DataTree) -> xr.Dataset | None:
    return tree["belief"].to_dataset() if "belief" in tree.children else None


def _drawn(name: str, value: np.ndarray) -> xr.DataArray:
    dims = ["chain", "draw", *(f"{name}_dim_{i}" for i in range(value.ndim - 2))]
    coords = {"chain": np.arange(value.shape[0]), "draw": np.arange(value.shape[1])}
    return xr.DataArray(value, dims=dims, coords=coords)
