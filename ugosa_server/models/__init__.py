"""Separation networks, their checkpoints and the registry."""
