"""What claims about bridges are held against: populations of known laws, scores, tables."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field

import jax
import numpy as np
import xarray as xr
from _bridges import MOST_PROBABLE
from _recording import record
from numpyro.infer.autoguide import AutoDelta, AutoLaplaceApproximation

from assim import inference
from assim.scoring.transported import Wasserstein, transported

type Law = Callable[[np.ndarray], np.ndarray]
"""Of places (particle, coordinate): a velocity or a root of that shape, or a rate (particle,)."""
STEP = 5e-3
KEY = jax.random.key(0)
SEEDS = 5
"""Of paths, where a score is a mean over them."""


@dataclass(frozen=True)
class Table:
    """What an item has found."""

    columns: list[str]
    rows: list[list]
    aims: str
    notes: list[str] = field(default_factory=list)


def tabled(items: dict[str, Callable[[bool], Table]], doc: str | None) -> None:
    """Make the tables that are asked for; those of a quick run are shown and not kept."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("names", nargs="*", default=list(items), help=", ".join(items))
    parser.add_argument("--quick", action="store_true", help="small sizes, nothing is recorded")
    asked = parser.parse_args()
    for name in asked.names:
        made = items[name](asked.quick)
        if asked.quick:
            print(name, *made.columns, sep=" | ")
            for row in made.rows:
                print(*row, sep=" | ")
            print(made.aims, *made.notes, sep="\n", flush=True)
        else:
            record(f"bridge_{name}", made.columns, made.rows, aims=made.aims, notes=made.notes)


def most_probable(quick: bool) -> inference.SVI:
    """The most probable parameters as the only draw."""
    short = inference.Ascent(20, 1e-2, None)
    return _at_once(AutoDelta, short, 1) if quick else MOST_PROBABLE


def laplace(quick: bool, draws: int = 400) -> inference.SVI:
    """Draws by the curvature at the most probable parameters."""
    return _at_once(AutoLaplaceApproximation, search(quick), draws)


def search(quick: bool) -> inference.Ascent:
    """For the most probable parameters."""
    return inference.Ascent(20 if quick else 400, 1e-2, None, polish=50)


def _at_once(guide: type, search: inference.Ascent, draws: int) -> inference.SVI:
    return inference.SVI(1, guide, 1e-6, batch_size=None, num_draws=draws, ascent=search)


def prey_and_predators(x: np.ndarray) -> np.ndarray:
    """With a = 1, b = c = 0.4, d = 0.1."""
    met = x[:, 0] * x[:, 1]
    return np.stack([x[:, 0] - 0.4 * met, 0.1 * met - 0.4 * x[:, 1]], axis=1)


def repressilator(x: np.ndarray) -> np.ndarray:
    """With beta = 10, n = 3, k = gamma = 1."""
    return 10.0 / (1.0 + np.maximum(np.roll(x, 1, axis=1), 0.0) ** 3) - x


def in_proportion(share: float) -> Law:
    return lambda x: share * x


def the_same(sd: float) -> Law:
    return lambda x: np.full_like(x, sd)


def moved(
    x: np.ndarray,
    span: float,
    drift: Law,
    root: Law,
    rng: np.random.Generator,
    hazard: Law | None = None,
) -> np.ndarray:
    """Particles after a time by the rule of Euler, and of them those that are left."""
    left = np.ones(len(x), bool)
    for _ in range(round(span / STEP)):
        if hazard is not None:
            left &= rng.random(len(x)) > STEP * hazard(x)
        noise = rng.normal(size=x.shape)
        x = x + STEP * drift(x) + STEP**0.5 * root(x) * noise
    return x[left]


def populations(
    start: Callable[[np.random.Generator], np.ndarray],
    times: np.ndarray,
    drift: Law,
    root: Law,
    rng: np.random.Generator,
    hazard: Law | None = None,
) -> list[np.ndarray]:
    """A population for each time, every one of particles of its own."""
    return [moved(start(rng), t, drift, root, rng, hazard) for t in times]


def corner(count: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Prey in 5 to 5.1, predators in 4 to 4.1."""
    return lambda rng: np.array([5.0, 4.0]) + 0.1 * rng.random((count, 2))


def with_values(post: xr.DataTree, values: dict[str, np.ndarray | float]) -> xr.DataTree:
    """The tree with other values of some sites in every draw."""
    ds, changed = post["posterior"].to_dataset(), post.copy()
    told = {k: ds[k].copy(data=np.broadcast_to(v, ds[k].shape)) for k, v in values.items()}
    changed["posterior"] = xr.DataTree(ds.assign(told))
    return changed


def w2(held: xr.Dataset, made: dict[str, xr.Dataset], train: xr.Dataset) -> xr.DataArray:
    """On (generator, time), the floors beside."""
    key = jax.random.key(7)
    return transported(held, made, train, key=key, scores=[Wasserstein()])["w2"]


def spread(values: list[float] | np.ndarray) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def at(found: xr.DataTree, name: str) -> float:
    """A parameter in the mean over draws."""
    return float(found["posterior"][name].mean())


def as_cloud(x: np.ndarray, like: xr.Dataset) -> xr.Dataset:
    """Places (sample, coordinate) at the one time of a snapshot."""
    told = {
        str(n): (("time", "sample"), x[None, :, c], v.attrs)
        for c, (n, v) in enumerate(like.data_vars.items())
    }
    return xr.Dataset(told, {"time": like["time"].values})
