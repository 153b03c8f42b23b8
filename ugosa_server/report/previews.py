"""Previews: one span of the mix and of every stem, as data URIs that every browser plays.

Encoding is most of a report's work. It is done on threads of its own beside the rest of the run; where a GPU
computes, as soon as there is something to encode, since the CPU has little else to do then.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from numpy.typing import NDArray

from ugosa_server.marks import Interval, inside

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
        sample_rate_hz: its rate; resampled if MP3 does not know it.
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
        for given in (frame, None):  # None flushes the encoder
            file.mux(stream.encode(given))
    return buffer.getvalue()


@contextmanager
def encoding_threads(threads: int) -> Iterator[Executor]:
    """Threads that encode while the block runs; tasks not begun when it ends are dropped."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="preview")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class PreviewRecorder:
    """Records one span of every stem of a stream of blocks, and encodes it."""

    def __init__(self, span: Interval, sample_rate_hz: int, encoders: Executor, *, at_once: bool) -> None:
        """Begin before the first block.

        Args:
            span: first frame and one past the last one.
            sample_rate_hz: rate of the blocks.
            encoders: threads that encode.
            at_once: True to encode as soon as the span has gone by; False = when `encode` is called.
        """
        self._span, self._sample_rate_hz = span, sample_rate_hz
        self._encoders, self._at_once = encoders, at_once
        self._parts: list[NDArray[np.float32]] = []
        self._position = 0
        self._uris: list[Future[str]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all stems, [S, C, n]."""
        end = self._position + block.shape[-1]
        self._parts += [block[..., a:b].copy() for a, b in inside([self._span], self._position, end)]
        self._position = end
        if self._at_once and self._position >= self._span[1]:
            self.encode()

    def encode(self) -> list[Future[str]]:
        """Begin to encode, unless that was begun before; return the data URI of each stem, in order."""
        if self._parts:
            stems = np.concatenate(self._parts, axis=-1)
            self._parts = []  # frees the samples
            self._uris = [self._encoders.submit(audio_data_uri, stem, self._sample_rate_hz) for stem in stems]
        return self._uris
