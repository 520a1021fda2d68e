"""Systems as the papers of the published tables read them, and the module of DAPPER with the same."""

from dataclasses import dataclass

from assim.statespace import AbstractStateSpace
from assim.systems.kuramoto_sivashinsky import BOCQUET2019, BOCQUET2019_STEP
from assim.systems.lorenz63 import SAKOV2012, SAKOV2012_STEP, Lorenz63
from assim.systems.lorenz96 import SAKOV2008, SAKOV2008_STEP, Lorenz96


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
        stride: every which component is read.
    """

    name: str
    ssm: AbstractStateSpace
    step: float
    burn: int
    peer: str
    every: int
    stride: int = 1

    def __hash__(self) -> int:
        return hash((self.name, self.step))


L63 = Setting("Lorenz-63", SAKOV2012, SAKOV2012_STEP, 64, "Lorenz63.sakov2012", 25)
L96 = Setting("Lorenz-96", SAKOV2008, SAKOV2008_STEP, 400, "Lorenz96.sakov2008", 1)
L96_SELDOM = Setting("Lorenz-96, dto 0.2", Lorenz96(substeps=4), 0.2, 100, "Lorenz96.sakov2008", 4)
L96_RARE = Setting("Lorenz-96, dto 0.6", Lorenz96(substeps=12), 0.6, 40, "Lorenz96.sakov2008", 12)
KS = Setting("Kuramoto-Sivashinsky", BOCQUET2019, BOCQUET2019_STEP, 200, "KS.bocquet2019", 2)
L63_SURE = Setting("Lorenz-63, R 1", Lorenz63(error=1.0), 0.25, 64, "Lorenz63.bocquet2012", 25)
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
    Lorenz63(error=8.0**0.5, substeps=12),
    0.12,
    133,
    "Lorenz63.anderson2010rhf",
    12,
)
L63_ONE = Setting(
    "Lorenz-63, x alone, R 8, dto 0.12",
    Lorenz63(error=8.0**0.5, substeps=12),
    0.12,
    133,
    "Lorenz63.wiljes2017",
    12,
    3,
)
HALF = Lorenz96(error=1.5**0.5)
L96_HALF = Setting("Lorenz-96, half read, R 1.5", HALF, 0.05, 400, "Lorenz96.bocquet2010_m40", 1, 2)
