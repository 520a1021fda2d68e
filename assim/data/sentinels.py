"""Numbers that stand for a missing reading without being declared as such.

A sentinel is taken as one only if it is a number that people use for the purpose, stands at an end of the
readings, is repeated, and lies further from its nearest neighbour than the others spread. Magnitudes that no
sensor has (netCDF's default fill, 9.97e36) are sentinels wherever they appear.
"""

import numpy as np
from numpy.typing import NDArray

KNOWN = (
    *(
        -99.0,
        -99.9,
        -99.99,
        -999.0,
        -999.9,
        -999.99,
        -999.999,
        -9999.0,
        -9999.9,
        -99999.0,
        -999999.0,
    ),
    *(-32767.0, -32768.0, -2147483647.0, -2147483648.0, -6999.0, -7999.0, -8888.0, -888.0),
    *(
        99.99,
        999.9,
        999.99,
        999.0,
        9999.0,
        9999.9,
        99999.0,
        999999.0,
        32767.0,
        2147483647.0,
        65535.0,
    ),
)
IMPOSSIBLE = 1e30
TIMES = 3
GAP = 1.0


def find_sentinels(values: NDArray) -> list[float]:
    """The undeclared sentinels among readings.

    Args:
        values: readings of one variable, any shape and numeric type, in file units.

    Returns:
        Each sentinel, as a number of the array's own type; [] where there is none.
    """
    seen = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    found = [float(v) for v in np.unique(seen[np.abs(seen.astype(float)) >= IMPOSSIBLE])][:8]
    seen = np.sort(seen[np.abs(seen.astype(float)) < IMPOSSIBLE])
    known = {float(np.asarray(k).astype(values.dtype)) for k in KNOWN if _fits(k, values.dtype)}
    while seen.size:
        for end in (seen[0], seen[-1]):
            if float(end) not in known:
                continue
            rest = seen[seen != end]
            if seen.size - rest.size >= TIMES and _far(float(end), rest):
                found.append(float(end))
                seen = rest
                break
        else:
            break
    return found


def _far(end: float, rest: NDArray) -> bool:
    """Whether a value lies further from the others than these spread."""
    if rest.size == 0:
        return abs(end) >= 900
    low, high = float(rest[0]), float(rest[-1])
    gap = low - end if end < low else end - high
    return gap > GAP * (high - low) and gap > 0.5 * abs(end)


def _fits(number: float, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return True
    return number == int(number) and np.iinfo(dtype).min <= number <= np.iinfo(dtype).max
