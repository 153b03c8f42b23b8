"""Which parts of the bank train a network and which are held out to validate it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ugosa_research.songs.bank.pools import STEMS, SamplerBank

# Whatever name contains one of these words is held out.
HELD_OUT_KITS = ("ForzeeStereo", "Millo_MultiLayered3", "Audiophob", "TimGM6mb", "Red_Zeppelin")
HELD_OUT_INSTRUMENTS = ("TimGM6mb", "synth:1")
HELD_OUT_VOICES = ("erithacus", "klettres-it", "klettres-de")
HELD_OUT_STYLES = ("yamaha/", "kara/")
HELD_OUT_LOOPS = ("War of freedom", "break03", "mika")
SPOKEN = ("klettres-", "words-")
SUNG_SHARE = 0.65  # of songs; spoken voices are many more, but less like singing


@dataclass(frozen=True)
class BankSplit:
    """Indices into a bank: what one set of songs may use."""

    kits: tuple[int, ...]
    basses: tuple[int, ...]
    others: tuple[int, ...]
    voices: tuple[int, ...]
    voice_weights: NDArray[np.float64]
    """Probability of each of `voices`."""
    patterns: tuple[int, ...]
    drum_loops: tuple[int, ...]
    guitar_loops: tuple[int, ...]


def training_split(bank: SamplerBank) -> BankSplit:
    """Everything that is not held out."""
    return _split(bank, held_out=False)


def validation_split(bank: SamplerBank) -> BankSplit:
    """Only what is held out: singers, kits, soundfonts, synth patches, styles and loops never trained on."""
    return _split(bank, held_out=True)


def _split(bank: SamplerBank, *, held_out: bool) -> BankSplit:
    def chosen(names: Sequence[str], words: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(i for i, name in enumerate(names) if any(word in name for word in words) == held_out)

    loops = chosen(bank.loops.names, HELD_OUT_LOOPS)
    voices = chosen(bank.syllables.voice_names, HELD_OUT_VOICES)
    spoken = np.array([bank.syllables.voice_names[voice].startswith(SPOKEN) for voice in voices])
    weights = np.where(spoken, (1 - SUNG_SHARE) / max(1, spoken.sum()), SUNG_SHARE / max(1, (~spoken).sum()))
    return BankSplit(
        kits=chosen(bank.drums.kit_names, HELD_OUT_KITS),
        basses=chosen(bank.bass.instrument_names, HELD_OUT_INSTRUMENTS),
        others=chosen(bank.other.instrument_names, HELD_OUT_INSTRUMENTS),
        voices=voices,
        voice_weights=weights / weights.sum(),
        patterns=chosen(bank.grooves.names, HELD_OUT_STYLES),
        drum_loops=tuple(i for i in loops if bank.loops.stems[i] == STEMS.index("drums")),
        guitar_loops=tuple(i for i in loops if bank.loops.stems[i] == STEMS.index("other")),
    )
