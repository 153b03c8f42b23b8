"""Frames of MPEG audio, layer III (ISO 11172-3 and 13818-3): where each lies, and what the first one counts.

An MP3 has no header of its own. Encoders put a frame without music first that counts the others (Xing, Info,
VBRI); that of LAME also says how much silence the encoder has put before and after the song.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ugosa_server.audio.decoding.parts import SongFile, Span
from ugosa_server.audio.decoding.promise import MAX_JUNK_BYTES, Container, damaged, require_all
from ugosa_server.audio.decoding.tags import after_tags, before_last_tags, bytes_of_no_tag
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

HEADER_BYTES = 4
RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
KBITS_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBITS_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG_1 = 3
DECODER_DELAY_FRAMES = 529  # of every decoder of layer III, beside the encoder's own
VBRI_OFFSET = 36
XING_FIELDS = {1: 4, 2: 4, 4: 100, 8: 4}  # sizes in bytes, by flag: frames, bytes, table of places, quality
SIDE_BYTES = {(True, 2): 32, (True, 1): 17, (False, 2): 17, (False, 1): 9}  # by MPEG-1, channels
MAX_PADDING_FRAMES = 2 * 1152  # what an encoder needs at most to get its last frames out; more is nonsense
UNKNOWN_COUNT = 2**32 - 1
LAME_BYTES = 24  # of the part of LAME's extension that is read here


@dataclass(frozen=True)
class FrameHeader:
    """The first four bytes of a frame."""

    version: int
    """3 = MPEG-1, 2 = MPEG-2, 0 = MPEG-2.5."""
    sample_rate_hz: int
    """Audio frames a second."""
    channels: int
    """1 or 2."""
    size_bytes: int
    """Size of the MPEG frame, header included."""

    @property
    def samples(self) -> int:
        """Audio frames in one MPEG frame."""
        return 1152 if self.version == MPEG_1 else 576

    def fits(self, other: FrameHeader) -> bool:
        """Return whether both can be frames of one stream."""
        return (self.version, self.sample_rate_hz) == (other.version, other.sample_rate_hz)


@dataclass(frozen=True)
class Count:
    """The word of the first frame about the others."""

    mpeg_frames: int | None
    """Number of MPEG frames with music; None = it does not say."""
    size_bytes: int | None
    """Size of all frames, the first included; None = it does not say."""
    delay_frames: int = 0
    """Audio frames before the song, those of the decoder included."""
    padding_frames: int = 0
    """Audio frames after it."""


@dataclass(frozen=True)
class MpegSong:
    """The music in an MP3."""

    first: FrameHeader
    spans: Iterator[Span]
    """Bytes of the MPEG frames with music, in order; found while the file is read."""
    start_frame: int
    """First decoded audio frame of the song; those before it are the encoder's and the decoder's delay."""
    stop_frame: int
    """One past its last decoded audio frame."""


def parse_header(head: bytes) -> FrameHeader | None:
    """Read a frame's header; None if the bytes are none of layer III with a stated bit rate."""
    if len(head) < HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, kbits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or kbits in (0, 15) or rate == 3:
        return None
    rate_hz = RATES_HZ[version][rate]
    bits_per_s = 1000 * (KBITS_1 if version == MPEG_1 else KBITS_2)[kbits - 1]
    size = (144 if version == MPEG_1 else 72) * bits_per_s // rate_hz + (head[2] >> 1 & 1)
    return FrameHeader(version, rate_hz, 1 if head[3] >> 6 == 3 else 2, size)


def find_first_frame(song: SongFile, position: int, reach_bytes: int = MAX_JUNK_BYTES) -> int | None:
    """Return the position of the first of two frames in a row, or of a single one that ends the file.

    Looks no further than `reach_bytes`: a file may begin in the middle of a frame, or with bytes of no kind.
    """
    end = position + reach_bytes
    for block in song.blocks(position):
        at = block.find(b"\xff")
        while 0 <= at < end - position:
            if _is_frame(song, position + at):
                return position + at
            at = block.find(b"\xff", at + 1)
        position += len(block)
        if position >= end:
            break
    return None


def _is_frame(song: SongFile, position: int) -> bool:
    """Return whether a frame begins here and another follows, or nothing but tags does."""
    header = _header_at(song, position)
    if header is None:
        return False
    end = position + header.size_bytes
    following = _header_at(song, end)
    if following is not None:
        return following.fits(header)
    return end <= song.size_bytes and after_tags(song, end) == song.size_bytes


def read_mpeg_song(song: SongFile, start: int) -> MpegSong:
    """Find all frames from a position on; compare them with the count of the first."""
    first = _header_at(song, start)
    if first is None:
        raise damaged(Container.MP3, 0)
    count = _parse_count(song.read(start, first.size_bytes), first)
    found, last = 0, (start, start)
    for span in _spans(song, start, first):
        found, last = found + 1, span
    _require_whole(last, before_last_tags(song, last[0], last[1]))
    end = last[1]
    is_whole = count is not None and count.mpeg_frames is not None  # or is refused below
    if not is_whole and bytes_of_no_tag(song, end) > MAX_JUNK_BYTES:
        raise damaged(Container.MP3, found * first.samples)
    spans = _spans(song, start, first)
    if count is None:
        return MpegSong(first, spans, 0, found * first.samples)
    next(spans)
    found -= 1
    length = found * first.samples
    if count.mpeg_frames is not None:
        # Some programs count the first frame too; then all the bytes that it counts are there.
        counts_itself = found + 1 == count.mpeg_frames and end - start >= (count.size_bytes or 0)
        promised = count.mpeg_frames - counts_itself
        require_all(Container.MP3, promised, found, "MPEG frames")
        # Where more is there (files that were joined), the padding it speaks of is somewhere in the song.
        is_sound = promised == found and count.padding_frames <= MAX_PADDING_FRAMES
        length -= max(0, count.padding_frames - DECODER_DELAY_FRAMES) if is_sound else 0
    return MpegSong(first, spans, count.delay_frames, length)


def _header_at(song: SongFile, position: int) -> FrameHeader | None:
    return parse_header(song.read(position, HEADER_BYTES))


def _spans(song: SongFile, position: int, first: FrameHeader) -> Iterator[Span]:
    done = 0
    while position < song.size_bytes:
        header = _header_at(song, position)
        if header is not None and header.fits(first):
            end = position + header.size_bytes
            _require_whole((position, end), song.size_bytes)
            yield position, end
            position = end
            done += header.samples
            continue
        after = after_tags(song, position)
        following = find_first_frame(song, after, reach_bytes=song.size_bytes)
        other = None if following is None else _header_at(song, following)
        if other is not None and not other.fits(first):
            raise UnsupportedEncodingError(
                f"the MP3 changes from {first.sample_rate_hz} Hz to {other.sample_rate_hz} Hz after "
                f"frame {done}; export it again at one rate"
            )
        if following is None:
            return
        gap = song.read(position, min(after - position, MAX_JUNK_BYTES))
        if following != after or not any(gap):  # zeros are lost bytes, not tags
            raise damaged(Container.MP3, done)
        position = after


def _require_whole(frame: Span, stop: int) -> None:
    """Refuse an MP3 whose last frame reaches beyond what is there of it."""
    if frame[1] > stop:
        raise BadAudioError(
            f"the MP3 file is cut short: its last frame has {frame[1] - frame[0]} bytes, but "
            f"{stop - frame[0]} are there; export or copy it again"
        )


def _parse_count(frame: bytes, header: FrameHeader) -> Count | None:
    """Read the count in a first frame without music; None if it is one with music."""
    if frame[VBRI_OFFSET : VBRI_OFFSET + 4] == b"VBRI" and len(frame) >= VBRI_OFFSET + 18:
        return Count(_known(_int32(frame, VBRI_OFFSET + 14)), _known(_int32(frame, VBRI_OFFSET + 10)))
    at = HEADER_BYTES + SIDE_BYTES[header.version == MPEG_1, header.channels]
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags = _int32(frame, at + 4)
    at += 8
    fields = {}
    for bit, field_bytes in XING_FIELDS.items():
        if flags & bit:
            fields[bit] = _int32(frame, at)
            at += field_bytes
    mpeg_frames, size = (_known(fields.get(bit, 0)) for bit in (1, 2))
    lame = frame[at : at + LAME_BYTES]
    if len(lame) < LAME_BYTES or lame[:4] not in (b"LAME", b"Lavf", b"Lavc"):
        return Count(mpeg_frames, size)
    gaps = int.from_bytes(lame[21:24], "big")
    return Count(mpeg_frames, size, (gaps >> 12) + DECODER_DELAY_FRAMES, gaps & 0xFFF)


def _int32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _known(count: int) -> int | None:
    return None if count in (0, UNKNOWN_COUNT) else count
