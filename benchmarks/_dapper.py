"""Run by a Python that has DAPPER 1.8.1: the experiments of a list, their scores and CPU seconds, as JSON.

Usage: python _dapper.py SPEC.json, where the spec is a list of experiments; see `_twins.Peer`. The answer goes to
the file that the spec names. BLAS is held to one thread by the environment that the caller sets.
"""

import importlib
import json
import sys
import time
import types
import warnings

import dapper
import dapper.da_methods as methods
import numpy as np
from dapper.da_methods import variational
from dapper.mods import Operator, TimeDependentOperator
from dapper.tools.randvars import GaussRV
from dapper.tools.seeding import set_seed

BLOCKS = 20


def mended() -> None:
    """4D-Var of 1.8.1 indexes its operator twice, and fails: the same source without the second index."""
    with open(variational.__file__) as file:
        source = file.read()
    for wrong, right in (
        ("Obs(ko).linear(x)", "Obs.linear(x)"),
        ("xo = Obs(ko)(x)", "xo = Obs(x)"),
    ):
        assert source.count(wrong) == 1, wrong
        source = source.replace(wrong, right)
    module = types.ModuleType("dapper.da_methods.variational_mended")
    module.__package__ = "dapper.da_methods"
    exec(compile(source, variational.__file__, "exec"), module.__dict__)
    methods.Var4D = module.Var4D


def series(values: np.ndarray) -> tuple[float, float]:
    """Mean over time and its standard error by blocks."""
    blocks = [b.mean() for b in np.array_split(values, BLOCKS)]
    return float(values.mean()), float(np.std(blocks, ddof=1) / BLOCKS**0.5)


def tried(experiment: dict) -> dict:
    model = importlib.import_module(f"dapper.mods.{experiment['system']}").HMM.copy()
    model.tseq.dko = experiment["every"]
    model.tseq.Ko = experiment["cycles"]
    if isinstance(model.Obs, Operator):  # a module of 1.8.1 that was left behind
        model.Obs = TimeDependentOperator(model.Obs)
    if (variance := experiment["variance"]) is not None:
        model.Obs(0).noise = GaussRV(C=variance, M=model.Obs(0).M)
    dapper.rc.liveplotting = False
    dapper.rc.comps.error_only = experiment["error_only"]
    set_seed(experiment["seed"])
    truth, readings = model.simulate()
    method = getattr(methods, experiment["method"])
    spent = []
    for _ in range(experiment["times"]):
        chosen = method(*experiment["args"], **experiment["settings"])
        begun = time.process_time()
        chosen.assimilate(model, truth, readings, desc=False)
        spent.append((time.process_time() - begun) / experiment["cycles"] * 1000)
    seconds = min(spent)
    kind = "s" if experiment["smoothed"] else "a"
    past = slice(experiment["burn"], -1)
    told = {"seconds": seconds, "slowest": max(spent)}
    sector = experiment["sector"]
    of = {name: getattr(chosen.stats, name) for name in ("err", "spread", "crps")}
    of = {name: getattr(told, "m" if name == "crps" else "rms") for name, told in of.items()}
    if sector:
        of = {name: getattr(told, sector) for name, told in of.items()}
    errors = getattr(of["err"], kind)[past]
    told["rmse"], told["sigma"] = series(errors)
    if experiment["error_only"]:
        told["errors"] = [float(e) for e in errors]
    if not experiment["error_only"]:
        told["spread"] = float(getattr(of["spread"], kind)[past].mean())
        told["crps"] = float(getattr(of["crps"], kind)[past].mean())
    return told


def main() -> None:
    warnings.simplefilter("ignore")
    mended()
    with open(sys.argv[1]) as file:
        spec = json.load(file)
    answers = []
    for experiment in spec["experiments"]:
        try:
            answers.append(tried(experiment))
        except Exception as error:  # an experiment that fails says so in its cell
            answers.append({"error": f"{type(error).__name__}: {error}"})
        told = {name: value for name, value in answers[-1].items() if name != "errors"}
        print(experiment["method"], experiment["settings"], told, flush=True)
    with open(spec["out"], "w") as file:
        json.dump(answers, file)


if __name__ == "__main__":
    main()
