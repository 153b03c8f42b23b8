"""Named places at which a test can kill the process, to prove that nothing acknowledged is lost.

`UGOSA_FAILPOINT=NAME:COUNT:FILE` sends SIGKILL to the process that reaches NAME for the COUNT-th time, if it
can take FILE away: so one fault happens once, however many processes the server starts. Several faults are
separated by commas. Unset, `reach` does nothing.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

NAMES = (
    "upload.created", "upload.appended", "upload.synced", "upload.committed", "upload.decoded",
    "upload.completed", "job.created", "job.claimed", "job.attempt_made", "job.event_recorded",
    "job.run_ended", "job.ended", "worker.run_started", "worker.epoch_kept", "worker.adapted",
    "worker.stems_written", "worker.report_written", "file.renamed",
)  # fmt: skip
"""Places that one upload and job reach, without those of PHASES."""

PHASES = tuple(
    f"phase.{phase}.{place}"
    for phase in ("prepare", "base_separation", "adaptation", "separation", "report")
    for place in ("begun", "step")
)
"""Places in the worker: the start of each phase of a run, and each of its steps."""

_reached: Counter[str] = Counter()
_armed = [fault.split(":", 2) for fault in os.environ.get("UGOSA_FAILPOINT", "").split(",") if fault]


def reach(name: str) -> None:
    """Mark a place; the process is killed here if the environment asks for it."""
    if not _armed:
        return
    _reached[name] += 1
    for armed_name, count, token in _armed:
        if name == armed_name and _reached[name] == int(count):
            try:
                Path(token).unlink()
            except FileNotFoundError:
                continue  # another process has had this fault
            os.kill(os.getpid(), signal.SIGKILL)
