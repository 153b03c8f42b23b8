"""The sizes of a band, and what a fine-tuning depth means in it. Free of torch.

The depths of Cantisani et al. (2021) act on the second stage as they do in any ConvTasNet, and on the decoder
of the accompaniment as they do in any Spleeter, with its head for the last layer. The first stage is frozen,
and what it makes of a segment is kept; but `L1` also trains the decoder of the vocals, so that marks of the
vocals are learned from. It costs several times as much as `L2`, where such marks are obeyed all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import AdaptationDefaults, Depth, NetworkDefaults
from ugosa_server.models.conv_tasnet.config import ConvTasNetConfig
from ugosa_server.models.spleeter.config import LAST_UP, SpleeterConfig, decoder_parts

VOCALS = "vocals"
FIRST, SECOND, DECODER = "first.", "second.", "decoder."
VOCALS_UNET = "unets.0."
TRAINED_SHARES = {1: 0.80, 2: 0.28, 3: 0.14, 4: 0.10, 5: 0.10}
"""Multiply-adds of every step of a fine-tuning, of all, by level; with the shipped sizes."""
OTHER_FFT_SAMPLES = (3840, 4608)  # of looks at the song as if a semitone lower, and two higher
LOOK_COST = 0.5  # multiply-adds of the first stage, of all
SHIPPED_SHARES = (0.6, 0.4, 0.3)  # of the shipped decoder: drums, bass, other


@dataclass(frozen=True)
class BandConfig(NetworkDefaults):
    """Sizes of both stages and of the decoder beside the second."""

    first: SpleeterConfig
    """Sizes of the Spleeter that gives the vocals and the rest of the mix, in this order."""
    second: ConvTasNetConfig
    """Sizes of the network of the rest; `vocals` is among its sources."""
    decoder_shares: tuple[float, ...]
    """Weight of the decoder in the mean of both for every source but the vocals; the rest is the second
    stage's."""

    def __post_init__(self) -> None:
        if len(self.first.sources) != 2 or self.first.sources[0] != VOCALS:
            raise BadOptionError(
                f"the first stage must give {VOCALS} and what is left, not {', '.join(self.first.sources)}"
            )
        if self.first.high_band != "average":
            raise BadOptionError(
                f"the first stage must leave nothing out, but high_band is {self.first.high_band}"
            )
        if VOCALS not in self.second.sources or len(self.second.sources) < 2:
            raise BadOptionError(
                f"the second stage must have {VOCALS} among its sources, not {', '.join(self.second.sources)}"
            )
        ours = (self.first.sample_rate_hz, self.first.audio_channels)
        theirs = (self.second.sample_rate_hz, self.second.audio_channels)
        if ours != theirs:
            raise BadOptionError(
                f"the stages differ in Hz and channels: {ours[0]} and {ours[1]}, {theirs[0]} and {theirs[1]}"
            )
        if len(self.decoder_shares) != len(self.sources) - 1:
            raise BadOptionError(
                f"decoder_shares must be {len(self.sources) - 1} numbers, one for every source but the "
                f"{VOCALS}, not {len(self.decoder_shares)}"
            )
        if not all(0 < share < 1 for share in self.decoder_shares):
            shares = ", ".join(f"{share:g}" for share in self.decoder_shares)
            raise BadOptionError(f"decoder_shares must be above 0 and below 1, got {shares}")

    @property
    def sources(self) -> tuple[str, ...]:
        """Those of the second stage, in its order."""
        return self.second.sources

    @property
    def audio_channels(self) -> int:
        """C: channels of both stages."""
        return self.second.audio_channels

    @property
    def sample_rate_hz(self) -> int:
        """The rate of both stages."""
        return self.second.sample_rate_hz

    @property
    def adaptation_defaults(self) -> AdaptationDefaults:
        """Segments that suit the first stage."""
        return self.first.adaptation_defaults

    def trains_vocals(self, depth: Depth) -> bool:
        """Whether a depth trains the vocals' decoder too."""
        return depth.level == 1

    def first_decoder_layer(self, depth: Depth) -> int:
        """Where training of the accompaniment's decoder begins: a layer, or LAST_UP for its head."""
        return min(self.first.first_trained_layer(depth), LAST_UP)

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Where the parameters of a depth lie; none if the second stage has no such depth."""
        second = [SECOND + prefix for prefix in self.second.trained_prefixes(depth)]
        if not second:
            return ()
        vocals = []
        if self.trains_vocals(depth):
            first = self.first.trained_prefixes(depth)
            vocals = [FIRST + prefix for prefix in first if prefix.startswith(VOCALS_UNET)]
        parts = decoder_parts(depth, LAST_UP, "head")
        return (*vocals, *second, *(DECODER + part for part in parts))

    def trained_share(self, depth: Depth) -> float:
        """A part of both decoders and of the second stage; at `L1` of the first one too."""
        return TRAINED_SHARES[depth.level]

    @property
    def separate_cost(self) -> float:
        """With the looks at the vocals that `forward` leaves out."""
        return 1 + LOOK_COST * len(OTHER_FFT_SAMPLES)
