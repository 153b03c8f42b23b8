"""ADAPTATION: the network is fine-tuned in place, and the changed tensors go to a file."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from ugosa_server.adaptation.adapter_file import AdapterKeys, marks_sha256, save_adapter
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.loop import adapt, count_steps, restore_on_error
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.presets import AdaptationOptions
from ugosa_server.failpoints import reach
from ugosa_server.files import sha256_of_file
from ugosa_server.jobs.runs import RunEvent, RunPhase
from ugosa_server.marks.activity import activity
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.estimate import context_reader
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.report.data import EpochLoss

ADAPTER_NAME = "adapter.safetensors"


@dataclass(frozen=True)
class AdaptationResult:
    """Losses of an adaptation, and its adapter."""

    epoch_losses: tuple[EpochLoss, ...]
    """The loss by epoch."""
    adapter_sha256: str | None
    """Hex, of the file of changed tensors; None when it was discarded."""


def adapt_network(
    context: RunContext, mix: ModelMix, trained: Mapping[str, nn.Parameter]
) -> Generator[RunEvent, None, AdaptationResult]:
    """Fine-tune in place and write the adapter file."""
    spec, config, journal = context.spec, context.config, context.journal
    settings = context.networks.settings
    options = replace(spec.adaptation, strategy=str(context.strategy))
    yield journal.begin(RunPhase.ADAPTATION, count_steps(len(mix.frames), config.sample_rate_hz, options))
    marks = context.ensemble.marks.at_rate(spec.source.sample_rate_hz, config.sample_rate_hz)
    checkpoint = _epoch_checkpoint(context, mix, options)
    if checkpoint is not None and checkpoint.epochs_done:
        yield journal.notice(
            "RESUMED",
            f"adaptation goes on after epoch {checkpoint.epochs_done} of {options.epochs}: an earlier "
            "attempt has come so far",
            warning=False,
        )
    context.check_cancel()
    epoch_losses: list[EpochLoss] = []
    with restore_on_error(trained):
        for step in adapt(
            context.model.network,
            trained,
            mix.frames,
            lambda start, stop: activity(marks, config.sources, start, stop),
            options,
            spec.seed,
            CacheBudget(settings.prefix_cache_bytes, settings.prefix_cache_disk_bytes, context.out_dir),
            checkpoint,
            context_reader(context.model.network, spec),
        ):
            if step.ends_epoch:
                epoch_losses.append(EpochLoss(step.epoch, step.loss))
            if step.resumed:
                journal.skip(step.step)
            yield from journal.advance(
                step.step,
                epoch=step.epoch,
                epochs=step.epochs,
                loss=step.loss,
                ends_epoch=step.ends_epoch,
            )
            context.check_cancel()
    keys = AdapterKeys(
        base_sha256=context.model.info.sha256,
        audio_sha256=mix.source_sha256,
        marks_sha256=marks_sha256(spec.marks),
        strategy=str(context.strategy),
    )
    adapter_path = context.out_dir / ADAPTER_NAME
    save_adapter(adapter_path, trained, keys)
    result = AdaptationResult(tuple(epoch_losses), sha256_of_file(adapter_path))
    reach("worker.adapted")
    return result


def discard_adapter(context: RunContext, result: AdaptationResult) -> AdaptationResult:
    """Delete the adapter file; keep the losses for the report."""
    (context.out_dir / ADAPTER_NAME).unlink()
    return replace(result, adapter_sha256=None)


def _epoch_checkpoint(
    context: RunContext, mix: ModelMix, options: AdaptationOptions
) -> EpochCheckpoint | None:
    spec = context.spec
    if not spec.checkpoint_path:
        return None
    keys = AdaptationKeys(
        base_sha256=context.model.info.sha256,
        audio_sha256=mix.source_sha256,
        marks_sha256=marks_sha256(context.ensemble.marks.marks),
        options=options,
        seed=spec.seed,
        machine=context.networks.machine(context.model.device),
    )
    resume_path = Path(spec.resume_path) if spec.resume_path else None
    return EpochCheckpoint(Path(spec.checkpoint_path), keys, resume_path)
