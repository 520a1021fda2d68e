"""Results as a self-contained `xr.DataTree` in ArviZ's schema, exact through netCDF, and back again.

Every group has (chain, draw); observed cells alone lie along `obs_id`. Settings, layout and scaling are JSON in
the root attributes, so that `restore` needs nothing but the file.
"""

import datetime
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from pathlib import Path
from reprlib import repr as in_short
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpyro import handlers

from assim.data.calendar import CalendarFeatures
from assim.data.framing import Frame
from assim.data.scaling import Scaling
from assim.data.storing import open_store
from assim.model import (
    AbstractModel,
    AbstractPointwise,
    AbstractPopulation,
    AbstractSequential,
    AbstractWindowless,
)
from assim.problem import bind
from assim.registry import made_from, settings_of
from assim.series import Layout, Series, Stream, windows
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
        "model": json.dumps(
            settings_of(model, own=isinstance(model, AbstractSequential | AbstractPopulation))
        ),
        "layout": json.dumps(layout.to_dict()),
        "scaling": json.dumps(frame),
        "key": json.dumps(np.asarray(jax.random.key_data(key)).tolist()),
    }


def require_key(key: Key) -> None:
    """Refuse what is not one random key.

    Raises:
        TypeError: a seed, several keys, or anything else.
    """
    try:
        jax.random.fold_in(key, 0)
    except (TypeError, ValueError) as error:
        seed = key if isinstance(key, int) else 0
        raise TypeError(
            f"key={in_short(key)} is not a random key: give key=jax.random.key({seed})."
        ) from error


def sites_dataset(sites: dict[str, np.ndarray]) -> xr.Dataset:
    """Draws (chain, draw, ...) with a dimension of its own for each further axis."""
    return xr.Dataset({name: _drawn(name, np.asarray(value)) for name, value in sites.items()})


def arrays_dataset(**named: dict[str, Any] | None) -> xr.Dataset:
    """Fixed arrays under `prefix.name`, for `constant_parameters`."""
    out = {}
    for prefix, arrays in named.items():
        for name, value in (arrays or {}).items():
            full, value = f"{prefix}.{name}", np.asarray(value)
            out[full] = xr.DataArray(value, dims=[f"{full}_dim_{i}" for i in range(value.ndim)])
    return xr.Dataset(out)


def fingerprint(frame: Frame) -> str:
    """Sixteen hexadecimal digits that change with any reading, error, stamp, or name or support of a channel."""
    names = frame.channels + frame.scaling.laws + frame.inputs
    return _digest(names, (frame.times.astype("int64"), frame.y, frame.sd, frame.u))


def fingerprint_of(constants: Sites) -> str:
    """Sixteen hexadecimal digits that change with any number that a model counted in its record."""
    names = sorted(constants)
    return _digest(tuple(names), (np.asarray(constants[name]) for name in names))


def _digest(names: tuple[str, ...], parts: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256(",".join(names).encode())
    for part in parts:
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
    told, columns, frame = (stored(tree, name) for name in ("model", "layout", "scaling"))
    given = model is not None
    if given and type(model).__name__ != told["type"]:
        raise ValueError(f"The tree holds a {told['type']} and you gave a {type(model).__name__}.")
    with _damage(tree, "attribute 'model'"):
        model = made_from(told) if model is None else model
    with _damage(tree, "attribute 'layout'"):
        layout = Layout.from_dict(columns)
    with _damage(tree, "attribute 'scaling'"):
        _require_agreement(layout, frame)
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
    fitted = Fitted(
        model, layout, frame, parts["constants"], sites, parts["centre"] or None, _tail(tree)
    )
    _require_whole(tree, fitted, given=given)
    return fitted


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
            return open_store(path)
        with h5py.File(path) as file:
            dict(
                file.attrs
            )  # h5netcdf cannot close a file again whose attributes it could not read
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a result of assim ({reason}): it is damaged or something else; "
            "make it again."
        ) from error


def stored(tree: xr.DataTree, name: str) -> dict:
    """What an attribute of the root holds: "model", "layout" or "scaling".

    Raises:
        ValueError: it is damaged.
    """
    needed = {
        "model": {"type"},
        "layout": {f.name for f in fields(Layout) if f.default is MISSING},
        "scaling": {
            *("channels", "step", "calendar", "scaling", "control_scaling"),
            *("stations", "instance", "attrs"),
        },
    }[name]
    with _damage(tree, f"attribute '{name}'"):
        found = json.loads(tree.attrs[name])
        lacking = sorted(needed - set(found if isinstance(found, dict) else ()))
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")
    return found


@contextmanager
def _damage(tree: xr.DataTree, part: str, *, given: bool = False) -> Iterator[None]:
    """What damage to a part of the tree leads to, as one sentence; `given` where the model is the user's own."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        text = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        if text.startswith("The file was made"):  # by another version: that is told already
            raise
        what = "is damaged, or not of the model that you gave" if given else "is damaged"
        cure = "give the model as it was fitted, or" if given else "or"
        place = tree.encoding.get("source")
        raise ValueError(
            f"The tree {f'{place} ' if place else ''}{what}: its {part} cannot be used "
            f"({f'it lacks {text}' if isinstance(error, KeyError) else text}); "
            f"take a whole copy of the file, {cure} fit again."
        ) from error


def _require_whole(tree: xr.DataTree, fitted: Fitted, *, given: bool) -> None:
    """Refuse arrays that are not those the model counts and samples on such a layout."""
    model, layout, constants, sites = fitted.model, fitted.layout, fitted.constants, fitted.sites
    with _damage(tree, "group 'constant_parameters'", given=given):
        whole = isinstance(model, AbstractSequential | AbstractPopulation)  # is no key of a cache
        windowed = not isinstance(model, AbstractWindowless)
        _require(constants, dict.fromkeys(_counted(model, layout)) if windowed else {})
        shapes = tuple((name, v.shape, str(v.dtype)) for name, v in constants.items())
        sampled = (_sampled.__wrapped__ if whole else _sampled)(model, layout, shapes)
    with _damage(tree, "group 'posterior'", given=given):
        drawn = tuple(tree["posterior"].sizes.get(d, 0) for d in ("chain", "draw"))
        _require(sites, {name: (*drawn, *shape) for name, shape in sampled.items()})
        more = sorted(set(sites) - set(sampled))
        if more and type(model).likelihood is AbstractPointwise.likelihood:  # it samples nothing
            raise ValueError(f"the model has no {', '.join(more)}")
    if fitted.centre is not None:
        with _damage(tree, "group 'constant_parameters'", given=given):
            _require(fitted.centre, sampled)


def _require_agreement(layout: Layout, frame: dict) -> None:
    """Refuse a layout and a scaling that are not of one fit, or numbers that scale nothing."""
    scaling = Scaling.from_dict(frame["scaling"])
    controls = np.asarray(frame["control_scaling"], float).reshape(2, -1)
    calendar = CalendarFeatures(tuple(frame["calendar"])).names
    channels, runs = len(layout.channels), len(frame["stations"] or [""])
    for name, mine, other in (
        ("channels", tuple(frame["channels"]), layout.channels),
        ("supports", scaling.laws, layout.supports),
        ("step", frame["step"], layout.step),
        ("calendar", calendar, layout.inputs[layout.num_controls :]),
        ("centre", scaling.centre.shape, (runs, channels)),
        ("scale", scaling.scale.shape, (runs, channels)),
        ("power", scaling.power.shape, (channels,)),
        ("controls", controls.shape, (2, layout.num_controls)),
    ):
        if mine != other:
            raise ValueError(f"{name} and layout disagree")
    numbers = (scaling.centre, scaling.scale, scaling.power, controls)
    if not all(np.isfinite(n).all() for n in numbers) or not (scaling.scale > 0).all():
        raise ValueError("its numbers are not finite, or its scales not positive")


def _require(held: Sites, wanted: Mapping[str, tuple[int, ...] | None]) -> None:
    """Refuse arrays of which one is not there, has not the shape wanted (None: any), or is not finite."""
    for name, shape in wanted.items():
        if name not in held:
            raise ValueError(f"it lacks {name}")
        if shape not in (None, held[name].shape):
            raise ValueError(f"{name} has the shape {held[name].shape} in place of {shape}")
        if not np.isfinite(held[name]).all():
            raise ValueError(f"{name} holds values that are not finite")


@lru_cache(maxsize=64)
def _counted(model: AbstractModel, layout: Layout) -> tuple[str, ...]:
    """Names of what the model counts, found without counting."""
    needs = model.fitting()

    def count() -> Sites:
        y = jnp.zeros((1, 2, len(layout.channels)))
        stream = Stream(jnp.zeros((1, 2), jnp.int32), y[..., 0], y, y == 0, y)
        inputs = jnp.zeros((1, 2, len(layout.inputs)))
        series = Series({"main": stream}, inputs, jnp.ones((1, 2), bool))
        pairs = jnp.zeros((2, 2), jnp.int32)
        return model.constants(windows(series, pairs, step=layout.step, **needs.size), layout)

    return tuple(jax.eval_shape(count))


@lru_cache(maxsize=64)
def _sampled(
    model: AbstractModel, layout: Layout, constants: tuple[tuple[str, tuple[int, ...], str], ...]
) -> dict[str, tuple[int, ...]]:
    """Shapes of the sites of the prior, found without sampling; `constants` as name, shape and dtype."""

    def draw(constants: Sites) -> Sites:
        traced = handlers.trace(handlers.seed(model.prior, 0)).get_trace(layout, constants)
        return {
            name: site["value"]
            for name, site in traced.items()
            if site["type"] == "sample" and not site["is_observed"]
        }

    given = {name: jax.ShapeDtypeStruct(shape, dtype) for name, shape, dtype in constants}
    return {name: site.shape for name, site in jax.eval_shape(draw, given).items()}


def _tail(tree: xr.DataTree) -> xr.Dataset | None:
    return tree["belief"].to_dataset() if "belief" in tree.children else None


def _drawn(name: str, value: np.ndarray) -> xr.DataArray:
    dims = ["chain", "draw", *(f"{name}_dim_{i}" for i in range(value.ndim - 2))]
    coords = {"chain": np.arange(value.shape[0]), "draw": np.arange(value.shape[1])}
    return xr.DataArray(value, dims=dims, coords=coords)
