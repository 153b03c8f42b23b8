"""FLAC (RFC 9639): the songs that follow each other in one file.

A player goes on where a second FLAC was appended to the first. FFmpeg takes both for one, and may drop
a frame where they meet, or all that follows.
"""

from __future__ import annotations

from collections.abc import Iterator

from ugosa_server.audio.decoding.parts import PartsFile, SongFile

MAGIC = b"fLaC"
FIRST_BLOCKS = (b"\0\0\0\x22", b"\x80\0\0\x22")  # heads of a block of stream information, section 8.1


def flac_songs(song: SongFile, start: int) -> Iterator[PartsFile]:
    """Yield each FLAC from a position on as a file of its own."""
    begins: int | None = start
    while begins is not None:
        following = song.find(MAGIC, begins + 1)
        while following is not None and song.read(following + len(MAGIC), 4) not in FIRST_BLOCKS:
            following = song.find(MAGIC, following + 1)
        yield PartsFile(song, [(begins, following or song.size_bytes)])
        begins = following
