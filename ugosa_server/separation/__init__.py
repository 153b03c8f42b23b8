"""Separation of a whole song with a network: segments, masks, Wiener filter, mixture consistency."""
