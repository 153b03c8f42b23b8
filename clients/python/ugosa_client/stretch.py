"""A stretch of a song as a file of its own, every sample as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile

from ugosa_client.errors import BadInputError, reason_of
from ugosa_client.marks.regions import Position, clock_texts
from ugosa_client.song import has_length, require_plain_file, sound_path

INTEGER_SUBTYPES = {"PCM_16", "PCM_24", "PCM_32"}  # cut as integers, so that every bit stays
BLOCK_FRAMES = 1 << 16


@contextmanager
def open_for_cutting(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a song that is to be cut.

    Raises:
        BadInputError: it cannot be read here.
    """
    try:
        require_plain_file(path)  # libsndfile says no more than "System error."
        song = soundfile.SoundFile(sound_path(path))
    except OSError as error:
        raise BadInputError(f"cannot read the song {path}: {reason_of(error)}") from error
    except soundfile.LibsndfileError as error:
        raise BadInputError(f"cannot read the song {path}: {error.error_string}") from error
    with song:
        if not has_length(song.frames):
            raise BadInputError(
                f"the header of {path} does not say how long it is, so nothing can be cut out of it; take the"
                " whole song, or save it again in an editor"
            )
        yield song


def cut_stretch(song: soundfile.SoundFile, start: int, end: int, path: Path) -> None:
    """Write the frames [start, end) of a song as WAV: integers of the same width, all else as float.

    Raises:
        BadInputError: they cannot be read or written.
    """
    dtype, subtype = "float32", "FLOAT"
    if song.subtype in INTEGER_SUBTYPES:
        dtype, subtype = "int32", song.subtype
    elif song.subtype == "DOUBLE":
        dtype, subtype = "float64", "DOUBLE"
    try:
        song.seek(start)
        name = sound_path(path)
        with soundfile.SoundFile(name, "w", song.samplerate, song.channels, subtype, format="WAV") as stretch:
            for block in song.blocks(blocksize=BLOCK_FRAMES, frames=end - start, dtype=dtype):
                stretch.write(block)
    except soundfile.LibsndfileError as error:
        raise BadInputError(f"cannot cut the song {os.fsdecode(song.name)}: {error.error_string}") from error


def cut_times(path: Path, start: Position, end: Position | None, folder: Path) -> tuple[Path, int, int, int]:
    """Write the stretch between two times into a folder.

    Args:
        path: of the song.
        start: of the stretch.
        end: of the stretch; None = that of the song.
        folder: gets the file.

    Returns:
        Its file, the song's rate in Hz, and the first frame and one past the last one in the song.

    Raises:
        BadInputError: the song cannot be cut here, or does not have these times.
    """
    with open_for_cutting(path) as song:
        rate_hz, frames = song.samplerate, song.frames
        first = start.frame(rate_hz)
        last = frames if end is None else end.frame(rate_hz)
        if not 0 <= first < last <= frames:
            begin, stop, whole = clock_texts([first, last, frames], rate_hz)
            raise BadInputError(
                f"the part from {begin} to {stop} is not in {path.name}, which goes from 0:00.0 to {whole}"
            )
        target = folder / f"{path.stem}.wav"
        cut_stretch(song, first, last, target)
    return target, rate_hz, first, last
