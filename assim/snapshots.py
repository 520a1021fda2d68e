"""Populations that are seen at a few times, as JAX sees them: arrays alone."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from assim.data.clockwork import counted_steps
from assim.data.populating import Population
from assim.types import Array, Bool, Float, Int


class Snapshots(eqx.Module):
    """Unpaired populations seen at a few times.

    Args:
        tick: whole nominal steps since the origin, shape (snapshot,).
        frac: what is left of a step, shape (snapshot,).
        x: positions, shape (snapshot, sample, coordinate), internal units; 0 where missing.
        mask: True where a coordinate was seen, shape (snapshot, sample, coordinate).
        weight: weight of each sample, shape (snapshot, sample); 0 for padding.
        id: identity of each sample where samples are paired, shape (snapshot, sample), -1 where it has none; None
            where they are not.
        sd: known standard error of each coordinate, shape (snapshot, sample, coordinate), internal units, 0 where
            none is known; or None.
        blur: variance that a search adds to where particles are, shape (coordinate,), internal units; or None.
    """

    tick: Int[Array, " snapshot"]
    frac: Float[Array, " snapshot"]
    x: Float[Array, "snapshot sample coordinate"]
    mask: Bool[Array, "snapshot sample coordinate"]
    weight: Float[Array, "snapshot sample"]
    id: Int[Array, "snapshot sample"] | None = None
    sd: Float[Array, "snapshot sample coordinate"] | None = None
    blur: Float[Array, " coordinate"] | None = None

    @classmethod
    def of(
        cls,
        times: np.ndarray,
        x: np.ndarray,
        *,
        origin: np.datetime64,
        step: float,
        weight: np.ndarray | None = None,
        id: np.ndarray | None = None,
        sd: np.ndarray | None = None,
    ) -> "Snapshots":
        """Snapshots at any times, none of them moved.

        Args:
            times: stamps, shape (snapshot,), datetime64.
            x: positions, shape (snapshot, sample, coordinate), internal units; NaN where missing.
            origin: the time that steps are counted from, no later than the first stamp.
            step: nominal step of the record, seconds.
            weight: weight of each sample, shape (snapshot, sample), 0 or more; None for 1. A sample with no
                coordinate seen is padding and weighs 0.
            id: identity of each sample where samples are paired, shape (snapshot, sample), whole numbers.
            sd: known standard errors, shape (snapshot, sample, coordinate), internal units; 0 where none is known.

        Raises:
            ValueError: shapes that do not fit, weights, errors or identities that are none, stamps before the
                origin or too far from it to count steps.
        """
        x = np.asarray(x)
        beside = (("weight", weight), ("id", id), ("sd", sd))
        shapes = {"times": np.shape(times), "x": x.shape}
        shapes |= {n: np.shape(v) for n, v in beside if v is not None}
        fit = {"times": x.shape[:1], "x": x.shape, "weight": x.shape[:2], "id": x.shape[:2]}
        fit["sd"] = x.shape
        if x.ndim != 3 or any(shape != fit[n] for n, shape in shapes.items()):
            told = ", ".join(f"{n} {shape}" for n, shape in shapes.items())
            raise ValueError(
                f"The shapes do not fit: {told}; expected times (snapshot,), x (snapshot, sample, coordinate), sd "
                "like x, and weight and id (snapshot, sample)."
            )
        mask, dtype = np.isfinite(x), jnp.zeros(0).dtype
        weight = np.ones(x.shape[:2]) if weight is None else np.asarray(weight)
        if not (np.isfinite(weight) & (weight >= 0)).all():
            raise ValueError(
                f"The weights run from {weight.min()} to {weight.max()}: each has to be finite and 0 or more."
            )
        if id is not None and np.asarray(id).dtype.kind not in "iu":
            raise ValueError(
                f"The identities are of type {np.asarray(id).dtype}, and whole numbers are needed: number them, as "
                "with np.unique(id, return_inverse=True)[1].reshape(id.shape)."
            )
        if sd is not None and not (np.isfinite(sd) & (np.asarray(sd) >= 0)).all():
            raise ValueError(
                f"The standard errors run from {np.min(sd)} to {np.max(sd)}: each has to be finite and 0 or more, "
                "and 0 where none is known."
            )
        tick, frac = counted_steps(times, origin, step)
        return cls(
            tick=jnp.asarray(tick, jnp.int32),
            frac=jnp.asarray(frac, dtype),
            x=jnp.asarray(np.where(mask, x, 0.0), dtype),
            mask=jnp.asarray(mask),
            weight=jnp.asarray(np.where(mask.any(axis=-1), weight, 0.0), dtype),
            id=None if id is None else jnp.asarray(id, jnp.int32),
            sd=None if sd is None else jnp.asarray(sd, dtype),
        )

    @classmethod
    def from_population(cls, population: Population) -> "Snapshots":
        """Snapshots of a population: steps are its unit of time, positions stay in file units.

        Args:
            population: labels and arrays, as `assim.data.populating.population_of` gives; its first stamp or its
                origin, whichever is earlier, is that of the steps.

        Raises:
            ValueError: stamps too far apart to count the unit between them.
        """
        return cls.of(
            population.times,
            population.x,
            origin=min(population.origin, population.times[0]),
            step=population.step,
            weight=population.weight,
            id=population.id,
            sd=population.sd if population.sd.any() else None,
        )

    @property
    def spans(self) -> Float[Array, " snapshot-1"]:
        """Steps from each snapshot to the next."""
        return jnp.diff(self.tick) + jnp.diff(self.frac)
