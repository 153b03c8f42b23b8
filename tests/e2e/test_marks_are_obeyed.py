"""Marked silence is silent, without a click; marks that cannot be are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.jobs import QUICK, silent
from tests.helpers.songs import SOURCES, Song, make_song, peak_dbfs, read_audio, write_song
from ugosa_client import JobOptions, Notice, SeparationRequest, UgosaClient
from ugosa_client.errors import BadRegionError

FADE_S = 0.010
SILENCE_DBFS = -90.0


@pytest.mark.parametrize("sample_rate_hz", [44100, 48000])
def test_marked_silence_is_silent_past_the_fade(client: UgosaClient, tmp_path: Path, sample_rate_hz: int):
    song = make_song(3 * sample_rate_hz, sample_rate_hz)
    marks = [
        silent("vocals", song.frame(0.5), song.frame(1.5)),
        silent("drums", song.frame(1.2), song.frame(2.0)),
        silent("bass", 0, song.frame(0.4)),
    ]
    path = write_song(song, tmp_path / "song.wav", "PCM_24")
    result = client.separate(SeparationRequest(path, marks=marks, options=QUICK), tmp_path / "stems")
    for mark in marks:
        start = mark.start_frame + song.frame(FADE_S) if mark.start_frame else 0
        inside = read_audio(result.files.stems[mark.source])[start : mark.end_frame - song.frame(FADE_S)]
        assert peak_dbfs(inside) <= SILENCE_DBFS
        outside = read_audio(result.files.stems[mark.source])[mark.end_frame + song.frame(0.1) :]
        assert peak_dbfs(outside) > SILENCE_DBFS
    report = json.loads(result.files.report_json.read_text(encoding="utf-8"))
    by_source = {stem["source"]: stem for stem in report["stems"]}
    for mark in marks:
        level = by_source[mark.source]["silence_peak_dbfs"]
        assert level is None or level == "-inf" or float(level) <= SILENCE_DBFS


def test_no_click_at_the_edges_of_a_mark(client: UgosaClient, tmp_path: Path):
    song = make_song(2 * 44100)
    path = write_song(song, tmp_path / "song.wav", "PCM_24")
    base = JobOptions(strategy="B0")
    plain = read_audio(
        client.separate(SeparationRequest(path, options=base), tmp_path / "plain").files.stems["vocals"]
    )
    # The worst places to cut: where the stem is farthest from zero.
    start, end = (loudest_frame(plain, song.frame(t), song.frame(t + 0.1)) for t in (0.7, 1.3))
    marks = [silent("vocals", start, end)]
    marked = read_audio(
        client.separate(SeparationRequest(path, marks=marks, options=base), tmp_path / "marked").files.stems[
            "vocals"
        ]
    )
    for edge in (start, end):
        around = slice(edge - song.frame(2 * FADE_S), edge + song.frame(2 * FADE_S))
        fade_step = np.pi / 2 / song.frame(FADE_S) * np.max(np.abs(plain[around]))  # of a raised cosine
        assert largest_step(marked[around]) <= largest_step(plain[around]) + fade_step
        assert largest_step(marked[around]) < np.max(np.abs(plain[edge])), "that is the step of a hard cut"


def loudest_frame(samples: np.ndarray, start: int, end: int) -> int:
    return start + int(np.argmax(np.abs(samples[start:end]).max(axis=1)))


def largest_step(samples: np.ndarray) -> float:
    return float(np.max(np.abs(np.diff(samples, axis=0))))


def test_a_span_that_sounds_cannot_be_silent_in_all_stems(client: UgosaClient, tmp_path: Path):
    path = write_song(make_song(2 * 44100), tmp_path / "song.wav")
    upload = client.upload(path)
    marks = [silent(source, 20000, 40000) for source in SOURCES]
    before = [job.job_id for job in client.list_jobs()]
    with pytest.raises(BadRegionError, match=r"silent from 0:00\.5 to 0:00\.9") as caught:
        client.create_job(upload.upload_id, marks=marks)
    assert caught.value.reason == "ALL_SILENT"
    assert [job.job_id for job in client.list_jobs()] == before


def test_all_sources_may_be_silent_where_the_song_is(client: UgosaClient, tmp_path: Path):
    song = make_song(2 * 44100)
    samples = song.samples.copy()
    samples[20000:40000] = 0
    path = write_song(Song(samples, 44100), tmp_path / "song.wav", "PCM_24")
    marks = [silent(source, 20500, 39500) for source in SOURCES]
    result = client.separate(SeparationRequest(path, marks=marks, options=QUICK), tmp_path / "stems")
    np.testing.assert_array_equal(
        sum(read_audio(stem) for stem in result.files.stems.values()), read_audio(path)
    )


def test_a_song_without_marks_is_separated_with_a_notice(client: UgosaClient, tmp_path: Path):
    path = write_song(make_song(30000), tmp_path / "song.wav")
    events = []
    result = client.separate(
        SeparationRequest(path, options=JobOptions()), tmp_path / "stems", on_event=events.append
    )
    assert "NO_MARKS" in [event.reason for event in events if isinstance(event, Notice)]
    assert len(result.files.stems) == len(SOURCES)
