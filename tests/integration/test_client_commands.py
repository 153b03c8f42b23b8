"""The `ugosa` command as a musician sees it, against a real server process with a tiny network."""

import json

import pytest

from tests.helpers.songs import make_song, write_song
from ugosa_client.cli import main

RATE = 44100
FRAMES = 2 * RATE


@pytest.fixture
def song(shared_server, tmp_path, monkeypatch):
    """A song on disk, with marks beside it, and the shared server as the default one."""
    monkeypatch.setenv("UGOSA_SERVER", shared_server.target)
    path = tmp_path / "Mein Stück 1.wav"
    write_song(make_song(FRAMES, RATE), path)
    path.with_suffix(".txt").write_text("0.5\t1.9\tno drums\n")
    return path


def test_a_wrong_mark_is_warned_of_on_terminal_and_report(song, tmp_path, capsys):
    words = ["separate", str(song), "--marks", str(song.with_suffix(".txt")), "--model", "starter"]
    assert main([*words, "--strategy", "B0", "-o", str(tmp_path / "out")]) == 0
    warning = "drums is marked silent, but the model hears it from 0:"
    assert f"warning: {warning}" in capsys.readouterr().err
    (notice,) = json.loads((tmp_path / "out" / "report.json").read_text())["notices"]
    assert notice.startswith(warning)
    assert warning in (tmp_path / "out" / "report.html").read_text()
