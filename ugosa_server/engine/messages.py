"""What the front process and a worker say to each other.

One JSON object a line: `{"kind": "RunProgress", "body": {...}}`.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ugosa_server.engine.base import (
    RunCancelled,
    RunFailed,
    RunNotice,
    RunProgress,
    RunSpec,
    RunSucceeded,
)


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
