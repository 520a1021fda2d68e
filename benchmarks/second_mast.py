"""Another mast, with the settings of the first: a week of ARM's station E13, five-minute means, two days held out.

Nothing is chosen here. The files are not shipped: ASSIM_SHARED_DATA names the folder that holds `met_arm`.
"""

import os
import sys
import time
from pathlib import Path

import jax
import numpy as np
from _recording import FOLDER, record
from met_mast import BASELINES, CHOSEN, DAY, LEADS, METHOD, MODEL, SHOWN

import assim

SHARED = Path(os.environ.get("ASSIM_SHARED_DATA", FOLDER.parent.parent / "shared" / "data"))
TARGETS = ("temp_mean", "wspd_arith_mean")


def main() -> None:
    if not SHARED.is_dir():
        sys.exit("The shared folder of real files is not here: name it in ASSIM_SHARED_DATA.")
    week = assim.open_dataset(SHARED / "met_arm" / "sgpmetE13.b1.2019010*.cdf", list(TARGETS))
    whole = assim.align(week, "5min")
    train, _ = assim.split(whole, whole.time.values[0] + 5 * DAY)
    at = whole.time.values[train.sizes["time"] - 1 : -LEADS : 6]
    models = {name: (model, None) for name, model in BASELINES.items()} | {
        f"{CHOSEN}: Laplace": (MODEL, METHOD)
    }
    found, seconds = {}, {}
    for name, (model, method) in models.items():
        begun = time.perf_counter()
        post = assim.infer(model, train, method, key=jax.random.key(0), pointwise=0)
        found[name] = assim.forecast(post, whole, LEADS, key=jax.random.key(7), origins=at)
        seconds[name] = time.perf_counter() - begun
    scores = assim.compare(found, truth=whole, baseline="Persistence")
    table = assim.comparing.table(scores)
    rows = []
    for variable in TARGETS:
        for name in models:
            crps = [float(table.loc[(variable, lead, name), "crps"]) for lead in SHOWN]
            at_level = scores["coverage"].sel(level=0.9, model=name, variable=variable)
            rows.append([variable, name, *crps, float(np.mean(at_level)), seconds[name]])
    record(
        "second_mast",
        ["variable", "model", *(f"CRPS {lead}" for lead in SHOWN), "coverage of 90 %", "seconds"],
        rows,
        aims="Aim: as for the first mast, with its settings untouched. Days 6 and 7 held out; coverage is the mean "
        "over 72 leads.",
    )


if __name__ == "__main__":
    main()
