"""Systems as the papers of the published tables read them, and the module of DAPPER with the same."""

from dataclasses import dataclass

import numpyro.distributions as dist

from assim.statespace import AbstractStateSpace
from assim.systems.kuramoto_sivashinsky import BOCQUET2019, BOCQUET2019_STEP
from assim.systems.lorenz63 import (
    ANDERSON2010,
    ANDERSON2010_STEP,
    BOCQUET2012,
    BOCQUET2012_STEP,
    SAKOV2012,
    SAKOV2012_STEP,
    Lorenz63,
)
from assim.systems.lorenz96 import (
    BOCQUET2010,
    BOCQUET2010_STEP,
    MIYOSHI2011,
    MIYOSHI2011_STEP,
    SAKOV2008,
    SAKOV2008_STEP,
    SPANTINI2019,
    SPANTINI2019_STEP,
    Lorenz96,
)


@dataclass(frozen=True)
class Setting:
    """A system and how it is read.

    Args:
        name: shown.
        ssm: the system.
        step: between readings, model time.
        burn: cycles that are not scored.
        peer: module of DAPPER with the same.
        every: model steps of DAPPER between readings.
        read: which components are.
        scored: which components are scored.
        sector: what they are called there; empty for all.
        variance: of a reading's error there; None for that of the module.
    """

    name: str
    ssm: AbstractStateSpace
    step: float
    burn: int
    peer: str
    every: int
    read: slice = slice(None)
    scored: slice = slice(None)
    sector: str = ""
    variance: float | None = None

    def __hash__(self) -> int:
        return hash((self.name, self.step))


L63 = Setting("Lorenz-63", SAKOV2012, SAKOV2012_STEP, 64, "Lorenz63.sakov2012", 25)
L96 = Setting("Lorenz-96", SAKOV2008, SAKOV2008_STEP, 400, "Lorenz96.sakov2008", 1)
L96_SELDOM = Setting("Lorenz-96, dto 0.2", Lorenz96(substeps=4), 0.2, 100, "Lorenz96.sakov2008", 4)
L96_RARE = Setting("Lorenz-96, dto 0.6", Lorenz96(substeps=12), 0.6, 40, "Lorenz96.sakov2008", 12)
KS = Setting("Kuramoto-Sivashinsky", BOCQUET2019, BOCQUET2019_STEP, 200, "KS.bocquet2019", 2)
L63_SURE = Setting("Lorenz-63, R 1", BOCQUET2012, BOCQUET2012_STEP, 64, "Lorenz63.bocquet2012", 25)
L63_OFTEN = Setting(
    "Lorenz-63, R 1, dto 0.05",
    Lorenz63(error=1.0, substeps=5),
    0.05,
    320,
    "Lorenz63.bocquet2012",
    5,
)
L63_VAGUE = Setting(
    "Lorenz-63, R 8, dto 0.12",
    ANDERSON2010,
    ANDERSON2010_STEP,
    133,
    "Lorenz63.anderson2010rhf",
    12,
)
L63_ONE = Setting(
    "Lorenz-63, x alone, R 8, dto 0.12",
    ANDERSON2010,
    ANDERSON2010_STEP,
    133,
    "Lorenz63.wiljes2017",
    12,
    slice(1),
)
HALF, LAND, OCEAN = slice(None, None, 2), slice(20), slice(20, None)
L96_HALF = Setting(
    "Lorenz-96, half read, R 1.5",
    Lorenz96(error=1.5**0.5),
    0.05,
    400,
    "Lorenz96.bocquet2010_m40",
    1,
    HALF,
)
L96_VAGUE = Setting(
    "Lorenz-96, half read, R 2.25",
    Lorenz96(error=1.5),
    0.05,
    400,
    "Lorenz96.bocquet2010_m40",
    1,
    HALF,
    variance=2.25,
)
L96_TEN = Setting(
    "Lorenz-96 of 10, half read, R 2.25",
    BOCQUET2010,
    BOCQUET2010_STEP,
    400,
    "Lorenz96.bocquet2010",
    1,
    HALF,
    variance=2.25,
)
L96_LATE = Setting("Lorenz-96, dto 0.4", Lorenz96(substeps=8), 0.4, 50, "Lorenz96.sakov2008", 8)
L96_HARD = Setting(
    "Lorenz-96, half read, R 0.5, dto 0.4",
    SPANTINI2019,
    SPANTINI2019_STEP,
    50,
    "Lorenz96.spantini2019",
    20,
    HALF,
)
L96_LAND, L96_OCEAN = (
    Setting(
        f"Lorenz-96, land read, {sector}",
        MIYOSHI2011,
        MIYOSHI2011_STEP,
        400,
        "Lorenz96.miyoshi2011",
        10,
        LAND,
        scored,
        sector,
    )
    for sector, scored in (("land", LAND), ("ocean", OCEAN))
)


class Laplacian(Lorenz96):
    """The ring, each place seen with an error of Laplace."""

    def observation(self, x, span, where=None, sd=None, u=None) -> dist.Distribution:
        return dist.Laplace(x, self.error / 2.0**0.5)


L96_LAPLACE = Setting(
    "Lorenz-96 of 80, half read, error of Laplace, dto 0.1",
    Laplacian(80, substeps=2),
    0.1,
    200,
    "Lorenz96.todter2015",
    2,
    HALF,
)
