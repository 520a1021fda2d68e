r"""Which of several sensors that contradict each other is to blame.

A broken sensor makes those that are foretold by it look wrong, too. With $q_c$ the innovation of a sensor over the
usual one, and $q_c^{(H)}$ the same with the sensors H hidden, where several are over 1,

$$H \leftarrow H \cup \arg\min_{h:\ q_h > 1} \sum_{c \notin H \cup h} \big(q_c^{(H \cup h)} - 1\big)_+$$

until no more than one is left over 1. Those in H and the one that is left are blamed, the others excused. Where
hiding either of two leaves nothing, as it does of two that are alike with no third beside them, both are blamed.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

Judge = Callable[[np.ndarray, np.ndarray], np.ndarray]


def blamed(
    over: Float[np.ndarray, "run row channel"], judged: Judge
) -> Bool[np.ndarray, "run row channel"]:
    """The sensors that are to blame at each row.

    Args:
        over: q with none hidden; NaN where nothing was judged.
        judged: q at some rows (run, row, channel) with some channels hidden; NaN where nothing can be judged, which
            excuses nobody.
    """
    over = np.nan_to_num(over)
    first, hidden = over > 1, np.zeros(over.shape, bool)
    several = first.sum(axis=-1) > 1
    while several.any():
        least, chosen, after = np.full(several.shape, np.inf), np.zeros_like(hidden), over.copy()
        for known in np.unique(hidden[several], axis=0):
            here = several & (hidden == known).all(axis=-1)
            for one in np.flatnonzero((over[here] > 1).any(axis=0)):
                more = np.arange(len(known)) == one
                cells = here & (over[..., one] > 1)
                at = cells.any(axis=0)
                told = np.fmin(judged(known | more, at), over[:, at])
                told[..., known | more] = 0.0
                left = np.where(cells[:, at], np.maximum(told - 1, 0).sum(axis=-1), np.inf)
                better = (left < least[:, at])[..., None]
                as_good = ((left == 0) & (least[:, at] == 0))[..., None]
                chosen[:, at] = np.where(better, more, chosen[:, at] | (as_good & more))
                after[:, at] = np.where(better, told, after[:, at])
                least[:, at] = np.minimum(left, least[:, at])
        hidden |= chosen
        over = np.where(hidden, 0.0, after)
        several &= (over > 1).sum(axis=-1) > 1
    return first & (hidden | (over > 1))
