"""The learned operator with its gain on two more equations: solitons that meet, and a forced flow in the plane.

KdV: u_t + 6 u u_x + u_xxx = 0 without hyper-diffusion, told as w = 6 u, on a ring of 40 with 128 places; two
solitons, of speeds from 1 to 2 and from 0.4 to 0.8, at random places, cycles of 0.5, 16 sensors at a signal to
noise ratio of 20 dB. Kolmogorov: the vorticity of Chandler and Kerswell (2013) at Reynolds number 40, 64 x 64
places, cycles of 0.2, every fourth place along each axis read with an error of a tenth of the field's deviation.
Half of what the operators are trained on starts from states disturbed by smooth noise. Test paths are seen by no
fit and no choice; radius and inflation of the filters beside are those of fields.py (KdV), or untuned (flow).
"""

import os

# work this small is shared between threads at several times its cost
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import argparse
import dataclasses
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _other import (
    Case,
    dataset,
    disturbed,
    paths,
    ring,
    solitons,
    square,
    stirred,
    training,
    walked,
)
from _recording import record
from fields import SEEDS, kept, relative, state_space
from observers import over_seeds, scores

import assim
from assim import inference, models
from assim.filters import LETKF, Observer, Straight
from assim.filters.base import AbstractFilter, Cycle, Dynamics, cycled
from assim.nn.climate import Climate
from assim.statespace import AbstractStateSpace, Span, regular_spans
from assim.systems import KortewegDeVries, NavierStokes2D
from assim.systems.navier_stokes import CHANDLER2013_STEP

adam = partial(inference.EnsembleMAP, 1, learning_rate=5e-3)
RING = KortewegDeVries(128, length=40.0, dispersion=1.0, error=0.0, substeps=10)
KDV = Case(
    name="kdv",
    title="KdV, 16 sensors",
    true=RING,
    step=0.5,
    begun=partial(solitons, RING),
    smooth=partial(ring, 128),
    off=(0.5, 0.1),
    runs=(128, 198),
    model=models.SemilinearOperator(modes=24, width=24, layers=4, features=32, substeps=1),
    method=adam(num_steps=6000, batch_size=48),
    gain=(models.Gain(readings=models.Readings(error=(0.05, 0.5))), 20),
    training=adam(num_steps=1800, batch_size=8, randomisation=inference.AnchorsOnly()),
    every=8,
    about=False,
    paths=(16, 200),
    burn=50,
    members=40,
    local=(10.0, 1.02),
    aims=(
        "Aim: fits of at most 300 CPU seconds each.",
        "Aim: a relative square error of at most 0.02 after 50 cycles.",
    ),
)
FLOW = NavierStokes2D(64, forcing=1.0, error=0.0)
READINGS = models.Readings(share=(0.04, 0.3), error=(0.05, 0.5))
KOLMOGOROV = Case(
    name="kolmogorov",
    title="Kolmogorov flow, 256 sensors",
    true=FLOW,
    step=CHANDLER2013_STEP,
    begun=partial(stirred, FLOW, CHANDLER2013_STEP),
    smooth=partial(square, 64, 8.0),
    off=(0.5, 0.0),
    runs=(12, 300),
    model=models.SemilinearOperator(
        modes=12, width=16, layers=4, features=24, substeps=1, static="force"
    ),
    method=adam(num_steps=1500, batch_size=8),
    gain=(models.Gain(width=12, memory=4, readings=READINGS), 6),
    training=adam(num_steps=900, batch_size=2, randomisation=inference.AnchorsOnly()),
    every=4,
    about=True,
    paths=(4, 100),
    burn=50,
    members=20,
    local=(5.0, 1.02),
    aims=("Aim: fits of at most 480 CPU seconds each.", "Aim: a smoke test."),
    force=FLOW.drift(jnp.zeros(64**2)),
)
CASES = (KDV, KOLMOGOROV)
LEADS = (1, 10, 20, 50)


def fitted(case: Case, seed: int, *, key: jax.Array) -> xr.DataTree:
    """The operator."""

    def fit() -> xr.DataTree:
        short, begin = training(case, key=key), jax.random.key(seed)
        return assim.infer(case.model, short, case.method, key=begin, pointwise=0)

    return kept(f"{case.name}_operator_{seed}", fit)


def fitted_gain(case: Case, seed: int, *, key: jax.Array) -> xr.DataTree:
    """The operator with its gain, the former as it was."""
    gain, horizon = case.gain
    observing = dataclasses.replace(case.model, gain=gain, horizon=horizon)
    first = fitted(case, seed, key=key)

    def fit() -> xr.DataTree:
        return assim.infer(
            observing,
            dataset(case, paths(case, *case.runs, key=jax.random.fold_in(key, 7))),
            case.training,
            init=first,
            hold=("net", "generator", "noise"),
            key=jax.random.key(seed),
            pointwise=0,
        )

    return kept(f"{case.name}_gain_{seed}", fit)


@eqx.filter_jit
def run(
    chosen: AbstractFilter,
    dynamics: Dynamics,
    begun: object,
    y: jax.Array,
    spans: Span,
    error: jax.Array,
    key: jax.Array,
) -> tuple[jax.Array, ...]:
    """Mean and deviation of each analysis of one path, and the mean square of its innovations."""
    cycles = Cycle(spans, y, jnp.ones_like(y, bool), jnp.full_like(y, error))

    def step(belief: object, at: tuple) -> tuple:
        number, cycle = at
        told = cycled(chosen, dynamics, belief, cycle, number, key=key)
        apart = ((told.innovation.residual / told.innovation.sd) ** 2).mean()
        return told.analysis, (*chosen.moments(told.analysis), apart)

    return jax.lax.scan(step, begun, (jnp.arange(len(y)), cycles))[1]


def judged(
    case: Case,
    chosen: AbstractFilter,
    ssm: AbstractStateSpace,
    states: jax.Array,
    truth: jax.Array,
    *,
    key: jax.Array,
) -> np.ndarray:
    """Scores of each path, units of the field's deviation; a filter begins at a climate of the states."""
    at, spans, found = case.sensors(), regular_spans(case.step, truth.shape[1]), []
    dynamics = Dynamics(ssm, where=case.true.places()[at])
    error, scale = case.error(states), float(states.std())
    for number, path in enumerate(truth):
        k_start, k_noise, k_run = jax.random.split(jax.random.fold_in(key, number), 3)
        begun = chosen.start(dynamics, Climate(states), key=k_start)
        y = path[:, at] + error * jax.random.normal(k_noise, (len(path), at.size))
        told = run(chosen, dynamics, begun, y, spans, jnp.asarray(error), k_run)
        mean, sd, chi = (np.asarray(t)[case.burn :] for t in told)
        x = np.asarray(path)[case.burn :]
        found.append(scores(mean / scale, sd / scale, x / scale, chi, np.ones(len(x), bool)))
    return np.array(found)


def unread(
    case: Case, ssm: AbstractStateSpace | None, states: jax.Array, truth: jax.Array
) -> np.ndarray:
    """Scores of each path told from its first field alone: as it is, or moved."""
    told = jnp.broadcast_to(truth[:, :1], truth.shape)
    if ssm is not None:
        moved = walked(ssm, case.step, truth[:, 0], truth.shape[1] - 1)
        told = jnp.concatenate([truth[:, :1], moved], axis=1)
    told, x = (np.asarray(f)[:, case.burn :] / float(states.std()) for f in (told, truth))
    none = np.zeros(x.shape[1])
    return np.array([scores(m, 0.0 * m, f, none, none > 0) for m, f in zip(told, x, strict=True)])


def alone(case: Case, ssm: AbstractStateSpace, truth: jax.Array, *, key: jax.Array) -> list[float]:
    """Relative square errors of one step from disturbed states, and of free runs."""
    first = disturbed(case, truth[:, ::20].reshape(-1, truth.shape[2]), key=key)
    off = (walked(model, case.step, first, 1) for model in (ssm, case.true))
    free = walked(ssm, case.step, truth[:, 0], max(LEADS))
    return [relative(*off), *(relative(free[:, k - 1], truth[:, k]) for k in LEADS)]


def local(case: Case) -> LETKF:
    radius, inflation = case.local
    return LETKF(case.members, radius, Straight(tuple(map(float, case.sizes))), inflation)


def rows_of(
    case: Case, learned: list[AbstractStateSpace], truth: jax.Array, *, key: jax.Array
) -> list[list[str]]:
    """What reads nothing, and each filter around each model."""
    states, count = learned[0].states, case.members
    fields = [ssm.field for ssm in learned]
    told = {
        "persistence, nothing read": [unread(case, None, states, truth)],
        "learned operator, nothing read": [unread(case, ssm, states, truth) for ssm in fields],
    }
    for title, chosen, several in (
        ("Observer, learned gain", Observer(), learned),
        (f"LETKF, {count} members, learned operator", local(case), fields),
        (f"LETKF, {count} members, true equation", local(case), [case.true]),
    ):
        told[title] = [judged(case, chosen, ssm, states, truth, key=key) for ssm in several]
        print(case.title, title, *over_seeds(told[title]), flush=True)
    return [[title, *over_seeds(found)] for title, found in told.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="?", choices=[case.name for case in CASES])
    only = parser.parse_args().case
    for case in CASES:
        if only in (None, case.name):
            told(case)


def told(case: Case) -> None:
    """Fit, judge and record one equation."""
    k_train, k_test, k_off, k_filter = jax.random.split(jax.random.key(0), 4)
    truth, learned, free = paths(case, *case.paths, key=k_test), [], []
    for seed in SEEDS:
        trees = [fit(case, seed, key=k_train) for fit in (fitted, fitted_gain)]
        spent = [round(float(tree.attrs["cpu_seconds"])) for tree in trees]
        learned.append(state_space(trees[1]))
        found = alone(case, learned[-1].field, truth, key=k_off)
        free.append([f"seed {seed}", *(f"{v:.2g}" for v in found), *spent])
        print(*free[-1], flush=True)
    leads = [f"free run, {k} cycle{'s' * (k > 1)}" for k in LEADS]
    spent = ["CPU seconds, operator", "CPU seconds, gain"]
    record(
        f"{case.name}_alone",
        ["fit", "one cycle, from disturbed states", *leads, *spent],
        free,
        aims=f"{case.title}: relative square errors of the learned operators, nothing read. {case.aims[0]}",
    )
    columns = ["RMSE", "relative", "CRPS", "cover of 90 %", "spread over error", "chi-square"]
    record(
        case.name,
        ["filter", *columns],
        rows_of(case, learned, truth, key=k_filter),
        aims=f"{case.title}. {case.aims[1]} RMSE and CRPS in units of the field's deviation.",
        notes=[
            f"Learned rows: means and standard errors over {len(SEEDS)} fits of their means over {case.paths[0]} "
            "paths; others: over the paths. What reads nothing is given the first field of a path; filters begin "
            "at the climate of the record."
        ],
    )


if __name__ == "__main__":
    main()
