"""The Koopman spectrum of a posterior: its modes with credible intervals, each held against a record."""

from assim.koopman.pseudospectra import pseudospectrum
from assim.koopman.spectra import spectrum, table

__all__ = ["pseudospectrum", "spectrum", "table"]
