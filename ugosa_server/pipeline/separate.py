"""BASE_SEPARATION and SEPARATION: passes of the network over the song, measured, and the stems written."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio.encode import StemWriter
from ugosa_server.audio.formats import energy_dbfs
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.failpoints import reach
from ugosa_server.jobs.runs import RunEvent, RunPhase, StemFile
from ugosa_server.marks import MarkSet, SilenceGains
from ugosa_server.marks.levels import LevelMeter, save_levels
from ugosa_server.pipeline.context import OngoingRun
from ugosa_server.pipeline.estimate import separation_steps, song_estimates
from ugosa_server.pipeline.leakage import LeakageMeter, total_power
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.pipeline.plan import checks_adaptation
from ugosa_server.report.previews import Excerpt
from ugosa_server.separation.mixture_consistency import MixtureConsistency
from ugosa_server.separation.wiener import wiener_filtered

LEVELS_NAME = "levels.json"
MAX_LEAKAGE_GROWTH = 1.01  # of its power, before an adaptation is rolled back where it is checked


@dataclass(frozen=True)
class BaseHeard:
    """What the unadapted network gave."""

    leakage_dbfs: list[float | None]
    """Of each stem into its own marked silence; None where nothing is marked silent."""
    excerpt: Excerpt
    """The run's excerpt of it."""


@dataclass(frozen=True)
class Separated:
    """The written stems."""

    stems: tuple[StemFile, ...]
    """In the run's order; durable."""
    leakage_dbfs: list[float | None]
    """As of `BaseHeard`, of the estimates that the stems were made of."""
    excerpt: Excerpt
    """The run's excerpt of the stems."""


@dataclass
class _Pass:
    """One pass of the network, as it is now, over the song."""

    run: OngoingRun
    mix: ModelMix
    mix_frames: SourceFrames
    segments_done: int = 0

    def begin(self, phase: RunPhase) -> RunEvent:
        return self.run.meter.begin(phase, separation_steps(self.run.spec, self.run.config))

    def estimates(self) -> Iterator[NDArray[np.float32]]:
        """Blocks [S, C, n] at the source's rate and scale."""
        run = self.run
        return song_estimates(
            run.model.network,
            run.spec,
            run.frames,
            self.mix,
            self.mix_frames,
            run.model.device,
            self._watched,
        )

    def _watched(self, segments: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        self.run.check_cancel()
        for block in segments:
            self.run.check_cancel()
            self.segments_done += 1
            yield block

    def progress(self) -> Iterator[RunEvent]:
        return self.run.progress(self.segments_done)


def separate_with_base(
    run: OngoingRun, mix: ModelMix, mix_frames: SourceFrames
) -> Generator[RunEvent, None, BaseHeard]:
    """Hear what the unadapted network gives: its leakage, its levels and an excerpt."""
    over_song = _Pass(run, mix, mix_frames)
    yield over_song.begin(RunPhase.BASE_SEPARATION)
    leakage = LeakageMeter(run.marks, run.ensemble.stems)
    excerpt = run.excerpt()
    levels = _level_meter(run)
    heard = levels.listen(leakage.listen(over_song.estimates()))
    if not run.spec.listens_only:
        heard = _filtered(
            run, heard, _silence_gains(run, MarkSet())
        )  # the excerpt is to show what the marks change
    for block in heard:
        excerpt.add(block)
        yield from over_song.progress()
    _save_levels(run, levels)
    return BaseHeard(leakage.levels_dbfs(), excerpt)


def leaks_more(
    run: OngoingRun, mix: ModelMix, mix_frames: SourceFrames, before_dbfs: Sequence[float | None]
) -> Generator[RunEvent, None, bool]:
    """Whether the adapted network leaks more into marked silence than the base did, if that is checked."""
    if not checks_adaptation(run.strategy, run.config):
        return False
    over_song = _Pass(run, mix, mix_frames)
    yield over_song.begin(RunPhase.SEPARATION)
    leakage = LeakageMeter(run.marks, run.ensemble.stems)
    for block in over_song.estimates():
        leakage.add(block)
        yield from over_song.progress()
    n_playing = len(run.ensemble.playing)  # what a residual holds is no leak
    before, after = (total_power(levels[:n_playing]) for levels in (before_dbfs, leakage.levels_dbfs()))
    if after <= before * MAX_LEAKAGE_GROWTH:
        return False
    yield run.notice(
        "ROLLED_BACK",
        f"after the adaptation more leaked into marked silence than before ({energy_dbfs(after):.1f} "
        f"against {energy_dbfs(before):.1f} dBFS), so the stems are those of the model as it is; "
        "fewer epochs, a lower learning rate or more marks may do better",
    )
    return True


def separate(
    run: OngoingRun, mix: ModelMix, mix_frames: SourceFrames
) -> Generator[RunEvent, None, Separated]:
    """Separate, obey the marks, add up to the mix, write: one stream from segments to files."""
    over_song = _Pass(run, mix, mix_frames)
    yield over_song.begin(RunPhase.SEPARATION)
    spec, source = run.spec, run.spec.source
    leakage = LeakageMeter(run.marks, run.ensemble.stems)
    levels = _level_meter(run)
    excerpt = run.excerpt()
    with ExitStack() as files:
        writers = [
            files.enter_context(
                StemWriter(path, spec.stem_encoding, source.sample_rate_hz, source.channels, source.frames)
            )
            for path in run.stem_paths
        ]
        gains = _silence_gains(run, run.marks)
        consistency = MixtureConsistency(run.frames, gains, spec.stem_encoding)
        estimates = leakage.listen(over_song.estimates())
        if run.strategy.depth is None:
            estimates = levels.listen(estimates)
        estimates = _filtered(run, estimates, gains)
        for stems in consistency.process(estimates):
            for writer, stem in zip(writers, stems, strict=True):
                writer.write(stem.T)
            excerpt.add(stems)
            yield from over_song.progress()
        written = [writer.finish() for writer in writers]
    reach("worker.stems_written")
    if consistency.clipped_samples:
        yield run.notice(
            "CLIPPED",
            f"{consistency.clipped_samples} samples of the stems were clipped: the song is above full "
            "scale there, which 24 bits cannot hold; float32 stems can",
        )
    if run.strategy.depth is None:
        _save_levels(run, levels)
    stem_files = tuple(
        StemFile(name, path.name, stem.frames, stem.size_bytes, stem.sha256)
        for name, path, stem in zip(run.ensemble.stems, run.stem_paths, written, strict=True)
    )
    return Separated(stem_files, leakage.levels_dbfs(), excerpt)


def _filtered(
    run: OngoingRun, estimates: Iterator[NDArray[np.float32]], gains: SilenceGains
) -> Iterator[NDArray[np.float32]]:
    """The estimates through the Wiener filter, if the job wants one."""
    if run.spec.separation.wiener_exponent == 0:
        return estimates
    return wiener_filtered(
        estimates,
        run.frames,
        gains,
        run.spec.separation.wiener_exponent,
        run.model.device,
    )


def _silence_gains(run: OngoingRun, marks: MarkSet) -> SilenceGains:
    """Gains of the run's stems under these marks."""
    source = run.spec.source
    return SilenceGains(marks, run.ensemble.stems, source.frames, source.sample_rate_hz)


def _level_meter(run: OngoingRun) -> LevelMeter:
    return LevelMeter(run.ensemble.playing, run.frames, run.spec.source.sample_rate_hz)


def _save_levels(run: OngoingRun, meter: LevelMeter) -> None:
    save_levels(run.out_dir / LEVELS_NAME, meter.levels(run.model.info.sha256))
