"""What a run will do: whether it adapts at all, and how much work each phase is expected to be."""

from __future__ import annotations

from ugosa_server.adaptation.loop import count_steps
from ugosa_server.adaptation.strategies import UNADAPTED, Strategy, parse_strategy
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.jobs.runs import RunNotice, RunPhase, RunSpec
from ugosa_server.marks import MarkSet
from ugosa_server.models.config import NetworkConfig
from ugosa_server.pipeline.estimate import Ensemble, separation_steps
from ugosa_server.pipeline.model_input import model_frames, prepare_steps
from ugosa_server.pipeline.player_frames import most_sights
from ugosa_server.pipeline.progress import PhasePlan
from ugosa_server.pipeline.verify import stem_check_steps

# Costs in seconds of audio that the whole network could process forward in the same time.
TRAINING_COST = 3.0  # forward and backward through the trained part
FILE_COST = 0.02  # of reading, resampling or writing a second of the song
PICTURE_COST = 10.0  # of decoding and encoding one picture of a player
REPORT_COST = 1.0  # of encoding the excerpts for the page
MIN_COST = 1e-3


def effective_strategy(spec: RunSpec) -> tuple[Strategy, RunNotice | None]:
    """The strategy that makes sense for the marks there are, and what the user should be told about it."""
    strategy = parse_strategy(spec.adaptation.strategy)
    if spec.listens_only or strategy.depth is None or spec.adaptation.epochs == 0:
        return UNADAPTED, None
    if strategy.uses_marks and not MarkSet(spec.marks).has_silence:
        notice = RunNotice(
            "NO_MARKS",
            f"no region is marked silent, so there is nothing for {strategy} to learn from: the song is "
            "separated with the model as it is",
            warning=True,
        )
        return UNADAPTED, notice
    return strategy, None


def checks_adaptation(strategy: Strategy, config: NetworkConfig) -> bool:
    """Whether what was learned is kept only if less leaks into marked silence.

    So it is with networks of masks: they are told who plays already, and no gain of adapting them is known.
    """
    return strategy.depth is not None and config.mask_grid is not None


def ensemble_notices(spec: RunSpec, ensemble: Ensemble, config: NetworkConfig) -> list[RunNotice]:
    """What the user should be told of the instruments that are separated, and of what is not."""
    if ensemble.stems == ensemble.playing or spec.listens_only:
        return []
    highest_khz = config.sample_rate_hz / 2000
    notices = [
        RunNotice(
            "RESIDUAL",
            f"{spec.model_name} separates {', '.join(ensemble.playing)} and hears up to {highest_khz:.1f} "
            f"kHz; what lies above, and what it gives to no instrument, is in the stem {ensemble.stems[-1]}",
            warning=False,
        )
    ]
    if config.video and not (spec.visual_frames or spec.pictures or spec.video):
        notices.append(
            RunNotice(
                "NO_VIDEO",
                f"{spec.model_name} is conditioned on video, but no player is seen: the job has neither "
                "visual_frames nor pictures nor a video",
                warning=True,
            )
        )
    if ensemble.playing == config.sources:
        notices.append(
            RunNotice(
                "ALL_INSTRUMENTS",
                f"nobody said which of the {len(config.sources)} instruments of {spec.model_name} play, so "
                "all are looked for; name those that do in the option `instruments`",
                warning=True,
            )
        )
    return notices


def plan_phases(spec: RunSpec, strategy: Strategy, config: NetworkConfig) -> list[PhasePlan]:
    """The phases of a run in order, with their steps and expected costs."""
    duration_s = spec.source.frames / spec.source.sample_rate_hz
    n_model_frames = model_frames(spec.source, config)
    segments = separation_steps(spec, config)
    separation_cost = duration_s / (1 - spec.separation.overlap) * max(1, spec.separation.shifts)
    file_cost = max(MIN_COST, FILE_COST * duration_s)
    sights = most_sights(spec, config)
    phases = [
        PhasePlan(RunPhase.PREPARE, prepare_steps(spec.source) + sights, file_cost + sights * PICTURE_COST)
    ]
    if spec.listens_only:
        return [*phases, PhasePlan(RunPhase.BASE_SEPARATION, segments, separation_cost)]
    if strategy.depth is not None:
        steps = count_steps(n_model_frames, config.sample_rate_hz, spec.adaptation)
        seconds_per_epoch = (
            steps / spec.adaptation.epochs * spec.adaptation.batch_size * spec.adaptation.segment_s
        )
        epoch_passes = 1 + spec.adaptation.epochs * TRAINING_COST * config.trained_share(
            strategy.depth
        )  # 1: the frozen prefix, once
        phases += [
            PhasePlan(RunPhase.BASE_SEPARATION, segments, separation_cost),
            PhasePlan(RunPhase.ADAPTATION, steps, seconds_per_epoch * epoch_passes),
        ]
    passes = 2 if checks_adaptation(strategy, config) else 1
    return [
        *phases,
        PhasePlan(RunPhase.SEPARATION, segments, passes * separation_cost + file_cost),
        PhasePlan(RunPhase.REPORT, report_steps(spec.source), file_cost + REPORT_COST),
    ]


def report_steps(source: SourceAudio) -> int:
    """Blocks of the stems to read back, and the writing of the report."""
    return stem_check_steps(source.frames) + 1
