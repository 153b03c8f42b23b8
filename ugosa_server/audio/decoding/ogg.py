"""Ogg (RFC 3533): pages, the streams they belong to, and the songs that follow each other in one file.

A file may hold several streams, one after the other (a chain, as of radio) and side by side. Each link of a
chain is a song of its own for libsndfile, which reads no further than one. Of streams side by side the first
that is audio counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ugosa_server.audio.decoding.parts import PartsFile, SongFile, Span
from ugosa_server.audio.decoding.promise import Container, damaged, refuse_surplus
from ugosa_server.audio.decoding.tags import after_tags
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

HEADER_BYTES = 27
CHECKSUM = slice(22, 26)  # of a page
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
ALL_BITS = 2**32 - 1
BEGINS, ENDS = 0x02, 0x04  # bits of a page's type
NO_GRANULE = 2**64 - 1  # of a page in which no packet ends
ACCEPTED = ("Vorbis", "Opus")
CODECS = {
    b"\x01vorbis": "Vorbis",
    b"OpusHead": "Opus",
    b"Speex   ": "Speex",
    b"\x7fFLAC": "FLAC",
    b"fLaC": "FLAC",
    b"\x80theora": "Theora",
    b"PCM     ": "PCM",
    b"CELT    ": "CELT",
}  # by the beginning of their first page
CUT = "the OGG file is cut short: its last page does not end the stream; export or copy it again"


@dataclass(frozen=True)
class _Page:
    start: int
    stop: int
    kind: int
    """Bits: BEGINS, ENDS."""
    granule: int
    """Frames of the song when the last packet that ends here is decoded."""
    serial: int
    sequence: int
    data_start: int


@dataclass
class _Stream:
    """One stream of a link, while its pages are found."""

    codec: str
    """Name, "" if it is unknown."""
    spans: list[Span] = field(default_factory=list)
    """Bytes of its pages, neighbours joined."""
    sequence: int = 0
    """Number of its next page."""
    granule: int = 0
    """Largest position so far."""
    ended: bool = False


def read_songs(song: SongFile, start: int) -> Iterator[PartsFile]:
    """Yield the audio of each link of a chain as a file of its own."""
    link: dict[int, _Stream] = {}
    is_beginning = True
    for page in _pages(song, start):
        if page.kind & BEGINS:
            if not is_beginning:
                yield _link(song, link)
                link = {}
            is_beginning = True
            link[page.serial] = _Stream(_codec(song, page))
        else:
            is_beginning = False
        stream = link.get(page.serial)
        if stream is None:
            raise damaged(Container.OGG, 0)
        if stream.codec in ACCEPTED:
            _check(song, page)
            _add(stream, page)
    if link:
        yield _link(song, link)


def _link(song: SongFile, link: dict[int, _Stream]) -> PartsFile:
    accepted = [stream for stream in link.values() if stream.codec in ACCEPTED]
    if not accepted:
        names = [stream.codec for stream in link.values() if stream.codec]
        raise UnsupportedEncodingError(
            f"OGG with {' and '.join(names) or 'streams of an unknown kind'} is not accepted; export "
            f"it as OGG with {' or '.join(ACCEPTED)}, or as FLAC"
        )
    if not accepted[0].ended:
        raise BadAudioError(CUT)
    return PartsFile(song, accepted[0].spans)


def _codec(song: SongFile, page: _Page) -> str:
    head = song.read(page.data_start, min(16, page.stop - page.data_start))
    return next((name for magic, name in CODECS.items() if head.startswith(magic)), "")


def _check(song: SongFile, page: _Page) -> None:
    """Compare a page with its checksum; libsndfile leaves out one that differs, in silence."""
    data = bytearray(song.read(page.start, page.stop - page.start))
    promised = int.from_bytes(data[CHECKSUM], "little")
    data[CHECKSUM] = bytes(4)
    # RFC 3533, section 6: the polynomial of zlib, but with the highest bit first and nothing inverted
    mirrored = zlib.crc32(data.translate(MIRRORED), ALL_BITS) ^ ALL_BITS
    found = int(f"{mirrored:032b}"[::-1], 2)
    if found != promised:
        raise BadAudioError(
            f"the OGG file is damaged: page {page.sequence} has the checksum {promised:08x}, but its "
            f"bytes give {found:08x}; export or copy it again"
        )


def _add(stream: _Stream, page: _Page) -> None:
    if stream.ended:
        raise refuse_surplus(Container.OGG, stream.sequence, stream.sequence + 1, "pages")
    # What was recorded of radio goes on with any number after the pages of its head.
    if page.sequence != stream.sequence and stream.granule > 0:
        raise BadAudioError(
            f"the OGG file is damaged: page {page.sequence} follows page {stream.sequence - 1}; "
            "export or copy it again"
        )
    stream.sequence = page.sequence + 1
    stream.ended = bool(page.kind & ENDS)
    if stream.ended and page.granule == NO_GRANULE and page.stop > page.data_start:
        raise BadAudioError(CUT)  # a packet begins in it, and ends nowhere
    if page.granule != NO_GRANULE:
        if page.granule < stream.granule:
            raise refuse_surplus(Container.OGG, page.granule, stream.granule, "frames")
        stream.granule = page.granule
    if stream.spans and stream.spans[-1][1] == page.start:
        stream.spans[-1] = (stream.spans[-1][0], page.stop)
    else:
        stream.spans.append((page.start, page.stop))


def _pages(song: SongFile, position: int) -> Iterator[_Page]:
    done = False
    while head := song.read(position, HEADER_BYTES + 255):
        if head[:4] != b"OggS":
            after = after_tags(song, position)
            if after == song.size_bytes or (done and song.find(b"OggS", after) is None):
                return
            if after == position or song.read(after, 4) != b"OggS":
                raise BadAudioError(
                    f"the OGG file is damaged at byte {position}: no page begins there; export or "
                    "copy it again"
                )
            position = after
            continue
        segments = head[HEADER_BYTES : HEADER_BYTES + head[26]] if len(head) >= HEADER_BYTES else b""
        data_start = position + HEADER_BYTES + len(segments)
        end = data_start + sum(segments)
        if len(head) < HEADER_BYTES or len(segments) < head[26] or end > song.size_bytes:
            raise BadAudioError(CUT)
        granule = int.from_bytes(head[6:14], "little")
        serial, sequence = (int.from_bytes(head[i : i + 4], "little") for i in (14, 18))
        yield _Page(position, end, head[5], granule, serial, sequence, data_start)
        done = bool(head[5] & ENDS)
        position = end
