"""A tuned filter on a chaotic ring says what it knows: flat ranks of the truth, a spread as large as the error."""

import jax
import pytest

import assim
from assim import scoring
from assim.filters import ETKF
from assim.systems import Lorenz96

KEY = jax.random.key(0)
FACTORS = (1.0, 1.01, 1.02, 1.03, 1.04)
SETTLED = slice(100, None)
EVERY = 40
"""Cycles after which errors are forgotten: two units of time, in which a small one grows thirtyfold."""


@pytest.mark.slow
def test_a_tuned_filter_is_as_sure_as_it_may_be():
    """Tuned by the readings of one record alone, judged by the truth of another; the ring is driven by noise."""
    system, step = Lorenz96(noise=0.5), 0.05
    k_tuned, k_judged = jax.random.split(KEY)
    _, earlier = assim.twin_experiment(system, (step, 500), key=k_tuned)
    settings = [ETKF(60, factor, rotate=True) for factor in FACTORS]
    table = assim.tune(system, earlier, settings, key=KEY)
    best = settings[table.attrs["best"]]
    truth, readings = assim.twin_experiment(system, (step, 2000), key=k_judged)
    tree = assim.assimilate(system, readings, best, key=KEY)
    late = tree.map_over_datasets(
        lambda part: part.isel(time=SETTLED) if "time" in part.dims else part
    )
    truth = truth.isel(time=SETTLED)
    found = assim.verify_assimilation(late, truth)
    assert found.attrs["advice"] == ""
    assert float(abs(found["spread_skill"] - 1.0).max()) < 0.1
    for stage in ("background", "analysis"):
        flat = scoring.truth_histogram(late, truth, stage=stage, every=EVERY)
        assert float(flat["p_value"]) > 0.01
