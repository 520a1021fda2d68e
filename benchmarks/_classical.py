"""What is done without a model of time: climatology, kriging and optimal interpolation, month by month.

Each takes a scene (fields known (month, place), places in degrees (place, 2), readings and where they are) and
gives mean and deviation of the field at every place, of the months that are scored.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

EARTH = 6371.0


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Over the Earth, km, of places (n, 2) and (m, 2) in degrees."""
    a, b = np.deg2rad(a)[:, None], np.deg2rad(b)[None]
    half = np.sin((a - b) / 2) ** 2
    chord = half[..., 0] + np.cos(a[..., 0]) * np.cos(b[..., 0]) * half[..., 1]
    return 2 * EARTH * np.arcsin(np.sqrt(np.clip(chord, 0, 1)))


def deviation(known: np.ndarray) -> np.ndarray:
    """Of anomalies from twelve monthly means, shape (place,)."""
    return np.sqrt((known**2).sum(axis=0) / (len(known) - 12))


def climatology() -> Callable:
    """No anomaly, and the deviation of those known."""

    def run(scene) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(scene.truth.shape), deviation(scene.known)

    return run


def estimated(cov: np.ndarray, scene, error: float) -> tuple[np.ndarray, np.ndarray]:
    """Best linear estimate of fields of covariance `cov` (place, place) from the readings of each month."""
    at, y = scene.at, scene.y[scene.skipped :]
    seen = cho_factor(cov[np.ix_(at, at)] + error**2 * np.eye(len(at)))
    gain = cho_solve(seen, cov[at]).T
    return y @ gain.T, np.sqrt(np.diag(cov) - (gain * cov[:, at]).sum(axis=1))


def interpolated(radius: float, kept: int | None, error: float) -> Callable:
    """Optimal interpolation: the covariance of the known anomalies, tapered by a Gaussian of `radius` km.

    With `kept` the leading modes are taken as they are, and only what they leave is tapered.
    """

    def run(scene) -> tuple[np.ndarray, np.ndarray]:
        _, size, modes = np.linalg.svd(scene.known / np.sqrt(len(scene.known) - 12), False)
        root = size[:, None] * modes
        large, rest = root[: kept or 0], root[kept or 0 :]
        taper = np.exp(-0.5 * (distance(scene.places, scene.places) / radius) ** 2)
        return estimated(large.T @ large + (rest.T @ rest) * taper, scene, error)

    return run


def kriged(local: bool, error: float, places: int = 200) -> Callable:
    """A Gaussian process of each month: a Matérn 3/2 of two lengths, a nugget, by the likelihood of known months.

    With `local` it is of anomalies over their deviation at each place, else of anomalies of one variance.
    """
    fits: dict = {}

    def kernel(theta: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        north, east, size, _ = np.exp(theta)
        apart = np.deg2rad(a[:, None] - b[None]) * EARTH
        apart[..., 1] *= np.cos(np.deg2rad((a[:, None, 0] + b[None, :, 0]) / 2))
        r = np.sqrt(3.0 * ((apart / np.array([north, east])) ** 2).sum(axis=-1))
        return size**2 * (1 + r) * np.exp(-r)

    def fitted(scene, unit: np.ndarray) -> np.ndarray:
        some = np.random.default_rng(0).permutation(len(unit))[:places]
        x, z = scene.places[some], (scene.known / unit)[:, some]

        def loss(theta: np.ndarray) -> float:
            cov = kernel(theta, x, x) + np.exp(2 * theta[3]) * np.eye(len(x))
            root = np.linalg.cholesky(cov)
            white = np.linalg.solve(root, z.T)
            return float(0.5 * (white**2).sum() / len(z) + np.log(np.diag(root)).sum())

        start = np.log([1000.0, 3000.0, z.std(), 0.2 * z.std()])
        return minimize(loss, start, method="Nelder-Mead", options={"xatol": 0.01}).x

    def run(scene) -> tuple[np.ndarray, np.ndarray]:
        unit = deviation(scene.known) if local else np.ones(len(scene.places))
        if len(scene.known) not in fits:
            fits[len(scene.known)] = fitted(scene, unit)
        theta = fits[len(scene.known)]
        cov = kernel(theta, scene.places, scene.places) + np.exp(2 * theta[3]) * np.eye(len(unit))
        return estimated(cov * np.outer(unit, unit), scene, error)

    return run
