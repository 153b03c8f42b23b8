"""BASE_SEPARATION and SEPARATION: passes over the song are measured, and stems written."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ugosa_server.adaptation.remix import SongEstimates
from ugosa_server.audio.encode import StemWriter
from ugosa_server.failpoints import reach
from ugosa_server.jobs import BaseStems, RunBaseStems, RunEvent, RunNotice, RunPhase, StemFile
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
STEM_NAME = "stem"  # of the files, before their number
BASE_STEM_NAME = "base"


@dataclass(frozen=True)
class StemSet:
    """Stems of one pass."""

    files: tuple[StemFile, ...]
    """In the run's order; durable. Empty where a base pass writes none."""
    levels: SongLevels
    """Levels of the estimates that the stems were made of."""
    leakage_dbfs: list[float | None]
    """Level of each estimate in its own marked silence; None where nothing is marked silent."""
    excerpt: ExcerptRecorder
    clipping: str = ""
    """Sentence on what 24 bits could not hold; empty = nothing."""


@dataclass(frozen=True)
class BaseEstimates:
    """Stems of the unadapted network."""

    stems: StemSet
    """Measurements, and files if the job wants them."""
    song: SongEstimates
    """The stems for the adaptation."""


def analyse(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, None]:
    """Measure the levels of the unadapted network's estimates."""
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.BASE_SEPARATION)
    meter = _level_meter(context)
    for block in over_song.estimates():
        meter.add(block)
        yield from over_song.progress()
    yield from _of_base(context, meter.levels(context.model.info.sha256))


def estimate_base(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, BaseEstimates]:
    """Measure the stems of the unadapted network and keep them for the adaptation.

    A run that wants them early gets them as files, too.
    """
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.BASE_SEPARATION)
    are_wanted = context.spec.options.base_stems is not BaseStems.NONE
    with _Stems(context, over_song, BASE_STEM_NAME if are_wanted else "") as stems:
        path = context.out_dir / ESTIMATES_NAME
        song = yield from context.follow(
            write_estimates(stems.blocks(), context, mix, path, steps_done=lambda: over_song.segments_done)
        )
        base = BaseEstimates(stems.finish(), song)
    yield from _of_base(context, base.stems.levels)
    if base.stems.files:
        reach("worker.base_stems_written")
        yield RunBaseStems(base.stems.files)
    return base


def separate(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, StemSet]:
    """Separate, obey the marks, add up to the mix, write: one stream from segments to files."""
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.SEPARATION)
    with _Stems(context, over_song, STEM_NAME) as stems:
        for _ in stems.blocks():
            yield from over_song.progress()
        made = stems.finish()
    reach("worker.stems_written")
    if context.strategy.depth is None:
        yield from _of_base(context, made.levels)
    return made


def separate_quietly(context: RunContext, mix: ModelMix, name: str) -> tuple[StemFile, ...]:
    """Separate into files of a name, without events."""
    with _Stems(context, NetworkPass(context, mix), name) as stems:
        for _ in stems.blocks():
            pass
        return stems.finish().files


class _Stems:
    """Stems of a pass as they are made: measured, recorded, and written if they have a name."""

    def __init__(self, context: RunContext, over_song: NetworkPass, name: str) -> None:
        spec, source = context.spec, context.spec.source
        self._levels = _level_meter(context)
        self._context, self._over_song = context, over_song
        self._leakage = LeakageMeter(context.marks, context.ensemble.stems)
        self._excerpt = ExcerptRecorder(context)
        self._gains = SilenceGains(
            context.marks, context.ensemble.stems, source.frames, source.sample_rate_hz
        )
        self._consistency = MixtureConsistency(context.frames, self._gains, spec.options.stem_encoding)
        self._chooser = StemChooser(context.ensemble.choice, context.frames, spec.options.stem_encoding)
        self._names = context.ensemble.choice.names if name else ()
        self._paths = [
            context.out_dir / f"{name}-{i}{spec.options.stem_encoding.suffix}"
            for i in range(len(self._names))
        ]
        self._files = ExitStack()
        self._writers: list[StemWriter] = []

    def __enter__(self) -> _Stems:
        source = self._context.spec.source
        encoding = self._context.spec.options.stem_encoding
        with ExitStack() as files:
            self._writers = [
                files.enter_context(
                    StemWriter(path, encoding, source.sample_rate_hz, source.channels, source.frames)
                )
                for path in self._paths
            ]
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield all stems [S, C, n] after those that the run gives were written."""
        wanted = filtered(self._context, self._measured(), self._gains, self._context.frames)
        for made in self._consistency.process(wanted):
            stems = self._chooser.chosen(made)
            for writer, stem in zip(self._writers, stems, strict=False):  # without a name there is none
                writer.write(stem.T)
            self._excerpt.add_stems(stems)
            yield made

    def _measured(self) -> Iterator[NDArray[np.float32]]:
        for block in self._over_song.estimates():
            for add in (self._levels.add, self._leakage.add, self._excerpt.add_estimates):
                add(block)
            yield block

    def finish(self) -> StemSet:
        """Make the files durable."""
        files = tuple(
            StemFile(name, path.name, written.frames, written.size_bytes, written.sha256)
            for name, path, written in zip(
                self._names, self._paths, (writer.finish() for writer in self._writers), strict=True
            )
        )
        levels = self._levels.levels(self._context.model.info.sha256)
        return StemSet(files, levels, self._leakage.levels_dbfs(), self._excerpt, self._clipping())

    def _clipping(self) -> str:
        samples = self._consistency.clipped_samples + self._chooser.clipped_samples
        if not samples:
            return ""
        what = "the song" if self._consistency.clipped_samples else "the sum of the other stems"
        return (
            f"{samples} samples of the stems were clipped: {what} is above full scale there, which 24 bits "
            "cannot hold; float32 stems can"
        )


def _level_meter(context: RunContext) -> LevelMeter:
    return LevelMeter(context.ensemble.playing, context.frames, context.spec.source.sample_rate_hz)


def _of_base(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Keep what the unadapted network was measured to give; return what that says against the marks."""
    save_levels(context.out_dir / LEVELS_NAME, levels)
    return warn_of_heard_silence(context, levels)
