"""Rendered performances stay in range and in time; splits share no score; rights and layouts are right."""

import dataclasses
import zipfile

import numpy as np
import pytest
import soundfile

from ugosa_research.songs.ensembles.dataset import HELD_OUT, TRAINING_SOUNDFONTS, write_urmp
from ugosa_research.songs.ensembles.instruments import INSTRUMENT_NAMES, INSTRUMENTS, instrument_named
from ugosa_research.songs.ensembles.performance import Tempo, in_range, perform
from ugosa_research.songs.ensembles.scores import (
    RESERVED,
    SPLITS,
    Score,
    ScoreNote,
    rights_statement,
    split_of,
)
from ugosa_research.songs.ensembles.takes import plan_take, render_take
from ugosa_server.errors import ConfigError
from ugosa_server.models.cunet.config import INSTRUMENTS as CLASSES

RATE_HZ = 11025


def scale(first_key, n=64):
    return tuple(ScoreNote(float(i), 1.0, first_key + (i % 8)) for i in range(n))


SCORES = [
    Score("bach.bwv1", (scale(72), scale(64), scale(57), scale(45)), ""),
    Score("ryansMammoth.AReel", (scale(74),), ""),
]


class SinePlayer:
    """Plays events as sines: what a soundfont is replaced by where there is none."""

    def play(self, soundfont, program, events, room, duration_s):
        t = np.arange(int(44100 * duration_s)) / 44100
        audio = np.zeros(len(t), np.float32)
        started = {}
        for event in events:
            if event.kind == "on":
                started[event.number] = event
            elif event.kind == "off" and event.number in started:
                on = started.pop(event.number)
                span = (t >= on.time_s) & (t < event.time_s)
                hz = 440 * 2 ** ((event.number - 69) / 12)
                audio[span] += on.value / 1270 * np.sin(2 * np.pi * hz * t[span]).astype(np.float32)
        return audio


def test_instruments_are_the_network_classes_in_order():
    assert INSTRUMENT_NAMES == CLASSES


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=INSTRUMENT_NAMES)
def test_every_part_is_played_within_the_instruments_range(instrument):
    for lowest in (20, 45, 72, 90):
        keys = in_range(np.arange(lowest, lowest + 16), instrument)
        assert keys.min() >= instrument.lowest_key
        assert keys.max() <= instrument.highest_key
    assert instrument_named(instrument.abbreviation.upper()) is instrument
    assert instrument_named(instrument.folder) is instrument


def test_an_unknown_instrument_is_told_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'kazoo' is no instrument .* Violin \(vn\)"):
        instrument_named("kazoo")


def test_a_performance_is_in_order_and_ends_every_note():
    rng = np.random.default_rng(0)
    notes = scale(60)
    tempo = Tempo(rng, 90.0, 0.0, 64.0)
    events = perform(rng, notes, np.array([note.key for note in notes]), INSTRUMENTS[4], tempo)
    times = [event.time_s for event in events]
    assert times == sorted(times)
    on, off = ([e for e in events if e.kind == kind] for kind in ("on", "off"))
    assert len(on) == len(off) == len(notes)
    assert all(1 <= event.value <= 127 for event in on)
    error_s = [event.time_s - tempo.seconds(note.start) for event, note in zip(on, notes, strict=True)]
    assert 0.001 < np.std(error_s) < 0.03  # human, not drunk


def test_players_of_a_take_share_one_tempo():
    tempo = Tempo(np.random.default_rng(1), 120.0, 8.0, 72.0)
    seconds = [tempo.seconds(position) for position in np.arange(8.0, 72.0, 0.5)]
    assert seconds[0] == 0.0
    assert (np.diff(seconds) > 0.2).all()
    assert seconds[-1] == pytest.approx(32.0, rel=0.1)


@pytest.mark.parametrize("split", SPLITS)
def test_a_take_is_a_function_of_seed_split_and_number(split):
    one, same = (plan_take(7, split, 3, SCORES, 3) for _ in range(2))
    assert one == same
    assert one != dataclasses.replace(plan_take(7, split, 4, SCORES, 3), name=one.name)
    assert len(one.instruments) == len(one.parts) == len(one.soundfonts)


def test_rendered_parts_are_balanced_and_do_not_clip():
    take = plan_take(0, "test", 0, SCORES[:1], 1)
    font = TRAINING_SOUNDFONTS[0].path  # never opened by this player
    parts, again = (render_take(take, SCORES[0], (font,), SinePlayer(), 12.0, RATE_HZ) for _ in range(2))
    played = [part for part in parts if part is not None]
    assert len(played) >= 2
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True) if a is not None)
    assert all(len(part) == 12 * RATE_HZ for part in played)
    assert np.abs(np.sum(played, axis=0)).max() <= 0.9 + 1e-6
    levels_db = [20 * np.log10(np.sqrt(np.mean(part**2))) for part in played]
    assert max(levels_db) - min(levels_db) <= 12.1


def test_urmp_layout_holds_the_mix_and_its_parts(tmp_path):
    take = plan_take(0, "test", 0, SCORES[:1], 1)
    parts = render_take(take, SCORES[0], (HELD_OUT.path,), SinePlayer(), 8.0, 44100)
    write_urmp(tmp_path, take, parts)
    (folder,) = tmp_path.iterdir()
    words = [instrument.abbreviation for instrument in take.instruments]
    assert folder.name.split("_")[2:] == words
    mix, rate_hz = soundfile.read(folder / f"AuMix_{folder.name}.wav")
    separate = [soundfile.read(path)[0] for path in sorted(folder.glob("AuSep_*"))]
    assert rate_hz == 44100
    assert len(separate) == len(words)
    assert np.abs(np.sum(separate, axis=0) - mix).max() < 1e-3  # 16 bits


def test_splits_share_no_score_and_keep_works_together():
    assert split_of("mozart.k155.movement1") == split_of("mozart.k155.movement3")
    splits = [split_of(f"bach.bwv{number}") for number in range(1, 400)]
    assert {split: round(splits.count(split) / len(splits), 1) for split in SPLITS} == {
        "train": 0.8,
        "validation": 0.1,
        "test": 0.1,
    }


def test_a_reserved_encoding_is_recognised(tmp_path):
    score = (
        "<score><identification><rights>All Rights Reserved</rights></identification>"
        "<credit><credit-words>Copyright X, used by permission</credit-words></credit></score>"
    )
    path = tmp_path / "a.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<x/>")
        archive.writestr("a.xml", score)
    statement = rights_statement(path)
    assert statement == "All Rights Reserved; Copyright X, used by permission"
    assert RESERVED.search(statement)
    tune = tmp_path / "b.abc"
    tune.write_text("X:1\nT:Reel\nZ: Contributed by A. Piper\nK:D\n")
    assert rights_statement(tune) == "Contributed by A. Piper"
    assert not RESERVED.search(rights_statement(tune))


def test_the_held_out_soundfont_trains_nothing():
    assert HELD_OUT.path not in {font.path for font in TRAINING_SOUNDFONTS}
