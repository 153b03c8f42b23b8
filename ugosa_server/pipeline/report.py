"""REPORT: the stems are read back, the promises measured, and the report written."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from ugosa_server import __version__
from ugosa_server.failpoints import reach
from ugosa_server.jobs.option_table import values_in_report
from ugosa_server.jobs.runs import RunEvent, RunPhase, RunSpec
from ugosa_server.pipeline.adapt import VERDICT_REASON, AdaptationResult
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.plan import preview_count, report_steps
from ugosa_server.pipeline.rest_stem import levels_of_choice, marks_of_rest
from ugosa_server.pipeline.separate import BaseEstimates, StemSet
from ugosa_server.pipeline.verify import CheckedStems, check_stems, stem_check_steps
from ugosa_server.report.data import JobReport, OptionValue, Preview, StemReport
from ugosa_server.report.previews import audio_data_uri
from ugosa_server.report.write import write_report


def report_run(
    context: RunContext,
    base: BaseEstimates | None,
    adaptation: AdaptationResult | None,
    stems: StemSet,
) -> Generator[RunEvent, None, tuple[str, str]]:
    """Check the written stems and write the report; return the names of its files.

    Args:
        context: of the run, in its last phase.
        base: estimates of the unadapted network; None when the stems were made of them.
        adaptation: losses and adapter; None when nothing was adapted.
        stems: the stems.
    """
    source, journal = context.spec.source, context.journal
    n_previews = preview_count(len(context.ensemble.choice.names), context.strategy)
    yield journal.begin(RunPhase.REPORT, report_steps(source, n_previews))
    first, last = context.preview_span
    mix_uri = context.encoders.submit(audio_data_uri, context.frames[first:last].T, source.sample_rate_hz)
    stem_uris = stems.previews.encode()  # all of them side by side, and beside the check
    base_uris = base.previews.encode() if base is not None else []
    check = yield from context.follow(
        check_stems(
            context.stem_paths,
            marks_of_rest(context.marks, context.ensemble.choice),
            context.ensemble.choice.names,
            context.frames,
            source.sample_rate_hz,
        )
    )
    for n_encoded, uri in enumerate((mix_uri, *stem_uris, *base_uris), start=1):
        uri.result()
        context.check_cancel()
        yield from journal.advance(stem_check_steps(source.frames) + n_encoded)
    preview = Preview(
        first,
        last - first,
        mix_uri.result(),
        tuple(uri.result() for uri in stem_uris),
        tuple(uri.result() for uri in base_uris) or None,
    )
    report = _job_report(context, base, adaptation, stems, check)
    names = write_report(report, preview, check.mix, check.stems, context.out_dir)
    reach("worker.report_written")
    yield from journal.advance(report_steps(source, n_previews))
    return names


def _job_report(
    context: RunContext,
    base: BaseEstimates | None,
    adaptation: AdaptationResult | None,
    stems: StemSet,
    check: CheckedStems,
) -> JobReport:
    """Put together the report of a finished run."""
    spec, model, choice = context.spec, context.model.info, context.ensemble.choice
    before: Sequence[float | None] = stems.leakage_dbfs
    after: Sequence[float | None] = [None] * len(before)
    if base is not None:  # else the stems are those of the network as it came
        before, after = base.leakage_dbfs, stems.leakage_dbfs
    stem_reports = tuple(
        StemReport(*levels)
        for levels in zip(
            choice.names,
            check.peaks_dbfs,
            check.silence_peaks_dbfs,
            levels_of_choice(before, choice),
            levels_of_choice(after, choice),
            strict=True,
        )
    )
    strategy = context.strategy if adaptation is None else adaptation.strategy
    return JobReport(
        job_id=spec.job_id,
        file_name=spec.file_name,
        server_version=__version__,
        model_name=spec.model_name,
        model_architecture=model.architecture,
        model_sha256=model.sha256,
        adapter_sha256=adaptation.adapter.sha256 if adaptation and adaptation.adapter else None,
        strategy=str(strategy),
        trainable_parameters=strategy.trainable_count(context.config),
        options=_options_as_used(spec, choice.names, 0 if adaptation is None else adaptation.steps),
        seed=spec.seed,
        device=context.networks.name_of(context.model.device),
        threads=context.networks.threads,
        sample_rate_hz=spec.source.sample_rate_hz,
        channels=spec.source.channels,
        frames=spec.source.frames,
        source_encoding=spec.source.encoding,
        stem_encoding=spec.stem_encoding.value,
        marks=spec.marks,
        timings_s=dict(context.journal.timings_s),
        epoch_losses=() if adaptation is None else adaptation.epoch_losses,
        verdict=None if adaptation is None else adaptation.verdict,
        null_peak_dbfs=check.null_peak_dbfs,
        stems=stem_reports,
        notices=tuple(
            notice.message for notice in context.journal.notices if notice.reason != VERDICT_REASON
        ),
    )


def _options_as_used(spec: RunSpec, stem_names: Sequence[str], steps: int) -> dict[str, OptionValue]:
    """Return every option of the run, by the names of the table of options, and the steps made."""
    hop_s = spec.adaptation.segment_s if spec.adaptation.hop_s is None else spec.adaptation.hop_s
    return {
        "model": spec.model_name,
        **values_in_report(replace(spec.adaptation, hop_s=hop_s)),
        "steps_made": steps,
        "start_from": spec.start_from,
        "seed": spec.seed,
        **values_in_report(spec.separation),
        "stems": ", ".join(stem_names),
        "stem_encoding": spec.stem_encoding.value,
    }
