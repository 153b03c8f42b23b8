"""Whole stretches of real stems for the bank: guitar takes of freely licensed songs, and drum loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, FloatArray, Loops, pool_of, read_mono

GUITAR_SONGS = Path("/usr/share/games/fretsonfire/data/songs/sectoid")
DRUM_LOOPS = (
    *(
        Path("/usr/share/sonic-pi/samples", f"loop_{name}.flac")
        for name in (
            "amen",
            "amen_full",
            "breakbeat",
            "compus",
            "industrial",
            "mehackit1",
            "mehackit2",
            "mika",
            "safari",
        )
    ),
    *(
        Path("/usr/share/lmms/samples/beats", f"{name}.ogg")
        for name in (
            "909beat01",
            "break01",
            "break02",
            "break03",
            "electro_beat01",
            "electro_beat02",
            "house_loop01",
            "jungle01",
        )
    ),
)
GUITAR_PIECE_S = 14.0
QUIETEST_RMS = 0.01
LOOP_RMS = 0.1


def build_loops() -> Loops:
    """Cut the guitar takes into pieces without long silences; take the drum loops whole."""
    clips: list[FloatArray] = []
    stems: list[int] = []
    names: list[str] = []
    for file in sorted(GUITAR_SONGS.glob("*/guitar.ogg")):
        for piece in _sounding_pieces(read_mono(file)):
            clips.append(piece)
            stems.append(STEMS.index("other"))
            names.append(f"guitar:{file.parent.name}")
    for file in DRUM_LOOPS:
        if file.exists():
            clips.append(_levelled(read_mono(file)))
            stems.append(STEMS.index("drums"))
            names.append(f"drums:{file.stem}")
    return Loops(pool_of(clips), np.array(stems), tuple(names))


def _sounding_pieces(audio: FloatArray) -> list[FloatArray]:
    length = int(GUITAR_PIECE_S * SAMPLE_RATE_HZ)
    pieces = [audio[start : start + length] for start in range(0, len(audio) - length, length)]
    return [_levelled(piece) for piece in pieces if np.sqrt(np.mean(piece**2)) > QUIETEST_RMS]


def _levelled(audio: FloatArray) -> FloatArray:
    return np.asarray(np.clip(audio * (LOOP_RMS / np.sqrt(np.mean(audio**2))), -0.98, 0.98), np.float32)
