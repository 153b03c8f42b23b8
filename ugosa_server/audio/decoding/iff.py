"""WAV and AIFF: chunks, the samples among them, and a header that says of them what is true.

A mended header goes before the samples as they are, and libsndfile reads both. So it never meets the sizes of
the file: chunks without their pad byte, counts of recorders that crashed, streamed, or passed 4 GiB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from ugosa_server.audio.decoding.parts import PartsFile, SongFile, Span
from ugosa_server.audio.decoding.promise import (
    MAX_JUNK_BYTES,
    Container,
    is_open_end,
    refuse_surplus,
    require_all,
)
from ugosa_server.audio.decoding.tags import after_tag, before_last_tags
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

MAX_CHUNKS = 10_000  # a header with more chunks than this is not audio
MAX_HEADER_BYTES = 65_536  # of a chunk that is read whole
RIFF_SIZES = 2**32  # sizes of more wrap around in programs that know no RF64
UNKNOWN_BYTES = RIFF_SIZES - 1
ARECORD_BYTES = 2**31  # what it writes into a pipe; a song of just that size may be a copy that was cut short
HEADER_ROOM_BYTES = 4096
SAMPLES = "bytes of samples"
TEXT = frozenset((*b"\t\n\r", *range(0x20, 0x7F)))
PLAIN_TAGS = (1, 3)  # of WAV's formats: integers, floats
EXTENSIBLE_TAG = 0xFFFE
OTHER_TAGS = {
    0x02: "MS_ADPCM",
    0x06: "ALAW",
    0x07: "ULAW",
    0x11: "IMA_ADPCM",
    0x31: "GSM610",
    0x50: "MPEG",
    0x55: "MP3",
    0xFF: "AAC",
    0x161: "WMA",
    0x2000: "AC-3",
}
PLAIN_TYPES = (b"NONE", b"twos", b"sowt", b"raw ", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")
# Chunks that begin audio: what follows the samples of one file may be another.
AUDIO_CHUNKS = (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM", b"fmt ", b"data", b"COMM", b"SSND")
OTHER_CHUNKS = (
    b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"inst", b"JUNK", b"junk", b"FLLR", b"PAD ",
)  # fmt: skip


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    start: int
    size: int
    """Bytes of the body, as its header says."""


@dataclass(frozen=True)
class _Kind:
    """The differences between WAV and AIFF."""

    container: Container
    order: Literal["little", "big"]
    samples: bytes
    """Name of the chunk with samples."""
    wanted: tuple[bytes, ...]
    """Names of the chunks that a decoder needs beside them."""


def read_wav(song: SongFile, start: int) -> PartsFile:
    """Return a WAV whose header is true, with all samples of a RIFF, RIFX, RF64 or BW64 file."""
    riff = song.read(start, 8)
    is_big_endian, riff_size = riff[:4] == b"RIFX", int.from_bytes(riff[4:], "little")
    kind = _Kind(Container.WAV, "big" if is_big_endian else "little", b"data", (b"fmt ", b"fact", b"ds64"))
    body, data = _find_chunks(song, start, kind)
    promised = data.size
    if promised == UNKNOWN_BYTES and len(body.get(b"ds64", b"")) >= 16:
        promised = int.from_bytes(body[b"ds64"][8:16], "little")  # 64-bit sizes: RIFF, data (EBU Tech 3306)
    if promised == ARECORD_BYTES and riff_size == promised + data.start - start - 8:
        promised = UNKNOWN_BYTES
    fmt = body[b"fmt "]
    tag = int.from_bytes(fmt[:2], kind.order)
    if tag == EXTENSIBLE_TAG:
        tag = int.from_bytes(fmt[24:26], kind.order)
    if tag not in PLAIN_TAGS:
        raise _unsupported(kind, OTHER_TAGS.get(tag, f"0x{tag:04x}"))
    frame_bytes = max(1, int.from_bytes(fmt[12:14], kind.order))
    samples = _samples(song, data.start, promised, frame_bytes, kind)
    size = samples[1] - samples[0]
    head = b"".join(_packed(name, body[name], kind) for name in (b"fmt ", b"fact") if name in body)
    if size + HEADER_ROOM_BYTES < RIFF_SIZES or is_big_endian:
        sizes = (12 + len(head) + size) % RIFF_SIZES, size % RIFF_SIZES
        riff = (b"RIFX" if is_big_endian else b"RIFF") + sizes[0].to_bytes(4, kind.order) + b"WAVE"
    else:
        sizes = UNKNOWN_BYTES, UNKNOWN_BYTES
        ds64 = struct.pack("<4sIQQQI", b"ds64", 28, size + len(head) + 48, size, size // frame_bytes, 0)
        riff = b"RF64" + struct.pack("<I", sizes[0]) + b"WAVE" + ds64
    return PartsFile(song, [riff + head + b"data" + sizes[1].to_bytes(4, kind.order), samples])


def read_aiff(song: SongFile, start: int) -> PartsFile:
    """Return an AIFF or AIFF-C whose header is true, with all its samples."""
    form = song.read(start + 8, 4)
    kind = _Kind(Container.AIFF, "big", b"SSND", (b"COMM", b"FVER"))
    body, data = _find_chunks(song, start, kind)
    offset = int.from_bytes(song.read(data.start, 4), "big")  # of the first sample, beyond a block size
    first = min(data.start + 8 + offset, song.size_bytes)
    comm = body[b"COMM"]
    if form == b"AIFC" and comm[18:22] not in PLAIN_TYPES:
        raise _unsupported(kind, comm[18:22].decode("ascii", "replace").strip().upper() or "unknown")
    channels, bits = (int.from_bytes(comm[i : i + 2], "big") for i in (0, 6))
    frame_bytes = max(1, channels * -(-bits // 8))
    counted = int.from_bytes(comm[2:6], "big") * frame_bytes
    promised = data.size if is_open_end(data.size) else data.size - 8 - offset
    samples = _samples(song, first, max(0, promised), frame_bytes, kind)
    size = samples[1] - samples[0]
    if counted and not is_open_end(counted):
        require_all(Container.AIFF, counted, size, SAMPLES)
        if counted + frame_bytes <= size - size % frame_bytes:
            raise refuse_surplus(Container.AIFF, counted, size, SAMPLES)
    comm = comm[:2] + struct.pack(">I", size // frame_bytes) + comm[6:]
    head = b"".join(_packed(name, text, kind) for name, text in (body | {b"COMM": comm}).items() if text)
    head += b"SSND" + struct.pack(">III", (size + 8) % RIFF_SIZES, 0, 0)
    form_size = struct.pack(">I", (4 + len(head) + size) % RIFF_SIZES)
    return PartsFile(song, [b"FORM" + form_size + form + head, samples])


def _packed(name: bytes, body: bytes, kind: _Kind) -> bytes:
    """Return a chunk."""
    return name + len(body).to_bytes(4, kind.order) + body + bytes(len(body) % 2)


def _unsupported(kind: _Kind, encoding: str) -> UnsupportedEncodingError:
    return UnsupportedEncodingError(
        f"{kind.container} with {encoding} samples is not accepted; export it with 16- or 24-bit integers or "
        "with floats"
    )


def _samples(song: SongFile, first: int, promised: int, frame_bytes: int, kind: _Kind) -> Span:
    """Return where the samples are, whatever the header says of their size."""
    stop = before_last_tags(song, max(first, song.size_bytes - MAX_JUNK_BYTES), song.size_bytes)
    found = max(0, stop - first)
    if promised == 0 and _is_rest(song, first, frame_bytes, kind):
        return first, first
    if promised == 0 or (promised > found and is_open_end(promised)):
        return first, first + found  # the header was never finished
    require_all(kind.container, promised, found, SAMPLES)
    wrapped = promised + (found - promised) // RIFF_SIZES * RIFF_SIZES
    for size in dict.fromkeys((promised, wrapped)):
        if _is_rest(song, first + size, frame_bytes, kind):
            return first, first + size
    raise refuse_surplus(kind.container, promised, found, SAMPLES)


def _is_rest(song: SongFile, position: int, frame_bytes: int, kind: _Kind) -> bool:
    """Return whether nothing after the samples can be samples: other chunks, tags, padding, half a frame."""
    zeros = 0
    for _ in range(MAX_CHUNKS):
        after = after_tag(song, position)
        if after == position:
            block = song.read(position, MAX_JUNK_BYTES + 1)
            after += len(block) - len(block.lstrip(b"\0"))
            zeros += after - position
        if zeros > MAX_JUNK_BYTES:
            return False
        if song.size_bytes - after < max(frame_bytes, 2) or _is_text(song, after):
            return True
        if after > position:
            position = after
            continue
        chunk = _chunk_at(song, position, kind)
        if chunk is None or chunk.name in AUDIO_CHUNKS:
            return False
        if chunk.start + chunk.size > song.size_bytes:
            return chunk.name in OTHER_CHUNKS
        position = _after_chunk(song, chunk, kind)
    return False


def _is_text(song: SongFile, position: int) -> bool:
    """Return whether all that is left is a little plain text, which samples never are."""
    if song.size_bytes - position > MAX_JUNK_BYTES:
        return False
    return all(byte in TEXT for byte in song.read(position, MAX_JUNK_BYTES))


def _find_chunks(song: SongFile, start: int, kind: _Kind) -> tuple[dict[bytes, bytes], _Chunk]:
    """Return the bodies of the chunks that a decoder needs, and the first chunk with samples."""
    found: dict[bytes, bytes] = {}
    data = None
    position = start + 12
    for _ in range(MAX_CHUNKS):
        chunk = _chunk_at(song, position, kind)
        if chunk is None:
            break
        if chunk.name == kind.samples and data is None:
            following = _chunk_at(song, chunk.start, kind) if chunk.size == 0 else None
            data = chunk if following is None or following.name != kind.samples else None
        elif chunk.name in kind.wanted and chunk.name not in found:
            found[chunk.name] = song.read(chunk.start, min(chunk.size, MAX_HEADER_BYTES))
        if data is not None and kind.wanted[0] in found:
            return found, data
        position = _after_chunk(song, chunk, kind)
    if data is None:
        raise BadAudioError(
            f"the {kind.container} file is damaged or cut short: it has no {kind.samples.decode()!r} chunk "
            "with samples; export or copy it again"
        )
    raise BadAudioError(
        f"the {kind.container} file is damaged: it has no {kind.wanted[0].decode().strip()!r} chunk, which "
        "says how its samples are to be read; export it again"
    )


def _chunk_at(song: SongFile, position: int, kind: _Kind) -> _Chunk | None:
    """Read a chunk's header; None if there is none that can be."""
    head = song.read(position, 8)
    if len(head) < 8 or not all(0x20 <= byte < 0x7F for byte in head[:4]):
        return None
    return _Chunk(head[:4], position + 8, int.from_bytes(head[4:8], kind.order))


def _after_chunk(song: SongFile, chunk: _Chunk, kind: _Kind) -> int:
    """Return where the next chunk begins: some programs leave the byte out that pads to an even size."""
    end = chunk.start + chunk.size
    if chunk.size % 2 == 0 or end >= song.size_bytes:
        return end
    is_padded = song.read(end, 1) == b"\0" or _chunk_at(song, end, kind) is None
    return end + is_padded
