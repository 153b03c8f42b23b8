"""Engines that run jobs, as the front process sees them: the interface, and the engine of this machine.

The engine on a Ray cluster is `ugosa_server.engines.ray`.
"""

from ugosa_server.engines.base import Engine, EngineHealth, Run
from ugosa_server.engines.local import LocalEngine

__all__ = ["Engine", "EngineHealth", "LocalEngine", "Run"]
