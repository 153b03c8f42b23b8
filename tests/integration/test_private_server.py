"""A command that finds no server on its machine starts one, which ends by itself when idle."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from tests.helpers.jobs import LONG, silent
from tests.helpers.songs import make_song, write_song
from ugosa_client import SeparationRequest

IDLE_S = 5
STARTED = "no server was running: started one, which ends after 10 minutes without work"


@pytest.fixture
def home(tmp_path):
    """The environment of a user who has no server yet; what they start is ended."""
    folder = Path(tempfile.mkdtemp(prefix="ugosa-", dir="/tmp"))  # a socket's path has little room
    environment = {key: value for key, value in os.environ.items() if key != "UGOSA_SERVER"}
    yield environment | {"XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run")}
    for server in servers_of(folder):
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    shutil.rmtree(folder)


def servers_of(folder):
    return [
        process
        for process in psutil.process_iter()
        if "serve" in safely(process.cmdline) and safely(process.environ).get("XDG_STATE_HOME") == str(folder)
    ]


def safely(read):
    try:
        return read()
    except psutil.Error:  # it has ended, or is somebody else's
        return {}


def ugosa(home, *words):
    command = [sys.executable, "-m", "ugosa_client.cli", *map(str, words)]
    return subprocess.Popen(command, env=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_commands_at_once_start_one_server_and_use_it(home, tmp_path):
    song = write_song(make_song(22050), tmp_path / "song.wav")
    words = ("separate", song, "--again", "--json", "-o")  # else one may be answered by the other's stems
    runs = [ugosa(home, *words, tmp_path / name) for name in ("one", "two")]
    ends = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ends
    lines = [json.loads(line) for out, _ in ends for line in out.splitlines()]
    said = [line["message"] for line in lines if line["event"] == "message"]
    assert len(said) == 1
    assert said[0].startswith(STARTED)
    assert len(servers_of(Path(home["XDG_STATE_HOME"]))) == 1
    listed = ugosa(home, "jobs", "--json").communicate()[0]
    assert len(json.loads(listed)["jobs"]) == 2


def test_no_server_is_started_where_one_is_named(home, tmp_path):
    with ugosa(home, "jobs", "--server", f"unix:{tmp_path}/ugosa.sock") as flag:
        assert flag.wait() == 3
    with ugosa(home | {"UGOSA_SERVER": f"unix:{tmp_path}/ugosa.sock"}, "jobs") as variable:
        assert variable.wait() == 3
    assert not servers_of(Path(home["XDG_STATE_HOME"]))


def test_a_server_that_cannot_start_is_told_with_its_log(home):
    state = Path(home["XDG_STATE_HOME"], "ugosa")
    state.mkdir()
    (state / "thesis.doc").write_text("no song")
    run = ugosa(home, "jobs")
    error = run.communicate()[1]
    assert run.returncode == 3
    assert "the one that was started ended at once: ugosa-server: the folder" in error
    assert "thesis.doc" in error


def test_an_idle_server_ends_but_not_before_its_jobs(start_server, tmp_path):
    song = write_song(make_song(5 * 44100), tmp_path / "song.wav")
    server = start_server("--exit-when-idle-s", str(IDLE_S))
    with server.client() as client:
        job = client.submit(SeparationRequest(song, marks=[silent("vocals", 0, 22050)], options=LONG))
    with pytest.raises(subprocess.TimeoutExpired):  # nobody calls, but the job is not done
        server.process.wait(2 * IDLE_S)
    with server.client() as client:
        client.cancel(job.job_id)
    assert server.process.wait(60) == 0, server.log_tail()
    assert "idle for as long as exit_when_idle_s: the server ends" in server.log_tail()
