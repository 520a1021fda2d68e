"""Every model with every method that serves it: fit, tree, netCDF, forecast, scores; nothing is traced twice."""

from __future__ import annotations

import itertools
import json

import jax
import numpy as np
import pytest
import xarray as xr

import assim
from assim.inference import EnsembleMAP, Laplace
from assim.model import AbstractStretched
from assim.models import Persistence
from assim.registry import settings_of
from assim.tree import read_tree
from tests.contract.members import (
    DECODINGS,
    HIDDEN,
    METHODS,
    NOISES,
    OTHERS,
    autoregression,
    fit,
    make_record,
    record_for,
)

TRAIN, LEADS = 240, 3
GROUPS = {
    *("posterior", "sample_stats", "constant_parameters", "belief"),
    *("observed_data", "posterior_predictive", "log_likelihood", "constant_data"),
}
type Case = tuple[str, ...]


def serves(parts: Case) -> bool:
    """Whether the method, named last, can serve the model."""
    *model, method = parts
    refused = {
        "EnsembleMAP": {"student", "departures"},
        "LastLayer": set(OTHERS) - {"var"},
        "Exact": {*HIDDEN, *OTHERS} - {"departures"},
    }
    return not refused.get(method, set()) & set(model)


def pairwise(*factors: list[str]) -> list[Case]:
    """Rows in which every two values of two factors meet that can; greedy."""
    rows = [row for row in itertools.product(*factors) if serves(row)]
    met = {row: set(itertools.combinations(enumerate(row), 2)) for row in rows}
    left, chosen = set().union(*met.values()), []
    while left:
        best = max(rows, key=lambda row: len(met[row] & left))
        chosen.append(best)
        left -= met[best]
    return chosen


QUICK = [
    ("linear", "iterated", "fixed", "LastLayer"),
    ("network", "direct", "normal", "EnsembleMAP"),
    ("persistence", "Laplace"),
    ("climatology", "Prior"),
    ("departures", "Exact"),
]
CASES = [
    *pairwise(list(HIDDEN), list(DECODINGS), list(NOISES), list(METHODS)),
    *(row for row in itertools.product(OTHERS, METHODS) if serves(row)),
]
ALL = [
    *(pytest.param(case, id="-".join(case)) for case in QUICK),
    *(
        pytest.param(case, id="-".join(case), marks=pytest.mark.slow)
        for case in CASES
        if case not in QUICK
    ),
]


@pytest.fixture(scope="module")
def traced():
    """How often JAX traced or compiled anything, so far."""
    count = [0]

    def heard(event, duration, **about):
        count[0] += event.startswith("/jax/core/compile")

    jax.monitoring.register_event_duration_secs_listener(heard)
    return count


def test_quick_cases_meet_every_kind():
    """Each model, decoding and method is in one of them.

    Left out are a second linear model, a second that repeats, networks with a latent state, and the methods that
    test_arviz.py fits. `NIGHTLY` of tests/conftest.py lets some wait; `make test-all` has every two that can meet.
    """
    met = set(itertools.chain.from_iterable(QUICK))
    every = {*OTHERS, *HIDDEN, *DECODINGS, *METHODS}
    others = {"var", "seasonal", "shallow", "almost-linear", "NUTS", "SVI", "Stein", "SGMCMC"}
    assert met >= every - others
    assert all(serves(case) for case in QUICK)
    assert set(itertools.chain.from_iterable(CASES)) >= {
        *OTHERS,
        *HIDDEN,
        *DECODINGS,
        *NOISES,
        *METHODS,
    }


@pytest.mark.parametrize("case", ALL)
def test_a_model_and_a_method(case, key, tmp_path, traced):
    *parts, name = case
    model = OTHERS[parts[0]] if len(parts) == 1 else autoregression(*parts)
    method = METHODS[name]
    whole, other = (record_for(model, seed) for seed in range(2))
    k_fit, k_ahead = jax.random.split(key)
    post = fit(model, method, whole.isel(time=slice(TRAIN)), k_fit)
    ahead = _forecast(post, whole, k_ahead)

    _hold_posterior(post, model, method)
    post.to_netcdf(tmp_path / "post.nc", engine="h5netcdf")
    back = read_tree(tmp_path / "post.nc")
    xr.testing.assert_identical(back, post)
    restored = assim.restore(back)
    assert settings_of(restored.model) == settings_of(model)
    assert restored.model == model
    _hold_forecast(ahead, whole)
    xr.testing.assert_identical(
        _forecast(back, whole, k_ahead)["predictions"], ahead["predictions"]
    )

    before = traced[0]
    assert before > 0
    again = fit(model, method, other.isel(time=slice(TRAIN)), k_ahead)
    _forecast(again, other, k_fit)
    assert traced[0] == before
    assert any(
        (again["posterior"][site].values != post["posterior"][site].values).any()
        for site in post["posterior"].data_vars
    )


def _forecast(post: xr.DataTree, ds: xr.Dataset, key: jax.Array) -> xr.DataTree:
    test = ds.isel(time=slice(TRAIN, None))
    return assim.forecast(post, test, LEADS, key=key, num_draws=20)


def _hold_posterior(post: xr.DataTree, model: object, method: object) -> None:
    extra = {"prior", "prior_predictive"} if type(method).__name__ == "Prior" else set()
    assert set(post.children) | {"sample_stats"} == GROUPS | extra
    alone = "marginal" if isinstance(model, AbstractStretched) else "exact"
    direct = model.needs().horizon > 1
    assert post.attrs["likelihood"] == ("composite" if direct else alone)
    assert json.loads(post.attrs["method"]) == settings_of(method)
    cells = post["observed_data"].sizes["obs_id"]
    seen = make_record().isel(time=slice(TRAIN - 200, TRAIN))[["air_temperature", "wind_speed"]]
    assert cells >= int(seen.to_dataarray().notnull().sum())
    for group in ("posterior", "posterior_predictive", "log_likelihood"):
        for value in post[group].data_vars.values():
            assert value.dims[:2] == ("chain", "draw")
            assert value.sizes["chain"] * value.sizes["draw"] >= 100
            assert np.isfinite(value).all()
    for group in ("posterior_predictive", "log_likelihood"):
        assert post[group]["y"].dims == ("chain", "draw", "obs_id")
        assert post[group].sizes["obs_id"] == cells
    assert {"time", "variable"} <= set(post["observed_data"]["y"].coords)


def _hold_forecast(ahead: xr.DataTree, truth: xr.Dataset) -> None:
    for name in ("air_temperature", "wind_speed"):
        paths = ahead["predictions"][name]
        assert paths.dims == ("chain", "draw", "init_time", "lead_time")
        assert paths.sizes["lead_time"] == LEADS
        assert np.isfinite(paths).all()
        for attr in ("units", "standard_name"):
            assert paths.attrs[attr] == truth[name].attrs[attr]
        assert paths.std() > 0
    assert (ahead["predictions"]["wind_speed"] >= 0).all()
    assert "lamp" not in ahead["predictions"]
    scores = assim.compare({"it": ahead}, truth=truth)
    assert np.isfinite(scores["crps"]).all()
    assert np.isfinite(scores["log_score"]).all()
    pairs = assim.verify(ahead, truth)
    assert np.isfinite(pairs["observed_data"]["y"]).all()
    assert pairs["posterior_predictive"]["y"].dims == ("chain", "draw", "obs_id")


@pytest.mark.parametrize(
    ("model", "method", "others"),
    [
        (
            autoregression("linear", "iterated", "student"),
            EnsembleMAP(),
            "NUTS, SVI, Laplace or Stein",
        ),
        (Persistence(horizon=3), Laplace(), r"GaussNewton\(\)"),
    ],
)
def test_a_method_that_cannot_serve_names_those_that_can(model, method, others, key):
    with pytest.raises(TypeError, match=others):
        assim.infer(model, record_for(model), method, key=key)
