"""What is reported of a finished job.

Levels are in dB relative to full scale (dBFS, full scale = 1). A level of `-inf` is digital silence, a
level of None says that there was nothing to measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ugosa_server.marks import Mark

OptionValue = bool | int | float | str | None


@dataclass(frozen=True)
class EpochLoss:
    """The terms of Eq. 2, averaged over one epoch of the adaptation."""

    epoch: int
    """Counts from 1."""
    total: float
    """reconstruction + lambda * silence."""
    reconstruction: float
    """First term: distance of the active sources' sum to the mix."""
    silence: float
    """Second term, without lambda: what is heard of sources where they are marked silent."""


@dataclass(frozen=True)
class StemReport:
    """What was measured on one stem."""

    source: str
    """The source's name, for example "drums"."""
    peak_dbfs: float
    """Peak of the written file."""
    silence_peak_dbfs: float | None = None
    """Peak inside its marked silence, past the fade at the edges, read back from the written file.

    None when the source has no silent mark longer than its fades.
    """
    leakage_before_dbfs: float | None = None
    """RMS of the base network's estimate inside its marked silence, before marks are applied.

    None when the source has no silent mark or the base network was not run.
    """
    leakage_after_dbfs: float | None = None
    """As `leakage_before_dbfs`, of the adapted network's estimate. None when nothing was adapted."""


@dataclass(frozen=True)
class Preview:
    """A short excerpt of everything, to listen to in the page: audio as data URIs (`excerpt_audio.py`)."""

    start_frame: int
    """Where the excerpt starts in the song, at the source rate."""
    frames: int
    """Its length, at least 1."""
    mix: str
    """The song."""
    adapted: tuple[str, ...]
    """The finished stems, in the model's order."""
    base: tuple[str, ...] | None = None
    """What the base network would have given; None when nothing was adapted."""


@dataclass(frozen=True)
class JobReport:
    """Everything that is known of a finished job."""

    job_id: str
    """Server-made id."""
    file_name: str
    """Name of the song as it came with the upload; for display only, never a path."""
    server_version: str
    """Version of ugosa-server."""
    model_name: str
    """Name in the registry."""
    model_architecture: str
    """For example "ConvTasNet"."""
    model_sha256: str
    """Hex, of the checkpoint file."""
    adapter_sha256: str | None
    """Hex, of the file of changed tensors; None when nothing was adapted."""
    strategy: str
    """What was trained, in the paper's names, for example "P-L3:D"; "B0" when nothing was."""
    trainable_parameters: int
    """How many parameters were trained; 0 when nothing was adapted."""
    options: Mapping[str, OptionValue]
    """Every option as used, named as in the job's options."""
    seed: int
    """Of every random choice of the run."""
    device: str
    """What computed, for example "cpu" or "cuda:0 (NVIDIA H200)"."""
    threads: int
    """Compute threads of the worker."""
    sample_rate_hz: int
    """Of the source and of the stems."""
    channels: int
    """Of the source and of the stems."""
    frames: int
    """Length of the source and of every stem."""
    source_encoding: str
    """Container and sample format of the song as found, for example "WAV PCM_24"."""
    stem_encoding: str
    """How stems are written, for example "wav-float32"."""
    marks: tuple[Mark, ...]
    """The marks that were obeyed, in frames at the source rate; empty = plain separation."""
    timings_s: Mapping[str, float]
    """Wall time of each phase in seconds, in the order in which the phases ran."""
    epoch_losses: tuple[EpochLoss, ...]
    """The loss by epoch; empty when nothing was adapted."""
    null_peak_dbfs: float
    """Peak of sum(stems) - mix, read back from the written files; -inf when the sum is exact."""
    stems: tuple[StemReport, ...]
    """In the model's order."""
    notices: tuple[str, ...] = ()
    """What the user was told while the job ran."""
