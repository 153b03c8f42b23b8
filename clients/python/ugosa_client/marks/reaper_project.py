"""REAPER projects (.rpp): regions and lanes, in time of the song's own file.

Marks come from regions of the ruler (`MARKER 1 0.5 "no vocals" 1 ...` and a second line of the same number
for the end), from ruler lanes named for an instrument (`RULERLANE 2 8 vocals 0 -1`, and the 11th word of a
region's first line is 2), and from empty items on tracks named for one. In such a lane or track a region or
item is active time, and the rest of the song is silence.

Where the project has the song as an item, project time becomes time of the item's file:
file time = project time - POSITION + SOFFS. What lies outside of the item says nothing of the song.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PureWindowsPath
from typing import Any

from ugosa_client.marks.labels import says_more_than_names
from ugosa_client.marks.regions import OF_UGOSA, Position, Region, format_seconds, parse_seconds, whole_number
from ugosa_client.marks.rpp import LINE_END, Block, parse_rpp, quote
from ugosa_client.marks.text import decode_project, lines_with_ends, one_form

REGION_BIT = 1
DECIMALS = 14  # as REAPER writes them
LANE_WORD = 10  # of a MARKER line, from 0; lanes count from 1. REAPER 7.62 and later
NOT_AUDIO = {"MIDI", "MIDIPOOL", "CLICK", "EMPTY", "LTC", "RPP_PROJECT"}


@dataclass(frozen=True)
class SongItem:
    """The item of a project that holds the song."""

    file: str
    """Path as the project writes it: relative to the project's folder, or absolute."""
    position_s: Position
    """Start of the item in the project."""
    length_s: Position
    offset_s: Position
    """Start of the item in the file."""

    @property
    def shift_s(self) -> Fraction:
        """Seconds to add to project time for time of the file."""
        return self.offset_s.value - self.position_s.value

    @property
    def span_s(self) -> tuple[Fraction, Fraction]:
        """Start and end in the file of what the item plays, in seconds."""
        return self.offset_s.value, self.offset_s.value + self.length_s.value


def looks_like(data: bytes) -> bool:
    """Return whether the data begins as a project; ValueError if it is no text."""
    return decode_project(data).lstrip().startswith("<REAPER_PROJECT")


def parse(data: bytes) -> list[Region]:
    """Read regions and lane items, in time of the song's file, cut at the ends of its item.

    Raises:
        ValueError: it is no project, or has several items that could be the song.
    """
    project = parse_rpp(decode_project(data))
    item = find_song(project)
    ruler = list(_ruler_regions(project))
    lanes = list(_lane_regions(project))
    if item is None:
        return ruler + lanes
    inside = [cut for region in ruler if (cut := _in_item(region, item)) is not None]
    in_ruler_lanes = [region for region in inside if region.lane_says]
    for name in dict.fromkeys(region.lane for region in in_ruler_lanes):
        inside += _silence_between(name, [region for region in in_ruler_lanes if region.lane == name], item)
    for name in dict.fromkeys(region.name for region in lanes):
        spans = [cut for r in lanes if r.name == name and (cut := _in_item(r, item)) is not None]
        if spans:  # items that all lie elsewhere say nothing of this song
            inside += [*spans, *_silence_between(name, spans, item)]
    return inside


def regions_outside_song(data: bytes) -> list[Region]:
    """Return the regions of the ruler that lie outside of the song's item, in project time."""
    project = parse_rpp(decode_project(data))
    item = find_song(project)
    return [] if item is None else [r for r in _ruler_regions(project) if _in_item(r, item) is None]


def project_song(path: Path) -> Path:
    """Return the audio file of a project's song.

    Raises:
        ValueError: there is none, or several, or the item plays it changed.
    """
    item = find_song(parse_rpp(path.read_bytes().decode("utf-8-sig", "surrogateescape")))
    if item is None:
        raise ValueError("it has no audio item; give the song itself, and the project with --marks")
    windows = PureWindowsPath(item.file)
    for candidate in (
        path.parent / item.file,
        path.parent / Path(*windows.parts),
        path.parent / windows.name,
    ):
        if candidate.is_file():
            return candidate
    folder = (path.parent / Path(*windows.parts)).parent
    for found in sorted(folder.iterdir() if folder.is_dir() else ()):
        if one_form(found.name) == one_form(windows.name) and found.is_file():
            return found
    raise ValueError(f"its song {item.file} is not there; open the project in REAPER and find the file")


def find_song(project: Block) -> SongItem | None:
    """Return the only audio item, or the only selected one; None if there is no audio.

    Raises:
        ValueError: several could be meant, or the item changes what its file sounds like.
    """
    items = [
        (track, item) for track in project.blocks("TRACK") for item in track.blocks("ITEM") if _source(item)
    ]
    if len(items) > 1:
        items = [pair for pair in items if pair[1].value("SEL", "0") == "1"] or items
    if len(items) > 1:
        names = ", ".join(
            f"{_take(item).value('NAME', '(no name)')!r} on {track.value('NAME', '')!r}"
            for track, item in items
        )
        raise ValueError(f"it has {len(items)} audio items ({names}); select the song's item and save")
    return _song_item(items[0][1]) if items else None


def write(regions: Sequence[Region], sample_rate_hz: int | None, into: bytes | None) -> bytes:
    """Return a project with the regions, or the given one with lines for them added.

    No other byte of it changes. In a project that has the song as an item they are put where the item is.
    """
    if into is None:
        rate = [f"  SAMPLERATE {sample_rate_hz} 1 0"] if sample_rate_hz is not None else []
        head = [line + LINE_END for line in ('<REAPER_PROJECT 0.1 "6.0/ugosa" 0', *rate)]
        tail, line_end, first, shift_s = [">" + LINE_END], LINE_END, 1, Fraction(0)
    else:
        text = into.decode("utf-8", errors="surrogateescape")
        project = parse_rpp(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))  # a byte order mark
        item = find_song(project)
        shift_s = Fraction(0) if item is None else item.shift_s
        markers = [line for line in project.lines("MARKER") if len(line.tokens) > 1]
        first = 1 + max((whole_number(line.tokens[1]) for line in markers), default=0)
        lines = lines_with_ends(text)
        place = _marker_place(project)
        head, tail = lines[:place], lines[place:]
        line_end = lines[0][len(lines[0].rstrip("\r\n")) :]
    body = []
    for number, region in enumerate(regions, start=first):
        start, end_s = (p.seconds(sample_rate_hz) - shift_s for p in (region.start, region.end))
        body.append(f"  MARKER {number} {format_seconds(start, DECIMALS)} {quote(region.name)} {REGION_BIT}")
        body.append(f'  MARKER {number} {format_seconds(end_s, DECIMALS)} "" {REGION_BIT}')
    added = [line + line_end for line in body]
    return "".join([*head, *added, *tail]).encode("utf-8", errors="surrogateescape")


def _marker_place(project: Block) -> int:
    """Return the number of lines before new markers: to the last marker, else the first track."""
    markers = [line.number for line in project.lines("MARKER")]
    if markers:
        return max(markers)
    tracks = [block.number - 1 for block in project.blocks("TRACK")]
    return min(tracks, default=project.end - 1)


def _ruler_regions(project: Block) -> Iterator[Region]:
    """Pair the two lines of each region; regions of UGOSA's own scripts are left out."""
    lane_names = {
        line.tokens[1]: line.tokens[3] for line in project.lines("RULERLANE") if len(line.tokens) > 3
    }
    opened: dict[str, Any] = {}
    for line in project.lines("MARKER"):
        if len(line.tokens) < 5 or not line.tokens[4].isdecimal():
            continue
        _, number, time, name, flags = line.tokens[:5]
        if not whole_number(flags) & REGION_BIT:
            continue
        try:
            position = parse_seconds(time)
        except ValueError as error:
            raise ValueError(f"line {line.number}: {error}") from None
        if number in opened:
            start, first_name, first_line, lane = opened.pop(number)
            if not OF_UGOSA.fullmatch(first_name):
                yield Region(first_name, start, position, first_line, lane=lane, named_freely=True)
        else:
            lane = lane_names.get("".join(line.tokens[LANE_WORD : LANE_WORD + 1]), "").strip()
            opened[number] = position, name.strip(), line.number, lane
    for _, name, line_number, _ in opened.values():
        raise ValueError(f"line {line_number}: the region {name!r} has no end")


def _lane_regions(project: Block) -> Iterator[Region]:
    for track in project.blocks("TRACK"):
        name = track.value("NAME", "").strip()
        for item in track.blocks("ITEM"):
            if name and _take(item) is item and not list(item.blocks("SOURCE")):
                start = parse_seconds(item.value("POSITION", "0"))
                length = parse_seconds(item.value("LENGTH", "0"))
                yield Region(name, start, start + length, item.number, from_lane=True)


def _silence_between(name: str, spans: Sequence[Region], item: SongItem) -> Iterator[Region]:
    """Yield the silence that a lane leaves in the item."""
    if says_more_than_names(name):
        return
    position, stop = item.span_s
    for start, end in sorted((span.start.value, span.end.value) for span in spans):
        if start > position:
            yield _silence(name, position, start)
        position = max(position, end)
    if position < stop:  # an item that is longer than its file plays the file again
        yield replace(_silence(name, position, stop), to_the_end=True)


def _silence(name: str, start: Fraction, end: Fraction) -> Region:
    resolution = Fraction(1, 10**DECIMALS)
    return Region(f"no {name}", Position(start, resolution), Position(end, resolution), from_lane=True)


def _in_item(region: Region, item: SongItem) -> Region | None:
    """Return the region in time of the file, cut at the item's ends; None outside of it."""
    first, last = item.span_s
    start = max(region.start.value + item.shift_s, first)
    end = min(region.end.value + item.shift_s, last)
    if region.start.value < region.end.value and start >= end:
        return None
    resolution = region.start.resolution + item.offset_s.resolution + item.position_s.resolution
    return replace(region, start=Position(start, resolution), end=Position(end, resolution))


def _take(item: Block) -> Block:
    """Return the active take: the item itself holds the first, `TAKE` lines begin the others."""
    takes = [Block("TAKE", [], item.number)]
    active = 0
    for child in item.children:
        if not isinstance(child, Block) and child.key == "TAKE":
            takes.append(Block("TAKE", child.tokens[1:], child.number))
            active = len(takes) - 1 if "SEL" in child.tokens else active
        else:
            takes[-1].children.append(child)
    return item if len(takes) == 1 else takes[active]


def _source(item: Block) -> Block | None:
    """Return the audio source of an item's active take."""
    source = next(_take(item).blocks("SOURCE"), None)
    return (
        source if source is not None and source.arguments[:1] not in [[kind] for kind in NOT_AUDIO] else None
    )


def _song_item(item: Block) -> SongItem:
    """Return the item, and refuse one that does not play its file as it is."""
    take, source = _take(item), _source(item)
    assert source is not None
    changes = {
        "its play rate is not 1": parse_seconds(take.value("PLAYRATE", "1")).value != 1,
        "its pitch is changed": parse_seconds(take.value("PLAYRATE", "0", 3)).value != 0
        or any(take.blocks("PITCHENV")),
        "it plays only some channels": take.value("CHANMODE", "0") != "0",
        "it is a section, or reversed": source.arguments[:1] == ["SECTION"],
        "it has stretch markers": any(take.lines("SM")),
        "it has take effects": any(take.blocks("TAKEFX")),
    }
    name = take.value("NAME", "(no name)")
    for change, is_so in changes.items():
        if is_so:
            raise ValueError(
                f"line {item.number}: the item {name!r} is not its file: {change}; glue it and save"
            )
    file = source.value("FILE", "")
    if not file:
        raise ValueError(f"line {source.number}: the item {name!r} has no file")
    return SongItem(
        file,
        parse_seconds(item.value("POSITION", "0")),
        parse_seconds(item.value("LENGTH", "0")),
        parse_seconds(take.value("SOFFS", "0")),
    )
