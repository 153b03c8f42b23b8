"""ADAPTATION: the network is fine-tuned in place, the guard judges, and the changed tensors go to a file."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from ugosa_server.adaptation import AdaptationOptions, Outcome, Verdict
from ugosa_server.adaptation.adapter_file import apply_adapter, load_adapter, save_adapter
from ugosa_server.adaptation.adapter_keys import AdapterKeys, marks_sha256
from ugosa_server.adaptation.calibration import REMIXES, fit_calibration
from ugosa_server.adaptation.checkpoint import AdaptationKeys, EpochCheckpoint
from ugosa_server.adaptation.guard import Filter, Guard, HeldBack, hold_back
from ugosa_server.adaptation.loop import adapt, count_steps, restore_on_error, segment_length
from ugosa_server.adaptation.prefix_cache import CacheBudget
from ugosa_server.adaptation.remix import RemixPool, SongEstimates
from ugosa_server.adaptation.strategies import Objective, Strategy
from ugosa_server.failpoints import reach
from ugosa_server.files import replacing, sha256_of_file
from ugosa_server.jobs import AdapterFile, RunEvent, RunNotice, RunPhase
from ugosa_server.marks import Interval, MarkSet, merge
from ugosa_server.marks.activity import activity
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.estimate import context_reader
from ugosa_server.pipeline.memory import own_bytes
from ugosa_server.pipeline.model_input import ModelMix
from ugosa_server.pipeline.previews import Previews
from ugosa_server.report import EpochLoss
from ugosa_server.separation.calibration import MaskCalibration
from ugosa_server.separation.wiener import filtered_window

ADAPTER_NAME = "adapter.safetensors"
VERDICT_REASON = "VERDICT"
ACCEPTED_REASON = "ACCEPTED"
CALIBRATION_COST = 2.5  # of a pass of the network over its remixes: that pass, the fit, and the guard's look
BUDGET_LENIENCE = 0.8  # of that cost, below which a run within a budget calibrates nothing


@dataclass(frozen=True)
class AdaptationResult:
    """Losses of an adaptation, and its adapter."""

    epoch_losses: tuple[EpochLoss, ...]
    adapter: AdapterFile | None
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


def adapt_network(
    context: RunContext, mix: ModelMix, trained: Mapping[str, nn.Parameter], song: SongEstimates
) -> Generator[RunEvent, None, AdaptationResult | None]:
    """Fine-tune in place to what the guard keeps, and write the adapter file unless that is the base.

    None is returned where the run was to go on before its first step.
    """
    spec, config, journal = context.spec, context.config, context.journal
    settings = context.networks.settings
    marks = context.ensemble.marks.at_rate(spec.source.sample_rate_hz, config.sample_rate_hz)
    keys, start, _ = _load_start(context) if spec.start_path else (None, None, None)
    learned = keys.silence if keys else {}
    held = HeldBack({}, marks)
    if spec.options.adaptation.guard:
        held = hold_back(marks, context.ensemble.playing, config.sample_rate_hz, learned)
    pool = RemixPool(
        mix.frames,
        held.training_marks,
        config.sources,
        song,
        config.sample_rate_hz,
        left_out=list(held.spans.values()),
    )
    strategy = context.strategy
    if strategy.objective is Objective.REMIX and not pool.is_usable:
        strategy = replace(strategy, objective=Objective.MARKS)
        yield journal.notice(
            "NO_REMIX",
            f"there is no stretch of the song to make remixes of, so {strategy} is taken in place of "
            f"{context.strategy}: mark silence where something else still plays",
        )
    options = replace(spec.options.adaptation, strategy=str(strategy))
    all_steps = count_steps(len(mix.frames), config.sample_rate_hz, options)
    yield journal.begin(RunPhase.ADAPTATION, all_steps)
    if start is not None:
        yield _start_notice(context)
    checkpoint = _epoch_checkpoint(context, mix, options)
    if checkpoint is not None and checkpoint.epochs_done:
        yield journal.notice(
            "RESUMED",
            f"adaptation goes on after epoch {checkpoint.epochs_done} of {options.epochs}: an earlier "
            "attempt has come so far",
            warning=False,
        )
    guard = None
    if held.spans:
        guard = Guard(
            mix.frames,
            marks,
            held,
            config.sources,
            song,
            config.sample_rate_hz,
            segment_length(len(mix.frames), config.sample_rate_hz, options),
            spec.options.seed,
            context.check_cancel,
            has_start=start is not None,
        )
    context.check_cancel()
    base = {name: parameter.detach().clone() for name, parameter in trained.items()}
    previews = Previews(context, mix)
    epoch_losses: list[EpochLoss] = []
    steps = 0
    with restore_on_error(trained):
        for step in adapt(
            context.model.network,
            trained,
            mix.frames,
            lambda start, stop: activity(held.training_marks, config.sources, start, stop),
            options,
            spec.options.seed,
            CacheBudget(_cache_bytes(context), settings.prefix_cache_disk_bytes, context.out_dir),
            checkpoint,
            context_reader(context.model.network, spec),
            pool,
            guard,
            lambda steps: (
                context.is_accepted()
                or 0 < options.max_steps <= steps
                or (steps > 0 and journal.is_budget_spent(more_cost=calibration_cost(context, strategy)))
            ),
            start,
        ):
            steps = step.step
            if step.ends_epoch:
                epoch_losses.append(EpochLoss(step.epoch, step.loss))
            if step.resumed:
                journal.skip(step.step)
            yield from journal.advance(
                step.step,
                epoch=step.epoch,
                epochs=step.epochs,
                loss=step.loss,
                held_back_db=guard.change_db if guard is not None else None,
                ends_epoch=step.ends_epoch,
            )
            context.check_cancel()
            yield from previews.after_step(step)
        if guard is not None:
            if guard.keeps_base:
                apply_adapter(trained, base)
            guard.restore_kept(trained)
    cost = calibration_cost(context, strategy)
    calibrates = cost > 0 and not journal.is_budget_spent(more_cost=BUDGET_LENIENCE * cost)
    if context.is_accepted() and steps < all_steps:
        yield journal.notice(
            ACCEPTED_REASON,
            f"{steps} of {all_steps} steps were learned when the job was to go on; --steps {steps}"
            f" --start-from {spec.options.start_from} gives the same stems again"
            if steps
            else "nothing was learned yet when the job was to go on: it takes "
            + ("what it started from" if start else "the model as it is"),
            warning=False,
        )
        if not steps and start is None:
            return None
    elif options.max_s and steps < all_steps:
        yield journal.notice(
            "BUDGET",
            f"{steps} of {all_steps} steps were learned, for the job to be done in {options.max_s:g} s; "
            f"--steps {steps} --start-from {spec.options.start_from}"
            f"{'' if calibrates or not cost else ' --calibration off'} gives the same stems again",
            warning=False,
        )
    calibration = _calibrate(context, mix, pool, guard, options) if calibrates else None
    verdict = None
    if spec.options.adaptation.guard:
        verdict = guard.verdict(mix.std) if guard else Verdict(Outcome.CANNOT_TELL, len(epoch_losses), 0.0)
        yield journal.notice(VERDICT_REASON, verdict.sentence, warning=False)
    result = AdaptationResult(tuple(epoch_losses), None, strategy, verdict, steps, calibration)
    if not result.keeps_base:
        training = held.training_marks if strategy.uses_marks else MarkSet()
        silence = {
            name: tuple(merge((*learned.get(name, ()), *training.silent(name))))
            for name in sorted({*learned, *training.sources})
        }
        tensors = {**trained, **(calibration.tensors if calibration is not None else {})}
        result = replace(result, adapter=_write_adapter(context, mix, tensors, strategy, silence))
    reach("worker.adapted")
    return result


def calibration_cost(context: RunContext, strategy: Strategy) -> float:
    """Return the cost of a calibration in seconds of audio through the network; 0 = the run makes none."""
    options = context.spec.options
    is_wanted = options.adaptation.calibration and options.separation.wiener_exponent > 0
    if not is_wanted or strategy.objective is not Objective.REMIX or context.config.mask_grid is not None:
        return 0.0
    return CALIBRATION_COST * REMIXES * options.adaptation.segment_s


def _calibrate(
    context: RunContext, mix: ModelMix, pool: RemixPool, guard: Guard | None, options: AdaptationOptions
) -> MaskCalibration | None:
    """Calibrate the masks of the network as it is now; None where that does not help."""
    network, device = context.model.network, context.model.device
    sample_rate_hz, exponent = context.config.sample_rate_hz, context.spec.options.separation.wiener_exponent
    window_frames = segment_length(len(mix.frames), sample_rate_hz, options)

    def separate(window: Tensor) -> Tensor:
        stems: Tensor = network(window.unsqueeze(0).to(device))[0]
        return stems

    calibration = fit_calibration(
        separate,
        pool,
        exponent,
        sample_rate_hz,
        window_frames,
        context.spec.options.seed,
        context.check_cancel,
    )
    if calibration is None or guard is None:
        return calibration

    def behind(calibration: MaskCalibration | None) -> Filter:
        return lambda estimates, mix: filtered_window(estimates, mix, exponent, sample_rate_hz, calibration)

    helps = guard.judge_calibration(
        lambda window, start, name: separate(window), behind(None), behind(calibration)
    )
    return calibration if helps else None


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
    return AdaptationResult((), _adapter_file(path), context.strategy, None, calibration=calibration)


def _load_start(context: RunContext) -> tuple[AdapterKeys, dict[str, Tensor], MaskCalibration | None]:
    keys, tensors = load_adapter(Path(context.spec.start_path), context.model.info.sha256)
    return keys, tensors, MaskCalibration.taken_from(tensors)


def _start_notice(context: RunContext) -> RunNotice:
    what = "goes on from" if context.spec.options.adaptation.epochs else "learns nothing new and takes"
    return context.journal.notice(
        "WARM_START", f"{what} what {context.spec.options.start_from} has learned", warning=False
    )


def _adapter_file(path: Path) -> AdapterFile:
    return AdapterFile(path.name, path.stat().st_size, sha256_of_file(path))


def _write_adapter(
    context: RunContext,
    mix: ModelMix,
    tensors: Mapping[str, Tensor],
    strategy: Strategy,
    silence: Mapping[str, tuple[Interval, ...]],
) -> AdapterFile:
    """Write the changed tensors, and the silence that they have learned."""
    keys = AdapterKeys(
        base_sha256=context.model.info.sha256,
        audio_sha256=mix.source_sha256,
        marks_sha256=marks_sha256(context.spec.marks),
        strategy=str(strategy),
        silence={name: spans for name, spans in silence.items() if spans},
    )
    path = context.out_dir / ADAPTER_NAME
    save_adapter(path, tensors, keys)
    return _adapter_file(path)


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
