"""A record as a known system sees it: one reading, and channels under other names."""

import jax
import pytest

import assim
from assim.filters import ETKF
from assim.systems import Lorenz63

KEY = jax.random.key(0)


def test_one_reading_of_a_twin_is_a_record():
    _, observed = assim.twin_experiment(Lorenz63(), (0.25, 1), key=KEY)
    found = assim.assimilate(Lorenz63(), observed, ETKF(5), key=KEY)
    assert found["analysis"].sizes["time"] == 1


def test_a_channel_under_another_name_is_pointed_at():
    _, observed = assim.twin_experiment(Lorenz63(), (0.25, 3), key=KEY)
    with pytest.warns(UserWarning, match="no readings of x, and wind is nothing that Lorenz63"):
        assim.assimilate(Lorenz63(), observed.rename(x="wind"), ETKF(5), key=KEY)
