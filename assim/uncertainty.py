r"""What a forecast does not know, in two parts.

$$\underbrace{\operatorname E_\theta \operatorname{Var}(y \mid \theta)}_{\text{aleatoric}} +
\underbrace{\operatorname{Var}_\theta \operatorname E(y \mid \theta)}_{\text{epistemic}}$$

from K parameter draws with S paths each; the between part is corrected for the noise of its S-path means by
$\tfrac1S$ of the within part (the one-way analysis of variance).
"""

import numpy as np

from assim.data.scaling import Scaling


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
    parameters, paths = y.shape[1:3]
    within = y.var(axis=2, ddof=1).mean(axis=1)
    if parameters == 1:
        return np.stack([within, np.full_like(within, np.nan)])
    between = y.mean(axis=2).var(axis=1, ddof=1)
    return np.stack([within, np.maximum(between - within / paths, 0.0)])
