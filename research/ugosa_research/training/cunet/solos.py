"""Recordings of single instruments in folders, as the Solos data set has them: `wav11k/<Instrument>/*.wav`.

Recordings whose names share what stands before the last hyphen are of one take (of one piece, in time): the
rendered data have such; where a recording stands alone, it is a take of its own. What is seen of a player
lies beside the recording as `NAME.npz`, made by `ugosa-server video features` with one player.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_research.cunet.feature_files import read_feature_file
from ugosa_research.songs.ensembles.instruments import instrument_named
from ugosa_server.errors import BadOptionError, ConfigError
from ugosa_server.marks.players import validate_visual_frames
from ugosa_server.models.cunet.conditioning import VideoContexts
from ugosa_server.models.cunet.config import GRID, SAMPLE_RATE_HZ, WINDOW_FRAMES, WINDOW_SAMPLES

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """One file with one instrument."""

    path: Path
    instrument: str
    """Name of the class."""
    take: str
    frames: int
    """Length in samples; at least a window."""
    video: Path | None = None
    """Feature file of its one player."""

    def segment(self, start: int) -> FloatArray:
        """One window from `start`: [65535], mono."""
        audio, _ = soundfile.read(self.path, WINDOW_SAMPLES, start, dtype="float32", always_2d=True)
        return np.asarray(audio.mean(axis=1), np.float32)

    def seen(self, start: int, shape: tuple[int, ...]) -> FloatArray:
        """Return visual features of the player in the window from `start`: `shape`, [2048] or [N, 2048].

        Raises:
            BadOptionError: there is no such file, or it is none.
        """
        if self.video is None:
            raise BadOptionError(f"{self.path} has no {self.path.stem}.npz of video features beside it")
        first = start // GRID.hop_samples
        context, _ = _video(self.video, shape).between(first, first + WINDOW_FRAMES)
        return np.asarray(context[0, 0], np.float32)


@dataclass(frozen=True)
class SolosSet:
    """Recordings to mix from."""

    by_instrument: dict[str, tuple[Recording, ...]]
    """Class -> its recordings; no class is empty."""

    @cached_property
    def takes(self) -> dict[str, list[Recording]]:
        """Take -> its recordings, of takes that have at least two instruments."""
        found: dict[str, list[Recording]] = {}
        for recordings in self.by_instrument.values():
            for recording in recordings:
                found.setdefault(recording.take, []).append(recording)
        return {take: members for take, members in found.items() if len({m.instrument for m in members}) > 1}


def require_video(recordings: SolosSet) -> None:
    """Training that sees needs something to see of every recording.

    Raises:
        ConfigError: some have nothing.
    """
    unseen = [
        member.path
        for members in recordings.by_instrument.values()
        for member in members
        if member.video is None
    ]
    if unseen:
        raise ConfigError(
            f"recordings with no .npz of video features beside them: {len(unseen)}, such as {unseen[0]}; "
            "`ugosa-server video features` makes such files"
        )


def read_solos(folder: Path, instruments: Sequence[str]) -> SolosSet:
    """Find the recordings of `instruments` under `folder` or `folder/wav11k`.

    Raises:
        ConfigError: a folder, a class or a rate is not what it must be.
    """
    root = folder / "wav11k" if (folder / "wav11k").is_dir() else folder
    if not root.is_dir():
        raise ConfigError(f"there is no folder {folder}")
    found: dict[str, list[Recording]] = {}
    for subfolder in sorted(path for path in root.iterdir() if path.is_dir()):
        instrument = instrument_named(subfolder.name).name
        if instrument in instruments:
            found.setdefault(instrument, []).extend(
                recording
                for path in sorted(subfolder.glob("*.wav"))
                if (recording := _recording(path, instrument)) is not None
            )
    absent = [instrument for instrument in instruments if not found.get(instrument)]
    if absent:
        raise ConfigError(
            f"{root} has no recordings of at least {WINDOW_SAMPLES} samples of {', '.join(absent)}"
        )
    return SolosSet({instrument: tuple(found[instrument]) for instrument in instruments})


def split_takes(recordings: SolosSet, validation_share: float) -> tuple[SolosSet, SolosSet]:
    """Training and validation recordings: by take, the same ones every time.

    Raises:
        ConfigError: a class would be left without recordings in one of them.
    """

    def held(recording: Recording) -> bool:
        return zlib.crc32(recording.take.encode()) % 1000 < 1000 * validation_share

    sets = []
    for wanted in (False, True):
        chosen = {
            instrument: tuple(member for member in members if held(member) == wanted)
            for instrument, members in recordings.by_instrument.items()
        }
        if absent := [instrument for instrument, members in chosen.items() if not members]:
            kind = "validation" if wanted else "training"
            raise ConfigError(f"no recordings of {', '.join(absent)} are left for {kind}; give more takes")
        sets.append(SolosSet(chosen))
    return sets[0], sets[1]


def window_starts(frames: int) -> range:
    """Starts of the windows of a recording: exactly 65,535 samples apart, so that none drifts off its labels.

    (The published code writes segments of 65,536 samples and reads them as 65,535.)
    """
    return range(0, frames - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)


def _recording(path: Path, instrument: str) -> Recording | None:
    info = soundfile.info(str(path))
    if info.samplerate != SAMPLE_RATE_HZ:
        raise ConfigError(f"{path} has {info.samplerate} Hz, but Solos folders hold {SAMPLE_RATE_HZ} Hz")
    if info.frames < WINDOW_SAMPLES:
        return None
    features = path.with_suffix(".npz")
    take = path.stem.rpartition("-")[0] or path.stem
    return Recording(path, instrument, take, info.frames, features if features.exists() else None)


@lru_cache(maxsize=512)
def _video(path: Path, shape: tuple[int, ...]) -> VideoContexts:
    frames = validate_visual_frames(read_feature_file(path, SAMPLE_RATE_HZ), 1)
    return VideoContexts(frames, (1, *shape), SAMPLE_RATE_HZ, SAMPLE_RATE_HZ / GRID.hop_samples)
