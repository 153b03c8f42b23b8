"""Small songs to separate: four instruments, made from a seed, in any format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

SOURCES = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True)
class Song:
    """A song in memory."""

    samples: NDArray[np.float64]
    """The mix: [T, C], full scale at 1."""
    sample_rate_hz: int
    """Frames a second."""

    @property
    def frames(self) -> int:
        """T."""
        return len(self.samples)

    def frame(self, time_s: float) -> int:
        """Return the frame at a time."""
        return round(time_s * self.sample_rate_hz)


def make_song(frames: int, sample_rate_hz: int = 44100, channels: int = 2, seed: int = 0) -> Song:
    """Drum hits, a bass, a chord and a singer with vibrato, all through, panned apart."""
    random = np.random.default_rng(seed)
    t = np.arange(frames) / sample_rate_hz  # [T]
    drums = random.standard_normal(frames) * np.exp(-12 * (t % 0.5))
    bass = np.sin(2 * np.pi * 55 * t)
    other = sum(np.sin(2 * np.pi * f * t + random.uniform(0, 6)) for f in (220, 277, 330)) / 3
    vocals = np.sin(2 * np.pi * 440 * t + 4 * np.sin(2 * np.pi * 5 * t))
    pans = random.uniform(0.3, 1, (4, channels))  # [S, C]
    stems = np.stack([drums * 0.1, bass * 0.15, other * 0.1, vocals * 0.1])  # [S, T]
    return Song(np.einsum("st,sc->tc", stems, pans), sample_rate_hz)


def write_song(song: Song, path: Path, subtype: str = "PCM_16", container: str | None = None) -> Path:
    """Write a song with libsndfile; the suffix says the container unless `container` does."""
    soundfile.write(path, song.samples, song.sample_rate_hz, subtype=subtype, format=container)
    return path


def write_m4a(song: Song, path: Path) -> Path:
    """Write a song as AAC in an MP4 container, as phones and DAWs export it."""
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=song.sample_rate_hz, layout="stereo")
        planar = np.ascontiguousarray(song.samples.T.astype(np.float32))  # [C, T]
        frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout="stereo")
        frame.sample_rate = song.sample_rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_audio(path: Path) -> NDArray[np.float64]:
    """Read a file that libsndfile knows: [T, C]. Integer and float32 samples are exact in float64."""
    return soundfile.read(path, dtype="float64", always_2d=True)[0]


def peak_dbfs(samples: NDArray[np.float64]) -> float:
    """Return the peak in dB relative to full scale; -inf for digital silence or nothing."""
    peak = float(np.max(np.abs(samples), initial=0.0))
    return 20 * float(np.log10(peak)) if peak > 0 else -np.inf
