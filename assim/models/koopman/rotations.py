r"""Linear latent dynamics in continuous time, block by block in closed form over any span.

$$dz_j = (-\gamma_j + i\,\omega_j)\, z_j\,dt + B_j u\,dt + \sqrt{q_j}\,dW, \qquad \gamma_j \ge 0$$

A pair of components is a complex number that turns and decays, a single one a real number that decays. With u held
over the span,

$$F_j(\Delta) = e^{-\gamma_j\Delta}\,\mathrm{Rot}(\omega_j\Delta), \qquad
Q_j(\Delta) = q_j\,\frac{1 - e^{-2\gamma_j\Delta}}{2\gamma_j}\,I, \qquad
f_j(\Delta) = \frac{e^{\mu_j\Delta} - 1}{\mu_j}\,B_j u$$

so that spans need not be equal, two spans in a row give what their sum gives, and no eigenvalue leaves the unit
disc.
"""

import equinox as eqx
import jax.numpy as jnp

from assim.types import Array, Complex, Float


class Rotations(eqx.Module):
    """The eigenvalues of a latent world, its noise and what drives it.

    A mode is a pair of components, or a single one behind all pairs.

    Args:
        decay: gamma, shape (mode,), per second.
        frequency: omega of the pairs, shape (pair,), radians per second.
        noise: q, shape (mode,), per second.
        drive: B, shape (state, input), per second.
    """

    decay: Float[Array, " mode"]
    frequency: Float[Array, " pair"]
    noise: Float[Array, " mode"]
    drive: Float[Array, "state input"]

    @property
    def pairs(self) -> int:
        """How many modes turn."""
        return self.frequency.shape[-1]

    @property
    def size(self) -> int:
        """Components of the state."""
        return self.decay.shape[-1] + self.pairs

    def rates(self) -> Complex[Array, " mode"]:
        """The eigenvalues, of each conjugate pair that of positive frequency.

        Returns:
            Shape (mode,), per second.
        """
        still = jnp.zeros(self.decay.shape[-1] - self.pairs, self.decay.dtype)
        return -self.decay + 1j * jnp.concatenate([self.frequency, still])

    def over(self, dt: Float[Array, ""]) -> tuple[Array, Array]:
        """What a span multiplies the state by, and the standard deviations of what it adds.

        Args:
            dt: length of the span, shape (), seconds.

        Returns:
            F, shape (state, state), and the root of the diagonal of Q, shape (state,).
        """
        shrink = jnp.exp(-self.decay * dt)
        return self._blocks(shrink, dt), self.spread(jnp.sqrt(self.noise * gained(self.decay, dt)))

    def driven(self, u: Float[Array, " input"], dt: Float[Array, ""]) -> Float[Array, " state"]:
        """What inputs that hold over a span add to the state.

        Args:
            u: shape (input,), internal units.
            dt: length of the span, shape (), seconds.

        Returns:
            Shape (state,).
        """
        push = self.drive @ u
        if push.shape[0] == 0 or u.shape[0] == 0:
            return jnp.zeros(self.size, self.decay.dtype)
        return self.real(_integral(self.rates(), dt) * self.turned(push))

    def stationary(self) -> Float[Array, " state"]:
        """Standard deviation of each component in the long run; that of a mode that does not decay has no bound.

        Returns:
            Shape (state,).
        """
        return self.spread(jnp.sqrt(self.noise / (2.0 * self.decay)))

    def turned(self, z: Float[Array, "... state"]) -> Complex[Array, "... mode"]:
        """Components as complex coordinates.

        Args:
            z: shape (..., state).

        Returns:
            Shape (..., mode).
        """
        real, imaginary = z[..., : 2 * self.pairs : 2], z[..., 1 : 2 * self.pairs : 2]
        single = z[..., 2 * self.pairs :]
        return jnp.concatenate([real + 1j * imaginary, single + 0j], axis=-1)

    def real(self, w: Complex[Array, "... mode"]) -> Float[Array, "... state"]:
        """The inverse of `turned`.

        Args:
            w: shape (..., mode).

        Returns:
            Shape (..., state).
        """
        pair = w[..., : self.pairs]
        both = jnp.stack([pair.real, pair.imag], axis=-1)
        both = both.reshape(*both.shape[:-2], 2 * self.pairs)
        return jnp.concatenate([both, w[..., self.pairs :].real], axis=-1)

    def shapes(self, emission: Float[Array, "channel state"]) -> Complex[Array, "channel mode"]:
        r"""What one unit of each coordinate shows: $C z = \sum_j \mathrm{Re}(\Phi_j w_j)$.

        Args:
            emission: C, shape (channel, state), internal units.

        Returns:
            Phi, shape (channel, mode), internal units.
        """
        return self.turned(emission).conj()

    def spread(self, by_mode: Float[Array, " mode"]) -> Float[Array, " state"]:
        """A number of each mode for each of its components.

        Args:
            by_mode: shape (mode,).

        Returns:
            Shape (state,).
        """
        pair = jnp.repeat(by_mode[: self.pairs], 2, total_repeat_length=2 * self.pairs)
        return jnp.concatenate([pair, by_mode[self.pairs :]])

    def gathered(self, by_component: Float[Array, " state"]) -> Float[Array, " mode"]:
        """The sum over the components of each mode.

        Args:
            by_component: shape (state,).

        Returns:
            Shape (mode,).
        """
        pair = by_component[: 2 * self.pairs].reshape(self.pairs, 2)
        return jnp.concatenate([pair.sum(axis=1), by_component[2 * self.pairs :]])

    def _blocks(self, shrink: Array, dt: Array) -> Float[Array, "state state"]:
        turn = self.frequency * dt
        across = shrink[: self.pairs] * jnp.sin(turn)
        along = jnp.concatenate([shrink[: self.pairs] * jnp.cos(turn), shrink[self.pairs :]])
        move = jnp.diag(self.spread(along))
        even = 2 * jnp.arange(self.pairs)
        return move.at[even + 1, even].set(across).at[even, even + 1].set(-across)


def gained(decay: Float[Array, "*mode"], dt: Float[Array, ""]) -> Float[Array, "*mode"]:
    r"""$(1 - e^{-2\gamma\Delta})/2\gamma$, and $\Delta$ where nothing decays; its slope is finite there too.

    Args:
        decay: gamma, per second.
        dt: length of a span, shape (), seconds.

    Returns:
        The shape of `decay`, seconds.
    """
    whole = 2.0 * decay * dt
    small = jnp.abs(whole) < 1e-3
    series = 1.0 - whole / 2.0 + whole**2 / 6.0 - whole**3 / 24.0
    safe = jnp.where(small, 1.0, whole)
    return dt * jnp.where(small, series, -jnp.expm1(-safe) / safe)


def _integral(rate: Complex[Array, " mode"], dt: Float[Array, ""]) -> Complex[Array, " mode"]:
    r"""$(e^{\mu\Delta} - 1)/\mu$, and $\Delta$ where $\mu = 0$."""
    whole = rate * dt
    small = jnp.abs(whole) < 1e-2
    series = 1.0 + whole / 2.0 + whole**2 / 6.0 + whole**3 / 24.0 + whole**4 / 120.0
    safe = jnp.where(small, 1.0, whole)
    return dt * jnp.where(small, series, (jnp.exp(safe) - 1.0) / safe)
