"""Files of a batch's directory: songs, and beside each its marks and its video.

Names are compared without regard to case and in one Unicode normal form: a file that came over another system
may be written otherwise than its neighbour. A file of exactly another song's name belongs to that one.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from ugosa_client.errors import BadInputError
from ugosa_client.marks.text import one_form
from ugosa_client.result_folders import BASE_FOLDER
from ugosa_client.video import Sight

AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".aif", ".aiff", ".aifc", ".mp3"),
    *(".ogg", ".oga", ".opus", ".m4a", ".m4b", ".mp4"),
)
UNREAD_AUDIO_SUFFIXES = (".aac", ".ac3", ".ape", ".caf", ".mka", ".mp2", ".wma", ".wv")  # by no server
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")
SUMMARY_NAME = "summary.csv"
MARKS_SUFFIXES = (".txt", ".csv", ".lab")
SIGHT_SUFFIXES = (".npz", ".frames", *VIDEO_SUFFIXES)


@dataclass(frozen=True)
class LeftOut:
    """An entry of the directory that the batch does not use."""

    name: str
    """File name; of a folder with a slash at its end."""
    why: str
    """Reason, and the way out if it is meant for the batch."""


class SongTree:
    """The directory of a batch, alone or with all folders in it; each is as a batch of its own."""

    def __init__(self, directory: Path, *, recursive: bool, out: Path) -> None:
        """Read the names of all entries, but those that begin with a dot and those of the results.

        Args:
            directory: of the songs.
            recursive: whether the folders in it count too.
            out: directory of the results, which may lie in it.

        Raises:
            BadInputError: there is no such directory.
        """
        if not directory.is_dir():
            raise BadInputError(f"{directory} is not a directory")
        self._directory, self._out = directory, out
        inner = sorted(directory.rglob("*/")) if recursive else []
        self._entries = {
            folder: sorted(path for path in folder.iterdir() if not path.name.startswith("."))
            for folder in (directory, *filter(self._is_of_songs, inner))
        }
        self._songs = {folder: _songs_among(entries) for folder, entries in self._entries.items()}
        self._by_name: dict[Path, list[Path]] = defaultdict(list)
        """Entries by their paths with names in one form."""
        for path in (path for entries in self._entries.values() for path in entries):
            if path.is_file() or path.is_dir():
                self._by_name[path.with_name(one_form(path.name))].append(path)

    def songs(self) -> list[Path]:
        """Return the audio files, folder by folder; a video beside a song of its name is none.

        Raises:
            BadInputError: there are none.
        """
        found = [song for songs in self._songs.values() for song in songs]
        if not found:
            raise BadInputError(f"{self._directory} has no audio files ({', '.join(AUDIO_SUFFIXES)})")
        return found

    def name(self, song: Path) -> str:
        """Return the name of a song for people: with its folder, where folders count."""
        return str(song.relative_to(self._directory))

    def marks(self, song: Path) -> Path | None:
        """Return the marks file beside a song.

        Raises:
            BadInputError: there are several.
        """
        return self._only(song, MARKS_SUFFIXES, "marks files")

    def sight(self, song: Path, places: Sight) -> Sight | None:
        """Return the video, pictures or features beside a song.

        Raises:
            BadInputError: there are several.
        """
        path = self._only(song, SIGHT_SUFFIXES, "things to see")
        if path is None:
            return None
        if _has_suffix(path, [".npz"]):
            return Sight(features=path)
        if _has_suffix(path, [".frames"]):
            return Sight(pictures=path)
        return replace(places, video=path)

    def left_out(self, with_sight: bool) -> list[LeftOut]:
        """Return all entries that no song uses, but the directory of results."""
        suffixes = (*MARKS_SUFFIXES, *SIGHT_SUFFIXES) if with_sight else MARKS_SUFFIXES
        songs = [song for songs in self._songs.values() for song in songs]
        used = {path for song in songs for path in (song, *self._beside(song, suffixes))} | set(self._entries)
        return [
            LeftOut(f"{self.name(path)}/" if path.is_dir() else self.name(path), _why(path))
            for entries in self._entries.values()
            for path in entries
            if path not in used and _real(path) != _real(self._out)
        ]

    def out_dirs(self) -> dict[Path, Path]:
        """Return a directory per song, in folders like those of the songs, none of which the table takes."""
        found: dict[Path, Path] = {}
        taken = {place_form(self._out / SUMMARY_NAME)}
        for folder, songs in self._songs.items():
            found |= out_dirs(songs, self._out / folder.relative_to(self._directory), taken)
        return found

    def _is_of_songs(self, folder: Path) -> bool:
        """Return whether a folder is neither hidden, nor one of results or of a song's pictures."""
        is_hidden = any(name.startswith(".") for name in folder.relative_to(self._directory).parts)
        is_out = _real(self._out) in (_real(folder), *_real(folder).parents)
        return not (is_hidden or is_out or _has_suffix(folder, [".frames"]))

    def _only(self, song: Path, suffixes: Iterable[str], what: str) -> Path | None:
        found = [path for path in self._beside(song, suffixes) if path != song]
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise BadInputError(f"{song.name} has several {what}: {names}; keep one")
        return found[0] if found else None

    def _beside(self, song: Path, suffixes: Iterable[str]) -> list[Path]:
        """Return the files that differ from a song in their suffix only, and are no other song's."""
        places = [song.with_name(one_form(song.stem + suffix)) for suffix in suffixes]
        others = {other.stem for other in self._songs[song.parent]} - {song.stem}
        return [path for place in places for path in self._by_name.get(place, ()) if path.stem not in others]


def _songs_among(entries: Iterable[Path]) -> list[Path]:
    """Return the audio files of a folder; a video beside a song of its name is none."""
    audio = [path for path in entries if _has_suffix(path, AUDIO_SUFFIXES) and path.is_file()]
    others = {one_form(path.stem) for path in audio if not _has_suffix(path, VIDEO_SUFFIXES)}
    return [p for p in audio if not (_has_suffix(p, VIDEO_SUFFIXES) and one_form(p.stem) in others)]


def _real(path: Path) -> Path:
    """Return the path without links; a link that leads back to itself stays."""
    return Path(os.path.realpath(path))


def out_dirs(songs: Sequence[Path], out: Path, taken: set[tuple[str, ...]]) -> dict[Path, Path]:
    """Return a directory per song, of which no two are one on any system.

    It is named after the song; songs that differ only in their suffix keep it, and whatever would still meet
    gets a number.

    Args:
        songs: of one folder.
        out: gets the directories.
        taken: forms of places that others have; these are added.
    """
    count = Counter(place_form(Path(song.stem)) for song in songs)
    names = {song: song.stem if count[place_form(Path(song.stem))] == 1 else song.name for song in songs}
    count = Counter(place_form(Path(name)) for name in names.values())
    found: dict[Path, Path] = {}
    for song, name in names.items():
        first = (name if count[place_form(Path(name))] == 1 else song.name).rstrip(". ") or "_"
        place, number = out / first, 1
        while place_form(place) in taken:
            number += 1
            place = out / f"{first} ({number})"
        taken |= {place_form(place), place_form(place / BASE_FOLDER)}
        found[song] = place
    return found


def place_form(path: Path) -> tuple[str, ...]:
    """Return a path as any system may compare it.

    Case and normal form may not count, and Windows drops dots and spaces at the end of a name.
    """
    return tuple(one_form(normalize("NFD", part).upper()).rstrip(". ") for part in path.parts)


def _why(path: Path) -> str:
    if path.is_dir():
        return "a folder; take what is in it too with --recursive"
    if not path.is_file():
        return "no file, but a pipe, a device or a link to nothing"
    if _has_suffix(path, UNREAD_AUDIO_SUFFIXES):
        return "no server reads such files; export it as WAV or FLAC"
    if _has_suffix(path, MARKS_SUFFIXES):
        return "no song here has its name"
    if _has_suffix(path, SIGHT_SUFFIXES):
        return "for a song of its name, with --seen"
    return "no audio file"


def _has_suffix(path: Path, suffixes: Iterable[str]) -> bool:
    return path.suffix.lower() in suffixes
