"""Following a job from a test."""

from __future__ import annotations

from ugosa_client import (
    JobEvent,
    JobOptions,
    JobPhase,
    JobState,
    Mark,
    MarkState,
    Progress,
    StateChanged,
    UgosaClient,
)

QUICK = JobOptions(epochs=1)
LONG = JobOptions(epochs=1000, segment_s=0.5, hop_s=0.05)
"""Many minutes of adaptation: such a job ends only by a cancel or a death."""


def silent(source: str, start_frame: int, end_frame: int) -> Mark:
    """Return the mark that says `source` is silent there."""
    return Mark(source, MarkState.SILENT, start_frame, end_frame)


def wait_for_adaptation(client: UgosaClient, job_id: str, attempt: int = 1, epoch: int = 1) -> list[JobEvent]:
    """Return the events of a job up to the first adaptation step of an attempt, or of an epoch of it."""
    events: list[JobEvent] = []
    for event in client.watch(job_id):
        events.append(event)
        if (
            isinstance(event, Progress)
            and event.attempt == attempt
            and event.phase is JobPhase.ADAPTATION
            and event.step > 0
            and event.epoch >= epoch
        ):
            return events
    raise AssertionError(f"the job ended in epoch {epoch} of attempt {attempt}: {events[-3:]}")


def states(events: list[JobEvent]) -> list[JobState]:
    """Return the states that a job went through."""
    return [event.state for event in events if isinstance(event, StateChanged)]
