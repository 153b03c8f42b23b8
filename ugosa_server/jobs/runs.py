"""The vocabulary of a run, one attempt of a job: what it is given, the events it yields, and its results.

Front process, engines and workers all speak it; an engine carries it between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ugosa_server.adaptation import AdaptationOptions, LossTerms, Verdict
from ugosa_server.audio import SourceAudio, StemEncoding
from ugosa_server.files import sha256_of_file
from ugosa_server.marks import Interval, Mark
from ugosa_server.marks.players import PlayerPicture, VideoSource, VisualFrame
from ugosa_server.separation import SeparationOptions

REST = "rest"


@dataclass(frozen=True)
class StemChoice:
    """Stems to give: some of those that a job makes, and the sum of the others."""

    made: tuple[str, ...]
    """Names of all stems, in the model's order; their sum is the mix."""
    chosen: tuple[str, ...] = ()
    """Those that are given by themselves; empty = all."""

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the stems whose sum is given as `REST`; none if each is given by itself."""
        return tuple(name for name in self.made if name not in self.chosen) if self.chosen else ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stems that are given, in order."""
        if not self.others:
            return self.made
        return (*(name for name in self.made if name in self.chosen), REST)


class BaseStems(StrEnum):
    """Stems of the model as it is, under the marks, in a job that adapts it."""

    NONE = "none"
    """They are not written."""
    EARLY = "early"
    """They are written before the adaptation, and removed at the end of the job."""
    KEPT = "kept"
    """They are written as early, and kept beside the job's stems."""


class JobKind(StrEnum):
    """Purpose of a job."""

    SEPARATION = "separation"
    """Adapts and separates: stems and a report."""
    ANALYSIS = "listening"
    """Runs the unadapted network alone: levels for suggestions and lint, no stems."""


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, every choice made."""

    model: str
    """Name in the registry."""
    kind: JobKind = JobKind.SEPARATION
    preset: str = ""
    """The named set of defaults that the request started from; empty = none."""
    adaptation: AdaptationOptions = field(default_factory=AdaptationOptions)
    separation: SeparationOptions = field(default_factory=SeparationOptions)
    """Cutting and joining."""
    stem_encoding: StemEncoding = StemEncoding.WAV_FLOAT32
    base_stems: BaseStems = BaseStems.NONE
    """Whether those of the unadapted network are given too."""
    preview_start_frame: int = 0
    """First frame of the stretch that previews are made of."""
    preview_end_frame: int = 0
    """One past its last frame; 0 = no previews."""
    seed: int = 0
    """Seed of every random choice."""
    max_memory_bytes: int = 0
    """Memory that the worker may hold during the job, on the CPU; 0 = as the server has it."""
    start_from: str = "none"
    """Job or upload whose adapter is gone on from; "none" = the model as it is. In a draft also "auto"."""
    instruments: tuple[str, ...] = ()
    """Sources of the model that play, as the request says; empty = by the marks."""
    stems: tuple[str, ...] = ()
    """Stems to give, besides the sum of the others; empty = all."""
    excerpt: bool = True
    """Whether the report's page holds a few seconds of every take."""
    visual_frames: tuple[VisualFrame, ...] = ()
    pictures: tuple[PlayerPicture, ...] = ()
    video: VideoSource | None = None

    @property
    def preview(self) -> Interval:
        """Frames that previews are made of; none of them = no previews."""
        return self.preview_start_frame, self.preview_end_frame

    @property
    def is_analysis(self) -> bool:
        """True if the run ends after the pass of the unadapted network: levels, no stems, no report."""
        return self.kind is JobKind.ANALYSIS


@dataclass(frozen=True)
class RunSpec:
    """All that an engine needs to run one attempt of a job."""

    job_id: str
    """Server-made id; also the name in logs."""
    attempt: int
    """Counts the runs of the job from 1; fences writers of an earlier attempt."""
    source: SourceAudio
    file_name: str
    """Name of the song for the report; never used as a path."""
    marks: tuple[Mark, ...]
    """Validated marks, in frames at the source rate; empty = plain separation."""
    options: JobOptions
    """Validated."""
    model_path: str
    out_dir: str
    """Empty directory for this attempt. Files are written beside their names, synced and renamed."""
    checkpoint_path: str = ""
    """File that this attempt alone writes, to keep the state of its adaptation at the end of an epoch.
    Outlives out_dir and the attempt; empty = none is kept."""
    resume_path: str = ""
    """Such a file of an earlier attempt, ignored if it does not match this run; empty = there is none."""
    stems: tuple[str, ...] = ()
    """Names of the stems to make, in the model's order; empty = all that the model can give."""
    video_path: str = ""
    """File of the video of the players, if there is one."""
    start_path: str = ""
    """File of the adapter that the run begins with; empty = none."""
    model_sha256: str = ""
    """Hex, of the checkpoint file when the server started; empty = not compared."""


@dataclass(frozen=True)
class RunSucceeded:
    """The last event of a run that ended well, and the result of its job; all files are durable."""

    stems: tuple[StemFile, ...]
    """In the order of `StemChoice.names`; none, and no report, of an analysis."""
    report_json: str
    """File name inside `out_dir`."""
    report_html: str
    """File name inside `out_dir`."""
    levels: str = ""
    """File name inside `out_dir`: levels of the unadapted network's estimates."""
    verdict: Verdict | None = None
    """Whether the adaptation helped; None = none was judged."""
    base_stems: tuple[StemFile, ...] = ()
    """Stems of the unadapted network, where they are kept; those of `stems` if the guard kept it."""
    adapter: FinishedFile | None = None
    """File of the changed tensors; None where nothing was fine-tuned, or the network was kept as it was."""

    @property
    def stored_bytes(self) -> int:
        """Bytes of its stems on disk."""
        files = {stem.file_name: stem.size_bytes for stem in (*self.stems, *self.base_stems)}
        return sum(files.values())


@dataclass(frozen=True)
class RunFailed:
    """The last event of a run that failed, and why its job did."""

    reason: str
    """Stable word, for example "WORKER_LOST"."""
    message: str


@dataclass(frozen=True)
class RunCancelled:
    """The last event of a run that was cancelled."""


class RunPhase(StrEnum):
    """The phases of a run, in order."""

    PREPARE = "prepare"
    BASE_SEPARATION = "base_separation"
    ADAPTATION = "adaptation"
    SEPARATION = "separation"
    REPORT = "report"


@dataclass(frozen=True)
class RunProgress:
    """Progress of a run."""

    phase: RunPhase
    fraction: float
    """Share of the whole run that is done, 0 to 1; never falls within a run."""
    eta_s: float | None
    """Seconds to the end from measured step times; None until there is a measure."""
    step: int
    """Steps done of `steps` in this phase."""
    steps: int
    epoch: int = 0
    """During ADAPTATION: the epoch, from 1."""
    epochs: int = 0
    """During ADAPTATION: how many."""
    loss: LossTerms | None = None
    """During ADAPTATION."""
    held_back_db: float | None = None
    """During ADAPTATION: change of the leakage into held-back silence, by the epoch judged last; None = none
    was."""


@dataclass(frozen=True)
class RunNotice:
    """Notice for the user; the run goes on."""

    reason: str
    """Stable word, for example "NO_MARKS"."""
    message: str
    warning: bool = False
    """True if it deserves attention."""


@dataclass(frozen=True)
class RunBaseStems:
    """Stems of the unadapted network; the run goes on."""

    stems: tuple[StemFile, ...]
    """In the order of `StemChoice.names`; durable."""


@dataclass(frozen=True)
class RunPreview:
    """Stems of a stretch of the song with the weights as they were after a step of learning."""

    stems: tuple[StemFile, ...]
    """In the order of `StemChoice.names`; on disk until the preview after the next, or the run's end."""
    epoch: int
    """Counts from 1."""
    step: int
    """Steps done in all epochs."""
    start_frame: int
    """First frame of the stretch."""
    end_frame: int
    """One past its last frame."""


@dataclass(frozen=True)
class StemFile:
    """One finished stem on disk."""

    source: str
    file_name: str
    """Name inside `out_dir`; server-made."""
    frames: int
    """Same as the song's."""
    size_bytes: int
    sha256: str
    """Hex, of the file."""


@dataclass(frozen=True)
class FinishedFile:
    """One finished file of a run."""

    file_name: str
    """Name inside `out_dir`."""
    size_bytes: int
    sha256: str
    """Hex, of the file."""

    @staticmethod
    def at(path: Path) -> FinishedFile:
        """Measure a file."""
        return FinishedFile(path.name, path.stat().st_size, sha256_of_file(path))


RunStep = RunProgress | RunNotice | RunBaseStems | RunPreview
"""An event after which the run goes on."""

RunEnd = RunSucceeded | RunFailed | RunCancelled

RunEvent = RunStep | RunEnd
