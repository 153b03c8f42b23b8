"""True stems as decoded frames on disk, all of one song with the same rate, channels and length."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from ugosa_server.audio.decode import decode
from ugosa_server.audio.decode_request import DecodeRequest
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import BadAudioError
from ugosa_server.evaluation.datasets import SOURCES, STEM_MP4, Song

STEM_MP4_STREAMS = ("mixture", *SOURCES)


def decode_stems(song: Song, folder: Path) -> list[SourceAudio]:
    """Decode the stems of a song to raw float32 files in `folder`, in the song's order.

    Raises:
        BadAudioError: a file is damaged, or the stems differ in rate or channels.
        UnsupportedEncodingError: a file is of a kind that is not accepted.
    """
    if song.stems[0].path.endswith(STEM_MP4):
        return _decode_stem_mp4(Path(song.stems[0].path), folder)
    stems = [
        decode(DecodeRequest(stem.path, str(folder / f"{number}.f32")))
        for number, stem in enumerate(song.stems)
    ]
    layouts = {(stem.sample_rate_hz, stem.channels) for stem in stems}
    if len(layouts) > 1:
        found = ", ".join(f"{rate} Hz with {channels} channel(s)" for rate, channels in sorted(layouts))
        raise BadAudioError(f"the stems of {song.name} differ: {found}; bring them to one rate and layout")
    return stems


def _decode_stem_mp4(path: Path, folder: Path) -> list[SourceAudio]:
    """Decode the four source streams of a Native Instruments stem file, as MUSDB18 has them."""
    try:
        with av.open(str(path)) as opened, ExitStack() as files:
            streams = opened.streams.audio
            if len(streams) != len(STEM_MP4_STREAMS):
                raise BadAudioError(
                    f"{path} has {len(streams)} audio streams, but a MUSDB18 file has "
                    f"{len(STEM_MP4_STREAMS)}: {', '.join(STEM_MP4_STREAMS)}"
                )
            rate_hz, channels = streams[0].codec_context.sample_rate, streams[0].codec_context.channels
            outs: list[BinaryIO] = [
                files.enter_context((folder / f"{source}.f32").open("wb")) for source in SOURCES
            ]
            for packet in opened.demux(streams[1:]):
                out = outs[packet.stream.index - streams[1].index]
                for frame in packet.decode():
                    samples = np.asarray(
                        frame.to_ndarray(), dtype="<f4"
                    )  # AAC decodes to planar float [C, n]
                    out.write(np.ascontiguousarray(samples.T).data)
    except av.error.FFmpegError as error:
        raise BadAudioError(f"{path} is damaged or no MP4: {error}") from error
    stems = []
    for source in SOURCES:
        raw = folder / f"{source}.f32"
        samples = np.fromfile(raw, "<f4")
        peak = float(np.abs(samples).max(initial=0.0))
        stems.append(
            SourceAudio(str(raw), rate_hz, channels, len(samples) // channels, "M4A AAC stems", peak)
        )
    return stems
