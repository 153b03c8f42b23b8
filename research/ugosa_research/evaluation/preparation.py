"""From songs with stems to the paper's experiment: silenced stems, their sum, and marks. Resumable.

Every song becomes a folder:

    mix.wav              the sum of the edited stems
    {stem}.wav           edited stems, float32
    marks.json, .txt     the MedleyDB annotation of the edited stems
    marks-human.json, .txt   the same, made careless (`coarse_marks.py`)
    song.json            how it was made; written last, so a folder with it is finished

and `manifest.json` beside them lists the songs. A second call with the same options keeps finished songs;
with others it makes them again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ugosa_research.annotation import THETA_PAPER, annotate_stems
from ugosa_research.evaluation.coarse_marks import Carelessness, coarse_marks
from ugosa_research.evaluation.datasets import Song, StemGroup
from ugosa_research.evaluation.marks_files import write_marks
from ugosa_research.evaluation.silencing import Silencing, draw_silencing, silenced_blocks
from ugosa_research.evaluation.stem_reading import decode_stems
from ugosa_server.audio.encode import StemWriter
from ugosa_server.audio.formats import StemEncoding
from ugosa_server.audio.frames import SourceFrames
from ugosa_server.errors import BadAudioError
from ugosa_server.marks import Interval, Mark, MarkSet, MarkState, without_all_silent

SCHEMA_VERSION = 1
SONG_FILE = "song.json"
MANIFEST_FILE = "manifest.json"
MIX_FILE = "mix.wav"
EXACT_MARKS = "marks.json"
HUMAN_MARKS = "marks-human.json"
SEGMENTS = 4  # of the paper; also for songs with fewer stems, so that a quarter of each is silent


@dataclass(frozen=True)
class PreparationOptions:
    """Options of the preparation of songs."""

    seed: int = 0
    """Seed of silenced segments and careless marks; each song derives its own from it and its name."""
    theta: float = THETA_PAPER
    """Level at which a source counts as active: 0.15 in the paper, 0.01 in the authors' code."""
    max_seconds: float | None = None
    """Longest excerpt, taken from the middle of the song; None = whole songs."""
    silence: bool = True
    """Whether segments are silenced; False keeps the songs' own silences only."""
    carelessness: Carelessness = dataclasses.field(default_factory=Carelessness)
    """Carelessness of the human-like marks."""


@dataclass(frozen=True)
class PreparedSong:
    """One finished song."""

    name: str
    """As in its data set."""
    folder: Path
    """Where its files are."""
    frames: int
    """Length."""
    sample_rate_hz: int
    """Frames a second."""
    stems: tuple[StemGroup, ...]
    """Edited stems; their paths are absolute."""


def prepare(songs: Sequence[Song], out: Path, options: PreparationOptions) -> Iterator[PreparedSong]:
    """Prepare songs one by one, yielding each when it is finished; then write the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    for song in songs:
        folder = out / song.name.replace(os.sep, "-")
        if not _is_finished(folder, options):
            _prepare_song(song, folder, options)
        yield read_song(folder)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "options": dataclasses.asdict(options),
        "songs": [song.name.replace(os.sep, "-") for song in songs],
    }
    _write_json(out / MANIFEST_FILE, manifest)


def prepared_songs(dataset: Path) -> list[PreparedSong]:
    """The songs of a prepared data set, in its order.

    Raises:
        BadAudioError: the folder holds no prepared data set.
    """
    try:
        names = json.loads((dataset / MANIFEST_FILE).read_text(encoding="utf-8"))["songs"]
    except (OSError, ValueError, KeyError) as error:
        raise BadAudioError(
            f"{dataset} holds no prepared songs ({MANIFEST_FILE} is missing or damaged); make them with "
            "`ugosa-server evaluate prepare`"
        ) from error
    return [read_song(dataset / name) for name in names]


def read_song(folder: Path) -> PreparedSong:
    """Read what `song.json` says.

    Raises:
        BadAudioError: it is missing or damaged.
    """
    try:
        song = json.loads((folder / SONG_FILE).read_text(encoding="utf-8"))
        stems = tuple(
            StemGroup(stem["name"], tuple(stem["sources"]), str(folder / stem["file"]))
            for stem in song["stems"]
        )
        return PreparedSong(song["name"], folder, song["frames"], song["sample_rate_hz"], stems)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadAudioError(
            f"{folder} holds no prepared song: {error}; prepare the data set again"
        ) from error


def _is_finished(folder: Path, options: PreparationOptions) -> bool:
    try:
        song: dict[str, Any] = json.loads((folder / SONG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return song.get("options") == dataclasses.asdict(options) and song.get("schema_version") == SCHEMA_VERSION


def _prepare_song(song: Song, folder: Path, options: PreparationOptions) -> None:
    folder.mkdir(exist_ok=True)
    (folder / SONG_FILE).unlink(missing_ok=True)
    seed = _song_seed(options.seed, song.name)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as files:
        decoded = decode_stems(song, Path(scratch))
        rate_hz = decoded[0].sample_rate_hz
        opened = [files.enter_context(SourceFrames(stem)) for stem in decoded]
        start, stop = _excerpt(min(len(stem) for stem in opened), rate_hz, options.max_seconds)
        stems = [stem[start:stop] for stem in opened]
    frames = stop - start
    if frames == 0:
        raise BadAudioError(f"{song.name} has a stem of 0 frames")
    if options.silence:
        silencing = _silencing(len(stems), frames, seed)
        blocks = [edited for edited, _ in silenced_blocks(stems, silencing)]
        stems = list(np.concatenate(blocks, axis=1))
    for stem, group in zip(stems, song.stems, strict=True):
        _write_wav(folder / f"{group.name}.wav", stem, rate_hz)
    mix = np.stack(stems).sum(axis=0, dtype=np.float64)
    _write_wav(folder / MIX_FILE, mix, rate_hz)
    marks = _marks(stems, song.stems, options.theta)
    sources = [source for group in song.stems for source in group.sources]
    write_marks(folder / EXACT_MARKS, marks, rate_hz)
    human = coarse_marks(marks, sources, frames, rate_hz, seed, options.carelessness)
    write_marks(folder / HUMAN_MARKS, human, rate_hz)
    document = {
        "schema_version": SCHEMA_VERSION,
        "name": song.name,
        "frames": frames,
        "sample_rate_hz": rate_hz,
        "stems": [
            {"name": group.name, "sources": list(group.sources), "file": f"{group.name}.wav"}
            for group in song.stems
        ],
        "options": dataclasses.asdict(options),
    }
    _write_json(folder / SONG_FILE, document)


def _song_seed(seed: int, name: str) -> int:
    """Depends on the song's name, so that adding a song changes no other."""
    return seed * 2**32 + crc32(name.encode())


def _excerpt(frames: int, rate_hz: int, max_seconds: float | None) -> Interval:
    """The middle of the song, or all of it."""
    wanted = frames if max_seconds is None else min(frames, round(max_seconds * rate_hz))
    start = (frames - wanted) // 2
    return start, start + wanted


def _silencing(stem_count: int, frames: int, seed: int) -> Silencing:
    """A quarter of the song for each stem (or an equal share each, of more than four stems)."""
    drawn = draw_silencing(max(SEGMENTS, stem_count), frames, seed)
    return dataclasses.replace(drawn, stft_spans=drawn.stft_spans[:stem_count])


def _marks(
    stems: Sequence[NDArray[np.float32]], groups: Sequence[StemGroup], theta: float
) -> tuple[Mark, ...]:
    """Marks of sources from those of stems.

    Silence of a stem is silence of all its sources; that it sounds says something of a single source only.
    Where a procedure calls all stems silent though something is faintly heard, it says nothing.
    """
    marks: list[Mark] = []
    by_stem = annotate_stems(stems, [group.name for group in groups], theta)
    for group in groups:
        for mark in by_stem:
            if mark.source == group.name and (mark.state is MarkState.SILENT or len(group.sources) == 1):
                marks.extend(dataclasses.replace(mark, source=source) for source in group.sources)
    sources = [source for group in groups for source in group.sources]
    return without_all_silent(MarkSet(tuple(marks)), sources).marks


def _write_wav(path: Path, samples: NDArray[np.floating], rate_hz: int) -> None:
    frames, channels = samples.shape
    with StemWriter(path, StemEncoding.WAV_FLOAT32, rate_hz, channels, frames) as writer:
        writer.write(samples.astype(np.float32))
        writer.finish()


def _write_json(path: Path, document: dict[str, Any]) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
