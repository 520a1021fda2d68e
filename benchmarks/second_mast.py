"""Another mast, with the settings of the first: a week of ARM's station E13, five-minute means, two days held out.

Settings were chosen on days of both masts before these (see met_mast.py). The files are not shipped:
ASSIM_SHARED_DATA names the folder that holds `met_arm`.
"""

import sys

from _recording import record
from met_mast import (
    BASELINES,
    CHOSEN,
    OTHER,
    POOLS,
    SHOWN,
    SINGLE,
    forecasts,
    other,
    pooled,
    scored,
)


def main() -> None:
    week = other()
    if week is None:
        sys.exit("The shared folder of real files is not here: name it in ASSIM_SHARED_DATA.")
    parts = {name: SINGLE[name] for name in POOLS[CHOSEN]}
    found, seconds, whole = forecasts(BASELINES | parts, week, 5, until=7)
    found[CHOSEN] = pooled(found, POOLS[CHOSEN])
    seconds[CHOSEN] = sum(seconds[name] for name in POOLS[CHOSEN])
    record(
        "second_mast",
        ["variable", "model", *(f"CRPS {lead}" for lead in SHOWN), "coverage of 90 %", "seconds"],
        scored(found, seconds, whole, OTHER),
        aims="Aim: as for the first mast, with its settings untouched. Days 6 and 7 held out; coverage is the mean "
        "over 72 leads.",
    )


if __name__ == "__main__":
    main()
