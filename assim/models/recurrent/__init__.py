"""Recurrent networks with a latent state that readings force."""

from assim.models.recurrent import forcing
from assim.models.recurrent.almost_linear import AlmostLinearRNN
from assim.models.recurrent.shallow import ShallowPLRNN

__all__ = ["AlmostLinearRNN", "ShallowPLRNN", "forcing"]
