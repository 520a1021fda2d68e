"""Linear dynamics of observables of a lag window, by one regression: a forecast and a spectrum."""

from assim.models.baselines.spectral.edmd import EDMD
from assim.models.baselines.spectral.hankel import HankelDMD
from assim.models.baselines.spectral.havok import HAVOK
from assim.models.baselines.spectral.preserving import MeasurePreservingEDMD

__all__ = ["EDMD", "HAVOK", "HankelDMD", "MeasurePreservingEDMD"]
