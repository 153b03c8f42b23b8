"""Durable jobs: uploads, queue, arrays and their store. Exported is the vocabulary, which is cheap to import.

The services are `queue.JobQueue`, `uploads.Uploads`, `quotas.Quotas`, `spool.Spool`,
`retention` and `store.AsyncStore`; the table of options is `option_table.OPTIONS`.
"""

from ugosa_server.jobs.events import EventBody, EventHub, JobEvent, JobState, StateChanged
from ugosa_server.jobs.model import Job, JobArray, JobDraft, Upload, UploadFormat, UploadState
from ugosa_server.jobs.runs import (
    BaseStems,
    FinishedFile,
    JobKind,
    JobOptions,
    RunBaseStems,
    RunCancelled,
    RunEnd,
    RunEvent,
    RunFailed,
    RunNotice,
    RunPhase,
    RunPreview,
    RunProgress,
    RunSpec,
    RunStep,
    RunSucceeded,
    StemFile,
)

__all__ = [
    "BaseStems", "EventBody", "EventHub", "FinishedFile", "Job", "JobArray", "JobDraft",
    "JobEvent", "JobKind", "JobOptions", "JobState", "RunBaseStems", "RunCancelled", "RunEnd", "RunEvent",
    "RunFailed", "RunNotice", "RunPhase", "RunPreview", "RunProgress", "RunSpec", "RunStep",
    "RunSucceeded", "StateChanged", "StemFile", "Upload", "UploadFormat", "UploadState",
]  # fmt: skip
