"""Previews while a job learns: one stretch of the song, separated with the weights as they are at the time.

The stretch is a short song of its own, cut out from a frame on that falls together with one of the network's,
of which what comes before the stretch is not written. Nothing that the
learning reads is touched, so a job with previews gives the stems that it gives without.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ugosa_server.adaptation.loop import AdaptationStep
from ugosa_server.audio import SourceFrames, StemEncoding
from ugosa_server.errors import UgosaError
from ugosa_server.jobs import RunNotice, RunPhase, RunPreview
from ugosa_server.marks import Mark, MarkSet, inside
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.memory import is_out_of_memory
from ugosa_server.pipeline.model_input import ModelMix, model_frames
from ugosa_server.pipeline.separate import separate_quietly

EVERY_S = 3.0  # of learning, at least
MAX_SHARE = 0.1  # of the learning's time
PREVIEW_NAME = "preview"  # of the files, before their turn and number

log = logging.getLogger(__name__)


class Previews:
    """Previews of one adaptation; the newest and the one before it are on disk."""

    def __init__(self, context: RunContext, mix: ModelMix) -> None:
        """Cut the stretch out of the song, if the run wants previews."""
        self._span = start, stop = context.spec.options.preview
        self._is_wanted = start < stop
        self._context = context
        self._turn = 0
        if self._is_wanted:
            rates = (context.spec.source.sample_rate_hz, context.config.sample_rate_hz)
            self._lead_frames = start % (rates[0] // math.gcd(*rates))
            self._stretch, self._mix = _cut(context, mix, start - self._lead_frames, stop)
            base_s = context.journal.timings_s.get(RunPhase.BASE_SEPARATION.value, 0.0)
            self._cost_s = base_s * (stop - start) / context.spec.source.frames
            self._learning_since_s = time.monotonic()

    def after_step(self, step: AdaptationStep) -> Iterator[RunPreview | RunNotice]:
        """Make a preview if one is due.

        Raises:
            RunCancelledError: the run was asked to end.
        """
        learned_s = time.monotonic() - self._learning_since_s if self._is_wanted else 0.0
        if step.resumed or not self._is_wanted or learned_s < max(EVERY_S, self._cost_s / MAX_SHARE):
            return
        begun_s = time.monotonic()
        try:
            name = f"{PREVIEW_NAME}-{self._turn}"
            stems = separate_quietly(self._stretch, self._mix, name, self._lead_frames)
        except (UgosaError, RuntimeError, MemoryError) as error:
            if not isinstance(error, UgosaError) and not is_out_of_memory(error):
                raise
            self._is_wanted = False  # the job goes on without
            log.info("no more previews of job %s: %s", self._context.spec.job_id, error)
            why = error.message if isinstance(error, UgosaError) else "too little memory"
            yield self._context.journal.notice("NO_PREVIEW", f"there is no preview any more: {why}")
            return
        self._turn = 1 - self._turn  # whoever reads the one before this one has the time until the next
        self._learning_since_s = time.monotonic()
        self._cost_s = self._learning_since_s - begun_s
        yield RunPreview(stems, step.epoch, step.step, *self._span)


def remove_previews(out_dir: Path) -> None:
    """Remove the previews of a run that ends."""
    for path in out_dir.glob(f"{PREVIEW_NAME}-*"):
        path.unlink()


def _cut(context: RunContext, mix: ModelMix, start: int, stop: int) -> tuple[RunContext, ModelMix]:
    """Return the frames [start, stop) of the song as its own song; both rates have a frame at `start`."""
    spec, rate_hz = context.spec, context.spec.source.sample_rate_hz
    model_rate_hz = context.config.sample_rate_hz
    frames = _short_song(context, context.frames, start, stop)
    first = start * model_rate_hz // rate_hz
    last = first + model_frames(frames.source, context.config)
    options = replace(
        spec.options,
        stem_encoding=StemEncoding.FLAC_PCM24,
        separation=replace(spec.options.separation, shifts=0),
        visual_frames=tuple(replace(seen, frame=seen.frame - start) for seen in spec.options.visual_frames),
    )
    short = replace(
        context,
        spec=replace(spec, source=frames.source, options=options),
        frames=frames,
        marks=_cut_marks(context.marks, start, stop),
        ensemble=replace(context.ensemble, marks=_cut_marks(context.ensemble.marks, start, stop)),
        excerpt=(0, 0),
    )
    return short, replace(mix, frames=_short_song(context, mix.frames, first, last))


def _short_song(context: RunContext, song: SourceFrames, start: int, stop: int) -> SourceFrames:
    """Return the frames [start, stop) in a file of their own, which lasts for as long as it is open."""
    frames = song[start:stop]
    path = context.out_dir / f"{PREVIEW_NAME}-{Path(song.source.path).name}"
    frames.tofile(path)
    short = SourceFrames(replace(song.source, path=str(path), frames=len(frames)))
    path.unlink()
    return short


def _cut_marks(marks: MarkSet, start: int, stop: int) -> MarkSet:
    parts = ((mark, part) for mark in marks.marks for part in inside([mark.span], start, stop))
    return MarkSet(tuple(Mark(mark.source, mark.state, *part) for mark, part in parts))
