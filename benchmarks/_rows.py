"""The rows of the tables of filters: each setting that is published or to be reached, ours beside DAPPER's."""

from collections.abc import Callable
from dataclasses import dataclass

from _peer import Peer
from _settings import (
    KS,
    L63,
    L63_OFTEN,
    L63_ONE,
    L63_SURE,
    L63_VAGUE,
    L96,
    L96_HALF,
    L96_RARE,
    L96_SELDOM,
    Setting,
)
from _twins import Scores, climate, interpolated

from assim.filters import (
    ETKF,
    LETKF,
    DEnKF,
    EnKF,
    EnKFN,
    EnKS,
    ExtendedKalman,
    FourDVar,
    IEnKS,
    Particle,
    Straight,
    ThreeDVar,
)
from assim.filters.base import AbstractFilter

RING, FRONT = Straight((40.0,)), Straight((128.0,))


@dataclass(frozen=True)
class Row:
    """A filter on a system.

    Args:
        setting: the system.
        name: shown.
        chosen: the filter, or its scores; made when it runs.
        peer: the same in DAPPER.
        published: RMSE as it is printed beside the experiment there; None where none is.
        accept: RMSE to reach, and its tolerance.
        crps: to reach, and its tolerance.
        cycles: of ours.
        edge: whether the setting lies on the edge of stability: named, not a gate.
        fixed: whether its background covariance never changes, so that its spread cannot tell a lost state.
    """

    setting: Setting
    name: str
    chosen: Callable[[], AbstractFilter | EnKS | Scores]
    peer: Peer
    published: str | None = None
    accept: tuple[float, float] | None = None
    crps: tuple[float, float] | None = None
    cycles: int = 10_000
    edge: bool = False
    fixed: bool = False


def peer(
    method: str, *args: str, cycles: int = 1000, smoothed: bool = False, **more: object
) -> Peer:
    return Peer(method, args, more, cycles, smoothed)


def perturbed(size: int, factor: float, cycles: int = 1000) -> Peer:
    return peer("EnKF", "PertObs", N=size, infl=factor, cycles=cycles)


def square(size: int, factor: float, rot: bool = True, cycles: int = 1000) -> Peer:
    return peer("EnKF", "Sqrt", N=size, infl=factor, rot=rot, cycles=cycles)


def local(size: int, radius: float, factor: float, cycles: int = 1000, rot: bool = True) -> Peer:
    return peer("LETKF", N=size, rot=rot, infl=factor, loc_rad=radius, taper="GC", cycles=cycles)


def bundle(size: int, lag: int, cycles: int, **more: object) -> Peer:
    return peer("iEnKS", "Sqrt", N=size, Lag=lag, cycles=cycles, **more)


def without(setting: Setting) -> Row:
    """Climatology, which no reading corrects."""
    published = {L63: "7.6", L96: "3.6", KS: "1.3"}[setting]
    told = lambda: interpolated(setting, 10_000, False)  # noqa: E731
    return Row(setting, "climatology", told, peer("Climatology"), published)


def alone(setting: Setting, published: str) -> Row:
    """Climatology, corrected by the readings of each time alone."""
    told = lambda: interpolated(setting, 10_000)  # noqa: E731
    return Row(setting, "optimal interpolation", told, peer("OptInterp"), published)


def varied(kind: type, setting: Setting, scale: float, *rest: int) -> Callable[[], AbstractFilter]:
    """A variational filter whose B is a share of the climatological covariance."""
    return lambda: kind(climate(setting)[1], scale, *rest)


def bundled() -> IEnKS:
    return IEnKS(10, 1, 3, 1.02, True)


LORENZ63 = [
    without(L63),
    alone(L63, "1.25"),
    Row(
        L63,
        "3D-Var, B 0.1",
        varied(ThreeDVar, L63, 0.1, 1),
        peer("Var3D", xB=0.1),
        "1.04",
        fixed=True,
    ),
    Row(L63, "EKF 180", lambda: ExtendedKalman(180.0**0.5), peer("ExtKF", infl=180), "0.92"),
    Row(L63, "ETKF N=3 1.30", lambda: ETKF(3, 1.3), square(3, 1.3, False), "0.80", cycles=40_000),
    Row(
        L63,
        "ETKF N=10 1.02 rot",
        lambda: ETKF(10, 1.02, True),
        square(10, 1.02, cycles=1500),
        "0.60",
        (0.567, 0.03),
        cycles=100_000,
    ),
    Row(L63, "EnKF N=10 1.04", lambda: EnKF(10, 1.04), perturbed(10, 1.04), "0.65", cycles=40_000),
    Row(
        L63,
        "EnKF N=100 1.01",
        lambda: EnKF(100, 1.01),
        perturbed(100, 1.01, 1500),
        "0.56",
        (0.564, 0.02),
        (0.356, 0.013),
    ),
    Row(L63, "EnKF-N N=3", lambda: EnKFN(3), peer("EnKF_N", N=3), "0.60", cycles=40_000),
    Row(
        L63, "EnKF-N N=10 rot", lambda: EnKFN(10, 1.0, True), peer("EnKF_N", N=10, rot=True), "0.54"
    ),
    Row(
        L63,
        "IEnKS N=10 L=1 1.02 rot",
        bundled,
        bundle(10, 1, 1000, infl=1.02, rot=True),
        "0.31",
        (0.31, 0.04),
    ),
    Row(
        L63,
        "particle N=100",
        lambda: Particle(100, 0.3, 2.4),
        peer("PartFilt", N=100, reg=2.4, NER=0.3),
        "0.38",
    ),
    Row(
        L63,
        "particle N=800",
        lambda: Particle(800, 0.2, 0.9),
        peer("PartFilt", N=800, reg=0.9, NER=0.2),
        "0.28",
    ),
    Row(
        L63,
        "particle N=4000",
        lambda: Particle(4000, 0.05, 0.7),
        peer("PartFilt", N=4000, reg=0.7, NER=0.05),
        "0.27",
        (0.29, 0.0),
        cycles=4000,
    ),
    Row(
        L63_SURE,
        "IEnKS N=10 L=1 1.02 rot",
        bundled,
        bundle(10, 1, 500, infl=1.02, rot=True),
        "0.22",
    ),
    Row(
        L63_OFTEN,
        "IEnKS N=10 L=1 1.02 rot",
        bundled,
        bundle(10, 1, 1000, infl=1.02, rot=True),
        "0.13",
    ),
    Row(
        L63_VAGUE,
        "EnKF-N N=20 rot",
        lambda: EnKFN(20, 1.0, True),
        peer("EnKF_N", N=20, rot=True),
        "0.87",
    ),
    Row(
        L63_ONE,
        "EnKF-N N=30 rot",
        lambda: EnKFN(30, 1.0, True),
        peer("EnKF_N", N=30, rot=True),
        "2.52",
    ),
]
LORENZ96 = [
    without(L96),
    alone(L96, "0.95"),
    Row(
        L96,
        "3D-Var, B 0.02",
        varied(ThreeDVar, L96, 0.02, 1),
        peer("Var3D", xB=0.02),
        "0.41",
        fixed=True,
    ),
    Row(L96, "EKF 10", lambda: ExtendedKalman(10.0**0.5), peer("ExtKF", infl=10), "0.24"),
    Row(L96, "EKF 6", lambda: ExtendedKalman(6.0**0.5), peer("ExtKF", infl=6), edge=True),
    Row(
        L96,
        "EnKF N=40 1.06",
        lambda: EnKF(40, 1.06),
        perturbed(40, 1.06, 2000),
        "0.22",
        (0.221, 0.006),
        (0.120, 0.004),
    ),
    Row(L96, "EnKF N=28 1.08", lambda: EnKF(28, 1.08), perturbed(28, 1.08), "0.24"),
    Row(
        L96,
        "DEnKF N=40 1.01",
        lambda: DEnKF(40, 1.01),
        peer("EnKF", "DEnKF", N=40, infl=1.01, cycles=2000),
        "0.18",
        (0.183, 0.006),
    ),
    Row(
        L96,
        "ETKF N=24 1.013 rot",
        lambda: ETKF(24, 1.013, True),
        square(24, 1.013, cycles=2000),
        "0.18",
        cycles=20_000,
        edge=True,
    ),
    Row(
        L96,
        "ETKF N=28 1.02 rot",
        lambda: ETKF(28, 1.02, True),
        square(28, 1.02, cycles=2000),
        "0.18",
        (0.180, 0.006),
        (0.096, 0.004),
    ),
    Row(
        L96,
        "ETKF N=40 1.01 rot",
        lambda: ETKF(40, 1.01, True),
        square(40, 1.01, cycles=2000),
        accept=(0.180, 0.007),
    ),
    Row(L96, "ETKF N=20 1.04 rot", lambda: ETKF(20, 1.04, True), square(20, 1.04), "0.20"),
    Row(
        L96, "EnKF-N N=24 rot", lambda: EnKFN(24, 1.0, True), peer("EnKF_N", N=24, rot=True), "0.21"
    ),
    Row(
        L96,
        "EnKF-N N=24, surer, rot",
        lambda: EnKFN(24, 2.0, True),
        peer("EnKF_N", N=24, rot=True, xN=2.0),
        "0.18",
    ),
    Row(
        L96,
        "IEnKS N=40 L=1 1.01 rot",
        lambda: IEnKS(40, 1, 2, 1.01, True),
        bundle(40, 1, 500, infl=1.01, rot=True),
        "0.17",
        cycles=5000,
    ),
    Row(
        L96,
        "LETKF N=7 r=4 1.04 rot",
        lambda: LETKF(7, 4.0, RING, 1.04, True),
        local(7, 4, 1.04),
        "0.22",
        (0.220, 0.006),
        (0.124, 0.004),
    ),
    Row(
        L96,
        "LETKF N=10 r=6 1.04 rot",
        lambda: LETKF(10, 6.0, RING, 1.04, True),
        local(10, 6, 1.04),
        "0.20",
        (0.203, 0.005),
    ),
    Row(
        L96,
        "EnKS N=28 lag 10 1.02, smoothed",
        lambda: EnKS(28, 10, 1.02),
        peer("EnKS", "Sqrt", N=28, infl=1.02, rot=False, Lag=10, smoothed=True),
        accept=(0.115, 0.015),
    ),
    Row(
        L96_SELDOM,
        "IEnKS N=20 L=4 1.05 rot",
        lambda: IEnKS(20, 4, 4, 1.05, True),
        bundle(20, 4, 400, xN=2),
        "0.31",
        (0.33, 0.0),
        cycles=3000,
    ),
    *(
        Row(
            L96_SELDOM,
            f"4D-Var L={lag}, B {scale}",
            varied(FourDVar, L96_SELDOM, scale, lag),
            peer("Var4D", Lag=lag, xB=scale, cycles=200),
            published,
            (reached, 0.01),
            cycles=4000,
        )
        for lag, scale, published, reached in (
            (1, 0.02, "0.46", 0.469),
            (2, 0.005, "0.39", 0.407),
            (4, 0.002, "0.37", 0.386),
        )
    ),
    Row(
        L96_RARE,
        "IEnKS N=25 L=1 1.2 rot",
        lambda: IEnKS(25, 1, 10, 1.2, True),
        bundle(25, 1, 400, infl=1.2, rot=True),
        "0.46",
        cycles=2000,
    ),
    Row(
        L96_HALF,
        "EnKF-N N=24, surer, rot",
        lambda: EnKFN(24, 1.5, True),
        peer("EnKF_N", N=24, rot=True, infl=1.01),
        "0.38",
    ),
    Row(
        L96_HALF,
        "IEnKS N=19 L=2 1.04",
        lambda: IEnKS(19, 2, 3, 1.04),
        bundle(19, 2, 500, infl=1.04),
        "0.39",
        cycles=5000,
    ),
]
FRONTS = [
    without(KS),
    alone(KS, "0.5"),
    *(
        Row(
            KS,
            f"LETKF N={size} r={wide}/1.82 {factor:.2f} rot",
            lambda size=size, wide=wide, factor=factor: LETKF(
                size, wide / 1.82, FRONT, factor, True
            ),
            local(size, wide / 1.82, factor, 400),
            published,
            accept,
            cycles=3000,
            edge=size > 4,  # over 20 000 cycles these lose the front, DAPPER's too: fronts.py
        )
        for size, wide, factor, published, accept in (
            (4, 15, 1.11, "0.18", None),
            (6, 25, 1.06, "0.14", None),
            (16, 51, 1.02, "0.11", (0.102, 0.013)),
        )
    ),
    Row(
        KS,
        "ETKF N=20 1.03 rot",
        lambda: ETKF(20, 1.03, True),
        square(20, 1.03),
        "0.115",
        (0.109, 0.015),
        cycles=3000,
    ),
]
ROWS = LORENZ63 + LORENZ96 + FRONTS
