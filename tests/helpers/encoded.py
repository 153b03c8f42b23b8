"""Small songs in every accepted kind of file, made by the server's own libraries, and tags to put around."""

import base64
import io
import struct

import av
import numpy as np
import soundfile

RATE_HZ = 44_100
SOUND_KINDS = {
    "WAV": ("WAV", "PCM_16"),
    "WAV float": ("WAVEX", "FLOAT"),
    "RF64": ("RF64", "PCM_24"),
    "AIFF": ("AIFF", "PCM_16"),
    "FLAC": ("FLAC", "PCM_24"),
    "Vorbis": ("OGG", "VORBIS"),
    "Opus": ("OGG", "OPUS"),
    "MP3": ("MP3", "MPEG_LAYER_III"),
}
KINDS = (*SOUND_KINDS, "AAC", "ALAC")


def tones(frames: int = RATE_HZ // 2, seed: int = 0) -> np.ndarray:
    """Two tones and some noise, [T, 2]."""
    t = np.arange(frames)[:, None] / RATE_HZ
    noise = np.random.default_rng(seed).normal(0, 0.01, (frames, 2))
    return 0.4 * np.sin(2 * np.pi * np.array([[220.0, 330.0]]) * (1 + seed) * t) + noise


def encode(kind: str, samples: np.ndarray, rate_hz: int = RATE_HZ) -> bytes:
    """A file of samples [T, C]; Opus at 48 kHz, which is the only rate that it knows of these."""
    if kind in ("AAC", "ALAC"):
        return encode_mp4(kind.lower(), samples, rate_hz)
    container, subtype = SOUND_KINDS[kind]
    stream = io.BytesIO()
    soundfile.write(stream, samples, 48_000 if kind == "Opus" else rate_hz, format=container, subtype=subtype)
    return stream.getvalue()


def without_count(song: bytes) -> bytes:
    """A WAV or FLAC whose header was never finished: it counts no bytes, or no samples."""
    changed = bytearray(song)
    if changed.startswith(b"fLaC"):
        at = 21  # RFC 9639, 8.2: the last 36 bits before the MD5 sum
        changed[at : at + 5] = bytes([changed[at] & 0xF0, 0, 0, 0, 0])
    else:
        for at in (4, changed.index(b"data") + 4):
            changed[at : at + 4] = bytes(4)
    return bytes(changed)


def encode_mp4(
    codec: str, samples: np.ndarray, rate_hz: int = RATE_HZ, options: dict[str, str] | None = None
) -> bytes:
    """An M4A of stereo samples [T, 2]."""
    stream = io.BytesIO()
    planes = np.ascontiguousarray(samples.T)
    sample_format = "s16p" if codec == "alac" else "fltp"
    planes = np.rint(planes * 32_767).astype(np.int16) if codec == "alac" else planes.astype(np.float32)
    with av.open(stream, "w", format="mp4", options=options or {}) as container:
        track = container.add_stream(codec, rate=rate_hz, layout="stereo", format=sample_format)
        frame = av.AudioFrame.from_ndarray(planes, format=sample_format, layout="stereo")
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*track.encode(frame), *track.encode(None)]:
            container.mux(packet)
    return stream.getvalue()


def wav(samples: bytes, size: int | None = None, after: bytes = b"", before: bytes = b"") -> bytes:
    """A 16-bit stereo WAV whose header counts `size` bytes of samples, with chunks before and after them."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, RATE_HZ, 4 * RATE_HZ, 4, 16)
    size = len(samples) if size is None else size
    body = b"WAVE" + fmt + before + b"data" + struct.pack("<I", size) + samples + after
    return b"RIFF" + struct.pack("<I", len(body) % 2**32) + body


def aiff(samples: bytes, size: int | None = None, frames: int | None = None) -> bytes:
    """A 16-bit stereo AIFF whose header counts `size` bytes and `frames` frames."""
    frames = len(samples) // 4 if frames is None else frames
    size = len(samples) + 8 if size is None else size
    rate = struct.pack(">HQ", 16_398, RATE_HZ << 48)  # 80-bit extended
    comm = struct.pack(">4sIHIH", b"COMM", 18, 2, frames, 16) + rate
    body = b"AIFF" + comm + b"SSND" + struct.pack(">III", size, 0, 0) + samples
    return b"FORM" + struct.pack(">I", len(body) % 2**32) + body


def flac_with(flac: bytes, frames: int | None = None, digest: bytes | None = None) -> bytes:
    """The FLAC with another number of frames, or another checksum, in its header."""
    data = bytearray(flac)
    if frames is not None:
        data[21] = data[21] & 0xF0 | frames >> 32
        data[22:26] = (frames & 0xFFFF_FFFF).to_bytes(4, "big")
    if digest is not None:
        data[26:42] = digest
    return bytes(data)


def id3v1(text: bytes) -> bytes:
    """128 bytes."""
    return b"TAG" + text[:125].ljust(125, b"\0")


def id3v1_extended(text: bytes) -> bytes:
    """227 and 128 bytes."""
    return b"TAG+" + text[:223].ljust(223, b"\0") + id3v1(text)


def id3v2(text: bytes, version: int = 3) -> bytes:
    """A tag that says at its beginning how long it is."""
    return b"ID3" + bytes([version, 0, 0]) + _seven_bits(len(text)) + text


def id3v2_with_footer(text: bytes) -> bytes:
    """A tag that also says it at its end."""
    size = _seven_bits(len(text))
    return b"ID3\4\0\x10" + size + text + b"3DI\4\0\x10" + size


def apev2(text: bytes, header: bool = True) -> bytes:
    """A tag of one binary item."""
    item = struct.pack("<II", len(text), 2) + b"Cover\0" + text
    flags = (1 << 31) * header
    ends = [
        b"APETAGEX" + struct.pack("<IIIIQ", 2000, len(item) + 32, 1, flags | is_header << 29, 0)
        for is_header in (1, 0)
    ]
    return ends[0] * header + item + ends[1]


def lyrics3v1(text: bytes) -> bytes:
    """At most 5100 bytes."""
    return b"LYRICSBEGIN" + text.replace(b"LYRICS", b"")[:5000] + b"LYRICSEND"


def lyrics3v2(text: bytes) -> bytes:
    """Six digits and a word end it."""
    body = b"LYRICSBEGIN" + text.replace(b"LYRICS", b"")
    return body + b"%06dLYRICS200" % len(body)


def _seven_bits(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))


def played_clip(uri):
    """The samples [C, n] of a data URI of a report's page."""
    head, data = uri.split(",")
    assert head == "data:audio/ogg;base64"
    with av.open(io.BytesIO(base64.b64decode(data))) as file:
        assert file.streams.audio[0].rate == 48_000
        return np.concatenate([frame.to_ndarray() for frame in file.decode(audio=0)], axis=-1)
