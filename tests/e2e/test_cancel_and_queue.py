"""A cancel ends a job soon, frees the worker, and the queue moves on."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest

from tests.helpers.jobs import LONG, QUICK, silent, states, wait_for_adaptation
from tests.helpers.songs import make_song, write_song
from ugosa_client import JobEvent, JobPhase, JobState, Progress, UgosaClient
from ugosa_client.errors import RequestIdConflictError

CANCEL_LIMIT_S = 10.0  # of a busy machine; after 15 s the worker would be replaced
MARKS = [silent("vocals", 10000, 30000)]


@pytest.mark.xdist_group("serial")
def test_cancel_frees_the_worker_and_the_queue_moves_on(client: UgosaClient, tmp_path: Path):
    upload_id = client.upload(write_song(make_song(5 * 44100), tmp_path / "song.wav")).upload_id
    long_job = client.create_job(upload_id, marks=MARKS, options=LONG)
    next_job = client.create_job(upload_id, marks=MARKS, options=QUICK)
    events = wait_for_adaptation(client, long_job.job_id)
    assert client.get_job(next_job.job_id).queue_position == 1

    cancelled_s = time.monotonic()
    client.cancel(long_job.job_id)
    rest = list(client.watch(long_job.job_id, after_seq=events[-1].seq))
    took_s = time.monotonic() - cancelled_s

    assert states(rest)[-1] is JobState.CANCELLED
    assert took_s <= CANCEL_LIMIT_S + longest_step_s(events + rest)
    assert states(list(client.watch(next_job.job_id)))[-1] is JobState.SUCCEEDED


def longest_step_s(events: list[JobEvent]) -> float:
    times = [
        event.time.timestamp()
        for event in events
        if isinstance(event, Progress) and event.phase is JobPhase.ADAPTATION
    ]
    return max((after - before for before, after in itertools.pairwise(times)), default=1.0)


def test_a_queued_job_is_cancelled_at_once_and_never_runs(client: UgosaClient, tmp_path: Path):
    upload_id = client.upload(write_song(make_song(44100), tmp_path / "song.wav")).upload_id
    running = client.create_job(upload_id, marks=MARKS, options=LONG)
    queued = client.create_job(upload_id, marks=MARKS, options=LONG)
    wait_for_adaptation(client, running.job_id)
    assert client.cancel(queued.job_id).state is JobState.CANCELLED
    client.cancel(running.job_id)
    assert JobState.RUNNING not in states(list(client.watch(queued.job_id)))


def test_cancelling_an_ended_job_says_how_it_ended(client: UgosaClient, tmp_path: Path):
    upload_id = client.upload(write_song(make_song(20000), tmp_path / "song.wav")).upload_id
    job = client.create_job(upload_id, options=QUICK)
    assert states(list(client.watch(job.job_id)))[-1] is JobState.SUCCEEDED
    assert client.cancel(job.job_id).state is JobState.SUCCEEDED


def test_several_songs_at_a_time_queue_and_all_finish(client: UgosaClient, tmp_path: Path):
    jobs = []
    for seed in range(4):
        upload = client.upload(write_song(make_song(44100, seed=seed), tmp_path / f"song {seed}.wav"))
        jobs.append(client.create_job(upload.upload_id, marks=MARKS, options=QUICK))
    assert [states(list(client.watch(job.job_id)))[-1] for job in jobs] == [JobState.SUCCEEDED] * 4
    starts = [client.get_job(job.job_id).start_time for job in jobs]
    assert starts == sorted(starts), "first come, first served"


def test_the_same_request_makes_one_job_and_another_is_refused(client: UgosaClient, tmp_path: Path):
    upload_id = client.upload(write_song(make_song(20000), tmp_path / "song.wav")).upload_id
    first = client.create_job(upload_id, options=QUICK, request_id=f"mixdown-{upload_id}")
    again = client.create_job(upload_id, options=QUICK, request_id=first.request_id)
    assert again.job_id == first.job_id
    with pytest.raises(RequestIdConflictError, match=first.request_id):
        client.create_job(upload_id, options=LONG, request_id=first.request_id)
    assert states(list(client.watch(first.job_id)))[-1] is JobState.SUCCEEDED
