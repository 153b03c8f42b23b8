"""One run of a job, from the decoded song to checked stems: a generator of events.

    PREPARE          the song at the network's rate, normalised (model_input.py)
    BASE_SEPARATION  stems of the unadapted network, for the adaptation, the report, and whoever wants them
                     early; only if it will be adapted
    ADAPTATION       fine-tuning on this song under its marks, and calibration of the masks (adapt.py)
    SEPARATION       estimates -> source rate -> Wiener filter, if wanted -> marks and mixture consistency ->
                     stem files, one stream (separate.py)
    REPORT           the stems read back, the promises measured, the report written (report.py)

A pass of the unadapted network over the song also writes the levels of its estimates (marks/levels.py); an
analysis ends there.

Memory depends on the segment lengths and the cache's budget, never on the length of the song. The base
weights are restored however the run ends, and a run that does not succeed leaves no file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ugosa_server.adaptation.loop import adaptation_of
from ugosa_server.adaptation.strategies import UNADAPTED
from ugosa_server.audio import SourceFrames
from ugosa_server.engines.base import Wish, failure_of
from ugosa_server.errors import CheckpointError, NoVideoEncoderError, UgosaError
from ugosa_server.failpoints import reach
from ugosa_server.jobs import (
    BaseStems,
    RunCancelled,
    RunEvent,
    RunFailed,
    RunPhase,
    RunSpec,
    RunSucceeded,
    StemFile,
)
from ugosa_server.marks.players import VisualFrame
from ugosa_server.pipeline.adapt import AdaptationResult, adapt_network, take_start
from ugosa_server.pipeline.context import RunCancelledError, RunContext
from ugosa_server.pipeline.memory import bounded_memory, within_memory
from ugosa_server.pipeline.model_input import ModelMix, song_blocks, write_model_mix
from ugosa_server.pipeline.plan import max_player_frames, video_times_s
from ugosa_server.pipeline.previews import remove_previews
from ugosa_server.pipeline.report import report_run
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.separate import (
    ESTIMATES_NAME,
    LEVELS_NAME,
    BaseEstimates,
    analyse,
    estimate_base,
    separate,
    separation_steps,
    warn_of_doubtful_marks,
)
from ugosa_server.pipeline.stems import StemSet
from ugosa_server.video import TakenPicture, jpeg_pictures, video_pictures
from ugosa_server.video.features import PictureEncoder

MODEL_MIX_NAME = "model-mix.f32"

log = logging.getLogger(__name__)


def run_job(
    spec: RunSpec, networks: ResidentNetworks, is_asked: Callable[[Wish], bool]
) -> Iterator[RunEvent]:
    """Run one attempt of a job; the last event says how it ended.

    Args:
        spec: the job, validated.
        networks: the networks and settings of this process.
        is_asked: says, between steps and between segments, what has been wished of the run.
    """
    try:
        yield (yield from _attempt(spec, networks, is_asked))
    except RunCancelledError:
        yield RunCancelled()
    except UgosaError as error:
        log.info("job %s attempt %d failed: %s", spec.job_id, spec.attempt, error.message)
        yield RunFailed(error.reason, _without_folders(error.message, spec))
    except Exception as error:
        log.exception("job %s attempt %d: failed", spec.job_id, spec.attempt)
        yield failure_of(error)


def _without_folders(message: str, spec: RunSpec) -> str:
    """Return a message with the names of files alone: whoever made the job need not run the server."""
    for path in (spec.model_path, spec.checkpoint_path, spec.source.path, f"{spec.out_dir}/x"):
        if Path(path).is_absolute():
            message = message.replace(f"{Path(path).parent}/", "")
    return message


def _attempt(
    spec: RunSpec, networks: ResidentNetworks, is_asked: Callable[[Wish], bool]
) -> Generator[RunEvent, None, RunSucceeded]:
    """Run to the end, or leave no file behind."""
    out_dir = Path(spec.out_dir)
    try:
        model = networks.load(spec.model_path)
        if spec.model_sha256 not in ("", model.info.sha256):
            raise CheckpointError(
                f"the file of the model {spec.options.model} has changed since the server started; whoever"
                " runs it starts it again"
            )
        with SourceFrames(spec.source) as frames:
            context = RunContext.of(spec, frames, model, networks, is_asked)
            with bounded_memory(context.memory_budget_bytes):
                succeeded = yield from _phases(context)
        (out_dir / MODEL_MIX_NAME).unlink()
        remove_previews(out_dir)
    except BaseException:  # also when the generator is dropped
        for path in out_dir.iterdir():  # which held nothing before
            path.unlink()
        raise
    return succeeded


def _phases(context: RunContext) -> Generator[RunEvent, None, RunSucceeded]:
    base = adaptation = None
    kept: tuple[StemFile, ...] = ()
    yield from tuple(context.journal.notices)
    context, mix = yield from _prepare(context)
    with mix.frames:
        if context.spec.options.is_analysis:
            yield from within_memory(context, RunPhase.BASE_SEPARATION, partial(analyse, mix=mix))
            return RunSucceeded((), "", "", LEVELS_NAME)
        if context.strategy.depth is None:
            context, stems = yield from _stems(context, mix)
        else:
            work = partial(estimate_base, mix=mix)
            context, base = yield from within_memory(context, RunPhase.BASE_SEPARATION, work)
            context, adaptation, stems = yield from _adapted_stems(context, mix, base)
            kept = _kept_base(context, base, stems)
            if adaptation is None:  # the report is that of a job which adapts nothing
                context, base = replace(context, strategy=UNADAPTED), None
    if stems.clipping:
        yield context.journal.notice("CLIPPED", stems.clipping)
    report_json, report_html = yield from report_run(context, base, adaptation, stems)
    verdict = None if adaptation is None else adaptation.verdict
    adapter = None if adaptation is None else adaptation.adapter
    return RunSucceeded(stems.files, report_json, report_html, LEVELS_NAME, verdict, kept, adapter)


def _kept_base(context: RunContext, base: BaseEstimates, stems: StemSet) -> tuple[StemFile, ...]:
    """Return the early stems if they are to be kept; else remove those that are not the run's stems."""
    if context.spec.options.base_stems is BaseStems.KEPT:
        return base.stems.files
    for file in set(base.stems.files) - set(stems.files):
        (context.out_dir / file.file_name).unlink()
    return ()


def _prepare(context: RunContext) -> Generator[RunEvent, None, tuple[RunContext, ModelMix]]:
    """Write the song as the network takes it, and encode the pictures of its players."""
    reach("worker.run_started")
    n_pictures = max_player_frames(context.spec, context.config)
    yield context.journal.begin(RunPhase.PREPARE, song_blocks(context.spec.source) + n_pictures)
    path = context.out_dir / MODEL_MIX_NAME
    mix = yield from context.follow(
        write_model_mix(context.spec.source, context.frames, path, context.config)
    )
    context = yield from _with_player_frames(context)
    return context, mix


def _with_player_frames(context: RunContext) -> Generator[RunEvent, None, RunContext]:
    """Encode the pictures of the players, if there are any, into a context with their features.

    Raises:
        NoVideoEncoderError: the server was started again without its encoder.
        BadOptionError, BadVideoError: a picture or the video cannot be used.
    """
    if not (context.spec.options.pictures or context.spec.options.video):
        return context
    encoder = context.networks.video_encoder
    if encoder is None:
        raise NoVideoEncoderError("this server makes no features of pictures; set video_encoder")
    frames: list[VisualFrame] = []
    for frame in _player_frames(context, encoder):
        frames.append(frame)
        yield from context.journal.advance(song_blocks(context.spec.source) + len(frames))
    slots = ", ".join(map(str, sorted({frame.player for frame in frames})))
    yield context.journal.notice(
        "SEEN",
        f"pictures in which players are seen: {len(frames)} (slots: {slots})"
        if frames
        else "no player is seen: the video shows none of the song's time",
        warning=not frames,
    )
    in_order = tuple(sorted(frames, key=lambda frame: (frame.player, frame.frame)))
    return context.with_options(visual_frames=in_order)


def _player_frames(context: RunContext, encoder: PictureEncoder) -> Iterator[VisualFrame]:
    """Yield a vector for each picture, or for each player at the times that are taken of the video."""
    spec, video = context.spec, context.spec.options.video
    size, check = (encoder.width, encoder.height), context.check_cancel

    def features(shown: TakenPicture) -> bytes:
        return encoder.encode(shown.rgb).astype("<f2").tobytes()

    if video is None:
        pictures = spec.options.pictures
        taken = jpeg_pictures([picture.jpeg for picture in pictures], *size, check)
        for picture, shown in zip(pictures, taken, strict=True):
            yield VisualFrame(picture.player, picture.frame, features(shown))
        return
    rate_hz = spec.source.sample_rate_hz
    start_s = video.start_frame / rate_hz
    in_video_s = [time_s - start_s for time_s in video_times_s(spec, context.config) if time_s >= start_s]
    for shown in video_pictures(spec.video_path, video.players, in_video_s, *size, check):
        frame = max(0, round((shown.time_s + start_s) * rate_hz))
        yield VisualFrame(shown.player, frame, features(shown))


def _stems(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, tuple[RunContext, StemSet]]:
    work = partial(separate, mix=mix)
    return (yield from within_memory(context, RunPhase.SEPARATION, work))


def _adapted_stems(
    context: RunContext, mix: ModelMix, base: BaseEstimates
) -> Generator[RunEvent, None, tuple[RunContext, AdaptationResult | None, StemSet]]:
    """Adapt and separate, with the base network again where the guard keeps that or nothing was learned."""
    adaptation: AdaptationResult | None
    with adaptation_of(context.model.network, context.strategy) as trained:
        if context.spec.options.adaptation.epochs == 0:
            adaptation = yield from take_start(context, trained)
        else:
            context, adaptation = yield from within_memory(
                context, RunPhase.ADAPTATION, partial(adapt_network, mix=mix, trained=trained, song=base.song)
            )
        (context.out_dir / ESTIMATES_NAME).unlink()
        if adaptation is not None and not adaptation.keeps_base:
            context = replace(context, calibration=adaptation.calibration)
            context, stems = yield from _stems(context, mix)
            yield from warn_of_doubtful_marks(context, stems.levels)
            return context, adaptation, stems
    if base.stems.files:
        yield context.journal.begin(RunPhase.SEPARATION, separation_steps(context.spec, context.config))
        return context, adaptation, base.stems
    context, stems = yield from _stems(context, mix)
    return context, adaptation, stems
