r"""State-space models: how a state starts, how it moves, how it is seen.

$$x_0 \sim p(x_0 \mid \text{context}), \qquad x_{k+1} \sim p(x_{k+1} \mid x_k, \Delta_k, u_k),
\qquad y_k \sim p(y_k \mid x_k)$$

A textbook system, an autoregressive network, a Koopman latent map and a bridge's SDE are all of this one
kind, so every filter and every verb works on each of them. A state-space model is a pytree: `jax.vmap`
over posterior draws gives a batch of models, and the draw axis is the ensemble axis.

What a model can do beyond that is said by its class, never by a flag: ask with `isinstance`.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from numpyro.distributions import Distribution

from assim.data.gridding import Grid
from assim.types import Array, Bool, Complex, Float, Key, PyTree, State


class Span(eqx.Module):
    """The step from one time to the next.

    Args:
        dt: length of the step, shape (), in seconds.
        phase: calendar phases at the end of the step, shape (phase,), as cosines and sines (may be empty).
    """

    dt: Float[Array, "..."]
    phase: Float[Array, "... phase"]


def regular_spans(step: float, count: int) -> Span:
    """`count` equal spans of `step` seconds without calendar phases, stacked on a leading axis."""
    return Span(dt=jnp.full((count,), step), phase=jnp.zeros((count, 0)))


class Context(eqx.Module):
    """The stretch of record from which a state starts, in internal units; the newest row is the last.

    Args:
        y: observed values, shape (lag, channel), in internal (scaled) units; 0 where missing.
        mask: True where observed, shape (lag, channel).
        sd: known measurement error, shape (lag, channel), internal units; 0 where none is known.
        u: inputs, shape (lag, input), internal units.
        dt: length of the span that leads to each row, shape (lag,), seconds; None for nominal steps.
    """

    y: Float[Array, "lag channel"]
    mask: Array
    sd: Float[Array, "lag channel"]
    u: Float[Array, "lag input"]
    dt: Float[Array, " lag"] | None = None


class AbstractStateSpace(eqx.Module):
    """A state-space model with its parameters in place."""

    @abstractmethod
    def init(self, context: Context, *, key: Key) -> Distribution:
        """The distribution of the state at the end of `context`."""

    @abstractmethod
    def transition(self, x: State, span: Span, u: Array | None = None, *, key: Key) -> State:
        """A sample of the state after `span`, with the inputs `u` (input,) that hold at its end."""

    @abstractmethod
    def observation(
        self,
        x: State,
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Distribution:
        """p(y | x) over channels at the sensors `where`, with the file's own error `sd` (0 where unknown)."""


class AbstractPredictive(AbstractStateSpace):
    """A model that knows the density of the next observation given the present state."""

    @abstractmethod
    def predictive(
        self, x: State, span: Span, u: Array | None = None, sd: Array | None = None
    ) -> Distribution:
        """p(y_{k+1} | x_k) over channels: what a pointwise likelihood and a mixture score need."""


class AbstractForecaster(AbstractStateSpace):
    """A model that forecasts all leads at once instead of rolling out step by step."""

    @abstractmethod
    def predict(self, x: State, spans: Span, inputs: Float[Array, "lead input"]) -> Distribution:
        """The marginal predictive distributions, batch shape (lead, channel)."""

    @abstractmethod
    def path(
        self, x: State, spans: Span, inputs: Float[Array, "lead input"], *, key: Key
    ) -> Float[Array, "lead channel"]:
        """One joint draw over all leads."""


class AbstractAdditiveNoise(AbstractStateSpace):
    """A model x' = flow(x) + noise with Gaussian noise of known covariance."""

    @abstractmethod
    def flow(self, x: State, span: Span, u: Array | None = None) -> State:
        """The noise-free state after `span`."""

    @abstractmethod
    def process_noise(self, x: State, span: Span) -> Distribution:
        """The distribution of what is added to the flow over `span`."""

    def transition(self, x: State, span: Span, u: Array | None = None, *, key: Key) -> State:
        """The flow and the noise."""
        return self.flow(x, span, u) + self.process_noise(x, span).sample(key)


class Modes(eqx.Module):
    r"""The spectrum of linear dynamics: what is seen is $\mathrm{Re} \sum_j \Phi_j \varphi_j e^{\mu_j t}$.

    Of a conjugate pair the member of positive frequency stands for both; a real eigenvalue stands for itself.

    Args:
        rate: continuous-time eigenvalues mu, shape (mode,), complex, per second; the imaginary part 0 or more.
        shape: Phi, what one unit of each coordinate shows, shape (channel, mode), complex, internal units.
        floor: root mean square of what the model's own noise leaves of each coordinate in a nominal step, in units
            of the coordinate, shape (mode,); 0 where the model has no noise.
    """

    rate: Complex[Array, " mode"]
    shape: Complex[Array, "channel mode"]
    floor: Float[Array, " mode"]


class AbstractSpectral(AbstractStateSpace):
    """A model with linear dynamics, whose spectrum can be read and held against a record."""

    @abstractmethod
    def modes(self) -> Modes:
        """The eigenvalues, and what each mode shows."""

    @abstractmethod
    def coordinates(self, context: Context) -> Complex[Array, " mode"]:
        """The eigenfunctions, in the order of `modes`, on a stretch of record: their values at its last row."""

    def pushed(self, span: Span, u: Float[Array, " input"]) -> Array | float:
        """What inputs that hold over a span add to each coordinate; nothing by default."""
        return 0.0


class AbstractLatentLinear(AbstractStateSpace):
    """Linear-Gaussian dynamics in closed form over any span, seen through any emission."""

    @abstractmethod
    def matrices(self, span: Span, u: Array | None = None) -> tuple[Array, Array, Array]:
        """F (state, state), offset (state,) and a root of Q (state, state) over `span`, given its inputs `u`."""


class AbstractGenerator(AbstractStateSpace):
    """A model that can make a whole series from nothing."""

    @abstractmethod
    def series(
        self, spans: Span, inputs: Float[Array, "time input"], *, key: Key
    ) -> Float[Array, "time channel"]:
        """A draw of the readings at the end of each span, internal units; the first span leads to the first row."""


class AbstractLinearGaussian(AbstractLatentLinear):
    """A latent-linear model whose emission is linear too: the Kalman filter is exact."""

    @abstractmethod
    def emission(self, span: Span, where: Array | None = None) -> tuple[Array, Array, Array]:
        """H (channel, state), offset (channel,) and a Cholesky factor of R (channel, channel)."""


class Told(eqx.Module):
    r"""Gaussian readings of a state in place of those of sensors, $\tilde y = H x + c + \sigma \varepsilon$.

    Args:
        y: shape (pseudo,), units of the state.
        mask: True where told, shape (pseudo,).
        sd: of the error of each, shape (pseudo,).
        h: H, shape (pseudo, state).
        offset: c, shape (pseudo,).
    """

    y: Float[Array, " pseudo"]
    mask: Bool[Array, " pseudo"]
    sd: Float[Array, " pseudo"]
    h: Float[Array, "pseudo state"]
    offset: Float[Array, " pseudo"]


class AbstractConditional(AbstractGenerator):
    """A model that can make a series around what was seen of it."""

    @abstractmethod
    def filled(self, context: Context, *, key: Key) -> Float[Array, "lag channel"]:
        """A draw of the readings at every row of a record given those that were read, internal units."""


class AbstractEncoded(AbstractLatentLinear):
    """A latent-linear model that says in Gaussian readings of its state what sensors say of it: Kalman serves."""

    @abstractmethod
    def encoded(self, y: Array, mask: Array, sd: Array) -> Told:
        """What the readings of a time, each shape (channel,), say of the state."""


class AbstractField(AbstractStateSpace):
    """A model whose state lies at places: what a local filter needs."""

    @abstractmethod
    def places(self) -> Float[Array, "state coordinate"]:
        """Coordinates of each component of the state."""

    @abstractmethod
    def sensors(self, where: Array | None = None) -> Float[Array, "channel coordinate"]:
        """Coordinates of each channel at the sensors `where`, None for those that stay where they are."""


class AbstractOnGrid(AbstractField):
    """A model of fields that lie on one regular grid, with or without places where there is nothing."""

    grid: eqx.AbstractVar[Grid]
    periodic: eqx.AbstractVar[tuple[bool, ...]]
    sea: eqx.AbstractVar[Bool[Array, " place"]]


class AbstractConstrained(AbstractStateSpace):
    """A model whose state obeys rules that a linear correction breaks."""

    @abstractmethod
    def settled(self, x: State) -> State:
        """The state that obeys them, nearest to a corrected one."""


class AbstractTurning(AbstractStateSpace):
    """A model with directions, of which those a turn apart are the same."""

    @abstractmethod
    def beside(self, x: State, other: State) -> State:
        """The same state, its directions counted from within half a turn of those of another."""

    @abstractmethod
    def facing(self, seen: Float[Array, " channel"], y: Float[Array, " channel"]) -> Array:
        """The same readings, directions counted from within half a turn of others."""


class AbstractCorrelated(AbstractStateSpace):
    """A model whose errors of reading go together: `observation` tells of each channel alone."""

    @abstractmethod
    def error_root(self, span: Span, where: Array | None = None) -> Float[Array, "channel channel"]:
        """A Cholesky factor of the covariance of the model's own error, beside which comes the file's."""


class AbstractWrapped(AbstractStateSpace):
    """A model around another, by whose name it is known."""

    @property
    @abstractmethod
    def inside(self) -> str:
        """The name of what is inside."""


class AbstractNamed(AbstractStateSpace):
    """A model whose state and channels have names: what a labelled result is called."""

    @abstractmethod
    def components(self) -> tuple[str, ...]:
        """One name for a field, else one for each component of the state."""

    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """One name for a field, else one for each channel."""


class Estimate(eqx.Module):
    """What an observer believes of a state.

    Args:
        mean: shape (state,), internal units.
        sd: standard deviation of each component, shape (state,), internal units; 0 where none is told.
        alike: how errors go together: rows whose squares sum to 1 for each component, shape (row, state).
        memory: what else it remembers, of any shape.
    """

    mean: Float[Array, " state"]
    sd: Float[Array, " state"]
    alike: Float[Array, "row state"]
    memory: Float[Array, "..."]


class AbstractObserver(AbstractStateSpace):
    """A model with a learned gain that corrects its own state by what is observed."""

    @abstractmethod
    def opened(self, mean: Float[Array, " state"], sd: Float[Array, " state"]) -> Estimate:
        """The estimate before anything was observed."""

    @abstractmethod
    def predict(self, held: Estimate, span: Span, u: Array | None = None) -> Estimate:
        """The estimate after `span`: the background."""

    @abstractmethod
    def correct(
        self,
        held: Estimate,
        y: Float[Array, " channel"],
        mask: Bool[Array, " channel"],
        span: Span,
        where: Array | None = None,
        sd: Array | None = None,
        u: Array | None = None,
    ) -> Estimate:
        """The estimate after the observation y where `mask` holds, with the file's own error `sd`."""


def read(
    ssm: AbstractStateSpace,
    x: State,
    span: Span,
    where: Array | None = None,
    sd: Array | None = None,
    u: Array | None = None,
    *,
    key: Key,
) -> PyTree:
    """A sample of the readings of a state, of errors that go together where the model says so."""
    density = ssm.observation(x, span, where, sd, u)
    if not isinstance(ssm, AbstractCorrelated):
        return density.sample(key)
    root = ssm.error_root(span, where)
    own, known = jax.random.normal(key, (2, root.shape[0]), root.dtype)
    return density.mean + root @ own + (0.0 if sd is None else sd * known)


def simulate(
    ssm: AbstractStateSpace,
    x0: State,
    spans: Span,
    inputs: Float[Array, "time input"] | None = None,
    *,
    key: Key,
    first_step: int | Array = 0,
    where: Float[Array, "time channel coordinate"] | None = None,
    sd: Float[Array, "time channel"] | None = None,
) -> tuple[State, PyTree]:
    r"""A path of states and observations, $x_{k+1} \sim p(\cdot \mid x_k)$, $y_{k+1} \sim p(\cdot \mid x_{k+1})$.

    The key of a step is folded from its absolute number, so that a path cut in two equals the whole.

    Args:
        ssm: the model.
        x0: the state before the first span.
        spans: the steps, stacked on a leading time axis; seconds.
        inputs: what holds at the end of each span, shape (time, input), internal units.
        key: randomness of the whole path.
        first_step: absolute number of the first span.
        where: coordinates of the sensors at the end of each span, shape (time, channel, coordinate); None for the
            model's own.
        sd: error beside the model's own, shape (time, channel), internal units; None for none.

    Returns:
        The states and the observations at the end of each span, stacked on a leading time axis.
    """

    def step(x: State, at: tuple) -> tuple[State, tuple[State, Array]]:
        number, span, (u, place, error) = at
        k_move, k_see = jax.random.split(jax.random.fold_in(key, number))
        x = ssm.transition(x, span, u, key=k_move)
        return x, (x, read(ssm, x, span, place, error, u, key=k_see))

    numbers = first_step + jnp.arange(spans.dt.shape[0])
    _, path = jax.lax.scan(step, x0, (numbers, spans, (inputs, where, sd)))
    return path
