"""The seam between the server and whatever runs its jobs.

An engine receives paths and ids, writes files, and returns their digests. The server alone owns the store,
retries, attempt numbers and sequence numbers. `engines/local.py` is the default engine; another one passes
the same contract.

What the front process and a worker say to each other.

One JSON object a line: `{"kind": "RunProgress", "body": {...}}`.

A run whose events are put into a queue as they arrive: what the runs of all engines have in common.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import msgspec

from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio, StemEncoding
from ugosa_server.errors import DiskFullError, WorkerLostError
from ugosa_server.jobs.events import LossTerms, RunNotice, RunPhase, RunProgress, StemFile
from ugosa_server.jobs.spool import disk_full_explained
from ugosa_server.marks import Mark
from ugosa_server.marks.players import PlayerPicture, VideoSource, VisualFrame
from ugosa_server.separation.options import SeparationOptions

__all__ = [
    "Engine",
    "EngineHealth",
    "LossTerms",
    "Run",
    "RunCancelled",
    "RunEvent",
    "RunFailed",
    "RunNotice",
    "RunPhase",
    "RunProgress",
    "RunSpec",
    "RunSucceeded",
    "StemFile",
]


@dataclass(frozen=True)
class RunSpec:
    """All that an engine needs to run one attempt of a job."""

    job_id: str
    """Server-made id; also the name in logs."""
    attempt: int
    """Counts the runs of the job from 1; fences writers of an earlier attempt."""
    source: SourceAudio
    """The decoded song."""
    file_name: str
    """Name of the song for the report; never used as a path."""
    marks: tuple[Mark, ...]
    """Validated marks, in frames at the source rate; empty = plain separation."""
    model_name: str
    """Name in the registry, for the report."""
    model_path: str
    """The checkpoint file."""
    adaptation: AdaptationOptions
    """Validated."""
    separation: SeparationOptions
    """Validated."""
    stem_encoding: StemEncoding
    """How stems are written."""
    seed: int
    """Of every random choice of the run."""
    out_dir: str
    """Empty directory for this attempt. Files are written as `x.tmp`, synced and renamed."""
    checkpoint_path: str = ""
    """File that this attempt alone writes, to keep what its adaptation has reached at the end of an epoch.
    Outlives out_dir and the attempt; empty = none is kept."""
    resume_path: str = ""
    """What an earlier attempt has kept so; a run that it does not fit passes it over. Empty = nothing."""
    stems: tuple[str, ...] = ()
    """Names of the stems to give, in the model's order; empty = all that the model can give."""
    visual_frames: tuple[VisualFrame, ...] = ()
    """What is seen of the players, for a model that is conditioned on video."""
    pictures: tuple[PlayerPicture, ...] = ()
    """Pictures of the players, of which the worker makes visual frames; validated."""
    video: VideoSource | None = None
    """A video of the players, of which the worker takes pictures; validated."""
    video_path: str = ""
    """Its file."""
    listens_only: bool = False
    """Whether the run ends when the unadapted network has heard the song: levels, no stems and no report."""


@dataclass(frozen=True)
class RunSucceeded:
    """The last event of a run that ended well; all files are durable."""

    stems: tuple[StemFile, ...]
    """In the order of `RunSpec.stems`; none, and no report, of a run that only listens."""
    report_json: str
    """File name inside `out_dir`."""
    report_html: str
    """File name inside `out_dir`."""
    levels: str = ""
    """File name inside `out_dir`: levels of the unadapted network's estimates."""


@dataclass(frozen=True)
class RunFailed:
    """The last event of a run that failed for a reason that another attempt would meet again."""

    reason: str
    """Stable word."""
    message: str
    """For people."""


@dataclass(frozen=True)
class RunCancelled:
    """The last event of a run that was cancelled."""


def failure_of(error: Exception) -> RunFailed:
    """Say how a run ends that an unexpected error has ended."""
    try:
        with disk_full_explained():
            raise error
    except DiskFullError as full:
        return RunFailed(full.reason, full.message)
    except Exception:
        return RunFailed("INTERNAL", f"{type(error).__name__}: {error}; the server's log has the details")


RunEvent = RunProgress | RunNotice | RunSucceeded | RunFailed | RunCancelled


@dataclass(frozen=True)
class EngineHealth:
    """What the engine says of itself."""

    ready: bool
    """Whether a job would start now."""
    device: str
    """What the worker really computes on, for example "cpu" or "cuda:0 (NVIDIA H200)"."""
    detail: str
    """For people."""
    refusal: str = ""
    """Why no job will ever start with these settings; empty = one may."""
    restarts: int = 0
    """Workers that were replaced since the start."""
    gpu_memory_bytes: int | None = None
    """Reserved by the workers on their GPUs; None without one."""
    workers: int = 1
    """How many the engine keeps."""
    workers_ready: int = 0
    """How many of them could run a job or are running one."""


class Run(ABC):
    """One attempt of a job, in progress."""

    @abstractmethod
    def events(self) -> AsyncGenerator[RunEvent, None]:
        """Yield what happens, ending after RunSucceeded, RunFailed or RunCancelled.

        Raises:
            WorkerLostError: the worker died or stopped answering; another attempt may succeed.
        """

    @abstractmethod
    async def cancel(self, deadline_s: float) -> None:
        """Ask the run to end and wait for it; after `deadline_s` seconds its worker is replaced."""


class Engine(ABC):
    """Something that runs jobs."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many runs can be in progress at once."""

    @abstractmethod
    async def start(self, spec: RunSpec) -> Run:
        """Start a run. Waits for a free worker, replacing a dead one.

        The wait can be cancelled (a user who no longer wants the job does not wait for a worker); then
        nothing was started.

        Raises:
            WorkerLostError: no worker could be started.
        """

    @abstractmethod
    async def health(self) -> EngineHealth:
        """Say whether jobs would start now, and on what."""

    @abstractmethod
    async def close(self, grace_s: float) -> None:
        """End all workers, killing those that have not ended after `grace_s` seconds."""


@dataclass(frozen=True)
class StartRun:
    """To the worker: run this attempt. Sent only when no other is in progress."""

    spec: RunSpec
    """What to run."""


@dataclass(frozen=True)
class CancelRun:
    """To the worker: end the run in progress at its next step, if it is still this one."""

    job_id: str
    """Of the run."""
    attempt: int
    """Of the run."""


@dataclass(frozen=True)
class WorkerReady:
    """From the worker: the default model is resident and runs can start."""

    device: str
    """What it computes on, for example "cpu (2 threads)" or "cuda:0 (NVIDIA H200)"."""


@dataclass(frozen=True)
class WorkerRefused:
    """From the worker, before it ends: it can never start with these settings."""

    message: str
    """For people, with the way out."""


@dataclass(frozen=True)
class Heartbeat:
    """From the worker, once a second: it is alive."""

    gpu_memory_bytes: int | None = None
    """Reserved on its GPU; None without one."""


Message = (
    StartRun
    | CancelRun
    | WorkerReady
    | WorkerRefused
    | Heartbeat
    | RunProgress
    | RunNotice
    | RunSucceeded
    | RunFailed
    | RunCancelled
)

KINDS: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        StartRun,
        CancelRun,
        WorkerReady,
        WorkerRefused,
        Heartbeat,
        RunProgress,
        RunNotice,
        RunSucceeded,
        RunFailed,
        RunCancelled,
    )
}


RunKey = tuple[str, int]
"""Job id and attempt: which run a message comes from."""


def encode_line(message: Message, run: RunKey | None = None) -> bytes:
    """Return the message as one line, newline included; what a run says carries the run's key."""
    return msgspec.json.encode({"kind": type(message).__name__, "body": message, "run": run}) + b"\n"


def decode_line(line: bytes) -> tuple[Message, RunKey | None]:
    """Return the message of a line, and the run that it comes from.

    Raises:
        msgspec.DecodeError: the line is no message.
    """
    envelope = msgspec.json.decode(line)
    if not isinstance(envelope, dict) or envelope.get("kind") not in KINDS:
        raise msgspec.DecodeError(f"not a message: {line[:200]!r}")
    message = msgspec.convert(envelope.get("body"), KINDS[envelope["kind"]])
    return message, msgspec.convert(envelope.get("run"), RunKey | None)


class QueuedRun(Run):
    """One attempt of a job; who follows its worker puts what it says, and `cancel` is the engine's own."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.cancel_requested = asyncio.Event()
        self.ended = asyncio.Event()
        self._queue: asyncio.Queue[RunEvent | WorkerLostError] = asyncio.Queue()

    def put(self, event: RunEvent | WorkerLostError) -> None:
        """Hand an event to whoever iterates over `events`; what comes after the last one is dropped."""
        if self.ended.is_set():
            return
        if isinstance(event, WorkerLostError) and self.cancel_requested.is_set():
            event = RunCancelled()
        self._queue.put_nowait(event)
        if not isinstance(event, RunProgress | RunNotice):
            self.ended.set()

    async def events(self) -> AsyncGenerator[RunEvent, None]:
        """See Run.events."""
        while True:
            event = await self._queue.get()
            if isinstance(event, WorkerLostError):
                raise event
            yield event
            if isinstance(event, RunSucceeded | RunFailed | RunCancelled):
                return
