"""The seam between the server and whatever runs its jobs.

An engine receives paths and ids, writes files, and returns their digests. The server alone owns the store, retries,
attempt numbers and sequence numbers. `engine/local.py` is the default engine; another one passes the same contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.activations.marks import Mark
from ugosa_server.adaptation.options import AdaptationOptions
from ugosa_server.audio.formats import SourceAudio, StemEncoding
from ugosa_server.separation.options import SeparationOptions


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


class RunPhase(StrEnum):
    """The phases of a run, in order."""

    PREPARE = "prepare"
    BASE_SEPARATION = "base_separation"
    ADAPTATION = "adaptation"
    SEPARATION = "separation"
    REPORT = "report"


@dataclass(frozen=True)
class LossTerms:
    """The terms of Eq. 2, averaged over the steps since the epoch began."""

    total: float
    """reconstruction + lambda * silence."""
    reconstruction: float
    """First term: distance of the active sources' sum to the mix."""
    silence: float
    """Second term, without lambda: what is heard of sources where they are marked silent."""


@dataclass(frozen=True)
class RunProgress:
    """How far a run is."""

    phase: RunPhase
    """What it is doing."""
    fraction: float
    """Share of the whole run that is done, 0 to 1; never falls within a run."""
    eta_s: float | None
    """Seconds to the end from measured step times; None until there is a measure."""
    step: int
    """Steps done of `steps` in this phase."""
    steps: int
    """Steps of this phase."""
    epoch: int = 0
    """During ADAPTATION: the epoch, from 1."""
    epochs: int = 0
    """During ADAPTATION: how many."""
    loss: LossTerms | None = None
    """During ADAPTATION."""


@dataclass(frozen=True)
class RunNotice:
    """Something the user should know, though the run goes on."""

    reason: str
    """Stable word, for example "NO_MARKS"."""
    message: str
    """For people."""
    warning: bool = False
    """Whether it deserves attention."""


@dataclass(frozen=True)
class StemFile:
    """One finished stem on disk."""

    source: str
    """The source's name."""
    file_name: str
    """Name inside `out_dir`; server-made."""
    frames: int
    """Same as the song's."""
    size_bytes: int
    """Of the file."""
    sha256: str
    """Hex, of the file."""


@dataclass(frozen=True)
class RunSucceeded:
    """The last event of a run that ended well; all files are durable."""

    stems: tuple[StemFile, ...]
    """In the model's order."""
    report_json: str
    """File name inside `out_dir`."""
    report_html: str
    """File name inside `out_dir`."""


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


class Run(ABC):
    """One attempt of a job, in progress."""

    @abstractmethod
    def events(self) -> AsyncIterator[RunEvent]:
        """Yield what happens, ending after RunSucceeded, RunFailed or RunCancelled.

        Raises:
            WorkerLostError: the worker died or stopped answering; another attempt may succeed.
        """

    @abstractmethod
    async def cancel(self, deadline_s: float) -> None:
        """Ask the run to end; after `deadline_s` seconds its worker is replaced. Returns when it has ended."""


class Engine(ABC):
    """Something that runs jobs."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many runs can be in progress at once."""

    @abstractmethod
    async def start(self, spec: RunSpec) -> Run:
        """Start a run. Waits for a free worker, replacing a dead one.

        Raises:
            WorkerLostError: no worker could be started.
        """

    @abstractmethod
    async def health(self) -> EngineHealth:
        """Say whether jobs would start now, and on what."""

    @abstractmethod
    async def close(self, grace_s: float) -> None:
        """End all workers, killing those that have not ended after `grace_s` seconds."""
