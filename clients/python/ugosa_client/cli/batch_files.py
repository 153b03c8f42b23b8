"""What lies in the directory of a batch: songs, and beside each its marks and what is seen of its players."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ugosa_client.errors import BadInputError
from ugosa_client.video import Sight

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".aif", ".aiff", ".mp3", ".ogg", ".m4a"})
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
MARKS_SUFFIXES = (".txt", ".csv", ".lab")


def find_songs(directory: Path) -> list[Path]:
    """Return the audio files of a directory by name.

    Raises:
        BadInputError: there is no such directory, or no song in it.
    """
    if not directory.is_dir():
        raise BadInputError(f"{directory} is not a directory")
    songs = sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file() and not path.name.startswith(".")
    )
    if not songs:
        raise BadInputError(f"{directory} has no audio files ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return songs


def find_marks(song: Path) -> Path | None:
    """Return the marks file beside a song.

    Raises:
        BadInputError: there are several.
    """
    found = [song.with_suffix(suffix) for suffix in MARKS_SUFFIXES if song.with_suffix(suffix).is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise BadInputError(f"{song.name} has several marks files: {names}; keep one")
    return found[0] if found else None


def find_sight(song: Path, places: Sight) -> Sight | None:
    """Return what is seen beside a song.

    Raises:
        BadInputError: there are several.
    """
    found = [song.with_suffix(suffix) for suffix in (".npz", ".frames", *VIDEO_SUFFIXES)]
    found = [path for path in found if path.exists()]
    if len(found) > 1:
        raise BadInputError(
            f"{song.name} has several things to see: {' and '.join(path.name for path in found)}; keep one"
        )
    if not found:
        return None
    (path,) = found
    if path.suffix == ".npz":
        return Sight(features=path)
    if path.suffix == ".frames":
        return Sight(pictures=path)
    return replace(places, video=path)


def out_dirs(songs: list[Path], out: Path) -> dict[Path, Path]:
    """Return a directory per song, named after it; songs that differ only in their suffix keep it."""
    stems = [song.stem.casefold() for song in songs]
    return {
        song: out / (song.stem if stems.count(song.stem.casefold()) == 1 else song.name) for song in songs
    }
