"""BASE_SEPARATION and SEPARATION: passes over the song are measured, and stems written."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_server.adaptation.remix import EstimatedSong
from ugosa_server.audio import SourceAudio, SourceFrames
from ugosa_server.audio.resample import resample_blocks
from ugosa_server.failpoints import reach
from ugosa_server.jobs import BaseStems, RunBaseStems, RunEvent, RunNotice, RunPhase, StemFile
from ugosa_server.marks import SongLevels, save_levels
from ugosa_server.marks.levels import HopPowers
from ugosa_server.pipeline.context import RunContext
from ugosa_server.pipeline.doubtful_marks import warn_of_heard_silence
from ugosa_server.pipeline.estimate import NetworkPass
from ugosa_server.pipeline.model_input import ModelMix, with_channels
from ugosa_server.pipeline.stems import StemSet, level_meter, open_stems

CELL_S = 0.25  # of the powers by which remixes are chosen
LEVELS_NAME = "levels.json"
ESTIMATES_NAME = "estimates.f32"
STEM_NAME = "stem"  # of the files, before their number
BASE_STEM_NAME = "base"


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
    with open_stems(context, over_song, BASE_STEM_NAME if are_wanted else "") as stems:
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
    with open_stems(context, over_song, STEM_NAME) as stems:
        for _ in stems.blocks():
            yield from over_song.progress()
        made = stems.finish()
    reach("worker.stems_written")
    if context.strategy.depth is None:
        yield from _of_base(context, made.levels)
    return made


def separate_quietly(context: RunContext, mix: ModelMix, name: str) -> tuple[StemFile, ...]:
    """Separate into files of a name, without events."""
    with open_stems(context, NetworkPass(context, mix), name) as stems:
        for _ in stems.blocks():
            pass
        return stems.finish().files


def _of_base(context: RunContext, levels: SongLevels) -> list[RunNotice]:
    """Keep what the unadapted network was measured to give; return what that says against the marks."""
    save_levels(context.out_dir / LEVELS_NAME, levels)
    return warn_of_heard_silence(context, levels)


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
