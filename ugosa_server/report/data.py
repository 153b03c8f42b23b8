"""Contents of the report of a finished job.

Levels are in dB relative to full scale (dBFS, full scale = 1). A level of `-inf` is digital silence, a
level of None says that there was nothing to measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ugosa_server.adaptation import LossTerms, Verdict
from ugosa_server.audio import SourceAudio
from ugosa_server.marks import Mark


@dataclass(frozen=True)
class StemReport:
    """Measurements of one stem."""

    source: str
    peak_dbfs: float
    """Peak of the written file."""
    silence_peak_dbfs: float | None = None
    """Peak in its marked silence, past the fades at the edges, read back from the file.

    None when the source has no silent mark longer than its fades.
    """
    leakage_before_dbfs: float | None = None
    """RMS of the base network's estimate inside its marked silence, before marks are applied.

    None when the source has no silent mark or the base network was not run.
    """
    leakage_after_dbfs: float | None = None
    """As `leakage_before_dbfs`, of the adapted network; None when nothing was adapted."""


class TakeKind(StrEnum):
    """Ways in which the stems of a song can sound."""

    BASE = "base"
    """The model as it is, without marks."""
    MARKED = "marked"
    """The model as it is, under the marks."""
    ADAPTED = "adapted"
    """The adapted model, under the marks."""


@dataclass(frozen=True)
class Listening:
    """Takes to compare; the last one is that of the stem files."""

    takes: Mapping[TakeKind, Sequence[str]]
    """The excerpt of every stem as a data URI (`clips.py`), in the report's order; empty = there is none.

    In the order of `TakeKind`, at least one.
    """
    start_frame: int = 0
    """Where the excerpt starts in the song, at the source rate."""
    frames: int = 0
    """Its length; 0 = there is none."""


@dataclass(frozen=True)
class JobReport:
    """All that the report says of a finished job."""

    job_id: str
    file_name: str
    """Name of the song as it came with the upload; for display only, never a path."""
    server_version: str
    model_name: str
    """Name in the registry."""
    model_architecture: str
    """For example "ConvTasNet"."""
    model_sha256: str
    """Hex, of the checkpoint file."""
    adapter_sha256: str | None
    """Hex, of the file of changed tensors; None when nothing was adapted."""
    strategy: str
    """Strategy in the paper's names, for example "P-L3:D"; "B0" when nothing was adapted."""
    trainable_parameters: int
    """Number of trained parameters; 0 when nothing was adapted."""
    options: Mapping[str, object]
    """Every option as used, named as in the job's options."""
    seed: int
    """Seed of every random choice of the run."""
    device: str
    """Device of the network, for example "cpu" or "cuda:0 (NVIDIA H200)"."""
    threads: int
    source: SourceAudio
    """The song as found; stems have its rate, channels and length."""
    stem_encoding: str
    """Format of the stem files, for example "wav-float32"."""
    marks: tuple[Mark, ...]
    """The marks that were obeyed, in frames at the source rate; empty = plain separation."""
    timings_s: Mapping[str, float]
    """Wall time of each phase in seconds, in the order in which the phases ran."""
    epoch_losses: Sequence[LossTerms]
    """Means over the epochs, from 1; empty when nothing was adapted."""
    null_peak_dbfs: float
    """Peak of sum(stems) - mix, read back from the written files; -inf when the sum is exact."""
    stems: tuple[StemReport, ...]
    """In the model's order."""
    verdict: Verdict | None = None
    """Whether the adaptation helped; None when none was judged."""
    notices: tuple[str, ...] = ()
    """Notices that the user got while the job ran."""
