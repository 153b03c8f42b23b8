"""Tags that programs put before and after audio of any kind, and how to step over them.

ID3v1, ID3v2 (id3.org), APEv1 and APEv2, Lyrics3v1 and v2. Zero bytes beside them are padding.
"""

from __future__ import annotations

import re
from itertools import islice

from ugosa_server.audio.decoding.parts import BLOCK_BYTES, SongFile

ID3V1_BYTES, ID3V1_EXTENSION_BYTES = 128, 227
ID3V2_BYTES = 10  # of the header, and of the footer
APE_BYTES = 32  # of the header, and of the footer
APE_SIZE_BYTES = 4  # at the beginning of an item
LYRICS_BEGIN, LYRICS1_END, LYRICS2_END = b"LYRICSBEGIN", b"LYRICSEND", b"LYRICS200"
LYRICS_MAX_BYTES = 1_000_000 + 15  # six digits, and what they do not count
LAST_TAG = re.compile(rb"TAG|APETAGEX|LYRICSBEGIN")  # magic words of the tags that stand at the end
MAX_TRIES = 16  # of such words, which are rare in samples


def after_tags(song: SongFile, position: int) -> int:
    """Return the position after all tags and zero bytes from `position` on."""
    while (after := after_zeros(song, after_tag(song, position))) != position:
        position = after
    return position


def before_last_tags(song: SongFile, start: int, stop: int) -> int:
    """Return the first position in [start, stop) from which on nothing but tags follows, else `stop`."""
    block = song.read(start, stop - start + len(LYRICS_BEGIN) - 1)
    for found in islice(LAST_TAG.finditer(block), MAX_TRIES):
        position = start + found.start()
        if position < stop and after_tags(song, position) == song.size_bytes:
            return position
    return stop


def bytes_of_no_tag(song: SongFile, position: int) -> int:
    """Count the bytes that belong to no tag, zeros too; all that follows the first unknown one counts."""
    count = 0
    while position < song.size_bytes:
        after = after_tag(song, position)
        if after == position:
            after = after_zeros(song, position)
            count += after - position
        if after == position:
            return count + song.size_bytes - position
        position = after
    return count


def after_tag(song: SongFile, position: int) -> int:
    """Return the position after the tag that begins at `position`, or `position` if none does."""
    head = song.read(position, APE_BYTES)
    left = song.size_bytes - position
    size = 0
    if head[:3] == b"ID3" and len(head) >= ID3V2_BYTES:
        size = _id3v2_bytes(head)
    elif head[:8] == b"APETAGEX" and len(head) == APE_BYTES:
        size = APE_BYTES + int.from_bytes(head[12:16], "little")
    elif head.startswith(LYRICS_BEGIN):
        text = song.read(position, LYRICS_MAX_BYTES)
        ends = [text.find(end) for end in (LYRICS1_END, LYRICS2_END) if end in text]
        size = min(ends) + len(LYRICS1_END) if ends else 0
    elif head[:4] == b"TAG+" and left >= ID3V1_EXTENSION_BYTES:
        size = ID3V1_EXTENSION_BYTES
    elif head[:3] == b"TAG" and left >= ID3V1_BYTES:
        size = ID3V1_BYTES
    elif head:
        size = _ape_without_header(song.read(position, BLOCK_BYTES))
    return position + min(size, left)


def _ape_without_header(block: bytes) -> int:
    """Size of an APE tag without a header, known by its footer only; 0 if none begins the block."""
    at = block.find(b"APETAGEX")
    while at >= 0:
        missing = int.from_bytes(block[at + 12 : at + 16], "little") - at - APE_BYTES
        if 0 <= missing <= APE_SIZE_BYTES:  # zeros of the first item's size, taken for padding
            return at + APE_BYTES
        at = block.find(b"APETAGEX", at + 1)
    return 0


def _id3v2_bytes(head: bytes) -> int:
    """Size of a whole ID3v2 tag (ID3v2.4, section 3.1: four 7-bit bytes, and flag 0x10 for a footer)."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return ID3V2_BYTES + size + (ID3V2_BYTES if head[5] & 0x10 else 0)


def after_zeros(song: SongFile, position: int) -> int:
    """Return the position after the zero bytes from `position` on."""
    for block in song.blocks(position):
        rest = block.lstrip(b"\0")
        position += len(block) - len(rest)
        if rest:
            break
    return position
