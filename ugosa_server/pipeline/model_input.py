"""Input of the network made of the song, and its estimates back at the song's rate.

The input has the network's rate and channel count, and is normalised by the mean and the standard deviation
of the mono mean (Defossez et al. 2019). That is internal: estimates are brought back to the source's rate,
channels and exact length.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio import SourceAudio
from ugosa_server.audio.frames import BLOCK_FRAMES, SAMPLE_BYTES, SourceFrames
from ugosa_server.audio.resample import resample_blocks, resampled_frames
from ugosa_server.errors import UploadDamagedError
from ugosa_server.models import NetworkConfig

SILENT_STD = 1e-8  # a song with less is not scaled up


@dataclass(frozen=True)
class ModelMix:
    """The normalised song on disk, at the network's rate and channel count."""

    frames: SourceFrames
    """The file, open: [T, C]."""
    mean: float
    """Mean of the mono mean before normalisation."""
    std: float
    """Its standard deviation; 1 for a silent song."""
    source_sha256: str
    """Hex, of the song's bytes at its own rate."""


def model_frames(source: SourceAudio, config: NetworkConfig) -> int:
    """Length of the song at the network's rate; at least one frame."""
    return max(1, resampled_frames(source.frames, source.sample_rate_hz, config.sample_rate_hz))


def song_blocks(source: SourceAudio) -> int:
    """Number of blocks in which the song, or a stem of it, is read."""
    return math.ceil(source.frames / BLOCK_FRAMES)


def write_model_mix(
    source: SourceAudio, frames: SourceFrames, path: Path, config: NetworkConfig
) -> Generator[int, None, ModelMix]:
    """Write the input of the network, yielding the number of source blocks done.

    Raises:
        UploadDamagedError: the song's bytes are no longer those that were decoded.
    """
    digest = hashlib.sha256()
    n_model_frames = model_frames(source, config)
    blocks_done = 0
    total = total_of_squares = 0.0

    def source_blocks() -> Iterator[NDArray[np.float32]]:
        nonlocal blocks_done
        for block in frames.blocks():
            digest.update(block.tobytes())
            blocks_done += 1
            yield with_channels(block.T, config.audio_channels).T

    with path.open("wb") as file:
        for block in resample_blocks(
            source_blocks(), source.sample_rate_hz, config.sample_rate_hz, n_model_frames
        ):
            mono = block.mean(axis=1, dtype=np.float64)
            total += float(mono.sum())
            total_of_squares += float(np.square(mono).sum())
            file.write(block.astype("<f4").tobytes())
            yield blocks_done
    if source.sha256 not in ("", digest.hexdigest()):
        raise UploadDamagedError("the song on the server's disk has changed since it was sent; send it again")
    mean = total / n_model_frames
    std = math.sqrt(max(0.0, total_of_squares / n_model_frames - mean**2))
    if std < SILENT_STD:
        std = 1.0
    _normalise_file(path, mean, std)
    audio = SourceAudio(
        str(path), config.sample_rate_hz, config.audio_channels, n_model_frames, "work file", source.peak
    )
    return ModelMix(SourceFrames(audio), mean, std, digest.hexdigest())


def estimates_at_source(
    estimates: Iterator[NDArray[np.float32]], mix: ModelMix, source: SourceAudio
) -> Iterator[NDArray[np.float32]]:
    """Bring blocks [S, C, n] back to the source's scale, rate, channels and length.

    The mean that normalisation took away is shared out among the stems, so that it comes back once in their
    sum.
    """
    n_sources = 0

    def frames_of_all_stems() -> Iterator[NDArray[np.float32]]:
        nonlocal n_sources
        for segment in estimates:
            n_sources = len(segment)
            for start in range(0, segment.shape[-1], BLOCK_FRAMES):  # what follows makes many copies
                block = segment[..., start : start + BLOCK_FRAMES]
                restored = with_channels(block, source.channels) * np.float32(mix.std)
                restored += np.float32(mix.mean / n_sources)
                yield restored.reshape(-1, restored.shape[-1]).T  # [n, S * C]

    for block in resample_blocks(
        frames_of_all_stems(), mix.frames.source.sample_rate_hz, source.sample_rate_hz, source.frames
    ):
        yield block.T.reshape(n_sources, source.channels, -1)  # [S, C, n]


def with_channels(audio: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Repeat mono, or average stereo: [..., C, n] -> [..., channels, n]."""
    if audio.shape[-2] == channels:
        return audio
    mono = audio.mean(axis=-2, keepdims=True)
    return np.repeat(mono, channels, axis=-2)


def _normalise_file(path: Path, mean: float, std: float) -> None:
    """Normalise raw float32 samples in place."""
    block_bytes = BLOCK_FRAMES * SAMPLE_BYTES
    with path.open("r+b") as file:
        position = 0
        while raw := file.read(block_bytes):
            samples = (np.frombuffer(raw, dtype="<f4") - np.float32(mean)) / np.float32(std)
            file.seek(position)
            file.write(samples.tobytes())
            position += len(raw)
