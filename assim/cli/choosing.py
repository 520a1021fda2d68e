"""Names and settings on the command line become objects: `--model`, `--method`, `--filter`, `--set name=value`.

A setting goes to the model or the method, or to the filter or the system, by the name of its argument;
`ascent.num_steps=500` reaches one floor down. A new argument of a class is a setting at once.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from assim.cli.values import arguments, lacking, put

MODELS = {
    "autoregressive": "Autoregressive",
    "departures": "Departures",
    "persistence": "Persistence",
    "climatology": "Climatology",
    "seasonal-naive": "SeasonalNaive",
    "var": "VAR",
    "semilinear-operator": "SemilinearOperator",
    "published-noda": "PublishedNODA",
    "fno": "FNO",
    "dmd": "DMD",
    "linear-koopman": "LinearKoopman",
    "koopman-vae": "KoopmanVAE",
    "shallow-plrnn": "ShallowPLRNN",
    "almost-linear-rnn": "AlmostLinearRNN",
    "hankel-dmd": "HankelDMD",
    "edmd": "EDMD",
    "schrodinger-bridge": "SchrodingerBridge",
    "published-sbirr": "PublishedSBIRR",
    "displacement-interpolation": "DisplacementInterpolation",
    "field-persistence": "FieldPersistence",
    "field-climatology": "FieldClimatology",
}
METHODS = {
    "svi": "SVI",
    "nuts": "NUTS",
    "laplace": "Laplace",
    "ensemble-map": "EnsembleMAP",
    "stein": "Stein",
    "sgmcmc": "SGMCMC",
    "exact": "Exact",
    "prior": "Prior",
}
FILTERS = {
    "etkf": "ETKF",
    "enkf": "EnKF",
    "denkf": "DEnKF",
    "letkf": "LETKF",
    "enkf-n": "EnKFN",
    "ienks": "IEnKS",
    "particle": "Particle",
    "guided-particle": "GuidedParticle",
    "kalman": "Kalman",
    "extended-kalman": "ExtendedKalman",
    "gated": "Gated",
    "tolerant": "Tolerant",
    "observer": "Observer",
}
SYSTEMS = {
    "lorenz-63": "Lorenz63",
    "lorenz-96": "Lorenz96",
    "two-scale-lorenz-96": "TwoScaleLorenz96",
    "kuramoto-sivashinsky": "KuramotoSivashinsky",
    "korteweg-de-vries": "KortewegDeVries",
    "navier-stokes": "NavierStokes2D",
    "lotka-volterra": "LotkaVolterra",
    "repressilator": "Repressilator",
    "van-der-pol": "VanDerPol",
    "rijke-tube": "RijkeTube",
    "annular-combustor": "AnnularCombustor",
    "pendulum": "Pendulum",
    "ornstein-uhlenbeck": "OrnsteinUhlenbeck",
}
MOST_MEMBERS = 100
"""Draws of a fit that become members, where `--set size=` says nothing."""

Owners = Mapping[str, tuple[str, Callable]]
"""Who takes settings, by role: as typed, and the class."""


def chosen(
    model: str, method: str | None, settings: Sequence[str], controls: tuple[str, ...] = ()
) -> tuple[Any, Any]:
    """The model and the method that a command line names.

    Args:
        model: one of `MODELS`.
        method: one of `METHODS`, or None for that of `infer`.
        settings: each "name=value".
        controls: variables known in advance, for models that take them.

    Raises:
        ValueError: a name that is not there (the nearest are named), a value of another kind.
    """
    owners = {"model": (model, _named(MODELS, model, "model", "assim.models"))}
    if method is not None:
        owners["method"] = (method, _named(METHODS, method, "method", "assim.inference"))
    given = _sorted(settings, owners, None if method else ("method", METHODS, "assim.inference"))
    if controls:
        if "controls" not in arguments(owners["model"][1]):
            raise ValueError(
                f"--controls: {model} takes none; use --model autoregressive, or leave them out."
            )
        given["model"]["controls"] = controls
    made = {role: _made(*owner, given[role]) for role, owner in owners.items()}
    return made["model"], made.get("method")


def chosen_method(name: str | None, settings: Sequence[str]) -> Any:
    """The method that a command line names, None where it names none.

    Args:
        name: one of `METHODS`.
        settings: each "name=value".

    Raises:
        ValueError: a name that is not there (the nearest are named), a value of another kind.
    """
    if name is None:
        _sorted(settings, {}, ("method", METHODS, "assim.inference"))
        return None
    owners = {"method": (name, _named(METHODS, name, "method", "assim.inference"))}
    return _made(*owners["method"], _sorted(settings, owners, None)["method"])


def chosen_filter(
    name: str | None, settings: Sequence[str], *, system: str | None = None, draws: int = 0
) -> tuple[Any, Any]:
    """The filter and the known system that a command line names, None where it names none.

    Args:
        name: one of `FILTERS`.
        settings: each "name=value"; of a name that both have it is the filter's, and "system.size=20" the other's.
        system: one of `SYSTEMS`.
        draws: how many a fit has; a filter that would have fewer than `MOST_MEMBERS` members takes one for each.

    Raises:
        ValueError: a name that is not there (the nearest are named), a value of another kind.
    """
    owners = {}
    if name is not None:
        owners["filter"] = (name, _named(FILTERS, name, "filter", "assim.filters"))
    if system is not None:
        owners["system"] = (system, _named(SYSTEMS, system, "system", "assim.systems"))
    given = _sorted(settings, owners, None if name else ("filter", FILTERS, "assim.filters"))
    if name is not None and draws:
        size = arguments(owners["filter"][1]).get("size")
        if size is not None and size.default < MOST_MEMBERS:
            given["filter"].setdefault("size", min(draws, MOST_MEMBERS))
    made = {role: _made(*owner, given[role]) for role, owner in owners.items()}
    return made.get("filter"), made.get("system")


def chosen_system(name: str, settings: Sequence[str]) -> Any:
    """The known system that a command line names.

    Args:
        name: one of `SYSTEMS`.
        settings: each "name=value".

    Raises:
        ValueError: a name that is not there (the nearest are named), a value of another kind.
    """
    owners = {"system": (name, _named(SYSTEMS, name, "system", "assim.systems"))}
    return _made(*owners["system"], _sorted(settings, owners, None)["system"])


def _named(names: dict[str, str], wanted: str, what: str, home: str) -> Any:
    key = wanted.strip().lower().replace("_", "-")
    key = next((k for k, v in names.items() if key in (k, v.lower())), key)
    if key not in names:
        near = difflib.get_close_matches(key, names, 2, 0.5)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ValueError(f"There is no {what} '{wanted}': choose from {', '.join(names)}{meant}")
    return getattr(import_module(home), names[key])


def _made(word: str, made_by: Callable, given: dict[str, Any]) -> Any:
    absent = lacking(made_by, given)
    if absent:
        raise ValueError(
            f"{word} needs {', '.join(absent)}: give {' '.join(f'--set {k}=VALUE' for k in absent)}."
        )
    return made_by(**given)


def _sorted(
    settings: Sequence[str], owners: Owners, unnamed: tuple[str, dict[str, str], str] | None
) -> dict[str, dict[str, Any]]:
    """The settings by whose they are; `unnamed` is who could have been named besides."""
    takes = {role: arguments(made_by) for role, (_, made_by) in owners.items()}
    given: dict[str, dict[str, Any]] = {role: {} for role in owners}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting} has no value: write --set {setting}=VALUE.")
        role, _, rest = name.partition(".")
        if rest.partition(".")[0] in takes.get(role, {}):
            name = rest
        else:
            role = next((r for r in owners if name.partition(".")[0] in takes[r]), "")
        if not role:
            raise _unknown(name, owners, unnamed)
        put(given[role], name, text, takes[role][name.partition(".")[0]])
    return given


def _unknown(
    name: str, owners: Owners, unnamed: tuple[str, dict[str, str], str] | None
) -> ValueError:
    if unnamed is not None:
        role, names, home = unnamed
        classes = {word: getattr(import_module(home), made) for word, made in names.items()}
        elsewhere = [w for w, c in classes.items() if name.partition(".")[0] in arguments(c)]
        if elsewhere:
            return ValueError(
                f"--set {name}: this is a setting of the {role}s {', '.join(elsewhere)}; "
                f"say which, as --{role} {elsewhere[0]}."
            )
    known = dict.fromkeys(k for _, made_by in owners.values() for k in arguments(made_by))
    words = [word for word, _ in owners.values()]
    if not known:
        return ValueError(f"--set {name}: nothing that is named here has settings; leave it out.")
    near = difflib.get_close_matches(name, known, 3, 0.5)
    meant = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
    who = f"{' and '.join(words)} {'has' if len(words) == 1 else 'have'}"
    return ValueError(f"--set {name}: {who} no such setting; {meant}")
