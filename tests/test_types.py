"""What the array floors say of shapes and kinds is true: beartype checks it while models are fitted."""

import subprocess
import sys

import pytest

CODE = """
from jaxtyping import install_import_hook
FLOORS = ("linalg", "series", "integrators", "statespace", "nn", "model", "models", "systems", "inference")
with install_import_hook([f"assim.{floor}" for floor in FLOORS], "beartype.beartype"):
    import jax
    import assim
    from assim import inference, models, systems

    key = jax.random.key(0)
    short = inference.Ascent(num_steps=2, polish=0)
    cases = [
        (models.Autoregressive(hidden=(2,)), inference.SVI(num_steps=2, num_draws=2, ascent=short)),
        (models.Autoregressive((1,), (), decoding=models.Direct(2)), inference.Prior(2)),
        (models.VAR(1), inference.NUTS(2, 2, 2, ascent=None, max_tree_depth=1)),
        (models.VAR(1, noise=models.FixedNormal()), inference.EnsembleMAP(2, 2)),
        (models.Persistence(horizon=2), inference.Stein(2, 2)),
        (models.Climatology(), inference.Prior(2)),
    ]
    ds = assim.load_dataset("met_mast")[["air_temperature", "wind_speed"]].isel(time=slice(0, 60))
    for model, method in cases:
        post = assim.infer(model, ds, method, key=key, pointwise=10)
        assim.forecast(post, ds, 2, key=key, origins="last")
    try:
        assim.series.Stream(*[None] * 5)
    except TypeError:
        print("checked")
"""


@pytest.mark.slow
def test_annotations_hold_while_models_are_fitted():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.split() == ["checked"]
