"""Trees of assimilations whose truth is known: an exact Kalman filter in NumPy, right or wrong on purpose."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

SECOND = np.timedelta64(1, "s")
START = np.datetime64("2000-01-01T00:00:01", "ns")
SIZE = 8
STATIONS_UNITS = {"units": "degC", "long_name": "air temperature"}
ROOT = {
    "filter": json.dumps({"type": "ETKF", "size": 20}),
    "assimilated": json.dumps({"type": "Lorenz96", "size": SIZE}),
    "update": json.dumps("state"),
    "key": "0",
    "versions": json.dumps({"jax": "0.12"}),
    "assim_version": "0.1.0",
    "created": "2020-01-01T00:00:00Z",
}


def make_assimilation(
    seed: int = 0,
    *,
    times: int = 300,
    members: int = 20,
    positions: tuple[float, ...] = (0.0, 2.0, 4.0, 6.0),
    error: float = 1.0,
    assumed_error: float | None = None,
    noise: float = 1.0,
    assumed_noise: float | None = None,
    bias: float = 0.0,
    missing: float = 0.1,
    weights: bool = False,
    log_score: bool = True,
) -> tuple[xr.DataTree, xr.Dataset]:
    """Assimilate readings of a field `x` on a ring that travels and forgets.

    The filter is right unless it assumes another error or noise than there is, or the readings are biased.
    """
    rng = np.random.default_rng(seed)
    assumed_error = error if assumed_error is None else assumed_error
    assumed_noise = noise if assumed_noise is None else assumed_noise
    carry = 0.9 * np.roll(np.eye(SIZE), 1, axis=0)
    root = np.exp(-0.5 * np.abs(_around()) ** 2)
    kick = root @ root.T / np.diag(root @ root.T).mean()
    see = _reading(positions)
    chol = np.linalg.cholesky(kick + 1e-9 * np.eye(SIZE))
    x, mean, cov = np.zeros(SIZE), np.zeros(SIZE), np.eye(SIZE)
    held: dict[str, list[np.ndarray]] = {}

    def keep(**parts: np.ndarray) -> None:
        for name, part in parts.items():
            held.setdefault(name, []).append(part)

    for _ in range(times):
        x = carry @ x + noise * chol @ rng.normal(size=SIZE)
        mean, cov = carry @ mean, carry @ cov @ carry.T + assumed_noise**2 * kick
        y = see @ x + bias + error * rng.normal(size=len(positions))
        y[rng.uniform(size=y.size) < missing] = np.nan
        keep(x=x, background=mean, background_cov=cov, y=y)
        residual = y - see @ mean
        inner = see @ cov @ see.T + assumed_error**2 * np.eye(len(positions))
        sd = np.sqrt(np.diag(inner))
        seen = np.isfinite(y)
        gain = cov @ see[seen].T @ np.linalg.inv(inner[np.ix_(seen, seen)])
        mean = mean + gain @ residual[seen]
        cov = cov - gain @ see[seen] @ cov
        score = -0.5 * (residual / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
        keep(analysis=mean, analysis_cov=cov, residual=residual, sd=sd, after=y - see @ mean)
        keep(score=score)
    stacked = {name: np.stack(parts) for name, parts in held.items()}
    return _tree(stacked, positions, members, weights, log_score, rng), _truth(stacked["x"])


def make_scalars(seed: int = 0, *, times: int = 300, members: int = 20, draws: bool = False):
    """Assimilate two channels that read their components directly; with `draws`, a filter for each draw."""
    rng = np.random.default_rng(seed)
    clock = START + np.arange(times) * SECOND
    units = {"temperature": STATIONS_UNITS, "wind_speed": {"units": "m s-1"}}
    truth, groups = {}, {g: {} for g in ("background", "analysis", "innovation", "observed_data")}
    cells = ("chain", "draw", "time")
    for name, attrs in units.items():
        x = 10 + rng.normal(size=times)
        before = x + rng.normal(size=times)
        y = x + rng.normal(size=times)
        after = (before + y) / 2
        truth[name] = ("time", x, attrs)
        offsets = rng.normal(size=(1, members, 1)) * 0.3 if draws else 0.0
        for stage, mean, sd in (("background", before, 1.0), ("analysis", after, 0.5**0.5)):
            spread = np.full(times, sd)
            paths = mean + sd * rng.normal(size=(1, members, times)) + offsets
            group = groups[stage]
            if draws:
                group[f"{name}_mean"] = (cells, np.broadcast_to(mean + offsets, paths.shape), attrs)
                group[f"{name}_sd"] = (cells, np.broadcast_to(spread, paths.shape), attrs)
            else:
                group[f"{name}_mean"] = ("time", mean, attrs)
                group[f"{name}_sd"] = ("time", spread, attrs)
            if members:
                group[name] = (cells, paths, attrs)
        residual, total = y - before, np.full(times, 2**0.5)
        score = -0.5 * (residual / total) ** 2 - np.log(total) - 0.5 * np.log(2 * np.pi)
        innovation = {"": residual, "_sd": total, "_after": y - after, "_log_score": score}
        for suffix, values in innovation.items():
            shape = (1, members, times)
            given = ("time", values, attrs)
            if draws:
                shift = -offsets if suffix in ("", "_after") else 0.0
                given = (cells, np.broadcast_to(values + shift, shape), attrs)
            groups["innovation"][f"{name}{suffix}"] = given
        groups["observed_data"][name] = ("time", y, attrs)
    made = {name: xr.Dataset(held, {"time": clock}) for name, held in groups.items()}
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=ROOT), **made})
    return tree, xr.Dataset(truth, {"time": clock})


def without_members(tree: xr.DataTree) -> xr.DataTree:
    """The same tree with means and standard deviations alone."""
    groups = {name: group.to_dataset() for name, group in tree.children.items()}
    for name in ("background", "analysis"):
        held = groups[name]
        moments = [n for n in held.data_vars if str(n).endswith(("_mean", "_sd"))]
        groups[name] = held[moments].drop_vars(["chain", "draw"], errors="ignore")
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=tree.attrs), **groups})


def _around() -> np.ndarray:
    """Distances on the ring."""
    apart = np.abs(np.subtract.outer(np.arange(SIZE), np.arange(SIZE)))
    return np.minimum(apart, SIZE - apart)


def _reading(positions: tuple[float, ...]) -> np.ndarray:
    """The ring read between its places by linear interpolation."""
    matrix = np.zeros((len(positions), SIZE))
    for row, at in enumerate(positions):
        left = int(np.floor(at))
        matrix[row, left % SIZE] += 1 - (at - left)
        matrix[row, (left + 1) % SIZE] += at - left
    return matrix


def _truth(x: np.ndarray) -> xr.Dataset:
    coords = {"time": START + np.arange(len(x)) * SECOND, "place": np.arange(SIZE, dtype=float)}
    return xr.Dataset({"x": (("time", "place"), x)}, coords)


def _tree(held, positions, members, weights, log_score, rng) -> xr.DataTree:
    times = len(held["x"])
    clock = START + np.arange(times) * SECOND
    coords = {"time": clock, "place": np.arange(SIZE, dtype=float)}
    groups = {"/": xr.Dataset(attrs=ROOT)}
    for stage in ("background", "analysis"):
        mean, cov = held[stage], held[f"{stage}_cov"]
        sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
        group = xr.Dataset(
            {"x_mean": (("time", "place"), mean), "x_sd": (("time", "place"), sd)}, coords
        )
        if members:
            chol = np.linalg.cholesky(cov + 1e-9 * np.eye(SIZE))
            wide = 2.0 if weights else 1.0
            z = rng.normal(size=(members, times, SIZE))
            paths = mean + wide * np.einsum("tij,mtj->mti", chol, z)
            group["x"] = (("chain", "draw", "time", "place"), paths[None])
            if weights:  # drawn too wide and weighted back
                log = (-0.5 * (wide**2 - 1) * z**2).sum(-1)
                log -= np.log(np.exp(log).sum(0))
                group["log_weight"] = (("chain", "draw", "time"), log[None])
        groups[stage] = group
    at = {
        "time": clock,
        "sensor": np.arange(len(positions)),
        "position_0": ("sensor", list(positions)),
    }
    parts = {"x": "residual", "x_sd": "sd", "x_after": "after"}
    parts |= {"x_log_score": "score"} if log_score else {}
    cells = ("time", "sensor")
    groups["innovation"] = xr.Dataset({n: (cells, held[key]) for n, key in parts.items()}, at)
    groups["observed_data"] = xr.Dataset({"x": (cells, held["y"])}, at)
    return xr.DataTree.from_dict(groups)
