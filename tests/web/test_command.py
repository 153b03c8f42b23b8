"""`ugosa web` as a command: its port, and a REAPER project in the place of a song."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.server import Server
from tests.helpers.songs import make_song, write_song

pytest.importorskip("starlette", reason="the page needs starlette and uvicorn")
pytest.importorskip("uvicorn", reason="the page needs starlette and uvicorn")

from ugosa_client.cli import main
from ugosa_client.web.json_forms import song_json
from ugosa_client.web.songs import Songs

PROJECT = """<REAPER_PROJECT 0.1 "7.0/linux-x86_64" 1700000000
  MARKER 1 11 "no vocals" 1
  MARKER 1 12 "" 1
  <TRACK
    <ITEM
      POSITION 10
      LENGTH 3
      SOFFS 0
      PLAYRATE 1 1 0 -1 0 0.0025
      CHANMODE 0
      <SOURCE WAVE
        FILE "song.wav"
      >
    >
  >
>
"""


def test_a_port_that_cannot_be_had_is_named(
    shared_server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UGOSA_SERVER", shared_server.target)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["web", "--no-browser", "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use; name another one" in capsys.readouterr().err
    assert main(["web", "--no-browser", "--port", "99999"]) == 2
    assert "ports go from 0 to 65535" in capsys.readouterr().err


def test_a_reaper_project_brings_its_song_and_marks(shared_server: Server, tmp_path: Path) -> None:
    write_song(make_song(3 * 44100), tmp_path / "song.wav")
    project = tmp_path / "song.rpp"
    project.write_text(PROJECT)
    command = [sys.executable, "-m", "ugosa_client.cli", "web", str(project), "--no-browser"]
    environment = {**os.environ, "UGOSA_SERVER": shared_server.target, "XDG_STATE_HOME": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as web:
        assert web.stderr is not None
        said = [web.stderr.readline(), web.stderr.readline()]
        web.terminate()
    assert "the page is at" in said[1], said
    (notes,) = (tmp_path / "ugosa-web").glob("*.json")
    (mark,) = json.loads(notes.read_text())["read_marks"]
    assert (mark["source"], mark["start_frame"], mark["end_frame"]) == ("vocals", 44100, 88200)


def test_a_song_whose_name_is_no_text_is_shown_and_heard(shared_server: Server, tmp_path: Path) -> None:
    song = write_song(make_song(3 * 44100), tmp_path / "song.wav").rename(
        tmp_path / os.fsdecode(b"caf\xe9.wav")
    )
    with shared_server.client() as client:
        songs = Songs(client, tmp_path)
        shown = songs.add(song, song.name)
        assert song_json(shown)["file_name"] == "caf?.wav"
        assert shown.can_be_heard
        assert songs.mix(shown.upload_id).size_bytes > 3 * 44100
        assert songs.mix_peaks(shown.upload_id)
