"""One run of a job, from the decoded song to checked stems: a generator of events.

    PREPARE          the song at the network's rate, normalised
    BASE_SEPARATION  what the unadapted network gives, for the report; not when SEPARATION will give it anyway
    ADAPTATION       fine-tuning on this song under its marks
    SEPARATION       estimates -> source rate -> Wiener filter, if wanted -> marks and mixture consistency ->
                     stem files, one stream
    REPORT           the stems read back, the promises measured, the report written

Whenever the unadapted network hears the song, how loud each source came out is kept (activations/levels.py);
a run that only listens ends there.

Memory depends on the segment lengths and the cache's budget, never on the length of the song. The base
weights are restored however the run ends, and a run that does not succeed leaves no file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ugosa_server.activations.activity import activity, marks_at_rate
from ugosa_server.activations.levels import LevelMeter, save_levels
from ugosa_server.activations.marks import Mark
from ugosa_server.activations.visual_frames import VisualFrame
from ugosa_server.adaptation.adapter_file import AdapterKeys, marks_sha256, save_adapter
from ugosa_server.adaptation.context import adaptation_of, base_unless_done
from ugosa_server.adaptation.epoch_checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.loop import AdaptationStep, adapt, count_steps
from ugosa_server.adaptation.options import AdaptationOptions
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.audio.encode import StemWriter
from ugosa_server.audio.frames import SourceFrames, open_frames
from ugosa_server.audio.level import energy_dbfs
from ugosa_server.engine.base import (
    LossTerms,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunPhase,
    RunSpec,
    RunSucceeded,
    StemFile,
)
from ugosa_server.engine.mark_measures import (
    ExcerptRecorder,
    LeakageMeter,
    StemCheck,
    densest_window,
    total_power,
)
from ugosa_server.engine.memory_fallback import MemoryFallback
from ugosa_server.engine.model_mix import ModelMix, prepare_steps, write_model_mix
from ugosa_server.engine.phase_steps import PhaseSteps, RunCancelledError
from ugosa_server.engine.progress_meter import ProgressMeter
from ugosa_server.engine.resident_networks import ResidentNetwork, ResidentNetworks
from ugosa_server.engine.run_plan import (
    checks_adaptation,
    effective_strategy,
    ensemble_notices,
    plan_phases,
    report_steps,
)
from ugosa_server.engine.run_report import job_report, read_excerpt
from ugosa_server.engine.sights import sights_of
from ugosa_server.engine.song_estimates import Ensemble, separation_steps, sight_reader, song_estimates
from ugosa_server.errors import NoVideoEncoderError, UgosaError
from ugosa_server.failpoints import reach
from ugosa_server.models.checkpoint_header import checkpoint_sha256
from ugosa_server.report.data import EpochLoss, Preview
from ugosa_server.report.write import write_report
from ugosa_server.separation.mixture_consistency import MixtureConsistency
from ugosa_server.separation.wiener import wiener_filtered

__all__ = ["ResidentNetworks", "run_job"]

MODEL_MIX_NAME = "model-mix.f32"
ADAPTER_NAME = "adapter.safetensors"
LEVELS_NAME = "levels.json"
PREVIEW_S = 20.0
MAX_LEAKAGE_GROWTH = 1.01  # of its power, before an adaptation is rolled back where it is checked

log = logging.getLogger("ugosa.run")


def run_job(spec: RunSpec, networks: ResidentNetworks, cancelled: Callable[[], bool]) -> Iterator[RunEvent]:
    """Run one attempt of a job; the last event says how it ended.

    Args:
        spec: the job, validated.
        networks: what is resident in this process.
        cancelled: asked between steps and between segments.
    """
    try:
        yield (yield from _attempt(spec, networks, cancelled))
    except RunCancelledError:
        yield RunCancelled()
    except UgosaError as error:
        log.info("job %s attempt %d failed: %s", spec.job_id, spec.attempt, error.message)
        yield RunFailed(error.reason, error.message)


def _attempt(
    spec: RunSpec, networks: ResidentNetworks, cancelled: Callable[[], bool]
) -> Generator[RunEvent, None, RunSucceeded]:
    """Run to the end, or leave nothing behind."""
    out_dir = Path(spec.out_dir)
    try:
        model = networks.load(spec.model_path)
        with open_frames(spec.source) as frames:
            ending = yield from _Run(spec, frames, model, networks, cancelled).events()
        (out_dir / MODEL_MIX_NAME).unlink()
    except BaseException:  # also when the generator is dropped
        for path in out_dir.iterdir():  # which held nothing before
            path.unlink()
        raise
    return ending


class _Run(PhaseSteps):
    """The state of one run; its methods are the phases."""

    def __init__(
        self,
        spec: RunSpec,
        frames: SourceFrames,
        model: ResidentNetwork,
        networks: ResidentNetworks,
        cancelled: Callable[[], bool],
    ) -> None:
        self.strategy, notice = effective_strategy(spec)
        super().__init__(
            spec,
            ProgressMeter(plan_phases(spec, self.strategy, model.info.config)),
            cancelled,
            MemoryFallback(spec, model, cpu_allowed=networks.cpu_fallback),
        )
        self.frames, self.model, self.networks = frames, model, networks
        self.out_dir = Path(spec.out_dir)
        self.config = model.info.config
        self.ensemble = Ensemble.of(spec, self.config)
        if notice is not None:
            self.notices.append(notice)
        self.notices += ensemble_notices(spec, self.ensemble, self.config)
        if networks.device != model.device:
            self.notice(
                "GPU_MEMORY",
                "the GPU's memory is too little for the model: it computes on the CPU, which takes longer",
            )
        self.segments_done = 0
        self.leakage_before_dbfs: list[float | None] = [None] * len(self.ensemble.stems)
        self.leakage_after_dbfs = self.leakage_before_dbfs
        self.epoch_losses: list[EpochLoss] = []
        self.adapter_sha256: str | None = None
        self.preview_span = densest_window(
            spec.marks, spec.source.frames, round(PREVIEW_S * spec.source.sample_rate_hz)
        )
        self.base_preview: NDArray[np.float32] | None = None
        self.stem_paths = [
            self.out_dir / f"stem-{i}{spec.stem_encoding.suffix}" for i in range(len(self.ensemble.stems))
        ]

    def events(self) -> Generator[RunEvent, None, RunSucceeded]:
        """Go through the phases; yields all events but the last, which it returns."""
        yield from self.notices
        mix = yield from self.prepare()
        with open_frames(mix.audio) as mix_frames:
            hear = partial(self.separate_with_base, mix, mix_frames)
            separate = partial(self.separate, mix, mix_frames)
            stems: tuple[StemFile, ...] | None = None
            with adaptation_of(self.model.network, self.strategy) as trained:
                if self.spec.listens_only:
                    yield from self.fitting(RunPhase.BASE_SEPARATION, hear)
                    return RunSucceeded((), "", "", LEVELS_NAME)
                if self.strategy.depth is not None:
                    yield from self.fitting(RunPhase.BASE_SEPARATION, hear)
                    adapt_here = partial(self.adapt, mix, mix_frames, trained)
                    yield from self.fitting(RunPhase.ADAPTATION, adapt_here)
                check = partial(self.leaks_more, mix, mix_frames)
                if not (yield from self.fitting(RunPhase.SEPARATION, check)):
                    stems = yield from self.fitting(RunPhase.SEPARATION, separate)
            if stems is None:  # the base network is back
                stems = yield from self.fitting(RunPhase.SEPARATION, separate)
        report_json, report_html = yield from self.report()
        return RunSucceeded(stems, report_json, report_html, LEVELS_NAME)

    def prepare(self) -> Generator[RunEvent, None, ModelMix]:
        """Write the song as the network takes it."""
        reach("worker.run_started")
        yield self.meter.begin(RunPhase.PREPARE)
        steps = write_model_mix(self.spec.source, self.frames, self.out_dir / MODEL_MIX_NAME, self.config)
        mix = yield from self.steps(steps)
        yield from self.see()
        return mix

    def see(self) -> Generator[RunEvent, None, None]:
        """Make visual frames of the pictures of the players, if the job brings any."""
        if not (self.spec.pictures or self.spec.video):
            return
        encoder = self.networks.video_encoder
        if encoder is None:  # the server was started again without it
            raise NoVideoEncoderError("this server makes no features of pictures; set video_encoder")
        seen: list[VisualFrame] = []
        for frame in sights_of(self.spec, self.config, encoder, self.check_cancel):
            seen.append(frame)
            yield from self.progress(prepare_steps(self.spec.source) + len(seen))
        self.spec = replace(self.spec, visual_frames=tuple(sorted(seen, key=lambda s: (s.player, s.frame))))
        players = sorted({frame.player for frame in seen})
        names = ", ".join(str(player) for player in players)
        yield self.notice(
            "SEEN",
            f"the players are seen in {len(seen)} pictures of {len(players)} players (slots: {names})"
            if seen
            else "no player is seen: the video shows none of the song's time",
            warning=not seen,
        )

    def separate_with_base(self, mix: ModelMix, mix_frames: SourceFrames) -> Generator[RunEvent, None, None]:
        """Hear what the unadapted network gives: its leakage, its levels and an excerpt."""
        yield self.meter.begin(RunPhase.BASE_SEPARATION, separation_steps(self.spec, self.config))
        leakage = LeakageMeter(self.spec.marks, self.ensemble.stems)
        recorder = ExcerptRecorder(*self.preview_span)
        levels = self._level_meter()
        heard = levels.listen(leakage.listen(self._estimates(mix, mix_frames)))
        if not self.spec.listens_only:
            heard = self._filtered(heard, ())  # the excerpt is to show what the marks change
        for block in heard:
            recorder.add(block)
            yield from self.progress(self.segments_done)
        self.leakage_before_dbfs = leakage.levels_dbfs()
        self.base_preview = recorder.excerpt()
        self._save_levels(levels)

    def adapt(
        self, mix: ModelMix, mix_frames: SourceFrames, trained: Mapping[str, nn.Parameter]
    ) -> Generator[RunEvent, None, None]:
        """Fine-tune in place and keep what was learned in a file."""
        options = replace(self.spec.adaptation, strategy=str(self.strategy))
        steps = count_steps(len(mix_frames), self.config.sample_rate_hz, options)
        yield self.meter.begin(RunPhase.ADAPTATION, steps)
        marks = marks_at_rate(
            self.ensemble.marks, self.spec.source.sample_rate_hz, self.config.sample_rate_hz
        )
        checkpoint = self._epoch_checkpoint(mix, options)
        if checkpoint is not None and checkpoint.epochs_done:
            yield self.notice(
                "RESUMED",
                f"adaptation goes on after epoch {checkpoint.epochs_done} of {options.epochs}: an earlier "
                "attempt has come so far",
                warning=False,
            )
        self.check_cancel()
        self.epoch_losses = []
        with base_unless_done(trained):
            for step in adapt(
                self.model.network,
                trained,
                mix_frames,
                lambda start, stop: activity(marks, self.config.sources, start, stop),
                options,
                self.spec.seed,
                CacheBudget(self.networks.cache_bytes, self.networks.cache_disk_bytes, self.out_dir),
                checkpoint,
                sight_reader(self.model.network, self.spec),
            ):
                yield from self._adapted(step)
                self.check_cancel()
        keys = AdapterKeys(
            base_sha256=self.model.info.sha256,
            audio_sha256=mix.source_sha256,
            marks_sha256=marks_sha256(self.spec.marks),
            strategy=str(self.strategy),
        )
        save_adapter(self.out_dir / ADAPTER_NAME, trained, keys)
        self.adapter_sha256 = checkpoint_sha256(self.out_dir / ADAPTER_NAME)
        reach("worker.adapted")

    def _adapted(self, step: AdaptationStep) -> Iterator[RunEvent]:
        loss = LossTerms(step.loss.total, step.loss.reconstruction, step.loss.silence)
        if step.ends_epoch:
            self.epoch_losses.append(EpochLoss(step.epoch, loss.total, loss.reconstruction, loss.silence))
        if step.resumed:
            self.meter.skip(step.step)
        event = self.meter.advance(
            step.step, epoch=step.epoch, epochs=step.epochs, loss=loss, ends_epoch=step.ends_epoch
        )
        if event is not None:
            yield event

    def _epoch_checkpoint(self, mix: ModelMix, options: AdaptationOptions) -> EpochCheckpoint | None:
        if not self.spec.checkpoint_path:
            return None
        keys = AdaptationKeys(
            base_sha256=self.model.info.sha256,
            audio_sha256=mix.source_sha256,
            marks_sha256=marks_sha256(self.ensemble.marks),
            options=options,
            seed=self.spec.seed,
            machine=self.networks.machine(self.model.device),
        )
        return EpochCheckpoint(
            Path(self.spec.checkpoint_path),
            keys,
            Path(self.spec.resume_path) if self.spec.resume_path else None,
        )

    def leaks_more(self, mix: ModelMix, mix_frames: SourceFrames) -> Generator[RunEvent, None, bool]:
        """Whether the adapted network leaks more into marked silence than the base did, if that is checked.

        What was learned is dropped then.
        """
        if not checks_adaptation(self.strategy, self.config):
            return False
        yield self.meter.begin(RunPhase.SEPARATION, separation_steps(self.spec, self.config))
        leakage = LeakageMeter(self.spec.marks, self.ensemble.stems)
        for block in self._estimates(mix, mix_frames):
            leakage.add(block)
            yield from self.progress(self.segments_done)
        n_playing = len(self.ensemble.playing)  # what a residual holds is no leak
        before, after = (
            total_power(levels[:n_playing]) for levels in (self.leakage_before_dbfs, leakage.levels_dbfs())
        )
        if after <= before * MAX_LEAKAGE_GROWTH:
            return False
        yield self.notice(
            "ROLLED_BACK",
            f"after the adaptation more leaked into marked silence than before ({energy_dbfs(after):.1f} "
            f"against {energy_dbfs(before):.1f} dBFS), so the stems are those of the model as it is; "
            "fewer epochs, a lower learning rate or more marks may do better",
        )
        (self.out_dir / ADAPTER_NAME).unlink()
        self.adapter_sha256 = None
        return True

    def separate(
        self, mix: ModelMix, mix_frames: SourceFrames
    ) -> Generator[RunEvent, None, tuple[StemFile, ...]]:
        """Separate, obey the marks, add up to the mix, write: one stream from segments to files."""
        yield self.meter.begin(RunPhase.SEPARATION, separation_steps(self.spec, self.config))
        spec, source = self.spec, self.spec.source
        leakage = LeakageMeter(spec.marks, self.ensemble.stems)
        levels = self._level_meter()
        with ExitStack() as files:
            writers = [
                files.enter_context(
                    StemWriter(
                        path, spec.stem_encoding, source.sample_rate_hz, source.channels, source.frames
                    )
                )
                for path in self.stem_paths
            ]
            consistency = MixtureConsistency(
                self.frames, spec.marks, self.ensemble.stems, source.sample_rate_hz, spec.stem_encoding
            )
            estimates = leakage.listen(self._estimates(mix, mix_frames))
            if self.strategy.depth is None:
                estimates = levels.listen(estimates)
            estimates = self._filtered(estimates, spec.marks)
            for stems in consistency.process(estimates):
                for writer, stem in zip(writers, stems, strict=True):
                    writer.write(stem.T)
                yield from self.progress(self.segments_done)
            written = [writer.finish() for writer in writers]
        reach("worker.stems_written")
        if consistency.clipped_samples:
            yield self.notice(
                "CLIPPED",
                f"{consistency.clipped_samples} samples of the stems were clipped: the song is above full "
                "scale there, which 24 bits cannot hold; float32 stems can",
            )
        if self.strategy.depth is None:
            self.leakage_before_dbfs = leakage.levels_dbfs()
            self._save_levels(levels)
        else:
            self.leakage_after_dbfs = leakage.levels_dbfs()
        return tuple(
            StemFile(name, path.name, stem.frames, stem.size_bytes, stem.sha256)
            for name, path, stem in zip(self.ensemble.stems, self.stem_paths, written, strict=True)
        )

    def report(self) -> Generator[RunEvent, None, tuple[str, str]]:
        """Read the stems back, measure what was promised, tell it."""
        yield self.meter.begin(RunPhase.REPORT)
        check = StemCheck(
            self.stem_paths,
            self.spec.marks,
            self.ensemble.stems,
            self.frames,
            self.spec.source.sample_rate_hz,
        )
        yield from self.steps(check.run())
        report = job_report(
            self.spec,
            self.model.info,
            self.ensemble.stems,
            self.networks.name_of(self.model.device),
            self.networks.threads,
            self.strategy,
            check,
            self.leakage_before_dbfs,
            self.leakage_after_dbfs,
            self.epoch_losses,
            self.adapter_sha256,
            dict(self.meter.timings_s),
            [notice.message for notice in self.notices],
        )
        preview = Preview(
            self.preview_span[0], read_excerpt(self.stem_paths, self.preview_span), self.base_preview
        )
        self.check_cancel()
        names = write_report(report, preview, self.spec.source, self.stem_paths, self.out_dir)
        reach("worker.report_written")
        yield from self.progress(report_steps(self.spec.source))
        return names

    def _estimates(self, mix: ModelMix, mix_frames: SourceFrames) -> Iterator[NDArray[np.float32]]:
        """Estimates of the network as it is now, at the source's rate and scale: blocks [S, C, n]."""
        self.segments_done = 0

        def watched(segments: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
            self.check_cancel()
            for block in segments:
                self.check_cancel()
                self.segments_done += 1
                yield block

        return song_estimates(
            self.model.network, self.spec, self.frames, mix, mix_frames, self.model.device, watched
        )

    def _filtered(
        self, estimates: Iterator[NDArray[np.float32]], marks: tuple[Mark, ...]
    ) -> Iterator[NDArray[np.float32]]:
        """The estimates through the Wiener filter, if the job wants one."""
        spec = self.spec
        if spec.separation.wiener_exponent == 0:
            return estimates
        return wiener_filtered(
            estimates,
            self.frames,
            marks,
            self.ensemble.stems,
            spec.source.sample_rate_hz,
            spec.separation.wiener_exponent,
            self.model.device,
        )

    def _level_meter(self) -> LevelMeter:
        return LevelMeter(self.ensemble.playing, self.frames, self.spec.source.sample_rate_hz)

    def _save_levels(self, meter: LevelMeter) -> None:
        save_levels(self.out_dir / LEVELS_NAME, meter.levels(self.model.info.sha256))
