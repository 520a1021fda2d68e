"""What is believed of the drift before any snapshot: families of vector fields."""

from assim.models.bridge.references.base import (
    AbstractDrift,
    AbstractNamedReference,
    AbstractReference,
    require_finite,
)
from assim.models.bridge.references.brownian import Brownian
from assim.models.bridge.references.features import RandomFeatures
from assim.models.bridge.references.linear import Linear
from assim.models.bridge.references.lotka_volterra import LotkaVolterra
from assim.models.bridge.references.neural import Neural
from assim.models.bridge.references.own import Own
from assim.models.bridge.references.potential import Potential
from assim.models.bridge.references.repressilator import Repressilator
from assim.models.bridge.references.repressilator_proteins import RepressilatorProteins
from assim.models.bridge.references.sum import Sum
from assim.models.bridge.references.vortex import Vortex

__all__ = [
    "AbstractDrift",
    "AbstractNamedReference",
    "AbstractReference",
    "Brownian",
    "Linear",
    "LotkaVolterra",
    "Neural",
    "Own",
    "Potential",
    "RandomFeatures",
    "Repressilator",
    "RepressilatorProteins",
    "Sum",
    "Vortex",
    "require_finite",
]
