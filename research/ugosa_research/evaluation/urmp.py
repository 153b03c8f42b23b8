"""Pieces in the layout of URMP: a folder each, with `AuMix_*.wav` and `AuSep_<n>_<instrument>_*.wav`.

What is seen of the players may lie there as `Vid_*.npz`, made by `ugosa-server video features` of the piece's
video with a box a player.

As in section 4.1 of Slizovskaia et al.: parts of one instrument are summed to one source, and pieces of one
instrument alone are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from ugosa_research.cunet.feature_files import read_feature_file
from ugosa_research.songs.ensembles.instruments import instrument_named
from ugosa_server.errors import ConfigError
from ugosa_server.marks.players import VisualFrame, validate_visual_frames
from ugosa_server.models.cunet.config import PLAYERS, SAMPLE_RATE_HZ

Array = NDArray[np.float64]


@dataclass(frozen=True)
class UrmpPiece:
    """One piece."""

    name: str
    mix: Path
    """`AuMix_*.wav`."""
    parts: tuple[tuple[str, Path], ...]
    """(name of the class, `AuSep_*.wav`), a part each."""
    video: Path | None = None
    """`Vid_*.npz`."""

    @property
    def instruments(self) -> tuple[str, ...]:
        """Instruments of the piece, each once, sorted."""
        return tuple(sorted({instrument for instrument, _ in self.parts}))


@dataclass(frozen=True)
class PieceAudio:
    """A piece at 11,025 Hz, mono."""

    mix: Array
    """[T]."""
    sources: Array
    """[K, T], in the order of the classes; silent where nobody plays."""


def find_pieces(folder: Path) -> list[UrmpPiece]:
    """All pieces of at least two instruments under a folder, by name.

    Raises:
        ConfigError: there are none, or a file is named after no instrument.
    """
    pieces = []
    for mix in sorted(folder.glob("*/AuMix_*.wav")):
        parts = []
        for path in sorted(mix.parent.glob("AuSep_*.wav")):
            words = path.stem.split("_")
            if len(words) < 3:
                raise ConfigError(f"{path} is not named AuSep_<number>_<instrument>_<piece>.wav")
            parts.append((instrument_named(words[2]).name, path))
        video = next(iter(sorted(mix.parent.glob("Vid_*.npz"))), None)
        piece = UrmpPiece(mix.parent.name, mix, tuple(parts), video)
        if len(piece.instruments) > 1:
            pieces.append(piece)
    if not pieces:
        raise ConfigError(
            f"{folder} has no pieces of two or more instruments in URMP layout (<piece>/AuMix_*.wav and "
            "AuSep_<n>_<instrument>_*.wav)"
        )
    return pieces


def read_piece(piece: UrmpPiece, classes: Sequence[str]) -> PieceAudio:
    """Read a piece at the network's rate.

    Raises:
        ConfigError: it has an instrument that is not among `classes`.
    """
    if unknown := [instrument for instrument in piece.instruments if instrument not in classes]:
        raise ConfigError(f"{piece.name} has {', '.join(unknown)}, which the model does not know")
    mix = _read(piece.mix)
    sources = np.zeros((len(classes), len(mix)))
    for instrument, path in piece.parts:
        part = _read(path)[: len(mix)]
        sources[list(classes).index(instrument), : len(part)] += part
    return PieceAudio(mix, sources)


def video_of(piece: UrmpPiece) -> tuple[VisualFrame, ...]:
    """Visual features of the players; empty where the piece has none.

    Raises:
        BadOptionError: the file holds something else.
    """
    if piece.video is None:
        return ()
    return validate_visual_frames(read_feature_file(piece.video, SAMPLE_RATE_HZ), PLAYERS)


def labels_of(piece: UrmpPiece, classes: Sequence[str]) -> Array:
    """1 for every class that plays in the piece, as its file names say: [K]."""
    return np.array([float(name in piece.instruments) for name in classes])


def check_labels(piece: UrmpPiece, audio: PieceAudio, labels: Array) -> None:
    """Labels must be those of the sources; the published code's test set has ones throughout.

    Raises:
        ConfigError: they are not.
    """
    sounding = audio.sources.any(axis=-1)
    if (sounding != (labels > 0)).any():
        raise ConfigError(
            f"{piece.name}: labels {labels.astype(int).tolist()} are not those of the sources that sound, "
            f"{sounding.astype(int).tolist()}"
        )


def read_checked(
    pieces: Sequence[UrmpPiece], classes: Sequence[str]
) -> Iterator[tuple[UrmpPiece, PieceAudio]]:
    """Every piece with its audio, once its names are found to say who plays."""
    for piece in pieces:
        audio = read_piece(piece, classes)
        check_labels(piece, audio, labels_of(piece, classes))
        yield piece, audio


def _read(path: Path) -> Array:
    audio, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    return np.asarray(soxr.resample(audio.mean(axis=1), rate_hz, SAMPLE_RATE_HZ), np.float64)
