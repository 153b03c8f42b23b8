"""Client of UGOSA Server: the typed library behind the `ugosa` command.

from ugosa_client import Mark, SeparationRequest, UgosaClient

with UgosaClient() as client:
    request = SeparationRequest("song.wav", marks=[Mark.silent("vocals", 0.0, 12.5)])
    client.separate(request, "stems")
"""

import os

# gRPC's C core writes its own log to stderr, in the middle of a progress display; it reads this once, on
# import.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from ugosa_client.address import default_target
from ugosa_client.advice import Lint, Suggestion
from ugosa_client.client import UgosaClient
from ugosa_client.connection import RetryPolicy
from ugosa_client.errors import JobCancelledError, JobFailedError, ServerUnavailableError, UgosaClientError
from ugosa_client.events import (
    BaseStemsReady,
    JobEvent,
    JobPhase,
    LossTerms,
    Notice,
    PreviewReady,
    Progress,
    StateChanged,
)
from ugosa_client.fetch import FetchedFiles
from ugosa_client.identity import Identity
from ugosa_client.job_arrays import ArrayEvent, ArrayItem, JobArray
from ugosa_client.marks.findings import Finding, Severity
from ugosa_client.resources import (
    Adapter,
    AudioInfo,
    BaseStems,
    Job,
    JobFailure,
    JobKind,
    JobOptions,
    JobState,
    Mark,
    MarkState,
    MaskKind,
    Model,
    PlayerBox,
    PlayerPicture,
    SourceVerdict,
    Stem,
    StemEncoding,
    Strategy,
    TimedMark,
    Upload,
    Usage,
    Verdict,
    VerdictOutcome,
    VideoInfo,
    VideoSource,
)
from ugosa_client.separate import Separation, SeparationRequest
from ugosa_client.separate_stream import Accepted, Done, Received, StemReceived
from ugosa_client.video import Sight

__version__ = "0.1.0"

__all__ = [
    "Accepted", "Adapter", "ArrayEvent", "ArrayItem", "AudioInfo", "BaseStems", "BaseStemsReady", "Done",
    "FetchedFiles", "Finding", "Identity", "Job", "JobArray", "JobCancelledError", "JobEvent",
    "JobFailedError", "JobFailure", "JobKind", "JobOptions", "JobPhase", "JobState", "Lint", "LossTerms",
    "Mark", "MarkState", "MaskKind", "Model", "Notice", "PlayerBox", "PlayerPicture", "PreviewReady",
    "Progress", "Received", "RetryPolicy", "Separation", "SeparationRequest", "ServerUnavailableError",
    "Severity", "Sight", "SourceVerdict", "StateChanged", "Stem", "StemEncoding", "StemReceived", "Strategy",
    "Suggestion", "TimedMark", "UgosaClient", "UgosaClientError", "Upload", "Usage", "Verdict",
    "VerdictOutcome", "VideoInfo", "VideoSource", "default_target",
]  # fmt: skip
