"""Schrödinger bridges: populations seen at a few times, and the paths between."""

from assim.models.bridge import errors, references, survival, volatilities
from assim.models.bridge.bridge import SchrodingerBridge
from assim.models.bridge.matching import Adjacent, Bridge, FirstSnapshot
from assim.models.bridge.unseen import Unseen

__all__ = [
    "Adjacent",
    "Bridge",
    "FirstSnapshot",
    "SchrodingerBridge",
    "Unseen",
    "errors",
    "references",
    "survival",
    "volatilities",
]
