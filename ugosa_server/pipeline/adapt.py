"""ADAPTATION: the network is fine-tuned in place, the guard judges, and the changed tensors go to a file."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from ugosa_server.adaptation import AdaptationOptions, LossTerms, Outcome, Verdict
from ugosa_server.adaptation.adapter_file import apply_adapter, copy_into, load_adapter, save_adapter
from ugosa_server.adaptation.adapter_keys import AdapterKeys, marks_sha256
from ugosa_server.adaptation.calibration import WORK_STEPS, fit_calibration
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.guard import Filter, Guard
from ugosa_server.adaptation.held_back import HeldBack, hold_back
from ugosa_server.adaptation.loop import TrainedParameters, adapt, count_steps, training_segments
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.remix import EstimatedSong, RemixPool
from ugosa_server.adaptation.strategies import Objective, Strategy
from ugosa_server.engines.base import Wish
from ugosa_server.failpoints import reach
from ugosa_server.files import replacing
from ugosa_server.jobs import FinishedFile, RunEvent, RunNotice, RunPhase
from ugosa_server.marks import Interval, MarkSet, merge
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.memory import is_out_of_memory, memory_reason, own_bytes, too_little_memory
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.pipeline.plan import calibration_cost
from ugosa_server.pipeline.previews import Previews
from ugosa_server.pipeline.separate import context_reader
from ugosa_server.separation.calibration import MaskCalibration
from ugosa_server.separation.wiener import filtered_window

ADAPTER_NAME = "adapter.safetensors"
VERDICT_REASON = "VERDICT"
ACCEPTED_REASON = "ACCEPTED"
BUDGET_LENIENCE = 0.2  # of the cost of a calibration, which a run within a budget may lack


@dataclass(frozen=True)
class AdaptationResult:
    """Losses of an adaptation, and its adapter."""

    epoch_losses: tuple[LossTerms, ...]
    adapter: FinishedFile | None
    """The file of changed tensors; None when the base was kept."""
    strategy: Strategy
    verdict: Verdict | None
    """Judgement of the guard; None = nobody asked."""
    steps: int = 0
    calibration: MaskCalibration | None = None
    """Calibration of the masks; None = none was kept."""

    @property
    def keeps_base(self) -> bool:
        """True if the guard found neither an epoch nor a calibration better than the base."""
        return self.verdict is not None and self.verdict.outcome is Outcome.DID_NOT


@dataclass(frozen=True)
class _Material:
    """Material of one adaptation: marks, remixes, and the guard that judges by what is held back."""

    strategy: Strategy
    """That of the run, or what stands in for it."""
    options: AdaptationOptions
    held: HeldBack
    pool: RemixPool
    guard: Guard | None
    """None = none is wanted, or too little silence is marked."""
    start: Mapping[str, Tensor] | None
    """Tensors of the adapter that learning starts from."""
    learned: Mapping[str, Sequence[Interval]]
    """Silence that it has learned, by source."""


def adapt_network(
    context: RunContext, mix: ModelMix, trained: TrainedParameters, song: EstimatedSong
) -> Generator[RunEvent, None, AdaptationResult | None]:
    """Fine-tune in place to what the guard keeps, and write the adapter file unless that is the base.

    None is returned where the run was to go on before its first step.
    """
    journal = context.journal
    material = _material(context, song)
    strategy, options, guard = material.strategy, material.options, material.guard
    if strategy != context.strategy:
        yield journal.notice(
            "NO_REMIX",
            f"there is no stretch of the song to make remixes of, so {strategy} is taken in place of "
            f"{context.strategy}: mark silence where something else still plays",
        )
    all_steps = count_steps(len(mix.frames), context.config.sample_rate_hz, options)
    yield journal.begin(RunPhase.ADAPTATION, all_steps)
    if material.start is not None:
        yield _start_notice(context)
    context.check_cancel()
    trained.restore()  # after a try that lacked memory
    steps, epoch_losses = yield from _learn(context, mix, trained, material)
    if guard is not None:
        trained.restore()
        copy_into(trained, guard.state.kept)  # none if the base is kept
    cost = calibration_cost(context.spec, strategy, context.config)
    calibrates = cost > 0 and not journal.is_budget_spent(spared_cost=BUDGET_LENIENCE * cost)
    if steps < all_steps:
        yield from _say_shortened(context, steps, all_steps, leaves_calibration=cost > 0 and not calibrates)
        if context.is_asked(Wish.ACCEPT) and not steps and material.start is None:
            return None
    calibration = None
    if calibrates:
        calibration = yield from _calibrate_in_memory(
            context, material.pool, guard, is_late=journal.is_budget_spent()
        )
    verdict = None
    if options.guard:
        verdict = guard.verdict(mix.std) if guard else Verdict(Outcome.CANNOT_TELL, len(epoch_losses), 0.0)
        yield journal.notice(VERDICT_REASON, verdict.sentence, warning=False)
    result = AdaptationResult(tuple(epoch_losses), None, strategy, verdict, steps, calibration)
    if not result.keeps_base:
        tensors = {**trained, **(calibration.tensors if calibration is not None else {})}
        result = replace(result, adapter=_write_adapter(context, mix, tensors, material))
    reach("worker.adapted")
    return result


def _material(context: RunContext, song: EstimatedSong) -> _Material:
    """Hold back what the guard judges by, and make remixes of the rest."""
    spec, config = context.spec, context.config
    sample_rate_hz, options = config.sample_rate_hz, spec.options.adaptation
    marks = context.ensemble.marks.at_rate(spec.source.sample_rate_hz, sample_rate_hz)
    keys, start, _ = _load_start(context) if spec.start_path else (None, None, None)
    learned = keys.silence if keys else {}
    held = HeldBack({}, marks)
    if options.guard:
        held = hold_back(marks, context.ensemble.playing, sample_rate_hz, learned)
    pool = RemixPool(song, held.training_marks, list(held.spans.values()))
    if not pool.is_usable:
        # What is held back of one source is all of another's silence. Then stretches reach into it, where
        # the training marks do not tell that the first one is silent.
        pool = RemixPool(song, held.training_marks)
    strategy = context.strategy
    if strategy.objective is Objective.REMIX and not pool.is_usable:
        strategy = replace(strategy, objective=Objective.MARKS)
    guard = None
    if held.spans:
        segment_frames = training_segments(len(song.mix), sample_rate_hz, options).segment_frames
        has_start = start is not None
        guard = Guard(
            song, marks, held, segment_frames, spec.options.seed, context.check_cancel, has_start=has_start
        )
    options = replace(options, strategy=str(strategy))
    return _Material(strategy, options, held, pool, guard, start, learned)


def _learn(
    context: RunContext, mix: ModelMix, trained: Mapping[str, nn.Parameter], material: _Material
) -> Generator[RunEvent, None, tuple[int, list[LossTerms]]]:
    """Fine-tune; return the steps made and the losses of the epochs."""
    spec, journal, options = context.spec, context.journal, material.options
    guard = material.guard
    checkpoint = _epoch_checkpoint(context, mix, options)
    if checkpoint is not None and checkpoint.epochs_done:
        yield journal.notice(
            "RESUMED",
            f"adaptation goes on after epoch {checkpoint.epochs_done} of {options.epochs}: an earlier "
            "attempt has come so far",
            warning=False,
        )

    def is_enough(steps_done: int) -> bool:
        is_short_of_time = steps_done > 0 and journal.is_budget_spent()
        return context.is_asked(Wish.ACCEPT) or 0 < options.max_steps <= steps_done or is_short_of_time

    previews = Previews(context, mix)
    epoch_losses: list[LossTerms] = []
    steps = 0
    disk_bytes = context.networks.settings.prefix_cache_disk_bytes
    for step in adapt(
        context.model.network,
        trained,
        mix.frames,
        material.held.training_marks,
        options,
        spec.options.seed,
        cache_budget=CacheBudget(_cache_bytes(context), disk_bytes, context.out_dir),
        checkpoint=checkpoint,
        context=context_reader(context.model.network, spec),
        remixes=material.pool,
        guard=guard,
        is_enough=is_enough,
        start=material.start,
    ):
        steps = step.step
        if step.ends_epoch:
            epoch_losses.append(step.loss)
        if step.resumed:
            journal.skip(step.step)
        yield from journal.advance(
            step.step,
            epoch=step.epoch,
            epochs=options.epochs,
            loss=step.loss,
            held_back_db=guard.change_db if guard is not None else None,
            ends_epoch=step.ends_epoch,
        )
        context.check_cancel()
        yield from previews.after_step(step)
    return steps, epoch_losses


def _calibrate_in_memory(
    context: RunContext, pool: RemixPool, guard: Guard | None, *, is_late: bool
) -> Generator[RunEvent, None, MaskCalibration | None]:
    """Calibrate; leave it out where memory is too little and another try would learn nothing, or less.

    It would where the run is to go on, or `is_late` for its budget.
    """
    try:
        return (yield from _calibrate(context, pool, guard))
    except (RuntimeError, MemoryError) as error:
        if not (is_late or context.is_asked(Wish.ACCEPT)) or not is_out_of_memory(error):
            raise
    yield context.journal.notice(
        memory_reason(context),
        f"{too_little_memory(context)} for more than what was learned: the calibration of the masks is left"
        " out, and the same stems again take --calibration off too",
    )
    return None


def _calibrate(
    context: RunContext, pool: RemixPool, guard: Guard | None
) -> Generator[RunEvent, None, MaskCalibration | None]:
    """Calibrate the masks of the network as it is now; None where the guard does not believe it."""
    network, device = context.model.network, context.model.device
    sample_rate_hz, exponent = context.config.sample_rate_hz, context.spec.options.separation.wiener_exponent
    segments = training_segments(len(pool.song.mix), sample_rate_hz, context.spec.options.adaptation)

    def separate(window: Tensor) -> Tensor:
        stems: Tensor = network(window.unsqueeze(0).to(device))[0]
        return stems

    work = fit_calibration(separate, pool, exponent, segments.segment_frames, context.spec.options.seed)
    calibration = yield from context.follow(work, partial(context.journal.advance_lead, steps=WORK_STEPS))
    if calibration is None or guard is None:
        return calibration

    def behind(calibration: MaskCalibration | None) -> Filter:
        return lambda estimates, mix: filtered_window(estimates, mix, exponent, sample_rate_hz, calibration)

    is_believed = guard.judge_calibration(
        lambda window, start, name: separate(window), behind(None), behind(calibration)
    )
    return calibration if is_believed else None


def _say_shortened(
    context: RunContext, steps: int, all_steps: int, *, leaves_calibration: bool
) -> Iterator[RunNotice]:
    """Say that learning was cut short, if somebody or a budget asked for it, and how it can be repeated."""
    options = context.spec.options
    again = f"--steps {steps} --start-from {options.start_from}"
    again += " --calibration off" if leaves_calibration else ""
    if context.is_asked(Wish.ACCEPT):
        message = f"{steps} of {all_steps} steps were learned when the job was to go on; {again}"
        if not steps:
            message = "nothing was learned yet when the job was to go on: it takes "
            message += "what it started from" if context.spec.start_path else "the model as it is"
        else:
            message += " gives the same stems again"
        yield context.journal.notice(ACCEPTED_REASON, message, warning=False)
    elif options.adaptation.max_s:
        yield context.journal.notice(
            "BUDGET",
            f"{steps} of {all_steps} steps were learned, for the job to be done in "
            f"{options.adaptation.max_s:g} s; {again} gives the same stems again",
            warning=False,
        )


def _cache_bytes(context: RunContext) -> int:
    """Return the memory for features of the frozen part: of a budget, half of what is left at most."""
    cache_bytes = context.networks.settings.prefix_cache_bytes
    if budget_bytes := context.memory_budget_bytes:
        cache_bytes = min(cache_bytes, max(0, budget_bytes - own_bytes()) // 2)
    return cache_bytes


def take_start(
    context: RunContext, trained: Mapping[str, nn.Parameter]
) -> Generator[RunEvent, None, AdaptationResult]:
    """Take the adapter that the run starts from as it is; it is the run's own too."""
    _, tensors, calibration = _load_start(context)
    apply_adapter(trained, tensors)
    yield _start_notice(context)
    path = context.out_dir / ADAPTER_NAME
    with replacing(path) as file:
        file.write(Path(context.spec.start_path).read_bytes())
    if not context.spec.options.adaptation.calibration:
        calibration = None
    return AdaptationResult((), FinishedFile.at(path), context.strategy, None, calibration=calibration)


def _load_start(context: RunContext) -> tuple[AdapterKeys, dict[str, Tensor], MaskCalibration | None]:
    keys, tensors = load_adapter(Path(context.spec.start_path), context.model.info.sha256)
    return keys, tensors, MaskCalibration.taken_from(tensors)


def _start_notice(context: RunContext) -> RunNotice:
    what = "goes on from" if context.spec.options.adaptation.epochs else "learns nothing new and takes"
    return context.journal.notice(
        "WARM_START", f"{what} what {context.spec.options.start_from} has learned", warning=False
    )


def _write_adapter(
    context: RunContext, mix: ModelMix, tensors: Mapping[str, Tensor], material: _Material
) -> FinishedFile:
    """Write the tensors, and the silence that they have learned."""
    training = material.held.training_marks if material.strategy.uses_marks else MarkSet()
    silence = {
        name: tuple(merge((*material.learned.get(name, ()), *training.silent(name))))
        for name in sorted({*material.learned, *training.sources})
    }
    keys = AdapterKeys(
        base_sha256=context.model.info.sha256,
        audio_sha256=mix.source_sha256,
        marks_sha256=marks_sha256(context.spec.marks),
        strategy=str(material.strategy),
        silence={name: spans for name, spans in silence.items() if spans},
    )
    path = context.out_dir / ADAPTER_NAME
    save_adapter(path, tensors, keys)
    return FinishedFile.at(path)


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
        seed=spec.options.seed,
        machine=context.networks.machine(context.model.device),
    )
    resume_path = Path(spec.resume_path) if spec.resume_path else None
    return EpochCheckpoint(Path(spec.checkpoint_path), keys, resume_path)
