"""Readers of raw samples, and of all that libsndfile decodes. Those for FFmpeg are in `av_readers.py`.

Each yields float32 blocks [n, C] in file order.

| container | found by | decoded by | sample values |
|---|---|---|---|
| raw PCM | | libsndfile | x / 2^15, x / 2^23, or the float itself |
| WAV, AIFF | `iff.py` | libsndfile | the same: 16- and 24-bit integers and float32 come through exactly |
| FLAC | `flac.py` | FFmpeg through PyAV | the same |
| OGG (Vorbis, Opus) | `ogg.py` | libsndfile | as its decoder gives them |
| MP3 | `mpeg.py` | FFmpeg through PyAV | as its decoder gives them |
| M4A (AAC, ALAC) | FFmpeg | FFmpeg through PyAV | as its decoder gives them; 16- and 24-bit ALAC exactly |

Encoders of lossy formats put some frames of delay before the music, and fill the last packet after it. Where
the file says how many (LAME/Xing tag, Vorbis and Opus granule positions, MP4 edit list) they are dropped;
what is left *is* the song, and its length is the song's length. No error of a library is passed on: it speaks
to programmers. All readers raise BadAudioError where a file is damaged or cut short, UnsupportedEncodingError
where its audio is of a kind that is not accepted.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.audio.decoding.parts import PartsFile, SongFile
from ugosa_server.audio.decoding.promise import Container, damaged, require_all
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.audio.frames import BLOCK_FRAMES
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

Block = NDArray[np.float32]
Blocks = Generator[Block, None, None]

PCM_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
OGG_SUBTYPES = frozenset({"VORBIS", "OPUS"})
RAW_SUBTYPES = {PcmEncoding.S16LE: "PCM_16", PcmEncoding.S24LE: "PCM_24", PcmEncoding.F32LE: "FLOAT"}
MIN_RATE_HZ = 8_000
MAX_RATE_HZ = 384_000


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


def open_pcm(song: SongFile, pcm: RawPcm) -> AudioStream:
    """Read raw samples."""
    check_layout(pcm.sample_rate_hz, pcm.channels)
    frame_bytes = pcm.encoding.sample_bytes * pcm.channels
    if song.size_bytes % frame_bytes:
        raise BadAudioError(
            f"the audio has {song.size_bytes} bytes, which is not a whole number of frames: a frame of "
            f"{pcm.channels} channel(s) of {pcm.encoding} takes {frame_bytes} bytes"
        )
    layout = soundfile.SoundFile(
        PartsFile(song, [(0, song.size_bytes)]),
        samplerate=pcm.sample_rate_hz,
        channels=pcm.channels,
        format="RAW",
        subtype=RAW_SUBTYPES[pcm.encoding],
        endian="LITTLE",
    )
    return AudioStream(
        pcm.sample_rate_hz, pcm.channels, f"PCM {pcm.encoding.value}", _sound_blocks(layout, "PCM")
    )


def check_layout(sample_rate_hz: int, channels: int) -> None:
    """Refuse a rate or a number of channels that is not accepted."""
    if channels not in (1, 2):
        raise UnsupportedEncodingError(
            f"the audio has {channels} channels; songs of 1 or 2 are accepted. Send a stereo mix-down"
        )
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        raise UnsupportedEncodingError(
            f"the audio has {sample_rate_hz} frames a second; rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz "
            "are accepted"
        )


def open_sound(parts: PartsFile, container: Container) -> AudioStream:
    """Read a WAV or AIFF whose header is true, or one link of an OGG, with libsndfile."""
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
    encoding = f"{container} {sound.subtype}"
    return AudioStream(sound.samplerate, sound.channels, encoding, _sound_blocks(sound, container))


def _sound_blocks(sound: soundfile.SoundFile, container: str) -> Blocks:
    done = 0
    with sound:
        try:
            while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                done += len(block)
                yield block
        except soundfile.LibsndfileError as error:
            raise damaged(container, done) from error
        require_all(container, sound.frames, done, "frames")


def open_chain(container: Container, links: Iterator[AudioStream]) -> AudioStream:
    """Read the songs of a file one after the other, as a player does."""
    first = next(links)

    def blocks() -> Blocks:
        yield from first.blocks
        for link in links:
            require_same(container, first, link.sample_rate_hz, link.channels)
            yield from link.blocks

    return AudioStream(first.sample_rate_hz, first.channels, first.encoding, blocks())


def require_same(container: Container, stream: AudioStream, rate_hz: int, channels: int) -> None:
    """Check that a file goes on as it began."""
    if (rate_hz, channels) != (stream.sample_rate_hz, stream.channels):
        raise UnsupportedEncodingError(
            f"the {container} changes from {stream.sample_rate_hz} Hz and {stream.channels} channel(s) to "
            f"{rate_hz} Hz and {channels}; export it again at one rate, with one number of channels"
        )
