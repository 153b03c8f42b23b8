"""Observations of many clients of one server, and whether they can be true.

Clients say what was answered to them; `verdict` looks at everything together:

- a request_id made one upload or one job, whoever sent it and however often;
- an event, known by its job and seq, is the same for everybody; a watch that asks for what comes after n is
  given n + 1, n + 2, ... without a gap;
- a job goes through legal transitions only, its attempts count up by one, and it ends once;
- an acknowledged upload never shrinks;
- a job that was acknowledged is there until its client deletes it, and there is none that nobody asked for.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator

from ugosa_client import Job, JobEvent, JobState, StateChanged

LEGAL = {
    JobState.QUEUED: {JobState.RUNNING, JobState.CANCELLED},
    JobState.RUNNING: {JobState.QUEUED, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED},
    JobState.CANCELLING: {JobState.CANCELLED, JobState.SUCCEEDED, JobState.FAILED},
}


class History:
    """Collects answers from any number of threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self._ids_of_request = defaultdict(set)
        self._events = defaultdict(dict)
        self._committed = defaultdict(int)
        self._deleted = set()
        self._asked = set()
        self._problems = []

    def problem(self, what):
        """Note something that must not be."""
        with self._lock:
            self._problems.append(what)

    def asks(self, request_id):
        """Note that a request is sent; whether it is answered or not, it may have been heard."""
        with self._lock:
            self._asked.add(request_id)

    def made(self, request_id, made_id):
        """Note what a request made, by its answer."""
        with self._lock:
            self._asked.add(request_id)
            self._ids_of_request[request_id].add(made_id)

    def committed(self, upload_id, size):
        """Note an acknowledged size."""
        with self._lock:
            if size < self._committed[upload_id]:
                self._problems.append(
                    f"upload {upload_id} went from {self._committed[upload_id]} to {size} bytes"
                )
            self._committed[upload_id] = size

    def deletes(self, job_id):
        """Note that a client is about to delete its job."""
        with self._lock:
            self._deleted.add(job_id)

    def watching(self, events: Iterable[JobEvent], job_id: str, after_seq: int) -> Iterator[JobEvent]:
        """Pass on the events of one watch, and note them."""
        for event in events:
            after_seq += 1
            with self._lock:
                if event.seq != after_seq or event.job_id != job_id:
                    self._problems.append(
                        f"a watch of {job_id} expected seq {after_seq} and was given {event}"
                    )
                known = self._events[job_id].setdefault(event.seq, event)
                if known != event:
                    self._problems.append(
                        f"{job_id}, {event.seq} was {known} for one and {event} for another"
                    )
            yield event

    def verdict(self, jobs_left: Iterable[Job]) -> list[str]:
        """Return all that cannot be, given the jobs that the server lists in the end; empty = nothing."""
        problems = list(self._problems)
        left = {job.job_id: job for job in jobs_left}
        for request_id, ids in self._ids_of_request.items():
            if len(ids) != 1:
                problems.append(f"request {request_id} made {len(ids)}: {sorted(ids)}")
        made_jobs = {i for ids in self._ids_of_request.values() for i in ids if i.startswith("job")}
        for job_id in made_jobs - set(left) - self._deleted:
            problems.append(f"{job_id} was acknowledged and is gone")
        for job in left.values():
            if job.request_id not in self._asked:
                problems.append(f"{job.job_id} is of request {job.request_id!r}, which nobody has sent")
            if not job.state.is_terminal:
                problems.append(f"{job.job_id} is still {job.state.name}")
        for job_id, events in self._events.items():
            problems += transitions(job_id, [events[seq] for seq in sorted(events)])
        return problems

    @property
    def counts(self):
        """Numbers of requests, jobs and events that were seen."""
        return {
            "requests": len(self._ids_of_request),
            "jobs": len(self._events),
            "events": sum(map(len, self._events.values())),
        }


def transitions(job_id: str, events: list[JobEvent]) -> list[str]:
    """Return what is wrong with the events of one job, from the first to the last that was seen."""
    problems = []
    state, attempt = None, 0
    for event in events:
        if event.attempt < attempt:
            problems.append(f"{job_id}: attempt {event.attempt} spoke after attempt {attempt}")
        if state is not None and state.is_terminal:
            problems.append(f"{job_id}: {event} came after its end")
        if isinstance(event, StateChanged):
            if state is None and event.state is not JobState.QUEUED:
                problems.append(f"{job_id} began as {event.state.name}")
            if state is not None and event.state not in LEGAL.get(state, ()):
                problems.append(f"{job_id} went from {state.name} to {event.state.name}")
            if event.state is JobState.RUNNING and event.attempt != attempt + 1:
                problems.append(f"{job_id}: attempt {event.attempt} began after attempt {attempt}")
            state = event.state
        attempt = max(attempt, event.attempt)
    return problems
