"""REPORT: the stems are read back, the promises measured, and the report written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ugosa_server import __version__
from ugosa_server.audio.encode import read_blocks
from ugosa_server.audio.formats import peak_dbfs
from ugosa_server.audio.frames import BLOCK_FRAMES, SourceFrames
from ugosa_server.failpoints import reach
from ugosa_server.jobs import RunEvent, RunPhase, RunSpec
from ugosa_server.jobs.option_table import values_in_report
from ugosa_server.jobs.runs import REST, StemChoice
from ugosa_server.marks import Interval, Mark, MarkSet, MarkState, fade_frames, inside, intersect
from ugosa_server.pipeline.adapt import VERDICT_REASON, AdaptationResult
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import song_blocks
from ugosa_server.pipeline.plan import takes_of
from ugosa_server.pipeline.separate import BaseEstimates
from ugosa_server.pipeline.stems import StemSet, stems_without_marks
from ugosa_server.report import JobReport, Listening, StemReport, TakeKind, write_report
from ugosa_server.report.clips import clip_bit_rate, clip_data_uri, encoding_threads
from ugosa_server.report.svg import Waveform, WaveformMeter


def report_run(
    context: RunContext, base: BaseEstimates | None, adaptation: AdaptationResult | None, stems: StemSet
) -> Generator[RunEvent, None, tuple[str, str]]:
    """Check the written stems and write the report; return the names of its files.

    Args:
        context: of the run, in its last phase.
        base: estimates of the unadapted network; None when the stems were made of them.
        adaptation: losses and adapter; None when nothing was adapted.
        stems: the stems.
    """
    source, journal, choice = context.spec.source, context.journal, context.ensemble.choice
    takes = _takes(context, base, adaptation, stems)
    rate_hz, n_clips = source.sample_rate_hz, sum(len(take) for take in takes.values())
    first, last = context.excerpt
    steps = song_blocks(source) + n_clips + 1  # stems to read back, clips to encode, the report to write
    yield journal.begin(RunPhase.REPORT, steps)
    with encoding_threads(context.networks.threads) as encoders:
        bit_rate = clip_bit_rate(n_clips, (last - first) / rate_hz) if n_clips else 0
        uris = {
            kind: [encoders.submit(clip_data_uri, stem, rate_hz, bit_rate) for stem in take]
            for kind, take in takes.items()
        }  # all of them side by side, and beside the check
        check = yield from context.follow(
            check_stems(
                [context.out_dir / file.file_name for file in stems.files],
                _marks_of_rest(context.marks, choice),
                choice.names,
                context.frames,
            )
        )
        for n_encoded, uri in enumerate(chain(*uris.values()), start=1):
            uri.result()
            context.check_cancel()
            yield from journal.advance(song_blocks(source) + n_encoded)
    clips = {kind: [uri.result() for uri in encoded] for kind, encoded in uris.items()}
    listening = Listening(clips, first, last - first)
    report = _job_report(context, base, adaptation, stems, check)
    names = write_report(report, listening, check.mix, check.stems, context.out_dir)
    reach("worker.report_written")
    yield from journal.advance(steps)
    return names


def _takes(
    context: RunContext, base: BaseEstimates | None, adaptation: AdaptationResult | None, stems: StemSet
) -> dict[TakeKind, Sequence[NDArray[np.float32]]]:
    """Return the excerpt of the stems in every take of the run, [S, C, n]; empty if there is none."""
    kinds = list(takes_of(context.spec, context.strategy))
    if adaptation is not None and adaptation.keeps_base:
        kinds.remove(TakeKind.ADAPTED)
    first, last = context.excerpt
    if first == last:
        return dict.fromkeys(kinds, ())
    of_base = stems if base is None else base.stems
    uncalibrated = replace(context, calibration=None)
    made: dict[TakeKind, Callable[[], NDArray[np.float32]]] = {
        TakeKind.BASE: partial(stems_without_marks, uncalibrated, of_base.excerpt_estimates),
        TakeKind.MARKED: of_base.excerpt.audio,
        TakeKind.ADAPTED: stems.excerpt.audio,
    }
    return {kind: tuple(made[kind]()) for kind in kinds}


def _job_report(
    context: RunContext,
    base: BaseEstimates | None,
    adaptation: AdaptationResult | None,
    stems: StemSet,
    check: CheckedStems,
) -> JobReport:
    spec, model, choice = context.spec, context.model.info, context.ensemble.choice
    before: Sequence[float | None] = stems.leakage_dbfs
    after: Sequence[float | None] = [None] * len(before)
    if base is not None:  # else the stems are those of the network as it came
        before, after = base.stems.leakage_dbfs, stems.leakage_dbfs
    stem_reports = tuple(
        StemReport(*levels)
        for levels in zip(
            choice.names,
            check.peaks_dbfs,
            check.silence_peaks_dbfs,
            _levels_of_choice(before, choice),
            _levels_of_choice(after, choice),
            strict=True,
        )
    )
    strategy = context.strategy if adaptation is None else adaptation.strategy
    return JobReport(
        job_id=spec.job_id,
        file_name=spec.file_name,
        server_version=__version__,
        model_name=spec.options.model,
        model_architecture=model.architecture,
        model_sha256=model.sha256,
        adapter_sha256=adaptation.adapter.sha256 if adaptation and adaptation.adapter else None,
        strategy=str(strategy),
        trainable_parameters=model.trainable_parameters(str(strategy)),
        options=_options_as_used(spec, choice.names, 0 if adaptation is None else adaptation.steps),
        seed=spec.options.seed,
        device=context.networks.name_of(context.model.device),
        threads=context.networks.threads,
        source=spec.source,
        stem_encoding=spec.options.stem_encoding.value,
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


def _options_as_used(spec: RunSpec, stem_names: Sequence[str], steps: int) -> dict[str, object]:
    """Return every option of the run, by the names of the table of options, and the steps made."""
    options = spec.options
    hop_s = options.adaptation.segment_s if options.adaptation.hop_s is None else options.adaptation.hop_s
    return {
        "model": options.model,
        **values_in_report(replace(options.adaptation, hop_s=hop_s)),
        "steps_made": steps,
        "max_memory_bytes": options.max_memory_bytes,
        "start_from": options.start_from,
        "seed": options.seed,
        **values_in_report(options.separation),
        "stems": ", ".join(stem_names),
        "stem_encoding": options.stem_encoding.value,
        "base_stems": options.base_stems.value,
        "excerpt": options.excerpt,
    }


def _marks_of_rest(marks: MarkSet, choice: StemChoice) -> MarkSet:
    """Add the silence of the rest: where all stems are marked silent that it is the sum of."""
    if not choice.others:
        return marks
    shared = reduce(intersect, (list(marks.silent(name)) for name in choice.others))
    return MarkSet((*marks.marks, *(Mark(REST, MarkState.SILENT, *span) for span in shared)))


def _levels_of_choice(levels: Sequence[float | None], choice: StemChoice) -> list[float | None]:
    """Return a level for each stem to write, of those of all stems; None for the rest, which has none."""
    by_name = dict(zip(choice.made, levels, strict=True))
    return [by_name.get(name) for name in choice.names]


@dataclass(frozen=True)
class CheckedStems:
    """Measurements of the stem files, read back next to the song."""

    null_peak_dbfs: float
    """Peak of sum(stems) - mix; -inf when exact."""
    silence_peaks_dbfs: tuple[float | None, ...]
    """Peak of each stem in its marked silence past the fades; None where there is no such frame."""
    mix: Waveform
    stems: tuple[Waveform, ...]

    @property
    def peaks_dbfs(self) -> list[float]:
        """Peak of each stem."""
        return [peak_dbfs(stem.peak) for stem in self.stems]


def check_stems(
    paths: Sequence[Path], marks: MarkSet, sources: Sequence[str], frames: SourceFrames
) -> Generator[int, None, CheckedStems]:
    """Read the files of finished stems back next to their song, yielding the number of blocks done."""
    fade = fade_frames(frames.source.sample_rate_hz)
    silences = [
        [_without_fades(span, fade, len(frames)) for span in marks.silent(source)] for source in sources
    ]
    mix_waveform = WaveformMeter(len(frames))
    waveforms = [WaveformMeter(len(frames)) for _ in paths]
    null_peak = 0.0
    silence_peaks: list[float | None] = [None] * len(paths)
    with ExitStack() as files:
        readers = [files.enter_context(closing(read_blocks(path))) for path in paths]
        for step, mix in enumerate(frames.blocks(), start=1):
            start = (step - 1) * BLOCK_FRAMES
            left = -mix.astype(np.float64)  # [n, C]; the samples of the files are exact in float32
            for i, reader in enumerate(readers):
                stem = next(reader)
                left += stem
                waveforms[i].add(stem)
                for first, last in inside(silences[i], start, start + len(stem)):
                    silence_peaks[i] = max(silence_peaks[i] or 0.0, _peak(stem[first:last]))
            null_peak = max(null_peak, _peak(left))
            mix_waveform.add(mix)
            yield step
    return CheckedStems(
        peak_dbfs(null_peak),
        tuple(None if peak is None else peak_dbfs(peak) for peak in silence_peaks),
        mix_waveform.waveform(),
        tuple(meter.waveform() for meter in waveforms),
    )


def _without_fades(span: Interval, fade: int, n_frames: int) -> Interval:
    start, stop = span
    return (start + fade if start > 0 else start), (stop - fade if stop < n_frames else stop)


def _peak(samples: NDArray[np.floating]) -> float:
    return max(float(samples.max()), -float(samples.min()))
