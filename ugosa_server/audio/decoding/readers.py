"""Readers of raw samples, and of all that libsndfile decodes. Those for FFmpeg are in `av_readers.py`.

Each yields float32 blocks [n, C] in file order.

| container | found by | decoded by | sample values |
|---|---|---|---|
| raw PCM | | numpy | x / 2^15, x / 2^23, or the float itself |
| WAV, AIFF | `iff.py` | libsndfile | the same: 16- and 24-bit integers and float32 come through exactly |
| FLAC | FFmpeg | FFmpeg through PyAV | the same |
| OGG (Vorbis, Opus) | `ogg.py` | libsndfile | as its decoder gives them |
| MP3 | `mpeg.py` | FFmpeg through PyAV | as its decoder gives them |
| M4A (AAC, ALAC) | FFmpeg | FFmpeg through PyAV | as its decoder gives them; 16- and 24-bit ALAC exactly |

Encoders of lossy formats put some frames of delay before the music, and fill the last packet after it. Where
the file says how many (LAME/Xing tag, Vorbis and Opus granule positions, MP4 edit list) they are dropped;
what is left *is* the song, and its length is the song's length. No error of a library is passed on: it speaks
to programmers.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.audio.decoding.parts import PartsFile
from ugosa_server.audio.decoding.promise import damaged, require_all
from ugosa_server.audio.decoding.sniff import Container
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.audio.frames import BLOCK_FRAMES
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

Block = NDArray[np.float32]
Blocks = Generator[Block, None, None]

PCM_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
OGG_SUBTYPES = frozenset({"VORBIS", "OPUS"})


@dataclass(frozen=True)
class AudioStream:
    """A file that is being decoded."""

    sample_rate_hz: int
    """Frames a second, as the file says."""
    channels: int
    """As the file says; not yet checked."""
    encoding: str
    """Container and sample format, for example "WAV PCM_24"."""
    blocks: Blocks
    """The samples, [n, C] a block. Raises BadAudioError where the file is damaged."""


def open_pcm(file: BinaryIO, pcm: RawPcm) -> AudioStream:
    """Read raw samples.

    Raises:
        BadAudioError: the bytes are no whole number of frames.
    """
    frame_bytes = pcm.encoding.sample_bytes * pcm.channels
    size_bytes = os.fstat(file.fileno()).st_size
    if pcm.channels > 0 and size_bytes % frame_bytes:
        raise BadAudioError(
            f"the audio has {size_bytes} bytes, which is not a whole number of frames: a frame of "
            f"{pcm.channels} channel(s) of {pcm.encoding} takes {frame_bytes} bytes"
        )

    def blocks() -> Blocks:
        file.seek(0)
        while data := file.read(BLOCK_FRAMES * frame_bytes):
            yield _pcm_samples(data, pcm.encoding).reshape(-1, pcm.channels)

    return AudioStream(pcm.sample_rate_hz, pcm.channels, f"PCM {pcm.encoding.value}", blocks())


def _pcm_samples(data: bytes, encoding: PcmEncoding) -> Block:
    if encoding is PcmEncoding.F32LE:
        return np.frombuffer(data, "<f4")
    if encoding is PcmEncoding.S16LE:
        return np.frombuffer(data, "<i2").astype(np.float32) * np.float32(2.0**-15)
    padded = np.zeros((len(data) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)  # upper three bytes: keeps the sign
    return (padded.view("<i4")[:, 0] >> 8).astype(np.float32) * np.float32(2.0**-23)


def open_sound(parts: PartsFile, container: Container) -> AudioStream:
    """Read a WAV or AIFF whose header is true, or one link of an OGG, with libsndfile.

    Raises:
        BadAudioError: its header cannot be read.
        UnsupportedEncodingError: its samples are of a kind that is not accepted.
    """
    try:
        sound = soundfile.SoundFile(parts)
    except soundfile.LibsndfileError as error:
        raise BadAudioError(
            f"the {container} file is damaged: its header cannot be read; export or copy it again"
        ) from error
    accepted = OGG_SUBTYPES if container is Container.OGG else PCM_SUBTYPES
    if sound.subtype not in accepted:
        raise UnsupportedEncodingError(
            f"{container} with {sound.subtype} samples is not accepted; export it with one of "
            f"{', '.join(sorted(accepted))}"
        )

    def blocks() -> Blocks:
        done = 0
        with sound:
            try:
                while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                    done += len(block)
                    yield block
            except soundfile.LibsndfileError as error:
                raise damaged(container, done) from error
            require_all(container, sound.frames, done, "frames")

    return AudioStream(sound.samplerate, sound.channels, f"{container} {sound.subtype}", blocks())


def open_chain(songs: Iterator[PartsFile]) -> AudioStream:
    """Read the links of an OGG one after the other, as a player does.

    Raises:
        BadAudioError, UnsupportedEncodingError: as of `open_sound`, for the first link.
    """
    first = open_sound(next(songs), Container.OGG)

    def blocks() -> Blocks:
        yield from first.blocks
        for song in songs:
            link = open_sound(song, Container.OGG)
            require_same(Container.OGG, first, link.sample_rate_hz, link.channels)
            yield from link.blocks

    return AudioStream(first.sample_rate_hz, first.channels, first.encoding, blocks())


def require_same(container: Container, stream: AudioStream, rate_hz: int, channels: int) -> None:
    """Check that a file goes on as it began.

    Raises:
        UnsupportedEncodingError: the rate or the number of channels changes.
    """
    if (rate_hz, channels) != (stream.sample_rate_hz, stream.channels):
        raise UnsupportedEncodingError(
            f"the {container} changes from {stream.sample_rate_hz} Hz and {stream.channels} channel(s) to "
            f"{rate_hz} Hz and {channels}; export it again at one rate, with one number of channels"
        )
