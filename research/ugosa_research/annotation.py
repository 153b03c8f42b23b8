"""Marks from true stems: the activation procedure of MedleyDB, as the paper uses it.

Bittner et al., "MedleyDB: A multitrack dataset for annotation-intensive MIR research", ISMIR 2014, applied to
each channel of each stem as in Cantisani et al. 2021:

1. Envelope: half-wave rectification, square root, windowed mean (Hann of 4096 samples, hop 2048).
2. The envelopes are brought to the audio rate, linearly between the windows' centres, and scaled over the S
   stems: H_i(n) <- S H_i(n) / max_n sum_i H_i(n), and 0 where the unscaled sum is below 0.01.
3. Second-order Butterworth low-pass, forward and backward.
4. Confidence c = 1 - 1 / (1 + exp(gamma (H - theta))); a source is active where c >= 0.5.

A mark holds for all channels: a source is SILENT where it is silent in every one, and ACTIVE elsewhere.

Memory is that of the envelopes (8 bytes for 2048 samples): the filter's response is short, so the frames are
judged block by block, with enough of their neighbours that the result is that of the whole song.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from ugosa_server.audio.frames import SourceFrames
from ugosa_server.marks import Interval, Mark, MarkState, complement, merge

WINDOW_SAMPLES = 4096
HOP_SAMPLES = WINDOW_SAMPLES // 2
MIN_TOTAL = 0.01  # of the summed envelopes; below, nothing plays. MedleyDB's `amplitude_threshold`
LOWPASS = 0.075  # of Nyquist; MedleyDB
LOWPASS_ORDER = 2
SLOPE = 20.0  # gamma; MedleyDB's `var_lambda`
THETA_PAPER = 0.15  # the level at which the confidence is one half; MedleyDB and the paper
THETA_AUTHORS_CODE = 0.01  # the published code's default
CONFIDENCE = 0.5
BLOCK_FRAMES = 128 * HOP_SAMPLES
CONTEXT_FRAMES = 1024  # the low-pass forgets by 0.85 a sample: 1e-70 over this distance

Stem = SourceFrames | NDArray[np.float32]


def annotate_stems(
    stems: Sequence[Stem], sources: Sequence[str], theta: float = THETA_PAPER
) -> tuple[Mark, ...]:
    """Marks that cover the whole song, SILENT or ACTIVE, of S stems `[T, C]` of one length; sorted."""
    frames = stems[0].shape[0]
    silent: list[list[Interval]] = [[] for _ in sources]
    for start, confidence in confidence_blocks(stems, theta):
        for spans, of_source in zip(silent, confidence, strict=True):
            is_silent = (of_source < CONFIDENCE).all(axis=0)
            spans.extend((start + first, start + stop) for first, stop in _runs(is_silent))
    marks: list[Mark] = []
    for source, spans in zip(sources, silent, strict=True):
        marks.extend(Mark(source, MarkState.SILENT, *span) for span in merge(spans))
        marks.extend(Mark(source, MarkState.ACTIVE, *span) for span in complement(spans, frames))
    return tuple(sorted(marks))


def confidence_blocks(stems: Sequence[Stem], theta: float) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (first frame, confidence c `[S, C, n]`) over the whole song."""
    frames = stems[0].shape[0]
    envelopes = np.stack([_envelope(stem) for stem in stems])  # [S, C, K]
    knots = np.minimum(np.arange(envelopes.shape[2]) * HOP_SAMPLES, frames - 1)
    at_knots = _at_audio_rate(envelopes, knots)
    loudest = at_knots.sum(axis=0).max(axis=-1)  # [C]; a piecewise linear function peaks at a knot
    scale = len(stems) / np.where(loudest > 0.0, loudest, 1.0)
    numerator, denominator = scipy.signal.butter(LOWPASS_ORDER, LOWPASS)
    shortest = 3 * max(len(numerator), len(denominator))  # filtfilt extends the ends by this many samples
    for start in range(0, frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, frames)
        n = np.arange(max(0, start - CONTEXT_FRAMES), min(frames, stop + CONTEXT_FRAMES))
        levels = _at_audio_rate(envelopes, n)  # [S, C, n]
        heard = levels.sum(axis=0) >= MIN_TOTAL
        levels = levels * scale[:, None] * heard
        padding = min(shortest, len(n) - 1)
        smooth = scipy.signal.filtfilt(numerator, denominator, levels, axis=-1, padlen=padding)
        smooth = smooth[..., start - n[0] : stop - n[0]]
        yield start, 1.0 - 1.0 / (1.0 + np.exp(SLOPE * (smooth - theta)))


def _envelope(stem: Stem) -> NDArray[np.float64]:
    """Step 1: the mean of window * sqrt(max(x, 0)) around every HOP_SAMPLES-th frame. `[C, K]`.

    Windows are centred at frames 0, HOP, 2 HOP, ... up to one at or past the last frame; there are zeros
    around the song.
    """
    frames, channels = stem.shape
    count = -(-(frames - 1) // HOP_SAMPLES) + 1
    window = np.hanning(WINDOW_SAMPLES + 2)[1:-1]  # without the zeros at its ends, as in MedleyDB
    halves = window[:HOP_SAMPLES], window[HOP_SAMPLES:]
    # A window is two hops long: each hop of samples counts in its second half and in the next one's first.
    envelope = np.zeros((channels, count + 1))
    for k in range(count):
        hop = stem[k * HOP_SAMPLES : (k + 1) * HOP_SAMPLES]  # [<= HOP, C]; empty past the end
        root = np.sqrt(np.maximum(hop, 0.0, dtype=np.float64)).T
        envelope[:, k] += root @ halves[1][: root.shape[1]]
        envelope[:, k + 1] += root @ halves[0][: root.shape[1]]
    return envelope[:, :count] / WINDOW_SAMPLES


def _at_audio_rate(envelopes: NDArray[np.float64], frames: NDArray[np.intp]) -> NDArray[np.float64]:
    """Step 2: envelopes `[S, C, K]` at some frames, linear between their windows' centres. `[S, C, n]`."""
    last = max(envelopes.shape[2] - 2, 0)
    knot = np.minimum(frames // HOP_SAMPLES, last)
    share = frames / HOP_SAMPLES - knot
    following = np.minimum(knot + 1, envelopes.shape[2] - 1)
    levels: NDArray[np.float64] = envelopes[..., knot] * (1.0 - share) + envelopes[..., following] * share
    return levels


def _runs(mask: NDArray[np.bool_]) -> list[Interval]:
    """Where a mask is true, as intervals."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
