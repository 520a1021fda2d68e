r"""Bridges through many snapshots, and a reference that is refitted to their paths, in turns.

$$q^{i+1} = \arg\min_{q:\ q_{t_k} = \mu_k} \mathrm{KL}(q \,\|\, p_{\theta_i}), \qquad
\theta_{i+1} = \arg\min_\theta \mathrm{KL}(q^{i+1} \,\|\, p_\theta)$$

(Shen, Berlinghieri and Broderick 2025, arXiv 2408.06277, "SBIRR".) A Markov reference lets the bridge fall apart
into one for each interval between snapshots. Paths of full length go through every sample, and the reference is
some steps of Adam further at each pass. At the first pass it stands still: one pass is the Schrödinger bridge of a
Brownian motion. Volatility is given, not learned.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from assim.models.bridge.published.half_bridge import Cloud, Euler
from assim.models.bridge.published.ipml import Interval, TwoWays, matched
from assim.models.bridge.published.joining import joined
from assim.models.bridge.published.refitting import Reference, refitted
from assim.types import Array, Float, Key, PyTree, Scalar


class Alternation(eqx.Module):
    """The settings of the alternation; by default those that its Lotka-Volterra example was published with.

    Args:
        sigma: volatility, units of a coordinate over the root of time.
        dt: Euler step, units of time; a whole number of them has to fill each interval.
        passes: bridges and refits of the reference; 1 for the bridge of a Brownian motion.
        iterations: pairs of half-bridges in each interval at each pass.
        descent: Adam steps of a refit.
        learning_rate: of these.
        thin: one in how many samples a half-bridge follows, others each time; None for all, as published. Its
            cost falls with the third power. Steps are never left out: without them it does not reach far.

    Raises:
        ValueError: a setting that is not above 0.
    """

    sigma: float = 0.1
    dt: float = 0.02
    passes: int = eqx.field(static=True, default=10)
    iterations: int = eqx.field(static=True, default=10)
    descent: int = eqx.field(static=True, default=20)
    learning_rate: float = eqx.field(static=True, default=0.05)
    thin: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise ValueError(
                    f"Alternation({name}={value}) makes no bridge: give a number above 0."
                )

    def euler(self, most: int, dtype: jnp.dtype) -> Euler:
        """How diffusions are stepped, in intervals of so many steps at most."""
        sigma, dt = jnp.asarray(self.sigma, dtype), jnp.asarray(self.dt, dtype)
        return Euler(sigma, dt, most)


class Pass(eqx.Module):
    """What a pass came to, its paths aside.

    Args:
        theta: parameters of the reference.
        loss: mean square of what the reference leaves of velocities, shape ().
        apart: how far means ended from where they should, shape (interval, iteration); see `ipml.matched`.
    """

    theta: PyTree
    loss: Scalar
    apart: Float[Array, "interval iteration"]


class Alternated(eqx.Module):
    """Paths through all snapshots, and the reference that suits them.

    Args:
        paths: shape (path, step, coordinate), one through each sample of each snapshot, snapshot by snapshot.
        weight: of each path, that of its sample, shape (path,).
        time: of the steps, shape (step,), units of time.
        bridges: drifts of each interval in both directions, leaves (interval, ...).
        theta: parameters of the reference after the last pass.
        trace: of all passes, leaves (pass, ...).
    """

    paths: Float[Array, "path step coordinate"]
    weight: Float[Array, " path"]
    time: Float[Array, " step"]
    bridges: TwoWays
    theta: PyTree
    trace: Pass


def alternated(
    reference: Reference,
    theta: PyTree,
    times: np.ndarray,
    x: Float[Array, "snapshot sample coordinate"],
    weight: Float[Array, "snapshot sample"] | None = None,
    settings: Alternation | None = None,
    *,
    key: Key,
) -> Alternated:
    """Paths through snapshots and the reference that suits them, by the published alternation.

    Snapshots of unequal size are padded to the largest, and intervals of unequal length to the longest: padding
    tells nothing, but costs as much as samples do.

    Args:
        reference: drift at one position, from parameters and it.
        theta: parameters to start from, arrays; published near 0.
        times: of the snapshots, shape (snapshot,), units of time.
        x: positions, shape (snapshot, sample, coordinate), finite even where they are padding.
        weight: of each sample, shape (snapshot, sample), 0 for padding; None for 1.
        settings: of the alternation; None for those of the published example.
        key: of all noise.

    Returns:
        The paths and bridges of the last pass, the reference refitted to them, and the trace of all passes.

    Raises:
        ValueError: shapes that do not fit, or intervals that are no whole number of steps.
    """
    settings = Alternation() if settings is None else settings
    weight = jnp.ones(x.shape[:2], x.dtype) if weight is None else weight
    if x.ndim != 3 or np.shape(times) != x.shape[:1] or weight.shape != x.shape[:2] or len(x) < 2:
        raise ValueError(
            f"The shapes do not fit: times {np.shape(times)}, x {x.shape}, weight {weight.shape}; expected times "
            "(snapshot,), x (snapshot, sample, coordinate) and weight (snapshot, sample), of 2 snapshots or more."
        )
    steps = steps_between(np.diff(np.asarray(times, float)), settings.dt)
    snapshots, theta, trace = Cloud(x, weight), jax.tree.map(jnp.asarray, theta), []
    for i in range(settings.passes):
        moves, k = jnp.asarray(i > 0), jax.random.fold_in(key, i)
        told, paths, bridges = passed(reference, theta, moves, snapshots, steps, settings, key=k)
        theta = told.theta
        trace.append(told)
    time = jnp.asarray(times[0] + settings.dt * np.arange(sum(steps) + 1), x.dtype)
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *trace)
    return Alternated(paths, weight.ravel(), time, bridges, theta, stacked)


@eqx.filter_jit
def passed(
    reference: Reference,
    theta: PyTree,
    moves: Array,
    snapshots: Cloud,
    steps: tuple[int, ...],
    settings: Alternation,
    *,
    key: Key,
) -> tuple[Pass, Float[Array, "path step coordinate"], TwoWays]:
    """One pass: a bridge in each interval, paths through all of them, and the reference refitted to these.

    Args:
        reference: drift at one position, from parameters and it.
        theta: parameters that the bridges are made with.
        moves: whether the reference moves at all, or is a Brownian motion.
        snapshots: all populations, leaves (snapshot, sample, ...).
        steps: of each interval.
        settings: of the alternation.
        key: of all noise.
    """
    followed = -(-snapshots.x.shape[1] // (settings.thin or 1))
    euler = settings.euler(max(steps), snapshots.x.dtype)

    def drift(x: Array, t: Array) -> Array:
        return jnp.where(moves, jax.vmap(lambda x: reference(theta, x))(x), 0.0)

    def between(given: tuple[Interval, Key]) -> tuple[TwoWays, Array]:
        interval, key = given
        return matched(interval, drift, euler, settings.iterations, followed, key=key)

    to_bridges, to_paths = jax.random.split(key)
    before, after = (
        jax.tree.map(lambda part, s=s: part[s], snapshots) for s in (np.s_[:-1], np.s_[1:])
    )
    keys = jax.random.split(to_bridges, len(steps))
    bridges, apart = jax.lax.map(between, (Interval(before, after, jnp.asarray(steps)), keys))
    paths = joined(bridges, snapshots.x, steps, euler, key=to_paths)
    theta, loss = refitted(
        reference,
        theta,
        paths,
        snapshots.weight.ravel(),
        settings.dt,
        descent=settings.descent,
        learning_rate=settings.learning_rate,
    )
    return Pass(theta, loss, apart), paths, bridges


def steps_between(lengths: np.ndarray, dt: float) -> tuple[int, ...]:
    """Euler steps of each interval.

    Args:
        lengths: of the intervals, shape (interval,), units of time.
        dt: of a step.

    Raises:
        ValueError: intervals that are no whole number of steps.
    """
    steps = np.rint(lengths / dt).astype(int)
    if (steps < 1).any() or not np.allclose(steps * dt, lengths, rtol=0, atol=1e-3 * dt):
        raise ValueError(
            f"Intervals of {lengths.round(6).tolist()} are no whole numbers of steps of dt={dt}: give "
            "times in order, and a dt that divides each interval."
        )
    return tuple(steps.tolist())
