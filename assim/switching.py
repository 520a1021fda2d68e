r"""`regimes`: which of its linear regions a recurrent network is in, along a record.

$$z_{t+1} = J_\omega \tilde z_t + o_\omega + C s_{t+1}, \qquad
P(\omega_t = \omega) = \frac1D \sum_{d=1}^D \mathbf 1\big[\operatorname{sign\ pattern}_d(\tilde z_t) = \omega\big]$$

A region is the pattern of what is switched on, and in it the map is linear: the eigenvalues of $J_\omega$ say how
it grows, decays and turns (Brenner, Hemmer, Monfared and Durstewitz 2024, NeurIPS).
"""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame, frame_of
from assim.model import AbstractModel
from assim.models.recurrent.forced import ForcedNetwork
from assim.problem import bind
from assim.series import Layout, Series, cut
from assim.tree import read_tree, restore
from assim.types import Array, Sites

type Fixed = tuple[AbstractModel, Layout, Sites, Sites | None]
"""What a draw is bound with."""
ELSEWHERE = -1
"""Where nothing was read yet, or in a region that is not told."""


def regimes(
    post: xr.DataTree | str | Path,
    ds: xr.Dataset,
    *,
    num_draws: int | None = 100,
    most: int = 16,
    model: AbstractModel | None = None,
) -> xr.Dataset:
    """Say in which linear region each draw of a recurrent network is at each time of a record.

    Patterns of different draws go together where the draws are of one network with its uncertainty. Members of an
    ensemble found networks of their own, whose units stand in another order: ask for one of them, by num_draws=1.

    Args:
        post: the posterior tree of a recurrent network, or its path.
        ds: the record, file units; the state is what its readings so far say.
        num_draws: posterior draws used, evenly spaced; None for all.
        most: regions told, those visited most.
        model: the model, where it is of a class of your own.

    Returns:
        By `region`, whose coordinate `pattern` has a digit for each unit (0 off, 1 on; of a clipped network 1
        beyond its threshold, 2 beyond 0, 3 both): `probability` (region, time), the share of draws in it; `share`,
        that of all draws and times; `modulus` and `angle` (region, eigenvalue; rad) of the eigenvalues of its map,
        the greatest modulus first, the median over draws that visit it. `regime` (time) is the most probable
        region, -1 where that is none of those told. Several stations have an axis of their own. Attributes:
        `regions`, how many are visited, and `draws`.

    Raises:
        ValueError: no draw or no region asked for, a record that the model cannot use.
        TypeError: a model that has no such regions.
    """
    if most < 1 or (num_draws is not None and num_draws < 1):
        raise ValueError(
            f"num_draws={num_draws} and most={most} leave nothing to tell: give 1 or more of both."
        )
    fitted = restore(read_tree(post) if isinstance(post, str | Path) else post, model=model)
    selection = fitted.model.needs().selection(tuple(fitted.frame["calendar"]))
    frame = frame_of(ds, selection, like=fitted.frame)
    sites = {k: v.reshape(-1, *v.shape[2:]) for k, v in fitted.thinned(num_draws).items()}
    fixed: Fixed = (fitted.model, Layout.of(frame), fitted.constants, fitted.centre)
    series, count = Series.of(frame), next(iter(sites.values())).shape[0]
    known: dict[bytes, int] = {}
    places, states = [], []
    for draw in range(count):
        theta = {k: jnp.asarray(v[draw]) for k, v in sites.items()}
        code, z = (np.asarray(x) for x in _symbols(fixed, series, theta))
        patterns, at = np.unique(code.reshape(-1, code.shape[-1]), axis=0, return_inverse=True)
        numbers = np.array([known.setdefault(p.tobytes(), len(known)) for p in patterns])
        places.append(numbers[at.ravel()].reshape(code.shape[:-1]))
        states.append(z)
    place = np.where(_begun(frame), np.stack(places), ELSEWHERE)
    visits = np.bincount(place[place >= 0], minlength=len(known))
    told = np.argsort(-visits, kind="stable")[: min(most, (visits > 0).sum())]
    size, angle = _eigenvalues(fixed, sites, place, np.stack(states), told)
    names = [np.frombuffer(p, np.int8) for p in known]
    return _labelled(frame, place, visits, told, (size, angle), names)


def _begun(frame: Frame) -> np.ndarray:
    """Whether anything was read by each time, shape (run, time)."""
    return np.logical_or.accumulate(np.isfinite(frame.y).any(axis=-1), axis=1)


def _bound(fixed: Fixed, theta: Sites) -> ForcedNetwork:
    model, layout, constants, centre = fixed
    ssm = bind(model, theta, layout, constants, centre)
    if not isinstance(ssm, ForcedNetwork):
        raise TypeError(
            f"{type(model).__name__} has no linear regions: give a posterior of ShallowPLRNN or AlmostLinearRNN."
        )
    return ssm


@eqx.filter_jit
def _symbols(fixed: Fixed, series: Series, theta: Sites) -> tuple[Array, Array]:
    """Patterns (run, time, unit) and states (run, time, state) of a draw."""
    ssm = _bound(fixed, theta)
    runs, rows = series.main.y.shape[:2]

    def of(run: Array) -> tuple[Array, Array]:
        last = jnp.asarray(rows - 1)
        window = cut(series, run, last, context=rows, horizon=0, step=fixed[1].step)
        code, told = ssm.symbols(window.context)
        return code, told.z

    return jax.lax.map(of, jnp.arange(runs))


@eqx.filter_jit
def _jacobians(fixed: Fixed, theta: Sites, z: Array) -> Array:
    return jax.vmap(_bound(fixed, theta).network.jacobian)(z)


def _eigenvalues(
    fixed: Fixed, sites: Sites, place: np.ndarray, states: np.ndarray, told: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Moduli and angles (region, eigenvalue), the median over draws; each region at the first state in it."""
    found = np.full((len(place), len(told), states.shape[-1]), np.nan, complex)
    for draw, (at, z) in enumerate(zip(place, states, strict=True)):
        here = at.ravel()[:, None] == told
        first = z.reshape(-1, z.shape[-1])[here.argmax(axis=0)]
        theta = {k: jnp.asarray(v[draw]) for k, v in sites.items()}
        values = np.linalg.eigvals(np.asarray(_jacobians(fixed, theta, jnp.asarray(first))))
        order = np.argsort(-np.abs(values), axis=1)
        values = np.take_along_axis(values, order, axis=1)
        found[draw] = np.where(here.any(axis=0)[:, None], values, np.nan)
    return np.nanmedian(np.abs(found), axis=0), np.nanmedian(np.abs(np.angle(found)), axis=0)


def _labelled(
    frame: Frame,
    place: np.ndarray,
    visits: np.ndarray,
    told: np.ndarray,
    eigenvalues: tuple[np.ndarray, np.ndarray],
    names: list[np.ndarray],
) -> xr.Dataset:
    inside = np.stack([(place == region).mean(axis=0) for region in told])
    elsewhere = 1.0 - inside.sum(axis=0)
    likely = np.where(inside.max(axis=0) >= elsewhere, inside.argmax(axis=0), ELSEWHERE)
    dims: tuple[str, ...] = ("time",)
    coords = {
        "region": np.arange(len(told)),
        "pattern": ("region", ["".join(map(str, names[k])) for k in told]),
        "time": frame.times,
    }
    if frame.stations is None:
        inside, likely = inside[:, 0], likely[0]
    else:
        dims, coords[frame.instance] = (frame.instance, "time"), list(frame.stations)
    size, angle = eigenvalues
    return xr.Dataset(
        {
            "probability": (("region", *dims), inside, {"units": "1"}),
            "regime": (dims, likely),
            "share": ("region", visits[told] / visits.sum(), {"units": "1"}),
            "modulus": (("region", "eigenvalue"), size, {"units": "1"}),
            "angle": (("region", "eigenvalue"), angle, {"units": "rad"}),
        },
        coords=coords,
        attrs={"regions": int((visits > 0).sum()), "draws": len(place)},
    )
