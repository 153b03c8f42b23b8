"""What the OSC layer needs to know of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ugosa_server.osc.snapshot import JobSnapshot


class JobFeed(Protocol):
    """The server's jobs, seen from OSC. News goes the other way, through `OscService.publish`."""

    def live_jobs(self) -> Sequence[JobSnapshot]:
        """Return a snapshot of every job that has not ended."""
        ...

    async def snapshot(self, job_id: str) -> JobSnapshot:
        """Return a snapshot of a job, ended or not.

        Raises:
            UgosaError: there is no such job.
        """
        ...

    async def cancel(self, job_id: str) -> None:
        """Ask a job to end; nothing happens to one that has ended.

        Raises:
            UgosaError: there is no such job.
        """
        ...
