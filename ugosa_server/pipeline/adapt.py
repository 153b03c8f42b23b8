"""ADAPTATION: the network is fine-tuned in place, and what it learned is kept in a file."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ugosa_server.adaptation.adapter_file import AdapterKeys, marks_sha256, save_adapter
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.loop import AdaptationStep, adapt, count_steps, restore_on_error
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.failpoints import reach
from ugosa_server.files import sha256_of_file
from ugosa_server.jobs.runs import RunEvent, RunPhase
from ugosa_server.marks.activity import activity
from ugosa_server.pipeline.context import OngoingRun
from ugosa_server.pipeline.estimate import sight_reader
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.report.data import EpochLoss

ADAPTER_NAME = "adapter.safetensors"


@dataclass(frozen=True)
class Learned:
    """What came of an adaptation."""

    epoch_losses: tuple[EpochLoss, ...]
    """The loss by epoch."""
    adapter_sha256: str | None
    """Hex, of the file of changed tensors; None when what was learned was dropped."""

    @property
    def is_kept(self) -> bool:
        """Whether the song is to be separated with what was learned."""
        return self.adapter_sha256 is not None


def adapt_network(
    run: OngoingRun, mix: ModelMix, mix_frames: SourceFrames, trained: Mapping[str, nn.Parameter]
) -> Generator[RunEvent, None, Learned]:
    """Fine-tune in place and keep what was learned in a file."""
    settings = run.networks.settings
    options = replace(run.spec.adaptation, strategy=str(run.strategy))
    steps = count_steps(len(mix_frames), run.config.sample_rate_hz, options)
    yield run.meter.begin(RunPhase.ADAPTATION, steps)
    marks = run.ensemble.marks.at_rate(run.spec.source.sample_rate_hz, run.config.sample_rate_hz)
    checkpoint = _epoch_checkpoint(run, mix, options)
    if checkpoint is not None and checkpoint.epochs_done:
        yield run.notice(
            "RESUMED",
            f"adaptation goes on after epoch {checkpoint.epochs_done} of {options.epochs}: an earlier "
            "attempt has come so far",
            warning=False,
        )
    run.check_cancel()
    epoch_losses: list[EpochLoss] = []
    with restore_on_error(trained):
        for step in adapt(
            run.model.network,
            trained,
            mix_frames,
            lambda start, stop: activity(marks, run.config.sources, start, stop),
            options,
            run.spec.seed,
            CacheBudget(settings.prefix_cache_bytes, settings.prefix_cache_disk_bytes, run.out_dir),
            checkpoint,
            sight_reader(run.model.network, run.spec),
        ):
            if step.ends_epoch:
                epoch_losses.append(EpochLoss(step.epoch, step.loss))
            yield from _progress(run, step)
            run.check_cancel()
    keys = AdapterKeys(
        base_sha256=run.model.info.sha256,
        audio_sha256=mix.source_sha256,
        marks_sha256=marks_sha256(run.spec.marks),
        strategy=str(run.strategy),
    )
    save_adapter(run.out_dir / ADAPTER_NAME, trained, keys)
    learned = Learned(tuple(epoch_losses), sha256_of_file(run.out_dir / ADAPTER_NAME))
    reach("worker.adapted")
    return learned


def forget(run: OngoingRun, learned: Learned) -> Learned:
    """Drop what was learned; how it went stays to be told."""
    (run.out_dir / ADAPTER_NAME).unlink()
    return replace(learned, adapter_sha256=None)


def _progress(run: OngoingRun, step: AdaptationStep) -> Iterator[RunEvent]:
    if step.resumed:
        run.meter.skip(step.step)
    event = run.meter.advance(
        step.step, epoch=step.epoch, epochs=step.epochs, loss=step.loss, ends_epoch=step.ends_epoch
    )
    if event is not None:
        yield event


def _epoch_checkpoint(run: OngoingRun, mix: ModelMix, options: AdaptationOptions) -> EpochCheckpoint | None:
    if not run.spec.checkpoint_path:
        return None
    keys = AdaptationKeys(
        base_sha256=run.model.info.sha256,
        audio_sha256=mix.source_sha256,
        marks_sha256=marks_sha256(run.ensemble.marks.marks),
        options=options,
        seed=run.spec.seed,
        machine=run.networks.machine(run.model.device),
    )
    return EpochCheckpoint(
        Path(run.spec.checkpoint_path),
        keys,
        Path(run.spec.resume_path) if run.spec.resume_path else None,
    )
