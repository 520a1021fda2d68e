r"""Where an attractor lies: the divergence of states visited, as published.

$$D_{\mathrm{stsp}} = \sum_k p_k \log \frac{p_k}{q_k}, \qquad p_k = \frac{n_k + \alpha}{\sum_j n_j + \alpha K}$$

over the $K = 30^N$ bins of N channels, 30 from the least to the greatest true value and a tenth of a standard
deviation beyond, with the counts n of the truth, those of what was made likewise in q, and $\alpha = 10^{-5}$; what
lies outside of the bins is not counted, and where all of it does the divergence is infinite. Of six channels or
more, in units of the true standard deviations,

$$D_{\mathrm{stsp}} \approx \frac1n \sum_{i=1}^n \log \frac{p(x_i)}{q(x_i)}, \qquad
p(x) = \frac1T \sum_t \mathcal N(x;\ x_t, \sigma^2 I), \qquad x_i \sim p$$

(Koppe et al. 2019, PLoS Comput. Biol. 15; Brenner et al. 2022, ICML; Hess et al. 2023, ICML.) Both hang on how many
points there are: compare numbers of one length alone, and hold them against `attractor_floors`.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import xarray as xr
from scipy.special import logsumexp

from assim.data.units import agree, convert
from assim.types import Key

CLOCKS = ("time", "step")
MOST_BINNED = 5
"""Channels; of more, bins would be empty."""
POINTS, SAMPLES, TOGETHER = 10_000, 1000, 100
type Series = xr.Dataset | xr.DataTree
"""At the door: a variable for each channel along `time` or `step`; other dimensions are runs."""


@dataclass(frozen=True)
class Rows:
    """Series as arrays.

    Args:
        names: of the channels.
        units: of each, "" where it has none.
        y: shape (run, time, channel).
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    y: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """All rows that are whole, shape (point, channel)."""
        flat = self.y.reshape(-1, self.y.shape[-1])
        return flat[np.isfinite(flat).all(axis=1)]


def state_space_divergence(
    truth: Series,
    made: Series,
    *,
    bins: int = 30,
    margin: float = 0.1,
    smoothing: float = 1e-5,
    width: float = 1.0,
    key: Key | None = None,
) -> xr.DataArray:
    r"""Measure how far the states that were made lie from the true ones, $D_{\mathrm{stsp}}$.

    Args:
        truth: the true series, a variable for each channel along `time` or `step`, any units.
        made: what a model makes, the same variables in units that go together; what `assim.generate` gives.
        bins: of each channel, up to five channels.
        margin: how far they reach beyond the true extrema, in true standard deviations.
        smoothing: alpha, added to the count of each bin.
        width: sigma of the mixture in true standard deviations, from six channels on.
        key: of the mixture's 1000 samples, and of its 10,000 points where there are more.

    Returns:
        A number in nats. Attributes: `points_truth` and `points_made`, how many were counted (of those made, within
        the bins), and `kind`, "bins" or "mixture".

    Raises:
        ValueError: other variables, no two points, a channel that stands still, six channels or more without key.
    """
    true, other = rows_of(truth), rows_of(made, like=rows_of(truth), who="made")
    x, y = true.points, other.points
    require_moving(x, true.names)
    if x.shape[1] <= MOST_BINNED:
        value, counted = binned(x, y, bins, margin, smoothing)
        kind = "bins"
    elif key is None:
        raise ValueError(
            f"{x.shape[1]} channels are too many for bins, and a mixture is sampled: give a key, as "
            "key=jax.random.key(0)."
        )
    else:
        scale = x.std(axis=0)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        x, y = (_some(z / scale, rng) for z in (x, y))
        value, counted = mixed(x, y, width, rng), len(y)
        kind = "mixture"
    told = {"points_truth": len(x), "points_made": counted, "kind": kind}
    words = {"long_name": "divergence of states visited", "units": "1"}
    return xr.DataArray(value, name="state_space_divergence", attrs=words | told)


def binned(
    x: np.ndarray, y: np.ndarray, bins: int, margin: float, smoothing: float
) -> tuple[float, int]:
    """Sum over bins; those that nobody visits are counted together.

    Args:
        x: true points, shape (point, channel).
        y: others, shape (point, channel).
        bins: of each channel.
        margin: beyond the extrema, in standard deviations of x.
        smoothing: added to each count.

    Returns:
        The divergence, nats, infinite where none of the others lies within the bins, and how many do.
    """
    reach = margin * x.std(axis=0)
    low, high = x.min(axis=0) - reach, x.max(axis=0) + reach
    total = bins ** x.shape[1]

    def visits(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = np.floor(bins * (z - low) / (high - low)).astype(int)
        inside = ((z >= low) & (z <= high)).all(axis=1)
        at = np.minimum(at[inside], bins - 1)
        return np.unique(np.ravel_multi_index(at.T, (bins,) * x.shape[1]), return_counts=True)

    (mine, n), (theirs, m) = visits(x), visits(y)
    if not m.size:
        return np.inf, 0
    places = np.union1d(mine, theirs)
    p, q = np.zeros((2, places.size + 1))  # the last stands for each of those that nobody visits
    p[np.searchsorted(places, mine)], q[np.searchsorted(places, theirs)] = n, m
    p, q = (
        (z + smoothing) / (count + smoothing * total) for z, count in ((p, n.sum()), (q, m.sum()))
    )
    several = np.append(np.ones(places.size), total - places.size)
    return float((several * p * np.log(p / q)).sum()), int(m.sum())


def mixed(x: np.ndarray, y: np.ndarray, width: float, rng: np.random.Generator) -> float:
    """Sample the divergence of mixtures of Gaussians around points.

    Args:
        x: true points, shape (point, channel).
        y: others, shape (point, channel).
        width: standard deviation of each Gaussian.
        rng: of the samples.

    Returns:
        An estimate, nats.
    """
    at = x[rng.integers(len(x), size=SAMPLES)] + width * rng.standard_normal((SAMPLES, x.shape[1]))

    def log_density(z: np.ndarray) -> np.ndarray:
        told = []
        for part in np.split(at, SAMPLES // TOGETHER):
            apart = (part**2).sum(axis=1)[:, None] + (z**2).sum(axis=1) - 2 * part @ z.T
            told.append(logsumexp(-0.5 * apart / width**2, axis=1))
        return np.concatenate(told) - np.log(len(z))

    return float((log_density(x) - log_density(y)).mean())


def rows_of(given: Series, *, like: Rows | None = None, who: str = "truth") -> Rows:
    """Read series from labelled ones.

    Args:
        given: a variable for each channel along `time` or `step`, on other dimensions that are runs; or the tree of
            `assim.generate`.
        like: whose variables are taken, in their units; None for all.
        who: whose they are, for messages.

    Returns:
        The series.

    Raises:
        ValueError: no clock, variables that are missing or in units that do not fit, fewer than two whole rows.
    """
    if isinstance(given, xr.DataTree):
        given = (given["generated"] if "generated" in given.children else given).to_dataset()
    clock = next((dim for dim in CLOCKS if dim in given.dims), None)
    names = tuple(map(str, given.data_vars)) if like is None else like.names
    lost = [name for name in names if name not in given or clock not in given[name].dims]
    if clock is None or lost or not names:
        raise ValueError(
            f"'{who}' has {list(map(str, given.data_vars))} on {dict(given.sizes)}: give "
            f"{', '.join(lost) or 'a variable for each channel'} along 'time' or 'step'."
        )
    units = [str(given[name].attrs.get("units", "")) for name in names]
    if like is not None:
        given = given.assign(
            {
                n: given[n] if not (own and u) or agree(own, u) else convert(given[n], own, u)
                for n, own, u in zip(names, units, like.units, strict=True)
            }
        )
    table = given[list(names)].to_dataarray("channel").transpose(..., clock, "channel")
    y = table.values.reshape(-1, *table.shape[-2:]).astype(float)
    rows = Rows(names, tuple(units), y)
    if len(rows.points) < 2:
        raise ValueError(f"'{who}' has {len(rows.points)} whole rows: give two or more.")
    return rows


def require_moving(x: np.ndarray, names: tuple[str, ...], who: str = "truth") -> None:
    """Refuse channels that stand still.

    Args:
        x: shape (point, channel).
        names: of the channels.
        who: whose they are, for messages.

    Raises:
        ValueError: it names the first.
    """
    still = np.flatnonzero(np.ptp(x, axis=0) == 0)
    if still.size:
        raise ValueError(f"'{names[still[0]]}' of '{who}' stands still: leave it out.")


def _some(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if len(points) <= POINTS:
        return points
    return points[np.sort(rng.choice(len(points), POINTS, replace=False))]
