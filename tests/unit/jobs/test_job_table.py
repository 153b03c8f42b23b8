"""The store: durable, idempotent, gapless, fenced."""

import apsw
import pytest

from ugosa_server.audio.formats import SourceAudio
from ugosa_server.errors import (
    JobNotFinishedError,
    JobStartedError,
    NotFoundError,
    RequestIdConflictError,
    UploadInUseError,
)
from ugosa_server.jobs.events import JobState, StateChanged
from ugosa_server.jobs.model import JobDraft, UploadFormat
from ugosa_server.jobs.runs import JobOptions, RunCancelled, RunFailed, RunNotice, RunSucceeded, StemFile
from ugosa_server.jobs.store import Store
from ugosa_server.marks import Mark, MarkState
from ugosa_server.marks.players import PlayerPicture, VideoInfo, VideoSource, VisualFrame

AUDIO = SourceAudio("/spool/audio.f32", 48000, 2, 96000, "WAV PCM_24", 0.5)
MARKS = (Mark("vocals", MarkState.SILENT, 0, 100),)
NOTICE = RunNotice("WORKER_RETRY", "again")


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "ugosa.sqlite")
    yield store
    store.close()


def complete_upload(store, upload_id="u1"):
    store.uploads.create(
        upload_id, "me", f"request of {upload_id}", "digest", UploadFormat(file_name="a.wav")
    )
    store.uploads.complete(upload_id, "ab" * 32, AUDIO)
    return store.uploads.get("me", upload_id)


def queue(store, job_id, digest="d"):
    upload = complete_upload(store, f"upload of {job_id}")
    return store.jobs.create(
        job_id, f"request of {job_id}", digest, JobDraft(upload, JobOptions("tiny"), MARKS)
    )


def test_what_was_written_is_read_back_after_reopening(tmp_path):
    store = Store(tmp_path / "s.sqlite")
    written = queue(store, "j1")
    store.close()
    store = Store(tmp_path / "s.sqlite")
    assert store.jobs.get("me", "j1") == written
    assert written.marks == MARKS
    assert written.audio == AUDIO
    store.close()


def test_marks_are_beside_the_row_that_every_event_writes(tmp_path):
    store = Store(tmp_path / "s.sqlite")
    job = queue(store, "j1")
    store.close()
    connection = apsw.Connection(str(tmp_path / "s.sqlite"))
    assert connection.execute("SELECT marks FROM jobs").fetchall() == [("[]",)]
    ((marks,),) = connection.execute("SELECT marks FROM job_marks").fetchall()
    # A job of an earlier version has them in its row.
    connection.execute("UPDATE jobs SET marks = ?", (marks,))
    connection.execute("DELETE FROM job_marks")
    connection.close()
    store = Store(tmp_path / "s.sqlite")
    assert store.jobs.get("me", "j1") == job
    assert store.jobs.set_marks("me", "j1", ()).marks == ()
    store.jobs.request_cancel("me", "j1")
    store.jobs.delete("me", "j1")
    store.close()
    connection = apsw.Connection(str(tmp_path / "s.sqlite"))
    assert connection.execute("SELECT count(*) FROM job_marks").fetchall() == [(0,)]


def test_player_frames_are_read_only_for_the_run_of_their_job(store):
    upload = complete_upload(store)
    frames, pictures = (VisualFrame(0, 5, b"ab"),), (PlayerPicture(1, 7, b"\xff\xd8"),)
    seeing = JobOptions("tiny", visual_frames=frames, pictures=pictures)
    job = store.jobs.create("j1", "r", "d", JobDraft(upload, seeing, ()))
    assert job == store.jobs.get("me", "j1")
    assert job.options == JobOptions("tiny")
    assert store.jobs.with_player_frames(job).options == seeing
    blind = store.jobs.create("j2", "s", "d", JobDraft(upload, JobOptions("tiny"), ()))
    assert store.jobs.with_player_frames(blind) == blind
    store.jobs.request_cancel("me", "j1")
    store.jobs.delete("me", "j1")
    assert store.jobs.with_player_frames(job) == job


def test_a_video_stays_while_a_job_needs_it(store):
    song = complete_upload(store)
    store.uploads.create("v1", "me", "v", "digest", UploadFormat(is_video=True))
    store.uploads.complete("v1", "ab" * 32, video=VideoInfo(96, 48, "h264"))
    video = store.uploads.get("me", "v1")
    assert (video.audio, video.video) == (None, VideoInfo(96, 48, "h264"))
    seeing = JobOptions("tiny", video=VideoSource("v1"))
    store.jobs.create("j1", "r", "d", JobDraft(song, seeing, ()))
    with pytest.raises(UploadInUseError, match="job j1 needs upload v1"):
        store.uploads.delete("me", "v1")
    far = 1e12
    assert store.uploads.delete_unused(far, set()) == []
    store.jobs.request_cancel("me", "j1")
    assert sorted(store.uploads.delete_unused(far, set())) == ["u1", "v1"]
    with pytest.raises(NotFoundError, match="no upload 'v1'"):
        store.jobs.create("j2", "s", "d", JobDraft(complete_upload(store, "u2"), seeing, ()))


def test_same_request_gives_the_same_job_another_is_a_conflict(store):
    upload = complete_upload(store)
    first = store.jobs.create("j1", "r", "d", JobDraft(upload, JobOptions("tiny"), MARKS))
    again = store.jobs.create("j2", "r", "d", JobDraft(upload, JobOptions("tiny"), MARKS))
    assert again == first
    with pytest.raises(RequestIdConflictError, match="'r'"):
        store.jobs.create("j3", "r", "other", JobDraft(upload, JobOptions("tiny"), ()))


def test_jobs_are_claimed_oldest_first_each_claim_is_an_attempt(store):
    queue(store, "j1")
    queue(store, "j2")
    assert [store.jobs.get("me", job).queue_position for job in ("j1", "j2")] == [1, 2]
    first = store.jobs.claim_next()
    assert (first.job_id, first.state, first.attempt) == ("j1", JobState.RUNNING, 1)
    assert store.jobs.get("me", "j2").queue_position == 1
    assert store.jobs.requeue("j1", 1, NOTICE)
    assert store.jobs.claim_next().job_id == "j1"
    assert store.jobs.get("me", "j1").attempt == 2


def test_events_have_no_gaps_and_stale_attempts_write_nothing(store):
    queue(store, "j1")
    store.jobs.claim_next()
    store.jobs.requeue("j1", 1, NOTICE)
    store.jobs.claim_next()
    assert not store.jobs.append_event("j1", 1, RunNotice("LATE", "from the first attempt"))
    assert not store.jobs.end("j1", 1, RunCancelled())
    assert store.jobs.append_event("j1", 2, RunNotice("NOW", "from the second"))
    events = store.events.after("j1", 0, 100)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert "LATE" not in [event.body.reason for event in events if isinstance(event.body, RunNotice)]
    assert store.jobs.get("me", "j1").last_seq == events[-1].seq
    assert store.events.after("j1", 3, 2) == events[3:5]


def test_an_ended_job_never_changes_again(store):
    queue(store, "j1")
    store.jobs.claim_next()
    result = RunSucceeded((StemFile("drums", "stem-0.wav", 9, 9, "aa"),), "report.json", "report.html")
    assert store.jobs.end("j1", 1, result)
    ended = store.jobs.get("me", "j1")
    assert (ended.result, ended.fraction) == (result, 1.0)
    assert not store.jobs.end("j1", 1, RunFailed("X", "x"))
    assert not store.jobs.requeue("j1", 1, NOTICE)
    assert store.jobs.request_cancel("me", "j1") == ended


def test_cancel_ends_a_queued_job_and_marks_a_running_one(store):
    queue(store, "j1")
    assert store.jobs.request_cancel("me", "j1").state is JobState.CANCELLED
    queue(store, "j2")
    store.jobs.claim_next()
    assert store.jobs.request_cancel("me", "j2").state is JobState.CANCELLING
    assert not store.jobs.requeue("j2", 1, NOTICE)
    assert store.jobs.end("j2", 1, RunCancelled())
    states = [e.body.state for e in store.events.after("j2", 0, 9) if isinstance(e.body, StateChanged)]
    assert states == [JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING, JobState.CANCELLED]


def test_a_job_is_found_by_its_content_while_that_is_its_own(store):
    upload = complete_upload(store)
    draft = JobDraft(upload, JobOptions("tiny"), MARKS, content_sha256="c")
    for job_id in ("j1", "j2", "j3"):
        store.jobs.create(job_id, job_id, "d", draft)
    assert store.jobs.find_content("me", ("b", "c")) is None  # none has stems
    store.jobs.set_marks("me", "j3", ())
    for _ in range(3):
        job = store.jobs.claim_next()
        store.jobs.end(job.job_id, 1, RunSucceeded((), "r.json", "r.html"))
    assert store.jobs.find_content("me", ("b", "c")).job_id == "j2"
    assert store.jobs.find_content("you", ("c",)) is None
    store.jobs.delete("me", "j2")
    assert store.jobs.find_content("me", ("b", "c")).job_id == "j1"


def test_a_job_that_learns_less_is_no_equal_one(store):
    draft = JobDraft(complete_upload(store), JobOptions("tiny"), MARKS, content_sha256="c")
    store.jobs.create("j1", "r", "d", draft)
    assert store.jobs.request_accept("me", "j1").accepted
    store.jobs.claim_next()
    store.jobs.end("j1", 1, RunSucceeded((), "r.json", "r.html"))
    assert store.jobs.find_content("me", "c") is None


def test_marks_are_replaced_until_the_job_starts(store):
    queue(store, "j1")
    assert store.jobs.set_marks("me", "j1", ()).marks == ()
    store.jobs.claim_next()
    with pytest.raises(JobStartedError, match="running"):
        store.jobs.set_marks("me", "j1", MARKS)
    assert store.jobs.get("me", "j1").marks == ()


def test_nobody_sees_another_principals_things(store):
    queue(store, "j1")
    for look in (
        lambda: store.jobs.get("you", "j1"),
        lambda: store.jobs.request_cancel("you", "j1"),
        lambda: store.jobs.delete("you", "j1"),
        lambda: store.uploads.get("you", "upload of j1"),
        lambda: store.uploads.delete("you", "upload of j1"),
    ):
        with pytest.raises(NotFoundError):
            look()
    assert store.jobs.page("you", (), "", 10) == ([], "")


def test_pages_are_newest_first_and_cover_all(store):
    for number in range(5):
        queue(store, f"j{number}")
    first, token = store.jobs.page("me", (), "", 2)
    second, token = store.jobs.page("me", (), token, 2)
    third, token = store.jobs.page("me", (), token, 2)
    assert [job.job_id for job in first + second + third] == ["j4", "j3", "j2", "j1", "j0"]
    assert token == ""
    store.jobs.request_cancel("me", "j3")
    only, _ = store.jobs.page("me", [JobState.CANCELLED], "", 10)
    assert [job.job_id for job in only] == ["j3"]


def test_only_ended_jobs_and_then_their_uploads_are_deleted(store):
    queue(store, "j1")
    with pytest.raises(JobNotFinishedError):
        store.jobs.delete("me", "j1")
    with pytest.raises(UploadInUseError, match="j1"):
        store.uploads.delete("me", "upload of j1")
    store.jobs.request_cancel("me", "j1")
    store.uploads.delete("me", "upload of j1")
    store.jobs.delete("me", "j1")
    assert store.events.after("j1", 0, 10) == []
    assert store.jobs.all_ids() == store.uploads.all_ids() == set()


def test_a_job_that_ends_before_any_phase_has_no_phases(store):
    for job_id in ("j1", "j2"):
        queue(store, job_id)
    store.jobs.end("j1", store.jobs.claim_next().attempt, RunCancelled())
    store.jobs.request_cancel("me", "j2")
    assert [store.totals.phases_s(ended) for ended in store.totals.ended_after(0.0)] == [{}, {}]


def test_no_job_takes_less_than_no_time_under_a_clock_set_back(store, monkeypatch):
    times_s = iter(range(1_900_000_000, 1_899_000_000, -3600))
    monkeypatch.setattr("time.time", lambda: float(next(times_s)))
    queue(store, "j1")
    store.jobs.end("j1", store.jobs.claim_next().attempt, RunCancelled())
    job = store.jobs.get("me", "j1")
    assert job.create_time_s <= job.start_time_s <= job.end_time_s
    (ended,) = store.totals.ended_after(0.0)
    assert (ended.wait_s, ended.run_s) == (0.0, 0.0)


def test_a_damaged_row_costs_that_job_alone(tmp_path):
    path = tmp_path / "ugosa.sqlite"
    store = Store(path)
    for job_id in ("j1", "j2", "j3"):
        queue(store, job_id)
    store.close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE jobs SET options = '{' WHERE job_id = 'j2'")
    connection.close()
    store = Store(path)
    listed, _ = store.jobs.page("me", (), "", 10)
    assert [(job.job_id, job.damaged) for job in listed] == [("j3", False), ("j2", True), ("j1", False)]
    unfinished = store.jobs.unfinished(JobState.QUEUED)
    assert [(job.job_id, job.damaged) for job in unfinished] == [("j1", False), ("j2", True), ("j3", False)]
    store.close()
