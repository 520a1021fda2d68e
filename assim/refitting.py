r"""The fits of one model to parts of one record, all of one shape, so that they compile once.

$$\theta^{(s)} \sim p(\theta \mid y_{r,t},\ (r,t) \in s)$$

A part s is told by which runs are seen at which times. A fit to it is given the whole clock, with all else missing,
and as many windows as the largest part has: those that are too many lie beyond the record, where nothing is read,
so that they tell nothing. Centre and scale of every channel and control are those of the part, and what a model
counts is counted on what was read. A minibatch is drawn of all windows, those beyond the record too: of a part much
smaller than the largest it holds few that tell anything, so that its gradient is right on average and noisier. A
method with `batch_size=None` looks at all of them.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from assim.data.framing import Frame, describe_frame, frame_of
from assim.inference import AbstractMethod
from assim.inference.holding import begun_at_centre
from assim.inference.loop import Watch
from assim.inferring import chosen_method
from assim.model import AbstractModel, Needs
from assim.problem import pose
from assim.series import Layout, Series, origins_with_truth
from assim.tree import Fitted
from assim.types import Bool, Key


class Refits:
    """The fits to parts of a record.

    Args:
        model: a family that is fitted to windows of channels.
        method: the backend; None for the one that `infer` takes.
        ds: the whole record, file units.

    Attributes:
        frame: the whole record; times and runs of a part are counted on it.
        method: the backend, once a fit has been made.
        advice: what the fits said of themselves, each sentence once.

    Raises:
        TypeError: a model that is told by something else than windows.
        ValueError: a record that cannot be framed, and why.
    """

    def __init__(self, model: AbstractModel, method: AbstractMethod | None, ds: xr.Dataset):
        self.model, self.method, self.needs = model, method, model.fitting()
        self.ds = ds.compute() if ds.chunks else ds
        self.frame = frame_of(self.ds, self.needs.selection())
        self.series = Series.of(self.frame)
        self.advice = dict[str, None]()

    def count(self, seen: Bool[np.ndarray, "run time"]) -> int:
        """How many windows a part has, or a few more."""
        stream = self.series.main
        mask = np.asarray(stream.mask) & seen[..., None]
        hidden = replace(self.series, streams={"main": replace(stream, mask=mask)})
        return len(usable(hidden, self.needs))

    def part(self, seen: Bool[np.ndarray, "run time"]) -> tuple[Frame, np.ndarray]:
        """The record as a fit to a part sees it, and the (run, origin) of its windows.

        Args:
            seen: which runs are seen at which times of the clock.

        Raises:
            ValueError: a channel that has no reading in it, or always the same.
        """
        rows = np.searchsorted(self.frame.times, self.ds["time"].values.astype("datetime64[ns]"))
        if self.frame.stations is None:
            shown = xr.DataArray(seen[0, rows], dims="time")
        else:
            shown = xr.DataArray(seen[:, rows], dims=(self.frame.instance, "time"))

        def hide(da: xr.DataArray) -> xr.DataArray:
            moving = "time" in da.dims and da.dtype.kind in "fiu"
            return da.where(shown) if moving else da

        frame = frame_of(self.ds.map(hide, keep_attrs=True), self.needs.selection())
        return frame, usable(Series.of(frame), self.needs)

    def fit(self, frame: Frame, pairs: np.ndarray, *, size: int, key: Key) -> Fitted:
        """The posterior given a part.

        Args:
            frame: the record as the fit sees it.
            pairs: the (run, origin) of its windows.
            size: number of windows that it is brought to.
            key: all randomness of the fit.
        """
        layout, series = Layout.of(frame), Series.of(frame)
        nowhere = (0, len(frame.times) + self.needs.context)
        beyond = np.full((max(size - len(pairs), 0), 2), nowhere)
        padded = jnp.asarray(np.concatenate([beyond, pairs]).astype(np.int32))
        k_pose, k_run, k_start = jax.random.split(key, 3)
        problem = pose(self.model, series, padded, layout, key=k_pose)
        self.method = chosen_method(problem, self.method)
        start = begun_at_centre(problem, self.model.centred(), key=k_start)
        draws = self.method.run(problem, key=k_run, watch=Watch(), start=start)
        self.advice |= dict.fromkeys(draws.advice)
        return Fitted(
            model=self.model,
            layout=layout,
            frame=describe_frame(frame),
            constants=problem.constants,
            sites={k: jnp.asarray(v) for k, v in draws.sites.items()},
            centre=draws.centre,
            tail=None,
        )

    def record(self, fitted: Fitted) -> Frame:
        """The whole record in the scaling of a fit."""
        selection = self.model.needs().selection(tuple(fitted.frame["calendar"]))
        return frame_of(self.ds, selection, like=fitted.frame)


def usable(series: Series, needs: Needs) -> np.ndarray:
    """The (run, origin) of all windows that a fit can use, shape (n, 2)."""
    return origins_with_truth(
        series, needs.context, needs.horizon, overhang=needs.overhang, stride=needs.stride
    )
