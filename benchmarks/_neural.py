"""N-HiTS through neuralforecast, in an interpreter of its own: readings in, quantiles at every origin out.

Called by peers.py as PYTHON _neural.py SPEC.json; it knows nothing of assim.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd


def main(spec: dict) -> None:
    begun = time.perf_counter()
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import NHITS

    imported = time.perf_counter()
    y = pd.read_csv(spec["readings"], parse_dates=["ds"])
    horizon, test, step = spec["horizon"], spec["test_size"], spec["step_size"]
    levels = (np.arange(1, 50) / 50).tolist()
    model = NHITS(
        h=horizon,
        input_size=spec["context"],
        loss=MQLoss(quantiles=levels),
        max_steps=spec["max_steps"],
        val_check_steps=50,
        early_stop_patience_steps=spec["patience"],
        scaler_type="robust",
        random_seed=1,
        accelerator="cpu",
        enable_progress_bar=False,
        logger=False,
        enable_checkpointing=False,
    )
    forecaster = NeuralForecast(models=[model], freq=spec["freq"])
    told = forecaster.cross_validation(
        df=y, val_size=spec["val_size"], test_size=test, n_windows=None, step_size=step
    )
    names = [c for c in told.columns if c.startswith("NHITS")]
    told = told.reset_index() if "unique_id" not in told.columns else told
    np.savez(
        spec["out"],
        unique_id=told["unique_id"].astype(str).to_numpy(dtype="U64"),
        cutoff=told["cutoff"].to_numpy("datetime64[ns]").astype(np.int64),
        ds=told["ds"].to_numpy("datetime64[ns]").astype(np.int64),
        quantiles=told[names].to_numpy(float),
        seconds=np.array([imported - begun, time.perf_counter() - imported]),
    )


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
