"""A network class for pickles to name; making one leaves a trace."""

from pathlib import Path

from torch import nn


class LegacyNetwork(nn.Module):
    def __init__(self, canary="canary"):
        super().__init__()
        Path(canary).touch()

    def __setstate__(self, state):
        raise AssertionError("the real class was used")

    def __reduce__(self):
        return LegacyNetwork, ("canary",)
