"""What a file is, told from its bytes, and whether all the bytes that its header promises are there.

Names and extensions are never looked at. Sizes from headers are compared with the file's size and used for
nothing else.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import BinaryIO, Literal

from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

ID3_HEADER_BYTES = 10
MAX_CHUNKS = 10_000  # a header with more chunks than this is not audio
OGG_MAX_PAGE_BYTES = 65_307
OGG_HEADER_BYTES = 27
UNKNOWN_SIZE = 0xFFFF_FFFF  # what programs write that stream a WAV and cannot go back to its header
ACCEPTED = "WAV, FLAC, AIFF, MP3, OGG or M4A"


class Container(StrEnum):
    """The kinds of file that are accepted."""

    WAV = "WAV"
    AIFF = "AIFF"
    FLAC = "FLAC"
    OGG = "OGG"
    MP3 = "MP3"
    MP4 = "M4A"


def sniff(file: BinaryIO) -> Container:
    """Tell a file's container from its magic bytes.

    Raises:
        BadAudioError: the file is empty.
        UnsupportedEncodingError: the bytes are none of the accepted containers.
    """
    start = _skip_id3(file)
    file.seek(start)
    head = file.read(16)
    if not head:
        raise BadAudioError("the file is empty: it has no bytes of audio")
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return Container.AIFF
    if head[:4] == b"fLaC":
        return Container.FLAC
    if head[:4] == b"OggS":
        return Container.OGG
    if head[4:8] == b"ftyp":
        return Container.MP4
    # MPEG audio frame header: 11 bits of sync, then version != reserved, layer == III (ISO 11172-3, 2.4.1.3).
    if (
        len(head) > 1
        and head[0] == 0xFF
        and head[1] & 0xE0 == 0xE0
        and head[1] & 0x18 != 0x08
        and head[1] & 0x06 == 0x02
    ):
        return Container.MP3
    raise UnsupportedEncodingError(
        f"the file begins with the bytes {head[:8].hex(' ')}, which is none of the accepted kinds;"
        f" send {ACCEPTED}"
    )


def check_complete(file: BinaryIO, container: Container) -> None:
    """Look whether a file is all there: by the sizes in a WAV's or AIFF's header, by an OGG's last page.

    Raises:
        BadAudioError: the file is cut short.
    """
    if container is Container.WAV:
        promised, start = _promised_wav_bytes(file)
    elif container is Container.AIFF:
        promised, start = _find_chunk(file, b"SSND", "big")
    elif container is Container.OGG:
        _check_last_page(file)
        return
    else:
        return  # the other containers say it by themselves while they are decoded
    present = os.fstat(file.fileno()).st_size - start
    if promised > present:
        raise BadAudioError(
            f"the {container} file is cut short: its header promises {promised} bytes of samples, but "
            f"{present} "
            "are there; export or copy it again"
        )


def says_its_length(file: BinaryIO) -> bool:
    """Whether an MP3 has a Xing/Info header, which counts its frames; otherwise its length is a guess."""
    file.seek(_skip_id3(file))
    first_frame = file.read(256)  # the tag lies at most 36 bytes into the first frame
    return b"Xing" in first_frame or b"Info" in first_frame


def _skip_id3(file: BinaryIO) -> int:
    """Position after an ID3v2 tag (id3.org, ID3v2.4 section 3.1: size in four 7-bit bytes), or 0."""
    file.seek(0)
    head = file.read(ID3_HEADER_BYTES)
    if len(head) < ID3_HEADER_BYTES or head[:3] != b"ID3":
        return 0
    size = (head[6] & 0x7F) << 21 | (head[7] & 0x7F) << 14 | (head[8] & 0x7F) << 7 | (head[9] & 0x7F)
    footer = ID3_HEADER_BYTES if head[5] & 0x10 else 0
    return ID3_HEADER_BYTES + size + footer


def _check_last_page(file: BinaryIO) -> None:
    """An Ogg stream ends with a whole page that says so (RFC 3533, section 6: header_type 0x04)."""
    size_bytes = os.fstat(file.fileno()).st_size
    file.seek(max(0, size_bytes - OGG_MAX_PAGE_BYTES))
    tail = file.read(OGG_MAX_PAGE_BYTES)
    page = tail[tail.rfind(b"OggS") :]
    if len(page) > OGG_HEADER_BYTES and page[5] & 0x04:
        segments = page[OGG_HEADER_BYTES : OGG_HEADER_BYTES + page[26]]
        if len(segments) == page[26] and len(page) >= OGG_HEADER_BYTES + len(segments) + sum(segments):
            return
    raise BadAudioError(
        "the OGG file is cut short: its last page does not end the stream; export or copy it again"
    )


def _promised_wav_bytes(file: BinaryIO) -> tuple[int, int]:
    """Size and position of a WAV's samples; an RF64's size is in its `ds64` chunk (EBU Tech 3306)."""
    size, start = _find_chunk(file, b"data", "little")
    if size != UNKNOWN_SIZE:
        return size, start
    file.seek(12)
    ds64 = file.read(24)  # "ds64", size, 64-bit RIFF size, 64-bit data size
    if ds64[:4] == b"ds64":
        return int.from_bytes(ds64[16:24], "little"), start
    return 0, start


def _find_chunk(file: BinaryIO, name: bytes, order: Literal["little", "big"]) -> tuple[int, int]:
    """Size and position of the body of an IFF chunk."""
    position = 12
    for _ in range(MAX_CHUNKS):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            break
        size = int.from_bytes(head[4:8], order)
        if head[:4] == name:
            return size, position + 8
        position += 8 + size + size % 2
    raise BadAudioError(f"the file is damaged or cut short: it has no {name.decode()!r} chunk with samples")
