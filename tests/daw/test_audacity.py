"""Real Audacity under Xvfb: a track with labels gets stems beside it, which sound like the track together."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from ugosa_audacity.pipe import AudacityPipe
from ugosa_audacity.project import Track, export_track

from tests.helpers.ctrl_c import heeding_ctrl_c
from tests.helpers.server import Server
from tests.helpers.songs import SOURCES, make_song, peak_dbfs, read_audio, write_song

MODULE = Path("/usr/lib/audacity/modules/mod-script-pipe.so")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (
            shutil.which("audacity") and shutil.which("Xvfb") and shutil.which("xwininfo") and MODULE.exists()
        ),
        reason="Audacity, Xvfb or xwininfo is not installed (make test-daws)",
    ),
]
CLIENT = Path(__file__).parents[2] / "clients" / "audacity"
NULL_DBFS = -140.0
START_TIMEOUT_S = 90
REQUESTS, ANSWERS = (Path(f"/tmp/audacity_script_pipe.{way}.{os.getuid()}") for way in ("to", "from"))


@contextlib.contextmanager
def display() -> Iterator[str]:
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1024x768x24"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as number:
            yield f":{number.readline().strip()}"
        server.terminate()


@pytest.fixture(scope="module")
def audacity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An Audacity with scripting on and a home of its own.

    The first start searches for plug-ins in processes that make the pipes anew, so that the pipes of Audacity
    itself lead nowhere; the second start is the one to talk to.
    """
    home = tmp_path_factory.mktemp("home")
    with display() as screen:
        with running_audacity(home, screen):
            pass
        with running_audacity(home, screen):
            yield


@contextlib.contextmanager
def running_audacity(home: Path, screen: str) -> Iterator[None]:
    write_settings(home)
    environment = os.environ | {"HOME": str(home), "DISPLAY": screen}
    with subprocess.Popen(["audacity"], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_project_window(environment)
            yield
        finally:
            process.kill()
            shutil.rmtree(home / "temporary", ignore_errors=True)  # or the next start offers a recovery
            for pipe in (REQUESTS, ANSWERS):
                pipe.unlink(missing_ok=True)


def write_settings(home: Path) -> None:
    settings = home / ".audacity-data"
    settings.mkdir(exist_ok=True)
    # Audacity asks again about a module whose file has another date.
    date = datetime.fromtimestamp(int(MODULE.stat().st_mtime)).isoformat()
    name = "mod-script-pipe"
    settings.joinpath("audacity.cfg").write_text(
        "NewPrefsInitialized=1\n[Version]\nMajor=3\nMinor=2\nMicro=4\n"
        f"[Module]\n{name}=1\n[ModulePath]\n{name}={MODULE}\n[ModuleDateTime]\n{name}={date}\n"
        f"[GUI]\nShowSplashScreen=0\n[Directories]\nTempDir={home / 'temporary'}\n"
    )


def wait_for_project_window(environment: dict[str, str]) -> None:
    """Wait until the plug-ins are read; whoever connects before that is dropped and never heard again."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        command = ["xwininfo", "-root", "-tree"]
        windows = subprocess.run(command, env=environment, capture_output=True, text=True).stdout
        if re.search(r'"Audacity": .* 1024x', windows) and ANSWERS.exists():
            return
        time.sleep(0.5)  # X says nothing by itself to a shell
    raise AssertionError(f"Audacity has no project window or no pipe after {START_TIMEOUT_S} s:\n{windows}")


@pytest.fixture
def separate(audacity: None, server: Server, make_command: Callable[[str, Path], Path]):
    """Run the command as a user does."""
    program = make_command("ugosa_audacity", CLIENT)

    def run(*options: str, address: str = server.target):
        command = [str(program), "--server", address, *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=200)

    return run


@pytest.fixture
def song(audacity: None, tmp_path: Path) -> Iterator[Path]:
    """A project that has just one track, imported from this file, and nothing selected."""
    made = make_song(4 * 44100)
    made.samples[2 * 44100 :] *= 0.05  # a loud half to be heard playing beside a soft one
    path = write_song(made, tmp_path / "Ñandú é.wav", "FLOAT")
    with AudacityPipe() as pipe:
        pipe.do("SelectAll")
        pipe.do("RemoveTracks")
        pipe.do("Import2", Filename=str(path))
    return path


def add_label(text: str, start_s: float, end_s: float) -> None:
    with AudacityPipe() as pipe:
        pipe.do("Select", Start=start_s, End=end_s, Track=0, TrackCount=1)
        pipe.do("AddLabel")
        pipe.do("SetLabel", Label=0, Text=text, Start=start_s, End=end_s)
        pipe.do("SelectTracks", Track=0, TrackCount=1, Mode="Set")


def test_the_stems_that_land_in_the_project_sound_like_the_track(separate, song, tmp_path):
    add_label("no vocals", 0.5, 1.0)
    done = separate("--epochs", "1")
    assert done.returncode == 0, done.stderr
    with AudacityPipe() as pipe:
        tracks = [track for track in pipe.info("Tracks") if track["kind"] == "wave"]
        assert [track["name"] for track in tracks] == [song.stem, *(f"{song.stem} {s}" for s in SOURCES)]
        assert [track["mute"] for track in tracks] == [1, 0, 0, 0, 0]
        stems = {}
        for index, track in enumerate(pipe.info("Tracks")):
            if track["kind"] == "wave" and track["name"] != song.stem:
                path = tmp_path / f"{index}.wav"
                export_track(pipe, Track(index, track["name"], 2), path)
                stems[track["name"].removeprefix(f"{song.stem} ")] = read_audio(path)
    residue_dbfs = peak_dbfs(sum(stems.values()) - read_audio(song))
    print(f"difference {residue_dbfs:.1f} dBFS")
    assert residue_dbfs <= NULL_DBFS
    assert peak_dbfs(stems["vocals"][22050 + 441 : 44100 - 441]) <= -90


def test_a_project_without_labels_is_told_how_to_write_one(separate, song):
    done = separate()
    assert done.returncode == 2
    assert "Ctrl+B" in done.stderr


def test_an_unknown_label_leaves_the_project_alone(separate, song, tmp_path):
    add_label("no vocls", 0.5, 1.0)
    done = separate()
    assert done.returncode == 2
    assert "'no vocls' at 0:00.5" in done.stderr
    done = separate(address=f"unix:{tmp_path}/nobody.sock")
    assert done.returncode == 3
    assert "ugosa-server serve" in done.stderr
    with AudacityPipe() as pipe:
        assert len([track for track in pipe.info("Tracks") if track["kind"] == "wave"]) == 1


def test_ctrl_c_brings_the_stems_of_what_is_learned(server, make_command, song):
    add_label("no vocals", 0.5, 1.0)
    program = str(make_command("ugosa_audacity", CLIENT))
    options = ["--server", server.target, "--epochs", "1000", "--segment", "0.5", "--hop", "0.05"]
    command = heeding_ctrl_c([program, *options])
    said = []
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as process:
        for line in process.stderr:
            if "adaptation, epoch 2" in line and not any("adaptation, epoch 2" in one for one in said):
                process.send_signal(signal.SIGINT)
            said.append(line)
    assert process.returncode == 0, said
    assert any("taking what is learned so far" in line for line in said), said
    with AudacityPipe() as pipe:
        assert len([track for track in pipe.info("Tracks") if track["kind"] == "wave"]) == 1 + len(SOURCES)


def label_tracks() -> dict[str, list[tuple[float, float, str]]]:
    """The labels of every label track, by its name."""
    with AudacityPipe() as pipe:
        names = [track["name"] for track in pipe.info("Tracks")]
        return {names[place]: [tuple(label) for label in labels] for place, labels in pipe.info("Labels")}


def test_suggestions_are_labels_that_count_once_accepted(separate, song):
    done = separate("suggest")
    assert done.returncode == 0, done.stderr
    (suggestions,) = label_tracks().values()
    assert suggestions
    assert all(text.endswith("% ?") for _, _, text in suggestions)
    assert all(0 <= start_s < end_s <= 4.001 for start_s, end_s, _ in suggestions)

    refused = separate("--epochs", "1")
    assert refused.returncode == 2
    assert "ugosa-audacity accept" in refused.stderr

    again = separate("suggest")
    assert again.returncode == 0, again.stderr
    assert list(label_tracks().values()) == [suggestions], "a second call takes the place of the first"

    assert separate("accept").returncode == 0
    (marks,) = label_tracks().values()
    assert [text for _, _, text in marks] == [re.sub(r" \d+% \?$", "", text) for _, _, text in suggestions]
    assert separate("accept").returncode == 2


def test_what_lint_finds_stands_as_labels_where_it_is(separate, song):
    add_label("no vocls", 0.5, 1.0)
    done = separate("lint")
    assert done.returncode == 2
    assert "UNKNOWN_SOURCE" in done.stdout
    found = label_tracks()["UGOSA findings"]
    assert any(
        text.startswith("UGOSA: error: ") and "vocls" in text and (start_s, end_s) == (0.5, 1.0)
        for start_s, end_s, text in found
    )
    with AudacityPipe() as pipe:
        assert len([track for track in pipe.info("Tracks") if track["kind"] == "wave"]) == 1
