"""A straight line through points: a model small enough to solve by hand, and what tests do to a run."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from assim.inference.loop import run_chunks
from assim.model import AbstractPointwise, Needs
from assim.nn.emission import Emission
from assim.problem import Problem
from assim.series import Layout

LAYOUT = Layout(("y",), ("real",), (True,), (), 0, 1.0)


class Fit(eqx.Module):
    theta: jax.Array
    scale: jax.Array


class Line(AbstractPointwise):
    """y ~ Emission(x theta, scale); a scale of None is learned as the exponential of a standard Normal."""

    prior_of: dist.Distribution
    scale: float | None = 1.0
    df: float | None = None

    def needs(self):
        return Needs(context=1)

    def constants(self, windows, layout):
        return {}

    def prior(self, layout, constants):
        theta = numpyro.sample("theta", self.prior_of.to_event(1))
        if self.scale is not None:
            return Fit(theta, jnp.asarray(self.scale))
        return Fit(theta, jnp.exp(numpyro.sample("raw", dist.Normal(0.0, 1.0))))

    def prepare(self, window, layout, constants, *, key):
        return window

    def density(self, ssm, example):
        loc = (example["x"] @ ssm.theta)[None, None]
        return Emission(loc, jnp.broadcast_to(ssm.scale, (1, 1)), ("real",), self.df)

    def reading(self, example):
        return example["y"], example["mask"]

    def undisturbed(self):
        return self


class Hierarchy(Line):
    """A line whose prior width is itself uncertain."""

    def prior(self, layout, constants):
        width = numpyro.sample("width", dist.Normal(0.0, 1.0))
        theta = numpyro.sample("theta", dist.Normal(jnp.zeros(2), jnp.exp(width)).to_event(1))
        return Fit(theta, jnp.asarray(1.0))


def standard(size: int, sd: float = 1.0) -> dist.Distribution:
    return dist.Normal(jnp.zeros(size), sd)


def on_line(model: AbstractPointwise, x: np.ndarray, y: np.ndarray, mask=None) -> Problem:
    dtype = jnp.zeros(0).dtype
    seen = np.ones(len(y), bool) if mask is None else mask
    examples = {
        "x": jnp.asarray(x, dtype),
        "y": jnp.asarray(y, dtype)[:, None, None],
        "mask": jnp.asarray(seen)[:, None, None],
    }
    return Problem(model, {}, examples, LAYOUT)


def some_line(
    size: int = 6, count: int = 40, scale: float = 0.5, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, size))
    return x, x @ rng.normal(size=size) + scale * rng.normal(size=count)


def solved(x: np.ndarray, y: np.ndarray, scale: float, sd: float = 1.0):
    """Mean and covariance of theta under a Normal(0, sd) prior."""
    cov = np.linalg.inv(np.eye(x.shape[1]) / sd**2 + x.T @ x / scale**2)
    return cov @ x.T @ y / scale**2, cov


def interrupt(monkeypatch: pytest.MonkeyPatch, module: ModuleType, at: int) -> None:
    """Press Ctrl-C inside the chunk number `at` of the loop that `module` runs."""

    def cut_short(chunk: Callable, *args, **settings):
        calls = iter(range(at + 1))

        def failing(carry, first, count):
            if next(calls) == at:
                raise KeyboardInterrupt
            return chunk(carry, first, count)

        return run_chunks(failing, *args, **settings)

    monkeypatch.setattr(module, "run_chunks", cut_short)


def assert_same_draws(one, other) -> None:
    assert one.sites.keys() == other.sites.keys()
    for group in ("sites", "stats", "curves"):
        for name, value in getattr(one, group).items():
            np.testing.assert_array_equal(value, getattr(other, group)[name], err_msg=name)
