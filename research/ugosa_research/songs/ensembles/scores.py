"""Parts out of the score corpus that the package `music21` carries (only when data are rendered).

The works are in the public domain; an encoding may have an owner. A file whose own header reserves rights or
forbids commercial use is left out, and what each used file says of itself goes into the manifest.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugosa_server.errors import ConfigError

# Folders of music21's corpus, and whose encodings they are as far as the corpus says.
COLLECTIONS = {
    "bach": "four-part chorales; most encoded by Margaret Greentree, used by permission",
    "beethoven": "string quartets",
    "haydn": "string quartets",
    "mozart": "string quartets",
    "schumann_robert": "a string quartet",
    "ryansMammoth": "dance tunes of Ryan's Mammoth Collection (1883), transcribed by volunteers",
}
SOLO_TUNES = "ryansMammoth"
SUFFIXES = (".mxl", ".xml", ".abc")
RESERVED = re.compile(
    r"all rights reserved|rights to all|licensing agreement|non-?commercial|personal use|may not be", re.I
)
STATEMENT = re.compile(
    r"<rights[^>]*>([^<]*)<|<credit-words[^>]*>([^<]*(?:©|copyright|permission|domain)[^<]*)<"
    r"|^(?:Z|N):(.*)$|^%(.*(?:copyright|licen|permission).*)$",
    re.I | re.M,
)
FEWEST_NOTES = 24
MOST_PARTS = 5
TEST_SHARE_PERCENT = 10
VALIDATION_SHARE_PERCENT = 8
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class ScoreNote:
    """One note of a part."""

    start: float
    """In quarter notes from the beginning."""
    duration: float
    """In quarter notes."""
    key: int
    """MIDI key as written."""


@dataclass(frozen=True)
class Score:
    """One score: its parts, highest first, a melody each (the top note of chords)."""

    name: str
    """Its path in the corpus, without the suffix, dots for slashes."""
    parts: tuple[tuple[ScoreNote, ...], ...]
    statement: str
    """Statement of the file on its encoding and rights; may be empty."""

    @property
    def length(self) -> float:
        """In quarter notes."""
        return max(note.start + note.duration for part in self.parts for note in part)


def corpus_files() -> list[tuple[str, Path]]:
    """(name, path) of all scores of the collections, sorted.

    Raises:
        ConfigError: music21 is not installed.
    """
    corpus = _corpus_folder()
    found = []
    for collection in COLLECTIONS:
        for path in sorted((corpus / collection).rglob("*")):
            if path.suffix in SUFFIXES:
                found.append((".".join(path.relative_to(corpus).with_suffix("").parts), path))
    return found


def split_of(name: str) -> str:
    """train, validation or test: by the work, so that movements of one work stay together."""
    parts = name.split(".")
    work = ".".join(parts[:2]) if parts[0] != "bach" else name
    place = zlib.crc32(work.encode()) % 100
    if place < TEST_SHARE_PERCENT:
        return "test"
    return "validation" if place < TEST_SHARE_PERCENT + VALIDATION_SHARE_PERCENT else "train"


def rights_statement(path: Path) -> str:
    """Return a file's statement on its encoder and rights, in one line."""
    if path.suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith((".xml", ".musicxml"))]
            text = archive.read(next(name for name in names if "META-INF" not in name)).decode(
                errors="replace"
            )
    else:
        text = path.read_text(encoding="utf-8", errors="replace")
    found = (
        next(group for group in match.groups() if group is not None) for match in STATEMENT.finditer(text)
    )
    return "; ".join(dict.fromkeys(" ".join(words.split()) for words in found if words.strip()))


def read_score(name: str, path: Path) -> Score | None:
    """Read one score; None for one whose rights are reserved, or that has no 1 to 5 melodic parts."""
    statement = rights_statement(path)
    if RESERVED.search(statement):
        return None
    import music21

    try:
        stream: Any = music21.converter.parse(path, forceSource=True)
        if not hasattr(stream, "parts"):  # a book of tunes
            return None
        parts = [_melody(part.stripTies()) for part in stream.parts]
    except (music21.Music21Exception, ValueError, KeyError, AttributeError, IndexError, zipfile.BadZipFile):
        return None  # a corpus of many hands; one unreadable file must not end a long rendering
    parts = [part for part in parts if len(part) >= FEWEST_NOTES]
    if not 1 <= len(parts) <= MOST_PARTS:
        return None
    parts.sort(key=lambda part: -sum(note.key for note in part) / len(part))
    return Score(name, tuple(parts), statement)


def _melody(part: Any) -> tuple[ScoreNote, ...]:
    """Sounding notes one after another; what overlaps ends where the next begins."""
    top: dict[float, tuple[float, int]] = {}
    for element in part.flatten().notes:
        duration = float(element.duration.quarterLength)
        if duration <= 0 or not element.pitches:  # grace notes, chord symbols
            continue
        start, key = float(element.offset), max(int(pitch.midi) for pitch in element.pitches)
        if start not in top or key > top[start][1]:
            top[start] = (duration, key)
    starts = sorted(top)
    notes = []
    for start, following in zip(starts, [*starts[1:], float("inf")], strict=True):
        duration, key = top[start]
        notes.append(ScoreNote(start, min(duration, following - start), key))
    return tuple(notes)


def _corpus_folder() -> Path:
    try:
        import music21
    except ImportError as error:
        raise ConfigError(
            "music21, which carries the scores, is not installed: pip install 'ugosa-research[train]'"
        ) from error
    return Path(music21.__file__).parent / "corpus"
