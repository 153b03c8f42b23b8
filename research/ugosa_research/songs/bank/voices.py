"""Syllables for the bank: sung UTAU voicebanks, spoken ones of klettres-data, and spoken words."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import butter, sosfiltfilt

from ugosa_research.songs.bank.pools import (
    SAMPLE_RATE_HZ,
    FloatArray,
    IntArray,
    Syllables,
    pool_of,
    read_mono,
)
from ugosa_research.songs.bank.words import speak_words
from ugosa_research.songs.pitch_marks import pitch_marks, pitch_track_hz

KLETTRES = Path("/usr/share/klettres")
SUNG_A_VOICE = 300
SPOKEN_A_LANGUAGE = 60
WORDS_A_VOICE = 50  # more would not leave the bank below 50 MB
FEWEST_A_VOICE = 15
LONGEST_S, SHORTEST_S = 0.8, 0.15
LONGEST_ONSET_S = 0.12
SYLLABLE_RMS = 0.1
LEAST_VOICED_SHARE = 0.35
FEWEST_MARKS = 10
BREATH_ALIASES = re.compile(r"breath|吸|息|inhale|exhale|(^|[ _])R$|・")


@dataclass(frozen=True)
class Take:
    """Where one syllable lies in a recording, in seconds."""

    file: Path
    start_s: float
    onset_s: float
    """From the start to the vowel."""
    fixed_s: float
    """From the start to where stretching may begin."""
    end_s: float


@dataclass(frozen=True)
class Syllable:
    """One analysed syllable."""

    audio: FloatArray
    onset: int
    vowel_start: int
    marks: IntArray
    f0_hz: float


def build_syllables(voices: Path, seed: int = 1) -> Syllables:
    """Analyse every voice; `voices` holds a folder a voicebank, each with its `oto.ini` files."""
    rng = np.random.default_rng(seed)
    takes_of = {name: (takes, SUNG_A_VOICE) for name, takes in _sung_takes(voices)}
    takes_of |= {name: (takes, SPOKEN_A_LANGUAGE) for name, takes in _spoken_takes()}
    names: list[str] = []
    found: list[tuple[int, Syllable]] = []
    with tempfile.TemporaryDirectory() as folder:
        takes_of |= {name: (takes, WORDS_A_VOICE) for name, takes in _word_takes(Path(folder))}
        for name, (takes, most) in takes_of.items():
            chosen = [takes[i] for i in rng.permutation(len(takes))[:most]]
            syllables = [s for take in chosen if (s := analysed(take)) is not None]
            if len(syllables) >= FEWEST_A_VOICE:
                found += [(len(names), syllable) for syllable in syllables]
                names.append(name)
    counts = np.array([len(syllable.marks) for _, syllable in found])
    return Syllables(
        audio=pool_of([syllable.audio for _, syllable in found]),
        onsets=np.array([syllable.onset for _, syllable in found]),
        vowel_starts=np.array([syllable.vowel_start for _, syllable in found]),
        mark_starts=np.concatenate([[0], np.cumsum(counts)[:-1]]),
        mark_counts=counts,
        marks=np.concatenate([syllable.marks for _, syllable in found]),
        f0_hz=np.array([syllable.f0_hz for _, syllable in found], np.float32),
        voices=np.array([voice for voice, _ in found]),
        voice_names=tuple(names),
    )


def analysed(take: Take) -> Syllable | None:
    """Cut, level and mark one take; None if too little of it is voiced to be sung."""
    audio = _read_voice(take.file)
    start = int(take.start_s * SAMPLE_RATE_HZ)
    end = min(int(take.end_s * SAMPLE_RATE_HZ), len(audio), start + int(LONGEST_S * SAMPLE_RATE_HZ))
    if end - start < SHORTEST_S * SAMPLE_RATE_HZ:
        return None
    audio = audio[start:end]
    f0_hz = pitch_track_hz(audio)
    if (f0_hz > 0).sum() < 8 or (f0_hz > 0).mean() < LEAST_VOICED_SHARE:
        return None
    marks = pitch_marks(audio, f0_hz)
    if len(marks) < FEWEST_MARKS:
        return None
    rms = np.sqrt(np.mean(audio[int(0.3 * len(audio)) :] ** 2)) + 1e-9
    return Syllable(
        audio=np.asarray(np.clip(audio * (SYLLABLE_RMS / rms), -1, 1), np.float32),
        onset=int(take.onset_s * SAMPLE_RATE_HZ),
        vowel_start=min(int(take.fixed_s * SAMPLE_RATE_HZ), len(audio) - 1000),
        marks=marks,
        f0_hz=float(np.median(f0_hz[f0_hz > 0])),
    )


def _sung_takes(voices: Path) -> Iterator[tuple[str, list[Take]]]:
    for oto in sorted(voices.rglob("oto.ini")):
        takes = list(_oto_takes(oto))
        if takes:
            yield "-".join(oto.parent.relative_to(voices).parts), takes


def _oto_takes(oto: Path) -> Iterator[Take]:
    """Lines of UTAU's `file=alias,offset,consonant,cutoff,preutterance,overlap`, in milliseconds."""
    for line in _decoded(oto.read_bytes()).splitlines():
        match = re.match(r"(.+?)=(.*?),([^,]*),([^,]*),([^,]*),([^,]*),", line)
        if not match or BREATH_ALIASES.search(match.group(2)):
            continue
        file = (oto.parent / match.group(1)).with_suffix(".ogg")
        if not file.exists():
            continue
        offset_s, consonant_s, cutoff_s, onset_s = (float(value or 0) / 1000 for value in match.groups()[2:])
        end_s = offset_s - cutoff_s if cutoff_s < 0 else soundfile.info(file).duration - cutoff_s
        early_s = max(0.0, onset_s - LONGEST_ONSET_S)  # a long lead-in is cut: the beat must not wait for it
        onset_s -= early_s
        yield Take(file, offset_s + early_s, onset_s, max(consonant_s - early_s, onset_s + 0.03), end_s)


def _decoded(raw: bytes) -> str:
    for encoding in ("utf-8-sig", "cp932", "gbk"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("cp932", "ignore")


def _spoken_takes() -> Iterator[tuple[str, list[Take]]]:
    for language in sorted(folder for folder in KLETTRES.iterdir() if folder.is_dir()):
        takes = []
        for file in sorted(language.glob("*/*.ogg")):
            if soundfile.info(file).samplerate < 32000:
                continue
            if (take := _spoken_take(file)) is not None:
                takes.append(take)
        if takes:
            yield f"klettres-{language.name}", takes


def _word_takes(folder: Path) -> Iterator[tuple[str, list[Take]]]:
    for name, files in speak_words(folder).items():
        yield name, [take for file in files if (take := _spoken_take(file)) is not None]


def _spoken_take(file: Path) -> Take | None:
    """Return the sounding part of a recording of one syllable; None if too short or too long for one."""
    audio = _read_voice(file)
    loud = np.flatnonzero(np.abs(audio) > 0.05 * np.abs(audio).max())
    if len(loud) < 100:
        return None
    start_s = max(0.0, loud[0] / SAMPLE_RATE_HZ - 0.01)
    end_s = loud[-1] / SAMPLE_RATE_HZ + 0.02
    if not SHORTEST_S < end_s - start_s < 1.6:
        return None
    fixed_s = min(0.12, 0.35 * (end_s - start_s))
    return Take(file, start_s, 0.06, max(fixed_s, 0.09), end_s)


def _read_voice(file: Path) -> FloatArray:
    """Read a recording without what lies below a voice: [T]."""
    mono = read_mono(file)
    highpass = butter(2, 60, "high", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfiltfilt(highpass, mono - mono.mean()), np.float32)
