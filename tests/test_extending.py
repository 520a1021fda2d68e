"""The model written out in docs/extending.md is a model like any other."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import assim
from assim import inference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "extending.md"
TAU, SCALE, STEP = 3600.0, 2.0, 600.0
SHORT = inference.Ascent(num_steps=300, polish=50)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The first block of code on the page, as a module."""
    code = re.search(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[1]
    path = tmp_path_factory.mktemp("docs") / "relaxation.py"
    path.write_text(code)
    spec = spec_from_file_location("relaxation", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def record():
    """An Ornstein-Uhlenbeck process around 10 degrees, sd 2, time constant one hour."""
    rng = np.random.default_rng(0)
    kept = np.exp(-STEP / TAU)
    y = np.zeros(1500)
    for k in range(1, y.size):
        y[k] = kept * y[k - 1] + SCALE * np.sqrt(1 - kept**2) * rng.normal()
    time = np.datetime64("2020-01-01", "ns") + np.arange(y.size) * np.timedelta64(600, "s")
    attrs = {"units": "degree_Celsius", "standard_name": "air_temperature"}
    return xr.Dataset({"t": ("time", 10 + y, attrs)}, {"time": time})


@pytest.mark.slow
def test_its_posterior_holds_the_truth(page, record, key):
    post = assim.infer(page.Relaxation(), record, inference.NUTS(num_samples=200), key=key)
    tau = post["posterior"]["tau"].values.ravel()
    assert abs(tau.mean() - TAU) < 3 * tau.std()
    assert tau.std() < 0.3 * TAU
    assert set(post.children) >= {"log_likelihood", "observed_data", "sample_stats"}


def test_it_forecasts(page, record, key):
    train, test = assim.split(record, at=record.time.values[-144])
    post = assim.infer(
        page.Relaxation(), train, inference.Laplace(inference.GaussNewton(), SHORT), key=key
    )
    fc = assim.forecast(post, test, horizon="6h", model=page.Relaxation(), key=key)
    spread = fc["predictions"]["t"].isel(init_time=0).std(["chain", "draw"])
    assert 0.6 * SCALE < spread.isel(lead_time=-1) < 1.5 * SCALE
    assert spread.isel(lead_time=0) < spread.isel(lead_time=-1)
