"""Pairs of windows that a residual counts: what inputs add is taken off, and nothing in them is filled in."""

import numpy as np
import pytest

from assim import koopman
from tests.synthetic_modes import STEP, GivenModes, make_modes, make_record

MODEL = GivenModes(controls=("pump",))
PUMP = np.random.default_rng(5).normal(size=60)


@pytest.fixture(scope="module")
def driven():
    return make_modes(2, controls=("pump",))


@pytest.fixture(scope="module")
def pushed():
    return make_record(60, first=60, pump=PUMP)


def test_what_inputs_add_is_taken_off_the_residual(driven, pushed):
    told = koopman.spectrum(driven, pushed, model=MODEL)
    assert told.attrs["pairs"] == 58 and (told["residual"] < 1e-4).all()
    still = koopman.spectrum(driven, pushed.assign(pump=0 * pushed["pump"]), model=MODEL)
    assert (still["residual"] > 0.1).all()


def test_and_off_the_pseudospectrum():
    rate = np.array([0.0, 2j * np.pi / (8 * STEP), 2j * np.pi / (4 * STEP)])
    tree, ds = (
        make_modes(1, rate, controls=("pump",)),
        make_record(60, first=60, rate=rate, pump=PUMP),
    )
    told, still = (
        koopman.pseudospectrum(tree, record, model=MODEL, grid=13, num_draws=1)
        for record in (ds, ds.assign(pump=0 * ds["pump"]))
    )
    for re, im in ((1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        at = {"re": re, "im": im, "method": "nearest"}
        assert told.sel(**at) < 1e-3 < 0.05 < still.sel(**at)


def test_a_step_of_unknown_inputs_does_not_count(driven, pushed):
    unknown = pushed.assign(pump=pushed["pump"].where(np.arange(60) != 30))
    told = koopman.spectrum(driven, unknown, model=MODEL)
    assert told.attrs["pairs"] == 58 - 3 and (told["residual"] < 1e-4).all()


def test_a_window_that_would_be_filled_does_not_count():
    holed = make_record(40, first=60)
    holed["east"][20] = np.nan
    told = koopman.spectrum(make_modes(whole=True), holed, model=GivenModes(whole=True))
    assert told.attrs["pairs"] == 38 - 3 and (told["residual"] < 1e-5).all()
    with pytest.raises(ValueError, match="has 8 pairs of windows .2 rows each, .* without a gap"):
        few = make_record(10, first=60)
        koopman.spectrum(make_modes(whole=True), few, model=GivenModes(whole=True))
