r"""What a forecast does not know, in two parts.

$$\underbrace{\operatorname E_\theta \operatorname{Var}(y \mid \theta)}_{\text{aleatoric}} +
\underbrace{\operatorname{Var}_\theta \operatorname E(y \mid \theta)}_{\text{epistemic}}$$

from K parameter draws with S paths each; the between part is corrected for the noise of its S-path means by
$\tfrac1S$ of the within part (the one-way analysis of variance).
"""

import numpy as np

from assim.data.scaling import Scaling

COMPONENTS = ("aleatoric", "epistemic")
"""In the order in which they are told."""


def components(z: np.ndarray, scaling: Scaling, run: int, channel: int) -> np.ndarray:
    """Aleatoric and epistemic variance of one channel, file units squared.

    Args:
        z: paths, shape (origin, parameter, path, lead), internal units.
        scaling: the transforms.
        run: which run.
        channel: which channel.

    Returns:
        Shape (2, origin, lead); the epistemic part is NaN where there is but one parameter draw to tell it from.
    """
    y = np.asarray(scaling.inverse(z, run, channel), float)
    if scaling.supports[channel] == "circle":
        turn = 2 * np.pi * scaling.scale[run, channel]
        angle = y * 2 * np.pi / turn
        middle = np.angle(np.exp(1j * angle).mean(axis=(1, 2), keepdims=True))
        y = np.angle(np.exp(1j * (angle - middle))) * turn / (2 * np.pi)
    return parted(y.mean(axis=2), y.var(axis=2, ddof=1), y.shape[2])


def squared(attrs: dict) -> dict[str, str]:
    """The attributes of a variance of what has these."""
    return {"units": f"({attrs['units']})2" if attrs.get("units") else ""}


def parted(means: np.ndarray, variances: np.ndarray, paths: int) -> np.ndarray:
    """Aleatoric and epistemic variance, from what the paths of each parameter draw have in common and apart.

    Args:
        means: over the paths of each draw, shape (origin, parameter, ...).
        variances: over the paths of each draw, the same shape.
        paths: of each draw.

    Returns:
        Shape (2, origin, ...); the epistemic part is NaN where there is but one parameter draw to tell it from.
    """
    within = variances.mean(axis=1)
    if means.shape[1] == 1:
        return np.stack([within, np.full_like(within, np.nan)])
    between = means.var(axis=1, ddof=1)
    return np.stack([within, np.maximum(between - within / paths, 0.0)])
