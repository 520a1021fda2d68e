"""Semilinear neural operators: a linear part, exact in the step, and a Fourier neural operator for the rest."""

from assim.models.semilinear.operator import SemilinearOperator

__all__ = ["SemilinearOperator"]
