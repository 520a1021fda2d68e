"""Are generated windows where the real ones are? Principal components, densities, and t-SNE where it is installed.

As in the tables of generators (Yoon et al. 2019, NeurIPS), a window is drawn as its mean over channels, scaled to
[0, 1]: shape (time,). Principal components are those of the real windows alone.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from assim.plotting.style import PALETTE, QUIET, finish, new_axes
from assim.scoring.generated.histograms import jensen_shannon
from assim.scoring.generated.windows import Extrema, Windowed, beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 1000
PERPLEXITY, ITERATIONS = 40.0, 300
LEVELS = 200


def plot_generated_pca(
    real: Windowed,
    fake: Windowed,
    *,
    name: str = "generated",
    scaling: Extrema | None = None,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw real and generated windows on the first two principal components of the real ones.

    Args:
        real: windows (num, time, channel), or labelled on `sample` and `time`.
        fake: generated ones, in the same units.
        name: of the generator, for the legend.
        scaling: as in `assim.scoring.generated.generated`.
        seed: draws the windows, 1000 of each at most.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.
    """
    one, other = _means(real, fake, name, scaling, seed)
    middle = one.mean(axis=0)
    _, size, axes = np.linalg.svd(one - middle, full_matrices=False)
    shares = size**2 / max((size**2).sum(), np.finfo(float).tiny)
    drawn = _scatter((one - middle) @ axes[:2].T, (other - middle) @ axes[:2].T, name, ax)
    drawn.set(
        xlabel=f"first component ({100 * shares[0]:.1f} % of the real variance)",
        ylabel=f"second component ({100 * shares[1]:.1f} %)",
    )
    return drawn


def plot_generated_tsne(
    real: Windowed,
    fake: Windowed,
    *,
    name: str = "generated",
    scaling: Extrema | None = None,
    seed: int = 0,
    or_pca: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw real and generated windows by t-SNE of both together, with a perplexity of 40 and 300 iterations.

    Args:
        real: windows (num, time, channel), or labelled on `sample` and `time`.
        fake: generated ones, in the same units.
        name: of the generator, for the legend.
        scaling: as in `assim.scoring.generated.generated`.
        seed: draws the windows, 1000 of each at most, and begins t-SNE.
        or_pca: draw principal components where t-SNE is not installed.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: scikit-learn is not installed, or fewer than 21 windows of each.
    """
    if find_spec("sklearn") is None and or_pca:
        return plot_generated_pca(real, fake, name=name, scaling=scaling, seed=seed, ax=ax)
    if find_spec("sklearn") is None:
        raise ValueError(
            'plot_generated_tsne needs scikit-learn: install it with `pip install "assim[tsne]"`, or ask for '
            "principal components in its place, with or_pca=True."
        )
    from sklearn.manifold import TSNE

    one, other = _means(real, fake, name, scaling, seed)
    both = np.concatenate([one, other])
    if len(both) <= PERPLEXITY:
        raise ValueError(
            f"There are {len(both)} windows together, and t-SNE with a perplexity of {PERPLEXITY:g} needs more: "
            "give more windows, or draw plot_generated_pca."
        )
    points = TSNE(perplexity=PERPLEXITY, max_iter=ITERATIONS, random_state=seed).fit_transform(both)
    drawn = _scatter(points[: len(one)], points[len(one) :], name, ax)
    drawn.set(xlabel="t-SNE, first axis", ylabel="t-SNE, second axis")
    return drawn


def plot_generated_density(
    real: Windowed,
    fake: Windowed,
    *,
    name: str = "generated",
    scaling: Extrema | None = None,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw kernel estimates of the densities of the values, with their Jensen-Shannon distance.

    Args:
        real: windows (num, time, channel), or labelled on `sample` and `time`.
        fake: generated ones, in the same units.
        name: of the generator, for the legend.
        scaling: as in `assim.scoring.generated.generated`.
        seed: draws the windows, 1000 of each at most.
        ax: where to draw; by default a new figure.

    Returns:
        The axes.
    """
    from scipy.stats import gaussian_kde

    one, other = _means(real, fake, name, scaling, seed)
    axes = new_axes(ax)
    reach = min(one.min(), other.min()), max(one.max(), other.max())
    levels = np.linspace(*reach, LEVELS)
    for words, values, color, lw in (("real", one, QUIET, 2.5), (name, other, PALETTE[0], 1.3)):
        if np.ptp(values) > 0:
            axes.plot(levels, gaussian_kde(values.ravel())(levels), label=words, color=color, lw=lw)
        else:
            axes.axvline(values.flat[0], label=words, color=color, lw=lw)
    axes.set(
        xlabel="mean over scaled channels",
        ylabel="density",
        title=f"Jensen-Shannon distance {jensen_shannon(one, other):.3f}",
        ylim=(0, None),
    )
    return finish(axes)


def _means(
    real: Windowed, fake: Windowed, name: str, scaling: Extrema | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over scaled channels of some windows of each, (num, time)."""
    held, others = beside(real, {name: fake}, scaling)
    rng = np.random.default_rng(seed)
    one, other = (
        windows[rng.permutation(len(windows))[:MOST]].mean(axis=-1)
        for windows in (held.values, others[name])
    )
    return one, other


def _scatter(one: np.ndarray, other: np.ndarray, name: str, ax: Axes | None) -> Axes:
    """Points in the plane, those that are generated on top."""
    axes = new_axes(ax)
    for words, points, color in (("real", one, QUIET), (name, other, PALETTE[0])):
        axes.scatter(points[:, 0], points[:, 1], s=8, alpha=0.4, lw=0, color=color, label=words)
    return finish(axes)
