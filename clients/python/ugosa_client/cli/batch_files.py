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


class SongFolder:
    """The directory of a batch."""

    def __init__(self, directory: Path) -> None:
        """Read the names of all entries, but those that begin with a dot.

        Raises:
            BadInputError: there is no such directory.
        """
        if not directory.is_dir():
            raise BadInputError(f"{directory} is not a directory")
        self._entries = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self._entries:
            if path.is_file() or path.is_dir():
                self._by_name[one_form(path.name)].append(path)
        audio = [path for path in self._entries if _has_suffix(path, AUDIO_SUFFIXES) and path.is_file()]
        others = {one_form(path.stem) for path in audio if not _has_suffix(path, VIDEO_SUFFIXES)}
        self._songs = [
            path
            for path in audio
            if not (_has_suffix(path, VIDEO_SUFFIXES) and one_form(path.stem) in others)
        ]

    def songs(self) -> list[Path]:
        """Return the audio files by name; a video beside a song of its name is none."""
        return list(self._songs)

    def marks(self, song: Path) -> Path | None:
        """Return the marks file beside a song.

        Raises:
            BadInputError: there are several.
        """
        found = self._beside(song, MARKS_SUFFIXES)
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise BadInputError(f"{song.name} has several marks files: {names}; keep one")
        return found[0] if found else None

    def sight(self, song: Path, places: Sight) -> Sight | None:
        """Return the video, pictures or features beside a song.

        Raises:
            BadInputError: there are several.
        """
        found = [path for path in self._beside(song, SIGHT_SUFFIXES) if path != song]
        if len(found) > 1:
            names = " and ".join(path.name for path in found)
            raise BadInputError(f"{song.name} has several things to see: {names}; keep one")
        if not found:
            return None
        (path,) = found
        if _has_suffix(path, [".npz"]):
            return Sight(features=path)
        if _has_suffix(path, [".frames"]):
            return Sight(pictures=path)
        return replace(places, video=path)

    def left_out(self, out: Path, with_sight: bool) -> list[LeftOut]:
        """Return all entries that no song uses, but the directory of results."""
        suffixes = (*MARKS_SUFFIXES, *SIGHT_SUFFIXES) if with_sight else MARKS_SUFFIXES
        used = {path for song in self._songs for path in (song, *self._beside(song, suffixes))}
        return [
            LeftOut(f"{path.name}/" if path.is_dir() else path.name, _why(path))
            for path in self._entries
            if path not in used and _real(path) != _real(out)
        ]

    def _beside(self, song: Path, suffixes: Iterable[str]) -> list[Path]:
        """Return the files that differ from a song in their suffix only, and are no other song's."""
        same = [path for suffix in suffixes for path in self._by_name[one_form(song.stem + suffix)]]
        others = {other.stem for other in self._songs} - {song.stem}
        return [path for path in same if path.stem not in others]


def _real(path: Path) -> Path:
    """Return the path without links; a link that leads back to itself stays."""
    return Path(os.path.realpath(path))


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
        self._directory, self._out, self._recursive = directory, out, recursive
        self._folders = {directory: SongFolder(directory)}
        if recursive:
            for folder in sorted(directory.rglob("*/")):
                within = folder.relative_to(directory).parts
                is_out = _real(out) in (_real(folder), *_real(folder).parents)
                is_sight = folder.suffix.lower() == ".frames"
                if not (is_out or is_sight or any(name.startswith(".") for name in within)):
                    self._folders[folder] = SongFolder(folder)

    def songs(self) -> list[Path]:
        """Return the audio files, folder by folder.

        Raises:
            BadInputError: there are none.
        """
        found = [song for folder in self._folders.values() for song in folder.songs()]
        if not found:
            raise BadInputError(f"{self._directory} has no audio files ({', '.join(AUDIO_SUFFIXES)})")
        return found

    def name(self, song: Path) -> str:
        """Return the name of a song for people: with its folder, where folders count."""
        return str(song.relative_to(self._directory))

    def marks(self, song: Path) -> Path | None:
        """Return the marks file beside a song; see SongFolder."""
        return self._folders[song.parent].marks(song)

    def sight(self, song: Path, places: Sight) -> Sight | None:
        """Return the video, pictures or features beside a song; see SongFolder."""
        return self._folders[song.parent].sight(song, places)

    def left_out(self, with_sight: bool) -> list[LeftOut]:
        """Return all entries that no song uses, but the directory of results."""
        found = []
        for path, folder in self._folders.items():
            place = "".join(f"{name}/" for name in path.relative_to(self._directory).parts)
            for entry in folder.left_out(self._out, with_sight):
                if path / entry.name not in self._folders:
                    found.append(LeftOut(place + entry.name, entry.why))
        return found

    def out_dirs(self) -> dict[Path, Path]:
        """Return a directory per song, in folders like those of the songs, none of which the table takes."""
        found: dict[Path, Path] = {}
        taken = {place_form(self._out / SUMMARY_NAME)}
        for path, folder in self._folders.items():
            found |= out_dirs(folder.songs(), self._out / path.relative_to(self._directory), taken)
        return found


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
        taken.add(place_form(place))
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
