"""Seconds per step against the same model written in plain NumPyro, and what a second call traces.

Both have the same features (prepared once), prior, minibatch, guide, optimiser and precision, and are timed
compiled, in turns, in one process. The plain model is what its author would write: matrices, no windows.
"""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import xarray as xr
from _recording import record
from numpyro.infer import NUTS as PlainNUTS
from numpyro.infer import SVI as PlainSVI
from numpyro.infer import Trace_ELBO
from numpyro.infer.autoguide import AutoNormal

import assim
from assim.data.framing import Selection, frame_of
from assim.inference import NUTS, SVI, Ascent, GaussNewton, Laplace, nuts
from assim.inference.density import draw_start
from assim.inference.loop import Watch
from assim.models import Autoregressive
from assim.problem import Problem, pose
from assim.series import Layout, Series, origins_with_truth

REPEATS, STEPS, BATCH, DRAWS = 5, 1000, 512, 1000
WARMUP, SAMPLES, DEPTH = 20, 5, 5


def record_of(seed: int, times: int, channels: int = 4) -> xr.Dataset:
    """An autoregression with gaps, labelled."""
    rng = np.random.default_rng(seed)
    y = np.zeros((times, channels))
    for t in range(1, times):
        y[t] = 0.9 * y[t - 1] + rng.normal(size=channels)
    y[rng.random(y.shape) < 0.1] = np.nan
    clock = np.datetime64("2020-01-01", "ns") + np.arange(times) * np.timedelta64(600, "s")
    columns = {f"x{c}": ("time", y[:, c], {"units": "1"}) for c in range(channels)}
    return xr.Dataset(columns, {"time": clock})


def posed(model: Autoregressive, ds: xr.Dataset) -> Problem:
    """The problem that `assim.infer` makes of a record."""
    frame = frame_of(ds, Selection(calendar=model.calendar))
    layout, series, needs = Layout.of(frame), Series.of(frame), model.needs()
    pairs = jnp.asarray(origins_with_truth(series, needs.context, needs.horizon))
    return pose(model, series, pairs, layout, key=jax.random.key(0))


def plain_model(x, level, y, mask, lead_sd, hidden, batch_size=None):
    """The same regression by hand."""

    def normal(name, *shape):
        sd = shape[-1] ** -0.5 if len(shape) > 1 else 1.0
        return numpyro.sample(name, dist.Normal(jnp.zeros(shape), sd).to_event(len(shape)))

    count, out = y.shape[1], 2 * y.shape[1]
    skip, bias = normal("skip", out, x.shape[1]), normal("bias", out)
    widths, layers = (x.shape[1], *hidden), []
    for i, (a, b) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        layers.append((normal(f"w{i}", b, a), normal(f"b{i}", b)))
    head = (normal("w", out, hidden[-1]), normal("b", out)) if hidden else None
    with numpyro.plate("window", len(x), subsample_size=batch_size) as chosen:
        if batch_size is not None:
            x, level, y, mask = x[chosen], level[chosen], y[chosen], mask[chosen]
        raw, h = x @ skip.T + bias, x
        for w, b in layers:
            h = jnp.tanh(h @ w.T + b)
        raw = raw if head is None else raw + h @ head[0].T + head[1]
        loc = level + lead_sd * raw[:, :count]
        scale = lead_sd * (jax.nn.softplus(raw[:, count:] + 0.2) + 1e-3)
        numpyro.sample("y", dist.Normal(loc, scale).mask(mask).to_event(1), obs=y)


def plain_arguments(problem: Problem) -> tuple:
    e = problem.examples
    return e.features, e.level, e.y[:, 0], e.mask[:, 0], problem.constants["lead_sd"][0]


def plain_svi(arguments: tuple, hidden: tuple[int, ...]) -> Callable[[], object]:
    guide = AutoNormal(plain_model, init_scale=0.01)
    schedule = optax.cosine_decay_schedule(5e-3, STEPS, 1e-2)
    engine = PlainSVI(plain_model, guide, optax.adam(schedule), Trace_ELBO())
    settings = {"hidden": hidden, "batch_size": BATCH}
    state = engine.init(jax.random.key(0), *arguments, **settings)

    @jax.jit
    def steps(state, arguments):
        def step(state, _):
            state, loss = engine.update(state, *arguments, **settings)
            return state, loss

        return jax.lax.scan(step, state, None, length=STEPS)

    @jax.jit
    def draw(params):
        return guide.sample_posterior(jax.random.key(1), params, sample_shape=(DRAWS,))

    def run():
        after, losses = steps(state, arguments)
        return jax.block_until_ready((draw(engine.get_params(after)), losses))

    return run


def our_nuts(problem: Problem, chains: int) -> Callable[[], int]:
    """A run of warm-up and draws; gives the leapfrog steps taken (chains move together)."""
    method = NUTS(WARMUP, SAMPLES, chains, max_tree_depth=DEPTH)
    begin = draw_start(problem, jax.random.key(0), chains)
    keys = jax.random.split(jax.random.key(2), chains)

    def run() -> int:
        carry, taken = nuts._begin(method, problem, begin, keys), 0
        for _ in range((WARMUP + SAMPLES) // nuts.CHUNK):
            carry, rows = nuts._steps(method, problem, carry, jnp.int32(nuts.CHUNK))
            taken += int(rows["n_steps"].max(axis=1).sum())
        return taken

    return run


def plain_nuts(arguments: tuple, hidden: tuple[int, ...], chains: int) -> Callable[[], int]:
    """The kernel in one compiled loop (the MCMC class traces anew in each call, which is not the step's fault)."""
    kernel = PlainNUTS(partial(plain_model, hidden=hidden), max_tree_depth=DEPTH)
    keys = jax.random.split(jax.random.key(2), chains)
    state = kernel.init(keys if chains > 1 else keys[0], WARMUP, None, arguments, {})

    @jax.jit
    def steps(state, arguments):
        def step(state, _):
            state = kernel.sample(state, arguments, {})
            kept = (state.z, state.energy, state.diverging, state.accept_prob)
            return state, (jnp.max(state.num_steps), kept)

        return jax.lax.scan(step, state, None, length=WARMUP + SAMPLES)[1]

    def run() -> int:
        taken, kept = jax.block_until_ready(steps(state, arguments))
        return int(taken.sum())

    return run


def in_turns(ours: Callable, plain: Callable, count: int | None = None) -> tuple[float, float]:
    """Median seconds per step of each, the two timed in turns after a first run that compiles."""
    found: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(REPEATS + 1):
        for which, run in enumerate((ours, plain)):
            begun = time.perf_counter()
            steps = run()
            spent = time.perf_counter() - begun
            if turn:
                found[which].append(spent / (count or steps))
    return float(np.median(found[0])), float(np.median(found[1]))


def traces_of_a_second_call() -> list[list]:
    """Traces and compilations in a first and a second call with other data of the same shape."""
    seen = {"trace": 0, "compile": 0}

    def listen(event: str, seconds: float, **_) -> None:
        if event.endswith("jaxpr_trace_duration"):
            seen["trace"] += 1
        if event.endswith("backend_compile_duration"):
            seen["compile"] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    small = Ascent(num_steps=50, polish=5)
    methods = {
        "SVI": SVI(50, ascent=small, num_draws=20),
        "NUTS": NUTS(20, 20, 2, ascent=small, max_tree_depth=3),
        "EnsembleMAP": assim.inference.EnsembleMAP(20, 50),
        "Laplace": Laplace(GaussNewton(), small, num_draws=20),
    }
    rows = []
    model = Autoregressive(4, (8,), calendar=())
    for name, method in methods.items():
        counts = []
        for seed in (0, 1):
            ds, before = record_of(seed, 600, 2).fillna(0.0), dict(seen)
            post = assim.infer(model, ds, method, key=jax.random.key(seed))
            assim.forecast(post, ds, 6, origins="10h", key=jax.random.key(seed))
            counts.append({k: seen[k] - before[k] for k in seen})
        rows.append([name, *(c[k] for c in counts for k in ("trace", "compile"))])
    return rows


def main() -> None:
    rows = []
    for label, times, hidden, lags in (
        ("linear, 4 channels, 7 lags", 2000, (), (1, 2, 3, 4, 6, 9, 12)),
        ("network 32-32, 4 channels, 7 lags", 2000, (32, 32), (1, 2, 3, 4, 6, 9, 12)),
    ):
        problem = posed(Autoregressive(lags, hidden, mask_rate=0.2), record_of(0, times))
        arguments = plain_arguments(problem)
        method = SVI(STEPS, batch_size=BATCH, num_draws=DRAWS, ascent=None)
        ours = lambda: method.run(problem, key=jax.random.key(0), watch=Watch())  # noqa: B023, E731
        pairs = {"SVI step": in_turns(ours, plain_svi(arguments, hidden), STEPS)}
        for chains in (1, 4):
            pairs[f"leapfrog step, {chains} chain{'s' if chains > 1 else ''}"] = in_turns(
                our_nuts(problem, chains), plain_nuts(arguments, hidden, chains)
            )
        for what, (a, b) in pairs.items():
            over = a / b - 1
            rows.append(
                [label, what, 1e6 * a, 1e6 * b, f"{over:+.1%}", "yes" if over < 0.1 else "no"]
            )
            print(rows[-1], flush=True)
    record(
        "overhead",
        ["model", "step", "assim, µs", "plain NumPyro, µs", "overhead", "met"],
        rows,
        aims=f"Aim: overhead under 10 %. Float32; minibatch {BATCH} for SVI ({STEPS} steps, {DRAWS} draws "
        f"in a run), all windows for NUTS; median of {REPEATS} runs in turns.",
    )
    record(
        "traces",
        ["method", "traces, first call", "compiled", "traces, second call", "compiled, second"],
        traces_of_a_second_call(),
        aims="Aim: a second `infer` and `forecast` with new data of the same shape compile nothing.",
    )


if __name__ == "__main__":
    main()
