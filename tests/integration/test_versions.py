"""The jobs of a song as its versions: listed, compared, and kept."""

import json

import pytest

from tests.helpers.songs import make_song, write_song
from ugosa_client.cli import main

RATE = 44100


@pytest.fixture
def song(shared_server, tmp_path, monkeypatch):
    monkeypatch.setenv("UGOSA_SERVER", shared_server.target)
    return write_song(make_song(2 * RATE, RATE, seed=4711), tmp_path / "song.wav")


def test_versions_say_what_changed_and_what_came_of_it(song, tmp_path, monkeypatch, capsys):
    marks = tmp_path / "marks.txt"

    def job_of(text, *words):
        marks.write_text(text)
        paths = ["separate", str(song), "--marks", str(marks), "-o", str(tmp_path / "out"), "--json"]
        assert main([*paths, "--model", "tiny", "--epochs", "1", *words]) == 0
        return json.loads(capsys.readouterr().out.splitlines()[-1])["job"]["job_id"]

    def said(*words):
        assert main([*words]) == 0
        return capsys.readouterr().out

    first = job_of("0.5\t1.5\tno vocals\n")
    second = job_of("0.5\t1.5\tno vocals\n0\t1\tno drums\n", "--lambda", "2")
    listed = said("versions", str(song))
    assert listed.index(second) < listed.index(first)
    assert listed.count("cannot tell") == 2
    assert "+ drums silent 0:00.0-0:01.0" in listed
    assert "lambda 1 -> 2" in listed
    assert f"start-from none -> {first}" in listed
    for name in (first, f"{said('songs', '--json') and first}"):
        assert said("versions", name) == listed
    compared = said("compare", second, first)
    assert f"{first} differs from {second} in" in compared
    assert "mark    - drums silent 0:00.0-0:01.0" in compared
    assert "too little silence is marked" in compared
    (row,) = [line for line in compared.splitlines() if line.strip().startswith("vocals")]
    assert row.count("dBFS") == 2
    assert "is kept until you delete it" in said("star", first)
    assert f"*1 {first}" in " ".join(said("versions", str(song)).split())
    assert "as long as others" in said("star", first, "--remove")
    assert said("compare", "2", "1", "--song", str(song)) == compared
    monkeypatch.chdir(tmp_path)
    assert f"job {second} is kept until" in said("star", "2")
    assert said("compare", "2", first) == compared
    again = json.loads(said("versions", str(song), "--json").splitlines()[-1])["versions"]
    assert [version["number"] for version in again] == [2, 1]
    assert main(["versions", str(tmp_path / "other.wav")]) == 2


def test_jobs_of_two_songs_are_not_compared(song, client, tmp_path, capsys):
    other = write_song(make_song(RATE, RATE, seed=4712), tmp_path / "other.wav")
    jobs = [client.create_job(client.upload(path).upload_id).job_id for path in (song, other)]
    assert main(["compare", *jobs]) == 2
    assert "are of two songs" in capsys.readouterr().err
    assert main(["star", "job-0123456789abcdef"]) == 2


def test_a_number_of_no_version_says_what_is_there(shared_server, tmp_path, monkeypatch, capsys):
    def error_of(*words):
        assert main([*words]) == 2
        return capsys.readouterr().err

    monkeypatch.setenv("UGOSA_SERVER", shared_server.target)
    monkeypatch.chdir(tmp_path)
    assert "has no audio files" in error_of("star", "1")
    write_song(make_song(RATE, RATE, seed=4713), tmp_path / "new song.wav")
    assert "new song.wav has no version 1 among its 0; `ugosa versions 'new" in error_of("star", "1")
    write_song(make_song(RATE, RATE, seed=4714), tmp_path / "other.wav")
    assert "has 2 songs; name the one that is meant with --song" in error_of("compare", "1", "2")
    assert "other.wav has no version 1 among its 0" in error_of("compare", "1", "2", "--song", "other.wav")
