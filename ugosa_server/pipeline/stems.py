"""Stems of one pass over the song, as a stream.

    estimates -> Wiener filter, if wanted -> marks and mixture consistency -> choice of stems -> files

The estimates are measured on their way. Both they and the stems are kept in the excerpt of the report, one
short stretch of the song as every take sounds there: the model as it is, the model under the marks, and the
adapted model under the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.audio import SourceFrames, StemEncoding
from ugosa_server.audio.encode import StemWriter
from ugosa_server.audio.formats import energy_dbfs
from ugosa_server.jobs import StemFile
from ugosa_server.jobs.runs import REST, StemChoice
from ugosa_server.marks import Interval, LevelMeter, MarkSet, SilenceGains, SongLevels, inside
from ugosa_server.pipeline.context import RunContext
from ugosa_server.separation.mixture_consistency import PCM24_RANGE, STEP, MixtureConsistency
from ugosa_server.separation.residual_weights import CELL_FRAMES
from ugosa_server.separation.wiener import WINDOW_S, wiener_filtered

MARGIN_S = 2 * WINDOW_S + 0.1  # around the excerpt: what filter and consistency look at

Mix = SourceFrames | NDArray[np.float32]  # [T, C]
Blocks = Iterator[NDArray[np.float32]]


@dataclass(frozen=True)
class StemSet:
    """Stems of one pass."""

    files: tuple[StemFile, ...]
    """In the run's order; durable. Empty where a base pass writes none."""
    levels: SongLevels
    """Levels of the estimates that the stems were made of."""
    leakage_dbfs: list[float | None]
    """Level of each estimate in its own marked silence; None where nothing is marked silent."""
    excerpt: Stretch
    """The stems in the excerpt of the report, [S', C, n]."""
    excerpt_estimates: Stretch
    """The estimates there, and a margin around, [S, C, n']."""
    clipping: str = ""
    """Sentence on what 24 bits could not hold; empty = nothing."""


class StemStream:
    """Stems of a pass as they are made."""

    def __init__(
        self, context: RunContext, estimates: Blocks, writers: dict[str, StemWriter], lead_frames: int
    ) -> None:
        """Take estimates of the song, and writers by file name, in the run's order; none = no files.

        The first `lead_frames` frames are not written.
        """
        encoding = context.spec.options.stem_encoding
        self._context, self._estimates, self._writers = context, estimates, writers
        self._lead_left = lead_frames
        self._levels = level_meter(context)
        self._leakage = LeakageMeter(context.marks, context.ensemble.stems)
        self._excerpt = Stretch(context.excerpt)
        self._excerpt_estimates = Stretch(_with_margin(context))
        self._gains = _gains(context, context.marks, context.frames)
        self._consistency = MixtureConsistency(context.frames, self._gains, encoding)
        self._chooser = StemChooser(context.ensemble.choice, context.frames, encoding)

    def blocks(self) -> Blocks:
        """Yield all stems [S, C, n] after those that the run gives were written."""
        wanted = _filtered(self._context, self._measured(), self._gains, self._context.frames)
        for made in self._consistency.process(wanted):
            stems = self._chooser.chosen(made)
            written = stems[..., self._lead_left :]
            self._lead_left -= stems.shape[-1] - written.shape[-1]
            for writer, stem in zip(self._writers.values(), written, strict=False):
                writer.write(stem.T)
            self._excerpt.add(stems)
            yield made

    def _measured(self) -> Blocks:
        for block in self._estimates:
            for add in (self._levels.add, self._leakage.add, self._excerpt_estimates.add):
                add(block)
            yield block

    def finish(self) -> StemSet:
        """Make the files durable."""
        names = self._context.ensemble.choice.names if self._writers else ()
        files = tuple(
            StemFile(source, file_name, written.frames, written.size_bytes, written.sha256)
            for source, (file_name, writer) in zip(names, self._writers.items(), strict=True)
            for written in [writer.finish()]
        )
        return StemSet(
            files,
            self._levels.levels(self._context.model.info.sha256),
            self._leakage.levels_dbfs(),
            self._excerpt,
            self._excerpt_estimates,
            self._clipping(),
        )

    def _clipping(self) -> str:
        samples = self._consistency.clipped_samples + self._chooser.clipped_samples
        if not samples:
            return ""
        what = "the song" if self._consistency.clipped_samples else "the sum of the other stems"
        return (
            f"samples of the stems that were clipped: {samples}; {what} is above full scale there, which 24 "
            "bits cannot hold; float32 stems can"
        )


@contextmanager
def open_stems(
    context: RunContext, estimates: Blocks, name: str, lead_frames: int = 0
) -> Iterator[StemStream]:
    """Open a stream of stems, and its files if it has a name; of unfinished ones nothing is left.

    The files begin after the first `lead_frames` frames of the song.
    """
    source, encoding = context.spec.source, context.spec.options.stem_encoding
    n_files, frames = len(context.ensemble.choice.names) if name else 0, source.frames - lead_frames
    with ExitStack() as files:
        writers = {}
        for file_name in (f"{name}-{i}{encoding.suffix}" for i in range(n_files)):
            path = context.out_dir / file_name
            writer = StemWriter(path, encoding, source.sample_rate_hz, source.channels, frames)
            writers[file_name] = files.enter_context(writer)
        yield StemStream(context, estimates, writers, lead_frames)


class StemChooser:
    """Chooses stems from a stream of blocks of a whole song.

    The rest is mix - sum(chosen), computed once, so that the chosen stems are bit for bit those of a job that
    gives all, and the sum is as exact as there.
    """

    def __init__(self, choice: StemChoice, mix: Mix, encoding: StemEncoding) -> None:
        self._choice, self._mix = choice, mix
        self._rows = [choice.made.index(name) for name in choice.names if name != REST]
        self._is_float = encoding is StemEncoding.WAV_FLOAT32
        self._low, self._high = (-np.inf, np.inf) if self._is_float else PCM24_RANGE
        self._position = 0
        self.clipped_samples = 0
        """Number of samples of the rest so far that 24 bits cannot hold."""

    def chosen(self, stems: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the stems to write, [S', C, n], of the next frames of all, [S, C, n]."""
        start, self._position = self._position, self._position + stems.shape[-1]
        if not self._choice.others:
            return stems
        kept = stems[self._rows]
        mix = self._mix[start : self._position].astype(np.float64).T  # [C, n]
        rest = mix - kept.sum(axis=0, dtype=np.float64)
        if not self._is_float:  # here: float32 would round it once more on its way
            rest = np.rint(rest / STEP) * STEP
        self.clipped_samples += int(np.count_nonzero((rest < self._low) | (rest > self._high)))
        return np.concatenate([kept, rest[None].astype(np.float32)])


def stems_without_marks(context: RunContext, estimates: Stretch) -> NDArray[np.float32]:
    """Return the stems in the excerpt that the same estimates give if nothing is marked, [S', C, n]."""
    start, stop = estimates.span
    mix, encoding = context.frames[start:stop], context.spec.options.stem_encoding
    gains = _gains(context, MarkSet(), mix)
    wanted = _filtered(context, iter([estimates.audio()]), gains, mix)
    chooser = StemChooser(context.ensemble.choice, mix, encoding)
    made = MixtureConsistency(mix, gains, encoding).process(wanted)
    stems = np.concatenate([chooser.chosen(block) for block in made], axis=-1)
    first, last = context.excerpt
    return stems[..., first - start : last - start]


class Stretch:
    """Frames of one span of a stream of blocks."""

    def __init__(self, span: Interval) -> None:
        self.span = span
        self._parts: list[NDArray[np.float32]] = []
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames, [..., n]."""
        end = self._position + block.shape[-1]
        self._parts += [block[..., a:b].copy() for a, b in inside([self.span], self._position, end)]
        self._position = end

    def audio(self) -> NDArray[np.float32]:
        """Return the frames of the span, which has some."""
        return np.concatenate(self._parts, axis=-1)


class LeakageMeter:
    """Energy of each source's estimate inside its own marked silence, before marks are applied."""

    def __init__(self, marks: MarkSet, sources: Sequence[str]) -> None:
        self._spans = [marks.silent(source) for source in sources]
        self._energy = [0.0] * len(sources)
        self._samples = [0] * len(sources)
        self._position = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next frames of all stems, [S, C, n]."""
        end = self._position + block.shape[-1]
        for i, spans in enumerate(self._spans):
            for first, last in inside(spans, self._position, end):
                part = block[i, :, first:last]
                self._energy[i] += float(np.square(part, dtype=np.float64).sum())
                self._samples[i] += part.size
        self._position = end

    def levels_dbfs(self) -> list[float | None]:
        """RMS level of each source; None where nothing is marked silent."""
        return [
            energy_dbfs(energy / samples) if samples else None
            for energy, samples in zip(self._energy, self._samples, strict=True)
        ]


def level_meter(context: RunContext) -> LevelMeter:
    """Return a meter of the estimates of a whole pass."""
    return LevelMeter(context.ensemble.playing, context.frames, context.spec.source.sample_rate_hz)


def _gains(context: RunContext, marks: MarkSet, mix: Mix) -> SilenceGains:
    return SilenceGains(marks, context.ensemble.stems, len(mix), context.spec.source.sample_rate_hz)


def _filtered(context: RunContext, estimates: Blocks, gains: SilenceGains, mix: Mix) -> Blocks:
    """Pass estimates of a mix through the Wiener filter, if the job wants one."""
    exponent = context.spec.options.separation.wiener_exponent
    if exponent == 0:
        return estimates
    return wiener_filtered(estimates, mix, gains, exponent, context.model.device, context.calibration)


def _with_margin(context: RunContext) -> Interval:
    """Return the excerpt with what is looked at around it, from the start of a cell on."""
    first, last = context.excerpt
    margin = round(MARGIN_S * context.spec.source.sample_rate_hz) + CELL_FRAMES
    start = max(0, first - margin) // CELL_FRAMES * CELL_FRAMES
    return start, min(context.spec.source.frames, last + margin)
