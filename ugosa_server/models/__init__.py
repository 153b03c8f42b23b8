"""Separation networks, their checkpoints and the registry.

The names here are free of torch; `network.build_network` and the networks themselves are not.
"""

from ugosa_server.models.config import Depth, MaskGrid, MaskKind, NetworkConfig, VideoInput
from ugosa_server.models.registry import ModelInfo, ModelRegistry

__all__ = ["Depth", "MaskGrid", "MaskKind", "ModelInfo", "ModelRegistry", "NetworkConfig", "VideoInput"]
