r"""Which of several sensors that contradict each other is to blame.

A broken sensor makes those that are foretold by it look wrong, too. With $q_c$ the innovation of a sensor over the
usual one, and $q_c^{(H)}$ the same with the sensors H hidden, where several are over 1,

$$e_h = \sum_{c \notin H \cup h} \big(\min(q_c, q_c^{(H \cup h)}) - 1\big)_+, \qquad
H \leftarrow H \cup \arg\min_{h:\ q_h > 1} e_h, \qquad q \leftarrow \min(q, q^{(H)})$$

until no more than one is left over 1. Those in H and the one that is left are blamed, the others excused. Whoever
leaves as little as the best, but for a tenth of what is usual, is blamed with it: of two that are alike, with no
third beside them, either clears the other. It is done twice at most, and where more than a dozen contradict
they are left as they are: such a rig is not one that the fit has seen.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]
NEAR, ROUNDS, MANY, WILD = 0.1, 2, 12, 1e6
"""What is as little as the least; times that anybody is hidden; suspects that are tried; the largest q."""


def blamed(
    over: Float[np.ndarray, "run row channel"],
    judged: Judge,
    known: Bool[np.ndarray, "run row channel"] | None = None,
) -> Bool[np.ndarray, "run row channel"]:
    """The sensors that are to blame at each row.

    Args:
        over: q with none hidden; NaN where nothing was judged.
        judged: q at some rows (run, row, channel) with some channels hidden; NaN where nothing can be judged, which
            excuses nobody.
        known: sensors that are known to be broken, and hidden before any other is tried.
    """
    over = np.nan_to_num(np.minimum(over, WILD))
    first, size = over > 1, over.shape[-1]
    hidden = np.zeros(over.shape, bool) if known is None else known.copy()
    suspects = (first & ~hidden).sum(axis=-1)
    tried = (suspects > 0) & (suspects <= MANY)
    over = _without(over, judged, hidden, tried & hidden.any(axis=-1))
    for _ in range(ROUNDS):
        tried &= (over > 1).sum(axis=-1) > 1
        if not tried.any():
            break
        left = np.full(over.shape, np.inf)
        for one in np.flatnonzero((over[tried] > 1).any(axis=0)):
            cells = tried & (over[..., one] > 1)
            after = _without(over, judged, hidden | (np.arange(size) == one), cells)
            left[..., one] = np.where(cells, _excess(after), np.inf)
        least = np.where(tried, left.min(axis=-1), 0.0)
        hidden = hidden | (tried[..., None] & (left <= least[..., None] + NEAR))
        over = _without(over, judged, hidden, tried)
    return first & (hidden | (over > 1))


def _excess(over: np.ndarray) -> np.ndarray:
    return np.maximum(over - 1, 0).sum(axis=-1)


def _without(over: np.ndarray, judged: Judge, hidden: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The least of q as it was and with channels hidden, at some cells; 0 of those hidden."""
    out = over.copy()
    for gone in np.unique(hidden[cells], axis=0):
        here = cells & (hidden == gone).all(axis=-1)
        at = here.any(axis=0)
        told = np.where(gone, 0.0, np.fmin(judged(gone, at), over[:, at]))
        out[:, at] = np.where(here[:, at, None], told, out[:, at])
    return out
