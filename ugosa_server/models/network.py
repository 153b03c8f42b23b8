"""The seam for separation networks: what adaptation and separation need of one.

To add a backend, write one file with two classes and add one line to `architectures.ARCHITECTURES`:

- a frozen dataclass that fulfils `NetworkConfig`: sources, rate, channels, the parameters, and which of them
  each depth `Lx:y` trains. It must import without torch (the front process reads it);
- a `SeparationNetwork` that is built from it and separates in `forward`.

A network that gives masks for the spectrogram of the mix is a `MaskNetwork`: its masks go on the STFT of
every channel at the song's own rate, and what they leave of the mix is the stem `residual`.

If the part that a depth leaves frozen comes first in the network, `frozen_part` and `trained_part` let its
output be kept from epoch to epoch. A network without such a split leaves both as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module

from torch import Tensor, nn

from ugosa_server.models.architectures import architecture_of
from ugosa_server.models.config import Depth, MaskKind, NetworkConfig


class SeparationNetwork(nn.Module, ABC):
    """A network from a mix to stems; in evaluation mode the same mix gives the same stems."""

    config: NetworkConfig
    """The sizes it was built from."""

    @abstractmethod
    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, C, T] -> [B, S, C, T]."""

    def frozen_part(self, mix: Tensor, depth: Depth) -> Tensor | None:
        """What the layers before the first that `depth` trains make of a mix [B, C, T]; None = no split."""
        return None

    def trained_part(self, mix: Tensor, frozen: Tensor | None, depth: Depth) -> Tensor:
        """The rest, so that `trained_part(mix, frozen_part(mix, depth), depth)` is `forward(mix)`."""
        stems: Tensor = self(mix)
        return stems

    def release_memory(self) -> None:
        """Free what the network keeps from one training step to the next, if anything."""


class MaskNetwork(SeparationNetwork):
    """A network that gives one mask per source for the STFT of the mix (`NetworkConfig.mask_grid`).

    It may be told who plays, so that marks act before any adaptation; no part of it is kept from epoch to
    epoch.
    """

    @abstractmethod
    def forward(self, mix: Tensor, activity: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Separate a normalised mix by soft masks: [B, C, T] -> [B, S, C, T].

        Args:
            mix: one window, or more.
            activity: h [B, S, T], if known.
            context: what is seen of each, [B, *context_shape]; None = what h gives.
        """

    @abstractmethod
    def masks(self, frames: Tensor, context: Tensor, *, kind: MaskKind = "soft") -> Tensor:
        """Masks in [0, 1]: the STFT of a normalised mono mix, complex [B, F, T'] -> [B, S, F, T'].

        Args:
            frames: of a mix with a standard deviation of 1, any number of them.
            context: what is known of the window, [B, *context_shape].
            kind: what they are on the network's own bins.
        """

    @property
    @abstractmethod
    def context_shape(self) -> tuple[int, ...]:
        """Shape of what is known of one window."""

    @property
    @abstractmethod
    def takes_labels(self) -> bool:
        """Whether the context is a label of 0 or 1 per source, which marks give, or seen in a video."""


def build_network(config: NetworkConfig) -> SeparationNetwork:
    """Build the network that these sizes describe, with the weights that its constructor gives it."""
    module, _, class_name = architecture_of(config).network.partition(":")
    network: SeparationNetwork = getattr(import_module(module), class_name)(config)
    return network
