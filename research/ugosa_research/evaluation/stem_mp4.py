"""True stems of a Native Instruments stem file, the format of MUSDB18 and of the demo's song."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

from ugosa_server.audio import SourceAudio
from ugosa_server.errors import BadAudioError

SOURCES = ("drums", "bass", "other", "vocals")
STREAMS = ("mixture", *SOURCES)


def decode_stem_mp4(path: Path, folder: Path) -> list[SourceAudio]:
    """Decode the four source streams of `path` to raw float32 files in `folder`, in the order of SOURCES.

    Raises:
        BadAudioError: the file is damaged, or does not hold a mixture and four sources.
    """
    try:
        with av.open(str(path)) as opened, ExitStack() as files:
            streams = opened.streams.audio
            if len(streams) != len(STREAMS):
                raise BadAudioError(
                    f"a MUSDB18 file has {len(STREAMS)} audio streams ({', '.join(STREAMS)}), but {path} "
                    f"has {len(streams)}"
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
