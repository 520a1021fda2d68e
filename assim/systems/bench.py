r"""A simulated thermoacoustic test bench: an oscillator, two slow actuators, three sensors, frames of 50 ms.

The plan $u = (u_1, u_2)$ of the operator drives power $P$ and wall temperature $T$, these the growth rate:

$$\dot P = (u_1 - P)/0.08\,\mathrm{s}, \quad \dot T = (u_2 - T)/0.6\,\mathrm{s}, \quad
\nu = 14 P + 6 T P - 4 T + o_r + 0.1\,d_r t,$$

with a run's offset $o_r \sim N(0, 1.5^2)$ and drift $d_r \sim N(0, 0.4^2)$ that nobody measures, so runs under one
plan differ. The sensors are $p_1 = \eta + 0.05\,e$, $p_2 = 0.8\,\eta + 0.1\,e$ and $OH = \tanh(q/2.5) + 0.15\,e$
with $\dot q = (\eta - q)/1\,\mathrm{ms}$, each read at every substep with fresh standard normal $e$. Of a frame are
kept the logarithms of the root mean squares, $\log \mathrm{sd}|p_1|$, the zero crossings of $p_1$, and $T$ and $P$
at its end.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from assim.systems.van_der_pol import NOVOA2024, VanDerPol
from assim.types import Array, Float, Key

CHANNELS = ("log_rms_p1", "log_rms_p2", "log_rms_oh", "log_sd_p1", "zero_crossings", "T", "P")
SIGNALS = ("p1", "p2", "oh")


class ThermoacousticBench(eqx.Module):
    """The constants of the bench; the defaults are simulator S2.

    Args:
        oscillator: the acoustic mode; its `nu` is replaced by that of the operating point.
        frame: length of a frame, seconds.
        lag: time constants of P and T, seconds.
        offset_sd: spread of the growth rate between runs, 1/s.
        drift_sd: spread of its drift, 1/s per 10 s.
    """

    oscillator: VanDerPol = NOVOA2024
    frame: float = eqx.field(static=True, default=0.05)
    lag: tuple[float, float] = (0.08, 0.6)
    offset_sd: float = 1.5
    drift_sd: float = 0.4

    def growth(self, power: Array, temperature: Array) -> Array:
        """The planned part of the growth rate, 1/s."""
        return 14.0 * power + 6.0 * temperature * power - 4.0 * temperature


def plan(seconds: float, substep: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A schedule of one set-point: levels held and ramps between them, shape (substep,), in [-1, 1].

    Args:
        seconds: how long.
        substep: its resolution, seconds.
        rng: randomness of levels U(-1, 1), holds U(0.6, 2.5) s and ramps U(0.1, 0.3) s.

    Returns:
        The set-point at the end of each substep.
    """
    times, levels = [0.0], [rng.uniform(-1, 1)]
    while times[-1] < seconds:
        hold, ramp, level = rng.uniform(0.6, 2.5), rng.uniform(0.1, 0.3), rng.uniform(-1, 1)
        times += [times[-1] + hold, times[-1] + hold + ramp]
        levels += [levels[-1], level]
    count = round(seconds / substep)
    return np.interp(substep * np.arange(1, count + 1), times, levels)


def simulate_bench(
    bench: ThermoacousticBench, plans: Float[Array, "run substep 2"], *, key: Key
) -> Float[Array, "run frame channel"]:
    """The frames of several runs under their plans.

    Args:
        bench: the constants.
        plans: set-points u1 and u2 at every substep, shape (run, substep, 2).
        key: randomness; that of a run is folded from its number, so a shorter or smaller set agrees.

    Returns:
        What the sensors say of each frame, in the order of `CHANNELS`, shape (run, frame, channel).
    """
    return _simulated(_kept, bench, plans, key)


def simulate_bench_signals(
    bench: ThermoacousticBench, plans: Float[Array, "run substep 2"], *, key: Key
) -> tuple[Float[Array, "run substep signal"], Float[Array, "run frame slow"]]:
    """The signals behind the frames of `simulate_bench` for the same arguments.

    Args:
        bench: the constants.
        plans: set-points u1 and u2 at every substep, shape (run, substep, 2).
        key: randomness; that of a run is folded from its number, so a shorter or smaller set agrees.

    Returns:
        p1, p2 and OH at every substep of whole frames, shape (run, substep, 3), and T and P at the end of each
        frame, shape (run, frame, 2).
    """
    fast, slow = _simulated(_read, bench, plans, key)
    return jnp.swapaxes(fast, 2, 3).reshape(len(fast), -1, len(SIGNALS)), slow


def _simulated(see: Callable, bench: ThermoacousticBench, plans: Array, key: Key) -> Any:
    """What is seen of each frame, over (run, frame)."""
    per_frame = round(bench.frame / bench.oscillator.substep)
    runs, substeps, _ = plans.shape
    framed = plans[:, : substeps // per_frame * per_frame]
    framed = framed.reshape(runs, -1, per_frame, 2)
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(jnp.arange(runs))
    one_run = partial(_one_run, see)
    return jax.jit(jax.vmap(one_run, in_axes=(None, 0, 0)))(bench, framed, keys)


def _one_run(see: Callable, bench: ThermoacousticBench, framed: Array, key: Key) -> Any:
    k_run, k_start, k_frames = jax.random.split(key, 3)
    offset, drift = jax.random.normal(k_run, (2,)) * jnp.array([bench.offset_sd, bench.drift_sd])
    h = bench.oscillator.substep
    within = h * jnp.arange(framed.shape[1])

    def frame(carry: tuple, at: tuple[Array, Array]) -> tuple[tuple, Any]:
        number, inputs = at
        k_move, k_see = jax.random.split(jax.random.fold_in(k_frames, number))
        kicks = jax.random.normal(k_move, inputs.shape[:1])

        def move(carry: tuple, at: tuple[Array, ...]) -> tuple[tuple, tuple[Array, Array]]:
            x, q, slow = carry
            u, kick, elapsed = at
            slow = slow + h * (u - slow) / jnp.asarray(bench.lag)
            nu = bench.growth(*slow) + offset + 0.1 * drift * elapsed
            x = bench.oscillator.step(x, nu, h, kick)
            q = q + h * (x[0] - q) / 1e-3
            return (x, q, slow), (x[0], q)

        carry, (eta, q) = jax.lax.scan(move, carry, (inputs, kicks, number * bench.frame + within))
        return carry, see(eta, q, carry[2], k_see)

    x0 = jax.random.normal(k_start, (2,)) * jnp.array([1.0, bench.oscillator.omega])
    start = (x0, jnp.zeros(()), framed[0, 0])
    numbers = jnp.arange(framed.shape[0])
    return jax.lax.scan(frame, start, (numbers, framed))[1]


def _read(eta: Array, q: Array, slow: Array, key: Key) -> tuple[Array, Array]:
    """The signals of one frame, shape (signal, substep), and T and P at its end, shape (2,)."""
    k_fast, k_slow = jax.random.split(key)
    e1, e2, e3 = jax.random.normal(k_fast, (3, eta.shape[0]))
    e_power, e_temperature = jax.random.normal(k_slow, (2,))
    p1, p2, oh = eta + 0.05 * e1, 0.8 * eta + 0.1 * e2, jnp.tanh(q / 2.5) + 0.15 * e3
    power, temperature = slow[0] + 0.03 * e_power, slow[1] + 0.02 * e_temperature
    return jnp.stack([p1, p2, oh]), jnp.stack([temperature, power])


def _kept(eta: Array, q: Array, slow: Array, key: Key) -> Array:
    """The features of one frame, shape (channel,)."""
    fast, temperature_and_power = _read(eta, q, slow, key)
    rms = jnp.sqrt(jnp.mean(jnp.square(fast), axis=1))
    p1 = fast[0]
    crossings = jnp.sum(jnp.signbit(p1[1:]) != jnp.signbit(p1[:-1]))
    rest = jnp.stack([jnp.log(jnp.std(jnp.abs(p1))), crossings])
    return jnp.concatenate([jnp.log(rms), rest, temperature_and_power])
