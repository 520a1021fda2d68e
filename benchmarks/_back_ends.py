"""The problem that every backend gets: 322 weights, 1048 windows of the noisier test bench, 4 frames ahead.

A network of one tanh layer tells mean and scale of the log-RMS of pressure sensor 1, in units of its training sd,
from the newest 5 frames of all 7 channels and the set-points of the last of them.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.model import AbstractTangent, Needs
from assim.nn.emission import Emission, relative_scale
from assim.nn.linearised import linearised
from assim.nn.mlp import Linear
from assim.nn.priors import network_prior
from assim.problem import Problem
from assim.series import Layout
from assim.systems.bench import ThermoacousticBench, simulate_bench
from assim.systems.van_der_pol import VanDerPol
from assim.types import Array

SEED, RUNS, TRAINING, SECONDS = 1, 24, 14, 20.0
FRAMES, AHEAD, HIDDEN, WINDOWS = 5, 4, 8, 1048
LAYOUT = Layout(("y",), ("real",), (True,), (), 0, 1.0)


class NoisyBench(ThermoacousticBench):
    """S1: driven three times as hard, slower plans, runs that differ more."""

    def growth(self, power: Array, temperature: Array) -> Array:
        return 6.0 * power + 5.0 * temperature * power - 3.0 * temperature


class Net(eqx.Module):
    """Mean and raw scale of one reading."""

    hidden: Linear
    head: Linear

    def __call__(self, x: Array) -> Array:
        return self.head(jnp.tanh(self.hidden(x)))


class Fit(eqx.Module):
    net: Net


class Plain(AbstractTangent):
    """The network behind the interface of every model; its windows come prepared."""

    def needs(self) -> Needs:
        return Needs(context=FRAMES, horizon=AHEAD)

    def constants(self, windows, layout) -> dict:
        return {}

    def prepare(self, window, layout, constants, *, key):
        return window

    def prior(self, layout, constants) -> Fit:
        def build(key):
            size = 7 * FRAMES + 2
            return Net(Linear.build(size, HIDDEN, key=key), Linear.build(HIDDEN, 2, key=key))

        return Fit(network_prior("net", build))

    def density(self, ssm, example) -> Emission:
        mean, raw = ssm.net(example["x"])
        return Emission(mean[None, None], relative_scale(raw)[None, None], ("real",))

    def reading(self, example) -> tuple[Array, Array]:
        return example["y"], jnp.ones((1, 1), bool)

    def head(self) -> tuple[str, ...]:
        return ("net.head.weight", "net.head.bias")

    def tangent(self, centre, at) -> Fit:
        return Fit(linearised(centre.net, at.net))


def windows() -> tuple[dict, dict]:
    """Training and test windows."""
    bench = NoisyBench(VanDerPol(gamma=3e6), offset_sd=2.0)
    plans = np.stack(
        [[_plan(np.random.default_rng([SEED, r, i])) for i in range(2)] for r in range(RUNS)]
    )
    plans = jnp.asarray(np.swapaxes(plans, 1, 2), jnp.float32)
    seen = np.asarray(simulate_bench(bench, plans, key=jax.random.key(SEED)))
    per_frame = round(bench.frame / bench.oscillator.substep)
    plans = np.asarray(plans[:, per_frame - 1 :: per_frame])
    mean, sd = seen[:TRAINING].mean((0, 1)), seen[:TRAINING].std((0, 1))
    seen = (seen - mean) / sd
    first, last = FRAMES - 1, seen.shape[1] - AHEAD
    x = [seen[:, first - k : last - k] for k in range(FRAMES)]
    x = np.concatenate([*x, plans[:, first:last]], axis=-1)
    y = seen[:, first + AHEAD :, :1]

    def told(runs: slice, count: int | None) -> dict:
        flat = x[runs].reshape(-1, x.shape[-1]), y[runs].reshape(-1, 1, 1)
        at = slice(None) if count is None else np.linspace(0, len(flat[0]) - 1, count).astype(int)
        return {"x": jnp.asarray(flat[0][at]), "y": jnp.asarray(flat[1][at])}

    return told(slice(TRAINING), WINDOWS), told(slice(RUNS - 6, None), None)


def posed() -> tuple[Problem, dict]:
    """The problem, and the windows that its draws are judged on."""
    training, test = windows()
    return Problem(Plain(), {}, training, LAYOUT), test


@eqx.filter_jit
def judged(problem: Problem, test: dict, sites: dict, centre: dict | None) -> tuple[Array, Array]:
    """Location and log density of every test reading at every draw, shape (chain, draw, window)."""

    def one(theta: dict) -> tuple[Array, Array]:
        ssm = problem.bind(theta, centre)

        def at(example: dict) -> tuple[Array, Array]:
            density = problem.model.density(ssm, example)
            return density.loc[0, 0], density.log_prob(example["y"])[0, 0]

        return jax.vmap(at)(test)

    chains, draws = next(iter(sites.values())).shape[:2]
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in sites.items()}
    told = jax.lax.map(one, flat, batch_size=20)
    return tuple(t.reshape(chains, draws, -1) for t in told)


def _plan(rng: np.random.Generator) -> np.ndarray:
    """A set-point of S1: holds of 1.5 to 4 s, ramps of 0.2 to 1.5 s."""
    times, levels = [0.0], [rng.uniform(-1, 1)]
    while times[-1] < SECONDS:
        hold, ramp, level = rng.uniform(1.5, 4.0), rng.uniform(0.2, 1.5), rng.uniform(-1, 1)
        times += [times[-1] + hold, times[-1] + hold + ramp]
        levels += [levels[-1], level]
    return np.interp(1e-4 * np.arange(1, round(SECONDS / 1e-4) + 1), times, levels)
