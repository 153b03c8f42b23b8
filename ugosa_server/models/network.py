"""Interface of separation networks, as adaptation and separation use it.

To add a backend, write a folder of two files and add one line to `checkpoint_header.ARCHITECTURES`:

- `config.py`, a frozen dataclass that fulfils `NetworkConfig`, with `NetworkDefaults` as its base: sources,
  rate, channels, and where the parameters lie that each depth `Lx:y` trains. It must import without torch
  (the front process reads it);
- `network.py`, a `SeparationNetwork` that is built from it and separates in `forward`; if it can do better
  for more work, it does so in `separate`.

A network that outputs masks for the spectrogram of the mix is a `MaskNetwork`: its masks are applied to the
STFT of every channel at the song's own rate, and the rest of the mix is the stem `residual`.

If the part that a depth leaves frozen comes first in the network, `frozen_part` and `trained_part` allow its
output to be cached from epoch to epoch. A network without such a split leaves both as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module

from torch import Tensor, nn

from ugosa_server.models.checkpoint_header import architecture_of
from ugosa_server.models.config import Depth, MaskKind, NetworkConfig


class SeparationNetwork(nn.Module, ABC):
    """A network from a mix to stems; in evaluation mode the same mix gives the same stems."""

    config: NetworkConfig
    """Sizes that it was built from."""

    @abstractmethod
    def forward(self, mix: Tensor) -> Tensor:
        """Separate `mix` of any length: [B, C, T] -> [B, S, C, T]."""

    def separate(self, mix: Tensor) -> Tensor:
        """Separate a mix for the stems of a song: as `forward`, or better for more work."""
        stems: Tensor = self(mix)
        return stems

    def frozen_part(self, mix: Tensor, depth: Depth) -> list[Tensor]:
        """Run the layers before the first that `depth` trains on a mix [1, C, T]; none: no split.

        Returns all features that the others take, [1, ...] each.
        """
        return []

    def trained_part(self, mix: Tensor, frozen: list[Tensor], depth: Depth) -> Tensor:
        """Run the other layers: `trained_part(mix, frozen_part(mix, depth), depth)` is `forward(mix)`.

        Takes B mixes, [B, C, T], and the features of all, [B, ...] each.
        """
        stems: Tensor = self(mix)
        return stems

    def trained_parameters(self, depth: Depth) -> dict[str, nn.Parameter]:
        """Return the parameters that a depth trains by name, in the network's order."""
        prefixes = self.config.trained_prefixes(depth)
        return {name: tensor for name, tensor in self.named_parameters() if name.startswith(prefixes)}

    def release_memory(self) -> None:
        """Free memory that is kept from one training step to the next; by default there is none."""


class MaskNetwork(SeparationNetwork):
    """A network that outputs one mask per source for the STFT of the mix (`NetworkConfig.mask_grid`).

    It may be conditioned on labels, so that marks act before any adaptation; no part of it is cached from
    epoch to epoch.
    """

    context_shape: tuple[int, ...]
    """Shape of the conditioning of one window."""
    takes_labels: bool
    """True if conditioned on a label of 0 or 1 per source, from marks; False: on video."""

    @abstractmethod
    def forward(self, mix: Tensor, activity: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """Separate a normalised mix by soft masks: [B, C, T] -> [B, S, C, T].

        The conditioning of each window is `context`, [B, *context_shape], else derived from h [B, S, T].
        """

    @abstractmethod
    def masks(self, frames: Tensor, context: Tensor, *, kind: MaskKind = "soft") -> Tensor:
        """Compute masks in [0, 1] from an STFT, complex [B, F, T'] -> [B, S, F, T'].

        The mix is mono, with a standard deviation of 1; its conditioning is `context`, [B, *context_shape].
        """


def build_network(config: NetworkConfig) -> SeparationNetwork:
    """Build the network of these sizes, with the weights that its constructor gives it."""
    module = import_module(".network", type(config).__module__.rpartition(".")[0])
    network: SeparationNetwork = getattr(module, architecture_of(config).network)(config)
    return network
