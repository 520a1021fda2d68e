"""Simulation-based calibration (Talts et al. 2018): ranks of the truth among draws are uniform."""

import jax
import numpy as np
import pytest
from scipy import stats

from assim.inference import NUTS, Ascent, EnsembleMAP, GaussNewton, Laplace
from assim.inference.loop import Watch
from tests.inference.toys import Line, on_line, standard

ROUNDS, BINS = 200, 10
SEARCH = Ascent(num_steps=0, polish=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        NUTS(100, 99, 1, ascent=SEARCH),
        Laplace(GaussNewton(), SEARCH, num_draws=99),
        EnsembleMAP(99, num_steps=0, polish=30),
    ],
    ids=lambda method: type(method).__name__,
)
def test_ranks_are_uniform(key, method):
    rng = np.random.default_rng(0)
    ranks = []
    for k in jax.random.split(key, ROUNDS):
        x, theta = rng.normal(size=(12, 3)), rng.normal(size=3)
        y = x @ theta + 0.7 * rng.normal(size=12)
        problem = on_line(Line(standard(3), 0.7), x, y)
        draws = method.run(problem, key=k, watch=Watch()).sites["theta"][0]
        ranks.append((draws < theta).sum(axis=0))
    for ranked in np.array(ranks).T:
        counts = np.histogram(ranked, bins=BINS, range=(0, 100))[0]
        assert stats.chisquare(counts).pvalue > 0.005, counts
