"""What a resume needs: the belief of a filter as a dataset in internal units, and back, bit for bit."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.assimilation.differing import differing
from assim.assimilation.losing import CYCLES
from assim.assimilation.scene import Scene
from assim.filters.base import Belief
from assim.registry import settings_of
from assim.tree import Fitted
from assim.types import Key

SAID = {"assimilated": "model", "filter": "filter", "update": "update=", "key": "key"}
"""What has to agree to go on from a run, and its name for a reader."""


def belief_dataset(
    belief: Belief, steps: int, last: np.datetime64, recent: np.ndarray
) -> xr.Dataset:
    """The arrays of a belief, with the number of cycles behind it and the time of the last.

    Args:
        belief: a pytree of arrays, internal units.
        steps: cycles so far.
        last: time of the last cycle.
        recent: what is watched of the last cycles, shape (cycle, 2).
    """
    found = {}
    for i, leaf in enumerate(jax.tree.leaves(eqx.filter(belief, eqx.is_array))):
        value = np.asarray(leaf)
        value = value.astype(np.int8) if value.dtype == bool else value
        found[f"leaf_{i}"] = ([f"leaf_{i}_dim_{d}" for d in range(value.ndim)], value)
    padded = np.full((CYCLES, 2), np.nan)
    padded[CYCLES - len(recent) :] = recent
    found["recent"] = (["recent_cycle", "recent_measure"], padded)
    ds = xr.Dataset(found, attrs={"cycles": steps})
    return ds.assign_coords(time=np.datetime64(last, "ns"))


def belief_from(held: xr.Dataset, like: Belief) -> Belief:
    """The belief that a dataset holds.

    Args:
        held: what `belief_dataset` gave.
        like: a belief of the same filter on the same model.

    Raises:
        ValueError: it is of another filter or model.
    """
    arrays, rest = eqx.partition(like, eqx.is_array)
    leaves, structure = jax.tree.flatten(arrays)
    values = [held[f"leaf_{i}"].values for i in range(len(leaves)) if f"leaf_{i}" in held]
    fits = len(values) == len(leaves) and f"leaf_{len(leaves)}" not in held
    if not fits or any(v.shape != x.shape for v, x in zip(values, leaves, strict=True)):
        raise ValueError(
            "resume= holds the belief of another filter or model than are given: give those of the earlier run."
        )
    again = [jnp.asarray(v, x.dtype) for v, x in zip(values, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, again), rest)


def recent_from(held: xr.Dataset) -> np.ndarray:
    """What was watched of the last cycles, shape (cycle, 2)."""
    recent = held["recent"].values
    return recent[np.isfinite(recent).all(axis=1)]


def sensors_of(scene: Scene) -> str:
    """The channels of a record and where they stay, told by a few digits."""
    digest = hashlib.sha256(",".join(scene.channels.names).encode())
    digest.update(str(scene.cycles.mask.shape[1]).encode())
    if scene.dynamics.where is not None:
        digest.update(np.asarray(scene.dynamics.where, np.float32).tobytes())
    return digest.hexdigest()[:16]


def run_attrs(model: Any, chosen: Any, update: str | Sequence[str], key: Key) -> dict[str, str]:
    """The root attributes that say what was run: model, filter, what is corrected, key.

    Of a posterior they say as well on what it was trained, so that nothing is scored by that unawares, and where
    its sensors are.
    """
    own = model.model if isinstance(model, Fitted) else model
    told, inherited = json.dumps(_told(own)), {}
    if isinstance(model, xr.DataTree):
        told = model.attrs.get("model", "")
        known = {str(k): str(v) for k, v in model.attrs.items()}
        inherited = {k: v for k, v in known.items() if k.startswith(("trained_", "scaling"))}
    return inherited | {
        "assimilated": told,
        "filter": json.dumps(_told(chosen)),
        "update": json.dumps(update if isinstance(update, str) else list(update)),
        "key": json.dumps(np.asarray(jax.random.key_data(key)).tolist()),
    }


def require_same(tree: object, attrs: dict[str, str], names: tuple[str, ...] = tuple(SAID)) -> None:
    """Refuse to go on from another run.

    Args:
        tree: what is gone on from.
        attrs: of this run.
        names: of those that have to agree.

    Raises:
        ValueError: no belief to go on from, another model, filter or key.
    """
    if (
        not isinstance(tree, xr.DataTree)
        or "belief" not in tree.children
        or "filter" not in tree.attrs
    ):
        raise ValueError(
            "resume= is no assimilation that can be gone on from (it lacks the group 'belief' or the filter): give "
            "what assim.assimilate returned."
        )
    for attr in names:
        if (held := tree.attrs.get(attr)) != attrs[attr]:
            other = "other sensors"
            if attr in SAID:
                other = f"another {SAID[attr]} ({differing(held, attrs[attr])})"
            raise ValueError(
                f"resume= was run with {other}: give the same, or start anew without resume=."
            )


def _told(thing: Any) -> Any:
    """Settings, arrays as what they hold."""
    try:
        return settings_of(jax.tree.map(_listed, thing))
    except TypeError:
        return type(thing).__name__


def _listed(leaf: Any) -> Any:
    return np.asarray(leaf).tolist() if eqx.is_array(leaf) else leaf
