"""Readers of the accepted kinds of audio: each yields float32 blocks [n, C] in file order.

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

import hashlib
import os
import re
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.audio.decoding import ogg
from ugosa_server.audio.decoding.iff import read_aiff, read_wav
from ugosa_server.audio.decoding.mp4 import read_mp4
from ugosa_server.audio.decoding.mpeg import read_mpeg_song
from ugosa_server.audio.decoding.parts import PartsFile
from ugosa_server.audio.decoding.promise import MAX_JUNK_BYTES, damaged, require_all
from ugosa_server.audio.decoding.sniff import Container, Sniffed
from ugosa_server.audio.formats import PcmEncoding, RawPcm
from ugosa_server.audio.frames import BLOCK_FRAMES
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

Block = NDArray[np.float32]
Blocks = Generator[Block, None, None]

PCM_SUBTYPES = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
OGG_SUBTYPES = frozenset({"VORBIS", "OPUS"})
MP4_CODECS = {"aac": "M4A AAC", "alac": "M4A ALAC"}
AV_SCALES = {"s16": 2.0**-15, "s32": 2.0**-31, "flt": 1.0, "dbl": 1.0}  # FFmpeg's sample formats
APPLE_GAPS = re.compile(r"\s*(?:[0-9A-Fa-f]+\s+){3}([0-9A-Fa-f]{1,16})\b")  # four hexadecimal numbers
MAX_FILL_FRAMES = 4096  # of a last packet that an encoder has filled up
STREAMINFO_BYTES = 42  # of a FLAC: its magic, a block header, and the first block


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


def open_song(file: BinaryIO, sniffed: Sniffed) -> AudioStream:
    """Open a file of an accepted kind.

    Raises:
        BadAudioError: the file is damaged or cut short.
        UnsupportedEncodingError: its samples are of a kind that is not accepted.
    """
    start, stop = sniffed.start, sniffed.stop
    match sniffed.container:
        case Container.WAV:
            return _sound_stream(read_wav(file, start, stop), sniffed.container)
        case Container.AIFF:
            return _sound_stream(read_aiff(file, start, stop), sniffed.container)
        case Container.OGG:
            return _chain(ogg.read_songs(file, start, stop))
        case Container.FLAC:
            return _flac_stream(file, start, stop)
        case Container.MP3:
            return _mp3_stream(file, start, stop)
        case Container.MP4:
            return _mp4_stream(file, start, stop)


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


def _sound_stream(parts: PartsFile, container: Container) -> AudioStream:
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


def _chain(songs: Iterator[PartsFile]) -> AudioStream:
    """Read the links of an OGG one after the other, as a player does."""
    first = _sound_stream(next(songs), Container.OGG)

    def blocks() -> Blocks:
        yield from first.blocks
        for song in songs:
            link = _sound_stream(song, Container.OGG)
            _require_same(Container.OGG, first, link.sample_rate_hz, link.channels)
            yield from link.blocks

    return AudioStream(first.sample_rate_hz, first.channels, first.encoding, blocks())


def _require_same(container: Container, stream: AudioStream, rate_hz: int, channels: int) -> None:
    if (rate_hz, channels) != (stream.sample_rate_hz, stream.channels):
        raise UnsupportedEncodingError(
            f"the {container} changes from {stream.sample_rate_hz} Hz and {stream.channels} channel(s) to "
            f"{rate_hz} Hz and {channels}; export it again at one rate, with one number of channels"
        )


def _mp3_stream(file: BinaryIO, start: int, stop: int) -> AudioStream:
    """Decode the MPEG frames that hold music, and drop what the encoder has put around the song."""
    song = read_mpeg_song(file, start, stop)
    codec = cast("av.AudioCodecContext", av.CodecContext.create("mp3float", "r"))

    def packets() -> Iterator[av.Packet[Any] | None]:
        for first, last in song.spans:
            file.seek(first)
            yield av.Packet(file.read(last - first))
        yield None

    def decoded() -> Blocks:
        done = 0
        try:
            for packet in packets():
                for frame in codec.decode(packet):
                    _require_same(Container.MP3, stream, frame.sample_rate, frame.layout.nb_channels)
                    done += frame.samples
                    yield _av_samples(frame)
        except av.FFmpegError as error:
            raise damaged(Container.MP3, max(0, done - song.start_frame)) from error
        require_all(Container.MP3, song.stop_frame, done, "frames")

    blocks = _between(decoded(), song.start_frame, song.stop_frame)
    stream = AudioStream(song.sample_rate_hz, song.channels, "MP3", blocks)
    return stream


def _mp4_stream(file: BinaryIO, start: int, stop: int) -> AudioStream:
    """Read the first audio track of an M4A."""
    song = read_mp4(file, start, stop)
    container = _open_av(PartsFile(file, [(start, stop)]), Container.MP4, "mp4")
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
    frames = None if song.seconds is None else round(song.seconds * rate_hz)
    apple = re.match(
        r"\s*(?:[0-9A-Fa-f]+\s+){3}([0-9A-Fa-f]{1,16})\b", container.metadata.get("iTunSMPB", "")
    )
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
                        _require_same(Container.MP4, stream, frame.sample_rate, frame.layout.nb_channels)
                        done += frame.samples
                        yield _av_samples(frame)
            except av.FFmpegError as error:
                raise damaged(Container.MP4, done) from error
        require_all(Container.MP4, promised, packets, "packets of audio")

    blocks = decoded() if frames is None else _without_fill(decoded(), frames)
    stream = AudioStream(rate_hz, context.channels, MP4_CODECS[context.name], blocks)
    return stream


def _flac_stream(file: BinaryIO, start: int, stop: int) -> AudioStream:
    """Read a FLAC, all its frames, whatever it counts; checked by the digest in its header."""
    file.seek(start)
    head = file.read(min(STREAMINFO_BYTES, stop - start))
    if len(head) < STREAMINFO_BYTES or head[4] & 0x7F != 0:
        raise BadAudioError("the FLAC file is damaged: its header cannot be read; export or copy it again")
    bits = (int.from_bytes(head[20:22], "big") >> 4 & 0x1F) + 1
    promised = int.from_bytes(head[21:26], "big") & (1 << 36) - 1  # 0 = unknown
    digest = head[26:42]
    container = _open_av(PartsFile(file, [(start, stop)]), Container.FLAC, "flac")
    if not container.streams.audio or container.streams.audio[0].codec_context is None:
        raise BadAudioError("the FLAC file is damaged: its header cannot be read; export or copy it again")
    track = container.streams.audio[0]
    track.codec_context.options = {"err_detect": "crccheck+explode"}
    check = hashlib.md5(usedforsecurity=False)

    def is_junk(position: int | None) -> bool:
        """Whether few bytes are left after all that was promised, and no other song begins among them."""
        rest = stop - start - (position or 0)
        if position is None or rest > MAX_JUNK_BYTES:
            return False
        file.seek(start + position)
        return head[:4] not in file.read(rest)

    def decoded() -> Blocks:
        done = 0
        is_proven = not any(digest)  # nothing to prove it by
        with container:
            for packet in container.demux(track):
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    require_all(Container.FLAC, promised, done, "frames")
                    if not promised or not is_junk(packet.pos):
                        raise damaged(Container.FLAC, done) from error
                    break
                for frame in frames:
                    _require_same(Container.FLAC, stream, frame.sample_rate, frame.layout.nb_channels)
                    done += frame.samples
                    if not is_proven:
                        check.update(_flac_bytes(frame, bits))
                        is_proven = done == promised and check.digest() == digest
                    yield _av_samples(frame)
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


def _open_av(parts: PartsFile, container: Container, demuxer: str) -> av.container.InputContainer:
    try:
        # A file object and a fixed format: FFmpeg opens nothing else, whatever the bytes say.
        return av.open(parts, "r", format=demuxer)
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


def _av_samples(frame: av.AudioFrame) -> Block:
    kind = frame.format.name.removesuffix("p")
    if kind not in AV_SCALES:
        raise UnsupportedEncodingError(f"audio that decodes to {frame.format.name} samples is not accepted")
    samples = frame.to_ndarray()  # planar [C, n], packed [1, n * C]
    block = samples.T if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels)
    if samples.dtype.kind == "i":
        return (block * np.float64(AV_SCALES[kind])).astype(np.float32)
    return np.ascontiguousarray(block, dtype=np.float32)
