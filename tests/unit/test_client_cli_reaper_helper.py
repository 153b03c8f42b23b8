"""`ugosa daw`: what a DAW script asks for by a file, and reads of another."""

from __future__ import annotations

import json
import os
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.breaking_server import progress_events
from ugosa_client.cli import main, reaper_helper
from ugosa_client.cli.reaper_helper import HelperRequest, read_request, stretch_of
from ugosa_client.errors import BadInputError, ServerUnavailableError
from ugosa_client.resources import Mark, MarkState, StemEncoding
from ugosa_client.song import display_name
from ugosa_client.wire.ugosa.v1 import job_pb2

SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
SOURCES = ("drums", "bass", "other", "vocals")


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "my söng.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, (1000, 2)), 44100, subtype="PCM_24")
    return path


def write_request(tmp_path, **values):
    path = tmp_path / "request.json"
    files = {"progress_file": "progress.jsonl", "cancel_file": "cancel", "out_dir": "stems"}
    request = {name: str(tmp_path / file) for name, file in files.items()} | values
    path.write_text(json.dumps(request), encoding="utf-8")
    return path


def progress(tmp_path):
    text = (tmp_path / "progress.jsonl").read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_request_becomes_stems_and_whole_lines_of_progress(server, song, tmp_path, capsys):
    server.outcomes["my söng.wav"] = SUCCEEDED
    marks = [{"source": "vocals", "state": "silent", "start_frame": 0, "end_frame": 500}]
    request = write_request(tmp_path, song=str(song), marks=marks, options={"epochs": 2}, request_id="r1")
    assert main(["daw", "run", str(request)]) == 0
    lines = progress(tmp_path)
    result = lines[-1]
    assert (result["event"], result["ok"]) == ("result", True)
    assert [stem["source"] for stem in result["stems"]] == list(SOURCES)
    assert all(Path(stem["path"]).is_file() for stem in result["stems"])
    assert [line["job"]["job_id"] for line in lines if line["event"] == "job"] == ["j1"]
    job = result["job"]
    assert (job["request_id"], job["options"]["epochs"], len(job["marks"])) == ("r1", 2, 1)
    assert capsys.readouterr().out == ""


def test_paths_that_are_no_text_come_back_as_they_were(server, song, tmp_path):
    folder = tmp_path / os.fsdecode(b"pr\xe4")
    folder.mkdir()
    odd = song.rename(folder / os.fsdecode(b"s\xf6ng.wav"))
    server.outcomes[display_name(odd.name)] = SUCCEEDED
    request = write_request(tmp_path, song=str(odd), out_dir=str(folder / "stems"))
    text = request.read_text(encoding="utf-8")
    escaped = (("\\udce4", b"\xe4"), ("\\udcf6", b"\xf6"))  # REAPER's scripts write the bytes themselves
    for escape, byte in escaped:
        text = text.replace(escape, os.fsdecode(byte))
    request.write_bytes(os.fsencode(text))
    assert main(["daw", "run", str(request)]) == 0
    assert all(Path(stem["path"]).parent == folder / "stems" for stem in progress(tmp_path)[-1]["stems"])


def test_only_the_frames_of_the_item_are_sent(server, song, tmp_path):
    server.outcomes["my söng 100-400.wav"] = SUCCEEDED
    request = write_request(tmp_path, song=str(song), start_frame=100, end_frame=400)
    assert main(["daw", "run", str(request)]) == 0
    assert {path.name for path in (tmp_path / "stems").glob("*.wav")} == {f"{name}.wav" for name in SOURCES}


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_stretch_has_every_bit_of_its_song(tmp_path, subtype):
    song = tmp_path / "song.wav"
    soundfile.write(song, np.random.default_rng(1).uniform(-1, 1, (200_000, 2)), 48000, subtype=subtype)
    request = HelperRequest(
        tmp_path / "p", tmp_path / "c", song, tmp_path, start_frame=777, end_frame=150_001
    )
    with stretch_of(request) as path:
        stretch, rate_hz = soundfile.read(path)
    assert rate_hz == 48000
    np.testing.assert_array_equal(stretch, soundfile.read(song)[0][777:150_001])
    assert not path.exists()


def test_a_stretch_that_a_full_disk_cuts_off_is_removed(tmp_path):
    song, out_dir = tmp_path / "song.wav", tmp_path / "stems"
    soundfile.write(song, np.zeros((200_000, 2)), 48000)
    out_dir.mkdir()
    request = HelperRequest(tmp_path / "p", tmp_path / "c", song, out_dir, start_frame=777, end_frame=150_001)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # stands for a full disk
    try:
        with pytest.raises(BadInputError, match="cannot cut the song"), stretch_of(request):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(out_dir.iterdir()) == []


def test_a_whole_song_is_sent_as_it_is(tmp_path, song):
    request = HelperRequest(tmp_path / "p", tmp_path / "c", song, tmp_path, start_frame=0, end_frame=1000)
    with stretch_of(request) as path:
        assert path == song
    assert song.exists()


def test_frames_outside_of_the_song_are_refused(tmp_path, song):
    request = HelperRequest(tmp_path / "p", tmp_path / "c", song, tmp_path, start_frame=500, end_frame=1001)
    with pytest.raises(BadInputError, match=r"500 to 1001, but .* has 1000 frames"), stretch_of(request):
        pass


def test_a_song_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    for name, words in (("gone.wav", "No such file"), ("text.wav", "[Ff]ormat")):
        request = HelperRequest(tmp_path / "p", tmp_path / "c", tmp_path / name, tmp_path, start_frame=5)
        message = f"cannot read the song {tmp_path / name}: .*{words}"
        with pytest.raises(BadInputError, match=message), stretch_of(request):
            pass


def test_a_job_is_resumed_by_its_id(server, tmp_path):
    server.add_succeeded_job("j5", {"drums": b"drums", "bass": b"bass"})
    server.events["j5"] = progress_events("j5", 3)
    request = write_request(tmp_path, song="/gone.wav")
    assert main(["daw", "resume", "j5", str(request)]) == 0
    assert [stem["source"] for stem in progress(tmp_path)[-1]["stems"]] == ["drums", "bass"]


def test_a_cancel_before_there_is_a_job_makes_none(server, song, tmp_path):
    (tmp_path / "cancel").touch()
    assert main(["daw", "run", str(write_request(tmp_path, song=str(song)))]) == 4
    assert progress(tmp_path)[-1]["exit_code"] == 4
    assert server.jobs == {}


def test_a_cancel_is_sent_again_until_it_arrives(server, song, tmp_path):
    cancels, arrived = [], threading.Event()

    class AwayAtFirst:
        def cancel(self, job_id):
            cancels.append(job_id)
            if len(cancels) < 3:
                raise ServerUnavailableError("away")
            arrived.set()

    with reaper_helper.Attendant(AwayAtFirst(), tmp_path / "cancel", None) as attendant:
        attendant.job_id = "j1"
        (tmp_path / "cancel").touch()
        assert arrived.wait(30)
    assert cancels == ["j1"] * 3


def test_an_accept_is_sent_once_and_a_cancel_after_it(tmp_path):
    asked, arrived = [], {"accept": threading.Event(), "cancel": threading.Event()}

    class Client:
        def accept(self, job_id):
            asked.append("accept")
            arrived["accept"].set()

        def cancel(self, job_id):
            asked.append("cancel")
            arrived["cancel"].set()

    with reaper_helper.Attendant(Client(), tmp_path / "cancel", tmp_path / "accept") as attendant:
        attendant.job_id = "j1"
        for name in ("accept", "cancel"):
            (tmp_path / name).touch()
            assert arrived[name].wait(30)
    assert asked == ["accept", "cancel"]


def test_signs_of_life_come_between_whole_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(reaper_helper, "ALIVE_S", 0.0005)
    path, sent = tmp_path / "progress.jsonl", 0
    with reaper_helper.progress_lines(path):
        reporter = reaper_helper.JsonReporter()
        while sent < 2000 or '"alive"' not in path.read_text():
            reporter.uploaded(sent, 2000)
            sent += 1
    lines = progress(tmp_path)
    assert [line["done_bytes"] for line in lines if line["event"] == "upload"] == list(range(sent))
    assert {"event": "alive"} in lines


def test_any_command_can_be_called(server, tmp_path):
    request = write_request(tmp_path, command=["models"])
    assert main(["daw", "call", str(request)]) == 0
    assert progress(tmp_path)[-1]["models"][0]["name"] == "tiny"
    request = write_request(tmp_path, command=["no-such-command"])
    assert main(["daw", "call", str(request)]) == 2
    assert "does not understand 'no-such-command'" in progress(tmp_path)[-1]["error"]["message"]


def test_errors_arrive_in_the_progress_file(song, tmp_path):
    request = write_request(tmp_path, song=str(song), server=f"unix:{tmp_path}/none")
    assert main(["daw", "run", str(request)]) == 3
    assert "ugosa-server serve" in progress(tmp_path)[-1]["error"]["message"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"song": "song.wav"}, "'song' is 'song.wav', not an absolute path"),
        ({"song": "/s.wav", "tempo": 120}, "unknown tempo; known are"),
        ({"song": "/s.wav", "marks": [{"source": "bass"}]}, "'state'"),
        ({"song": "/s.wav", "options": {"speed": 1}}, "speed"),
        ({"song": "/s.wav", "start_frame": "soon"}, "soon"),
        ({"song": "/s.wav", "start_frame": float("inf")}, "infinity"),
        ({"song": "/s.wav", "options": ["fast"]}, "list"),
        ({"song": "/s.wav", "request_id": 5}, "'request_id' is 5, not a string"),
        ({"song": "/s.wav", "server": 5}, "'server' is 5, not a string"),
    ],
)
def test_a_request_that_is_wrong_says_where(tmp_path, values, message):
    with pytest.raises(BadInputError, match=message):
        read_request(write_request(tmp_path, **values))


def test_a_request_nested_without_end_cannot_be_read(tmp_path):
    (tmp_path / "request.json").write_text("[" * 100_000)
    with pytest.raises(BadInputError, match="cannot read the request"):
        read_request(tmp_path / "request.json")


def test_a_request_says_everything_there_is_to_say(tmp_path):
    mark = {"source": "bass", "state": "active", "start_frame": 1, "end_frame": 2}
    options = {"model": "tiny", "stem_encoding": "flac-pcm24"}
    path = write_request(tmp_path, song="/s.wav", marks=[mark], options=options, end_frame=9, server="h:1")
    request = read_request(path)
    assert request.marks == (Mark("bass", MarkState.ACTIVE, 1, 2),)
    assert request.options.stem_encoding is StemEncoding.FLAC_PCM24
    assert (request.start_frame, request.end_frame, request.server) == (0, 9, "h:1")
