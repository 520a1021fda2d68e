"""The published multi-marginal Schrödinger bridge with a reference that is refined in turns."""

from assim.models.bridge.published.alternation import Alternated, Alternation, alternated
from assim.models.bridge.published.sbirr import PublishedSBIRR

__all__ = ["Alternated", "Alternation", "PublishedSBIRR", "alternated"]
