"""From uploaded bytes to the song that all work starts from: raw float32 frames at the source's own rate.

Decoding is done once, in blocks, and refuses what could not be handed back faithfully. Run as a program it is
the child process of `child.py`, because decoders are C libraries that read bytes from strangers: JSON request
on stdin, JSON answer on stdout.

    {"path": ..., "out_path": ..., "pcm": {...} | null, "limits": {"max_frames": ...}, "cpu_s": ...,
     "parent_pid": ...}
    -> {"source": {...SourceAudio}}  or  {"error": {"reason": ..., "message": ..., "metadata": {...}}}
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.decoding.av_readers import open_flac, open_mp3, open_mp4
from ugosa_server.audio.decoding.child import DecodeLimits, DecodeRequest
from ugosa_server.audio.decoding.flac import flac_songs
from ugosa_server.audio.decoding.iff import read_aiff, read_wav
from ugosa_server.audio.decoding.ogg import read_songs
from ugosa_server.audio.decoding.parts import SongFile
from ugosa_server.audio.decoding.promise import Container
from ugosa_server.audio.decoding.readers import AudioStream, check_layout, open_chain, open_pcm, open_sound
from ugosa_server.audio.decoding.sniff import sniff
from ugosa_server.audio.formats import SourceAudio, peak_dbfs
from ugosa_server.errors import BadAudioError, DiskFullError, QuotaError, UgosaError
from ugosa_server.files import disk_full_explained, replacing
from ugosa_server.sandbox import answer_of_error, limit_this_process

MAX_PEAK = 1e6  # 120 dB above full scale; powers of spectra of more do not fit float32
ADDRESS_SPACE_BYTES = 4 << 30  # libraries map far more than they use; the decoders need some tens of MB


def decode(request: DecodeRequest) -> SourceAudio:
    """Decode a file to raw little-endian float32 frames [T, C] at its own rate.

    Raises:
        BadAudioError: the audio is unreadable, cut short, empty, too long, or holds NaN or infinite samples.
        UnsupportedEncodingError: the container, sample format, rate or channel count is not accepted.
        QuotaError, DiskFullError: no room for the frames.
    """
    out_path = Path(request.out_path)
    with Path(request.path).open("rb") as file:
        song = SongFile(file)
        stream = _open_song(song) if request.pcm is None else open_pcm(song, request.pcm)
        with closing(stream.blocks):
            check_layout(stream.sample_rate_hz, stream.channels)
            with replacing(out_path) as out:
                frames, peak, sha256 = _write_frames(stream, out, request.limits)
        return SourceAudio(
            str(out_path), stream.sample_rate_hz, stream.channels, frames, stream.encoding, peak, sha256
        )


def _open_song(song: SongFile) -> AudioStream:
    container, start = sniff(song)
    match container:
        case Container.WAV:
            return open_sound(read_wav(song, start), container)
        case Container.AIFF:
            return open_sound(read_aiff(song, start), container)
        case Container.OGG:
            return open_chain(container, (open_sound(link, container) for link in read_songs(song, start)))
        case Container.FLAC:
            return open_chain(container, map(open_flac, flac_songs(song, start)))
        case Container.MP3:
            return open_mp3(song, start)
        case Container.MP4:
            return open_mp4(song, start)


def _write_frames(stream: AudioStream, out: BinaryIO, limits: DecodeLimits) -> tuple[int, float, str]:
    """Write all blocks, checked, and return (frames, peak, sha256 in hex)."""
    digest = hashlib.sha256()
    frames = 0
    peak = 0.0
    for block in stream.blocks:
        if frames + len(block) > limits.max_frames:
            raise BadAudioError(
                f"the song is longer than {limits.max_frames} frames "
                f"({limits.max_frames / stream.sample_rate_hz:.0f} s), the longest that this server takes"
            )
        peak = max(peak, _checked_peak(block, frames))
        samples = np.ascontiguousarray(block, dtype="<f4")
        _check_room(out, out.tell() + samples.nbytes, limits)
        out.write(samples.data)
        digest.update(samples.data)
        frames += len(block)
    if frames == 0:
        raise BadAudioError("the audio has 0 frames: there is nothing to separate")
    return frames, peak, digest.hexdigest()


def _check_room(out: BinaryIO, size_bytes: int, limits: DecodeLimits) -> None:
    """Check the room before every block, because a small file can hold any number of frames."""
    if size_bytes > limits.max_bytes:
        raise QuotaError(
            f"decoded, the song takes more than the {limits.max_bytes} bytes that may still be stored for"
            " you; delete old jobs and songs, then finish the upload again",
            maximum=limits.max_bytes,
        )
    disk = os.fstatvfs(out.fileno())
    free_bytes = disk.f_bavail * disk.f_frsize
    if free_bytes < limits.min_free_bytes:
        raise DiskFullError(
            f"the disk has {free_bytes / 1e6:.0f} MB free while the audio is decoded, and"
            f" {limits.min_free_bytes / 1e6:.0f} MB are kept free; delete old jobs or free some space"
        )


def _checked_peak(block: NDArray[np.float32], first_frame: int) -> float:
    """Return the largest absolute sample of a block [n, C]; refuse NaN, infinity, and more than MAX_PEAK."""
    peak = float(np.abs(block).max(initial=0.0))
    if peak <= MAX_PEAK:
        return peak
    frame, channel = np.argwhere(~(np.abs(block) <= MAX_PEAK))[0]
    sample = float(block[frame, channel])
    place = f"at frame {first_frame + frame} of channel {channel + 1}"
    if not np.isfinite(sample):
        problem = f"a sample that is not a number: {sample} {place}; render it again without the fault"
    else:
        problem = (
            f"a sample of {sample:g} {place}, {peak_dbfs(abs(sample)):.0f} dB above full scale, which is 1; "
            f"at most {peak_dbfs(MAX_PEAK):.0f} dB are taken. Normalise it, or render it again"
        )
    raise BadAudioError(f"the audio has {problem}", frame=int(first_frame + frame))


def _answer(fields: dict[str, Any]) -> dict[str, Any]:
    try:
        with disk_full_explained():
            return {"source": dataclasses.asdict(decode(msgspec.convert(fields, DecodeRequest)))}
    except UgosaError as error:
        return answer_of_error(error)


def main() -> None:
    """Decode one file as stdin asks."""
    fields = json.load(sys.stdin)
    limit_this_process(fields, ADDRESS_SPACE_BYTES)
    json.dump(_answer(fields), sys.stdout)


if __name__ == "__main__":
    main()
