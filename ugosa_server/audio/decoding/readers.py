"""Readers of the accepted kinds of audio: each yields float32 blocks [n, C] in file order.

| container | library | sample values |
|---|---|---|
| raw PCM | numpy | x / 2^15, x / 2^23, or the float itself |
| WAV, AIFF, FLAC | libsndfile | the same: 16- and 24-bit integers and float32 come through exactly |
| OGG (Vorbis, Opus) | libsndfile | as its decoder gives them |
| MP3, M4A (AAC, ALAC) | FFmpeg through PyAV | as its decoder gives them; 16- and 24-bit ALAC exactly |

(libsndfile reads MP3 too, but `soundfile` seeks after every block, and an MP3 decoder that was just moved
gives two thousand wrong frames.)

Encoders of lossy formats put some frames of delay before the music. Where the file says how many (LAME/Xing
tag, Vorbis and Opus granule positions, MP4 edit list) the decoder drops them; what it yields then *is* the
song, and its length is the song's length.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.audio.decoding.sniff import Container, says_its_length
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

BLOCK_FRAMES = 65_536
PCM_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
OGG_SUBTYPES = frozenset({"VORBIS", "OPUS"})
AV_FORMATS = {Container.MP3: "mp3", Container.MP4: "mp4"}  # FFmpeg's demuxers
AV_CODECS = {Container.MP3: {"mp3float": "MP3"}, Container.MP4: {"aac": "M4A AAC", "alac": "M4A ALAC"}}
AV_SCALES = {"s16": 2.0**-15, "s32": 2.0**-31, "flt": 1.0, "dbl": 1.0}  # FFmpeg's sample formats
MP3_SLACK_S = 0.1  # a tag may count its own frame and the padding


@dataclass(frozen=True)
class AudioStream:
    """A file that is being decoded."""

    sample_rate_hz: int
    """Frames a second, as the file says."""
    channels: int
    """As the file says; not yet checked."""
    encoding: str
    """Container and sample format, for example "WAV PCM_24"."""
    blocks: Iterator[NDArray[np.float32]]
    """The samples, [n, C] a block. Raises BadAudioError where the file is damaged."""


@contextmanager
def open_pcm(file: BinaryIO, pcm: RawPcm) -> Iterator[AudioStream]:
    """Read raw samples."""
    frame_bytes = pcm.encoding.sample_bytes * pcm.channels
    size_bytes = os.fstat(file.fileno()).st_size
    if pcm.channels > 0 and size_bytes % frame_bytes:
        raise BadAudioError(
            f"the audio has {size_bytes} bytes, which is not a whole number of frames: a frame of "
            f"{pcm.channels} "
            f"channel(s) of {pcm.encoding} takes {frame_bytes} bytes"
        )

    def blocks() -> Iterator[NDArray[np.float32]]:
        file.seek(0)
        while data := file.read(BLOCK_FRAMES * frame_bytes):
            yield _pcm_samples(data, pcm.encoding).reshape(-1, pcm.channels)

    yield AudioStream(pcm.sample_rate_hz, pcm.channels, f"PCM {pcm.encoding.value}", blocks())


def _pcm_samples(data: bytes, encoding: PcmEncoding) -> NDArray[np.float32]:
    if encoding is PcmEncoding.F32LE:
        return np.frombuffer(data, "<f4")
    if encoding is PcmEncoding.S16LE:
        return np.frombuffer(data, "<i2").astype(np.float32) * np.float32(2.0**-15)
    padded = np.zeros((len(data) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)  # upper three bytes: keeps the sign
    return (padded.view("<i4")[:, 0] >> 8).astype(np.float32) * np.float32(2.0**-23)


@contextmanager
def open_with_soundfile(file: BinaryIO, container: Container) -> Iterator[AudioStream]:
    """Read WAV, AIFF, FLAC or OGG."""
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        raise BadAudioError(f"the {container} file is damaged: {error.error_string}") from error
    with sound:
        accepted = OGG_SUBTYPES if container is Container.OGG else PCM_SUBTYPES
        if sound.subtype not in accepted:
            raise UnsupportedEncodingError(
                f"{container} with {sound.subtype} samples is not accepted; export it with one of "
                f"{', '.join(sorted(accepted))}"
            )

        def blocks() -> Iterator[NDArray[np.float32]]:
            done = 0
            try:
                while len(block := sound.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                    done += len(block)
                    yield block
            except soundfile.LibsndfileError as error:
                raise BadAudioError(
                    f"the {container} file is damaged or cut short after frame {done}, of {sound.frames} "
                    f"that its header promises ({error.error_string})"
                ) from error
            if done < sound.frames:
                raise BadAudioError(
                    f"the {container} file is cut short: its header promises {sound.frames} frames, but "
                    f"{done} are there; export or copy it again"
                )

        yield AudioStream(sound.samplerate, sound.channels, f"{container} {sound.subtype}", blocks())


@contextmanager
def open_with_av(file: BinaryIO, container: Container) -> Iterator[AudioStream]:
    """Read MP3, or the first audio track of an M4A."""
    counts_frames = says_its_length(file) if container is Container.MP3 else False
    file.seek(0)
    try:
        # A file object and a fixed format: FFmpeg opens nothing else, whatever the bytes say.
        opened = av.open(file, "r", format=AV_FORMATS[container])
    except (av.error.FFmpegError, ValueError) as error:
        raise BadAudioError(f"the {container} file is damaged or cut short: {error}") from error
    with opened:
        if not opened.streams.audio:
            raise BadAudioError(f"the {container} file has no audio track")
        track = opened.streams.audio[0]
        if track.codec_context is None:
            raise UnsupportedEncodingError(
                f"the {container} file has audio of a kind that FFmpeg does not know"
            )
        codec = track.codec_context.name
        if codec not in AV_CODECS[container]:
            raise UnsupportedEncodingError(
                f"{container} with {codec} audio is not accepted; export it as one of "
                f"{', '.join(AV_CODECS[container].values())}"
            )
        yield AudioStream(
            track.codec_context.sample_rate,
            track.codec_context.channels,
            AV_CODECS[container][codec],
            _av_blocks(opened, track, container, counts_frames),
        )


def _av_blocks(
    opened: av.container.InputContainer, track: av.AudioStream, container: Container, counts_frames: bool
) -> Iterator[NDArray[np.float32]]:
    layout = (track.codec_context.sample_rate, track.codec_context.channels)
    packets = frames = 0
    try:
        for packet in opened.demux(track):
            packets += packet.size > 0
            for frame in packet.decode():
                if (frame.sample_rate, frame.layout.nb_channels) != layout:
                    raise UnsupportedEncodingError(
                        f"the {container} changes from {layout[0]} Hz and {layout[1]} channel(s) to "
                        f"{frame.sample_rate} Hz and {frame.layout.nb_channels}; export it again"
                    )
                frames += frame.samples
                yield _av_samples(frame)
    except av.error.FFmpegError as error:
        raise BadAudioError(f"the {container} file is damaged after frame {frames}: {error}") from error
    if packets < track.frames:  # an M4A's table of packets; 0 where there is none
        raise BadAudioError(
            f"the {container} file is cut short: it promises {track.frames} packets of audio, but {packets} "
            "are there; export or copy it again"
        )
    promised_s = 0.0
    if counts_frames and track.duration and track.time_base:
        promised_s = float(track.duration * track.time_base)
    if frames / layout[0] + MP3_SLACK_S < promised_s:
        raise BadAudioError(
            f"the {container} file is cut short: its header promises {promised_s:.2f} s, but "
            f"{frames / layout[0]:.2f} s are there; export or copy it again"
        )


def _av_samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    kind = frame.format.name.removesuffix("p")
    if kind not in AV_SCALES:
        raise UnsupportedEncodingError(f"audio that decodes to {frame.format.name} samples is not accepted")
    samples = frame.to_ndarray()  # planar [C, n], packed [1, n * C]
    block = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "i":
        return (block * np.float64(AV_SCALES[kind])).astype(np.float32)
    return np.ascontiguousarray(block, dtype=np.float32)
