"""The exact linear part against the plain residual operator on "KS-128", at one size of network, without readings.

All learn from the same stretches (see fields.py, whose test paths these are), by one pass through a network of four
layers in a cycle, and are asked for spans and grids that they never saw; a fourth takes a cycle in four passes
through two layers.
"""

import dataclasses
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from _recording import SCRATCH, record
from fields import METHOD, MODEL, SEEDS, SIZE, fitted, paths, relative, state_space, training

import assim
from assim import models
from assim.statespace import AbstractStateSpace, Span
from assim.systems import KuramotoSivashinsky

PATHS, CYCLES = 16, 30
SIZES, SPANS = (64, 128, 256), (0.5, 1.0, 2.0)
FINE = KuramotoSivashinsky(max(SIZES), substeps=2)
"""The truth, on the finest grid and by half a cycle."""
RESIDUAL = models.PublishedNODA(modes=24, width=24, layers=4, horizon=1, warm_up=1, weight=0.0)
PLAIN = models.FNO(modes=24, width=24, layers=4, features=32, horizon=1)
SHORT = dataclasses.replace(MODEL, layers=2, substeps=4, horizon=2)
FORMS = {
    "residual": (RESIDUAL, METHOD),
    "plain network": (PLAIN, METHOD),
    "exact linear part, four steps a cycle": (SHORT, dataclasses.replace(METHOD, num_steps=4000)),
}
OFTEN = {"residual": SEEDS, "plain network": SEEDS, "exact linear part, four steps a cycle": (0,)}
"""Seeds of each form's fits."""


def fitted_form(name: str, seed: int = 0, *, key: jax.Array) -> xr.DataTree:
    """A form, kept in scratch/ where it was fitted before."""
    model, method = FORMS[name]
    path = SCRATCH / f"ks128_{name.replace(',', '').replace(' ', '_')}_{seed}.nc"
    if not path.exists():
        begun = time.process_time()
        begin = jax.random.key(seed)
        tree = assim.infer(model, training(key=key), method, key=begin, pointwise=0)
        tree.attrs["cpu_seconds"] = time.process_time() - begun
        tree.to_netcdf(path)
    return xr.open_datatree(path, engine="h5netcdf")


@eqx.filter_jit
def rolled(ssm: AbstractStateSpace, x: jax.Array, steps: int, dt: float) -> jax.Array:
    """Free runs without noise (time, path, place)."""
    span = Span(jnp.asarray(dt), jnp.zeros(0))

    def step(x: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        x = jax.vmap(lambda x: ssm.flow(x, span))(x)
        return x, x

    return jax.lax.scan(step, x, None, length=steps)[1]


def like(size: int) -> xr.Dataset:
    """A grid of the same domain."""
    return xr.Dataset(coords={"place": np.arange(size) * (SIZE / size)})


def judged(tree: xr.DataTree, begun: jax.Array, truth: jax.Array) -> list[str]:
    """One cycle, free runs, spans and grids, each as a relative square error."""
    at = lambda x, size: x[..., :: max(SIZES) // size]  # noqa: E731
    ssm, row = state_space(tree), []
    free = rolled(ssm, at(begun, SIZE), CYCLES, 1.0)
    row += [relative(free[k - 1], at(truth[2 * k - 1], SIZE)) for k in (1, 10, 20, 30)]
    for dt in SPANS:
        found = rolled(ssm, at(begun, SIZE), round(10 / dt), dt)[-1]
        row.append(relative(found, at(truth[19], SIZE)))
    for size in SIZES:
        if isinstance(assim.restore(tree).model, models.FNO):
            row.append(np.nan)
            continue
        there = state_space(assim.regrid(tree, like(size)))
        found = rolled(there, at(begun, size), 10, 1.0)[-1]
        row.append(relative(found, at(truth[19], size)))
    return row


def parameters(tree: xr.DataTree) -> int:
    """Those of the operator: a gate or a reader beside it has no part here, nor has the noise."""
    sites = tree["posterior"].data_vars.items()
    own = [v for name, v in sites if str(name).startswith(("net.", "generator."))]
    return sum(int(np.prod(v.shape[2:])) for v in own)


def main() -> None:
    k_train, k_test, _, _ = jax.random.split(jax.random.key(0), 4)
    coarse = paths(PATHS, 1, key=k_test)[:, 0]
    waves = jnp.fft.rfft(coarse, axis=1, norm="forward")
    begun = jnp.fft.irfft(waves, max(SIZES), axis=1, norm="forward")
    truth = rolled(FINE, begun, 2 * CYCLES, 0.5)
    rows = []
    for seed in SEEDS:
        tree = fitted(seed, key=k_train)
        rows.append([f"exact linear part, seed {seed}", tree, *judged(tree, begun, truth)])
    for name, seeds in OFTEN.items():
        for seed in seeds:
            tree = fitted_form(name, seed, key=k_train)
            rows.append([f"{name}, seed {seed}", tree, *judged(tree, begun, truth)])
            print(*rows[-1][::2], flush=True)
    table = [
        [
            name,
            parameters(tree),
            round(float(tree.attrs["cpu_seconds"])),
            *("" if np.isnan(v) else f"{v:.2g}" for v in found),
        ]
        for name, tree, *found in rows
    ]
    record(
        "operator_forms",
        [
            "form",
            "parameters",
            "CPU seconds",
            "one cycle",
            *(f"{k} cycles" for k in (10, 20, 30)),
            *(f"time 10 in spans of {dt:g}" for dt in SPANS),
            *(f"10 cycles on {size} places" for size in SIZES),
        ],
        table,
        aims="Aim: at 20 cycles at most 0.7 of the relative square error of the residual form, or as it is.",
        notes=[
            "A plain network holds on its own grid alone, and takes a span above a cycle for a cycle."
        ],
    )


if __name__ == "__main__":
    main()
