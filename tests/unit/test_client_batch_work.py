"""Songs of a batch that meet: at the server's room, at one song, and at files that change meanwhile."""

from threading import Event, Semaphore

import numpy as np
import pytest
import soundfile

from ugosa_client.cli import batch_work, main
from ugosa_client.cli.batch_files import SongTree
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import ResourceExhaustedError
from ugosa_client.wire.ugosa.v1 import job_pb2

PATIENCE_S = 60.0  # of a test that fails


@pytest.fixture
def batch(server, tmp_path):
    """Make three songs that are separated at once; return the words of a batch of them."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        soundfile.write(folder / name, np.full((44100, 2), number / 10), 44100)
        server.outcomes[name] = job_pb2.JOB_STATE_SUCCEEDED
    return ["batch", str(folder), "-o", str(tmp_path / "out"), "--forget"]


def test_a_new_song_waits_for_one_that_just_took_the_room(batch, monkeypatch):
    room = Semaphore(1)  # of the server, for one song
    took, waits = ({name: Event() for name in ("a.wav", "b.wav", "c.wav")} for _ in range(2))
    submit, finish, delete, say = UgosaClient.submit, UgosaClient.finish, UgosaClient.delete, Reporter.say
    marks = SongTree.marks

    def submit_where_there_is_room(self, request, **options):
        name = request.song.name
        if name == "b.wav":
            assert took["a.wav"].wait(PATIENCE_S)
        if not room.acquire(blocking=False):
            raise ResourceExhaustedError("no room", "QUOTA")
        job = submit(self, request, **options)
        took[name].set()
        if name == "b.wav":  # it has the room, and nobody else at the client knows
            assert waits["c.wav"].wait(PATIENCE_S)
        return job

    def marks_once_there_is_no_room(self, song):
        if song.name == "c.wav":
            assert took["b.wav"].wait(PATIENCE_S)
        return marks(self, song)

    def finish_once_b_waits(self, job, *arguments, **options):
        if job.file_name == "a.wav":
            assert waits["b.wav"].wait(PATIENCE_S)
        return finish(self, job, *arguments, **options)

    def delete_and_make_room(self, job_id):
        delete(self, job_id)
        room.release()

    def say_and_notice(self, text):
        say(self, text)
        if "the room at the server is full; waiting" in text:
            waits[self._prefix.removesuffix(": ")].set()

    monkeypatch.setattr(batch_work, "FULL_WAIT_S", 0.01)
    monkeypatch.setattr(SongTree, "marks", marks_once_there_is_no_room)
    monkeypatch.setattr(UgosaClient, "submit", submit_where_there_is_room)
    monkeypatch.setattr(UgosaClient, "finish", finish_once_b_waits)
    monkeypatch.setattr(UgosaClient, "delete", delete_and_make_room)
    monkeypatch.setattr(Reporter, "say", say_and_notice)
    assert main(batch) == 0


def test_marks_that_change_during_a_batch_are_separated_next(batch, server, tmp_path, monkeypatch):
    marks, finish = tmp_path / "songs" / "a.txt", UgosaClient.finish
    marks.write_text("0.25\t0.5\tno vocals\n")

    def finish_and_change_marks(self, job, *arguments, **options):
        if job.file_name == "a.wav":  # not before it was read
            marks.write_text("0.25\t0.5\tno drums\n")
        return finish(self, job, *arguments, **options)

    monkeypatch.setattr(UgosaClient, "finish", finish_and_change_marks)
    assert main(batch) == 0
    monkeypatch.setattr(UgosaClient, "delete", lambda self, job_id: None)
    assert main(batch) == 0
    (job,) = server.jobs.values()
    assert [mark.source for mark in job.marks.marks] == ["drums"]


def test_marks_that_change_while_a_song_waits_are_taken(batch, tmp_path, monkeypatch, capsys):
    marks, submit = tmp_path / "songs" / "a.txt", UgosaClient.submit
    marks.write_text("0.25\t0.5\tno vocals\n")

    def submit_to_a_queue_that_is_full_once(self, request, **options):
        if request.song.name == "a.wav" and marks.read_text() != "0.25\t0.5\tno drums\n":
            marks.write_text("0.25\t0.5\tno drums\n")
            raise ResourceExhaustedError("no place", "QUEUE_FULL")
        return submit(self, request, **options)

    monkeypatch.setattr(batch_work, "FULL_WAIT_S", 0.01)
    monkeypatch.setattr(UgosaClient, "submit", submit_to_a_queue_that_is_full_once)
    assert main(batch[:-1]) == 0
    assert main(batch[:-1]) == 0
    assert "; 3 were there already" in capsys.readouterr().out


def test_what_is_deleted_at_the_server_already_is_no_news(batch, monkeypatch, capsys):
    delete = UgosaClient.delete

    def delete_twice(self, job_id):  # as after a call whose answer was lost
        delete(self, job_id)
        delete(self, job_id)

    monkeypatch.setattr(UgosaClient, "delete", delete_twice)
    assert main(batch) == 0
    assert "the server keeps" not in capsys.readouterr().err
