"""REPORT: the stems are read back, what was promised is measured, and what is known of the run is told."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server import __version__
from ugosa_server.activations.intervals import Interval
from ugosa_server.engine.adaptation_phase import Learned
from ugosa_server.engine.base import RunEvent, RunPhase, RunSpec
from ugosa_server.engine.mark_measures import StemCheck
from ugosa_server.engine.ongoing_run import OngoingRun
from ugosa_server.engine.run_plan import report_steps
from ugosa_server.engine.separation_phases import BaseHeard, Separated
from ugosa_server.failpoints import reach
from ugosa_server.report.data import JobReport, OptionValue, Preview, StemReport
from ugosa_server.report.write import write_report


def report_run(
    run: OngoingRun, base: BaseHeard | None, learned: Learned | None, separated: Separated
) -> Generator[RunEvent, None, tuple[str, str]]:
    """Check the written stems and write the report; gives the names of its files.

    Args:
        run: in its last phase.
        base: what the unadapted network gave; None when it gave the stems.
        learned: what came of the adaptation; None when there was none.
        separated: the stems.
    """
    yield run.meter.begin(RunPhase.REPORT)
    source = run.spec.source
    check = StemCheck(run.stem_paths, run.spec.marks, run.ensemble.stems, run.frames, source.sample_rate_hz)
    yield from run.steps(check.run())
    report = _job_report(run, base, learned, separated, check)
    preview = Preview(
        run.preview_span[0],
        _read_excerpt(run.stem_paths, run.preview_span),
        None if base is None else base.preview,
    )
    run.check_cancel()
    names = write_report(report, preview, source, run.stem_paths, run.out_dir)
    reach("worker.report_written")
    yield from run.progress(report_steps(source))
    return names


def _job_report(
    run: OngoingRun,
    base: BaseHeard | None,
    learned: Learned | None,
    separated: Separated,
    check: StemCheck,
) -> JobReport:
    """Put together what is known of a finished run."""
    spec, model = run.spec, run.model.info
    before: Sequence[float | None] = separated.leakage_dbfs
    after: Sequence[float | None] = [None] * len(before)
    if base is not None:  # else it was the network as it came that gave the stems
        before, after = base.leakage_dbfs, separated.leakage_dbfs
    stems = tuple(
        StemReport(*levels)
        for levels in zip(
            run.ensemble.stems, check.peaks_dbfs, check.silence_peaks_dbfs, before, after, strict=True
        )
    )
    return JobReport(
        job_id=spec.job_id,
        file_name=spec.file_name,
        server_version=__version__,
        model_name=spec.model_name,
        model_architecture=model.architecture,
        model_sha256=model.sha256,
        adapter_sha256=None if learned is None else learned.adapter_sha256,
        strategy=str(run.strategy),
        trainable_parameters=run.strategy.trainable_count(run.config),
        options=_options_as_used(spec, run.ensemble.stems),
        seed=spec.seed,
        device=run.networks.name_of(run.model.device),
        threads=run.networks.threads,
        sample_rate_hz=spec.source.sample_rate_hz,
        channels=spec.source.channels,
        frames=spec.source.frames,
        source_encoding=spec.source.encoding,
        stem_encoding=spec.stem_encoding.value,
        marks=spec.marks,
        timings_s=dict(run.meter.timings_s),
        epoch_losses=() if learned is None else learned.epoch_losses,
        null_peak_dbfs=check.null_peak_dbfs,
        stems=stems,
        notices=tuple(notice.message for notice in run.notices),
    )


def _options_as_used(spec: RunSpec, stem_names: Sequence[str]) -> dict[str, OptionValue]:
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


def _read_excerpt(stems: Sequence[Path], span: Interval) -> NDArray[np.float32]:
    """The frames of a span of all stems, [S, C, n]."""
    start, stop = span
    excerpts = [
        soundfile.read(path, start=start, stop=stop, dtype="float32", always_2d=True)[0].T for path in stems
    ]
    return np.stack(excerpts)
