"""A model whose modes are its parameters, posterior trees of it, and records that follow them."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import xarray as xr

from assim.data.framing import describe_frame, frame_of
from assim.model import AbstractModel, Needs
from assim.scoring import trained_on
from assim.series import Layout
from assim.statespace import AbstractSpectral, AbstractStateSpace, Modes
from assim.tree import model_attrs, sites_dataset, tree_of

STEP = 10.0
RATE = np.array([-0.002, -0.001 + 0.11j, 0.06j])
"""Of a real mode and two pairs, per second."""
FIRST = np.array([3.0, 1.0, 2.0j])
SCALE = np.array([1.0, 2.0, 2.0, 5.0, 5.0])
READER = np.array([[1, 0, 0, 0, 0], [0, 1, 1j, 0, 0], [0, 0, 0, 1, 1j]])
"""Each pair is seen as the real and the imaginary part of its coordinate, one channel for each."""
SHAPE = np.array([[1, 0, 0], [0, 1, 0], [0, -1j, 0], [0, 0, 1], [0, 0, -1j]])
CHANNELS = ("level", "east", "north", "up", "down")
LINEAR = (1.0,) * len(CHANNELS)
PUSH = 0.5
"""What a unit of an input adds to each coordinate in a step."""
traces: list[int] = []
"""Grows whenever a spectrum is traced."""


class Plain(AbstractStateSpace):
    """Neither starts nor moves nor is seen: a spectrum needs none of that."""

    def init(self, context, *, key):
        raise AssertionError

    def transition(self, x, span, u=None, *, key):
        raise AssertionError

    def observation(self, x, span, where=None, sd=None, u=None):
        raise AssertionError


class Given(Plain, AbstractSpectral):
    """Modes as they are given; coordinates are read off the newest row."""

    rate: jax.Array
    shape: jax.Array
    reader: jax.Array
    floor: jax.Array
    drive: jax.Array

    def modes(self):
        traces.append(1)
        return Modes(self.rate, self.shape, self.floor)

    def coordinates(self, context):
        return self.reader @ context.y[-1]

    def pushed(self, span, u):
        return self.drive @ u


class GivenModes(AbstractModel):
    """The modes are sample sites, real and imaginary parts on a last axis."""

    modes: int = eqx.field(static=True, default=3)
    spectral: bool = eqx.field(static=True, default=True)
    own_times: bool = eqx.field(static=True, default=False)
    controls: tuple[str, ...] = eqx.field(static=True, default=())
    whole: bool = eqx.field(static=True, default=False)

    def needs(self):
        settings = {k: getattr(self, k) for k in ("own_times", "controls", "whole")}
        return Needs(context=2, **settings)

    def constants(self, windows, layout):
        return {}

    def prior(self, layout, constants):
        count, channels = self.modes, len(layout.channels)
        shapes = {"rate": (count,), "shape": (channels, count), "reader": (count, channels)}
        parts = {}
        for name, shape in shapes.items():
            unit = dist.Normal(jnp.zeros((*shape, 2)), 1.0).to_event(len(shape) + 1)
            value = numpyro.sample(name, unit)
            parts[name] = value[..., 0] + 1j * value[..., 1]
        floor = numpyro.sample("floor", dist.HalfNormal(jnp.ones(count)).to_event(1))
        drive = jnp.full((count, len(layout.inputs)), PUSH)
        return Given(**parts, floor=floor, drive=drive) if self.spectral else Plain()

    def prepare(self, window, layout, constants, *, key):
        return window

    def likelihood(self, ssm, examples, num_data):
        raise AssertionError


def make_record(
    rows=80, first=0, noise=0.0, stations=(), rate=RATE, reader=READER, late=0.0, pump=None
):
    """What the modes show at `rows` times from row number `first` on, file units; `late` are shares of a step.

    An input `pump`, a number for each row, pushes all modes from the second row on, and stands beside the channels.
    """
    row = first + np.arange(rows) + late
    phi = FIRST[:, None] * np.exp(rate[:, None] * STEP * row)
    if pump is not None:
        added = np.zeros_like(phi)
        for k in range(1, rows):
            added[:, k] = np.exp(rate * STEP) * added[:, k - 1] + PUSH * pump[k]
        phi = phi + added
    seen = np.zeros((len(CHANNELS), rows))
    for one, left in zip(phi, reader, strict=True):
        seen += np.outer(left.real, one.real) + np.outer(left.imag, one.imag)
    seen += noise * np.random.default_rng(0).normal(size=seen.shape)
    seen = SCALE[:, None] * seen
    time = np.datetime64("2020-01-01", "ns") + (row * STEP * 1e9).round().astype("timedelta64[ns]")
    dims, coords = ("time",), {"time": time}
    if stations:
        seen = np.stack([seen * (1 + k) for k in range(len(stations))], axis=1)
        dims, coords = ("station", "time"), coords | {"station": list(stations)}
    units = {"units": "m"}
    ds = xr.Dataset({n: (dims, v, units) for n, v in zip(CHANNELS, seen, strict=True)}, coords)
    return ds if pump is None else ds.assign(pump=("time", pump))


def make_modes(draws=1, rate=None, shape=SHAPE, reader=READER, floor=0.0, **changed):
    """A posterior tree of the modes, trained on rows 0 to 39; each argument may have a draw axis in front."""
    model = GivenModes(**changed)
    rate = RATE if rate is None else np.asarray(rate)
    given = {"rate": (rate, 1), "shape": (shape, 2), "reader": (reader, 2)}
    sites = {}
    for name, (value, dims) in given.items():
        whole = np.broadcast_to(value, (draws, *np.shape(value)[-dims:]))
        sites[name] = np.stack([whole.real, whole.imag], axis=-1)[None].astype(np.float32)
    sites["floor"] = np.broadcast_to(floor, (1, draws, sites["rate"].shape[2])).astype(np.float32)
    pump = (-1.0) ** np.arange(40) if model.controls else None  # of mean 0 and variance 1
    return tree_around(model, sites, make_record(40, pump=pump))


def tree_around(model, sites, train, powers=LINEAR):
    """A tree of given draws, whose scaling is that of the synthetic record."""
    frame = frame_of(train, model.needs().selection())
    runs = 1 + np.arange(frame.y.shape[0])[:, None]
    told = describe_frame(frame)
    told["scaling"] |= {
        "centre": (0 * runs * SCALE).tolist(),
        "scale": (runs * SCALE).tolist(),
        "power": list(powers),
    }
    attrs = model_attrs(model, Layout.of(frame), told, jax.random.key(0)) | trained_on(train)
    groups = {"posterior": sites_dataset(sites), "belief": train.isel(time=slice(-3, None))}
    assert json.loads(attrs["scaling"])["step"] == STEP
    return tree_of(groups, attrs)
