"""A rolling window of generated songs on disk: fresh data at about the rate at which training consumes it.

Songs are numbered; song i is always `training_song(seed + i)`. At step t training draws only from the songs
of the window at t, which grows up to its full size before it moves on, and waits for those that are not there
yet; worker processes make songs up to a little ahead of that and delete what lies behind. So the data of a
step depends on the seed and the step alone, never on how fast anything ran, and a resumed training sees the
same batches.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from types import TracebackType

import numpy as np

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray, load_bank
from ugosa_research.songs.bank.split import training_split
from ugosa_research.songs.effects import Studio, require_engine
from ugosa_research.songs.generator import training_song
from ugosa_server.errors import ConfigError

POLL_S = 0.2
LONGEST_WAIT_S = 600.0
WORKER_NICENESS = 19


@dataclass(frozen=True)
class WindowPlan:
    """Size of the window and the rate of its renewal."""

    seed: int
    """Seed of song 0."""
    song_s: float = 12.0
    """Length of each song."""
    n_songs: int = 96
    """Songs that the first step may draw from."""
    most_songs: int = 0
    """Songs that the window grows to before it lets the oldest go; 0: it stays at `n_songs`."""
    n_ahead: int = 16
    """Songs made in advance."""
    songs_a_step: float = 0.5
    """Number of new songs a step: the rate of fresh data."""
    effects: str = "own"
    """own, or pedalboard: further effects on every stem (`pedalboard_effects.py`); what was done to a song is
    then in a JSON file beside it."""

    def window(self, step: int) -> range:
        """The songs that a step may draw from."""
        end = self.n_songs + int(step * self.songs_a_step)
        return range(max(0, end - max(self.n_songs, self.most_songs)), end)


class SongWindow:
    """Runs the workers and reads their songs; a context manager."""

    def __init__(self, plan: WindowPlan, bank: Path, folder: Path, n_workers: int) -> None:
        require_engine(plan.effects)
        self._plan = plan
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("spawn")
        self._step: Synchronized[int] = context.Value("q", 0)
        self._workers = [
            context.Process(
                target=_make_songs, args=(plan, bank, folder, self._step, worker, n_workers), daemon=True
            )
            for worker in range(n_workers)
        ]

    def start(self, step: int) -> None:
        """Begin to make the songs that `step` and those after it need."""
        self._step.value = step
        for worker in self._workers:
            worker.start()

    def segment(self, song: int, which: slice, start: int, length: int) -> FloatArray:
        """Samples [start, start + length) of stems of a song, [S, C, length]; waits until it is made."""
        path = song_path(self._folder, song)
        deadline_s = time.monotonic() + LONGEST_WAIT_S
        while not path.exists():
            if not all(worker.is_alive() for worker in self._workers) or time.monotonic() > deadline_s:
                raise ConfigError(f"song {song} was not made: the generator stopped or is far too slow")
            time.sleep(POLL_S)
        shape = (len(STEMS), 2, int(self._plan.song_s * SAMPLE_RATE_HZ))
        stems = np.memmap(path, np.float16, "r", shape=shape)
        return np.asarray(stems[which, :, start : start + length], np.float32)

    def advance(self, step: int) -> None:
        """Tell the workers which step comes next."""
        self._step.value = step

    def __enter__(self) -> SongWindow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()
                worker.join()


def song_path(folder: Path, song: int) -> Path:
    """Where a song lies, as raw float16 [S, C, T]."""
    return folder / f"song_{song:09d}.f16"


def _make_songs(
    plan: WindowPlan, bank_folder: Path, folder: Path, step: Synchronized[int], worker: int, n_workers: int
) -> None:
    """Worker process: make every n-th song of the window and a little ahead, delete those behind it."""
    os.nice(WORKER_NICENESS - os.nice(0))
    bank = load_bank(bank_folder)
    split = training_split(bank)
    parent = os.getppid()
    while os.getppid() == parent:  # an orphan must not go on making songs
        window = plan.window(step.value)
        for path in folder.glob("song_*.f16"):
            if int(path.stem.removeprefix("song_")) < window.start - plan.n_ahead:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)
        wanted = range(window.start, window.stop + plan.n_ahead)
        missing = [i for i in wanted if i % n_workers == worker and not song_path(folder, i).exists()]
        for song in missing[:4]:  # a few at a time, then look where the window is
            studio = Studio.of_song(plan.seed + song) if plan.effects == "pedalboard" else None
            stems = training_song(bank, split, plan.seed + song, plan.song_s, studio)
            if studio is not None:
                song_path(folder, song).with_suffix(".json").write_text(json.dumps(studio.manifest()))
            temporary = folder / f"making_{worker}.f16"
            stems.astype(np.float16).tofile(temporary)
            temporary.replace(song_path(folder, song))
        if not missing:
            time.sleep(POLL_S)
