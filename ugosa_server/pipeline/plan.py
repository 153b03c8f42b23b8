"""Plan of a run: ensemble, strategy, takes and excerpt of the report, phases with their expected work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ugosa_server.adaptation.calibration import REMIXES
from ugosa_server.adaptation.loop import count_steps
from ugosa_server.adaptation.strategies import UNADAPTED, Objective, Strategy, parse_strategy
from ugosa_server.audio import SourceAudio
from ugosa_server.jobs import RunNotice, RunPhase, RunSpec
from ugosa_server.jobs.runs import StemChoice
from ugosa_server.marks import Interval, MarkSet, marks_of_ensemble
from ugosa_server.marks.players import picture_times_s
from ugosa_server.models import NetworkConfig
from ugosa_server.pipeline.model_input import model_frames
from ugosa_server.pipeline.progress import PhasePlan
from ugosa_server.report import TakeKind
from ugosa_server.report.clips import MIN_CLIP_S, can_encode, clip_seconds

CALIBRATION_COST = 2.5  # of a pass of the network over its remixes: that pass, the fit, and the guard's look
TRAINING_COST = 3.0  # of forward and backward through the trained part, where forward costs 1

# Seconds on one core of a 3 GHz CPU, measured as process time.
PREPARE_S_PER_S = 0.002  # hash, resample and write a second of song
PICTURE_S = 0.2  # decode and encode one picture of a player
CHECK_S_PER_S = 0.001  # read back a second of one stem: FLAC; WAV takes an eighth to a half of it
CLIP_S_PER_S = 0.004  # encode a second of one channel of a clip


@dataclass(frozen=True)
class Ensemble:
    """Stems of a run, and the sources that play in it."""

    stems: tuple[str, ...]
    """Names of the stems to make, in order."""
    playing: tuple[str, ...]
    """Those of them that are sources of the network; the others are residuals."""
    marks: MarkSet
    """The marks, with every source that does not play silent throughout."""
    choice: StemChoice

    @staticmethod
    def of(spec: RunSpec, config: NetworkConfig) -> Ensemble:
        """Return the ensemble of a run with a network of these sizes."""
        stems = spec.stems or config.stems
        playing = tuple(name for name in stems if name in config.sources)
        marks = marks_of_ensemble(MarkSet(spec.marks), playing, config.sources, spec.source.frames)
        return Ensemble(stems, playing, marks, StemChoice(stems, spec.options.stems))


def effective_strategy(spec: RunSpec) -> tuple[Strategy, RunNotice | None]:
    """Return the strategy that the marks allow, and a notice if another was asked for."""
    strategy = parse_strategy(spec.options.adaptation.strategy)
    learns_nothing = spec.options.adaptation.epochs == 0 and not spec.start_path
    if spec.options.is_analysis or strategy.depth is None or learns_nothing:
        return UNADAPTED, None
    if strategy.uses_marks and not MarkSet(spec.marks).has_silence:
        notice = RunNotice(
            "NO_MARKS",
            "no region is marked silent, so there is nothing to learn from: the song is separated with the "
            "model as it is",
            warning=bool(spec.marks),  # without any, this is what was asked for
        )
        return UNADAPTED, notice
    return strategy, None


def ensemble_notices(spec: RunSpec, ensemble: Ensemble, config: NetworkConfig) -> list[RunNotice]:
    """Return notices about the instruments that are separated, and about the residual."""
    if ensemble.stems == ensemble.playing or spec.options.is_analysis:
        return []
    highest_khz = config.sample_rate_hz / 2000
    model = spec.options.model
    notices = [
        RunNotice(
            "RESIDUAL",
            f"{model} separates {', '.join(ensemble.playing)} below {highest_khz:.1f} kHz; sound "
            f"above that, and sound of no instrument, is in the stem {ensemble.stems[-1]}",
            warning=False,
        )
    ]
    if config.video and not (spec.options.visual_frames or spec.options.pictures or spec.options.video):
        notices.append(
            RunNotice(
                "NO_VIDEO",
                f"{model} is conditioned on video, but the job has neither visual_frames nor "
                "pictures nor a video: no player is seen",
                warning=True,
            )
        )
    if ensemble.playing == config.sources:
        notices.append(
            RunNotice(
                "ALL_INSTRUMENTS",
                f"all {len(config.sources)} instruments of {model} are separated, as the job does "
                "not say which of them play; name those in the option `instruments`",
                warning=True,
            )
        )
    return notices


def telling_window(marks: MarkSet, n_frames: int, window_frames: int) -> Interval:
    """Return the first window in which most sources are marked silent for about half of it."""
    window_frames = min(window_frames, n_frames)
    spans = [marks.silent(source) for source in marks.sources]
    last_start = n_frames - window_frames
    # Where an end or the middle of the window meets an end of a mark: the best start is among them, if the
    # window holds but one of these.
    offsets = (0, window_frames // 2, window_frames)
    corners = {edge - offset for rows in spans for row in rows for edge in row for offset in offsets}
    starts = np.array(sorted({0, *(min(max(0, corner), last_start) for corner in corners)}))
    mixture = np.zeros(len(starts))
    for rows in filter(None, spans):
        edges = np.array(rows).ravel()
        # Silent frames before each edge; between two edges all frames are silent, or none.
        before = np.repeat(np.cumsum([0, *(end - start for start, end in rows)]), 2)[1:-1]
        silent = np.interp(starts + window_frames, edges, before) - np.interp(starts, edges, before)
        mixture += np.minimum(silent, window_frames - silent)
    best = int(starts[mixture.argmax()])
    return best, best + window_frames


def excerpt_span(spec: RunSpec, ensemble: Ensemble, strategy: Strategy) -> Interval:
    """Return the frames of the report's excerpt; none if none is wanted, or there are too many stems."""
    if not spec.options.excerpt or spec.options.is_analysis or not can_encode():
        return 0, 0
    length_s = clip_seconds(len(ensemble.choice.names) * len(takes_of(spec, strategy)))
    if length_s < MIN_CLIP_S:  # a page has no room for so many
        return 0, 0
    n_frames = max(1, round(length_s * spec.source.sample_rate_hz))
    return telling_window(MarkSet(spec.marks), spec.source.frames, n_frames)


def takes_of(spec: RunSpec, strategy: Strategy) -> tuple[TakeKind, ...]:
    """Return the takes of a run that differ: the last one is that of its stems."""
    marked = (TakeKind.MARKED,) if MarkSet(spec.marks).has_silence else ()
    adapted = () if strategy.depth is None else (TakeKind.ADAPTED,)
    return (TakeKind.BASE, *marked, *adapted)


def video_times_s(spec: RunSpec, config: NetworkConfig) -> tuple[float, ...]:
    """Times of the pictures that are taken from the run's video."""
    assert spec.options.video is not None
    assert config.video is not None  # or the job would have been refused
    return picture_times_s(spec.options.video, config.video.interval_s, _duration_s(spec.source))


def max_player_frames(spec: RunSpec, config: NetworkConfig) -> int:
    """Number of pictures that are encoded, at most: a video may be shorter than its song."""
    if spec.options.video is None:
        return len(spec.options.pictures)
    return len(video_times_s(spec, config)) * max(1, len(spec.options.video.players))


def plan_phases(
    spec: RunSpec, strategy: Strategy, ensemble: Ensemble, config: NetworkConfig, threads: int
) -> list[PhasePlan]:
    """Return the phases of a run in order, with their expected work."""
    adaptation, separation = spec.options.adaptation, spec.options.separation
    duration_s = _duration_s(spec.source)
    separation_cost = config.separate_cost * duration_s / (1 - separation.overlap) * max(1, separation.shifts)
    n_pictures = max_player_frames(spec, config)
    prepare_s = duration_s * PREPARE_S_PER_S + n_pictures * PICTURE_S
    phases = [PhasePlan(RunPhase.PREPARE, other_s=prepare_s)]
    if spec.options.is_analysis:
        return [*phases, PhasePlan(RunPhase.BASE_SEPARATION, separation_cost)]
    if strategy.depth is not None:
        phases.append(PhasePlan(RunPhase.BASE_SEPARATION, separation_cost))
    calibration = 0.0
    if strategy.depth is not None and adaptation.epochs:
        calibration = calibration_cost(spec, strategy, config)
        steps = count_steps(model_frames(spec.source, config), config.sample_rate_hz, adaptation)
        seconds_per_epoch = steps / adaptation.epochs * adaptation.batch_size * adaptation.segment_s
        trained = adaptation.epochs * TRAINING_COST * config.trained_share(strategy.depth)
        cost = seconds_per_epoch * (1 + trained)  # 1: the frozen prefix, once
        phases.append(PhasePlan(RunPhase.ADAPTATION, cost, warms_up=True))  # the guard's first look
    n_stems = len(ensemble.choice.names)
    n_clips = 0
    report_s = duration_s * CHECK_S_PER_S * n_stems
    first, last = excerpt_span(spec, ensemble, strategy)
    if first < last:
        n_clips = n_stems * len(takes_of(spec, strategy))
        clip_s = (last - first) / spec.source.sample_rate_hz * CLIP_S_PER_S * spec.source.channels
        report_s += clip_s * n_clips / min(threads, n_clips)
    return [
        *phases,
        PhasePlan(RunPhase.SEPARATION, separation_cost, lead_cost=calibration),
        PhasePlan(RunPhase.REPORT, other_s=report_s),
    ]


def calibration_cost(spec: RunSpec, strategy: Strategy, config: NetworkConfig) -> float:
    """Return the cost of a calibration in seconds of audio through the network; 0 = the run makes none."""
    adaptation = spec.options.adaptation
    is_wanted = adaptation.calibration and spec.options.separation.wiener_exponent > 0
    if not is_wanted or strategy.objective is not Objective.REMIX or config.mask_grid is not None:
        return 0.0
    return CALIBRATION_COST * REMIXES * min(adaptation.segment_s, _duration_s(spec.source))


def _duration_s(source: SourceAudio) -> float:
    return source.frames / source.sample_rate_hz
