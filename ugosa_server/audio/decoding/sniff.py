"""The kind of a file, by its bytes; names and extensions are never looked at."""

from __future__ import annotations

from ugosa_server.audio.decoding.mpeg import find_first_frame
from ugosa_server.audio.decoding.parts import SongFile
from ugosa_server.audio.decoding.promise import Container
from ugosa_server.audio.decoding.tags import after_tags
from ugosa_server.errors import BadAudioError, UnsupportedEncodingError

ACCEPTED = "WAV, FLAC, AIFF, MP3, OGG or M4A"

# Beginnings of files that people take for songs, and their names.
OTHER_KINDS = {
    b"\x30\x26\xb2\x75": "WMA",
    b"\x1a\x45\xdf\xa3": "Matroska or WebM",
    b"caff": "CAF",
    b"wvpk": "WavPack",
    b"MAC ": "Monkey's Audio",
    b"MPCK": "Musepack",
    b"MP+": "Musepack",
    b"TTA1": "True Audio",
    b".snd": "AU",
    b"riff": "Wave64",
    b"DSD ": "DSD",
    b"FRM8": "DSD",
    b"MThd": "MIDI",
    b"#!AMR": "AMR",
    b"\x0b\x77": "AC-3",
    b".RMF": "RealMedia",
    b"FLV": "Flash video",
    b"PK\x03\x04": "ZIP",
}


def sniff(song: SongFile) -> tuple[Container, int]:
    """Tell a file's container from its magic bytes; return it, and where it begins after tags."""
    if not song.size_bytes:
        raise BadAudioError("the file is empty: it has no bytes of audio")
    start = after_tags(song, 0)
    head = song.read(start, 16)
    if not head:
        raise BadAudioError(
            f"the file has {song.size_bytes} bytes of tags or zeros and no audio; export it again"
        )
    container = _container(head)
    if container is not None:
        return container, start
    box = head.find(b"ftyp", 0, 7)  # the zeros before it were the first bytes of its size
    if box > 0 and start + box >= 4:
        return Container.MP4, start + box - 4
    first = find_first_frame(song, start)
    if first is not None:
        return Container.MP3, first
    raise UnsupportedEncodingError(_refusal(head))


def _container(head: bytes) -> Container | None:
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return Container.WAV
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return Container.AIFF
    if head[:4] == b"fLaC":
        return Container.FLAC
    if head[:4] == b"OggS":
        return Container.OGG
    if head[4:8] in (b"ftyp", b"moov"):
        return Container.MP4
    return None


def _refusal(head: bytes) -> str:
    for magic, name in OTHER_KINDS.items():
        if head.startswith(magic):
            return f"{name} is none of the accepted kinds; send {ACCEPTED}"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return f"AAC without a container (ADTS) is none of the accepted kinds; send {ACCEPTED}"
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 in (0xE4, 0xE6):
        return f"MPEG audio of layer I or II is none of the accepted kinds; send {ACCEPTED}"
    return (
        f"the file begins with the bytes {head[:8].hex(' ')}, which is none of the accepted kinds; send "
        f"{ACCEPTED}"
    )
