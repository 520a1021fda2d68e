"""The published alternation behind our verbs, on the set that it was published with: prey and predators, 5 by 50.

`models.PublishedSBIRR` with the settings of its example (ten passes, ten iterations, a step of 0.02), once with
its family and once, for one pass, without a drift, which is the plain bridge; and straight lines. As the authors
did, all of its paths are scored, one through each sample, and as many as a snapshot has samples beside them.
"""

import os

os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
)

import dataclasses
import time
import warnings

import jax
import xarray as xr
from _bridges import clouds, lv_original
from _recording import record
from bridge_tables import published
from bridge_tables import told as words

import assim
from assim import models
from assim.models import references
from assim.scoring import transported
from assim.scoring.transported.table import FLOORS


def floors(table: xr.DataArray) -> list[list]:
    """The rows of what needs no model."""
    each = {floor: table.sel(generator=floor).values for floor in FLOORS}
    return [[k.replace("_", " "), "", words(v), f"{v.mean():.3f}", ""] for k, v in each.items()]


def main() -> None:
    warnings.simplefilter("ignore")
    found = lv_original()
    count, whole = found.train.sizes["sample"], found.train["x"].size
    kinds = {
        "PublishedSBIRR": models.PublishedSBIRR(references.LotkaVolterra()),
        "PublishedSBIRR, no drift, one pass": models.PublishedSBIRR(
            references.Brownian(), models.Alternation(passes=1)
        ),
        "DisplacementInterpolation": models.DisplacementInterpolation(),
    }
    rows, notes = [], []
    for word, model in kinds.items():
        begun = time.process_time()
        post = assim.infer(model, found.train, key=jax.random.key(0))
        spent = time.process_time() - begun
        made = {
            str(num): clouds(post, found.held, num, key=jax.random.key(100))
            for num in (whole, count)
        }
        table = transported.transported(
            *(found.held, made, found.train),
            key=jax.random.key(7),
            scores=[transported.Wasserstein()],
        )["w2"]
        for num in made:
            w2 = table.sel(generator=num).values
            rows.append([word, num, words(w2), f"{w2.mean():.3f}", round(spent)])
            print(rows[-1], flush=True)
        told = post["posterior"].data_vars.items()
        few = [f"{n} {float(v[0, 0]):.3g}" for n, v in told if v[0, 0].size == 1 and n != "known"]
        notes += [f"{word}: {', '.join(few)}."] if few else []
    others = published("", dataclasses.replace(found, aim=""))
    rows += floors(table) + [[row[1], "", *row[2:4], ""] for row in others]
    record(
        "bridge_published",
        ["who", "paths", "W2 at each held-out time", "mean", "CPU s of the fit"],
        rows,
        aims="No aim: what the published scheme reaches here, for ours to be held against.",
        notes=notes,
    )


if __name__ == "__main__":
    main()
