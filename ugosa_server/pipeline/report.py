"""REPORT: the stems are read back, what was promised is measured, and what is known of the run is told."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from ugosa_server import __version__
from ugosa_server.failpoints import reach
from ugosa_server.jobs.option_table import values_in_report
from ugosa_server.jobs.runs import RunEvent, RunPhase, RunSpec
from ugosa_server.pipeline.adapt import Learned
from ugosa_server.pipeline.context import OngoingRun
from ugosa_server.pipeline.plan import report_steps
from ugosa_server.pipeline.separate import BaseHeard, Separated
from ugosa_server.pipeline.verify import CheckedStems, check_stems, stem_check_steps
from ugosa_server.report.data import JobReport, OptionValue, Preview, StemReport
from ugosa_server.report.previews import Excerpt, audio_data_uri
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
    first, last = run.preview_span
    mix_uri = run.encoders.submit(audio_data_uri, run.frames[first:last].T, source.sample_rate_hz)
    separated.excerpt.begin_encoding()  # all of them side by side, and beside the check
    if base is not None:
        base.excerpt.begin_encoding()
    check = yield from run.steps(
        check_stems(run.stem_paths, run.marks, run.ensemble.stems, run.frames, source.sample_rate_hz)
    )
    preview = Preview(
        first,
        last - first,
        mix_uri.result(),
        _encoded(run, separated.excerpt),
        None if base is None else _encoded(run, base.excerpt),
    )
    yield from run.progress(stem_check_steps(source.frames))  # the time that it took is in the report
    report = _job_report(run, base, learned, separated, check)
    names = write_report(report, preview, check.mix, check.stems, run.out_dir)
    reach("worker.report_written")
    yield from run.progress(report_steps(source))
    return names


def _encoded(run: OngoingRun, excerpt: Excerpt) -> tuple[str, ...]:
    """Wait for what is being encoded, no longer than the user does."""
    uris = []
    for uri in excerpt.data_uris():
        uris.append(uri)
        run.check_cancel()
    return tuple(uris)


def _job_report(
    run: OngoingRun,
    base: BaseHeard | None,
    learned: Learned | None,
    separated: Separated,
    check: CheckedStems,
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
    """Return every option of the run, by the names of the table of options."""
    hop_s = spec.adaptation.segment_s if spec.adaptation.hop_s is None else spec.adaptation.hop_s
    return {
        "model": spec.model_name,
        **values_in_report(replace(spec.adaptation, hop_s=hop_s)),
        "seed": spec.seed,
        **values_in_report(spec.separation),
        "stems": ", ".join(stem_names),
        "stem_encoding": spec.stem_encoding.value,
    }
