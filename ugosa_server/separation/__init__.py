"""Separation of a whole song with a network: segments, masks, Wiener filter, mixture consistency.

The names here are free of torch; the modules that compute are not.
"""

from ugosa_server.separation.options import SeparationOptions

__all__ = ["SeparationOptions"]
