"""Songs with their true stems, found in a folder.

| what | layout | stems |
|---|---|---|
| MUSDB18 | `[train/ or test/]NAME.stem.mp4`, five streams | drums, bass, other, vocals |
| MUSDB18-HQ | `[train/ or test/]NAME/{mixture,drums,bass,other,vocals}.wav` | the same |
| any other | `NAME/{source}.(wav|flac|ogg)` | the same |
| one isolated source | the same, and `NAME/{rest,song,accompaniment,backing}.*` | the source, the rest |

A file `guitar.*` counts as `other`, so that songs of the game Frets on Fire are read as they are. The
mixture is always the sum of the stems: mastered or encoded mixtures are not. Folders may be nested to any
depth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ugosa_research.evaluation.stem_mp4 import SOURCES
from ugosa_server.errors import BadAudioError
from ugosa_server.marks import Mark

ALIASES = {"guitar": "other"}
REST_NAMES = ("rest", "song", "accompaniment", "backing")
REST = "rest"
SUFFIXES = (".wav", ".flac", ".ogg")
STEM_MP4 = ".stem.mp4"


@dataclass(frozen=True)
class StemGroup:
    """One true stem: the sum of one or more of the network's sources."""

    name: str
    """For example "vocals", or "rest"."""
    sources: tuple[str, ...]
    """The sources it holds."""
    path: str
    """Audio file, for example "drums.wav"; a `.stem.mp4` holds all stems of its song."""


@dataclass(frozen=True)
class Song:
    """A song whose stems are known."""

    name: str
    """Folder or file name."""
    folder_name: str
    """Name of the folder it is in."""
    stems: tuple[StemGroup, ...]
    """Disjoint groups that together hold all sources."""


def find_songs(folder: Path) -> list[Song]:
    """All songs in a folder, sorted by path.

    Raises:
        BadAudioError: there is no song, or the stems of one are not complete.
    """
    if not folder.is_dir():
        raise BadAudioError(f"the data set {folder} is not a folder")
    found: list[tuple[Path, tuple[StemGroup, ...]]] = []
    for path in sorted(folder.rglob(f"*{STEM_MP4}")):
        stems = tuple(StemGroup(source, (source,), str(path)) for source in SOURCES)
        found.append((path.with_name(path.name.removesuffix(STEM_MP4)), stems))
    for directory in sorted({path.parent for suffix in SUFFIXES for path in folder.rglob(f"*{suffix}")}):
        if groups := _stems_in(directory):
            found.append((directory, groups))
    if not found:
        raise BadAudioError(
            f"there is no song with stems in {folder}: no *{STEM_MP4}, and no folder with "
            f"{', '.join(SOURCES)} as {', '.join(SUFFIXES)}"
        )
    return with_names_apart([Song(path.name, path.parent.name, stems) for path, stems in found])


def with_names_apart(songs: Sequence[Song]) -> list[Song]:
    """The songs, with the folder's name before a name that occurs twice, or then a number."""
    counts = Counter(song.name for song in songs)
    named = [
        replace(song, name=song.name if counts[song.name] == 1 else f"{song.folder_name}-{song.name}")
        for song in songs
    ]
    seen: Counter[str] = Counter()
    for index, song in enumerate(named):
        seen[song.name] += 1
        if seen[song.name] > 1:
            named[index] = replace(song, name=f"{song.name}-{seen[song.name]}")
    return named


def _stems_in(directory: Path) -> tuple[StemGroup, ...]:
    files = {path.stem.casefold(): path for path in sorted(directory.iterdir()) if path.suffix in SUFFIXES}
    isolated = {
        ALIASES.get(name, name): path for name, path in files.items() if ALIASES.get(name, name) in SOURCES
    }
    if not isolated:
        return ()
    stems = [StemGroup(source, (source,), str(isolated[source])) for source in SOURCES if source in isolated]
    missing = tuple(source for source in SOURCES if source not in isolated)
    if not missing:
        return tuple(stems)
    rest = next((files[name] for name in REST_NAMES if name in files), None)
    if rest is None:
        raise BadAudioError(
            f"{directory} has stems of {', '.join(isolated)}, but none of {', '.join(missing)}; put what is "
            f"left of the mix there as {REST}.wav"
        )
    return (*stems, StemGroup(missing[0] if len(missing) == 1 else REST, missing, str(rest)))


def stems_of_network(stems: Sequence[StemGroup], sources: Sequence[str]) -> tuple[StemGroup, ...]:
    """Return the stems with the sources that a network separates.

    A rest of several sources is the one that a network has in their place: `accompaniment` of two stems.

    Raises:
        BadAudioError: they hold others; names both.
    """
    held = [source for stem in stems for source in stem.sources]
    lacking = tuple(source for source in sources if source not in held)
    if len(lacking) == 1:
        beyond = tuple(source for source in held if source not in sources)
        stems = [replace(stem, sources=lacking) if stem.sources == beyond else stem for stem in stems]
    if sorted(source for stem in stems for source in stem.sources) != sorted(sources):
        raise BadAudioError(
            f"the stems hold {', '.join(sorted(held))}, but the model separates {', '.join(sorted(sources))}"
        )
    return tuple(stems)


def marks_of_network(
    marks: Sequence[Mark], stems: Sequence[StemGroup], network_stems: Sequence[StemGroup]
) -> tuple[Mark, ...]:
    """Return the marks of the sources of `stems` as marks of those that a network has in their place."""
    names = {
        source: source if source in network.sources else network.sources[0]
        for stem, network in zip(stems, network_stems, strict=True)
        for source in stem.sources
    }
    return tuple(dict.fromkeys(replace(mark, source=names[mark.source]) for mark in marks))
