"""A forecaster is not judged on what it was trained on."""

import json

import numpy as np
import pytest

import assim
from assim import comparing, scoring
from assim.scoring import unseen
from tests.synthetic import make_forecast, make_truth


@pytest.fixture
def truth():
    return make_truth(hours=60)


def trained(tree, until, begin="2000-01-01", on=None):
    tree.attrs |= {"trained_from": begin, "trained_until": str(until)}
    tree.attrs["trained_on"] = json.dumps(on or {})
    return tree


def test_what_was_trained_on_is_refused(truth):
    tree = make_forecast(truth)
    valid = scoring.predictions(tree)["valid_time"].values
    scoring.require_unseen(
        {"free": tree, "after": trained(tree.copy(), valid.min() - np.timedelta64(1, "s"))}
    )
    with pytest.raises(ValueError, match=r"'ar' was trained on 2000-01-01T00:00:00 to .* 1 of its"):
        scoring.require_unseen({"ar": trained(tree, valid.min())})
    with pytest.raises(ValueError, match="Training and test overlap"):
        comparing.compare({"ar": tree}, truth)
    with pytest.raises(ValueError, match="Training and test overlap"):
        comparing.elpds({"ar": tree}, truth)
    assert comparing.compare({"ar": tree}, truth, in_sample=True)["n"].min() > 0


def test_what_came_before_the_training_may_be_judged(truth):
    tree = make_forecast(truth)
    later = scoring.predictions(tree)["valid_time"].values.max() + np.timedelta64(1, "h")
    scoring.require_unseen({"ar": trained(tree, "2100-01-01", str(later))})


def test_other_stations_may_be_judged_at_the_same_time():
    tree = make_forecast(make_truth(hours=60, stations=2))
    labels = [str(s) for s in scoring.predictions(tree)["station"].values]
    scoring.require_unseen({"ar": trained(tree, "2100-01-01", on={"station": ["elsewhere"]})})
    with pytest.raises(ValueError, match="Training and test overlap"):
        scoring.require_unseen({"ar": trained(tree, "2100-01-01", on={"station": labels[:1]})})


def test_the_span_travels_from_the_record(truth):
    told = scoring.trained_on(truth)
    assert told["trained_until"].startswith(str(truth["time"].values[-1])[:19])
    assert json.loads(told["trained_on"]) == {}
    warm = truth["temperature"]
    assert unseen.trained_range(told, "temperature") == (float(warm.min()), float(warm.max()))
    assert unseen.trained_range(told, "temperature@30") == (float(warm.min()), float(warm.max()))
    assert unseen.trained_range(told, "other") is None and unseen.trained_range({}, "x") is None


def test_runs_without_labels_that_are_held_out_may_be_judged():
    labelled = make_truth(hours=60, stations=3)
    train, test = assim.split(labelled.drop_vars("station"), 1, by="run")
    on = json.loads(scoring.trained_on(train)["trained_on"])
    scoring.require_unseen({"ar": trained(make_forecast(test), "2100-01-01", on=on)})
    with pytest.raises(ValueError, match="Training and test overlap"):
        scoring.require_unseen({"ar": trained(make_forecast(train), "2100-01-01", on=on)})
