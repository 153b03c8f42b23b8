"""BASE_SEPARATION and SEPARATION: passes of any network over the song are measured, and stems written.

A network of waveforms separates the song at its own rate, and its estimates are brought to the song's. A
network of masks is conditioned on the marks of every window; its masks are put on the song itself, and the
residual that they leave is one more estimate.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.adaptation.loop import ContextReader
from ugosa_server.adaptation.remix import EstimatedSong
from ugosa_server.audio import SourceAudio, SourceFrames
from ugosa_server.audio.resample import resample_blocks
from ugosa_server.failpoints import reach
from ugosa_server.jobs import (
    BaseStems,
    RunBaseStems,
    RunEvent,
    RunNotice,
    RunPhase,
    RunProgress,
    RunSpec,
    StemFile,
)
from ugosa_server.marks import Interval, SongLevels, clock, heard_silence, save_levels, still_sounding
from ugosa_server.marks.levels import HopPowers
from ugosa_server.models import NetworkConfig
from ugosa_server.models.cunet.conditioning import LabelContexts, VideoContexts
from ugosa_server.models.network import MaskNetwork, SeparationNetwork
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.model_input import ModelMix, estimates_at_source, model_frames, with_channels
from ugosa_server.pipeline.stems import Blocks, StemSet, level_meter, open_stems
from ugosa_server.separation.masks import FrameContexts, mask_frames, mask_plan, masked_stems, song_masks
from ugosa_server.separation.overlap_add import SegmentPlan, separate_in_segments

CELL_S = 0.25  # of the powers by which remixes are chosen
LEVELS_NAME = "levels.json"
ESTIMATES_NAME = "estimates.f32"
STEM_NAME = "stem"  # of the files, before their number
BASE_STEM_NAME = "base"
MAX_PLACES = 4  # that one notice names of one source


@dataclass
class NetworkPass:
    """One pass of the network, as its weights are now, over the song."""

    context: RunContext
    mix: ModelMix
    """The song at the network's rate, normalised."""
    segments_done: int = 0
    """Segments or windows that the network has processed."""

    def begin(self, phase: RunPhase) -> RunProgress:
        """Enter the phase of the pass."""
        return self.context.journal.begin(phase, separation_steps(self.context.spec, self.context.config))

    def progress(self) -> list[RunProgress]:
        """Events of the segments done."""
        return self.context.journal.advance(self.segments_done)

    def estimates(self) -> Blocks:
        """Yield estimates [S, C, n] of the run's stems, exactly as many frames as the song has.

        Raises:
            RunCancelledError: the run was asked to end.
        """
        context, spec, device = self.context, self.context.spec, self.context.model.device
        network, config = context.model.network, context.config
        if not isinstance(network, MaskNetwork):
            segments = separate_in_segments(
                lambda mix, start: network.separate(mix),
                self.mix.frames,
                config.sample_rate_hz,
                spec.options.separation,
                spec.options.seed,
                device,
            )
            return estimates_at_source(self._counted(segments), self.mix, spec.source)
        assert config.mask_grid is not None
        masks = song_masks(
            network,
            self.mix.frames,
            _conditioning(context, network, len(self.mix.frames)),
            [config.sources.index(name) for name in context.ensemble.playing],
            spec.options.separation,
            spec.options.seed,
            device,
        )
        return masked_stems(
            self._counted(masks),
            context.frames,
            spec.source.sample_rate_hz,
            config.mask_grid,
            config.sample_rate_hz,
            device,
        )

    def _counted(self, segments: Blocks) -> Blocks:
        self.context.check_cancel()
        for block in segments:
            self.context.check_cancel()
            self.segments_done += 1
            yield block


@dataclass(frozen=True)
class BaseEstimates:
    """Stems of the unadapted network."""

    stems: StemSet
    """Measurements, and files if the job wants them."""
    song: EstimatedSong
    """The stems for the adaptation."""


def analyse(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, None]:
    """Measure the levels of the unadapted network's estimates."""
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.BASE_SEPARATION)
    meter = level_meter(context)
    for block in over_song.estimates():
        meter.add(block)
        yield from over_song.progress()
    yield from _of_base(context, meter.levels(context.model.info.sha256))


def estimate_base(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, BaseEstimates]:
    """Measure the stems of the unadapted network and keep them for the adaptation.

    A run that wants them early gets them as files, too.
    """
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.BASE_SEPARATION)
    are_wanted = context.spec.options.base_stems is not BaseStems.NONE
    with open_stems(context, over_song.estimates(), BASE_STEM_NAME if are_wanted else "") as stems:
        song = yield from _write_estimates(over_song, stems.blocks())
        base = BaseEstimates(stems.finish(), song)
    yield from _of_base(context, base.stems.levels)
    if base.stems.files:
        reach("worker.base_stems_written")
        yield RunBaseStems(base.stems.files)
    return base


def separate(context: RunContext, mix: ModelMix) -> Generator[RunEvent, None, StemSet]:
    """Separate, obey the marks, add up to the mix, write: one stream from segments to files."""
    over_song = NetworkPass(context, mix)
    yield over_song.begin(RunPhase.SEPARATION)
    with open_stems(context, over_song.estimates(), STEM_NAME) as stems:
        for _ in stems.blocks():
            yield from over_song.progress()
        made = stems.finish()
    reach("worker.stems_written")
    if context.strategy.depth is None:
        yield from _of_base(context, made.levels)
    return made


def separate_quietly(context: RunContext, mix: ModelMix, name: str, lead_frames: int) -> tuple[StemFile, ...]:
    """Separate into files of a name, which begin after the first `lead_frames` frames, without events."""
    with open_stems(context, NetworkPass(context, mix).estimates(), name, lead_frames) as stems:
        for _ in stems.blocks():
            pass
        return stems.finish().files


def _of_base(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Keep what the unadapted network was measured to give; return what that says against the marks."""
    save_levels(context.out_dir / LEVELS_NAME, levels)
    return _warn_of_heard_silence(context, levels)


def _warn_of_heard_silence(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Return a notice for each source that the unadapted network hears in its marked silence.

    One wrong mark teaches a network that a sounding note is something else, and costs more than all right
    ones gain.
    """
    heard = heard_silence(context.marks, levels)
    return [
        context.journal.notice(
            "SILENT_BUT_HEARD",
            f"{source} is marked silent, but the model hears it {_places(spans, source, levels)}; listen "
            "there: shorten the mark if the source plays, keep it if the model is wrong",
        )
        for source in context.ensemble.playing
        if (spans := heard[source])
    ]


def warn_of_doubtful_marks(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Return a notice for each source that still sounds in silence that the network has learned."""
    return [
        context.journal.notice(
            "DOUBTFUL_MARK",
            f"{source} still sounds {_places(spans, source, levels)} after learning that it is silent there, "
            "nearly as loudly as where it plays: is the mark right?",
        )
        for source in context.ensemble.playing
        if (spans := list(still_sounding(context.marks, source, levels)))
    ]


def _places(spans: list[Interval], source: str, levels: SongLevels) -> str:
    """Name the first stretches with their loudest level, and count the others."""
    rate_hz = levels.sample_rate_hz
    named = []
    for start, stop in spans[:MAX_PLACES]:
        level_dbfs = levels.loudest_dbfs(source, (start, stop))
        named.append(
            f"from {clock(start / rate_hz)} to {clock(stop / rate_hz)} (up to {level_dbfs:.1f} dBFS)"
        )
    text = ", ".join(named)
    further = len(spans) - len(named)
    return f"{text} and in {further} further {'place' if further == 1 else 'places'}" if further else text


def _write_estimates(
    over_song: NetworkPass, stems: Iterator[NDArray[np.float32]]
) -> Generator[RunEvent, None, EstimatedSong]:
    """Write stems [S', C', n] of what plays, at the network's rate and scale; return their reader."""
    context, mix, config = over_song.context, over_song.mix, over_song.context.config
    playing, channels, n_frames = context.ensemble.playing, config.audio_channels, len(mix.frames)
    rows = [context.ensemble.stems.index(name) for name in playing]
    places = [config.sources.index(name) for name in playing]

    def frames_of_all() -> Iterator[NDArray[np.float32]]:
        for block in stems:
            part = with_channels(block[rows], channels) - np.float32(mix.mean / len(rows))
            yield (part / np.float32(mix.std)).reshape(-1, block.shape[-1]).T  # [n, S C]

    path = context.out_dir / ESTIMATES_NAME
    cells = HopPowers(len(rows), n_frames, max(1, round(CELL_S * config.sample_rate_hz)))
    with path.open("wb") as file:
        for block in resample_blocks(
            frames_of_all(), context.spec.source.sample_rate_hz, config.sample_rate_hz, n_frames
        ):
            file.write(block.astype("<f4").tobytes())
            squares = np.square(block, dtype=np.float64).reshape(len(block), len(rows), -1)
            cells.add(squares.mean(axis=2).T)  # [S, n]
            yield from over_song.progress()
    frames = SourceFrames(
        SourceAudio(str(path), config.sample_rate_hz, len(rows) * channels, n_frames, "work file", 0.0)
    )

    def read(start: int, stop: int) -> NDArray[np.float32]:
        part = frames[start:stop]
        estimates = np.zeros((len(config.sources), channels, len(part)), dtype=np.float32)
        estimates[places] = part.T.reshape(len(places), channels, -1)
        return estimates

    powers = np.zeros((len(config.sources), cells.n_hops))
    powers[places] = cells.powers()
    return EstimatedSong(mix.frames, config.sample_rate_hz, config.sources, read, powers, cells.hop_frames)


def separation_steps(spec: RunSpec, config: NetworkConfig) -> int:
    """Number of segments or windows of one pass of the network over the song."""
    n_frames, options = model_frames(spec.source, config), spec.options.separation
    if config.mask_grid is not None:
        return len(mask_plan(n_frames, config.sample_rate_hz, config.mask_grid, options).starts)
    return len(SegmentPlan.of(n_frames, config.sample_rate_hz, options).starts)


def context_reader(network: SeparationNetwork, spec: RunSpec) -> ContextReader | None:
    """Return a reader of the video of training segments; None = the network takes none."""
    if not isinstance(network, MaskNetwork) or network.takes_labels:
        return None
    contexts = _video_contexts(network, spec)
    assert network.config.mask_grid is not None
    hop_samples = network.config.mask_grid.hop_samples

    def read(start: int, stop: int) -> NDArray[np.float32]:  # model-rate frames -> [*context_shape]
        first = start // hop_samples
        (only,), _ = contexts.between(first, max(first + 1, stop // hop_samples))
        return np.asarray(only, dtype=np.float32)

    return read


def _conditioning(context: RunContext, network: MaskNetwork, n_samples: int) -> FrameContexts:
    config, source = network.config, context.spec.source
    assert config.mask_grid is not None
    if not network.takes_labels:
        return _video_contexts(network, context.spec)
    return LabelContexts(
        context.ensemble.marks,
        config.sources,
        source.sample_rate_hz,
        source.frames,
        config.mask_grid,
        config.sample_rate_hz,
        mask_frames(n_samples, config.mask_grid),
    )


def _video_contexts(network: MaskNetwork, spec: RunSpec) -> VideoContexts:
    config = network.config
    assert config.mask_grid is not None
    return VideoContexts(
        spec.options.visual_frames,
        network.context_shape,
        spec.source.sample_rate_hz,
        config.sample_rate_hz / config.mask_grid.hop_samples,
    )
