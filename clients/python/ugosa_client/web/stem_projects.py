"""Stems of a job as what DAWs open: REAPER, Audacity, and DAWproject for Bitwig, Cubase and Studio One.

Each has a track for each stem from time 0 on, and the job's marks. Audacity's own projects are databases;
it opens a list of files (.lof) as well, and labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import ugosa_client
from ugosa_client.marks.formats import format_named
from ugosa_client.marks.regions import regions_of_marks
from ugosa_client.marks.rpp import LINE_END, quote
from ugosa_client.resources import Job, Stem

REAPER_KINDS = {".wav": "WAVE", ".flac": "FLAC"}
TEMPO_BPM = 120  # of DAWproject: what DAWs begin with
BEATS_PER_S = TEMPO_BPM // 60


@dataclass(frozen=True)
class StemProject:
    """A zip of stems and of what a DAW opens."""

    file_name: str
    """Name of the zip."""
    folder: str
    """Folder of the stems in it."""
    files: dict[str, bytes]
    """Contents of the files beside the stems, by their names."""


def reaper_project(job: Job, song: str, file_names: Sequence[str]) -> StemProject:
    """Return the stems of a job that succeeded as a folder with a REAPER project; marks are its regions.

    Args:
        job: with the stems.
        song: name of the song as a file, without suffix.
        file_names: of the stems, in their order.
    """
    lines = ['<REAPER_PROJECT 0.1 "6.0/ugosa" 0']
    lines += [f"  SAMPLERATE {stem.sample_rate_hz} 1 0" for stem in job.stems[:1]]
    for stem, file_name in zip(job.stems, file_names, strict=True):
        lines += [
            "  <TRACK",
            f"    NAME {quote(stem.source)}",
            "    <ITEM",
            "      POSITION 0",
            f"      LENGTH {stem.frames / stem.sample_rate_hz:.14f}",
            f"      SEL {int(stem is job.stems[0])}",  # marks are read back in time of the selected item
            f"      NAME {quote(file_name)}",
            f"      <SOURCE {REAPER_KINDS[PurePath(file_name).suffix]}",
            f"        FILE {quote(file_name)}",
            "      >",
            "    >",
            "  >",
        ]
    tracks = "".join(line + LINE_END for line in [*lines, ">"]).encode()
    project = format_named("rpp").write(regions_of_marks(job.marks), _rate(job), tracks)
    folder = f"{song} stems"
    return StemProject(f"{folder} for REAPER.zip", folder, {f"{folder}/{song}.rpp": project})


def audacity_project(job: Job, song: str, file_names: Sequence[str]) -> StemProject:
    """Return stems as a folder with a list that Audacity opens, and labels; see `reaper_project`."""
    listed = "".join(f'file "{name}"\n' for name in file_names).encode()
    labels = format_named("audacity").write(regions_of_marks(job.marks), _rate(job), None)
    folder = f"{song} stems"
    files = {f"{folder}/{song}.lof": listed, f"{folder}/{song} marks.txt": labels}
    return StemProject(f"{folder} for Audacity.zip", folder, files)


def dawproject(job: Job, song: str, file_names: Sequence[str]) -> StemProject:
    """Return the stems of a job as one .dawproject file; see `reaper_project`.

    A mark is two markers, at its start and its end, as it is in Ableton Live: DAWproject has no regions.
    """
    project = Element("Project", version="1.0")
    SubElement(project, "Application", name="UGOSA", version=ugosa_client.__version__)
    transport = SubElement(project, "Transport")
    SubElement(transport, "Tempo", unit="bpm", value=str(TEMPO_BPM))
    SubElement(transport, "TimeSignature", numerator="4", denominator="4")
    structure = SubElement(project, "Structure")
    arrangement = SubElement(project, "Arrangement")
    lanes = SubElement(arrangement, "Lanes", timeUnit="beats")
    for number, (stem, file_name) in enumerate(zip(job.stems, file_names, strict=True)):
        _add_track(structure, f"track{number}", stem.source, stem, "regular")
        _add_clip(lanes, f"track{number}", stem, f"audio/{file_name}")
    _add_track(structure, "master", "Master", job.stems[0], "master")
    if job.marks:
        markers = SubElement(arrangement, "Markers", timeUnit="beats")
        for region in regions_of_marks(job.marks):
            for edge, position in (("start", region.start), ("end", region.end)):
                beat = float(position.seconds(_rate(job)) * BEATS_PER_S)
                SubElement(markers, "Marker", time=repr(beat), name=f"{region.name} {edge}")
    metadata = Element("MetaData")
    SubElement(metadata, "Title").text = song
    return StemProject(
        f"{song}.dawproject",
        "audio",
        {"project.xml": _document(project), "metadata.xml": _document(metadata)},
    )


PROJECTS: dict[str, Callable[[Job, str, Sequence[str]], StemProject]] = {
    "reaper": reaper_project,
    "audacity": audacity_project,
    "dawproject": dawproject,
}


def _add_track(structure: Element, track_id: str, name: str, stem: Stem, role: str) -> None:
    track = SubElement(structure, "Track", contentType="audio", loaded="true", id=track_id, name=name)
    channel = SubElement(track, "Channel", role=role, id=f"{track_id}-channel")
    channel.set("audioChannels", str(stem.channels))
    if role == "regular":
        channel.set("destination", "master-channel")
    SubElement(channel, "Volume", unit="linear", min="0", max="2", value="1")


def _add_clip(lanes: Element, track_id: str, stem: Stem, path: str) -> None:
    """Add a clip whose audio goes at its own speed, whatever the tempo becomes."""
    duration_s = stem.frames / stem.sample_rate_hz
    clips = SubElement(SubElement(lanes, "Lanes", track=track_id), "Clips")
    clip = SubElement(clips, "Clip", time="0", contentTimeUnit="seconds", playStart="0", name=stem.source)
    clip.set("duration", repr(duration_s * BEATS_PER_S))
    audio = SubElement(clip, "Audio", algorithm="raw", duration=repr(duration_s))
    audio.set("channels", str(stem.channels))
    audio.set("sampleRate", str(stem.sample_rate_hz))
    SubElement(audio, "File", path=path)


def _document(root: Element) -> bytes:
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True))


def _rate(job: Job) -> int | None:
    return job.audio.sample_rate_hz if job.audio else None
