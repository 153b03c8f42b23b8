"""The sizes of demucs 4's networks, and what a fine-tuning depth means in them. Free of torch.

Hybrid Demucs (Defossez 2021) and Hybrid Transformer Demucs (Rouard et al. 2023) are U-nets with a frequency
and a time branch: encoder layers, a bottleneck, and decoder layers back to spectrogram and waveform. The
bottleneck is the cross-transformer of HTDemucs, and the encoder layers with an LSTM of HDemucs. From the
inside out, the depths of Cantisani et al. (2021) are mapped so that they keep their order and their sense:

| x | trained from |
|---|---|
| 1 | the bottleneck |
| 2 | the first, innermost decoder layer of both branches |
| 3 | the last but one decoder layer |
| 4 | the last decoder layer |
| 5 | the last transposed convolutions, which give spectrogram and waveform |

| y | trained to |
|---|---|
| D | the end: everything after the start |
| M | as D, with those last transposed convolutions frozen |
| 3 | as D, with the last decoder layers frozen |

The encoder outside of the bottleneck is always frozen. A bag trains the same layers in all its networks. Skip
connections lead around every split, so nothing is kept from epoch to epoch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ugosa_server.errors import BadOptionError
from ugosa_server.models.config import Depth, NetworkDefaults

KINDS = ("HTDemucs", "HDemucs")
MAX_LAYERS = 100  # of each sort; the published networks have at most 6
MAX_MEMBERS = 100  # the published bags have at most 4
_LAYER_COUNTS = ("depth", "dconv_depth", "t_layers")

_SEGMENT = re.compile(r"[1-9][0-9]{0,17}(/[1-9][0-9]{0,17})?")
_DECODER_MODULE = re.compile(r"t?decoder\.(\d{1,3})\.\w+\.")
_ENCODER_LAYER = re.compile(r"encoder\.\d+\.")  # with an LSTM it is the bottleneck of HDemucs
_BOTTLENECK = re.compile(r"(crosstransformer|channel_\w+)\.")


@dataclass(frozen=True)
class DemucsMember:
    """One network of a bag."""

    kind: str
    """Class name in demucs, one of KINDS."""
    arguments: Mapping[str, Any]
    """Arguments of its constructor, by name; plain JSON values."""
    segment: str
    """The longest segment that it takes, in seconds, as a fraction such as "39/5"."""
    weights: tuple[float, ...]
    """Its share in every source; the shares of all members are divided by their sum."""
    shapes: Mapping[str, tuple[int, ...]]
    """Name and shape of every parameter, in its own order."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadOptionError(f"there is no demucs network {self.kind!r}, only {', '.join(KINDS)}")
        if not _SEGMENT.fullmatch(self.segment):
            raise BadOptionError(f"a segment is seconds above 0, such as 39/5, not {self.segment[:50]!r}")
        counts = [self.arguments.get(name) for name in _LAYER_COUNTS]
        if any(isinstance(count, int) and count > MAX_LAYERS for count in counts):
            raise BadOptionError(f"a demucs network has at most {MAX_LAYERS} layers of a sort, got {counts}")
        if not any(_DECODER_MODULE.match(name) for name in self.shapes):
            raise BadOptionError("a demucs network has decoder layers, but no tensor here is of one")

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Return the modules that a depth trains."""
        decoder = {m[0]: int(m[1]) for name in self.shapes if (m := _DECODER_MODULE.match(name))}
        last = max(decoder.values())
        # Where the parts of the network stand, counted from the inside out.
        bottleneck, final_conv = -1, last + 1
        places = {
            module: final_conv if layer == last and module.endswith(".conv_tr.") else layer
            for module, layer in decoder.items()
        }
        for name in self.shapes:
            match = _ENCODER_LAYER.match(name) if ".lstm." in name else _BOTTLENECK.match(name)
            if match:
                places[match[0]] = bottleneck
        start = {1: bottleneck, 2: 0, 3: last - 1, 4: last, 5: final_conv}[depth.level]
        end = {"D": final_conv, "M": last, "3": last - 1}[depth.end]
        if depth.level == 3 and start < 1:
            return ()  # the network is so shallow that L3 would be L2
        return tuple(module for module, place in places.items() if start <= place <= end)


@dataclass(frozen=True)
class DemucsConfig(NetworkDefaults):
    """A bag of demucs networks; most bags hold one."""

    sources: tuple[str, ...]
    audio_channels: int
    sample_rate_hz: int
    members: tuple[DemucsMember, ...]
    """The networks; their weighted mean is the result."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.members) <= MAX_MEMBERS:
            raise BadOptionError(f"a bag holds 1 to {MAX_MEMBERS} demucs networks, not {len(self.members)}")
        for member in self.members:
            if len(member.weights) != len(self.sources):
                raise BadOptionError(
                    f"a member weighs {len(member.weights)} sources, but there are {len(self.sources)}"
                )

    @property
    def max_segment_s(self) -> float:
        """The length that a transformer was trained on; infinite with LSTMs, which only memory limits."""
        lengths_s = [float(Fraction(m.segment)) for m in self.members if m.kind == "HTDemucs"]
        return min(lengths_s, default=math.inf)

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Return the modules that a depth trains in all members."""
        return tuple(
            f"members.{i}.{module}"
            for i, member in enumerate(self.members)
            for module in member.trained_prefixes(depth)
        )
