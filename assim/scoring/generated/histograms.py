r"""Jensen-Shannon distance of histograms, the number beside the plots of densities (Naiman et al. 2024, ICLR).

$$d = \sqrt{\tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m)}, \qquad m = \tfrac12 (p + q)$$

from 0 to $\sqrt{\ln 2}$, with $p$ and $q$ over the same 200 bins from the least to the greatest of all values.
"""

from __future__ import annotations

import numpy as np

BINS = 200


def jensen_shannon(one: np.ndarray, other: np.ndarray, bins: int = BINS) -> float:
    """Say how far apart the histograms of two sets of values are.

    Args:
        one: any shape, any units.
        other: any shape, the same units.
        bins: of one width.

    Returns:
        The distance, from 0 to 0.833.
    """
    from scipy.spatial.distance import jensenshannon

    reach = min(np.min(one), np.min(other)), max(np.max(one), np.max(other))
    counts = [np.histogram(values, bins, reach)[0] for values in (one, other)]
    return float(jensenshannon(*counts))
