"""A stretch of audio as a page carries it: a data URI that every browser plays.

Excerpts for the report: kept while blocks of the whole song go by, encoded on threads of their own.

Encoding is most of a report's work. It is done side by side with the rest of it; where a GPU computes, as
soon as there is something to encode, since the CPU has little else to do then.

Audio players for the excerpt: each stem as the base network gave it and as the adapted one did.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from numpy.typing import NDArray

from ugosa_server.marks import Interval, inside
from ugosa_server.report.data import JobReport, Preview
from ugosa_server.report.svg import source_colour
from ugosa_server.report.text import clock

MP3_ENCODER = "libmp3lame"
MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # MPEG-1, -2 and -2.5
# About 165 kbit/s of variable rate for stereo music. LAME's own choice, level 3 and joint stereo, which hears
# mid and side too, takes 1.9 times as long for the same signal-to-noise ratio in five sixths of the size.
MP3_QUALITY = 2  # LAME's -V: 0 is best, 9 smallest
MP3_OPTIONS = {
    "compression_level": "7",  # LAME's -q: 0 is slowest
    "joint_stereo": "0",
    "flags": "+qscale",  # a variable rate
    "global_quality": str(MP3_QUALITY * 118),  # FF_QP2LAMBDA
}


def audio_data_uri(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> str:
    """Return audio as a data URI: MP3, or FLAC where FFmpeg was built without LAME.

    Args:
        audio: mono or stereo, [C, n], n at least 1.
        sample_rate_hz: its rate; what MP3 does not know is resampled.
    """
    playable = np.clip(audio, -1.0, 1.0)  # codecs wrap or distort what is above full scale
    if MP3_ENCODER in av.codecs_available:
        kind, data = "audio/mpeg", _mp3(playable, sample_rate_hz)
    else:
        buffer = io.BytesIO()
        soundfile.write(buffer, playable.T, sample_rate_hz, format="FLAC", subtype="PCM_16")
        kind, data = "audio/flac", buffer.getvalue()
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _mp3(audio: npt.NDArray[np.float32], sample_rate_hz: int) -> bytes:
    rate_hz = sample_rate_hz
    if rate_hz not in MP3_RATES_HZ:
        rate_hz = 44100 if rate_hz % 44100 == 0 else 48000
        audio = soxr.resample(audio.T, sample_rate_hz, rate_hz).T
    layout = "mono" if len(audio) == 1 else "stereo"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as file:
        stream = file.add_stream(MP3_ENCODER, rate=rate_hz, layout=layout, options=MP3_OPTIONS)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(audio), format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        for given in (frame, None):  # None: what is still inside
            file.mux(stream.encode(given))
    return buffer.getvalue()


@contextmanager
def encoding_threads(threads: int) -> Iterator[Executor]:
    """Threads that encode while the body runs; what they have not begun when it ends is dropped."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="excerpt")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Excerpt:
    """One span of every stem of a stream of blocks, as data URIs that browsers play."""

    def __init__(self, span: Interval, sample_rate_hz: int, encoders: Executor, *, at_once: bool) -> None:
        """Begin to listen.

        Args:
            span: first frame and one past the last one.
            sample_rate_hz: of the blocks.
            encoders: what encodes.
            at_once: whether it begins with that when the span has gone by, and not only when it is told.
        """
        self._span, self._sample_rate_hz = span, sample_rate_hz
        self._encoders, self._at_once = encoders, at_once
        self._parts: list[NDArray[np.float32]] = []
        self._position = 0
        self._takes: list[Future[str]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all stems, [S, C, n]."""
        end = self._position + block.shape[-1]
        self._parts += [block[..., a:b].copy() for a, b in inside([self._span], self._position, end)]
        self._position = end
        if self._at_once and self._position >= self._span[1]:
            self.begin_encoding()

    def begin_encoding(self) -> None:
        """Have all of it encoded, unless that was begun before; the samples are let go of then."""
        if self._parts:
            stems = np.concatenate(self._parts, axis=-1)
            self._parts = []
            self._takes = [
                self._encoders.submit(audio_data_uri, stem, self._sample_rate_hz) for stem in stems
            ]

    def data_uris(self) -> Iterator[str]:
        """Give one a stem, in order, waiting for each."""
        self.begin_encoding()
        for take in self._takes:
            yield take.result()


@dataclass(frozen=True)
class _Row:
    name: str
    colour: str
    base: str | None
    adapted: str


def listening_room(report: JobReport, preview: Preview) -> str:
    """Return the players as HTML, with the audio inside."""
    rows = [_Row("mix", "var(--mix)", None, preview.mix)]
    for index, stem in enumerate(report.stems):
        base = None if preview.base is None else preview.base[index]
        rows.append(_Row(stem.source, source_colour(index), base, preview.adapted[index]))
    start_s = preview.start_frame / report.sample_rate_hz
    length_s = preview.frames / report.sample_rate_hz
    song_s = report.frames / report.sample_rate_hz
    compared = preview.base is not None
    heads = "<th>before adaptation</th><th>after adaptation</th>" if compared else "<th>stem</th>"
    body = "".join(_row(compared, row) for row in rows)
    return (
        f'<div class="room" data-start="{start_s:.6f}" data-song="{song_s:.6f}">'
        f"<p>{length_s:.0f} s from {clock(start_s)}. Switch while it plays: the position stays.</p>"
        f'<table class="takes"><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _row(compared: bool, row: _Row) -> str:
    head = f'<th scope="row"><i class="dot"></i>{escape(row.name)}</th>'
    if not compared:
        cells = _take(row.name, row.adapted)
    elif row.base is None:  # the mix: nothing was adapted about it
        cells = _take(row.name, row.adapted, columns=2)
    else:
        cells = _take(f"{row.name} before adaptation", row.base)
        cells += _take(f"{row.name} after adaptation", row.adapted)
    return f'<tr style="--colour:{row.colour}">{head}{cells}</tr>'


def _take(name: str, data_uri: str, columns: int = 1) -> str:
    player = f'<audio controls preload="auto" aria-label="{escape(name)}" src="{data_uri}"></audio>'
    return f'<td class="take" colspan="{columns}">{player}</td>'
