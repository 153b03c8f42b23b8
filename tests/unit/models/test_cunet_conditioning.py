"""Contexts of STFT frames: labels reach as far as marks do, and every player is seen at the right time."""

import numpy as np
import pytest

from ugosa_server.marks import Mark, MarkSet, MarkState
from ugosa_server.marks.players import VisualFrame
from ugosa_server.models.cunet.conditioning import LabelContexts, VideoContexts
from ugosa_server.models.cunet.config import GRID
from ugosa_server.separation.masks import mask_frames

RATE_HZ = 11025
FRAME_RATE_HZ = RATE_HZ / 256
SOURCES = ("cello", "flute", "violin")
REACH = 511 + 256  # a frame's half window, and a hop


def contexts(marks, n_samples, rate_hz=RATE_HZ):
    n_frames = mask_frames(round(n_samples * RATE_HZ / rate_hz), GRID)
    return LabelContexts(MarkSet(tuple(marks)), SOURCES, rate_hz, n_samples, GRID, RATE_HZ, n_frames)


def silent(source, start, end):
    return Mark(source, MarkState.SILENT, start, end)


def seen(player=0, frame=0, value=1.0, n_features=2048):
    return VisualFrame(player, frame, np.full(n_features, value, "<f2").tobytes())


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_marks_are_in_frames_of_the_song_and_reach_to_its_ends(rate_hz):
    n_samples = 4 * rate_hz
    found, choice = contexts((silent("flute", 0, n_samples),), n_samples, rate_hz).between(-30, 500)
    assert found.tolist() == [[1, 0, 1]]
    assert choice.tolist() == [0] * 530
    found, choice = contexts((silent("flute", rate_hz, 2 * rate_hz),), n_samples, rate_hz).between(0, 172)
    times_s = np.flatnonzero(found[choice][:, 1] == 0) * 256 / RATE_HZ
    assert times_s[0] - REACH / RATE_HZ >= 1.0 > times_s[0] - (REACH + 256) / RATE_HZ
    assert times_s[-1] + REACH / RATE_HZ <= 2.0 < times_s[-1] + (REACH + 256) / RATE_HZ


def test_mark_too_short_for_a_frame_changes_no_label():
    found, _ = contexts((silent("flute", 5_000, 6_400),), 60_000).between(0, 236)
    assert found.tolist() == [[1, 1, 1]]


def test_one_frame_is_the_nearest_to_the_start_of_the_window():
    frames = [seen(1, 44_100 * t, value=t + 1) for t in (0, 6, 12)] + [seen(3, 0, value=9)]
    contexts = VideoContexts(frames, (7, 2048), 44_100, FRAME_RATE_HZ)
    for start_s, expected in ((0.0, 1), (2.9, 1), (3.1, 7), (8.0, 7), (500.0, 13), (-0.5, 1)):
        start = round(start_s * FRAME_RATE_HZ)
        context, choice = contexts.between(start, start + 256)
        assert context.shape == (1, 7, 2048)
        assert choice.tolist() == [0] * 256
        assert (context[0, 1] == expected).all()
        assert (context[0, 3] == 9).all()
        assert not context[0, [0, 2, 4, 5, 6]].any()


def test_n_frames_are_spread_over_the_window():
    frames = [seen(0, 48_000 * t, value=t) for t in range(12)]
    contexts = VideoContexts(frames, (7, 3, 2048), 48_000, FRAME_RATE_HZ)
    context, _ = contexts.between(round(2 * FRAME_RATE_HZ), round(2 * FRAME_RATE_HZ) + 256)  # 2 s to 7.94 s
    assert context[0, 0, :, 0].tolist() == [2, 4, 6]
