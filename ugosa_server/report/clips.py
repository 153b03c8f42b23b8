"""Clips: short pieces of audio inside the page, as data URIs that every browser of today plays.

Opus, since the page is to stay below 1 MB: a quarter of MP3's bytes for the same ear, in half its time.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import av
import numpy as np
import numpy.typing as npt
import soxr

ENCODER = "libopus"
RATE_HZ = 48_000  # of Opus
PAGE_CLIPS_BYTES = 584_000  # of all clips of a page, before base64
LANE_BYTES = 2_000  # less for each clip: the drawing of its stem, by three takes
MAX_BIT_RATE = 96_000  # of a clip; Opus is transparent there for most music
MIN_BIT_RATE = 40_000  # below, clips are shortened instead
CLIP_S = 8.0  # at most
MIN_CLIP_S = 0.1  # below, a page has none
ENCODER_OPTIONS = {"compression_level": "5", "vbr": "constrained"}  # of 10, which takes half as long again


def can_encode() -> bool:
    """Return whether FFmpeg was built with the encoder; PyAV's own packages are."""
    return ENCODER in av.codecs_available


def clips_bytes(n_clips: int) -> int:
    """Return how large so many clips can be together, for a page below 1 MB."""
    return PAGE_CLIPS_BYTES - LANE_BYTES * n_clips


def clip_seconds(n_clips: int) -> float:
    """Return how long each of so many clips of a page can be."""
    return min(CLIP_S, clips_bytes(n_clips) * 8 / MIN_BIT_RATE / n_clips)


def clip_bit_rate(n_clips: int, seconds: float) -> int:
    """Return the bits a second that so many clips of that length can have in a page."""
    return min(MAX_BIT_RATE, int(clips_bytes(n_clips) * 8 / seconds / n_clips))


def clip_data_uri(audio: npt.NDArray[np.float32], sample_rate_hz: int, bit_rate: int) -> str:
    """Return audio as a data URI of Ogg Opus.

    Args:
        audio: mono or stereo, [C, n], n at least 1.
        sample_rate_hz: its rate.
        bit_rate: bits a second, on the whole.
    """
    playable = np.clip(audio, -1.0, 1.0).T  # [n, C]; the codec distorts what is above full scale
    if sample_rate_hz != RATE_HZ:
        playable = soxr.resample(playable, sample_rate_hz, RATE_HZ)
    if not len(playable):  # of a song of a few frames; FFmpeg would say that memory is short
        playable = np.zeros((1, len(audio)), np.float32)
    layout = "mono" if len(audio) == 1 else "stereo"
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as file:
        stream = file.add_stream(ENCODER, rate=RATE_HZ, layout=layout, options=ENCODER_OPTIONS)
        assert isinstance(stream, av.AudioStream)
        stream.bit_rate = bit_rate
        samples = np.ascontiguousarray(playable, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate = RATE_HZ
        for given in (frame, None):  # None flushes the encoder
            file.mux(stream.encode(given))
    return f"data:audio/ogg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@contextmanager
def encoding_threads(threads: int) -> Iterator[Executor]:
    """Threads that encode while the block runs; tasks not begun when it ends are dropped."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="clip")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
