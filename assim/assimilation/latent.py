"""A posterior of a Gaussian belief about the state, or of observers: each draw runs a filter of its own."""

from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from assim.assimilation.drawing import drawn, side_by_side
from assim.assimilation.opened import open_record
from assim.assimilation.scene import AsRead, Scene, Table
from assim.statespace import (
    AbstractEncoded,
    AbstractLinearGaussian,
    AbstractObserver,
    AbstractStateSpace,
)
from assim.tree import Fitted


def is_latent(fitted: Fitted) -> bool:
    """Whether the state of a fit moves by a matrix, so that a Gaussian tells all of it."""
    return _is(fitted, AbstractLinearGaussian, AbstractEncoded)


def _is(fitted: Fitted, *kinds: type) -> bool:
    """Whether the state space of a fit is one of some kinds."""
    one = {k: v[0, 0] for k, v in fitted.sites.items()}
    held: list[AbstractStateSpace] = []

    def look() -> None:
        held.append(fitted.state_space(one))

    eqx.filter_eval_shape(look)
    return isinstance(held[0], kinds)


def of_latent(fitted: Fitted, ds: xr.Dataset, since: np.datetime64 | None) -> list[Scene]:
    """A posterior and a record: a scene for each station, a filter for each of its draws.

    Args:
        fitted: the posterior.
        ds: the record, file units.
        since: time of the last analysis, where one is gone on from.

    Raises:
        ValueError: a record that the model cannot use.
        TypeError: a posterior whose state a Gaussian does not tell.
    """
    if not _is(fitted, AbstractLinearGaussian, AbstractEncoded, AbstractObserver):
        raise TypeError(
            f"A filter without members cannot carry the draws of a {type(fitted.model).__name__}: use ETKF, EnKF, "
            "DEnKF, EnKFN or Particle."
        )
    opened = open_record(fitted, ds, since)
    several, sites = side_by_side(fitted)
    columns, scenes = opened.columns, []
    for run in range(opened.frame.y.shape[0]):
        context, cycles = opened.run(run)
        fixed = (fitted.constants, fitted.centre)
        key = jax.random.key(0)  # of members, of which there are none
        dynamics, _ = drawn(fitted.model, opened.layout, *fixed, sites, None, None, context, key)
        scenes.append(
            Scene(
                dynamics=replace(dynamics, each=False),
                first=None,
                times=opened.times,
                cycles=cycles,
                y=opened.y(run),
                channels=columns,
                shown=AsRead(),
                tables=(Table(columns, slice(0, len(columns.names)), opened.units(run)),),
                units=opened.units(run),
                station=opened.station(run),
                several=several,
                context=context,
            )
        )
    return scenes
