"""Linear latent worlds in continuous time."""

from assim.models.koopman.flow import Flow
from assim.models.koopman.linear import LinearKoopman
from assim.models.koopman.mixture import Mixture
from assim.models.koopman.starts import Anywhere, Stationary
from assim.models.koopman.vae import KoopmanVAE
from assim.nn.kalman import Sequential
from assim.nn.parallel_kalman import Parallel

__all__ = [
    "Anywhere",
    "Flow",
    "KoopmanVAE",
    "LinearKoopman",
    "Mixture",
    "Parallel",
    "Sequential",
    "Stationary",
]
