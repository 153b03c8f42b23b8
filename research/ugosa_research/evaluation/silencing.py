"""The paper's way to give a song silences of known place: one segment of each source is zeroed in the STFT.

Cantisani et al. 2021: the song is cut into as many equal segments as there are sources (four), a random
permutation gives one to each source, and the source's STFT frames there are set to zero. The mixture is the
sum of the edited sources.

No Fourier transform is needed for it. A frame that is zeroed in the STFT vanishes from the overlap-add of the
inverse, and the others come back as they were, so with the window w, the hop H and frames k centred at k H

    y(n) = x(n) g(n),    g(n) = sum over kept k of w(n - k H)^2 / sum over all k of w(n - k H)^2,

which is what librosa.istft(librosa.stft(x) * mask) computes. The edges are smooth because windows overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from ugosa_server.audio.frames import BLOCK_FRAMES, SourceFrames
from ugosa_server.marks import Interval

N_FFT = 2048  # librosa's default; the Hann window is as long
HOP_SAMPLES = 512  # librosa's default

Stem = SourceFrames | NDArray[np.float32]


@dataclass(frozen=True)
class Silencing:
    """Zeroed STFT frames of each source."""

    frames: int
    """T, the length of the song in audio frames."""
    stft_spans: tuple[Interval, ...]
    """Zeroed STFT frames of each source; frame k is centred at audio frame k * HOP_SAMPLES."""

    def gains(self, start_frame: int, stop_frame: int) -> NDArray[np.float64]:
        """Return g(n) of every source for the audio frames [start_frame, stop_frame): [S, n]."""
        n = np.arange(start_frame, stop_frame)
        window = scipy.signal.get_window("hann", N_FFT)  # periodic, as in librosa
        total = np.zeros(len(n))
        kept = np.zeros((len(self.stft_spans), len(n)))
        overlapping = N_FFT // HOP_SAMPLES
        first = (n + N_FFT // 2) // HOP_SAMPLES - overlapping + 1  # the first STFT frame whose window holds n
        for offset in range(overlapping):
            k = first + offset
            exists = (k >= 0) & (k < stft_frames(self.frames))
            weight = np.where(exists, window[n + N_FFT // 2 - k * HOP_SAMPLES] ** 2, 0.0)
            total += weight
            for row, (start, stop) in zip(kept, self.stft_spans, strict=True):
                row += np.where((k < start) | (k >= stop), weight, 0.0)
        return kept / total  # never 0 / 0: within the song some centre is less than a hop away


def stft_frames(frames: int) -> int:
    """Return the number of STFT frames of a song, centred at 0, HOP, 2 HOP, ..."""
    return 1 + frames // HOP_SAMPLES


def draw_silencing(source_count: int, frames: int, seed: int) -> Silencing:
    """Give every source one of `source_count` equal segments, in an order drawn from `seed`."""
    edges = [segment * stft_frames(frames) // source_count for segment in range(source_count + 1)]
    order = np.random.default_rng(seed).permutation(source_count)
    return Silencing(frames, tuple((edges[segment], edges[segment + 1]) for segment in order))


def silenced_blocks(
    stems: Sequence[Stem], silencing: Silencing, block_frames: int = BLOCK_FRAMES
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield (edited stems `[S, n, C]`, their sum, the mixture `[n, C]`) for stems `[T, C]`."""
    for start in range(0, silencing.frames, block_frames):
        stop = min(start + block_frames, silencing.frames)
        gains = silencing.gains(start, stop)
        edited = np.stack(
            [stem[start:stop] * gain[:, None] for stem, gain in zip(stems, gains, strict=True)]
        ).astype(np.float32)
        yield edited, edited.sum(axis=0, dtype=np.float64).astype(np.float32)
