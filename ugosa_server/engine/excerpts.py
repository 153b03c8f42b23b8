"""Excerpts for the report: kept while blocks of the whole song go by, encoded on threads of their own.

Encoding is most of a report's work. It is done side by side with the rest of it; where a GPU computes, as
soon as there is something to encode, since the CPU has little else to do then.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ugosa_server.activations.intervals import Interval, inside
from ugosa_server.report.excerpt_audio import audio_data_uri


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
