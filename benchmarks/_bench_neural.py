"""N-HiTS through neuralforecast, in an interpreter of its own: runs in, quantiles at every origin out.

Called by bench_peers.py as PYTHON _bench_neural.py SPEC.npz OUT.npz; it knows nothing of assim.
"""

import sys
import time
import warnings

import numpy as np
import pandas as pd


def frame(y: np.ndarray, past: np.ndarray, known: np.ndarray) -> pd.DataFrame:
    """Long rows of series (series, time), of what informs and what is known ahead (series, time, column)."""
    count, length = y.shape
    told = {
        "unique_id": np.repeat([f"s{i:03d}" for i in range(count)], length),
        "ds": np.tile(np.arange(length), count),
        "y": y.ravel(),
    }
    told |= {f"past{i}": past[..., i].ravel() for i in range(past.shape[-1])}
    told |= {f"known{i}": known[..., i].ravel() for i in range(known.shape[-1])}
    return pd.DataFrame(told)


def kinds(kind: np.ndarray) -> pd.DataFrame | None:
    """Which target a series is of; None where there is but one."""
    if kind.max() == 0:
        return None
    told = {f"is{k}": (kind == k).astype(float) for k in range(kind.max() + 1)}
    return pd.DataFrame({"unique_id": [f"s{i:03d}" for i in range(len(kind))]} | told)


def main(spec: dict, out: str) -> None:
    import torch
    from neuralforecast import NeuralForecast
    from neuralforecast.losses.pytorch import MQLoss
    from neuralforecast.models import NHITS

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    fit = frame(spec["fit_y"], spec["fit_past"], spec["fit_known"])
    test = frame(spec["test_y"], spec["test_past"], spec["test_known"])
    which, asked = kinds(spec["fit_kind"]), kinds(spec["test_kind"])
    horizon, context = int(spec["leads"]), int(spec["context"])
    model = NHITS(
        h=horizon,
        input_size=context,
        hist_exog_list=[c for c in fit if c.startswith("past")],
        futr_exog_list=[c for c in fit if c.startswith("known")],
        stat_exog_list=None if which is None else [c for c in which if c.startswith("is")],
        loss=MQLoss(quantiles=spec["quantiles"].tolist()),
        max_steps=int(spec["max_steps"]),
        val_check_steps=50,
        early_stop_patience_steps=int(spec["patience"]),
        learning_rate=float(spec["rate"]),
        windows_batch_size=int(spec["batch"]),
        batch_size=64,
        start_padding_enabled=True,
        training_data_availability_threshold=[0.5, 1.0],
        scaler_type=str(spec["scaler"]),
        random_seed=int(spec["seed"]),
        accelerator="cpu",
        enable_progress_bar=False,
        logger=False,
        enable_checkpointing=False,
    )
    forecaster = NeuralForecast(models=[model], freq=1)
    begun = time.process_time()
    forecaster.fit(fit, static_df=which, val_size=int(spec["tail"]))
    spent = time.process_time() - begun
    length = spec["test_y"].shape[1]
    told = forecaster.cross_validation(
        test,
        static_df=asked,
        use_fitted=True,
        n_windows=None,
        test_size=length - 1 - int(spec["first"]),
        step_size=int(spec["stride"]),
    )
    told = told.sort_values(["unique_id", "cutoff", "ds"])
    shape = (len(spec["test_kind"]), -1, horizon)
    names = [c for c in told.columns if c.startswith("NHITS")]
    np.savez(
        out,
        quantiles=told[names].to_numpy(float).reshape(*shape, len(names)),
        came=told["y"].to_numpy(float).reshape(shape),
        seconds=spent,
        steps=forecaster.models[0].valid_trajectories[-1][0],
    )


if __name__ == "__main__":
    main(dict(np.load(sys.argv[1])), sys.argv[2])
