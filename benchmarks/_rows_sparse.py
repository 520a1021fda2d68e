"""More rows of the tables of filters: half the places read, or seldom, or with an error that is not Gaussian."""

import numpy as np
from _rows import RING, Row, alone, bundle, local, peer, square
from _settings import (
    L63_ONE,
    L96,
    L96_HARD,
    L96_LAND,
    L96_LAPLACE,
    L96_LATE,
    L96_OCEAN,
    L96_TEN,
    L96_VAGUE,
)

from assim.filters import ETKF, LETKF, EnKFN, IEnKS, Particle, Straight, ThreeDVar

LONG = Straight((80.0,))


def particles(size: int, least: float, jitter: float, cycles: int = 400):
    return peer("PartFilt", N=size, NER=least, reg=jitter, cycles=cycles)


SPARSE = [
    Row(
        L63_ONE,
        "particle N=35",
        lambda: Particle(35, 0.3, 1.4),
        particles(35, 0.3, 1.4, 20_000),
        "2.05",
        cycles=40_000,
    ),
    Row(
        L96,
        "particle N=3000",
        lambda: Particle(3000, 0.5, 1.2),
        particles(3000, 0.5, 1.2),
        "0.36",
        cycles=2000,
    ),
    Row(
        L96_LATE,
        "IEnKS N=20 L=1 1.1 rot",
        lambda: IEnKS(20, 1, 10, 1.1, True),
        peer("iEnKS", "-N", N=20, cycles=1000),
        "0.40",
        cycles=4000,
    ),
    Row(
        L96_TEN,
        "EnKF-N N=8, surer, rot",
        lambda: EnKFN(8, 1.3, True),
        peer("EnKF_N", N=8, rot=True, xN=1.3),
        "0.44",
    ),
    Row(
        L96_TEN,
        "particle N=800",
        lambda: Particle(800, 0.2, 0.8),
        particles(800, 0.2, 0.8, 1000),
        "0.29",
    ),
    Row(
        L96_VAGUE,
        "EnKF-N N=24, surer, rot",
        lambda: EnKFN(24, 1.5, True),
        peer("EnKF_N", N=24, rot=True, infl=1.01),
        "0.58",
    ),
    Row(
        L96_VAGUE,
        "IEnKS N=19 L=2 1.04",
        lambda: IEnKS(19, 2, 3, 1.04),
        bundle(19, 2, 1000, infl=1.04),
        "0.46",
    ),
    Row(
        L96_VAGUE,
        "particle N=10000",
        lambda: Particle(10_000, 0.05, 0.8),
        particles(10_000, 0.05, 0.8),
        "0.57",
        cycles=2400,
    ),
    alone(L96_HARD, "2.5"),
    Row(
        L96_HARD,
        "3D-Var, B 4 I",
        lambda: ThreeDVar(2.0 * np.eye(40), 1.0, 1),
        peer("Var3D", B="eye", xB=4, cycles=10_000),
        "2.3",
        cycles=20_000,
        fixed=True,
    ),
    *(
        Row(
            L96_HARD,
            f"ETKF N={size} 1.1",
            lambda size=size: ETKF(size, 1.1),
            square(size, 1.1, False, 6000),
            published,
            cycles=20_000,
        )
        for size, published in ((40, "2.2"), (60, "1.3"), (100, "0.97"))
    ),
    *(
        Row(
            L96_HARD,
            f"LETKF N={size} r=4 {factor}",
            lambda size=size, factor=factor: LETKF(size, 4.0, RING, factor),
            local(size, 4, factor, 2000, False),
            published,
            cycles=8000,
        )
        for size, factor, published in ((40, 1.1, "1.0"), (100, 1.02, "0.84"))
    ),
    Row(
        L96_HARD,
        "IEnKS N=40 L=2 1.1",
        lambda: IEnKS(40, 2, 10, 1.1),
        bundle(40, 2, 200, infl=1.1),
        "0.52",
        cycles=2000,
        edge=True,  # over 1000 cycles DAPPER, too, loses it on three of four paths
    ),
    *(
        Row(
            setting,
            "LETKF N=10 r=3 1.0075",
            lambda: LETKF(10, 3.0, RING, 1.015**0.5),
            peer("LETKF", N=10, rot=False, infl=1.015**0.5, loc_rad=3, taper="GC"),
            published,
        )
        for setting, published in ((L96_LAND, "0.38"), (L96_OCEAN, "2.9"))
    ),
    *(
        Row(
            L96_LAPLACE,
            f"LETKF N={size} r=5 1.04 rot",
            lambda size=size: LETKF(size, 5.0, LONG, 1.04, True),
            local(size, 5, 1.04, 300),
            published,
            cycles=8000,
        )
        for size, published in ((20, "0.44"), (40, "0.44"), (80, "0.43"))
    ),
]
