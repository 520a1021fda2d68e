"""Settings as JSON and back: the only names that a file can call to life are those in this table."""

import dataclasses
from importlib import import_module
from typing import Any

import numpy as np

HOMES = {
    "assim.models.autoregressive": (
        *("Autoregressive", "Iterated", "Direct"),
        *("FixedNormal", "Normal", "StudentT"),
    ),
    "assim.models.baselines": ("Persistence", "Climatology", "SeasonalNaive"),
    "assim.inference": (
        *("NUTS", "SVI", "EnsembleMAP", "Laplace", "Stein", "Prior", "Ascent"),
        *("TargetNoise", "AnchorsOnly", "Bootstrap", "LastLayer", "GaussNewton"),
    ),
    "numpyro.infer.autoguide": (
        *("AutoNormal", "AutoDiagonalNormal", "AutoMultivariateNormal"),
        *("AutoLowRankMultivariateNormal", "AutoDelta", "AutoLaplaceApproximation"),
        *("AutoBNAFNormal", "AutoIAFNormal"),
    ),
}
WHERE = {name: module for module, names in HOMES.items() for name in names}


def settings_of(thing: object) -> Any:
    """A JSON-ready description of a model, a method or a part of one; `made_from` is its inverse.

    Raises:
        TypeError: a setting that JSON cannot hold.
    """
    if isinstance(thing, type):
        return {"class": thing.__name__}
    if dataclasses.is_dataclass(thing):
        fields = {f.name: settings_of(getattr(thing, f.name)) for f in dataclasses.fields(thing)}
        return {"type": type(thing).__name__, **fields}
    if isinstance(thing, tuple | list):
        return [settings_of(part) for part in thing]
    if isinstance(thing, dict):
        return {str(k): settings_of(v) for k, v in thing.items()}
    if isinstance(thing, np.generic):
        return thing.item()
    if thing is None or isinstance(thing, str | int | float):
        return thing
    raise TypeError(
        f"A setting is of type {type(thing).__name__}, which JSON cannot hold: settings are numbers, strings, "
        "tuples and other settings; what is learned belongs in the prior, what is counted in the constants."
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
    parts = {k: made_from(v) for k, v in settings.items() if k != "type"}
    if "type" not in settings:
        return parts
    made = _named(settings["type"])
    try:
        return made(**parts)
    except TypeError as error:
        raise ValueError(
            f"The file was made with other settings of {settings['type']} than this version of assim has "
            f"({error}): fit again, or use the version that wrote it."
        ) from error


def _named(name: Any) -> Any:
    if not isinstance(name, str) or name not in WHERE:
        raise ValueError(
            f"The file was made with '{name}', which this version of assim does not know: "
            "for a model of your own, pass it in, as restore(tree, model=...)."
        )
    return getattr(import_module(WHERE[name]), name)
