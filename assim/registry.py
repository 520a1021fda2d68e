"""Settings as JSON and back: the only names that a file can call to life are those in these tables."""

import dataclasses
from collections.abc import Callable
from importlib import import_module
from typing import Any

import jax
import numpy as np

HOMES = {
    "assim.models.autoregressive": (
        *("Autoregressive", "Iterated", "Direct", "DenseEncoder", "GatedEncoder"),
        *("FixedNormal", "Normal", "StudentT"),
    ),
    "assim.models.baselines": (
        *("Persistence", "Climatology", "SeasonalNaive", "DisplacementInterpolation"),
        *("EDMD", "HankelDMD", "MeasurePreservingEDMD", "HAVOK"),
        *("FieldPersistence", "FieldClimatology", "DMD", "FNO"),
    ),
    "assim.nn.dictionary": ("Delays", "RadialBasis", "Monomials"),
    "assim.models.departures": ("Departures",),
    "assim.models.kovae": ("PublishedKoVAE", "UnitModulus"),
    "assim.models.koopman": (
        *("KoopmanVAE", "LinearKoopman", "Anywhere", "Stationary", "Mixture", "Flow"),
        *("Sequential", "Parallel"),
    ),
    "assim.models.bridge": (
        *("SchrodingerBridge", "FirstSnapshot", "Adjacent", "Bridge", "Unseen"),
    ),
    "assim.models.bridge.published": ("PublishedSBIRR", "Alternation"),
    "assim.models.mechanistic": ("Mechanistic",),
    "assim.models.recurrent": ("ShallowPLRNN", "AlmostLinearRNN"),
    "assim.models.semilinear": ("SemilinearOperator", "Gain", "Readings", "PublishedNODA"),
    "assim.inference": (
        *("NUTS", "SVI", "EnsembleMAP", "Laplace", "Stein", "Exact", "Prescribed", "Adjusted"),
        *("Prior", "Ascent", "SGMCMC", "SGLD", "SGHMC", "SGNHT"),
        *("TargetNoise", "AnchorsOnly", "Bootstrap", "LastLayer", "GaussNewton"),
    ),
    "assim.filters": (
        *("EnKF", "DEnKF", "ETKF", "LETKF", "EnKFN", "IEnKS", "Particle", "GuidedParticle"),
        *("Kalman", "ExtendedKalman", "ThreeDVar", "FourDVar", "WeakFourDVar", "Observer"),
        *("RTS", "EnKS", "EnRTS", "Gated", "Tolerant"),
        *("Multiplicative", "RTPS", "Additive", "Straight", "GreatCircle"),
    ),
    "assim.systems": (
        *("Lorenz63", "Lorenz96", "TwoScaleLorenz96", "KuramotoSivashinsky", "KortewegDeVries"),
        *("NavierStokes2D", "LotkaVolterra", "Repressilator", "VanDerPol"),
        *("OrnsteinUhlenbeck", "LinearGaussian", "Pendulum", "RijkeTube", "AnnularCombustor"),
    ),
    "numpyro.infer.autoguide": (
        *("AutoNormal", "AutoDiagonalNormal", "AutoMultivariateNormal"),
        *("AutoLowRankMultivariateNormal", "AutoDelta", "AutoLaplaceApproximation"),
        *("AutoBatchedMultivariateNormal", "AutoBatchedLowRankMultivariateNormal"),
        *("AutoBNAFNormal", "AutoIAFNormal", "AutoDAIS"),
    ),
}
WHERE = {name: module for module, names in HOMES.items() for name in names}
ROOMS = {
    "assim.models.bridge.references": (
        *("Brownian", "Linear", "LotkaVolterra", "Repressilator", "RepressilatorProteins"),
        *("Vortex", "Potential", "RandomFeatures", "Neural", "Sum"),
    ),
    "assim.models.bridge.volatilities": (
        *("Constant", "Diagonal", "Multiplicative", "Mixed", "Given"),
    ),
    "assim.models.bridge.errors": ("Exact", "Given", "Learned", "Mixed"),
    "assim.models.recurrent.forcing": ("Constant", "Adaptive", "Learned", "Sparse"),
    "assim.models.bridge.survival": ("NoHazard", "ConstantHazard", "LinearHazard", "NetHazard"),
}
"""Modules whose names others have too: a file tells them with the last word of the module, as `errors.Exact`."""
WITHIN = {
    f"{room.rpartition('.')[2]}.{name}": room for room, names in ROOMS.items() for name in names
}
DISTRIBUTIONS = {
    **dict.fromkeys(("Normal", "LogNormal", "Cauchy", "Laplace", "Logistic"), ("loc", "scale")),
    **dict.fromkeys(("Gumbel", "SoftLaplace"), ("loc", "scale")),
    **dict.fromkeys(("HalfNormal", "HalfCauchy"), ("scale",)),
    **dict.fromkeys(("Uniform", "LogUniform"), ("low", "high")),
    **dict.fromkeys(("Gamma", "InverseGamma"), ("concentration", "rate")),
    **dict.fromkeys(("Beta", "Kumaraswamy"), ("concentration1", "concentration0")),
    "StudentT": ("df", "loc", "scale"),
    "Exponential": ("rate",),
    "Chi2": ("df",),
    "Weibull": ("scale", "concentration"),
    "Pareto": ("scale", "alpha"),
    "Dirichlet": ("concentration",),
    "VonMises": ("loc", "concentration"),
    "MultivariateNormal": ("loc", "scale_tril"),
    "MultivariateStudentT": ("df", "loc", "scale_tril"),
    "LeftTruncatedDistribution": ("base_dist", "low"),
    "RightTruncatedDistribution": ("base_dist", "high"),
    "TwoSidedTruncatedDistribution": ("base_dist", "low", "high"),
    "Independent": ("base_dist", "reinterpreted_batch_ndims"),
    "ExpandedDistribution": ("base_dist", "batch_shape"),
}
"""Distributions of NumPyro that a file can hold, and what each is made from."""
MOST_NUMBERS = 10_000
"""Entries of an array that a file can hold among its settings."""


def settings_of(thing: object, *, own: bool = False) -> Any:
    """A JSON-ready description of a model, a method or a part of one; `made_from` is its inverse.

    Args:
        thing: what is described.
        own: whether a part that JSON cannot hold is told by the name of its class alone, which `made_from` refuses.

    Raises:
        TypeError: a setting that JSON cannot hold.
    """

    def part(inner: object) -> Any:
        return settings_of(inner, own=own)

    kind = type(thing)
    if isinstance(thing, type):
        return {"class": _called(thing)}
    if kind.__name__ in DISTRIBUTIONS and kind.__module__.startswith("numpyro.distributions."):
        given = {name: part(getattr(thing, name)) for name in DISTRIBUTIONS[kind.__name__]}
        return {"distribution": kind.__name__, **given}
    if dataclasses.is_dataclass(thing):
        given = {f.name: part(getattr(thing, f.name)) for f in dataclasses.fields(thing) if f.init}
        return {"type": _called(kind), **given}
    if isinstance(thing, tuple | list):
        return [part(inner) for inner in thing]
    if isinstance(thing, dict):
        return {str(k): part(v) for k, v in thing.items()}
    if isinstance(thing, np.generic):
        return thing.item()
    if thing is None or isinstance(thing, str | int | float):
        return thing
    if isinstance(thing, np.ndarray | jax.Array) and _is_plain(thing):
        return {"array": np.asarray(thing).tolist()}
    if own:
        return {"type": kind.__name__}
    raise TypeError(
        f"A setting is of type {kind.__name__}, which JSON cannot hold: settings are numbers, strings, tuples, "
        "small arrays, the usual distributions of NumPyro and other settings; what is learned belongs in the "
        "prior, what is counted in the constants."
    )


def made_from(settings: Any) -> Any:
    """The object that `settings_of` described.

    Raises:
        ValueError: a name that is not of this package, or settings that it does not have.
    """
    if isinstance(settings, list):
        return tuple(made_from(part) for part in settings)
    if not isinstance(settings, dict):
        return settings
    if "class" in settings:
        return _named(settings["class"])
    if "array" in settings:
        return jax.numpy.asarray(settings["array"])
    if "distribution" in settings:
        return _made(_distribution(settings["distribution"]), settings, "distribution")
    if "type" in settings:
        return _made(_named(settings["type"]), settings, "type")
    return {k: made_from(v) for k, v in settings.items()}


def _made(kind: Callable, settings: dict, tag: str) -> Any:
    parts = {k: made_from(v) for k, v in settings.items() if k != tag}
    try:
        return kind(**parts)
    except TypeError as error:
        raise ValueError(
            f"The file was made with other settings of {settings[tag]} than this version of assim has "
            f"({error}): fit again, or use the version that wrote it."
        ) from error


def _called(kind: type) -> str:
    """The name that a file tells, with the room where the class stands in one."""
    room = next((r for r in ROOMS if f"{kind.__module__}.".startswith(f"{r}.")), None)
    return kind.__name__ if room is None else f"{room.rpartition('.')[2]}.{kind.__name__}"


def _named(name: Any) -> Any:
    if not isinstance(name, str) or name not in WHERE | WITHIN:
        raise _unknown(name)
    return getattr(import_module((WHERE | WITHIN)[name]), name.rpartition(".")[2])


def _distribution(name: Any) -> Any:
    if not isinstance(name, str) or name not in DISTRIBUTIONS:
        raise _unknown(name)
    return getattr(import_module("numpyro.distributions"), name)


def _unknown(name: Any) -> ValueError:
    return ValueError(
        f"The file was made with '{name}', which this version of assim does not know: "
        "for a model of your own, pass it in, as restore(tree, model=...)."
    )


def _is_plain(array: np.ndarray | jax.Array) -> bool:
    """Whether an array holds real numbers, not too many, and is no random key and not being traced."""
    if isinstance(array, jax.core.Tracer) or array.size > MOST_NUMBERS:
        return False
    kinds = (np.bool_, np.integer, np.floating)
    return any(jax.dtypes.issubdtype(array.dtype, kind) for kind in kinds)
