"""Engine on a Ray cluster: many GPUs and machines (extra `ray`)."""

from ugosa_server.engines.ray.engine import RayEngine

__all__ = ["RayEngine"]
