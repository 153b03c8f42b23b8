"""BASE_SEPARATION and SEPARATION: passes over the song are measured, and stems written."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.adaptation.remix import SongEstimates
from ugosa_server.audio.encode import StemWriter
from ugosa_server.failpoints import reach
from ugosa_server.jobs import RunEvent, RunNotice, RunPhase, StemFile
from ugosa_server.marks import LevelMeter, SilenceGains, SongLevels, save_levels
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.doubtful_marks import warn_of_heard_silence
from ugosa_server.pipeline.estimate import NetworkPass
from ugosa_server.pipeline.excerpt import ExcerptRecorder, filtered
from ugosa_server.pipeline.leakage import LeakageMeter
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.pipeline.rest_stem import StemChooser
from ugosa_server.pipeline.song_estimates import write_estimates
from ugosa_server.separation.mixture_consistency import MixtureConsistency

LEVELS_NAME = "levels.json"
ESTIMATES_NAME = "estimates.f32"


@dataclass(frozen=True)
class BaseEstimates:
    """Measurements of the unadapted network's estimates."""

    leakage_dbfs: list[float | None]
    """Level of each stem in its own marked silence; None where nothing is marked silent."""
    excerpt: ExcerptRecorder
    """The excerpt of the stems that they give."""
    song: SongEstimates | None
    """These stems for the adaptation; None of an analysis."""


@dataclass(frozen=True)
class StemSet:
    """The written stems."""

    files: tuple[StemFile, ...]
    """In the run's order; durable."""
    levels: SongLevels
    """Levels of the estimates that the stems were made of."""
    leakage_dbfs: list[float | None]
    """As in `BaseEstimates`, of the estimates that the stems were made of."""
    excerpt: ExcerptRecorder
    """The excerpt of the stems."""


def estimate_base(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, BaseEstimates]:
    """Measure the estimates of the unadapted network; keep the stems that they give for the adaptation."""
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.BASE_SEPARATION)
    leakage = LeakageMeter(context.marks, context.ensemble.stems)
    excerpt = ExcerptRecorder(context)
    levels = _level_meter(context)
    estimates = excerpt.listen(levels.listen(leakage.measured(over_song.estimates())))
    if context.spec.analysis_only:
        for _ in estimates:
            yield from over_song.progress()
        yield from _of_base(context, levels)
        return BaseEstimates(leakage.levels_dbfs(), excerpt, None)
    gains = _gains(context)
    consistency = MixtureConsistency(context.frames, gains, context.spec.stem_encoding)
    chooser = _chooser(context)

    def stems() -> Iterator[NDArray[np.float32]]:
        for block in consistency.process(filtered(context, estimates, gains, context.frames)):
            excerpt.add(chooser.chosen(block))
            yield block

    path = context.out_dir / ESTIMATES_NAME
    song = yield from context.follow(
        write_estimates(stems(), context, mix, path, steps_done=lambda: over_song.segments_done)
    )
    yield from _of_base(context, levels)
    return BaseEstimates(leakage.levels_dbfs(), excerpt, song)


def separate(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, StemSet]:
    """Separate, obey the marks, add up to the mix, write: one stream from segments to files."""
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.SEPARATION)
    spec, source = context.spec, context.spec.source
    leakage = LeakageMeter(context.marks, context.ensemble.stems)
    levels = _level_meter(context)
    excerpt = ExcerptRecorder(context)
    with ExitStack() as files:
        writers = [
            files.enter_context(
                StemWriter(path, spec.stem_encoding, source.sample_rate_hz, source.channels, source.frames)
            )
            for path in context.stem_paths
        ]
        gains = _gains(context)
        consistency = MixtureConsistency(context.frames, gains, spec.stem_encoding)
        chooser = _chooser(context)
        estimates = excerpt.listen(levels.listen(leakage.measured(over_song.estimates())))
        for made in consistency.process(filtered(context, estimates, gains, context.frames)):
            stems = chooser.chosen(made)
            for writer, stem in zip(writers, stems, strict=True):
                writer.write(stem.T)
            excerpt.add(stems)
            yield from over_song.progress()
        written = [writer.finish() for writer in writers]
    reach("worker.stems_written")
    if clipped := consistency.clipped_samples + chooser.clipped_samples:
        what = "the song" if consistency.clipped_samples else "the sum of the other stems"
        yield context.journal.notice(
            "CLIPPED",
            f"{clipped} samples of the stems were clipped: {what} is above full scale there, which 24 bits "
            "cannot hold; float32 stems can",
        )
    if context.strategy.depth is None:
        yield from _of_base(context, levels)
    stem_files = tuple(
        StemFile(name, path.name, stem.frames, stem.size_bytes, stem.sha256)
        for name, path, stem in zip(context.ensemble.choice.names, context.stem_paths, written, strict=True)
    )
    measured = levels.levels(context.model.info.sha256)
    return StemSet(stem_files, measured, leakage.levels_dbfs(), excerpt)


def _gains(context: RunContext) -> SilenceGains:
    source = context.spec.source
    return SilenceGains(context.marks, context.ensemble.stems, source.frames, source.sample_rate_hz)


def _chooser(context: RunContext) -> StemChooser:
    return StemChooser(context.ensemble.choice, context.frames, context.spec.stem_encoding)


def _level_meter(context: RunContext) -> LevelMeter:
    return LevelMeter(context.ensemble.playing, context.frames, context.spec.source.sample_rate_hz)


def _of_base(context: RunContext, meter: LevelMeter) -> list[RunNotice]:
    """Keep what the unadapted network was measured to give; return what that says against the marks."""
    levels = meter.levels(context.model.info.sha256)
    save_levels(context.out_dir / LEVELS_NAME, levels)
    return warn_of_heard_silence(context, levels)
