"""Where a fit to snapshots starts: other beginnings where paths run away, and the best of several searches."""

import numpy as np
import pytest

from assim.inference import annealing
from assim.inference.loop import Watch
from assim.populations import pose_population
from tests.test_populations import KEY, MODEL, TRAIN


def test_a_search_from_which_paths_run_away_begins_elsewhere(monkeypatch):
    problem, tried = pose_population(MODEL, TRAIN)[0], []

    def down(problem, field, watch, label):
        (v,) = field
        tried.append(float(v["drift.birth"]))
        return v, 1.0 if len(tried) == 3 else np.finfo(np.float32).max

    monkeypatch.setattr(annealing, "_down", down)
    found = annealing.annealed(problem, key=KEY, watch=Watch())
    assert len(set(tried)) == 3 and np.isclose(np.log(float(found["drift.birth"])), tried[2])
    with pytest.raises(FloatingPointError, match="Paths ran away in 5 searches"):
        annealing.annealed(problem, key=KEY, watch=Watch())


def test_of_several_searches_the_best_go_on_and_the_last_is_kept(monkeypatch):
    problem, seen = pose_population(MODEL, TRAIN)[0], []

    def steps(problem, carry, first, count):
        seen.append((int(first), float(carry[0]["drift.birth"])))
        return carry, {"loss": np.full(annealing.CHUNK, seen[-1][1], np.float32)}

    monkeypatch.setattr(annealing, "_steps", steps)
    monkeypatch.setattr(type(MODEL), "searches", lambda self: 12)
    found = annealing.annealed(problem, key=KEY, watch=Watch())
    begun = sorted(v for at, v in seen if at == 0)
    assert [[v for at, v in seen if at == k] for k in (100, 200, 300)] == [
        begun[:n] for n in (4, 2, 1)
    ]
    assert len(begun) == 12 and np.isclose(np.log(found["drift.birth"]), begun[0], rtol=1e-5)
