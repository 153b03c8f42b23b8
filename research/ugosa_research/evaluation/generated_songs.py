"""Songs from the training package's generator, as a data set: for checks where no real multitracks are.

`held-out` songs have singers, kits, instruments and styles that no shipped network was trained on;
`training` songs have those that it was, under seeds of their own, and are there to choose options on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import soundfile

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, STEMS, load_bank
from ugosa_research.songs.bank.split import training_split, validation_split
from ugosa_research.songs.generator import generate_song

FIRST_SEED = 70_000_000_000  # far from the seeds of training and of validation
SPLITS = {"held-out": validation_split, "training": training_split}


def write_generated_songs(
    bank_folder: Path, out: Path, split: str, count: int, song_s: float
) -> Iterator[Path]:
    """Write songs as folders of `{source}.wav`, yielding each; those that are there are kept."""
    bank = load_bank(bank_folder)
    parts = SPLITS[split](bank)
    for number in range(count):
        folder = out / f"{split}-{number:02d}"
        if not (folder / f"{STEMS[-1]}.wav").exists():
            folder.mkdir(parents=True, exist_ok=True)
            song = generate_song(bank, parts, FIRST_SEED + number, song_s)  # [S, C, T]
            for source, stem in zip(STEMS, song, strict=True):
                temporary = folder / f"{source}.tmp"
                soundfile.write(temporary, stem.T, SAMPLE_RATE_HZ, subtype="FLOAT", format="WAV")
                temporary.rename(folder / f"{source}.wav")
        yield folder
