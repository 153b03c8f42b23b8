"""Marks from stems: against the procedure written out plainly, and on stems whose silences are known."""

import numpy as np
import pytest
import scipy.signal

from ugosa_research import annotation
from ugosa_research.annotation import THETA_AUTHORS_CODE, annotate_stems, confidence_blocks
from ugosa_server.marks import MarkState

SOURCES = ("drums", "bass", "vocals")
RATE_HZ = 44_100


def bursts(frames: int, seed: int, channels: int = 2) -> np.ndarray:
    """Noise that comes and goes."""
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.choice([0.0, 0.0, 0.02, 0.4], frames // 9000 + 1), 9000)[:frames]
    return (rng.normal(0, 1, (frames, channels)) * level[:, None]).astype(np.float32)


def confidence_by_hand(stems: list[np.ndarray], theta: float) -> np.ndarray:
    """The module's docstring, the whole song at once, one window at a time. `[S, C, T]`."""
    frames, channels = stems[0].shape
    window = scipy.signal.windows.hann(4098)[1:-1]
    centres = np.arange(0, frames + 2048, 2048)
    h = np.zeros((len(stems), channels, frames))
    for i, stem in enumerate(stems):
        padded = np.pad(stem.astype(np.float64), ((2048, 8192), (0, 0)))
        for c in range(channels):
            root = np.sqrt((padded[:, c] + np.abs(padded[:, c])) / 2)
            means = [np.mean(root[centre : centre + 4096] * window) for centre in centres]
            h[i, c] = np.interp(np.arange(frames), centres, means)
    total = h.sum(axis=0)
    h = len(stems) * h / total.max(axis=-1)[:, None]
    h[:, total < 0.01] = 0
    h = scipy.signal.filtfilt(*scipy.signal.butter(2, 0.075), h, axis=-1)
    return 1 - 1 / (1 + np.exp(20 * (h - theta)))


@pytest.mark.parametrize("frames", [30_001, 90_112])
@pytest.mark.parametrize("theta", [0.15, THETA_AUTHORS_CODE])
def test_confidence_is_the_procedure_whatever_the_blocks(frames, theta, monkeypatch):
    monkeypatch.setattr(annotation, "BLOCK_FRAMES", 10_000)
    stems = [bursts(frames, seed) for seed in range(3)]
    parts = list(confidence_blocks(stems, theta))
    assert [start for start, _ in parts] == list(range(0, frames, 10_000))
    confidence = np.concatenate([part for _, part in parts], axis=-1)
    np.testing.assert_allclose(confidence, confidence_by_hand(stems, theta), atol=1e-9)


def test_marks_cover_the_song_silent_where_every_channel_is():
    frames = 90_112
    stems = [bursts(frames, seed) for seed in range(3)]
    stems[1][:, 1] = 0  # one channel alone keeps a source active
    marks = annotate_stems(stems, SOURCES)
    expected = (confidence_by_hand(stems, 0.15) < 0.5).all(axis=1)
    for source, silent in zip(SOURCES, expected, strict=True):
        got = np.full(frames, -1)
        for mark in marks:
            if mark.source == source:
                assert np.all(got[mark.start_frame : mark.end_frame] == -1)
                got[mark.start_frame : mark.end_frame] = mark.state is MarkState.SILENT
        np.testing.assert_array_equal(got, silent)
    assert {mark.state for mark in marks} == {MarkState.ACTIVE, MarkState.SILENT}


def test_a_known_silence_is_found_within_a_window():
    stems = [np.random.default_rng(i).normal(0, 0.3, (5 * RATE_HZ, 2)).astype(np.float32) for i in range(3)]
    stems[2][2 * RATE_HZ : 3 * RATE_HZ] = 0
    silent = [mark for mark in annotate_stems(stems, SOURCES) if mark.state is MarkState.SILENT]
    assert [mark.source for mark in silent] == ["vocals"]
    assert silent[0].start_frame == pytest.approx(2 * RATE_HZ, abs=4096)
    assert silent[0].end_frame == pytest.approx(3 * RATE_HZ, abs=4096)


@pytest.mark.parametrize("frames", [1, 2, 5, 2048, 2049])
def test_short_and_silent_stems_are_silent(frames):
    marks = annotate_stems([np.zeros((frames, 1), dtype=np.float32)] * 3, SOURCES)
    assert [(m.source, m.state, m.start_frame, m.end_frame) for m in marks] == [
        (source, MarkState.SILENT, 0, frames) for source in sorted(SOURCES)
    ]
