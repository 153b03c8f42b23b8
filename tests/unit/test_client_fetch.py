"""Results are on disk whole and right, or not at all, and nothing of the user's is replaced."""

import json
import random
import resource
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.breaking_server import breaking_server
from ugosa_client import Accepted, Done, Received, SeparationRequest, StateChanged, StemReceived
from ugosa_client.errors import (
    BadAudioError,
    BadInputError,
    IntegrityError,
    JobNotFinishedError,
    OutputError,
    OutputExistsError,
    ServerUnavailableError,
)
from ugosa_client.fetch import require_folder, require_room, stem_file_names
from ugosa_client.result_folders import free_folder
from ugosa_client.song import FileSong
from ugosa_client.stem_files import LossyFormat, check_lossy_rate, encode_lossy, safe_file_name
from ugosa_client.wire.ugosa.v1 import job_pb2, job_service_pb2

SIZE = 1_500_000
DRUMS = random.Random(1).randbytes(SIZE)
VOCALS = random.Random(2).randbytes(SIZE)
REPORT = {"job_id": "j", "stems": []}


@pytest.fixture
def server_and_client(tmp_path):
    with breaking_server(tmp_path) as pair:
        server = pair[0]
        server.add_succeeded_job("j", {"drums": DRUMS, "vocals": VOCALS})
        server.files["j", str(job_service_pb2.REPORT_FORMAT_JSON)] = json.dumps(REPORT).encode()
        yield pair


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_stems_and_reports_arrive(server_and_client, tmp_path):
    _, client = server_and_client
    files = client.fetch("j", tmp_path / "out dir" / "nested")
    assert list(files.stems) == ["drums", "vocals"]
    assert files.stems["drums"].read_bytes() == DRUMS
    assert json.loads(files.report_json.read_text()) == REPORT
    assert set(contents(tmp_path / "out dir" / "nested")) == {
        "drums.wav",
        "vocals.wav",
        "report.json",
        "report.html",
    }


def test_a_stem_goes_on_after_breaks_where_it_ended(server_and_client, tmp_path):
    server, client = server_and_client
    server.breaks = [2, 0, 1]
    files = client.fetch("j", tmp_path / "out")
    chunk = 256 * 1024
    assert server.starts == [0, 2 * chunk, 2 * chunk, 3 * chunk, 0]
    assert (files.stems["drums"].read_bytes(), files.stems["vocals"].read_bytes()) == (DRUMS, VOCALS)


def test_a_fetch_goes_on_after_a_full_disk(server_and_client, tmp_path):
    server, client = server_and_client
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, hard))  # stands for a full disk
    try:
        with pytest.raises(OutputError, match=f"cannot write to {tmp_path}/out: .*`ugosa fetch j -o DIR`"):
            client.fetch("j", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "out" / "drums.wav").exists()
    server.starts = []
    assert client.fetch("j", tmp_path / "out").stems["drums"].read_bytes() == DRUMS
    assert server.starts[0] > 0


@pytest.fixture
def base_client(server_and_client):
    """A client of a server whose job has a stem of the model as it is."""
    server, client = server_and_client
    server.files["j", "base/drums"] = VOCALS
    server.jobs["j"].base_stems.add().CopyFrom(server.jobs["j"].stems[1])  # the same bytes
    server.jobs["j"].base_stems[0].source = "drums"
    return client


def test_base_stems_have_a_folder_that_is_known_again(base_client, tmp_path):
    for _ in range(2):
        files = base_client.fetch("j", tmp_path / "out")
        assert files.base_stems == {"drums": tmp_path / "out" / "base" / "drums.wav"}
        assert files.base_stems["drums"].read_bytes() == VOCALS
        assert files.stems["drums"].read_bytes() == DRUMS


def test_base_stems_replace_nothing_of_the_user(base_client, tmp_path):
    mine = tmp_path / "out" / "base" / "drums.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"a take of mine")
    with pytest.raises(OutputExistsError, match=f"{mine} would be replaced"):
        base_client.fetch("j", tmp_path / "out")
    assert mine.read_bytes() == b"a take of mine"


@pytest.mark.parametrize("source", ["vocals", None])
def test_base_stems_of_another_job_leave_with_its_results(server_and_client, base_client, tmp_path, source):
    server, _ = server_and_client
    base_client.fetch("j", tmp_path / "out")
    base = tmp_path / "out" / "base"
    (base / "notes.txt").write_text("mine")
    server.add_succeeded_job("k", {"drums": VOCALS})
    server.files["k", str(job_service_pb2.REPORT_FORMAT_JSON)] = json.dumps(REPORT | {"job_id": "k"}).encode()
    if source is not None:
        server.files["k", f"base/{source}"] = VOCALS
        server.jobs["k"].base_stems.add().CopyFrom(server.jobs["k"].stems[0])
        server.jobs["k"].base_stems[0].source = source
    base_client.fetch("k", tmp_path / "out", overwrite=True)
    its_own = [] if source is None else [f"{source}.wav", "report.json"]
    assert sorted(contents(base)) == sorted(["notes.txt", *its_own])
    (base / "notes.txt").unlink()
    for job_id in ("j", "k"):
        base_client.fetch(job_id, tmp_path / "out", overwrite=True)
    assert base.exists() == (source is not None)


def test_results_of_a_song_named_base_are_no_base_stems(server_and_client, tmp_path):
    server, client = server_and_client
    song = {"file_name": "base.wav", "stem_encoding": "wav-float32", "stems": [{"source": "drums"}]}
    server.files["j", str(job_service_pb2.REPORT_FORMAT_JSON)] = json.dumps(REPORT | song).encode()
    client.fetch("j", tmp_path / "out" / "base")
    server.add_succeeded_job("k", {"drums": VOCALS})
    server.files["k", str(job_service_pb2.REPORT_FORMAT_JSON)] = json.dumps(REPORT | {"job_id": "k"}).encode()
    client.fetch("k", tmp_path / "out")
    assert (tmp_path / "out" / "base" / "drums.wav").read_bytes() == DRUMS


def test_early_stems_that_just_went_are_no_failure(server_and_client, base_client, tmp_path):
    server, _ = server_and_client
    del server.files["j", "base/drums"]
    files = base_client.fetch("j", tmp_path / "out")
    assert files.base_stems == {}
    assert files.stems["drums"].read_bytes() == DRUMS
    assert sorted(contents(tmp_path / "out" / "base")) == ["report.json"]


def test_a_folder_that_takes_no_file_is_refused_before_any_work():
    with pytest.raises(OutputError, match=r"nothing can be written in /proc \([^/]+\); name another folder"):
        require_folder(Path("/proc/new"))  # root has all rights there, and can still write nothing


def test_a_disk_too_small_is_refused_before_any_work(tmp_path):
    require_room(tmp_path / "new", 1000)
    with pytest.raises(OutputError, match=r"up to 1000000000 MB, but .* MB free; make room"):
        require_room(tmp_path / "new", 10**15)


def test_another_process_completes_what_is_there_in_part(server_and_client, tmp_path):
    server, client = server_and_client
    server.breaks = [2] + [0] * 10
    with pytest.raises(ServerUnavailableError):
        client.fetch("j", tmp_path / "out")
    assert not (tmp_path / "out" / "drums.wav").exists()
    server.breaks, server.starts = [], []
    client.fetch("j", tmp_path / "out")
    assert server.starts == [2 * 256 * 1024, 0]
    assert contents(tmp_path / "out")["drums.wav"] == DRUMS
    server.starts = []
    client.fetch("j", tmp_path / "out")
    assert server.starts == [], "whole stems are not sent again"


def test_two_fetches_into_one_folder_bring_whole_stems(server_and_client, tmp_path):
    _, client = server_and_client
    others = []

    def fetch_too(name, done_bytes, all_bytes):  # as another process does in the middle of a stem
        if not others and 0 < done_bytes < all_bytes:
            others.append(client.fetch("j", tmp_path / "out"))

    files = client.fetch("j", tmp_path / "out", on_progress=fetch_too)
    assert others == [files]
    assert [path.read_bytes() for path in files.stems.values()] == [DRUMS, VOCALS]


def test_wrong_bytes_are_refused_and_leave_no_stem(server_and_client, tmp_path):
    server, client = server_and_client
    server.files["j", "drums"] = bytes(SIZE)
    with pytest.raises(IntegrityError, match=r"drums\.wav arrived with sha256"):
        client.fetch("j", tmp_path / "out")
    assert not list((tmp_path / "out").glob("drums*"))


def test_a_job_without_stems_is_said_so(server_and_client, tmp_path):
    server, client = server_and_client
    server.jobs["q"] = job_pb2.Job(job_id="q", state=job_pb2.JOB_STATE_RUNNING)
    with pytest.raises(JobNotFinishedError, match="job q is running"):
        client.fetch("q", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["drums.wav", "report.json"])
def test_files_of_the_user_are_not_replaced_unless_asked(server_and_client, tmp_path, name):
    _, client = server_and_client
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir()
    foreign.write_text('["a take of mine"]')
    with pytest.raises(OutputExistsError, match=f"{name} would be replaced.*--overwrite"):
        client.fetch("j", tmp_path / "out")
    assert contents(tmp_path / "out") == {name: b'["a take of mine"]'}
    client.fetch("j", tmp_path / "out", overwrite=True)
    assert contents(tmp_path / "out")["drums.wav"] == DRUMS


def test_earlier_results_are_replaced_and_everything_else_stays(server_and_client, tmp_path):
    _, client = server_and_client
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text(json.dumps(REPORT))
    (out / "drums.wav").write_text("of an earlier job")
    (out / "lyrics.txt").write_text("mine")
    client.fetch("j", out)
    assert contents(out)["drums.wav"] == DRUMS
    assert contents(out)["lyrics.txt"] == b"mine"


def test_results_of_another_job_stay_and_the_next_come_beside(server_and_client, tmp_path):
    server, client = server_and_client
    server.add_succeeded_job("k", {"drums": VOCALS})
    server.files["k", str(job_service_pb2.REPORT_FORMAT_JSON)] = json.dumps(
        {**REPORT, "job_id": "k"}
    ).encode()
    out = tmp_path / "out"
    assert client.fetch("j", out, beside=True).folder == out
    assert not (tmp_path / "out-latest").exists()
    (tmp_path / "out-2").mkdir()
    (tmp_path / "out-2" / "lyrics.txt").write_text("mine")
    assert client.fetch("k", out, beside=True).folder == tmp_path / "out-3"
    assert contents(out)["drums.wav"] == DRUMS
    assert contents(tmp_path / "out-latest")["drums.wav"] == VOCALS
    assert client.fetch("k", out, beside=True).folder == tmp_path / "out-3"  # its own, again
    assert client.fetch("j", out, beside=True).folder == out
    assert (tmp_path / "out-latest").resolve() == out


@pytest.mark.parametrize("has_links", [True, False])
def test_results_that_come_at_once_have_folders_of_their_own(
    server_and_client, tmp_path, monkeypatch, has_links
):
    server, client = server_and_client
    server.add_succeeded_job("k", {"drums": VOCALS})
    report = json.dumps({**REPORT, "job_id": "k"}).encode()
    server.files["k", str(job_service_pb2.REPORT_FORMAT_JSON)] = report
    others = []

    def choose_while_another_chooses(first, job_id):
        folder = free_folder(first, job_id)
        if has_links and not others:
            others.append(None)
            others.append(client.fetch("k", tmp_path / "out", beside=True).folder)
        return folder

    def no_link(*_):
        raise PermissionError("this disk has no links")

    monkeypatch.setattr("ugosa_client.fetch.free_folder", choose_while_another_chooses)
    if not has_links:
        monkeypatch.setattr("os.link", no_link)
        client.fetch("k", tmp_path / "out", beside=True)
    assert client.fetch("j", tmp_path / "out", beside=True).folder == tmp_path / "out-2"
    assert contents(tmp_path / "out")["drums.wav"] == VOCALS
    assert contents(tmp_path / "out-2")["drums.wav"] == DRUMS
    assert not list(tmp_path.glob("**/*.tmp"))


def test_nothing_of_the_user_is_replaced_by_the_link(server_and_client, tmp_path):
    _, client = server_and_client
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text(json.dumps({**REPORT, "job_id": "i"}))
    (tmp_path / "out-latest").write_text("mine")
    assert client.fetch("j", tmp_path / "out", beside=True).folder == tmp_path / "out-2"
    assert (tmp_path / "out-latest").read_text() == "mine"


@pytest.mark.parametrize("folder", [".", "base"])
def test_the_song_itself_is_never_replaced(server_and_client, tmp_path, folder):
    server, client = server_and_client
    song = tmp_path / folder / "drums.wav"
    song.parent.mkdir(exist_ok=True)
    song.write_bytes(b"the song")
    with pytest.raises(OutputExistsError, match="would replace the song"):
        client.separate(SeparationRequest(song), tmp_path, overwrite=True)
    assert server.uploads == {}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("drums", "drums"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\evil", "C__evil"),
        ("Gesang 日本", "Gesang 日本"),
        ("..", "_"),
        ("", "_"),
        ("con", "_con"),
        ("a\nb\0c", "a_b_c"),
    ],
)
def test_names_of_the_server_stay_in_the_directory(tmp_path, source, name):
    assert safe_file_name(source) == name
    assert (tmp_path / name).parent == tmp_path


def test_stems_whose_names_fall_together_get_a_number(server_and_client):
    server, client = server_and_client
    server.add_succeeded_job("same", {"a/b": b"1", "A?b": b"2", "a_b_2": b"3"})
    assert stem_file_names(client.get_job("same")) == ["a_b.wav", "A_b_2.wav", "a_b_2_2.wav"]


def test_one_stream_brings_events_and_stems(server_and_client, tmp_path):
    _, client = server_and_client
    song = tmp_path / "song.wav"
    song.write_bytes(DRUMS)
    items = list(client.separate_stream(song, tmp_path / "out"))
    kinds = [type(item) for item in items]
    assert kinds == [Received] * 3 + [Accepted, StateChanged, StemReceived, StemReceived, Done]
    assert contents(tmp_path / "out") == {"drums.wav": DRUMS, "vocals.wav": DRUMS[::-1]}


def test_one_stream_keeps_stems_apart_whose_names_fall_together(server_and_client, tmp_path, monkeypatch):
    server, client = server_and_client
    made = server.add_succeeded_job

    def renamed(job_id, stems):
        return made(job_id, dict(zip(("a/b", "a?b"), stems.values(), strict=True)))

    monkeypatch.setattr(server, "add_succeeded_job", renamed)
    song = tmp_path / "song.wav"
    song.write_bytes(DRUMS)
    list(client.separate_stream(song, tmp_path / "out"))
    assert contents(tmp_path / "out") == {"a_b.wav": DRUMS, "a_b_2.wav": DRUMS[::-1]}


def test_one_stream_makes_no_job_for_a_folder_it_may_not_fill(server_and_client, tmp_path):
    server, client = server_and_client
    song, out = tmp_path / "song.wav", tmp_path / "out"
    song.write_bytes(DRUMS)
    out.mkdir()
    (out / "drums.wav").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match=r"drums\.wav would be replaced"):
        list(client.separate_stream(song, out))
    with pytest.raises(OutputError, match="nothing can be written in /proc"):
        list(client.separate_stream(song, "/proc/out"))
    assert contents(out) == {"drums.wav": b"mine"}
    assert "s1" not in server.jobs


def test_a_song_that_cannot_be_read_makes_no_job(server_and_client, tmp_path, monkeypatch):
    server, client = server_and_client
    song = tmp_path / "song.wav"
    song.write_bytes(DRUMS)
    read = FileSong.read
    monkeypatch.setattr(
        FileSong, "read", lambda self, offset, size: read(self, offset, size) if offset < 9 else b""
    )
    with pytest.raises(BadAudioError, match="now ends after 524288"):
        list(client.separate_stream(song, tmp_path / "out"))
    assert "s1" not in server.jobs


def test_a_broken_stream_names_its_job_and_leaves_no_half_files(server_and_client, tmp_path):
    server, client = server_and_client
    song = tmp_path / "song.wav"
    song.write_bytes(DRUMS)
    server.breaks = [6]
    with pytest.raises(ServerUnavailableError, match="`ugosa fetch s1 -o DIR`"):
        list(client.separate_stream(song, tmp_path / "out"))
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize("lossy", list(LossyFormat))
@pytest.mark.parametrize("rate_hz", [8_000, 44_056, 44_100, 48_000, 96_000, 192_192, 352_800])
def test_a_rate_that_a_lossy_format_lacks_is_told_beforehand(tmp_path, lossy, rate_hz):
    stem, target = tmp_path / "stem.wav", tmp_path / f"stem{lossy.suffix}"
    soundfile.write(stem, np.zeros((5_000, 2)), rate_hz)
    try:
        check_lossy_rate(lossy, rate_hz)
    except BadInputError:
        assert rate_hz not in (8_000, 44_100, 48_000)
    else:
        encode_lossy(stem, target)
        assert soundfile.info(target).samplerate == rate_hz
