"""Events of a job, as `UgosaClient.watch` yields them, each with its durable number."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ugosa_client.resources import JobFailure, JobState


class JobPhase(StrEnum):
    """The phases of a running job, in order."""

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
    """Distance of the active sources' sum to the mix."""
    silence: float
    """Leakage of sources where they are marked silent, without lambda."""


@dataclass(frozen=True)
class _Event:
    job_id: str
    seq: int
    """Number of the event within the job, from 1, without a gap."""
    attempt: int
    """Attempt of the job that it belongs to."""
    time: datetime | None
    """UTC, at the server."""


@dataclass(frozen=True)
class StateChanged(_Event):
    """The job is in another state now."""

    state: JobState
    failure: JobFailure | None = None
    """Set when FAILED."""


@dataclass(frozen=True)
class Progress(_Event):
    """Progress of the job."""

    phase: JobPhase
    fraction: float
    """Share of the whole job that is done, 0 to 1; never falls within an attempt."""
    eta_s: float | None
    """Seconds to the end of the job, from measured step times; None until there is a measure."""
    step: int
    """Steps done of `steps` in this phase."""
    steps: int
    epoch: int = 0
    """During ADAPTATION: the epoch, from 1."""
    epochs: int = 0
    """During ADAPTATION: number of epochs."""
    loss: LossTerms | None = None
    """During ADAPTATION: the loss."""
    held_back_db: float | None = None
    """During ADAPTATION: change of the leakage into silence that is held back, mean over its sources, in dB;
    below 0 = less; None until an epoch is judged."""


@dataclass(frozen=True)
class Notice(_Event):
    """Notice for the user; the job goes on."""

    reason: str
    """Stable word, for example "NO_MARKS"."""
    message: str
    """For people."""
    warning: bool = False
    """True for a warning, False for a note."""


@dataclass(frozen=True)
class BaseStemsReady(_Event):
    """Stems of the model as it is, under the marks, can be fetched; better ones may follow."""

    sources: tuple[str, ...]


@dataclass(frozen=True)
class PreviewReady(_Event):
    """A stretch of the song can be heard as the weights are now; `UgosaClient.read_preview` gives it."""

    sources: tuple[str, ...]
    epoch: int
    """Epoch of the weights, from 1."""
    step: int
    """Steps that they have learned, over all epochs."""
    start_frame: int
    """First frame of the stretch, at the song's rate."""
    end_frame: int
    """One past its last frame."""


EVENT_NAMES = {
    StateChanged: "state",
    Progress: "progress",
    Notice: "notice",
    BaseStemsReady: "base_stems",
    PreviewReady: "preview",
}
"""Names of the kinds in JSON."""

JobEvent = StateChanged | Progress | Notice | BaseStemsReady | PreviewReady
