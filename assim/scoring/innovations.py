r"""Consistency of innovations: what can be said of a filter where there is no truth.

With the innovation $d_b = y - \overline{h(x_b)}$, its standard deviation $s$ by the filter and $z = d_b / s$, a
filter whose noises and spread are right has $\mathrm{E}z = 0$, $\mathrm{E}z^2 = 1$ and no correlation of $z$ from
time to time. Of $n$ values $\sum z^2 \sim \chi^2_n$ if they are independent; sensors that are read together are
not, so that

$$\overline{z^2}\,\nu \sim \chi^2_\nu, \qquad \nu = \frac{n}{D_0 + 2 \sum_k D_k}$$

with $D_k$, the sum of squared correlations between sensors ``k`` steps apart, as it is found: the variance of a
mean of squares of Gaussian variables. Every innovation is marginal, in units of its own deviation: the mean square
is not $d_b^\top S^{-1} d_b$ for each degree of freedom, with S the covariance of those of a time, and does not see
whether they go together as the filter expects. With $d_a = y - \overline{h(x_a)}$, the residual of the analysis,
the two parts of $s^2$ can be estimated apart (Desroziers, Berre, Chapnik & Poli 2005, Q. J. R. Meteorol. Soc. 131),

$$\mathrm{E}[d_a d_b] = R, \qquad \mathrm{E}[(d_b - d_a)\,d_b] = H B H^\top, $$

if the gain is near the optimal one. A bias counts in both. Of a single reading at a time both are off by the same
factor, whichever is wrong: only readings whose background errors go together tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from assim.scoring.assimilated import channels, held_members, innovation
from assim.scoring.assimilation import flatness, transforms
from assim.scoring.blocks import autocorrelation, block_interval, dependence
from assim.scoring.seen import error_variance, seen_members

LAGS = 10
BOUNDS = ["lower", "upper"]


def innovation_consistency(
    tree: xr.DataTree, *, level: float = 0.95, lags: int = LAGS
) -> xr.Dataset:
    """Test the innovations of every channel against what the filter expected of them.

    Args:
        tree: an assimilation.
        level: the probability of the intervals.
        lags: of the autocorrelation, in steps of time.

    Returns:
        On `channel`: `mean_square` of the normalised (marginal) innovations, `mean_square_expected(bound)`, the
        interval in which it lies if the filter is right, `p_value` of that, two-sided, and `degrees` of freedom;
        `mean` of the normalised innovations with `mean_interval(bound)`, `bias`, the mean innovation in the
        channel's units; `autocorrelation(lag)` and `autocorrelation_expected`, what chance alone keeps it below;
        `log_score`, the mean log predictive density of a reading, and `log_score_interval(bound)`; `n` readings.
        Coordinate `units(channel)`.

    Raises:
        ValueError: if the tree holds no innovations, or nothing was read.
    """
    if not any(bool(innovation(tree, name)["z"].notnull().any()) for name in channels(tree)):
        raise ValueError(
            f"None of the channels {list(channels(tree))} was read at any time, so that there is nothing to test: "
            "assimilate a part of the record with readings."
        )
    tested = [_tested(innovation(tree, name), level, lags) for name in channels(tree)]
    return _table(tested, tree).assign_attrs(level=level)


def desroziers(
    tree: xr.DataTree, *, error: Mapping[str, float] | None = None, level: float = 0.95
) -> xr.Dataset:
    """Estimate the errors of readings and background from residuals, beside what the filter assumed.

    Args:
        tree: an assimilation.
        error: the standard deviation of the readings' error that the filter assumed, by channel, in the units of
            the channel; where it is not given, what the spread of the background leaves of that of the
            innovations, which can be told where a channel reads a variable of the state.
        level: the probability of the intervals.

    Returns:
        On `channel`, in its units: `error_sd` and `background_sd`, estimated, NaN where the estimate of the
        variance is negative, `error_sd_assumed` and `background_sd_assumed`, NaN where they cannot be told;
        without unit `error_ratio` and `background_ratio`, estimated over assumed variance, with
        `error_ratio_interval(bound)` and `background_ratio_interval(bound)` from means of blocks.

    Raises:
        ValueError: if the tree holds no innovations or no residuals of the analysis, or an error is given that is
            not positive or of no channel.
    """
    strange = sorted(set(error or {}) - set(channels(tree)))
    if strange:
        raise ValueError(
            f"error names {strange}, which are no channels: the assimilation has {list(channels(tree))}."
        )
    estimated = []
    for name in channels(tree):
        told = innovation(tree, name)
        if "after" not in told:
            raise ValueError(
                f"The innovations hold no '{name}_after', the reading minus the analysis, which this needs: give "
                "what assim.assimilate returned."
            )
        assumed = error_variance(tree, name, error)
        estimated.append(_estimated(told, assumed, level))
    return _table(estimated, tree).assign_attrs(level=level)


def reading_histogram(
    tree: xr.DataTree,
    channel: str | None = None,
    *,
    error: Mapping[str, float] | None = None,
    every: int | None = None,
    bars: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Count the ranks of readings among the members of the background with an error of a reading added.

    Args:
        tree: an assimilation that kept its members.
        channel: by default the first.
        error: as in `desroziers`.
        every: which times count, every so many steps; by default as far apart as `steps_apart` says.
        bars: how many; by default as `flatness` says.
        seed: draws the errors, among ties, and between the bars that share a rank.

    Returns:
        As `flatness` gives it.

    Raises:
        ValueError: if no members were kept, there is no such channel, or what the members are read as, or with
            which error, cannot be told.
    """
    name = channels(tree)[0] if channel is None else channel
    told = innovation(tree, name)
    seen, variance = seen_members(tree, name), error_variance(tree, name, error)
    if seen is None or variance is None:
        lacking = "what the members are read as" if seen is None else "the error of the readings"
        raise ValueError(
            f"Readings of '{name}' have no rank among the members: {lacking} cannot be told from the tree; "
            f"see the innovations{'' if seen is None else ', or give error={...} by channel'}."
        )
    rng = np.random.default_rng(seed)
    noise = (
        rng.normal(size=seen.shape) * (variance**0.5).transpose(*seen.dims[:-1]).values[..., None]
    )
    read = tree["observed_data"].to_dataset()[name].reset_coords(drop=True)
    read = read.where(told["residual"].notnull()).transpose(*seen.dims[:-1])
    pits = transforms(seen + noise, read, rng=rng)
    return flatness(pits, seen.sizes["member"], every=every, bars=bars)


def can_be_ranked(tree: xr.DataTree, channel: str) -> bool:
    """Say whether `reading_histogram` can be made of a channel without being told an error."""
    if not {"background", "observed_data"} <= set(tree.children):
        return False
    if f"{channel}_mean" not in tree["background"].data_vars:
        return False
    held = held_members(tree, "background", channel)
    return (
        held
        and error_variance(tree, channel) is not None
        and seen_members(tree, channel) is not None
    )


def _tested(told: xr.Dataset, level: float, lags: int) -> xr.Dataset:
    """The tests of one channel."""
    from scipy import stats

    z = told["z"]
    count = max(int(z.notnull().sum()), 1)
    inner = [dim for dim in z.dims if dim != "time"]
    shared = dependence(z, 0)
    later = max(sum(dependence(z, lag) for lag in range(1, lags + 1)), 0.0)
    degrees = max(count / (shared + 2 * later), 1.0)
    mean_square = float((z**2).mean())
    below = stats.chi2.cdf(mean_square * degrees, degrees)
    above = stats.chi2.sf(mean_square * degrees, degrees)
    tails = [(1 - level) / 2, (1 + level) / 2]
    in_time = z.mean(inner)
    results = {
        "mean_square": mean_square,
        "mean_square_expected": ("bound", stats.chi2.ppf(tails, degrees) / degrees),
        "p_value": min(2 * min(below, above), 1.0),
        "degrees": degrees,
        "mean": in_time.mean(),
        "mean_interval": block_interval(in_time, level),
        "bias": told["residual"].mean(),
        "autocorrelation": autocorrelation(z, lags),
        "autocorrelation_expected": stats.norm.ppf(tails[1]) * np.sqrt(shared / count),
        "n": z.notnull().sum(),
    }
    if "log_score" in told:
        score = told["log_score"].mean(inner)
        results |= {"log_score": score.mean(), "log_score_interval": block_interval(score, level)}
    return xr.Dataset(results, {"bound": BOUNDS})


def _estimated(told: xr.Dataset, assumed: xr.DataArray | None, level: float) -> xr.Dataset:
    """The two variances of one channel, estimated and assumed."""
    inner = [dim for dim in told["z"].dims if dim != "time"]
    products = {
        "error": told["after"] * told["residual"],
        "background": (told["residual"] - told["after"]) * told["residual"],
    }
    parts: dict[str, object] = {}
    for what, product in products.items():
        variance = product.mean()
        expected = assumed
        if assumed is not None and what == "background":
            expected = (told["sd"] ** 2 - assumed).clip(min=0)
        claimed = np.nan if expected is None else float(expected.where(product.notnull()).mean())
        claimed = claimed if claimed > 0 else np.nan
        parts |= {
            f"{what}_sd": np.sqrt(variance.where(variance > 0)),
            f"{what}_sd_assumed": np.sqrt(claimed),
            f"{what}_ratio": variance / claimed,
            f"{what}_ratio_interval": block_interval(product.mean(inner), level) / claimed,
        }
    return xr.Dataset(parts)


def _table(rows: list[xr.Dataset], tree: xr.DataTree) -> xr.Dataset:
    """One row for each channel, with its units."""
    group = tree["innovation"].to_dataset()
    names = list(channels(tree))
    units = [str(group[name].attrs.get("units", "")) for name in names]
    joined = xr.concat([row.reset_coords(drop=True) for row in rows], "channel", join="outer")
    return joined.assign_coords(channel=names, units=("channel", units))
