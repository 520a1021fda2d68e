"""How a diffusion is matched with snapshots: one way to a file."""

from assim.models.bridge.matching.adjacent import Adjacent
from assim.models.bridge.matching.base import AbstractMatching
from assim.models.bridge.matching.first_snapshot import FirstSnapshot
from assim.models.bridge.matching.two_sided import Bridge

__all__ = ["AbstractMatching", "Adjacent", "Bridge", "FirstSnapshot"]
