"""Semilinear neural operators: a linear part, exact in the step, and a Fourier neural operator for the rest."""

from assim.models.semilinear.gain import Gain
from assim.models.semilinear.operator import SemilinearOperator
from assim.models.semilinear.published import PublishedNODA
from assim.models.semilinear.readings import Readings

__all__ = ["Gain", "PublishedNODA", "Readings", "SemilinearOperator"]
