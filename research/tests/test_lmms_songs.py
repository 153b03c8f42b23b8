"""Projects of LMMS become songs with stems: each track in one stem, and none twice."""

import shutil
import xml.etree.ElementTree as ET
import zlib

import numpy as np
import pytest
import soundfile

from ugosa_research.songs import lmms_songs
from ugosa_research.songs.lmms_projects import HELD_OUT_PROJECTS, TRAINING_PROJECTS, LmmsProject
from ugosa_research.songs.lmms_songs import only_stem, read_project, render_songs, stem_of, tracks_of
from ugosa_research.songs.stem_songs import KNOWN, read_stem_songs
from ugosa_server.errors import ConfigError

SAMPLER = (
    '<instrumenttrack><instrument name="audiofileprocessor"><audiofileprocessor src="{}"/>'
    "</instrument></instrumenttrack>"
)
SYNTH = '<instrumenttrack><instrument name="zynaddsubfx"/></instrumenttrack>'
SONG = f"""<lmms-project><song><trackcontainer>
<track type="0" muted="0" solo="1">{SYNTH}</track>
<track type="5" muted="0"/>
<track type="1" muted="0"><bbtrack><trackcontainer>
  <track type="0" muted="0">{SAMPLER.format("drums/kick01.ogg")}</track>
  <track type="0" muted="0">{SAMPLER.format("drumsynth/instrument/mute_bass.ds")}</track>
  <track type="5" muted="0"/>
</trackcontainer></bbtrack></track>
<track type="0" muted="0">{SYNTH}</track>
<track type="2" muted="0"/>
<track type="0" muted="0">{SAMPLER.format("effects/noise.ogg")}</track>
</trackcontainer></song></lmms-project>"""
PROJECT = LmmsProject("demos/Some-Song.mmpz", "Somebody", "CC0", bass=("3", "2.1"), drums=("5",))


def stems_of(song):
    return {place: stem_of(place, track, PROJECT) for place, track in tracks_of(song)}


def test_every_sounding_track_has_a_place_and_a_stem():
    assert stems_of(ET.fromstring(SONG)) == {
        "0": "other",
        "2.0": "drums",
        "2.1": "bass",
        "3": "bass",
        "4": "other",
        "5": "drums",
    }


def test_a_stem_is_the_song_with_all_other_tracks_muted():
    song = ET.fromstring(SONG)
    unmuted = {
        stem: {
            place for place, track in tracks_of(only_stem(song, PROJECT, stem)) if track.get("muted") == "0"
        }
        for stem in KNOWN
    }
    assert unmuted == {"drums": {"2.0", "5"}, "bass": {"2.1", "3"}, "other": {"0", "4"}}
    assert all(track.get("solo") == "0" for _, track in tracks_of(only_stem(song, PROJECT, "drums")))
    assert all(track.get("muted") == "0" for _, track in tracks_of(song)), "the original changed"


def test_compressed_projects_are_read_like_plain_ones(tmp_path):
    (tmp_path / "a.mmp").write_text(SONG)
    (tmp_path / "b.mmpz").write_bytes(len(SONG).to_bytes(4, "big") + zlib.compress(SONG.encode()))
    plain, compressed = (read_project(tmp_path / name) for name in ("a.mmp", "b.mmpz"))
    assert ET.tostring(plain) == ET.tostring(compressed)


def test_test_songs_are_of_other_authors_than_training_songs():
    def authors(projects):
        return {project.author for project in projects} - {"unnamed"}

    assert not authors(TRAINING_PROJECTS) & authors(HELD_OUT_PROJECTS)
    names = [project.name for project in (*TRAINING_PROJECTS, *HELD_OUT_PROJECTS)]
    assert len(set(names)) == len(names)


def test_without_lmms_the_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(lmms_songs, "PROJECTS_FOLDER", tmp_path / "absent")
    with pytest.raises(ConfigError, match="lmms-common"):
        next(render_songs(tmp_path / "out"))


@pytest.mark.skipif(shutil.which("lmms") is None, reason="LMMS is not installed")
def test_a_real_project_is_rendered_once_and_can_be_trained_with(tmp_path, monkeypatch):
    project = next(project for project in HELD_OUT_PROJECTS if project.name == "Surrender-Main")
    monkeypatch.setattr(lmms_songs, "TRAINING_PROJECTS", (project,))
    monkeypatch.setattr(lmms_songs, "HELD_OUT_PROJECTS", ())
    (folder,) = render_songs(tmp_path)
    audio = {name: soundfile.read(folder / f"{name}.flac")[0] for name in KNOWN}
    assert all(np.sqrt(np.mean(stem**2)) > 0.003 for stem in audio.values())
    written = (folder / "drums.flac").stat().st_mtime_ns
    assert list(render_songs(tmp_path)) == [folder]
    assert (folder / "drums.flac").stat().st_mtime_ns == written
    (song,) = read_stem_songs(tmp_path / "train").songs
    assert song.frames == len(audio["bass"])
