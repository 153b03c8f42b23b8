"""Marks become activities and gains: frame-exact, three-state, and faded without a jump."""

import numpy as np
import pytest

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import AllSilentError
from ugosa_server.marks import (
    Mark,
    MarkSet,
    MarkState,
    SilenceGains,
    check_all_silent,
    fade_frames,
    without_all_silent,
)
from ugosa_server.marks.activity import activity
from ugosa_server.marks.validate import all_silent_spans

SOURCES = ("drums", "bass")
RATE_HZ = 44_100
FADE = fade_frames(RATE_HZ)


def gains_of(marks: list[Mark], frames: int, start: int = 0, stop: int | None = None) -> np.ndarray:
    gains = SilenceGains(MarkSet(tuple(marks)), SOURCES, frames, RATE_HZ)
    return gains.between(start, frames if stop is None else stop)


def silent(source: str, start: int, end: int) -> Mark:
    return Mark(source, MarkState.SILENT, start, end)


def test_only_silent_marks_make_a_source_inactive():
    marks = [silent("bass", 3, 5), Mark("bass", MarkState.ACTIVE, 5, 7), silent("drums", 0, 2)]
    np.testing.assert_array_equal(
        activity(MarkSet(tuple(marks)), SOURCES, 1, 8), [[0, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1, 1]]
    )


@pytest.mark.parametrize(
    ("source_rate_hz", "model_rate_hz"), [(48_000, 44_100), (96_000, 44_100), (44_100, 44_100)]
)
def test_activity_at_another_rate_is_that_of_the_same_time(source_rate_hz, model_rate_hz):
    marks = [silent("drums", 100, 481), silent("bass", 0, 7), silent("bass", 960, 961)]
    at_source = activity(MarkSet(tuple(marks)), SOURCES, 0, 2000)
    m = np.arange(10, 800)
    expected = at_source[:, m * source_rate_hz // model_rate_hz]  # the source frame that the time m lies in
    moved = MarkSet(tuple(marks)).at_rate(source_rate_hz, model_rate_hz)
    got = activity(moved, SOURCES, 10, 800)
    # A model frame lies in a mark if its time does: start * model_rate <= m * source_rate < end * model_rate.
    np.testing.assert_array_equal(got, expected)


def test_gains_fade_inside_the_region_and_are_zero_past_the_fade():
    start, end, frames = 2000, 6000, 10_000
    gains = gains_of([silent("bass", start, end)], frames)
    assert np.all(gains[0] == 1)
    assert np.all(gains[1, :start] == 1)
    assert np.all(gains[1, end:] == 1)
    assert np.all(gains[1, start + FADE - 1 : end - FADE + 1] == 0)
    assert np.all(gains[1, start : start + FADE - 1] > 0)
    steps = np.abs(np.diff(gains[1]))
    assert steps.max() <= np.pi / 2 / FADE
    np.testing.assert_allclose(gains[1, start:end], gains[1, start:end][::-1])


def test_an_edge_at_the_start_or_end_of_the_song_has_no_fade():
    gains = gains_of([silent("bass", 0, 9000)], 9000)
    assert np.all(gains[1] == 0)


def test_a_region_shorter_than_two_fades_fades_part_of_the_way():
    gains = gains_of([silent("bass", 1000, 1000 + FADE)], 5000)[1]
    half = (FADE + 1) // 2
    assert gains.min() == pytest.approx(0.5 * (1 + np.cos(np.pi * half / FADE)))
    assert np.abs(np.diff(gains)).max() <= np.pi / 2 / FADE


def test_touching_marks_fade_once():
    whole = gains_of([silent("bass", 1000, 5000)], 9000)
    parts = [silent("bass", 3000, 5000), silent("bass", 1000, 3000), silent("bass", 1500, 2500)]
    np.testing.assert_array_equal(gains_of(parts, 9000), whole)


def test_gains_of_a_part_are_a_part_of_the_gains():
    marks = [silent("bass", 1000, 5000), silent("drums", 10, 1400)]
    whole = gains_of(marks, 9000)
    for start, stop in ((0, 1), (999, 1500), (1200, 4990), (8999, 9000)):
        np.testing.assert_array_equal(gains_of(marks, 9000, start, stop), whole[:, start:stop])


def write_song(path, samples: np.ndarray) -> SourceAudio:
    samples.astype("<f4").tofile(path)
    return SourceAudio(
        str(path), RATE_HZ, samples.shape[1], len(samples), "WAV FLOAT", float(np.abs(samples).max())
    )


def test_all_silent_under_a_sounding_mix_names_times_and_level(tmp_path):
    song = np.full((4 * RATE_HZ, 2), 0.5)
    marks = [silent("drums", RATE_HZ, 3 * RATE_HZ), silent("bass", 2 * RATE_HZ, 4 * RATE_HZ)]
    with pytest.raises(
        AllSilentError, match=r"from 0:02\.0 to 0:03\.0, .*peak -6\.0 dBFS.*unmark at least one"
    ):
        check_all_silent(MarkSet(tuple(marks)), SOURCES, write_song(tmp_path / "song.f32", song))


def test_all_silent_under_a_silent_mix_is_accepted(tmp_path):
    song = np.full((4 * RATE_HZ, 1), 0.5)
    marks = [silent("drums", RATE_HZ, 3 * RATE_HZ), silent("bass", 2 * RATE_HZ, 4 * RATE_HZ)]
    ((start, stop),) = all_silent_spans(MarkSet(tuple(marks)), SOURCES, len(song), RATE_HZ)
    song[start:stop] = 10 ** (-91 / 20)
    check_all_silent(MarkSet(tuple(marks)), SOURCES, write_song(tmp_path / "song.f32", song))


def test_all_silent_spans_are_where_every_gain_is_zero():
    frames = 20_000
    marks = [silent("drums", 0, 6000), silent("bass", 2000, 8000), silent("drums", 7000, 20_000)]
    marks += [silent("bass", 15_000, 20_000)]
    gains = gains_of(marks, frames)
    expected = np.all(gains == 0, axis=0)
    got = np.zeros(frames, dtype=bool)
    for start, stop in all_silent_spans(MarkSet(tuple(marks)), SOURCES, frames, RATE_HZ):
        got[start:stop] = True
    np.testing.assert_array_equal(got, expected)


def test_without_all_silent_removes_shared_silence_only():
    marks = [silent("drums", 0, 600), silent("bass", 400, 900), Mark("bass", MarkState.ACTIVE, 900, 1000)]
    marks += [silent("drums", 850, 1000)]
    before = activity(MarkSet(tuple(marks)), SOURCES, 0, 1000)
    left = without_all_silent(MarkSet(tuple(marks)), SOURCES)
    after = activity(left, SOURCES, 0, 1000)
    shared = ~before.any(axis=0)
    assert shared.sum() == 250
    assert np.all(after[:, shared] == 1)
    np.testing.assert_array_equal(after[:, ~shared], before[:, ~shared])
    assert Mark("bass", MarkState.ACTIVE, 900, 1000) in left.marks
    assert without_all_silent(MarkSet(), SOURCES) == MarkSet()
