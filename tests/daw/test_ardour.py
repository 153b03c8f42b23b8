"""Real Ardour: a session with audio and range markers gets stems on tracks, and sounds the same."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.ctrl_c import heeding_ctrl_c
from tests.helpers.server import Server
from tests.helpers.songs import SOURCES, make_song, peak_dbfs, read_audio

ARDOUR_LUA, ARDOUR_EXPORT = shutil.which("ardour7-lua"), shutil.which("ardour7-export")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        ARDOUR_LUA is None or ARDOUR_EXPORT is None,
        reason="Ardour 7 is not installed (on Debian: apt-get install ardour, or make test-daws)",
    ),
]
CLIENT = Path(__file__).parents[2] / "clients" / "ardour"
RATE = 48000
TICKS_PER_FRAME = 282_240_000 // RATE  # Ardour's superclock
POSITION, START, FRAMES = 4800, 1000, 2 * RATE
NULL_DBFS = -140.0
EXPORT_ATTEMPTS = 8


@dataclass
class Session:
    """A session on disk that no Ardour has open."""

    folder: Path
    name: str
    track: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.ardour"

    def export(self) -> np.ndarray:
        """Return the sound of its session range: [T, C].

        Of `ardour7-export` runs, also on a session that has never seen a stem, about every fifth aborts
        ("double free"), and now and then one comes out 16 frames early. Such a run is done again.
        """
        target = self.folder.parent / "export.wav"
        for _ in range(EXPORT_ATTEMPTS):
            done = run([ARDOUR_EXPORT, "-b", "float", "-o", target, self.folder, self.name], check=False)
            if done.returncode == -signal.SIGABRT:
                continue
            assert done.returncode == 0, done.stdout + done.stderr
            samples = read_audio(target)
            if not samples[:POSITION].any():
                return samples
        raise AssertionError(
            f"{EXPORT_ATTEMPTS} exports aborted or sounded before the region:\n{done.stderr}"
        )

    def audio_folder(self) -> Path:
        """Where Ardour keeps its files; it writes some letters of a name in another way there."""
        (folder,) = (self.folder / "interchange").iterdir()
        return folder / "audiofiles"

    def silences(self) -> dict[str, tuple[int, int]]:
        return {"no vox": (POSITION + 24000, POSITION + 48000), "-drums": (0, POSITION + 10000)}


def run(command: list, environment: dict[str, str] | None = None, check: bool = True):
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        env=os.environ | (environment or {}),
        timeout=200,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def ticks(frame: int) -> str:
    return f"a{frame * TICKS_PER_FRAME}"


def add_range(root: ET.Element, number: int, name: str, start: int, end: int, flags="IsRangeMarker") -> None:
    root.find("Locations").append(
        ET.Element(
            "Location",
            {"id": str(number), "name": name, "start": ticks(start), "end": ticks(end)}
            | {"flags": flags, "locked": "0", "cue": "0"},
        )
    )


def make_session(folder: Path, channels: int, subtype: str, with_ranges: bool = True) -> Session:
    """A session whose region starts inside its file and later than the session, with gain and a fader."""
    session = Session(folder / "Meine Lieder - 曲", "Ñandú & Co", "Die Mischung é")
    script = Path(__file__).with_name("make_session.lua")
    run([ARDOUR_LUA, script, session.folder, session.name, RATE, session.track, channels])
    audio = session.audio_folder()
    audio.mkdir(parents=True, exist_ok=True)
    song = make_song(START + FRAMES + 500, RATE, channels)
    # Ardour's own recordings are mono files, one a channel.
    for channel in range(channels):
        soundfile.write(audio / f"mix-{channel}.wav", song.samples[:, channel], RATE, subtype=subtype)
    tree = ET.parse(session.file)
    root = tree.getroot()
    region = {"name": "mix", "type": "audio", "id": "9000", "start": ticks(START)}
    region |= {"length": f"{ticks(FRAMES)}@{ticks(POSITION)}", "channels": str(channels)}
    # Ardour writes all of these, and plays silence without them.
    region |= {
        "muted": "0",
        "opaque": "1",
        "hidden": "0",
        "stretch": "1",
        "shift": "1",
        "envelope-active": "0",
    }
    region |= {"fade-in-active": "1", "fade-out-active": "1", "scale-amplitude": "0.5", "whole-file": "0"}
    for channel in range(channels):
        source = {"name": f"mix-{channel}.wav", "type": "audio", "flags": "", "id": str(9001 + channel)}
        source |= {"channel": "0", "origin": "", "gain": "1"}
        root.find("Sources").append(ET.Element("Source", source))
        region |= {f"source-{channel}": str(9001 + channel), f"master-source-{channel}": str(9001 + channel)}
    root.find("Playlists/Playlist").append(ET.Element("Region", region))
    add_range(root, 9010, "session", 0, POSITION + FRAMES + 4800, "IsSessionRange")
    add_range(root, 9014, "verse 1", 0, POSITION // 2)  # no mark, and not over the region
    if with_ranges:
        for number, (name, (start, end)) in enumerate(session.silences().items()):
            add_range(root, 9011 + number, name, start, end)
    root.set("id-counter", "9100")
    tree.write(session.file)
    return session


@pytest.fixture
def separate(server: Server, make_command: Callable[[str, Path], Path]):
    """Run the headless script on a session as a user does."""
    helper = make_command("ugosa_ardour", CLIENT)

    def run_script(session: Session, *options: str, check: bool = True, **environment: str):
        environment = {"UGOSA_SERVER": server.target, "UGOSA_ARDOUR": str(helper)} | environment
        command = [
            ARDOUR_LUA,
            "--",
            CLIENT / "ugosa_headless.lua",
            session.folder,
            session.name,
            session.track,
        ]
        return run([*command, *options], environment, check)

    return run_script


def read_stem(session: Session, source: str) -> np.ndarray:
    """The stem as the session keeps it, one file a channel: [T, C]."""
    files = [session.audio_folder() / f"mix {source}%{side}.wav" for side in "LR"]
    return np.concatenate([read_audio(file) for file in files], axis=1)


@pytest.mark.parametrize(("channels", "subtype"), [(2, "FLOAT"), (1, "PCM_24")])
def test_the_session_sounds_the_same_with_stems_on_tracks(separate, tmp_path, channels, subtype):
    session = make_session(tmp_path, channels, subtype)
    before = session.export()
    assert peak_dbfs(before) > -40
    separate(session, "--epochs", "1")
    after = session.export()
    assert after.shape == before.shape
    residue_dbfs = peak_dbfs(after - before)
    print(f"{channels} channels, {subtype}: difference {residue_dbfs:.1f} dBFS")
    assert residue_dbfs <= NULL_DBFS


def test_stems_obey_the_range_markers_and_the_original_is_muted(separate, tmp_path):
    session = make_session(tmp_path, 2, "FLOAT")
    separate(session, "--epochs", "1")
    root = ET.parse(session.file).getroot()
    names = [route.get("name") for route in root.iterfind("Routes/Route")]
    assert [f"{session.track} {source}" in names for source in SOURCES] == [True] * 4
    regions = {region.get("name"): region for region in root.iterfind("Playlists/Playlist/Region")}
    assert regions["mix"].get("muted") == "1"
    for source in SOURCES:
        # Length and position are one attribute: "a<length>@a<position>".
        assert regions[f"mix {source}"].get("length") == regions["mix"].get("length")
    vocals = read_stem(session, "vocals")
    assert len(vocals) == FRAMES
    assert peak_dbfs(vocals[24000 + 480 : 48000 - 480]) <= -90
    drums = read_stem(session, "drums")
    assert peak_dbfs(drums[: 10000 - 480]) <= -90
    assert peak_dbfs(drums[20000:]) > -90


def test_without_range_markers_the_script_says_how_to_draw_them(separate, tmp_path):
    session = make_session(tmp_path, 1, "FLOAT", with_ranges=False)
    done = separate(session, check=False)
    assert done.returncode == 1
    assert "No range marker lies over the region mix" in done.stderr
    assert "no vocals" in done.stderr


def test_every_obstacle_leaves_the_session_alone(separate, tmp_path):
    session = make_session(tmp_path, 1, "FLOAT")
    saved = session.file.read_bytes()
    done = separate(session, check=False, UGOSA_SERVER=f"unix:{tmp_path}/nobody.sock")
    assert done.returncode == 1
    assert "ugosa-server serve" in done.stderr
    done = separate(session, check=False, UGOSA_ARDOUR=str(tmp_path / "nothing"), HOME=str(tmp_path))
    assert done.returncode == 1
    assert "pip install" in done.stderr
    done = separate(Session(session.folder, session.name, "Mischung"), check=False)
    assert done.returncode == 1
    assert f"it has: {session.track}" in done.stderr
    done = separate(session, "--epochs", "-1", check=False)
    assert done.returncode == 1
    assert "-1" in done.stderr
    assert session.file.read_bytes() == saved


ENDLESS = ("--epochs", "1000", "--segment", "0.5", "--hop", "0.05")


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_takes_what_is_learned_and_then_cancels(server, make_command, tmp_path, presses):
    session = make_session(tmp_path, 1, "FLOAT")
    saved = session.file.read_bytes()
    command = [ARDOUR_LUA, "--", CLIENT / "ugosa_headless.lua", session.folder, session.name, session.track]
    helper = str(make_command("ugosa_ardour", CLIENT))
    awaited, said = ["adaptation, epoch 2", "taking what is learned so far"][:presses], []
    with subprocess.Popen(
        heeding_ctrl_c([*command, *ENDLESS]),
        env=os.environ | {"UGOSA_SERVER": server.target, "UGOSA_ARDOUR": helper},
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        for line in process.stderr:
            said.append(line)
            if awaited and awaited[0] in line:
                awaited.pop(0)
                os.killpg(process.pid, signal.SIGINT)
    assert not awaited, said
    names = [route.get("name") for route in ET.parse(session.file).getroot().iterfind("Routes/Route")]
    if presses == 1:
        assert process.returncode == 0, said
        assert {f"{session.track} {source}" for source in SOURCES} <= set(names)
    else:
        assert process.returncode == 1
        assert "was cancelled" in said[-1]
        assert session.file.read_bytes() == saved


ACTION_WITH_A_STAND_IN = """
    local script, helper, folder, presses = table.unpack (arg)
    titles = {}
    LuaDialog = { ProgressWindow = function (title)
        titles[#titles + 1] = title
        local window, has_learned = {}, false
        function window:progress (fraction, phase) has_learned = phase == "adaptation" and fraction > 0 end
        function window:canceled () return #titles <= tonumber (presses) and (#titles > 1 or has_learned) end
        function window:done () end
        return window
    end }
    ARDOUR = { LuaAPI = { usleep = function () os.execute ("sleep 0.1") end } }
    function ardour () end
    dofile (script)
    local events = factory { library = true }.separate (helper, folder)
    print (table.concat (titles, "; "))
    print (events.done, events.error, #events.stems)
"""


@pytest.mark.parametrize(("presses", "end"), [(1, "true\tnil\t4"), (2, r"nil\tjob job-\w+ was cancelled\t0")])
def test_cancel_in_the_window_takes_what_is_learned_first(server, make_command, tmp_path, presses, end):
    """The action's own loop with the real helper; only Ardour's window is a stand-in."""
    song = make_song(FRAMES, RATE, 1)
    soundfile.write(tmp_path / "mix.wav", song.samples, RATE, subtype="FLOAT")
    request = {
        "region": "mix",
        "sample_rate_hz": RATE,
        "start_frame": 0,
        "frames": FRAMES,
        "channels": [{"path": str(tmp_path / "mix.wav"), "channel": 0}],
        "ranges": [{"name": "no vocals", "start_frame": 24000, "end_frame": 48000}],
    }
    (tmp_path / "request.json").write_text(json.dumps(request))
    (tmp_path / "play.lua").write_text(ACTION_WITH_A_STAND_IN)
    helper = tmp_path / "helper"  # with the options that the action leaves to the server
    real = shlex.quote(str(make_command("ugosa_ardour", CLIENT)))
    helper.write_text(f'#!/bin/sh\nexec {real} "$@" {" ".join(ENDLESS)}\n')
    helper.chmod(0o755)
    done = run(
        ["lua5.4", tmp_path / "play.lua", CLIENT / "ugosa_separate.lua", helper, tmp_path, presses],
        {"UGOSA_SERVER": server.target},
    )
    titles, ended = done.stdout.splitlines()
    all_titles = [
        "UGOSA: Cancel takes what is learned so far",
        "UGOSA: Cancel ends the job",
        "UGOSA: cancelling",
    ]
    assert titles.split("; ") == all_titles[: 1 + presses]
    assert re.fullmatch(end, ended), done.stdout
