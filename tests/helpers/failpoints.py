"""Names of the places at which a process of the server can be killed (`ugosa_server/failpoints.py`)."""

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
