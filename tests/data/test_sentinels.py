"""Numbers that stand for a missing reading without a word about it."""

import numpy as np
import pytest

from assim.data.sentinels import find_sentinels


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1.0, 2.0, 3.0, -9999.0, -9999.0, -9999.0], [-9999.0]),
        ([280.0, 290.0, -99.99, -99.99, -99.99], [-99.99]),
        ([1.0, 2.0, -9999.0, -9999.0], []),  # twice is not several times
        ([-99.0, -98.5, -99.0, -99.0, -97.0], []),  # not extreme against the rest
        ([998.0, 999.0, 999.0, 999.0, 1001.0], []),  # a pressure
        ([1.0, 2.0, 9.969209968386869e36], [9.969209968386869e36]),
        ([1, 5, -32767, -32767, -32767], [-32767.0]),
        ([0.0, 0.0, 0.0, 99999.0, 99999.0, 99999.0, -9999.0, -9999.0, -9999.0], [99999.0, -9999.0]),
        ([-9999.0] * 5, [-9999.0]),
        ([0.0] * 9, []),
    ],
)
def test_sentinels_are_repeated_and_extreme(values, found):
    for kind in ("f8", "f4") if isinstance(values[0], float) else ("i4", "i8"):
        seen = find_sentinels(np.array(values, kind))
        np.testing.assert_allclose(sorted(seen), sorted(found), rtol=1e-6)
