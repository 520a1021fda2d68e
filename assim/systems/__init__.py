"""Textbook systems with known parameters: what simulates, what a filter is tried on, what an oracle knows."""

from assim.systems.annular_combustor import (
    NOVOA2024_ANNULAR,
    NOVOA2024_ANNULAR_STEP,
    AnnularCombustor,
)
from assim.systems.bench import ThermoacousticBench, simulate_bench, simulate_bench_signals
from assim.systems.korteweg_de_vries import ZABUSKY1965, ZABUSKY1965_STEP, KortewegDeVries
from assim.systems.kuramoto_sivashinsky import BOCQUET2019, BOCQUET2019_STEP, KuramotoSivashinsky
from assim.systems.linear_gaussian import LinearGaussian
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
from assim.systems.lorenz96_two_scale import LORENZ1996, WILKS2005, WILKS2005_STEP, TwoScaleLorenz96
from assim.systems.lotka_volterra import (
    SHEN2025_POPULATIONS,
    SHEN2025_POPULATIONS_STEP,
    LotkaVolterra,
)
from assim.systems.navier_stokes import CHANDLER2013, CHANDLER2013_STEP, NavierStokes2D
from assim.systems.ornstein_uhlenbeck import OrnsteinUhlenbeck
from assim.systems.pendulum import Pendulum
from assim.systems.repressilator import (
    ELOWITZ2000,
    SHEN2025_GENES_STEP,
    SHEN2025_MESSENGERS,
    SHEN2025_PROTEINS,
    Repressilator,
)
from assim.systems.rijke_tube import (
    NOVOA2024_RIJKE,
    NOVOA2024_RIJKE_STEP,
    SUBRAMANIAN2013,
    SUBRAMANIAN2013_STEP,
    RijkeTube,
)
from assim.systems.van_der_pol import NOVOA2024, VanDerPol

__all__ = [
    "ANDERSON2010",
    "ANDERSON2010_STEP",
    "BOCQUET2010",
    "BOCQUET2010_STEP",
    "BOCQUET2012",
    "BOCQUET2012_STEP",
    "BOCQUET2019",
    "BOCQUET2019_STEP",
    "CHANDLER2013",
    "CHANDLER2013_STEP",
    "ELOWITZ2000",
    "LORENZ1996",
    "MIYOSHI2011",
    "MIYOSHI2011_STEP",
    "NOVOA2024",
    "NOVOA2024_ANNULAR",
    "NOVOA2024_ANNULAR_STEP",
    "NOVOA2024_RIJKE",
    "NOVOA2024_RIJKE_STEP",
    "SAKOV2008",
    "SAKOV2008_STEP",
    "SAKOV2012",
    "SAKOV2012_STEP",
    "SHEN2025_GENES_STEP",
    "SHEN2025_MESSENGERS",
    "SHEN2025_POPULATIONS",
    "SHEN2025_POPULATIONS_STEP",
    "SHEN2025_PROTEINS",
    "SPANTINI2019",
    "SPANTINI2019_STEP",
    "SUBRAMANIAN2013",
    "SUBRAMANIAN2013_STEP",
    "WILKS2005",
    "WILKS2005_STEP",
    "ZABUSKY1965",
    "ZABUSKY1965_STEP",
    "AnnularCombustor",
    "KortewegDeVries",
    "KuramotoSivashinsky",
    "LinearGaussian",
    "Lorenz63",
    "Lorenz96",
    "LotkaVolterra",
    "NavierStokes2D",
    "OrnsteinUhlenbeck",
    "Pendulum",
    "Repressilator",
    "RijkeTube",
    "ThermoacousticBench",
    "TwoScaleLorenz96",
    "VanDerPol",
    "simulate_bench",
    "simulate_bench_signals",
]
