"""The published Koopman variational autoencoder, a generator of windows."""

from assim.models.kovae.linearity import UnitModulus, linear_map, one_step_linearity, spectrum
from assim.models.kovae.model import PublishedKoVAE

__all__ = ["PublishedKoVAE", "UnitModulus", "linear_map", "one_step_linearity", "spectrum"]
