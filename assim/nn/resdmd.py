r"""Koopman spectra with residuals: extended DMD, residual DMD and measure-preserving DMD.

Of snapshot pairs $(x_m, y_m)$ with weights $w_m$ and a dictionary $\psi$, rows of $\Psi_X$ and $\Psi_Y$,

$$G = \Psi_X^* W \Psi_X, \quad A = \Psi_X^* W \Psi_Y, \quad L = \Psi_Y^* W \Psi_Y, \qquad K = G^+ A,\quad
K v = \lambda v,$$
$$\operatorname{res}(\lambda, v)^2 = \frac{v^* [L - \lambda A^* - \bar\lambda A + |\lambda|^2 G]\, v}{v^* G v},
\qquad \tau(z) = \min_v \operatorname{res}(z, v)$$

(Williams et al. 2015; Colbrook and Townsend 2024, eqs 3.2 and 4.3; Colbrook, Ayton and Szoke 2023). None of the
three matrices is formed, since that would halve the digits: what travels is their root, the triangular R of
$W^{1/2} [\Psi_X\ \Psi_Y] = Q R$. Residuals of the pairs that K was made from are too small: take other pairs.

An eigendecomposition without symmetry runs on the CPU, called from there by a GPU too; it has no derivative.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from assim.types import Array, Complex, Float


class Gram(eqx.Module):
    r"""Inner products of the observables, by the blocks of their root $R = [R_x\ R_{xy};\ 0\ R_y]$.

    Args:
        root_x: upper triangular, shape (observable, observable).
        root_xy: shape (observable, observable).
        root_y: upper triangular, shape (observable, observable).
    """

    root_x: Float[Array, "observable observable"]
    root_xy: Float[Array, "observable observable"]
    root_y: Float[Array, "observable observable"]

    def matrices(self) -> tuple[Array, Array, Array]:
        r"""$G = R_x^* R_x$, $A = R_x^* R_{xy}$ and $L = R_{xy}^* R_{xy} + R_y^* R_y$."""
        x, xy, y = (r.conj().T for r in (self.root_x, self.root_xy, self.root_y))
        return x @ self.root_x, x @ self.root_xy, xy @ self.root_xy + y @ self.root_y


class Whitened(eqx.Module):
    r"""The operator between combinations of observables that are orthonormal on the pairs.

    Args:
        basis: B, the combinations, shape (observable, rank); columns that the pairs do not tell are 0.
        ahead: $M = B^* A B$, shape (rank, rank): the operator by least squares.
        rest: C, what it leaves, $C^* C = B^* L B - M^* M$, shape (rank, rank).
    """

    basis: Float[Array, "observable rank"]
    ahead: Float[Array, "rank rank"]
    rest: Float[Array, "rank rank"]

    @property
    def kept(self) -> Array:
        """Which columns the pairs tell, shape (rank,)."""
        return (self.basis != 0).any(axis=0)


def gram(
    psi_x: Float[Array, "n observable"],
    psi_y: Float[Array, "n observable"],
    weight: Float[Array, " n"] | None = None,
) -> Gram:
    """The inner products of observables at pairs of points.

    Args:
        psi_x: at the first points, shape (n, observable).
        psi_y: at the points one step later, shape (n, observable).
        weight: of each pair, 0 or more, shape (n,); None for 1/n.
    """
    count, size = psi_x.shape
    weight = jnp.full(count, 1.0 / count, psi_x.dtype) if weight is None else weight
    both = jnp.sqrt(weight)[:, None] * jnp.concatenate([psi_x, psi_y], axis=1)
    if count < 2 * size:  # R has all its rows
        both = jnp.pad(both, ((0, 2 * size - count), (0, 0)))
    r = jnp.linalg.qr(both, mode="r")
    return Gram(r[:size, :size], r[:size, size:], r[size:, size:])


def whitened(
    gram: Gram, rank: int | None = None, tolerance: float | None = None, *, constant: bool = False
) -> Whitened:
    r"""The operator on the best told combinations of observables: $B = V \Sigma^{-1}$ of $R_x = U \Sigma V^*$.

    Args:
        gram: of the observables.
        rank: how many combinations; None for as many as observables.
        tolerance: share of the largest singular value below which a combination is not told; None for ten times
            the number of observables times the rounding of the dtype.
        constant: whether the first observable is 1. It is kept then beside the `rank` combinations, which are of
            the deviations of all others from their means: the rows of R below the first.
    """
    alone, size = int(constant), gram.root_x.shape[0]
    u, s, vh = jnp.linalg.svd(gram.root_x[alone:, alone:])
    tolerance = 10.0 * size * float(jnp.finfo(s.dtype).eps) if tolerance is None else tolerance
    u, s, v = u[:, :rank], s[:rank], vh.conj().T[:, :rank]
    kept = s > tolerance * s[0]
    basis = v * jnp.where(kept, 1.0 / jnp.where(kept, s, 1.0), 0.0)
    if constant:
        one = gram.root_x[0, 0]
        told = one != 0
        top = jnp.append(-1.0, gram.root_x[0, 1:] @ basis) / jnp.where(told, -one, jnp.inf)
        basis = jnp.pad(basis, ((1, 0), (1, 0))).at[0].set(top)
        u = jnp.pad(u, ((1, 0), (1, 0))).at[0, 0].set(1.0)
        kept = jnp.append(told, kept)
    across = gram.root_xy @ basis
    ahead = kept[:, None] * (u.conj().T @ across)
    beyond = jnp.concatenate([across - u @ ahead, gram.root_y @ basis])
    return Whitened(basis, ahead, jnp.linalg.qr(beyond, mode="r"))


def unitary(held: Whitened) -> Float[Array, "rank rank"]:
    r"""The measure-preserving operator nearest to a whitened one: of $M^* = U_1 \Sigma U_2^*$, $U_2 U_1^*$.

    In the observables this is $G^{-1/2} U_2 U_1^* G^{1/2}$ (mpEDMD, Colbrook 2023, algorithm 4.1), all of whose
    eigenvalues have modulus 1.

    Returns:
        Shape (rank, rank); 0 in rows and columns of what is not told.
    """
    apart = jnp.diag((~held.kept).astype(held.ahead.dtype))
    u, _, vh = jnp.linalg.svd(held.ahead + apart)
    return u @ vh - apart


def edmd(
    gram: Gram, rank: int | None = None, tolerance: float | None = None
) -> tuple[Complex[Array, " mode"], Complex[Array, "observable mode"]]:
    r"""Eigenpairs of $K = G^+ A$, the pseudo-inverse cut off as `whitened` does.

    Args:
        gram: of the observables.
        rank: how many; None for as many as observables.
        tolerance: as `whitened` takes it.

    Returns:
        Eigenvalues, shape (mode,), and the coefficients v of eigenfunctions psi v, of mean square 1 on the pairs,
        shape (observable, mode); what is not told has eigenvalue 0 and coefficients 0.
    """
    held = whitened(gram, rank, tolerance)
    eigenvalues, vectors = jnp.linalg.eig(held.ahead)
    return eigenvalues, held.basis @ vectors


def measure_preserving(
    gram: Gram, rank: int | None = None, tolerance: float | None = None
) -> tuple[Complex[Array, " mode"], Complex[Array, "observable mode"]]:
    r"""Eigenpairs of the measure-preserving operator, $|\lambda| = 1$, as `edmd` gives those of K."""
    held = whitened(gram, rank, tolerance)
    eigenvalues, vectors = jnp.linalg.eig(unitary(held))
    return eigenvalues, held.basis @ vectors


def residual(
    gram: Gram, eigenvalue: Complex[Array, "..."], vector: Complex[Array, "observable ..."]
) -> Float[Array, "..."]:
    r"""$\lVert W^{1/2}(\Psi_Y - \lambda \Psi_X) v\rVert / \lVert W^{1/2} \Psi_X v\rVert$ of candidates.

    Args:
        gram: of pairs, better of others than those that the candidates were made from.
        eigenvalue: of each candidate, shape (...).
        vector: coefficients, shape (observable, ...).

    Returns:
        Shape (...); NaN where the vector is 0.
    """
    now = jnp.tensordot(gram.root_x, vector, 1)
    short = jnp.tensordot(gram.root_xy, vector, 1) - eigenvalue * now
    beyond = jnp.tensordot(gram.root_y, vector, 1)
    left = (jnp.abs(short) ** 2).sum(axis=0) + (jnp.abs(beyond) ** 2).sum(axis=0)
    return jnp.sqrt(left / (jnp.abs(now) ** 2).sum(axis=0))


@eqx.filter_jit
def pseudospectrum(
    gram: Gram,
    z: Complex[Array, "..."],
    *,
    batch: int = 32,
    rank: int | None = None,
    tolerance: float | None = None,
) -> Float[Array, "..."]:
    r"""The least residual at points of the plane, $\tau(z) = \sigma_{\min}\big([M - z I;\ C]\big)$.

    Where it is below $\varepsilon$ lies the pseudospectrum that is verified.

    Args:
        gram: of the observables.
        z: points, shape (...).
        batch: how many of them at a time.
        rank: as `whitened` takes it.
        tolerance: as `whitened` takes it.
    """
    held = whitened(gram, rank, tolerance)
    size = jnp.sqrt((jnp.abs(held.ahead) ** 2).sum() + (jnp.abs(held.rest) ** 2).sum())

    def least(z: Array) -> Array:
        told = jnp.where(
            held.kept, -z, 1.0 + jnp.abs(z) + size
        )  # what is not told is never the least
        tall = jnp.concatenate([held.ahead + jnp.diag(told), held.rest])
        return jnp.linalg.svd(tall, compute_uv=False)[-1]

    return jax.lax.map(least, z.ravel(), batch_size=batch).reshape(z.shape)


def forecast_bound(
    residual: Float[Array, "..."],
    eigenvalue: Complex[Array, "..."],
    norm: Float[Array, ""] | float,
    steps: int,
) -> Float[Array, "step ..."]:
    r"""How far an eigenfunction may be from its own forecast.

    $$\lVert K^n g - \lambda^n g\rVert
    \le \operatorname{res}\,\lVert g\rVert \sum_{i<n} |\lambda|^i\, \lVert K\rVert^{n-1-i}$$

    Args:
        residual: of each mode, shape (...).
        eigenvalue: shape (...).
        norm: of K; 1 where the dynamics preserve the measure of the points.
        steps: how many.

    Returns:
        The bound in units of $\lVert g\rVert$ after 1, 2, ... steps, shape (step, ...).
    """
    size = jnp.abs(eigenvalue)

    def step(held: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        total, power = held
        total = norm * total + power
        return (total, power * size), residual * total

    start = (jnp.zeros_like(size), jnp.ones_like(size))
    return jax.lax.scan(step, start, None, steps)[1]
