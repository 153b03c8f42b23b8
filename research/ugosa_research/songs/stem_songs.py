"""Real songs whose drums, bass and other are known, to draw stems from beside the generated songs.

`train songs` makes such a folder (`lmms_songs.py`); one of your own multitracks is as good: a folder a song,
in it `drums.flac`, `bass.flac`, `other.flac` and, if somebody sings, `vocals.flac`, in stereo, at 44.1 kHz,
all of one length. The vocals of songs without any are generated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray
from ugosa_server.errors import ConfigError

KNOWN = ("drums", "bass", "other")
VOCALS = slice(STEMS.index("vocals"), STEMS.index("vocals") + 1)
QUIETEST_RMS = 0.003  # of a stem worth learning from
TRIES = 8


@dataclass(frozen=True)
class StemSong:
    """One song's files."""

    folder: Path
    frames: int
    """Length of each file."""
    sung: bool = False
    """True if it has vocals."""

    def stretch(self, which: slice, start: int, length: int) -> FloatArray:
        """Samples [start, start + length) of stems, [S, C, length]; vocals are silent."""
        stems = np.zeros((len(STEMS[which]), 2, length), np.float32)
        for stem, name in zip(stems, STEMS[which], strict=True):
            if name in KNOWN or self.sung:
                path = self.folder / f"{name}.flac"
                audio, _ = soundfile.read(path, length, start, dtype="float32", always_2d=True)
                stem[:, : len(audio)] = audio.T
        return stems

    def middle(self, longest_s: float) -> FloatArray:
        """All stems of at most `longest_s` seconds around the middle, [S, C, T]."""
        length = min(self.frames, int(longest_s * SAMPLE_RATE_HZ))
        return self.stretch(slice(None), (self.frames - length) // 2, length)


@dataclass(frozen=True)
class StemSongs:
    """Songs to draw stretches from."""

    songs: list[StemSong]

    @property
    def sung(self) -> list[StemSong]:
        """Songs with vocals."""
        return [song for song in self.songs if song.sung]

    def segment(self, rng: np.random.Generator, which: slice, length: int) -> FloatArray:
        """Stems of a random place in which they sound, [S, C, length]."""
        songs = self.sung if which == VOCALS else self.songs
        for _ in range(TRIES):
            song = songs[int(rng.integers(len(songs)))]
            stems = song.stretch(which, int(rng.integers(max(1, song.frames - length))), length)
            if np.sqrt(np.mean(stems.sum(axis=0) ** 2)) > QUIETEST_RMS:
                break
        return stems


def read_stem_songs(folder: Path) -> StemSongs:
    """Find every song folder.

    Raises:
        ConfigError: there is none, or a file is missing, of another rate or length, or mono.
    """
    songs = []
    for path in sorted(folder.glob("*/drums.flac")):
        try:
            sung = path.with_name("vocals.flac").exists()
            names = (*KNOWN, "vocals") if sung else KNOWN
            files = [soundfile.info(path.with_name(f"{name}.flac")) for name in names]
        except soundfile.LibsndfileError as error:
            raise ConfigError(f"{path.parent} is no song of {', '.join(KNOWN)}: {error}") from error
        if {(file.samplerate, file.channels, file.frames) for file in files} != {
            (SAMPLE_RATE_HZ, 2, files[0].frames)
        }:
            raise ConfigError(
                f"{path.parent} has stems that are not all of one length, in stereo, at {SAMPLE_RATE_HZ} Hz"
            )
        songs.append(StemSong(path.parent, files[0].frames, sung))
    if not songs:
        raise ConfigError(
            f"stem_songs names {folder}, but no song folders with {', '.join(KNOWN)}.flac are there; make "
            "them with `ugosa-server train songs` or set stem_song_share = 0"
        )
    return StemSongs(songs)
