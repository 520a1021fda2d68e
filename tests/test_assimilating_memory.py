"""`assimilate` in the memory of a stretch: with `to=` what is written is let go."""

import gc
import weakref

import jax
import pytest

import assim
from assim import assimilating
from assim.filters import ETKF
from assim.systems import Lorenz96

KEY = jax.random.key(0)
SMALL = Lorenz96(size=8)
STRETCH = 16


@pytest.fixture(scope="module")
def observed():
    return assim.twin_experiment(SMALL, (0.05, 80), key=KEY)[1]


@pytest.fixture
def held(monkeypatch):
    """How many earlier stretches are still in memory where one begins: a list that grows as they do.

    What other tests have left in memory is not looked through each time.
    """
    alive, counts, part = [], [], assimilating._part
    gc.freeze()

    def watched(*args):
        gc.collect()
        counts.append(sum(array() is not None for array in alive))
        made = part(*args)
        assert made["analysis"].sizes["time"] <= STRETCH
        alive.append(weakref.ref(made["analysis"]["x"].values))
        assert alive[-1]() is not None
        return made

    monkeypatch.setattr(assimilating, "CYCLES", STRETCH)
    monkeypatch.setattr(assimilating, "_part", watched)
    yield counts
    gc.unfreeze()


def test_with_a_store_one_stretch_is_held_however_long_the_record(observed, held, tmp_path):
    assim.assimilate(SMALL, observed, ETKF(10, 1.02), key=KEY, to=tmp_path / "an.zarr")
    assert held == [0, 1, 1, 1, 1]


def test_without_one_all_are(observed, held):
    """So that the count above is one that can fail."""
    assim.assimilate(SMALL, observed, ETKF(10, 1.02), key=KEY)
    assert held == [0, 1, 2, 3, 4]
