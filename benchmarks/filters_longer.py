"""Rows of filters.py that are met by their scatter alone, or missed: DAPPER over as many cycles as ours.

A filter that leaves the track now and then has an error that a run of 1000 cycles does not tell. ASSIM_DAPPER names
a Python with DAPPER 1.8.1; without it there is nothing to do.
"""

import json
import os
import sys
from dataclasses import replace

os.environ["NPROC"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from _peer import dapper
from _recording import FOLDER, record
from _rows import ROWS
from _rows_sparse import SPARSE

DOUBTFUL = ("by scatter", "no")


def main() -> None:
    told = json.loads((FOLDER / "results" / "filters_published.json").read_text())
    shown = [dict(zip(told["columns"], cells, strict=True)) for cells in told["rows"]]
    doubtful = {(s["system"], s["filter"]): s for s in shown if s["met"] in DOUBTFUL}
    rows = [row for row in ROWS + SPARSE if (row.setting.name, row.name) in doubtful]
    asked = [(row.setting, replace(row.peer, cycles=row.cycles)) for row in rows]
    peers = dapper(asked)
    if peers is None:
        sys.exit("DAPPER is not here: set ASSIM_DAPPER to a Python that has it.")
    table = []
    for row, peer in zip(rows, peers, strict=True):
        ours = doubtful[row.setting.name, row.name]["RMSE"]
        theirs = f"{peer['rmse']:.3f} ± {peer['sigma']:.3f}" if "rmse" in peer else "fails"
        table.append([row.setting.name, row.name, row.published, row.cycles, theirs, ours])
    record(
        "filters_longer",
        ["system", "filter", "published", "cycles of both", "DAPPER's RMSE", "RMSE"],
        table,
        aims="Rows of the table above that are met by scatter alone, or missed, with DAPPER run as long as ours.",
    )


if __name__ == "__main__":
    main()
