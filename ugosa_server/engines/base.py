"""Interface between the server and the engines that run its jobs, and the messages to and from workers.

An engine receives paths and ids, writes files, and returns their digests. The server alone owns the store,
retries, attempt numbers and sequence numbers. `engines/local.py` is the default engine; every other one keeps
the same contract. Both of ours keep workers alive (`engines/worker.py`).

A message between the front process and a worker is one JSON object a line:
`{"kind": "RunProgress", "body": {...}}`. A RunSpec, sent only when no run is in progress, starts its run.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import get_args

import msgspec

from ugosa_server.errors import DISK_FULL_MESSAGE, DiskFullError, is_disk_full
from ugosa_server.jobs import RunEvent, RunFailed, RunSpec

MACHINE_FAULT = "MACHINE_FAULT"  # reason of a run that ended for lack of memory, descriptors or processes
SEE_LOG = "the server's log has the details"
MACHINE_FAULTS = frozenset({MACHINE_FAULT, DiskFullError.reason})
EXHAUSTED = {
    errno.EMFILE: "open files",
    errno.ENFILE: "open files",
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes",
}
"""Words for resources that the machine lacks, by the system's error number."""


@dataclass(frozen=True)
class EngineHealth:
    """State of an engine at one moment."""

    refusal: str = ""
    """Reason why no job can ever start with these settings; empty = one may."""
    restarts: int = 0
    """Workers that were replaced since the start."""
    gpu_memory_bytes: int | None = None
    """Reserved by the workers on their GPUs; None without one."""
    workers: int = 1
    """Number of workers that the engine keeps."""
    workers_ready: int = 0
    """Number of those that could run a job or are running one."""

    @property
    def ready(self) -> bool:
        """True if a worker is there for jobs."""
        return self.workers_ready > 0


class Run(ABC):
    """One attempt of a job, in progress."""

    @abstractmethod
    def events(self) -> AsyncGenerator[RunEvent, None]:
        """Yield the events of the run, ending after RunSucceeded, RunFailed or RunCancelled.

        Raises:
            WorkerLostError: the worker died or stopped answering; another attempt may succeed.
        """

    @abstractmethod
    async def cancel(self, deadline_s: float) -> None:
        """Ask the run to end and wait for it; after `deadline_s` seconds its worker is replaced."""

    @abstractmethod
    def accept(self) -> None:
        """Ask the run to learn no more and go on to its stems, without waiting; once is enough."""


class Engine(ABC):
    """Runner of jobs."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Number of runs that can be in progress at once."""

    @abstractmethod
    async def wait_ready(self) -> None:
        """Wait until a run would start at once, however long it takes; may be cancelled."""

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
        """Return the state of the engine."""

    @abstractmethod
    async def close(self) -> None:
        """End all workers at once: what they hold is in memory only."""


def failure_of(error: Exception) -> RunFailed:
    """Return the end of a run that an unexpected error has ended."""
    if is_disk_full(error) or isinstance(error, DiskFullError):
        return RunFailed(DiskFullError.reason, DISK_FULL_MESSAGE)
    lacking = EXHAUSTED.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    is_torchs = isinstance(error, RuntimeError) and "allocate memory" in str(error)  # on the CPU
    if isinstance(error, MemoryError) or is_torchs:
        lacking = "memory"
    if lacking:
        return RunFailed(MACHINE_FAULT, f"this machine ran short of {lacking}; {SEE_LOG}")
    return RunFailed("INTERNAL", f"internal error ({type(error).__name__}); {SEE_LOG}")


def spends_worker(failure: RunFailed, device: str) -> bool:
    """Return whether the worker ends with this failure: it cannot be trusted, or holds too much."""
    return failure.reason == MACHINE_FAULT or (failure.reason == "INTERNAL" and "cuda" in device)


class Wish(StrEnum):
    """Wishes that a run in progress can be asked for."""

    CANCEL = "cancel"
    """End at the next step."""
    ACCEPT = "accept"
    """Learn no more, and go on to the stems."""


@dataclass(frozen=True)
class AskRun:
    """To the worker: a wish of the run in progress, if it is still this one."""

    job_id: str
    attempt: int
    wish: Wish


@dataclass(frozen=True)
class WorkerReady:
    """From the worker: the default model is resident and runs can start."""

    device: str
    """Device in use, for example "cpu" or "cuda:0 (NVIDIA H200)"."""


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


Message = RunSpec | AskRun | WorkerReady | WorkerRefused | Heartbeat | RunEvent

KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in get_args(Message)}

RunKey = tuple[str, int]
"""Job id and attempt of a run."""


def encode_line(message: Message, run: RunKey | None = None) -> bytes:
    """Return the message as one line, newline included; the events of a run carry its key."""
    return msgspec.json.encode({"kind": type(message).__name__, "body": message, "run": run}) + b"\n"


def decode_line(line: bytes) -> tuple[Message, RunKey | None]:
    """Return the message of a line, and the key of its run.

    Raises:
        msgspec.DecodeError: the line is no message.
    """
    envelope = msgspec.json.decode(line)
    if not isinstance(envelope, dict) or envelope.get("kind") not in KINDS:
        raise msgspec.DecodeError(f"not a message: {line[:200]!r}")
    message = msgspec.convert(envelope.get("body"), KINDS[envelope["kind"]])
    return message, msgspec.convert(envelope.get("run"), RunKey | None)
