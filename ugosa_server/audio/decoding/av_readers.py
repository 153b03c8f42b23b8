"""Readers of MP3, M4A and FLAC, which FFmpeg decodes through PyAV; see `readers.py`."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.decoding.mp4 import seconds_of_mp4
from ugosa_server.audio.decoding.mpeg import read_mpeg_song
from ugosa_server.audio.decoding.parts import PartsFile, SongFile
from ugosa_server.audio.decoding.promise import Container, damaged, require_all
from ugosa_server.audio.decoding.readers import AudioStream, Block, Blocks, require_same
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

MP4_CODECS = {"aac": "M4A AAC", "alac": "M4A ALAC"}
AV_SCALES = {"s16": 2.0**-15, "s32": 2.0**-31, "flt": 1.0, "dbl": 1.0}  # FFmpeg's sample formats
APPLE_GAPS = re.compile(r"\s*(?:[0-9A-Fa-f]+\s+){3}([0-9A-Fa-f]{1,16})\b")  # four hexadecimal numbers
MAX_FILL_FRAMES = 4096  # of a last packet that an encoder has filled up
STREAMINFO_BYTES = 34  # of the first block of a FLAC (RFC 9639, section 8.2)


def open_mp3(file: SongFile, start: int) -> AudioStream:
    """Decode the MPEG frames of an MP3 that hold music, and drop the encoder's delay and padding."""
    song = read_mpeg_song(file, start)
    codec = cast("av.AudioCodecContext", av.CodecContext.create("mp3float", "r"))

    def packets() -> Iterator[av.Packet[Any] | None]:
        for first, last in song.spans:
            yield av.Packet(file.read(first, last - first))
        yield None

    def decoded() -> Blocks:
        done = 0
        try:
            for packet in packets():
                for frame in codec.decode(packet):
                    done += frame.samples
                    yield _av_samples(frame, Container.MP3, stream)
        except av.FFmpegError as error:
            raise damaged(Container.MP3, max(0, done - song.start_frame)) from error
        require_all(Container.MP3, song.stop_frame, done, "frames")

    blocks = _between(decoded(), song.start_frame, song.stop_frame)
    stream = AudioStream(song.first.sample_rate_hz, song.first.channels, "MP3", blocks)
    return stream


def open_mp4(file: SongFile, start: int) -> AudioStream:
    """Read the first audio track of an M4A."""
    seconds = seconds_of_mp4(file, start)
    container = _open_av(PartsFile(file, [(start, file.size_bytes)]), Container.MP4, "mp4")
    if not container.streams.audio:
        raise BadAudioError("the M4A file has no audio track; send one that has")
    track = container.streams.audio[0]
    context = track.codec_context
    if context is None:
        raise UnsupportedEncodingError(
            "the M4A file has audio of a kind that is not known here; export it as AAC or ALAC"
        )
    if context.name not in MP4_CODECS:
        raise UnsupportedEncodingError(
            f"M4A with {context.codec.long_name} audio is not accepted; export it as one of "
            f"{', '.join(MP4_CODECS.values())}"
        )
    rate_hz = context.sample_rate
    frames = None if seconds is None else round(seconds * rate_hz)
    apple = APPLE_GAPS.match(container.metadata.get("iTunSMPB", ""))
    if apple is not None:
        frames = int(apple[1], 16) or frames
    promised = track.frames  # packets in the track's table; 0 where there is none

    def decoded() -> Blocks:
        done = packets = 0
        with container:
            try:
                for packet in container.demux(track):
                    packets += packet.size > 0
                    if packet.is_corrupt:
                        require_all(Container.MP4, promised, packets - 1, "packets of audio")
                        raise damaged(Container.MP4, done)
                    for frame in packet.decode():
                        done += frame.samples
                        yield _av_samples(frame, Container.MP4, stream)
            except av.FFmpegError as error:
                raise damaged(Container.MP4, done) from error
        require_all(Container.MP4, promised, packets, "packets of audio")

    blocks = decoded() if frames is None else _without_fill(decoded(), frames)
    stream = AudioStream(rate_hz, context.channels, MP4_CODECS[context.name], blocks)
    return stream


def open_flac(file: PartsFile) -> AudioStream:
    """Read all frames of a FLAC, whatever it counts, and prove them by the digest in its header."""
    container = _open_av(file, Container.FLAC, "flac")
    track = container.streams.audio[0] if container.streams.audio else None
    header = b"" if track is None or track.codec_context is None else track.codec_context.extradata or b""
    if track is None or len(header) < STREAMINFO_BYTES:
        raise BadAudioError("the FLAC file is damaged: its header cannot be read; export or copy it again")
    bits = (int.from_bytes(header[12:14], "big") >> 4 & 0x1F) + 1
    promised = int.from_bytes(header[13:18], "big") & (1 << 36) - 1  # 0 = unknown
    digest = header[18:34]
    track.codec_context.options = {"err_detect": "crccheck+explode"}
    check = hashlib.md5(usedforsecurity=False)

    def decoded() -> Blocks:
        done = 0
        is_proven = not any(digest)  # nothing to prove it by
        with container:
            for packet in container.demux(track):
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    require_all(Container.FLAC, promised, done, "frames")
                    if not promised:
                        raise damaged(Container.FLAC, done) from error
                    break  # all that was promised is there
                for frame in frames:
                    done += frame.samples
                    if not is_proven:
                        check.update(_flac_bytes(frame, bits))
                        is_proven = done == promised and check.digest() == digest
                    yield _av_samples(frame, Container.FLAC, stream)
        require_all(Container.FLAC, promised, done, "frames")
        if not is_proven and check.digest() != digest:
            raise BadAudioError(
                f"the FLAC file is damaged: its {done} frames are not those whose checksum is in its header; "
                "export or copy it again"
            )

    rate_hz, channels = track.codec_context.sample_rate, track.codec_context.channels
    stream = AudioStream(rate_hz, channels, f"FLAC PCM_{'S' if bits == 8 else ''}{bits}", decoded())
    return stream


def _flac_bytes(frame: av.AudioFrame, bits: int) -> bytes:
    """Samples as FLAC's digest takes them: little-endian, in whole bytes, channels interleaved."""
    samples = cast("NDArray[np.int32]", frame.to_ndarray())
    if frame.format.is_planar:
        samples = np.ascontiguousarray(samples.T)
    width = samples.dtype.itemsize
    whole = (samples >> (8 * width - bits)).reshape(-1, 1).astype(f"<i{width}")
    return whole.view(np.uint8)[:, : -(-bits // 8)].tobytes()


def _open_av(file: PartsFile, container: Container, demuxer: str) -> av.container.InputContainer:
    try:
        # A file object and a fixed format: FFmpeg opens nothing else, whatever the bytes say.
        return av.open(file, "r", format=demuxer)
    except (av.FFmpegError, ValueError) as error:
        raise BadAudioError(
            f"the {container} file is damaged or cut short: its header cannot be read; export or copy it "
            "again"
        ) from error


def _between(blocks: Blocks, start: int, stop: int) -> Blocks:
    """Yield the frames [start, stop) of a stream, and read it to its end."""
    position = 0
    for block in blocks:
        first, last = max(0, start - position), max(0, stop - position)
        position += len(block)
        if len(part := block[first:last]):
            yield part


def _without_fill(blocks: Blocks, frames: int) -> Blocks:
    """Yield a stream without what exceeds `frames` by no more than a packet; a longer excess is song."""
    position = 0
    fill: list[Block] = []
    for block in blocks:
        song = max(0, frames - position)
        position += len(block)
        if len(block[:song]):
            yield block[:song]
        fill.append(block[song:])
        if position > frames + MAX_FILL_FRAMES:
            yield from fill
            fill, frames = [], sys.maxsize


def _av_samples(frame: av.AudioFrame, container: Container, stream: AudioStream) -> Block:
    require_same(container, stream, frame.sample_rate, frame.layout.nb_channels)
    kind = frame.format.name.removesuffix("p")
    if kind not in AV_SCALES:
        raise UnsupportedEncodingError(f"audio that decodes to {frame.format.name} samples is not accepted")
    samples = frame.to_ndarray()  # planar [C, n], packed [1, n * C]
    block = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "i":
        return (block * np.float64(AV_SCALES[kind])).astype(np.float32)
    return np.ascontiguousarray(block, dtype=np.float32)
