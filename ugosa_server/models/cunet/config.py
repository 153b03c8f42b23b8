"""Choices of a Conditioned U-Net, and the parameters that each depth trains. Free of torch.

Slizovskaia, Haro and Gomez, "Conditioned Source Separation for Music Instrument Performances" (2021). One
grid holds every network of the paper's Tables 1 to 3 (its Table 4 lists the choices). The input is the mono
mean of a mix at 11,025 Hz, the output one mask per instrument class; the rest of the mix, and all above 5.5
kHz, is the stem `residual`.

The depths of Cantisani et al. (2021) mean, from the inside out:

| x | trained from |
|---|---|
| 1 | the bottleneck convolution, with the FiLM generators and the whole decoder |
| 2 | the whole decoder |
| 3 | the last two blocks of the decoder |
| 4 | the last block of the decoder |
| 5 | the FiLM generators alone; without FiLM the last batch norm |

| y | trained to |
|---|---|
| D | the end |
| M | as D, with the last block frozen |
| 3 | as D, with the last two blocks frozen |

The encoder outside of the bottleneck is always frozen, as is what makes one vector of a player's features
(LSTM, visual head), and batch norms keep their statistics. Skip connections lead around every split, so
nothing is kept from epoch to epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from ugosa_server.errors import BadOptionError
from ugosa_server.marks.players import MAX_FEATURES, MAX_PLAYERS
from ugosa_server.models.config import (
    AdaptationDefaults,
    Depth,
    MaskGrid,
    NetworkDefaults,
    VideoInput,
    check_words,
)

INSTRUMENTS = (
    "bassoon", "cello", "clarinet", "doublebass", "flute", "horn", "oboe", "saxophone", "trombone",
    "trumpet", "tuba", "viola", "violin",
)  # fmt: skip
"""The K = 13 classes of Solos and URMP, in the order of the outputs."""
RESIDUAL = "residual"
"""The stem of the rest of the mix."""

SAMPLE_RATE_HZ = 11025
WINDOW_FRAMES = 256  # T': the network was made for so many STFT frames
WINDOW_SAMPLES = 65535  # which are those of so many samples, centred
GRID = MaskGrid(fft_samples=1022, hop_samples=256)  # paper, section 3.1
LINEAR_BINS = GRID.bins  # F with a linear frequency axis: 512
LOG_BINS = 256  # F with a logarithmic one

PLAYERS = MAX_PLAYERS  # K': slots of the visual context
VISUAL_FEATURES = MAX_FEATURES  # of one frame of one player
MOTION_FEATURES = 1024  # hidden size of the LSTM over N frames

BLOCKS = 6  # of the encoder, and of a decoder

Conditioning = Literal["none", "film-bottleneck", "film-encoder", "film-final", "label-multiply"]


@dataclass(frozen=True)
class ConditionedUNetConfig(NetworkDefaults):
    """One network of the grid; the defaults are row 14 of the paper's Table 2, with ratio masks."""

    instruments: tuple[str, ...] = INSTRUMENTS
    """Names of the classes, in the order of the outputs (K of them)."""
    frequency_scale: Literal["log", "linear"] = "log"
    """Frequency axis of the input: "log" (256 warped bins) or "linear" (512)."""
    value_scale: Literal["db", "log"] = "db"
    """Values of the input: "db" (log1p, then scaled to [-1, 1] in each window) or "log"."""
    decoder: Literal["unet", "mhu-net"] = "unet"
    """"unet" = one decoder with K outputs; "mhu-net" = one decoder per class."""
    mask: Literal["ratio", "binary"] = "ratio"
    """Masks that it was trained on: "ratio" (Eq. 2) or "binary" (Eq. 3)."""
    conditioning: Conditioning = "film-bottleneck"
    """"none", FiLM at "film-bottleneck", "film-encoder" or "film-final", or "label-multiply" (Eq. 11)."""
    context: Literal["labels", "frame", "frames"] = "labels"
    """Conditioned on "labels", one video "frame" per player, or N "frames" through an LSTM."""
    context_frames: int = 1
    """N; 1 unless the context is "frames" (15 and 50 in the paper)."""
    visual_fine_tuning: bool = False
    """True: one more layer on every feature vector, at first the identity, is trained as the head of the
    visual encoder. (The paper's FiLM-bottleneck-ft trains all of the encoder.)"""
    bias: bool = False
    """True: convolutions have a bias."""
    input_noise_std: float = 0.0
    """Standard deviation of normal noise on the input in training; 0: none."""
    dropout: float = 0.2
    """Dropout of the decoder's blocks but the last, in training."""
    encoder_slope: float = 0.2
    """Slope of the encoder's leaky ReLU: 0.2 in the published code, 0 (a ReLU) in the paper."""
    first_channels: int = 16
    """Channels after the first block; they double from block to block."""
    rectified_logits: bool = False
    """True: logits end in a ReLU, as in the authors' checkpoints; a mask is 0 where its logit is."""

    audio_channels: ClassVar[int] = 1  # the mono mean; masks are applied to every channel
    sample_rate_hz: ClassVar[int] = SAMPLE_RATE_HZ
    max_segment_s: ClassVar[float] = WINDOW_SAMPLES / SAMPLE_RATE_HZ  # the window, about 5.94 s
    mask_grid: ClassVar[MaskGrid] = GRID
    adaptation_defaults: ClassVar[AdaptationDefaults] = {"strategy": "B0", "segment_s": max_segment_s}
    """No adaptation, of which no gain has been shown (marks act without); segments of a window."""

    def __post_init__(self) -> None:
        if not self.instruments or len(set(self.instruments)) != len(self.instruments):
            raise BadOptionError(f"a network needs distinct instrument names, got {self.instruments!r}")
        if RESIDUAL in self.instruments:
            raise BadOptionError(f"{RESIDUAL!r} is the stem of the rest of the mix, not an instrument")
        check_words(self)
        if self.conditioning == "label-multiply" and self.context != "labels":
            raise BadOptionError(f"label-multiply takes labels, not a video {self.context}")
        if self.context_frames < 1 or (self.context != "frames" and self.context_frames != 1):
            raise BadOptionError(
                f"context_frames is {self.context_frames}, but must be at least 1, and 1 without frames"
            )
        if self.visual_fine_tuning and not (self.video and self.film_channels):
            raise BadOptionError("visual_fine_tuning needs FiLM on a video context, frame or frames")
        if self.first_channels < 1:
            raise BadOptionError(f"first_channels must be at least 1, got {self.first_channels}")

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the masks, in order: the instruments."""
        return self.instruments

    @property
    def stems(self) -> tuple[str, ...]:
        """The instruments, and the residual."""
        return (*self.instruments, RESIDUAL)

    @property
    def video(self) -> VideoInput | None:
        """One picture of each player a window, or N of them; None with labels or without conditioning."""
        if self.context == "labels" or self.conditioning == "none":
            return None
        pictures = self.context_frames if self.context == "frames" else 1
        return VideoInput(PLAYERS, self.max_segment_s / pictures)

    @property
    def encoder_channels(self) -> tuple[int, ...]:
        """Channels after each block of the encoder; the last is the bottleneck."""
        return tuple(self.first_channels << i for i in range(BLOCKS))

    @property
    def film_channels(self) -> tuple[int, ...]:
        """Channels of each layer that FiLM modulates, in order; none without FiLM."""
        *blocks, bottleneck = self.encoder_channels
        return {
            "film-bottleneck": (bottleneck,),
            "film-encoder": tuple(blocks),
            "film-final": (len(self.instruments),),
        }.get(self.conditioning, ())

    @property
    def context_features(self) -> int:
        """Length of the vector that a FiLM generator takes."""
        if self.context == "frames":  # the LSTM makes one vector of those of a player
            return PLAYERS * MOTION_FEATURES
        return math.prod(self.context_shape)

    @property
    def context_shape(self) -> tuple[int, ...]:
        """Shape of one window's context: labels [K], frame features [K', 2048] or [K', N, 2048]."""
        return {
            "labels": (len(self.instruments),),
            "frame": (PLAYERS, VISUAL_FEATURES),
            "frames": (PLAYERS, self.context_frames, VISUAL_FEATURES),
        }[self.context]

    @property
    def decoder_outputs(self) -> tuple[int, ...]:
        """Number of masks of each decoder."""
        k = len(self.instruments)
        return (k,) if self.decoder == "unet" else (1,) * k

    def decoder_channels(self, outputs: int) -> tuple[tuple[int, int], ...]:
        """Return channels before (skip connection and block before) and after each decoder block."""
        skips = (1, *self.encoder_channels[:-1])[::-1]  # 256, 128 ... 16, and the raw input
        after = (*skips[:-1], outputs)
        before = (self.encoder_channels[-1], *after)
        return tuple((skip + x, y) for skip, x, y in zip(skips, before, after, strict=False))

    def trained_prefixes(self, depth: Depth) -> tuple[str, ...]:
        """Return where the parameters of a depth lie, see above; none where it would train nothing."""
        if depth.level == 5:
            if depth.end != "D":
                return ()
            last_norms = tuple(f"decoders.{d}.{BLOCKS - 1}.norm." for d in range(len(self.decoder_outputs)))
            return ("film.",) if self.film_channels else last_norms
        first = {1: 0, 2: 0, 3: BLOCKS - 2, 4: BLOCKS - 1}[depth.level]
        last = BLOCKS - 1 - {"D": 0, "M": 1, "3": 2}[depth.end]
        prefixes = [
            f"decoders.{d}.{i}." for d in range(len(self.decoder_outputs)) for i in range(first, last + 1)
        ]
        if depth.level == 1:
            prefixes += [f"encoder.{BLOCKS - 1}.", "film."]
        return tuple(prefixes)
