"""Files that a batch takes of a directory, and those that it names as left out."""

import os
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ugosa_client.cli.batch_files import SongTree, out_dirs


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.mkdir() if name.endswith("/") else path.write_bytes(b"x")
        return SongTree(tmp_path, recursive=False, out=tmp_path / "out")

    return make


@pytest.mark.parametrize(
    ("song", "marks"),
    [
        ("LOUD.WAV", "LOUD.TXT"),
        ("loud.wav", "Loud.Csv"),
        ("M\u00fcsli.wav", "Mu\u0308sli.txt"),
        ("Mu\u0308sli.flac", "M\u00dcSLI.lab"),
    ],
)
def test_marks_are_found_in_any_case_and_normal_form(folder, tmp_path, song, marks):
    assert folder(song, marks).marks(tmp_path / song) == tmp_path / marks


def test_marks_of_exactly_a_songs_name_are_its_alone(folder, tmp_path):
    songs = folder("a.wav", "A.wav", "a.txt")
    assert songs.marks(tmp_path / "a.wav") == tmp_path / "a.txt"
    assert songs.marks(tmp_path / "A.wav") is None


def test_every_kind_that_the_server_reads_is_a_song(folder):
    names = ["a.opus", "b.oga", "c.m4b", "d.mp4", "e.wave", "f.AIFC", "g.OGG"]
    songs = folder(*names, "h.aac", "i.wma", "g.mp4").songs()
    assert [song.name for song in songs] == names


def test_everything_that_is_left_out_is_named_with_the_way_out(folder, tmp_path):
    songs = folder("a.wav", "a.txt", "b.wma", "b.txt", "live/", "out/", "a.mp4", "cover.jpg", ".hidden")
    assert {entry.name: entry.why for entry in songs.left_out(with_sight=False)} == {
        "a.mp4": "for a song of its name, with --seen",
        "b.txt": "no song here has its name",
        "b.wma": "no server reads such files; export it as WAV or FLAC",
        "cover.jpg": "no audio file",
        "live/": "a folder; take what is in it too with --recursive",
    }
    assert "a.mp4" not in [entry.name for entry in songs.left_out(with_sight=True)]


def test_links_in_a_circle_are_left_out_by_name(folder, tmp_path):
    folder("song.wav", "out/", "album/")
    (tmp_path / "circle.wav").symlink_to("circle.wav")
    (tmp_path / "album" / "back").symlink_to(tmp_path / "album" / "back")
    tree = SongTree(tmp_path, recursive=True, out=tmp_path / "out")
    assert tree.songs() == [tmp_path / "song.wav"]
    assert [entry.name for entry in tree.left_out(with_sight=False)] == ["circle.wav", "album/back"]


def test_a_pipe_is_left_out_and_never_waited_for(folder, tmp_path):
    for name in ("a.txt", "b.wav"):
        os.mkfifo(tmp_path / name)
    songs = folder("a.wav")
    assert songs.songs() == [tmp_path / "a.wav"]
    assert songs.marks(tmp_path / "a.wav") is None
    left_out = songs.left_out(with_sight=False)
    assert [(entry.name, entry.why.partition(",")[0]) for entry in left_out] == [
        ("a.txt", "no file"),
        ("b.wav", "no file"),
    ]


@pytest.mark.parametrize(
    ("songs", "folders"),
    [
        (["a.wav", "b.wav"], ["a", "b"]),
        (["take.flac", "take.wav", "take.wav.flac"], ["take.flac", "take.wav", "take.wav.flac"]),
        (["A.wav", "a.wav"], ["A.wav", "a.wav (2)"]),
        (["take.wav", "take .wav"], ["take.wav", "take .wav"]),
        (["M\u00fc.wav", "Mu\u0308.wav"], ["M\u00fc.wav", "Mu\u0308.wav (2)"]),
    ],
)
def test_no_two_songs_go_into_one_folder(songs, folders):
    dirs = out_dirs([Path(song) for song in songs], Path("out"), set())
    assert [path.name for path in dirs.values()] == folders


def test_no_song_goes_where_another_has_its_base_stems(tmp_path):
    (tmp_path / "live").mkdir()
    for name in ("live.wav", "live/base.wav"):
        (tmp_path / name).write_bytes(b"x")
    tree = SongTree(tmp_path, recursive=True, out=tmp_path / "out")
    assert tree.out_dirs()[tmp_path / "live" / "base.wav"] == tmp_path / "out" / "live" / "base (2)"


ODD = "aAe\u00e9\u0301.w ()2\u00df\u017f\u0130\u0131\u212a\u0345\u1fb3\ufb01"  # letters whose forms meet
NAMES = st.text(ODD, min_size=1, max_size=6) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=4
)
SUFFIXES = st.sampled_from([".wav", ".flac", ".WAV", ".wav.flac"])
FOLDERS = st.sampled_from(["", "live", "Live", "live ", "L\u00cfve", "li\u0308ve"])
FORMS = [
    lambda name, form=form, case=case: case(unicodedata.normalize(form, name)).rstrip(". ")
    for form in ("NFC", "NFD")
    for case in (str.lower, str.upper, str.casefold)
]


@given(songs=st.sets(st.tuples(FOLDERS, NAMES, SUFFIXES), min_size=1, max_size=12))
def test_no_two_songs_share_a_folder_on_any_system(songs):
    """Folders are compared as the file systems of Windows and macOS do, and in every normal form."""
    with tempfile.TemporaryDirectory() as directory:
        paths = {
            Path(directory) / folder / (stem + suffix)
            for folder, stem, suffix in songs
            if not stem.startswith(".") and len(os.fsencode(stem)) < 200
        }
        for path in paths:
            path.parent.mkdir(exist_ok=True)
            path.touch()
        out = Path(directory) / "out"
        dirs = SongTree(Path(directory), recursive=True, out=out).out_dirs() if paths else {}
    assert dirs.keys() == paths
    assert all(out in place.parents for place in dirs.values())
    for form in FORMS:
        places = {tuple(form(part) for part in place.relative_to(out).parts) for place in dirs.values()}
        assert len(places) == len(paths)
        assert ("summary.csv",) not in places
        assert all(all(place) for place in places)
