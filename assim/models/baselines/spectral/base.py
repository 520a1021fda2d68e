r"""A linear map of observables of a lag window, counted once; its forecast and its spectrum.

$$z = \psi(h)\,B, \qquad z_{t+1} = z_t\,K, \qquad f(y_{t+h}) \approx z_t\,K^h\,c$$

with h the delay vector of the window, B combinations of the dictionary that are orthonormal on the training pairs
(`assim.nn.resdmd`), K what a family makes of the least squares, f(y) the deviation of a reading from its mean and c
by least squares too. A pair is a window and the window one row later; one with a missing entry has weight 0. In the
window of a forecast a missing entry holds the newest reading before it. Directions enter as sine and cosine.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.model import Needs
from assim.models.baselines.base import AbstractGuess, AbstractGuessing
from assim.models.baselines.spectral.reading import features, held, reading
from assim.models.baselines.spectral.spectrum import Spectrum
from assim.nn.dictionary import AbstractDictionary
from assim.nn.resdmd import Gram, Whitened, gram, whitened
from assim.series import Layout, Window
from assim.statespace import AbstractSpectral, Context, Modes
from assim.types import Array, Bool, Complex, Float, Sites


class SpectralStateSpace(AbstractGuessing["AbstractSpectralGuess"], AbstractSpectral):
    """The state space of a baseline whose guess is linear in observables."""

    @property
    def spectrum(self) -> Spectrum:
        """Of K, in the order of `modes`."""
        return Spectrum.of(self.constants["matrix"], self.layout.step)

    def modes(self) -> Modes:
        """One place for each entry of z; what is forgotten in a step, or told by its conjugate, has rate NaN."""
        spectrum, channels = self.spectrum, len(self.layout.channels)
        shape = spectrum.shown(self.constants["readout"])[:channels]
        return Modes(spectrum.rate, shape, jnp.zeros(spectrum.rate.shape))

    def coordinates(self, context: Context) -> Complex[Array, " mode"]:
        """Eigenfunctions at the newest window, of mean square 1 on the training pairs; 0 where the rate is NaN."""
        return self.reduced(context) @ self.spectrum.vectors

    @property
    def gram(self) -> Gram:
        """Inner products of z at the training pairs: what `assim.nn.resdmd.residual` asks for."""
        told = self.constants["basis"].any(axis=0).astype(self.scale.dtype)
        return Gram(jnp.diag(told), self.constants["regression"], self.constants["rest"])

    def reduced(self, context: Context) -> Float[Array, " rank"]:
        """The combinations z of the newest window, each of mean square 1 on the training pairs."""
        rows = self.model.delays
        y, mask = context.y[-rows:], context.mask[-rows:]
        return self.model.reduced(y, mask, self.layout, self.constants)


class AbstractSpectralGuess(AbstractGuess):
    """A baseline whose guess is a linear map of observables of its window."""

    delays: eqx.AbstractVar[int]
    rank: eqx.AbstractVar[int | None]
    horizon: eqx.AbstractVar[int]
    targets: eqx.AbstractVar[tuple[str, ...] | None]

    @property
    @abstractmethod
    def observables(self) -> AbstractDictionary:
        """The dictionary."""

    @abstractmethod
    def operator(self, counted: Whitened) -> Float[Array, "rank rank"]:
        """K, of what was regressed."""

    def needs(self) -> Needs:
        """As many rows as are delayed."""
        return Needs(context=self.delays, horizon=self.horizon, targets=self.targets, whole=True)

    def cautions(self, constants: Sites) -> tuple[str, ...]:
        """Refuse a record in which nothing was regressed.

        Raises:
            ValueError: no window is complete.
        """
        if not constants["basis"].any():
            raise ValueError(
                f"{type(self).__name__}(delays={self.delays}) regresses on {self.delays + 1} rows without a gap, "
                "and nowhere does the record have as many: lower delays, leave channels with many gaps out by "
                "targets=, or take LinearKoopman, which needs no window to be complete."
            )
        return ()

    def counted(self, windows: Window, layout: Layout, mean: Float[Array, " channel"]) -> Sites:
        """The dictionary's own, B, K, c, and the regression with its rest, from which residuals follow.

        Raises:
            ValueError: a rank that is larger than the dictionary.
        """
        rows = jnp.concatenate([windows.context.y, windows.y[:, :1]], axis=1)
        told = jnp.concatenate([windows.context.mask, windows.mask[:, :1]], axis=1)
        apart = jnp.cos(rows - mean)
        cosine = jnp.where(told, apart, 0.0).sum((0, 1)) / jnp.maximum(told.sum((0, 1)), 1)
        weight = told.all((1, 2)).astype(rows.dtype)
        weight = weight / jnp.maximum(weight.sum(), 1.0)
        f = features(rows, mean, cosine, layout.supports)
        x, ahead = (part.reshape(rows.shape[0], -1) for part in (f[:, :-1], f[:, 1:]))
        own = self.observables.counted(x, weight)
        psi, after = (self.observables(part, own) for part in (x, ahead))
        constant = self.observables.constant
        most = psi.shape[1] - int(constant)
        if self.rank is not None and self.rank > most:
            raise ValueError(
                f"{type(self).__name__}(rank={self.rank}) asks for more than the {most} observables of "
                f"{self.delays} delays of {len(layout.channels)} channels: lower rank, or raise delays."
            )
        regressed = whitened(gram(psi, after, weight), self.rank, constant=constant)
        return own | {
            "cosine": cosine,
            "basis": regressed.basis,
            "regression": regressed.ahead,
            "rest": regressed.rest,
            "matrix": self.operator(regressed),
            "readout": (weight[:, None] * psi @ regressed.basis).T @ f[:, -2],
        }

    def bound(self, scale: Array, constants: Sites, layout: Layout) -> SpectralStateSpace:
        """The state space, its spectrum in it."""
        return SpectralStateSpace(self, scale, constants, layout)

    def reduced(
        self, values: Array, present: Bool[Array, "lag channel"], layout: Layout, constants: Sites
    ) -> Float[Array, " rank"]:
        """The combinations z of a window (lag, channel), internal units."""
        mean = constants["mean"]
        rows = held(values, present, mean)
        f = features(rows, mean, constants["cosine"], layout.supports)
        return self.observables(f.ravel(), constants) @ constants["basis"]

    def guess(self, values: Array, present: Array, layout: Layout, constants: Sites) -> Array:
        """The powers of the map, read out."""

        def step(z: Array, _: None) -> tuple[Array, Array]:
            z = z @ constants["matrix"]
            return z, z @ constants["readout"]

        start = self.reduced(values, present, layout, constants)
        _, told = jax.lax.scan(step, start, None, self.horizon)
        return reading(told, constants["mean"], constants["cosine"], layout.supports)


def require(model: AbstractSpectralGuess, least: int = 1) -> None:
    """Refuse settings that leave nothing to regress or to forecast.

    Args:
        model: whose settings.
        least: the smallest rank that makes sense.

    Raises:
        ValueError: no delay, no lead, or too small a rank.
    """
    if min(model.delays, model.horizon) < 1:
        raise ValueError(
            f"{type(model).__name__}(delays={model.delays}, horizon={model.horizon}) needs at least 1 step of each."
        )
    if model.rank is not None and model.rank < least:
        raise ValueError(
            f"{type(model).__name__}(rank={model.rank}) needs a rank of {least} or more."
        )
