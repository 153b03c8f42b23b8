"""Plan of a run: ensemble, strategy, span of the previews, phases with their expected work."""

from __future__ import annotations

from dataclasses import dataclass

from ugosa_server.adaptation.loop import count_steps
from ugosa_server.adaptation.strategies import UNADAPTED, Strategy, parse_strategy
from ugosa_server.audio.formats import SourceAudio
from ugosa_server.jobs.runs import RunNotice, RunPhase, RunSpec
from ugosa_server.jobs.stem_choice import StemChoice
from ugosa_server.marks import Interval, MarkSet, marks_of_ensemble
from ugosa_server.marks.players import picture_times_s
from ugosa_server.models.config import NetworkConfig
from ugosa_server.pipeline.model_input import model_frames, prepare_steps
from ugosa_server.pipeline.progress import PhasePlan
from ugosa_server.pipeline.verify import stem_check_steps
from ugosa_server.separation.masks import mask_plan
from ugosa_server.separation.overlap_add import SegmentPlan

PREVIEW_S = 20.0

TRAINING_COST = 3.0  # of forward and backward through the trained part, where forward costs 1

# Seconds on one core of a 3 GHz CPU, measured as process time.
PREPARE_S_PER_S = 0.002  # hash, resample and write a second of song
PICTURE_S = 0.2  # decode and encode one picture of a player
CHECK_S_PER_S = 0.001  # read back a second of one stem: FLAC; WAV takes an eighth to a half of it
PREVIEW_S_PER_S = 0.0075  # encode a second of one channel as MP3


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
    """The stems to write."""

    @staticmethod
    def of(spec: RunSpec, config: NetworkConfig) -> Ensemble:
        """Return the ensemble of a run with a network of these sizes."""
        stems = spec.stems or config.stems
        playing = tuple(name for name in stems if name in config.sources)
        marks = marks_of_ensemble(MarkSet(spec.marks), playing, config.sources, spec.source.frames)
        return Ensemble(stems, playing, marks, StemChoice(stems, spec.chosen))


def effective_strategy(spec: RunSpec) -> tuple[Strategy, RunNotice | None]:
    """Return the strategy that the marks allow, and a notice if another was asked for."""
    strategy = parse_strategy(spec.adaptation.strategy)
    learns_nothing = spec.adaptation.epochs == 0 and not spec.start_path
    if spec.analysis_only or strategy.depth is None or learns_nothing:
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


def ensemble_notices(spec: RunSpec, ensemble: Ensemble, config: NetworkConfig) -> list[RunNotice]:
    """Return notices about the instruments that are separated, and about the residual."""
    if ensemble.stems == ensemble.playing or spec.analysis_only:
        return []
    highest_khz = config.sample_rate_hz / 2000
    notices = [
        RunNotice(
            "RESIDUAL",
            f"{spec.model_name} separates {', '.join(ensemble.playing)} below {highest_khz:.1f} kHz; sound "
            f"above that, and sound of no instrument, is in the stem {ensemble.stems[-1]}",
            warning=False,
        )
    ]
    if config.video and not (spec.visual_frames or spec.pictures or spec.video):
        notices.append(
            RunNotice(
                "NO_VIDEO",
                f"{spec.model_name} is conditioned on video, but the job has neither visual_frames nor "
                "pictures nor a video: no player is seen",
                warning=True,
            )
        )
    if ensemble.playing == config.sources:
        notices.append(
            RunNotice(
                "ALL_INSTRUMENTS",
                f"all {len(config.sources)} instruments of {spec.model_name} are separated, as the job does "
                "not say which of them play; name those in the option `instruments`",
                warning=True,
            )
        )
    return notices


def densest_window(marks: MarkSet, n_frames: int, window_frames: int) -> Interval:
    """Return the first window that holds most marked silence, all sources together."""
    window_frames = min(window_frames, n_frames)
    spans = [span for source in marks.sources for span in marks.silent(source)]
    last_start = n_frames - window_frames
    # Coverage is piecewise linear in the start; its corners are where an end of the window meets a mark's.
    corners = {edge - offset for span in spans for edge in span for offset in (0, window_frames)}
    starts = sorted({0, *(min(max(0, corner), last_start) for corner in corners)})

    def coverage(start: int) -> int:
        return sum(max(0, min(b, start + window_frames) - max(a, start)) for a, b in spans)

    best = max(starts, key=coverage)
    return best, best + window_frames


def separation_steps(spec: RunSpec, config: NetworkConfig) -> int:
    """Number of segments or windows of one pass of the network over the song."""
    n_frames = model_frames(spec.source, config)
    if config.mask_grid is not None:
        return len(mask_plan(n_frames, config.sample_rate_hz, config.mask_grid, spec.separation).starts)
    return len(SegmentPlan.of(n_frames, config.sample_rate_hz, spec.separation).starts)


def video_times_s(spec: RunSpec, config: NetworkConfig) -> tuple[float, ...]:
    """Times of the pictures that are taken from the run's video."""
    assert spec.video is not None
    assert config.video is not None  # or the job would have been refused
    return picture_times_s(spec.video, config.video.interval_s, _duration_s(spec.source))


def max_player_frames(spec: RunSpec, config: NetworkConfig) -> int:
    """Number of pictures that are encoded, at most: a video may be shorter than its song."""
    if spec.video is None:
        return len(spec.pictures)
    return len(video_times_s(spec, config)) * max(1, len(spec.video.players))


def preview_count(n_stems: int, strategy: Strategy) -> int:
    """Number of previews: mix, stems, and those of the base network if one is adapted."""
    return 1 + n_stems * (1 if strategy.depth is None else 2)


def report_steps(source: SourceAudio, n_previews: int) -> int:
    """Blocks of the stems to read back, the previews, and the writing of the report."""
    return stem_check_steps(source.frames) + n_previews + 1


def plan_phases(
    spec: RunSpec, strategy: Strategy, ensemble: Ensemble, config: NetworkConfig, encoding_threads: int
) -> list[PhasePlan]:
    """Return the phases of a run in order, with their steps and expected work.

    Args:
        spec: the run.
        strategy: the one in effect.
        ensemble: of the run.
        config: of its network.
        encoding_threads: threads that encode previews in REPORT; 0 = they are encoded before.
    """
    duration_s = _duration_s(spec.source)
    segments = separation_steps(spec, config)
    separation_cost = duration_s / (1 - spec.separation.overlap) * max(1, spec.separation.shifts)
    n_pictures = max_player_frames(spec, config)
    prepare_s = duration_s * PREPARE_S_PER_S + n_pictures * PICTURE_S
    phases = [PhasePlan(RunPhase.PREPARE, prepare_steps(spec.source) + n_pictures, other_s=prepare_s)]
    if spec.analysis_only:
        return [*phases, PhasePlan(RunPhase.BASE_SEPARATION, segments, separation_cost)]
    if strategy.depth is not None:
        phases.append(PhasePlan(RunPhase.BASE_SEPARATION, segments, separation_cost))
    if strategy.depth is not None and spec.adaptation.epochs:
        steps = count_steps(model_frames(spec.source, config), config.sample_rate_hz, spec.adaptation)
        seconds_per_epoch = (
            steps / spec.adaptation.epochs * spec.adaptation.batch_size * spec.adaptation.segment_s
        )
        epoch_passes = 1 + spec.adaptation.epochs * TRAINING_COST * config.trained_share(
            strategy.depth
        )  # 1: the frozen prefix, once
        phases.append(PhasePlan(RunPhase.ADAPTATION, steps, seconds_per_epoch * epoch_passes))
    n_stems = len(ensemble.choice.names)
    n_previews = preview_count(n_stems, strategy)
    report_s = duration_s * CHECK_S_PER_S * n_stems
    if encoding_threads:
        preview_s = min(PREVIEW_S, duration_s) * PREVIEW_S_PER_S * spec.source.channels
        report_s += preview_s * n_previews / min(encoding_threads, n_previews)
    return [
        *phases,
        PhasePlan(RunPhase.SEPARATION, segments, separation_cost),
        PhasePlan(RunPhase.REPORT, report_steps(spec.source, n_previews), other_s=report_s),
    ]


def _duration_s(source: SourceAudio) -> float:
    return source.frames / source.sample_rate_hz
