"""Real songs of which two stems are known: a guitar, and everything else in one track.

Games for plastic guitars carry such songs. They say nothing about drums, bass and vocals apart, but they are
real mixes: a network learns from them what a distorted guitar is beside everything else at once. The loss of
such an example sums the estimates of what is not `other` before it compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray
from ugosa_research.songs.bank.split import HELD_OUT_LOOPS
from ugosa_server.errors import ConfigError

GUITAR, BACKING = STEMS.index("other"), STEMS.index("drums")  # where the two lie in an example
UNKNOWN = tuple(i for i in range(len(STEMS)) if i not in (GUITAR, BACKING))  # inside the backing
QUIETEST_RMS = 0.01  # of a guitar worth learning from
TRIES = 8


@dataclass(frozen=True)
class TwoStemSongs:
    """Songs to draw examples from, each [2 (guitar, backing), C, T]."""

    songs: list[NDArray[np.float16]]

    def segment(self, rng: np.random.Generator, length: int, *, remixed: bool = False) -> FloatArray:
        """A random stretch in which the guitar plays, as stems [S, C, length]: the backing under drums.

        Remixed, the backing is that of another stretch, as a rule of another song: otherwise few songs are
        soon known by heart.
        """
        guitar, backing = self._stretch(rng, length)
        if remixed:
            _, backing = self._stretch(rng, length)
        stems = np.zeros((len(STEMS), 2, length), np.float32)
        stems[GUITAR, :, : guitar.shape[-1]], stems[BACKING, :, : backing.shape[-1]] = guitar, backing
        return stems

    def _stretch(self, rng: np.random.Generator, length: int) -> FloatArray:
        """Guitar and backing of one place: [2, C, T], shorter only where the song is."""
        for _ in range(TRIES):
            song = self.songs[int(rng.integers(len(self.songs)))]
            start = int(rng.integers(max(1, song.shape[-1] - length)))
            piece = song[:, :, start : start + length].astype(np.float32)
            if np.sqrt(np.mean(piece[0] ** 2)) > QUIETEST_RMS:
                break
        return piece


def read_two_stem_songs(folder: Path) -> TwoStemSongs:
    """Read every song folder with `guitar.ogg` and `song.ogg` that is not held out."""
    songs = []
    for path in sorted(folder.glob("*/guitar.ogg")):
        if any(word in path.parent.name for word in HELD_OUT_LOOPS):
            continue
        parts = [
            soundfile.read(path.with_name(f"{name}.ogg"), dtype="float32") for name in ("guitar", "song")
        ]
        if all(rate_hz == SAMPLE_RATE_HZ and audio.ndim == 2 for audio, rate_hz in parts):
            n = min(len(audio) for audio, _ in parts)
            songs.append(np.stack([audio[:n].T for audio, _ in parts]).astype(np.float16))
    if not songs:
        raise ConfigError(
            f"two_stem_songs names {folder}, but no songs of a guitar.ogg and a song.ogg at "
            f"{SAMPLE_RATE_HZ} Hz are there; install the Debian package fretsonfire-songs-sectoid or set "
            "two_stem_share = 0"
        )
    return TwoStemSongs(songs)


def as_known(audio: Tensor, two_stem: Tensor) -> Tensor:
    """Sum what is not `other` into the backing's place where only two stems are known.

    Args:
        audio: stems or estimates, [B, S, C, T].
        two_stem: which examples, [B].
    """
    if not bool(two_stem.any()):
        return audio
    known = []
    for example, is_two_stem in zip(audio, two_stem.tolist(), strict=True):
        if is_two_stem:
            stems = [torch.zeros_like(example[0])] * len(STEMS)
            stems[GUITAR], stems[BACKING] = example[GUITAR], example[[BACKING, *UNKNOWN]].sum(dim=0)
            example = torch.stack(stems)
        known.append(example)
    return torch.stack(known)
