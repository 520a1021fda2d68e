"""Long loops in chunks of compiled steps: progress after each chunk, a checkpoint, and an exact resume.

A chunk is one compiled call of a fixed size. The key of a step is folded from its absolute number, so that a
run cut anywhere and resumed equals an uninterrupted one bit for bit. Where a loss is no number the run ends, and
the checkpoint keeps what was before that chunk.
"""

import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from assim.data.atomic import replacing
from assim.inference.progress import Progress
from assim.types import Array, PyTree

type Chunk = Callable[[PyTree, Array, Array], tuple[PyTree, dict[str, Array]]]
"""(carry, first step, count) -> (carry, buffers whose first `count` rows are valid)."""


@dataclass(frozen=True)
class Watch:
    """How a long run is watched.

    Args:
        progress: whether to show a progress bar on standard error.
        checkpoint: file that keeps the state of the run, or None.
        every: least seconds between two checkpoints.
        identity: what must be the same for a checkpoint to be resumed: model, data, settings and key.
    """

    progress: bool = False
    checkpoint: Path | None = None
    every: float = 30.0
    identity: str = ""


def run_chunks(
    chunk: Chunk,
    carry: PyTree,
    total: int,
    size: int,
    watch: Watch,
    *,
    label: str,
    stop: Callable[[dict[str, np.ndarray]], bool] | None = None,
) -> tuple[PyTree, dict[str, np.ndarray]]:
    """Run `total` steps, `size` at a time; what the chunks put out is gathered on the host.

    Args:
        chunk: the compiled steps.
        carry: the state before the first step.
        total: number of steps.
        size: steps in a chunk.
        watch: progress and checkpoint.
        label: name of the stage, shown and stored.
        stop: given all rows so far, whether to end early.

    Returns:
        The last carry, and the rows of each buffer; of a loss that left the numbers, up to that chunk.

    Raises:
        ValueError: a checkpoint of another run.
    """
    done, rows = 0, _no_rows()
    kept = _load(watch, label, carry)
    if kept is not None:
        done, carry, rows = kept
    saved = time.monotonic()
    with Progress(watch.progress, label, total, done) as bar:
        try:
            while done < total and not (stop is not None and rows and stop(rows)):
                count = min(size, total - done)
                after, buffers = chunk(carry, jnp.int32(done), jnp.int32(count))
                new = {k: np.asarray(v)[:count] for k, v in buffers.items()}
                told = {k: np.concatenate([rows[k], v]) if k in rows else v for k, v in new.items()}
                if not np.isfinite(new.get("loss", 0.0)).all():
                    _save(watch, label, done, carry, rows)
                    return after, told
                carry, done, rows = after, done + count, told
                bar.advance(count, {k: float(v[-1].mean()) for k, v in new.items() if v.ndim <= 2})
                if time.monotonic() - saved > watch.every:
                    _save(watch, label, done, carry, rows)
                    saved = time.monotonic()
        except KeyboardInterrupt:
            _save(watch, label, done, carry, rows)
            raise
    if watch.checkpoint is not None:
        _save(watch, label, done, carry, rows)
    return carry, rows


def _no_rows() -> dict[str, np.ndarray]:
    return {}


def _path(watch: Watch, label: str) -> Path | None:
    if watch.checkpoint is None:
        return None
    stage = "".join(c if c.isalnum() else "-" for c in label)
    return Path(watch.checkpoint).with_suffix(f".{stage}.npz")


def _save(watch: Watch, label: str, done: int, carry: PyTree, rows: dict[str, np.ndarray]) -> None:
    path = _path(watch, label)
    if path is None:
        return
    leaves = [np.asarray(_plain(leaf)) for leaf in jax.tree.leaves(carry)]
    stored = {f"carry{i}": leaf for i, leaf in enumerate(leaves)}
    stored |= {f"rows.{k}": v for k, v in rows.items()}
    stored["about"] = np.array(json.dumps({"identity": watch.identity, "done": done}))
    with replacing(path) as temporary, Path(temporary).open("wb") as file:
        np.savez(file, **stored)  # type: ignore[arg-type]


def _load(watch: Watch, label: str, carry: PyTree) -> tuple[int, PyTree, dict] | None:
    path = _path(watch, label)
    if path is None or not path.exists():
        return None
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            stored = dict(file)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"The checkpoint {path} cannot be read ({error}): delete it.") from error
    about = json.loads(str(stored["about"]))
    if about["identity"] != watch.identity:
        raise ValueError(
            f"The checkpoint {path} belongs to another run (other data, model, settings or key): "
            "delete it, or give another checkpoint path."
        )
    leaves, structure = jax.tree.flatten(carry)
    count = sum(name.startswith("carry") for name in stored)
    kept = [stored[f"carry{i}"] for i in range(count)]
    if [v.shape for v in kept] != [np.shape(_plain(leaf)) for leaf in leaves]:
        raise ValueError(
            f"The checkpoint {path} was written by another version of assim: delete it and fit anew."
        )
    back = [_like(v, leaf) for v, leaf in zip(kept, leaves, strict=True)]
    rows = {k.removeprefix("rows."): v for k, v in stored.items() if k.startswith("rows.")}
    return about["done"], jax.tree.unflatten(structure, back), rows


def _plain(leaf: Array) -> Array:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(stored: np.ndarray, leaf: Array) -> Array:
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(stored), impl=jax.random.key_impl(leaf))
    return jnp.asarray(stored)


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
