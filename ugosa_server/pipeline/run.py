"""One run of a job, from the decoded song to checked stems: a generator of events.

    PREPARE          the song at the network's rate, normalised
    BASE_SEPARATION  what the unadapted network gives, for the report; not when SEPARATION will give it anyway
    ADAPTATION       fine-tuning on this song under its marks (adaptation_phase.py)
    SEPARATION       estimates -> source rate -> Wiener filter, if wanted -> marks and mixture consistency ->
                     stem files, one stream (separation_phases.py)
    REPORT           the stems read back, the promises measured, the report written (report_phase.py)

Whenever the unadapted network hears the song, how loud each source came out is kept (marks/levels.py);
a run that only listens ends there.

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
from ugosa_server.audio.frames import open_frames
from ugosa_server.errors import NoVideoEncoderError, UgosaError
from ugosa_server.failpoints import reach
from ugosa_server.jobs.runs import RunCancelled, RunEvent, RunFailed, RunPhase, RunSpec, RunSucceeded
from ugosa_server.marks.players import VisualFrame
from ugosa_server.pipeline.adapt import Learned, adapt_network, forget
from ugosa_server.pipeline.context import OngoingRun, RunCancelledError
from ugosa_server.pipeline.model_input import ModelMix, prepare_steps, write_model_mix
from ugosa_server.pipeline.player_frames import sights_of
from ugosa_server.pipeline.report import report_run
from ugosa_server.pipeline.resident import ResidentNetworks
from ugosa_server.pipeline.separate import (
    LEVELS_NAME,
    BaseHeard,
    Separated,
    leaks_more,
    separate,
    separate_with_base,
)
from ugosa_server.report.previews import encoding_threads

__all__ = ["ResidentNetworks", "run_job"]

MODEL_MIX_NAME = "model-mix.f32"

log = logging.getLogger(__name__)


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
        with open_frames(spec.source) as frames, encoding_threads(networks.threads) as encoders:
            ending = yield from _phases(OngoingRun(spec, frames, model, networks, encoders, cancelled))
        (out_dir / MODEL_MIX_NAME).unlink()
    except BaseException:  # also when the generator is dropped
        for path in out_dir.iterdir():  # which held nothing before
            path.unlink()
        raise
    return ending


def _phases(run: OngoingRun) -> Generator[RunEvent, None, RunSucceeded]:
    """Go through the phases; yields all events but the last, which it returns."""
    yield from run.notices
    mix = yield from _prepare(run)
    base: BaseHeard | None = None
    learned: Learned | None = None
    separated: Separated | None = None
    with open_frames(mix.audio) as mix_frames:
        hear = partial(separate_with_base, run, mix, mix_frames)
        separate_here = partial(separate, run, mix, mix_frames)
        with adaptation_of(run.model.network, run.strategy) as trained:
            if run.spec.listens_only:
                yield from run.fitting(RunPhase.BASE_SEPARATION, hear)
                return RunSucceeded((), "", "", LEVELS_NAME)
            if run.strategy.depth is not None:
                base = yield from run.fitting(RunPhase.BASE_SEPARATION, hear)
                adapt_here = partial(adapt_network, run, mix, mix_frames, trained)
                learned = yield from run.fitting(RunPhase.ADAPTATION, adapt_here)
                compare = partial(leaks_more, run, mix, mix_frames, base.leakage_dbfs)
                if (yield from run.fitting(RunPhase.SEPARATION, compare)):
                    learned = forget(run, learned)
            if learned is None or learned.is_kept:
                separated = yield from run.fitting(RunPhase.SEPARATION, separate_here)
        if separated is None:  # the base network is back
            separated = yield from run.fitting(RunPhase.SEPARATION, separate_here)
    report_json, report_html = yield from report_run(run, base, learned, separated)
    return RunSucceeded(separated.stems, report_json, report_html, LEVELS_NAME)


def _prepare(run: OngoingRun) -> Generator[RunEvent, None, ModelMix]:
    """Write the song as the network takes it."""
    reach("worker.run_started")
    yield run.meter.begin(RunPhase.PREPARE)
    steps = write_model_mix(run.spec.source, run.frames, run.out_dir / MODEL_MIX_NAME, run.config)
    mix = yield from run.steps(steps)
    yield from _see(run)
    return mix


def _see(run: OngoingRun) -> Generator[RunEvent, None, None]:
    """Make visual frames of the pictures of the players, if the job brings any."""
    if not (run.spec.pictures or run.spec.video):
        return
    encoder = run.networks.video_encoder
    if encoder is None:  # the server was started again without it
        raise NoVideoEncoderError("this server makes no features of pictures; set video_encoder")
    seen: list[VisualFrame] = []
    for frame in sights_of(run.spec, run.config, encoder, run.check_cancel):
        seen.append(frame)
        yield from run.progress(prepare_steps(run.spec.source) + len(seen))
    run.spec = replace(run.spec, visual_frames=tuple(sorted(seen, key=lambda s: (s.player, s.frame))))
    players = sorted({frame.player for frame in seen})
    names = ", ".join(str(player) for player in players)
    yield run.notice(
        "SEEN",
        f"the players are seen in {len(seen)} pictures of {len(players)} players (slots: {names})"
        if seen
        else "no player is seen: the video shows none of the song's time",
        warning=not seen,
    )
