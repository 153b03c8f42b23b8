"""MP4: its boxes (ISO 14496-12), and the end of a song that the encoder has filled up to a whole packet.

FFmpeg reads the packets and honours the start of an edit list. The end is in the media's own duration, in an
edit of the list, or in Apple's `iTunSMPB`; FFmpeg rounds it to the milliseconds of the movie.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ugosa_server.audio.decoding.parts import SongFile
from ugosa_server.audio.decoding.promise import Container, refuse_surplus, require_all
from ugosa_server.errors import BadAudioError

MAX_BOXES = 100_000
MAX_BODY_BYTES = 20 * MAX_BOXES
LONG_SIZE, TO_THE_END = 1, 0  # sizes with a meaning of their own
KNOWN = (
    b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"mfra", b"sidx", b"uuid", b"meta",
    b"styp",
)  # fmt: skip


@dataclass(frozen=True)
class _Box:
    name: bytes
    start: int
    stop: int
    """Position after it, but not after what it lies in."""
    promised_stop: int
    """Position after it, as its size says."""


def seconds_of_mp4(song: SongFile, start: int) -> float | None:
    """Check that the file is whole and one movie; return how long its first audio track plays, if known."""
    movies: list[_Box] = []
    in_fragments = False
    for box in _boxes(song, start, song.size_bytes):
        if box.name in KNOWN:
            require_all(Container.MP4, box.promised_stop - start, song.size_bytes - start, "bytes")
        movies += [box] * (box.name == b"moov")
        in_fragments = in_fragments or box.name == b"moof"
    if not movies:
        raise BadAudioError(
            "the M4A file was never finished or is cut short: it has no 'moov' box, which says "
            "where its audio lies; export or copy it again"
        )
    if len(movies) > 1:
        raise refuse_surplus(Container.MP4, 1, len(movies), "movies")
    return None if in_fragments else _seconds(song, movies[0])


def _seconds(song: SongFile, movie: _Box) -> float | None:
    """Length of the first audio track, by its edit list and its media."""
    for track in _inner(song, movie, b"trak"):
        if _body(song, track, b"mdia", b"hdlr")[8:12] == b"soun":
            break
    else:
        return None
    movie_scale, _ = _scale_and_duration(_body(song, movie, b"mvhd"))
    scale, duration = _scale_and_duration(_body(song, track, b"mdia", b"mdhd"))
    if not scale or not duration:
        return None
    media_s = duration / scale
    played = [(length, begin) for length, begin in _edits(_body(song, track, b"edts", b"elst")) if begin >= 0]
    if not played:
        return media_s
    if len(played) > 1 or not movie_scale:
        return None
    length, begin = played[0]
    media_s -= begin / scale
    edit_s = length / movie_scale
    # Edits are counted in ticks of the movie, often milliseconds; within one the media knows better.
    return edit_s if length and edit_s < media_s - 1 / movie_scale else media_s


def _boxes(song: SongFile, position: int, stop: int) -> Iterator[_Box]:
    """Yield the boxes between two positions, as far as there are any."""
    for _ in range(MAX_BOXES):
        if position + 8 > stop:
            return
        head = song.read(position, 16)
        size, body = int.from_bytes(head[:4], "big"), position + 8
        if size == LONG_SIZE:
            size, body = int.from_bytes(head[8:16], "big"), position + 16
        elif size == TO_THE_END:
            size = stop - position
        if size < body - position:
            return
        yield _Box(head[4:8], body, min(position + size, stop), position + size)
        position += size


def _inner(song: SongFile, box: _Box, *path: bytes) -> Iterator[_Box]:
    """Yield the boxes at the end of a path of names, which begins inside a box."""
    for found in _boxes(song, box.start, box.stop):
        if found.name == path[0]:
            yield from _inner(song, found, *path[1:]) if path[1:] else (found,)


def _body(song: SongFile, box: _Box, *path: bytes) -> bytes:
    """Read the first box at the end of a path; nothing if there is none."""
    for found in _inner(song, box, *path):
        return song.read(found.start, min(found.stop - found.start, MAX_BODY_BYTES))
    return b""


def _scale_and_duration(body: bytes) -> tuple[int, int]:
    """Ticks a second and ticks in all, of an `mvhd` or `mdhd`; 0 = unknown."""
    at, wide = (20, 8) if body[:1] == b"\1" else (12, 4)
    scale, duration = body[at : at + 4], body[at + 4 : at + 4 + wide]
    is_unknown = not duration.strip(b"\xff")
    return int.from_bytes(scale, "big"), 0 if is_unknown else int.from_bytes(duration, "big")


def _edits(body: bytes) -> list[tuple[int, int]]:
    """Duration in ticks of the movie, and start in ticks of the media, of each edit; -1 = a pause."""
    edit = struct.Struct(">QqI" if body[:1] == b"\1" else ">IiI")
    count = min(int.from_bytes(body[4:8], "big"), len(body[8:]) // edit.size)
    return [(length, begin) for length, begin, _ in edit.iter_unpack(body[8 : 8 + count * edit.size])]
