"""Separating a whole song with a network: overlap-add and mixture consistency."""
