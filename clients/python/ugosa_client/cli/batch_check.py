"""`ugosa batch --check`: songs and marks are read, and the disk's room is forecast, before a night begins."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from ugosa_client.cli.batch_files import SongTree
from ugosa_client.cli.exit_codes import ExitCode
from ugosa_client.cli.reporter import Reporter
from ugosa_client.client import UgosaClient
from ugosa_client.errors import BadInputError, UgosaClientError, message_of
from ugosa_client.fetch import existing_place
from ugosa_client.marks.file import read_marks
from ugosa_client.resources import JobOptions, Model
from ugosa_client.separate import find_model, stems_bytes
from ugosa_client.song import UNKNOWN_FRAMES, FileSong, has_length, lossless_length, sound_path

READ_HERE = (".wav", ".flac", ".aif", ".aiff")  # by libsndfile, whole; of others only some
COUNTED_BYTES = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)  # libsndfile's log
MAX_CHANNELS = 2
OPEN_END_BYTES = 0x7F00_0000 - 64  # larger counts are those of programs that stream
LONGEST_SONG_FRAMES = 1 << 40  # for songs whose length only the server knows: no mark lies beyond


@dataclass(frozen=True)
class CheckedSong:
    """Findings about one song."""

    song: str
    marks: int = 0
    stems_bytes: int = 0
    """The most that its stems take; 0 if its length is not known here."""
    error: str = ""
    """Reason that a job would be refused; empty if none is known."""


def check_songs(
    tree: SongTree,
    songs: Sequence[Path],
    options: JobOptions,
    out: Path,
    client: UgosaClient,
    reporter: Reporter,
) -> ExitCode:
    """Read all songs and marks; say what is wrong and how much room the stems take."""
    model = find_model(client.models(), options.model)
    checked = [_check(tree, song, model, options) for song in songs]
    wrong = [song for song in checked if song.error]
    needed = sum(song.stems_bytes for song in checked)
    unknown = [song.song for song in checked if not song.stems_bytes and not song.error]
    unmarked = sum(not song.marks and not song.error for song in checked)
    free = shutil.disk_usage(existing_place(out)).free
    text = f"songs: {len(checked)}, without marks: {unmarked}\n"
    text += f"stems: up to {needed / 1e6:,.0f} MB, and as much at the server; {free / 1e6:,.0f} MB free here"
    if unknown:
        text += f"\nnot counted, since only the server can tell their length: {', '.join(unknown)}"
    if needed > free:
        text += "\nthat does not fit: make room, or take --format flac-pcm24, or fewer --stems"
    values = {"songs": checked, "stems_bytes": needed, "free_bytes": free}
    if wrong or needed > free:
        listing = "".join(f"\n{song.song}: {song.error}" for song in wrong)
        message = f"{len(wrong)} of {len(checked)} songs cannot be separated as they are{listing}\n{text}"
        reporter.failed(ExitCode.BAD_INPUT, "BATCH_CHECK", message, values)
        return ExitCode.BAD_INPUT
    reporter.result(values, text)
    return ExitCode.OK


def _check(tree: SongTree, song: Path, model: Model, options: JobOptions) -> CheckedSong:
    name, n_marks = tree.name(song), 0
    try:
        FileSong(song)
        length = lossless_length(song)
        n_samples = _samples(song)
        path = tree.marks(song)
        if path is not None:
            rate, frames = (length.sample_rate_hz, length.frames) if length else (48_000, LONGEST_SONG_FRAMES)
            n_marks = len(read_marks(path, model.sources, rate, frames))
    except (UgosaClientError, OSError) as error:
        return CheckedSong(name, error=message_of(error))
    return CheckedSong(name, n_marks, stems_bytes(n_samples, options, model))


def _samples(song: Path) -> int:
    """Return the number of samples of all channels; 0 if it is not known here.

    Raises:
        BadInputError: the file is none of its suffix's kind.
    """
    is_read_here = song.suffix.lower() in READ_HERE
    kind = song.suffix[1:].upper()
    try:
        with soundfile.SoundFile(sound_path(song)) as file:
            if is_read_here and file.frames != UNKNOWN_FRAMES and _is_cut(file):
                raise BadInputError(f"the {kind} file is damaged or cut short; export or copy it again")
            if file.channels > MAX_CHANNELS:
                raise BadInputError(
                    f"the audio has {file.channels} channels; songs of 1 or {MAX_CHANNELS} are accepted. "
                    "Export a stereo mix-down"
                )
            return int(file.frames) * int(file.channels) if has_length(file.frames) else 0
    except soundfile.LibsndfileError as error:
        if is_read_here:
            raise BadInputError(f"it is no {kind} file that can be read; export it again") from error
        return 0


def _is_cut(file: soundfile.SoundFile) -> bool:
    """Return whether a file ends before what its header counts, as a copy that was broken off does."""
    counted = COUNTED_BYTES.search(file.extra_info)
    if counted is not None and int(counted[2]) < int(counted[1]) < OPEN_END_BYTES:
        return True
    try:
        file.seek(max(0, file.frames - 1))
        return bool(len(file.read(1)) < min(1, file.frames))
    except soundfile.LibsndfileError:
        return True
