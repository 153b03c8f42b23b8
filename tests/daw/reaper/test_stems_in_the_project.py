"""Stub project -> real Lua -> real helper -> real server -> files -> the arrangement sounds as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.daw.reaper.scene import LUAS, Scene
from tests.helpers.songs import SOURCES, make_song, read_audio, write_song

EXACT = 1e-12  # rounding of gains and fades in doubles
FLOAT_MIX = 2e-7  # the stems of a float mix are rounded to 32 bits: -134 dBFS

LOOK = {
    "D_VOL": 0.7,
    "D_FADEINLEN": 0.3,
    "D_FADEOUTLEN": 0.5,
    "C_FADEINSHAPE": 2,
    "C_FADEOUTSHAPE": 3,
    "D_FADEINDIR": 0.5,
}
SECOND = {"D_LENGTH": 1.0}


@pytest.fixture
def song(folder: Path) -> Path:
    """Two seconds, 16 bits, stereo."""
    return write_song(make_song(88200), folder / "my söng.wav")


def item(song: Path, *, selected: bool = True, take: dict[str, float] | None = None, **values: float) -> Any:
    return {
        "path": str(song),
        "values": {"B_UISEL": int(selected), **values},
        "take_values": take or {},
    }


@pytest.mark.parametrize(
    ("values", "take"),
    [
        pytest.param({}, {}, id="the whole file at 0"),
        pytest.param({"D_POSITION": 1.5, **LOOK}, {"D_VOL": -0.9, "D_PAN": -0.4}, id="gain, pan and fades"),
        pytest.param(
            {"D_POSITION": 1.25, "D_LENGTH": 0.75}, {"D_STARTOFFS": 0.5}, id="trimmed on the sample"
        ),
        pytest.param(
            {"D_POSITION": 0.33333, "D_LENGTH": 0.77777},
            {"D_STARTOFFS": 0.12345},
            id="trimmed between samples",
        ),
    ],
)
def test_stems_null_against_the_item(scene: Scene, song: Path, values: Any, take: Any) -> None:
    scene.add_track("mix", item(song, take=take, **values), D_VOL=0.8, D_PAN=0.25)
    scene.add_region("no vocals", 0.25, 1.75)
    outcome = scene.play("Separate")
    assert outcome.difference() < EXACT
    assert [track["name"] for track in outcome.after] == ["mix", *SOURCES]
    assert outcome.after[0]["items"][0]["values"]["B_MUTE"] == 1
    assert outcome.undo_steps == ["UGOSA: insert stems"]
    assert outcome.changes_without_undo == []


@pytest.mark.parametrize(("lua", "has_imgui"), list(zip(LUAS, (True, False), strict=False)))
def test_every_lua_and_window_does_the_same(scene: Scene, song: Path, lua: str, has_imgui: bool) -> None:
    scene.has_imgui = has_imgui
    scene.add_track("mix", item(song, **SECOND))
    outcome = scene.play("Separate", lua=lua)
    assert outcome.difference() < EXACT


@pytest.mark.parametrize(
    ("subtype", "channels", "tolerance"), [("PCM_24", 1, EXACT), ("FLOAT", 2, FLOAT_MIX)]
)
def test_other_formats_null_too(
    scene: Scene, folder: Path, subtype: str, channels: int, tolerance: float
) -> None:
    scene.sample_rate_hz = 48000
    song = write_song(make_song(72000, 48000, channels), folder / "song.wav", subtype)
    scene.add_track("mix", item(song, D_LENGTH=1.0, take={"D_STARTOFFS": 0.25}))
    scene.add_region("-drums", 0, 0.5)
    outcome = scene.play("Separate")
    assert outcome.difference() < tolerance


def test_a_marked_silence_is_silent_at_that_place_of_the_project(scene: Scene, song: Path) -> None:
    scene.add_track("mix", item(song, D_POSITION=3.0, D_LENGTH=1.5, take={"D_STARTOFFS": 0.25}))
    scene.add_region("no vox", 3.5, 4.0)
    outcome = scene.play("Separate")
    vocals = [track for track in outcome.after if track["name"] == "vocals"]
    for track in vocals:
        track["values"]["I_FOLDERDEPTH"] = 0
    heard = np.max(np.abs(outcome.render(vocals)), axis=1)  # [T]
    rate_hz = scene.sample_rate_hz
    edge_s = 0.011  # a fade of 10 ms leads into the silence
    assert np.all(heard[int((3.5 + edge_s) * rate_hz) : int((4.0 - edge_s) * rate_hz)] == 0)
    assert np.any(heard[int(3.0 * rate_hz) : int(3.4 * rate_hz)] > 0)
    assert np.any(heard[int(4.1 * rate_hz) : int(4.5 * rate_hz)] > 0)


def test_render_mode_nulls_against_what_the_item_sounded_like(scene: Scene, song: Path) -> None:
    take = {"D_PLAYRATE": 1.25, "D_STARTOFFS": 0.1, "I_CHANMODE": 1, "D_PAN": 0.5}
    scene.add_track("mix", item(song, D_POSITION=0.5, D_LENGTH=1.2, take=take, **LOOK), D_VOL=0.5)
    scene.add_region("no bass", 0.5, 1.0)
    outcome = scene.play("Separate")
    assert outcome.difference() < FLOAT_MIX


def test_two_items_at_once_come_back_in_one_undo_step(scene: Scene, song: Path, folder: Path) -> None:
    other = write_song(make_song(44100, seed=1), folder / "other.wav")
    scene.add_track("mix", item(song, D_POSITION=0.25), item(other, D_POSITION=3.0, **LOOK))
    scene.add_region("no vocals", 0.5, 3.5)
    outcome = scene.play("Separate")
    assert outcome.difference() < EXACT
    assert len(outcome.after) == 5
    assert outcome.undo_steps == ["UGOSA: insert stems"]


def test_a_time_selection_separates_only_its_part(scene: Scene, song: Path) -> None:
    scene.add_track("mix", item(song, selected=False, D_POSITION=1.0, **LOOK))
    scene.add_track("another", item(song, selected=False, D_POSITION=9.0))
    scene.time_selection = (1.4, 2.2)
    outcome = scene.play("Separate")
    assert outcome.difference() < EXACT
    assert [round(part["values"]["D_LENGTH"], 6) for part in outcome.after[0]["items"]] == [0.4, 0.8, 0.8]
    assert len(read_audio(Path(outcome.stem("drums")["take"]["path"]))) == round(1.7 * 44100)


def test_a_folder_of_the_user_stays_as_it_is(scene: Scene, song: Path) -> None:
    scene.add_track("band", I_FOLDERDEPTH=1, D_VOL=0.5)
    scene.add_track("mix", item(song, **SECOND), I_FOLDERDEPTH=-1, D_PAN=-0.5)
    scene.add_track("click", item(song, selected=False, D_POSITION=3.0))
    outcome = scene.play("Separate")
    assert outcome.difference() < EXACT


def test_what_is_learned_can_be_heard_meanwhile(scene: Scene, folder: Path) -> None:
    song = write_song(make_song(30 * 44100), folder / "song.wav")  # learned from for long enough to click
    scene.add_track("mix", item(song, D_POSITION=2.0))
    scene.add_region("no vocals", 2.5, 14.5)
    scene.time_selection = (3.0, 4.0)
    outcome = scene.play("Separate", "Listen")
    listen, end, insert = outcome.undo_steps
    assert (listen, end) == ("UGOSA: listen to what is learned so far", "UGOSA: end of the preview")
    assert insert == "UGOSA: insert stems"
    assert outcome.difference() < EXACT
    assert outcome.changes_without_undo == []
    (previews,) = folder.glob("UGOSA stems/*/previews")
    heard = [read_audio(previews / f"preview-0001-{source}.flac") for source in SOURCES]
    assert [len(samples) for samples in heard] == [44100] * 4
