"""Twin experiments for filters: a truth and its readings, scores, and the floor of the ideal linear filter."""

from dataclasses import dataclass
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _settings import Setting

from assim.filters import EnKS, ExtendedKalman
from assim.filters.base import AbstractFilter, Cycle, Dynamics, cycled, opened
from assim.filters.gaussian import Gaussian
from assim.filters.variational import climatological
from assim.statespace import regular_spans, simulate

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)
BLOCKS, CLIMATE, FLOOR = 20, 20_000, 3000


@dataclass(frozen=True)
class Twin:
    """A truth and its readings; states from before the first span, (time + 1, state)."""

    dynamics: Dynamics
    truth: jax.Array
    cycles: Cycle


@dataclass(frozen=True)
class Scores:
    """Of the analysis: time means of the spatial RMS error (and its standard error), spread and CRPS."""

    rmse: float
    sigma: float
    spread: float = float("nan")
    crps: float = float("nan")


@lru_cache(maxsize=4)
def twin(setting: Setting, cycles: int) -> Twin:
    ssm, spans = setting.ssm, regular_spans(setting.step, cycles)
    k_first, k_path = jax.random.split(jax.random.key(0))
    first = ssm.init().sample(k_first)
    x, y = jax.jit(lambda: simulate(ssm, first, spans, key=k_path))()
    mask = jnp.zeros_like(y, bool).at[:, setting.read].set(True)
    record = Cycle(spans, jnp.where(mask, y, 0.0), mask, jnp.zeros_like(y))
    return Twin(Dynamics(ssm), jnp.concatenate([first[None], x]), record)


@lru_cache(maxsize=16)
def climate(setting: Setting) -> tuple[np.ndarray, jax.Array]:
    """Mean of the attractor, and a root of its covariance."""
    states = twin(setting, CLIMATE).truth[1 + CLIMATE // 20 :]
    return np.asarray(states.mean(axis=0)), climatological(states)


def series(values: np.ndarray) -> tuple[float, float]:
    """Mean over time and its standard error by blocks."""
    blocks = [b.mean() for b in np.array_split(values, BLOCKS)]
    return float(values.mean()), float(np.std(blocks, ddof=1) / BLOCKS**0.5)


def crps(members: jax.Array, log_weight: jax.Array | None, truth: jax.Array) -> jax.Array:
    """CRPS of weighted members, by their order; mean over components."""
    size = members.shape[0]
    weight = jnp.full(size, 1.0 / size) if log_weight is None else jnp.exp(log_weight)
    order = jnp.argsort(members, axis=0)
    x, w = jnp.take_along_axis(members, order, axis=0), weight[order]
    below = jnp.cumsum(w, axis=0) - 0.5 * w
    return 2.0 * (w * (x - truth) * ((truth < x) - below)).sum(axis=0).mean()


def judged(setting: Setting, chosen: AbstractFilter | EnKS, cycles: int) -> Scores:
    """The scores of a filter, or of a smoother."""
    case, (k_start, k_run, k_told) = (
        twin(setting, cycles),
        jax.random.split(jax.random.key(1), 3),
    )
    dynamics, record, at = case.dynamics, case.cycles, setting.scored
    truth = case.truth[1:, at]
    belief = chosen.start(dynamics, setting.ssm.init(), key=k_start)
    if isinstance(chosen, EnKS):

        @eqx.filter_jit
        def smoothed(belief: object) -> tuple:
            _, passed = chosen.forward(dynamics, belief, record, key=k_run)
            members = chosen.back(dynamics, passed, record, None)[1].members
            told = jax.vmap(lambda m, x: crps(m[:, at], None, x))(members, truth)
            return members.mean(axis=1), members.std(axis=1, ddof=1), told

        mean, sd, told = smoothed(belief)
    else:

        def step(belief: object, now: tuple) -> tuple:
            number, cycle, x = now
            after = cycled(chosen, dynamics, belief, cycle, number, key=k_run).analysis
            members, log_weight = chosen.sample(after, key=jax.random.fold_in(k_told, number))
            return after, (*chosen.moments(after), crps(members[:, at], log_weight, x))

        @eqx.filter_jit
        def filtered(belief: object) -> tuple:
            numbers = jnp.arange(cycles)
            return jax.lax.scan(step, opened(chosen, belief, record), (numbers, record, truth))[1]

        mean, sd, told = filtered(belief)
    past = slice(setting.burn, -chosen.lag if isinstance(chosen, EnKS) else None)
    error = np.sqrt(((np.asarray(mean)[:, at] - np.asarray(truth)) ** 2).mean(axis=1))[past]
    spread = np.sqrt((np.asarray(sd)[:, at] ** 2).mean(axis=1))[past].mean()
    return Scores(*series(error), float(spread), float(np.asarray(told)[past].mean()))


def interpolated(setting: Setting, cycles: int, read: bool = True) -> Scores:
    """Climatology, corrected by the readings of each time alone (optimal interpolation) or by none."""
    case, (mean, root) = twin(setting, cycles), climate(setting)
    truth, seen = np.asarray(case.truth[1:]), setting.read
    covariance, guess = np.asarray(root @ root.T), np.broadcast_to(mean, truth.shape)
    if read:
        noise = float(setting.ssm.error) ** 2
        across = covariance[:, seen]
        gain = across @ np.linalg.inv(across[seen] + noise * np.eye(across.shape[1]))
        guess = mean + (np.asarray(case.cycles.y)[:, seen] - mean[seen]) @ gain.T
        covariance = covariance - gain @ across.T
    error = np.sqrt(((guess - truth) ** 2).mean(axis=1))[setting.burn :]
    return Scores(*series(error), float(np.sqrt(np.diag(covariance).mean())))


@lru_cache(maxsize=16)
def floor(setting: Setting) -> float:
    """Mean RMS error of the Kalman filter of the model linearised along the truth (a Riccati recursion)."""
    case, ideal = twin(setting, FLOOR), ExtendedKalman()
    k_start, k_run = jax.random.split(jax.random.key(2))

    def step(root: jax.Array, at: tuple) -> tuple:
        x, cycle, key = at
        belief = Gaussian(x, root, jnp.zeros(()))
        background = ideal.forecast(case.dynamics, belief, cycle, key=key)
        after, _ = ideal.analysis(case.dynamics, background, cycle, key=key)
        errors = jax.random.normal(key, (16, len(x))) @ after.root.T
        return after.root, jnp.sqrt((errors**2).mean(axis=1)).mean()

    root = ideal.start(case.dynamics, setting.ssm.init(), key=k_start).root
    along = (case.truth[:-1], case.cycles, jax.random.split(k_run, FLOOR))
    return float(jax.jit(lambda: jax.lax.scan(step, root, along)[1])()[setting.burn :].mean())
