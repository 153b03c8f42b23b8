"""The report of a run: everything that was measured, put together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server import __version__
from ugosa_server.activations.intervals import Interval
from ugosa_server.adaptation.strategies import Strategy
from ugosa_server.engine.base import RunSpec
from ugosa_server.engine.mark_measures import StemCheck
from ugosa_server.models.registry import ModelInfo
from ugosa_server.report.data import EpochLoss, JobReport, OptionValue, StemReport


def job_report(
    spec: RunSpec,
    model: ModelInfo,
    stem_names: Sequence[str],
    device_name: str,
    threads: int,
    strategy: Strategy,
    check: StemCheck,
    leakage_before_dbfs: Sequence[float | None],
    leakage_after_dbfs: Sequence[float | None],
    epoch_losses: Sequence[EpochLoss],
    adapter_sha256: str | None,
    timings_s: dict[str, float],
    notices: Sequence[str],
) -> JobReport:
    """Put together what is known of a finished run."""
    stems = tuple(
        StemReport(*levels)
        for levels in zip(
            stem_names,
            check.peaks_dbfs,
            check.silence_peaks_dbfs,
            leakage_before_dbfs,
            leakage_after_dbfs,
            strict=True,
        )
    )
    return JobReport(
        job_id=spec.job_id,
        file_name=spec.file_name,
        server_version=__version__,
        model_name=spec.model_name,
        model_architecture=model.architecture,
        model_sha256=model.sha256,
        adapter_sha256=adapter_sha256,
        strategy=str(strategy),
        trainable_parameters=strategy.trainable_count(model.config),
        options=options_as_used(spec, stem_names),
        seed=spec.seed,
        device=device_name,
        threads=threads,
        sample_rate_hz=spec.source.sample_rate_hz,
        channels=spec.source.channels,
        frames=spec.source.frames,
        source_encoding=spec.source.encoding,
        stem_encoding=spec.stem_encoding.value,
        marks=spec.marks,
        timings_s=timings_s,
        epoch_losses=tuple(epoch_losses),
        null_peak_dbfs=check.null_peak_dbfs,
        stems=stems,
        notices=tuple(notices),
    )


def options_as_used(spec: RunSpec, stem_names: Sequence[str]) -> dict[str, OptionValue]:
    """Every option of the run under its name in the job's options."""
    return {
        "model": spec.model_name,
        "strategy": spec.adaptation.strategy,
        "lambda": spec.adaptation.silence_weight,
        "learning_rate": spec.adaptation.learning_rate,
        "epochs": spec.adaptation.epochs,
        "segment_seconds": spec.adaptation.segment_s,
        "hop_seconds": spec.adaptation.segment_s if spec.adaptation.hop_s is None else spec.adaptation.hop_s,
        "batch_size": spec.adaptation.batch_size,
        "pitch_shifts": spec.adaptation.pitch_shifts,
        "seed": spec.seed,
        "separation_segment_seconds": spec.separation.segment_s,
        "separation_overlap": spec.separation.overlap,
        "separation_shifts": spec.separation.shifts,
        "wiener_exponent": spec.separation.wiener_exponent,
        "mask_kind": spec.separation.mask_kind,
        "stems": ", ".join(stem_names),
        "stem_encoding": spec.stem_encoding.value,
    }


def read_excerpt(stems: Sequence[Path], span: Interval) -> NDArray[np.float32]:
    """The frames of a span of all stems, [S, C, n]."""
    start, stop = span
    excerpts = [
        soundfile.read(path, start=start, stop=stop, dtype="float32", always_2d=True)[0].T for path in stems
    ]
    return np.stack(excerpts)
