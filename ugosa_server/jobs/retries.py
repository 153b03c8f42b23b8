"""Rules of trying a job again: which lost runs count against it, and when the machine is to blame.

the server died or the worker died  ----> counts if the run had begun; anew after each kept epoch
the server was shut down            ----> never counts
memory, descriptors or disk ran out ----> counts apart; after some in a row the whole queue pauses
"""

from __future__ import annotations

from typing import NamedTuple

MAX_LOST_RUNS = 5  # a restart is not the job's fault, up to a point
MAX_LOST_WORKERS = 2  # a lost worker is replaced once; a job that loses two is not tried again
MAX_MACHINE_FAULTS = 10  # with the pauses between them about an hour

FAULTS_BEFORE_PAUSE = 3
PAUSE_S = 60.0  # doubled with each fault that follows, up to PAUSE_MAX_S
PAUSE_MAX_S = 600.0


class LostRuns(NamedTuple):
    """Runs of a job that were lost since it last kept an epoch; all 0 for most."""

    runs: int = 0
    """By a death of the server or of a worker."""
    workers: int = 0
    """Lost runs whose worker died while the server lived."""
    machine_faults: int = 0
    """Runs that ended for lack of memory, descriptors or disk; they are no fault of the job."""


def verdict(lost: LostRuns) -> str:
    """Return the clause that says why a job is not run again; empty = it is."""
    if lost.workers >= MAX_LOST_WORKERS:
        return f"the job has lost {lost.workers} workers and is not run again"
    if lost.runs >= MAX_LOST_RUNS:
        return f"{lost.runs} runs of this job came to no end, and it is not run again"
    if lost.machine_faults >= MAX_MACHINE_FAULTS:
        return f"{lost.machine_faults} runs of this job ended so, and it is not run again"
    return ""


def pause_s(faults_in_a_row: int) -> float:
    """Return how long the queue pauses after so many runs that the machine ended, in seconds."""
    if faults_in_a_row < FAULTS_BEFORE_PAUSE:
        return 0.0
    return min(PAUSE_S * 2.0 ** (faults_in_a_row - FAULTS_BEFORE_PAUSE), PAUSE_MAX_S)
