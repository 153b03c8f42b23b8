"""The client and the `ugosa` command against a real server process with a tiny network."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.helpers.encoded import encode, tones, without_count
from tests.helpers.jobs import LONG, wait_for_adaptation
from tests.helpers.songs import SOURCES
from tests.helpers.tiny_network import noise_song
from ugosa_client import (
    ArrayItem,
    BaseStems,
    Done,
    JobOptions,
    JobPhase,
    JobState,
    Mark,
    MarkState,
    Notice,
    PreviewReady,
    Progress,
    SeparationRequest,
    StateChanged,
    StemEncoding,
)
from ugosa_client.cli.audition import Audition
from ugosa_client.errors import (
    BadInputError,
    BadRegionError,
    NotFoundError,
    UnknownSourceError,
    WrongStateError,
)

RATE = 44100
FRAMES = 2 * RATE
QUICK = JobOptions(epochs=1, seed=1)
ENDLESS = ("--epochs", 1000, "--segment", 0.5, "--hop", 0.05)  # many minutes
FILES = ["bass.wav", "drums.wav", "other.wav", "report.html", "report.json", "vocals.wav"]
README = Path(__file__).parents[2] / "clients" / "python" / "README.md"


@pytest.fixture
def address(shared_server):
    return shared_server.target


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "Mein Stück 1.wav"
    soundfile.write(path, 0.1 * noise_song(FRAMES), RATE, subtype="PCM_16")
    path.with_suffix(".txt").write_text("0.5\t1.5\tno vox\n")
    return path


# A process that a shell starts in the background ignores SIGINT. It is undone in the new process, not between
# fork and exec: there gRPC's own handlers would run, and now and then abort.
UGOSA = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from ugosa_client.cli import main; sys.exit(main())"
)


def ugosa(address, *words, **options):
    command = [sys.executable, "-c", UGOSA, *map(str, words)]
    environment = os.environ | {"UGOSA_SERVER": address}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, **options)


def sum_of_stems(folder):
    stems = [soundfile.read(folder / f"{source}.wav", dtype="float64")[0] for source in SOURCES]
    return np.sum(stems, axis=0)


def test_separate_brings_stems_that_add_up_and_obey_the_marks(address, song, tmp_path):
    marks, out = song.with_suffix(".txt"), tmp_path / "out"
    with ugosa(address, "separate", song, "--marks", marks, "-o", out, "--epochs", 1, "--json") as process:
        lines = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0, lines[-1]
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert np.array_equal(sum_of_stems(out), soundfile.read(song, dtype="float64")[0])
    vocals = soundfile.read(out / "vocals.wav")[0][RATE // 2 + 441 : 3 * RATE // 2 - 441]
    assert np.abs(vocals).max() <= 10 ** (-90 / 20)
    assert {"upload", "job", "progress", "state", "fetch", "result"} <= {line["event"] for line in lines}
    assert lines[-1]["job"]["marks"][0]["start_frame"] == RATE // 2


def test_a_watch_from_the_middle_yields_the_rest(client, song):
    job = client.submit(SeparationRequest(song, options=QUICK))
    events = list(client.watch(job.job_id))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert isinstance(events[-1], StateChanged)
    assert events[-1].state is JobState.SUCCEEDED
    assert list(client.watch(job.job_id, after_seq=3)) == events[3:]
    assert list(client.watch(job.job_id, after_seq=len(events))) == []
    assert job.job_id in [found.job_id for found in client.list_jobs([JobState.SUCCEEDED], page_size=1)]


def test_the_same_request_sends_one_song_and_makes_one_job(client, song):
    first, second = (
        client.submit(SeparationRequest(song, options=QUICK, request_id="one of a kind")) for _ in range(2)
    )
    assert (first.job_id, first.upload_id) == (second.job_id, second.upload_id)
    list(client.watch(first.job_id))


def test_a_cancelled_job_array_ends_all_its_jobs(client, song):
    upload_id = client.upload(song).upload_id
    marks = (Mark("vocals", MarkState.SILENT, 0, RATE),)
    array = client.create_array([ArrayItem(upload_id, marks)] * 2, options=LONG)
    assert client.cancel_array(array.array_id).job_ids == array.job_ids
    states = [event.event.state for event in client.watch_array(array.array_id) if is_end(event.event)]
    assert states == [JobState.CANCELLED] * 2
    assert client.get_array(array.array_id).counts == {JobState.CANCELLED: 2}


def is_end(event):
    return isinstance(event, StateChanged) and event.state.is_terminal


def test_arrays_are_separated_too(client, tmp_path):
    samples = 0.1 * noise_song(RATE // 2, channels=1)
    separation = client.separate(
        SeparationRequest(samples, sample_rate_hz=RATE, options=QUICK), tmp_path / "out"
    )
    assert separation.job.audio.frames == RATE // 2
    assert np.abs(sum_of_stems(tmp_path / "out") - samples[:, 0]).max() <= 10 ** (-140 / 20)


def test_the_servers_refusals_are_typed_and_in_its_words(client, song):
    upload = client.upload(song)
    with pytest.raises(UnknownSourceError, match="vocals"):
        client.create_job(upload.upload_id, marks=[Mark("vocls", MarkState.SILENT, 0, 10)])
    with pytest.raises(BadRegionError, match=str(FRAMES)):
        client.create_job(upload.upload_id, marks=[Mark("vocals", MarkState.SILENT, 0, FRAMES + 1)])
    with pytest.raises(BadInputError, match="-1"):
        client.create_job(upload.upload_id, options=JobOptions(epochs=-1))


def test_ctrl_c_takes_what_is_learned_so_far(address, client, song, tmp_path):
    words = ["separate", song, "--marks", song.with_suffix(".txt"), "-o", tmp_path / "out"]
    with ugosa(address, *words, *ENDLESS, "--json") as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "progress" and event["phase"] == "adaptation" and event["step"] > 0:
                process.send_signal(signal.SIGINT)
                break
        lines = [json.loads(line) for line in process.stdout]
    assert process.returncode == 0
    said = next(line["message"] for line in lines if line["event"] == "message")
    assert re.match(r"taking what is learned so far, \d+ of \d+ steps; Ctrl-C again cancels job", said)
    assert client.get_job(event["job_id"]).accepted
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


@pytest.mark.parametrize("learns", [True, False])
def test_ctrl_c_cancels_where_nothing_is_left_to_take(address, client, song, tmp_path, learns):
    marks = (Mark("vocals", MarkState.SILENT, 0, RATE),)
    running = client.create_job(client.upload(song).upload_id, marks=marks, options=LONG)
    wait_for_adaptation(client, running.job_id)  # so that the next one waits
    marks = ["--marks", song.with_suffix(".txt")] if learns else []
    said = []
    with ugosa(address, "separate", song, *marks, "-o", tmp_path / "out", "--json") as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "state" and event["state"] == "queued":
                job_id = event["job_id"]
                process.send_signal(signal.SIGINT)
            if event["event"] == "message":
                said.append(event["message"])
                if "nothing is learned yet" in said[-1]:
                    client.accept(job_id)  # now, for cancelling may overtake what the first Ctrl-C asks for
                    process.send_signal(signal.SIGINT)
    assert process.returncode == 4
    assert event["job"]["accepted"] == learns
    assert [f"cancelling job {event['job']['job_id']}" in text for text in said] == [False] * learns + [True]
    with pytest.raises(WrongStateError, match="cancelled"):
        client.fetch(event["job"]["job_id"], tmp_path / "out")
    client.cancel(running.job_id)


def test_an_accepted_job_gives_the_stems_of_what_it_learned(address, client, song):
    marks = (Mark("vocals", MarkState.SILENT, 0, RATE),)
    job = client.create_job(client.upload(song).upload_id, marks=marks, options=LONG)
    wait_for_adaptation(client, job.job_id)
    with ugosa(address, "accept", job.job_id) as process:
        assert process.stdout.read() == f"job {job.job_id} is running\n"
    events = list(client.watch(job.job_id))
    assert [event.reason for event in events if isinstance(event, Notice)].count("ACCEPTED") == 1
    job = client.get_job(job.job_id)
    assert (job.state, job.accepted, len(job.stems)) == (JobState.SUCCEEDED, True, 4)
    assert client.accept(job.job_id) == job


def test_base_stems_are_fetched_while_the_job_learns(shared_server, address, client, song, tmp_path):
    words = ["separate", song, "--marks", song.with_suffix(".txt"), "-o", tmp_path / "out"]
    with ugosa(address, *words, *ENDLESS, "--base-stems", "early", "--json") as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "base_stems":
                break
        base = tmp_path / "out" / "base"
        assert np.array_equal(sum_of_stems(base), soundfile.read(song, dtype="float64")[0])
        job = client.get_job(event["job_id"])
        assert job.state is JobState.RUNNING
        drums = b"".join(client.read_stem(job.job_id, job.base_stems[0]))
        assert drums == (base / "drums.wav").read_bytes()
        for path in shared_server.state_dir.glob(f"**/{job.job_id}/**/base-*"):
            path.unlink()  # as the worker does just before the job's end
        with pytest.raises(NotFoundError, match="has just dropped the stems of the model as it is"):
            b"".join(client.read_stem(job.job_id, job.base_stems[0]))
        client.cancel(job.job_id)
        process.communicate()
    assert process.returncode == 4
    assert client.get_job(job.job_id).base_stems == ()
    with pytest.raises(NotFoundError, match="has no stems of the model as it is"):
        b"".join(client.read_stem(job.job_id, job.base_stems[0]))


def test_previews_are_written_while_the_job_learns(address, client, song, tmp_path):
    words = ["separate", song, "--marks", song.with_suffix(".txt"), "-o", tmp_path / "out"]
    audition = ["--audition", tmp_path / "early", "--audition-span", "0.5-1.25"]
    with ugosa(address, *words, *ENDLESS, *audition, "--json") as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "preview":
                break
        job_id = event["job_id"]
        names = [f"preview-0001-{source}.flac" for source in SOURCES]
        assert [Path(path).name for path in event["files"].values()] == names
        written = sorted(path.name for path in (tmp_path / "early").iterdir())
        assert written[: len(names)] == sorted(names)  # others may have followed
        stems = [soundfile.read(tmp_path / "early" / name)[0] for name in names]
        assert len(stems[0]) == 0.75 * RATE
        whole = soundfile.read(song)[0]
        assert np.array_equal(np.sum(stems, axis=0), whole[RATE // 2 : RATE * 5 // 4])
        client.cancel(job_id)
        process.communicate()
    assert process.returncode == 4
    with pytest.raises(NotFoundError, match="is cancelled and has no preview of 'drums'"):
        client.read_preview(job_id, "drums")


def test_an_audition_keeps_the_newest_ten(tmp_path):
    class Client:
        def read_preview(self, job_id, source, step):
            return f"{source} {step}".encode()

    (tmp_path / "preview-0003-mine.flac").write_bytes(b"of an earlier job")
    said = []
    audition = Audition(
        Client(), tmp_path, SimpleNamespace(previewed=lambda *words: said.append(words)), said.append
    )
    for step in range(12):
        audition.happened(PreviewReady("job", 1, 1, None, ("drums", "a/b"), 1, step, 0, 1))
    kept = {f"preview-{number:04d}-{name}.flac" for number in range(6, 16) for name in ("drums", "a_b")}
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "preview-0003-mine.flac"}
    assert (tmp_path / "preview-0015-drums.flac").read_text() == "drums 11"
    assert len(said) == 12


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (JobState.SUCCEEDED, "there was too little to learn"),
        (JobState.FAILED, "the job failed before the first one"),
        (JobState.CANCELLED, "the job was cancelled before the first one"),
    ],
)
def test_audition_without_previews_says_why(tmp_path, state, why):
    said = []
    audition = Audition(None, tmp_path / "empty", SimpleNamespace(say=said.append), lambda event: None)
    audition.happened(StateChanged("job", 1, 1, None, JobState.RUNNING))
    assert said == []
    audition.happened(StateChanged("job", 1, 2, None, state))
    assert said == [f"no preview came into {tmp_path / 'empty'}: {why}"]


def test_a_preview_is_a_short_stretch_of_the_song(client, tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, 0.1 * noise_song(17 * 8000, channels=1), 8000)
    upload = client.upload(path)
    for span, words in (
        ((0, 17 * 8000 + 1), r"frames 0 to 136001\), but must lie within the song, .* \(frame 136000\)"),
        ((8000, 0), "its end after its start"),
        ((0, 16 * 8000), "16 s long, but must be at most 15 s"),
    ):
        with pytest.raises(BadInputError, match=words):
            client.create_job(
                upload.upload_id, options=JobOptions(preview_start_frame=span[0], preview_end_frame=span[1])
            )


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_a_song_whose_header_was_never_finished_is_separated(address, client, tmp_path, kind):
    (folder := tmp_path / "songs").mkdir()
    (song := folder / f"song.{kind.lower()}").write_bytes(without_count(encode(kind, tones())))
    (marks := folder / "song.txt").write_text("0\t0.25\tno vocals\n")
    with ugosa(address, "batch", folder, "-o", tmp_path / "none", "--check") as process:
        assert "only the server can tell their length: song" in process.stdout.read()
    separation = client.separate(SeparationRequest(song, marks, QUICK), tmp_path / "out")
    assert len(sum_of_stems(tmp_path / "out")) == len(tones())
    assert len(separation.job.marks) == 1


def test_flac_is_refused_at_once_where_it_holds_no_such_rate(client, tmp_path):
    path = tmp_path / "pulled-up.wav"
    soundfile.write(path, 0.1 * noise_song(9_000, channels=1), 96_096)
    upload = client.upload(path)
    with pytest.raises(BadInputError, match=r"has 96096 Hz, but above 65535 Hz FLAC .* wav-pcm24 holds"):
        client.create_job(upload.upload_id, options=JobOptions(stem_encoding=StemEncoding.FLAC_PCM24))


@pytest.mark.parametrize("base_stems", [BaseStems.EARLY, BaseStems.KEPT])
def test_base_stems_lie_beside_the_adapted_ones(client, song, tmp_path, base_stems):
    def accept_what_is_learned(event):  # not before the early stems are here
        if isinstance(event, Progress) and event.phase is JobPhase.ADAPTATION and event.step > 0:
            client.accept(event.job_id)

    options = replace(LONG, base_stems=base_stems, guard=False)
    request = SeparationRequest(song, song.with_suffix(".txt"), options)
    separation = client.separate(request, tmp_path / "out", on_event=accept_what_is_learned)
    for name in ("out", "out/base"):
        assert np.array_equal(sum_of_stems(tmp_path / name), soundfile.read(song, dtype="float64")[0])
    assert list(separation.files.base_stems) == list(separation.files.stems)
    is_kept = base_stems is BaseStems.KEPT
    assert len(separation.job.base_stems) == len(separation.job.stems) * is_kept
    again = client.fetch(separation.job.job_id, tmp_path / "again")
    assert list(again.base_stems) == list(again.stems) * is_kept
    stem_bytes = sum(stem.size_bytes for stem in separation.job.stems)
    before = client.usage().stem_bytes
    client.delete(separation.job.job_id)
    assert before - client.usage().stem_bytes == stem_bytes * (2 if is_kept else 1)


def test_a_batch_separates_a_directory_and_does_nothing_twice(address, client, song, tmp_path):
    soundfile.write(song.with_name("second.flac"), 0.1 * noise_song(RATE, seed=2), RATE)
    song.with_name("broken.mp3").write_bytes(b"no audio at all")
    words = ["batch", song.parent, "-o", tmp_path / "out", "--epochs", 1, "--json"]
    jobs = []
    for _ in range(2):
        with ugosa(address, *words) as process:
            result = [json.loads(line) for line in process.stdout][-1]
        assert process.returncode == 1
        outcomes = {outcome["song"]: outcome for outcome in result["songs"]}
        assert {name: outcome["exit_code"] for name, outcome in outcomes.items()} == {
            song.name: 0,
            "second.flac": 0,
            "broken.mp3": 2,
        }
        jobs.append([outcome["job_id"] for outcome in outcomes.values()])
    assert jobs[0] == jobs[1]
    without_page = [name for name in FILES if name != "report.html"]
    assert sorted(path.name for path in (tmp_path / "out" / "second").iterdir()) == without_page


def test_a_batch_that_forgets_does_nothing_twice(address, client, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "songs"
    folder.mkdir()
    soundfile.write(folder / "mine.flac", 0.1 * noise_song(RATE, seed=77), RATE)

    def at_server():
        jobs, uploads = client.list_jobs(), client.list_uploads()
        return {job.job_id for job in jobs}, {upload.upload_id for upload in uploads}

    def separate():
        words = ["batch", folder, "-o", out, "--epochs", 1, "--forget", "--page", "on", "--json"]
        with ugosa(address, *words) as process:
            (outcome,) = [json.loads(line) for line in process.stdout][-1]["songs"]
        assert process.returncode == 0
        return outcome

    before, first, again = at_server(), separate(), separate()
    assert (first["computed"], again["computed"]) == (True, False)
    assert first["job_id"] == again["job_id"]
    assert at_server() == before
    (out / "mine" / "vocals.wav").unlink()
    assert separate()["computed"]
    assert sorted(path.name for path in (out / "mine").iterdir()) == [".ugosa-batch.json", *FILES]


def test_a_batch_that_forgets_takes_a_song_that_is_there_twice(address, client, tmp_path):
    out, folder = tmp_path / "out", tmp_path / "songs"
    folder.mkdir()
    for name in ("once", "again", "marked", "marked too"):
        soundfile.write(folder / f"{name}.wav", 0.1 * noise_song(RATE, seed=78), RATE)
        if "marked" in name:
            (folder / f"{name}.txt").write_text("0\t0.5\tno vocals\n")
    words = ["batch", folder, "-o", out, "--epochs", 1, "--forget", "--base-stems", "kept", "--json"]
    for is_new in (True, False):
        with ugosa(address, *words, "--format", "flac-pcm24") as process:
            outcomes = [json.loads(line) for line in process.stdout][-1]["songs"]
        assert [outcome["message"] for outcome in outcomes] == [""] * 4
        assert [outcome["computed"] for outcome in outcomes] == [is_new] * 4
    assert not {job.job_id for job in client.list_jobs()} & {outcome["job_id"] for outcome in outcomes}
    assert (out / "marked too" / "base" / "vocals.flac").is_file()


def test_one_stream_gives_stems_that_add_up(client, song, tmp_path):
    marks = [Mark("vocals", MarkState.SILENT, 0, RATE)]
    *_, last = client.separate_stream(song, tmp_path / "out", marks=marks, options=QUICK)
    assert isinstance(last, Done)
    assert last.job.state is JobState.SUCCEEDED
    assert np.array_equal(sum_of_stems(tmp_path / "out"), soundfile.read(song, dtype="float64")[0])


def readme_scripts():
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_the_scripts_of_the_readme_run(address, song, number):
    (song.parent / "song.wav").write_bytes(song.read_bytes())
    environment = os.environ | {"UGOSA_SERVER": address}
    subprocess.run(
        [sys.executable, "-c", readme_scripts()[number], "song.wav"],
        cwd=song.parent,
        env=environment,
        check=True,
    )
    folder = song.parent if number else song.parent / "stems"
    assert np.array_equal(sum_of_stems(folder), soundfile.read(song, dtype="float64")[0])
    assert np.abs(soundfile.read(folder / "vocals.wav")[0][: RATE // 2 - 441]).max() <= 10 ** (-90 / 20)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [((), "name a song"), (("nowhere.wav",), "name a song"), (("song.txt",), "none of the accepted kinds")],
)
def test_script_of_the_readme_answers_wrong_use(address, tmp_path, words, sentence):
    (tmp_path / "song.txt").write_text("no audio at all")
    done = subprocess.run(
        [sys.executable, "-c", readme_scripts()[1], *words],
        cwd=tmp_path,
        env=os.environ | {"UGOSA_SERVER": address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1, "no stack trace"


def test_there_are_two_scripts_in_the_readme():
    assert len(readme_scripts()) == 2
