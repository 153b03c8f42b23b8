"""Prepared songs: silences where they were drawn, a mixture that is the sum, marks that say so."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ugosa_research.evaluation.datasets import SOURCES, find_songs
from ugosa_research.evaluation.marks_files import read_marks
from ugosa_research.evaluation.preparation import PreparationOptions, prepare, prepared_songs
from ugosa_server.errors import BadAudioError, BadRegionError
from ugosa_server.marks import MarkState

RATE_HZ = 8000
SECONDS = 12
OPTIONS = PreparationOptions(seed=4)


def noise(seed, channels=2):
    return (0.1 * np.random.default_rng(seed).normal(size=(SECONDS * RATE_HZ, channels))).astype(np.float32)


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "raw" / "four"
    folder.mkdir(parents=True)
    for number, source in enumerate(SOURCES):
        soundfile.write(folder / f"{source}.wav", noise(number), RATE_HZ, subtype="FLOAT")
    folder = tmp_path / "raw" / "two"
    folder.mkdir()
    for number, name in enumerate(("guitar", "song")):
        soundfile.write(folder / f"{name}.wav", noise(10 + number), RATE_HZ, subtype="FLOAT")
    return tmp_path / "raw"


def stems_of(song):
    return np.stack([soundfile.read(stem.path, always_2d=True)[0] for stem in song.stems])


def silent_seconds(marks, source):
    return sum(
        (mark.end_frame - mark.start_frame) / RATE_HZ
        for mark in marks
        if mark.source == source and mark.state is MarkState.SILENT
    )


def test_quarter_of_every_stem_is_silent_and_mix_is_the_sum(dataset, tmp_path):
    for song in prepare(find_songs(dataset), tmp_path / "out", OPTIONS):
        stems = stems_of(song)
        mix = soundfile.read(song.folder / "mix.wav", always_2d=True)[0]
        np.testing.assert_allclose(mix, stems.sum(axis=0), atol=1e-6)
        silent = (stems == 0).all(axis=-1)  # [S, T]
        np.testing.assert_allclose(silent.mean(axis=1), 0.25, atol=0.03)
        assert (silent.sum(axis=0) <= 1).all()  # no two at once


def test_marks_say_where_the_stems_are_silent(dataset, tmp_path):
    four, two = prepare(find_songs(dataset), tmp_path / "out", OPTIONS)
    for song in (four, two):
        marks = read_marks(song.folder / "marks.json")
        for stem, truth in zip(song.stems, stems_of(song), strict=True):
            for source in stem.sources:
                spans = [m for m in marks if m.source == source and m.state is MarkState.SILENT]
                marked = sum(m.end_frame - m.start_frame for m in spans)
                assert marked == pytest.approx(
                    0.25 * song.frames, rel=0.15
                )  # edges: 4096 samples, half a second
                heard = sum(np.abs(truth[m.start_frame : m.end_frame]).sum() for m in spans)
                assert heard < 0.02 * np.abs(truth).sum()


def test_that_a_group_sounds_says_nothing_of_its_sources(dataset, tmp_path):
    song = list(prepare(find_songs(dataset), tmp_path / "out", OPTIONS))[1]
    active = {m.source for m in read_marks(song.folder / "marks.json") if m.state is MarkState.ACTIVE}
    assert active == {"other"}


def test_labels_can_be_read_in_audacity(dataset, tmp_path):
    song = next(iter(prepare(find_songs(dataset), tmp_path / "out", OPTIONS)))
    lines = (song.folder / "marks.txt").read_text().splitlines()
    marks = read_marks(song.folder / "marks.json")
    assert len(lines) == len(marks)
    for line in lines:
        start_s, end_s, name = line.split("\t")
        state = MarkState.SILENT if name.startswith("no ") else MarkState.ACTIVE
        spans = {(round(float(start_s) * RATE_HZ), round(float(end_s) * RATE_HZ))}
        assert spans & {(m.start_frame, m.end_frame) for m in marks if m.state is state}


def test_the_seed_and_the_name_decide(dataset, tmp_path):
    def written(out, options, songs):
        list(prepare(songs, tmp_path / out, options))
        return (tmp_path / out / "two" / "mix.wav").read_bytes()

    songs = find_songs(dataset)
    assert written("a", OPTIONS, songs) == written("b", OPTIONS, songs[1:])
    others = {written(f"c{seed}", replace(OPTIONS, seed=seed), songs[1:]) for seed in range(6)}
    assert len(others) > 2


def test_second_call_keeps_finished_songs_and_repeats_others(dataset, tmp_path):
    out = tmp_path / "out"
    list(prepare(find_songs(dataset), out, OPTIONS))
    (out / "two" / "song.json").unlink()
    (out / "two" / "mix.wav").write_bytes(b"half a file")
    kept = (out / "four" / "mix.wav").stat().st_mtime_ns
    list(prepare(find_songs(dataset), out, OPTIONS))
    assert (out / "four" / "mix.wav").stat().st_mtime_ns == kept
    assert soundfile.info(out / "two" / "mix.wav").frames == SECONDS * RATE_HZ
    list(prepare(find_songs(dataset), out, replace(OPTIONS, theta=0.01)))
    assert json.loads((out / "four" / "song.json").read_text())["options"]["theta"] == 0.01


def test_an_excerpt_is_the_middle_and_holds_all_four_segments(dataset, tmp_path):
    options = replace(OPTIONS, max_seconds=4.0)
    song = next(iter(prepare(find_songs(dataset), tmp_path / "out", options)))
    stems = stems_of(song)
    assert song.frames == 4 * RATE_HZ
    original = soundfile.read(dataset / "four" / "drums.wav")[0][4 * RATE_HZ : 8 * RATE_HZ]
    sounding = stems[0].any(axis=-1)
    same = np.abs(stems[0] - original).max(axis=-1) < 1e-6
    assert same[sounding].mean() > 0.8
    np.testing.assert_allclose((~sounding).mean(), 0.25, atol=0.1)


def test_songs_can_be_left_as_they_are(dataset, tmp_path):
    song = next(iter(prepare(find_songs(dataset), tmp_path / "out", replace(OPTIONS, silence=False))))
    np.testing.assert_allclose(stems_of(song)[2], noise(2), atol=1e-7)


def test_prepared_songs_come_back_in_order(dataset, tmp_path):
    songs = list(prepare(find_songs(dataset), tmp_path / "out", OPTIONS))
    assert prepared_songs(tmp_path / "out") == songs
    with pytest.raises(BadAudioError, match="evaluate prepare"):
        prepared_songs(dataset)
    with pytest.raises(BadRegionError, match="holds no marks"):
        read_marks(dataset / "marks.json")
