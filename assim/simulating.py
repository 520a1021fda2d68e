r"""`simulate_runs`: a system goes through several runs under planned inputs, as a rig would record them.

Actuators follow the set-points u of the plan, each with a lag of its own, and the system follows the actuators.
Over spans of h seconds, with fresh standard normal $\varepsilon_k$,

$$a_k = u_k + (a_{k-1} - u_k)\, e^{-h/\tau}, \qquad a_0 = u_1,$$
$$x_0 \sim p(x_0 \mid a_1), \qquad x_k \sim p(x_k \mid x_{k-1}, h, a_k), \qquad y_k \sim p(y_k \mid x_k), \qquad
s_k = a_k + \sigma\varepsilon_k.$$

The readings y are kept at every span, those of the actuators, s, at fewer. One unit of the time of a system is one
second of the clock, and each stamp is the end of what it tells of.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from assim.data.aligning import Duration, nanoseconds
from assim.statespace import AbstractField, AbstractNamed, Context, regular_spans, simulate
from assim.tree import require_key
from assim.twin import made_by
from assim.types import Array, Float, Key


def simulate_runs(
    system: AbstractNamed,
    plan: xr.Dataset,
    step: Duration,
    *,
    key: Key,
    slow: Duration | None = None,
    lag: ArrayLike = 0.0,
    sd: ArrayLike = 0.0,
    units: str = "1",
) -> xr.DataTree:
    """Records several runs of a system by groups, each at a rate of its own.

    `to_cf` writes the tree with a group for each, and `open_groups` reads it.

    Args:
        system: with its parameters; one that has a `gain` needs one for each input.
        plan: the inputs u in the order in which the system takes them, in units of its `gain`: variables along
            `run`, `time` or both, on a regular clock. A row holds through the step that ends with its stamp.
        step: between readings of the system's sensors, the h above, for example "1ms"; a whole part of the plan's.
        key: all randomness; that of a run is folded from its number, so a smaller or shorter set agrees.
        slow: between readings of the actuators; None for the step of the plan.
        lag: tau of the actuators, shape () or (input,), seconds.
        sd: sigma, standard error of the readings of actuators, shape () or (input,), units of the inputs.
        units: of the system's readings, as its parameters have them.

    Returns:
        The groups `fast`, a variable (run, time) for each channel; `slow`, `<input>_measured` (run, time); and
        `plan`. Runs have the names of the plan, or run00, run01 and so on. The attributes `system` and `key` tell
        what to make it of again.

    Raises:
        ValueError: a plan without runs or a regular clock, steps that do not fit into one another, another number
            of inputs than the system takes, a negative lag or error, a path that does not stay finite.
        TypeError: a field, a system without names, or a seed in place of a key.
    """
    require_key(key)
    if not isinstance(system, AbstractNamed) or isinstance(system, AbstractField):
        raise TypeError(
            f"system is a {type(system).__name__}: give one whose channels have a name each, as those of "
            "assim.systems.RijkeTube; a field is seen by assim.twin_experiment."
        )
    inputs, kind = list(map(str, plan.data_vars)), type(system).__name__
    u, hold = _planned(plan, inputs)
    _require_gain(system, inputs)
    span, pace = nanoseconds(step, "step"), hold if slow is None else nanoseconds(slow, "slow")
    _require_whole({"of the plan": hold, f"slow={slow!r}": pace}, span, hold * u.shape[1])
    tau, error = (jnp.asarray(_each(*g, len(inputs)), float) for g in (("lag", lag), ("sd", sd)))
    held = jnp.asarray(np.repeat(u, hold // span, axis=1), float)
    y, a, noise = _simulated(system, held, 1e-9 * span, jnp.exp(-1e-9 * span / tau), key=key)
    wrong = np.flatnonzero(~np.isfinite(y).all(axis=(1, 2)))
    if wrong.size:
        raise ValueError(
            f"The path of {kind} is not finite in run {wrong[0]}: take shorter steps, or other inputs."
        )
    seldom = slice(pace // span - 1, None, pace // span)
    s = a[:, seldom] + error * noise[:, seldom]
    runs = plan["run"].values if "run" in plan.coords else range(plan.sizes["run"])
    labels = [f"run{r:02d}" if isinstance(r, int | np.integer) else str(r) for r in runs]
    begin = plan["time"].values[0].astype("datetime64[ns]") - np.timedelta64(hold, "ns")
    read = {
        n: {"long_name": f"reading of {n} of {kind}", "units": units} for n in system.channels()
    }
    about = {n: {"long_name": n, "units": "1"} | plan[n].attrs for n in inputs}
    beside = {f"{n}_measured": a | {"long_name": f"reading of {n}"} for n, a in about.items()}
    tree = xr.DataTree.from_dict(
        {
            "fast": _record(y, read, labels, begin, span),
            "slow": _record(s, beside, labels, begin, pace),
            "plan": _record(u, about, labels, begin, hold),
        }
    )
    tree.attrs = made_by("simulate_runs", system, key=key) | {
        "title": f"Runs of {kind} under planned inputs",
        "summary": f"{len(labels)} runs of {kind}: its sensors every {span / 1e9:g} s, those of its actuators "
        f"every {pace / 1e9:g} s, and the set-points, each for {hold / 1e9:g} s.",
        "comment": "Nothing was measured. Run number r, from 0, has the key folded with r.",
        "processing_level": "simulated",
    }
    return tree


@eqx.filter_jit
def _simulated(
    system: AbstractNamed,
    held: Float[Array, "run span input"],
    h: float,
    decay: Float[Array, " input"],
    *,
    key: Key,
) -> tuple[Array, Array, Array]:
    """Readings, actuators and their standard normals, each (run, span, ...)."""
    spans = regular_spans(h, held.shape[1])
    none = jnp.zeros((1, len(system.channels())))

    def one(number: Array, u: Array) -> tuple[Array, Array, Array]:
        k_init, k_start, k_path, k_slow = jax.random.split(jax.random.fold_in(key, number), 4)

        def follow(a: Array, u: Array) -> tuple[Array, Array]:
            a = u + (a - u) * decay
            return a, a

        a = jax.lax.scan(follow, u[0], u)[1]
        context = Context(none, none.astype(bool), none, a[:1])
        x0 = system.init(context, key=k_init).sample(k_start)
        y = simulate(system, x0, spans, a, key=k_path)[1]
        keys = jax.vmap(lambda k: jax.random.fold_in(k_slow, k))(jnp.arange(len(u)))
        return y, a, jax.vmap(lambda k: jax.random.normal(k, u.shape[1:]))(keys)

    return jax.vmap(one)(jnp.arange(len(held)), held)


def _planned(plan: xr.Dataset, inputs: list[str]) -> tuple[NDArray, int]:
    """The inputs (run, row, input), and the step of the plan, nanoseconds."""
    if not inputs or "time" not in plan.coords or "run" not in plan.dims:
        raise ValueError(
            f"The plan has the dimensions {', '.join(map(str, plan.dims)) or 'none'}: give inputs along 'run' and "
            "a clock 'time', as in xr.Dataset({'power': ('run', [1.0, 2.0])}, {'time': times})."
        )
    steps = np.diff(plan["time"].values.astype("datetime64[ns]").astype(np.int64))
    if not steps.size or steps[0] <= 0 or (steps != steps[0]).any():
        raise ValueError(
            "The clock of the plan is not regular: give two or more times, evenly apart."
        )
    parts = [plan[n].broadcast_like(plan).transpose("run", "time").values for n in inputs]
    return np.stack(parts, axis=-1).astype(float), int(steps[0])


def _require_gain(system: AbstractNamed, inputs: list[str]) -> None:
    gain = getattr(system, "gain", None)
    if gain is not None and np.size(gain) != len(inputs):
        raise ValueError(
            f"{type(system).__name__} has a gain for {np.size(gain)} inputs, and the plan has {len(inputs)} "
            f"({', '.join(inputs)}): give gain= as many numbers."
        )


def _require_whole(lengths: dict[str, int], span: int, whole: int) -> None:
    """Refuse steps, nanoseconds, that those of the system do not go into, or that are longer than the plan."""
    for name, length in lengths.items():
        if length % span or length > whole:
            raise ValueError(
                f"The step {name} is {length / 1e9:g} s long: it must be a whole number of steps of "
                f"{span / 1e9:g} s (step=), and within the plan of {whole / 1e9:g} s."
            )


def _each(name: str, given: ArrayLike, inputs: int) -> NDArray:
    values = np.asarray(given, float)
    if values.shape not in ((), (inputs,)) or not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(
            f"{name}={given!r} must be finite and not negative, one for all or for each of the {inputs} inputs."
        )
    return np.broadcast_to(values, inputs)


def _record(
    values: ArrayLike, words: dict[str, dict], runs: list[str], begin: np.datetime64, step: int
) -> xr.Dataset:
    """Columns (run, time), stamped at the end of each step of so many nanoseconds."""
    by_column = np.moveaxis(np.asarray(values, np.float32), -1, 0)
    times = begin + np.timedelta64(step, "ns") * np.arange(1, by_column.shape[2] + 1)
    about = {"cell_methods": "time: point", "coverage_content_type": "modelResult"}
    columns = zip(words.items(), by_column, strict=True)
    return xr.Dataset(
        {name: (("run", "time"), column, about | told) for (name, told), column in columns},
        {"run": runs, "time": times},
    )
