"""Stems as sources and regions of a session file that no Ardour has open.

Without a window, Ardour's Lua cannot import audio. It can place a region that the session file lists, so a
stem becomes a file among the session's audio, one `Source` a channel, and a `Region` that copies the original
with other audio: gain, envelope and fades come along. Tracks and connections are left to Ardour itself.
"""

from __future__ import annotations

import copy
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import soundfile

from ugosa_client.errors import BadInputError
from ugosa_client.marks.ardour import with_id_counter
from ugosa_client.marks.xml_insertion import element, insert_children


def add_stems(session_file: Path, region_id: str, stems: Mapping[str, Path]) -> dict[str, str]:
    """Add stems to a session as copies of one region; return the new region's id for each stem.

    Every other byte of the file stays, but for its counter of ids.

    Raises:
        BadInputError: the session has no such region on a playlist, or no folder of audio.
    """
    session = session_file.read_bytes()
    root = ET.fromstring(session)
    original = root.find(f"./Playlists/Playlist/Region[@id='{region_id}']")
    if original is None or root.find("Sources") is None or root.find("Regions") is None:
        raise BadInputError(
            f"{session_file} has no region {region_id} on a playlist; was it saved by Ardour 7?"
        )
    audio_folder = _audio_folder(session_file, root.get("name", ""))
    next_id = _first_free_id(root)
    sources, regions = [], []
    region_ids = {}
    for source, path in stems.items():
        name = f"{original.attrib['name']} {source}"
        region = _with_other_audio(original, name)
        for channel, file in enumerate(_write_channels(path, audio_folder, name)):
            attributes = {"name": file.name, "take-id": "", "type": "audio", "flags": "", "id": str(next_id)}
            sources.append(element("Source", attributes | {"channel": "0", "origin": "", "gain": "1"}))
            region.set(f"source-{channel}", str(next_id))
            region.set(f"master-source-{channel}", str(next_id))
            next_id += 1
        region.set("id", str(next_id))
        region_ids[source] = str(next_id)
        regions.append(ET.tostring(region, "unicode").strip())
        next_id += 1
    session = insert_children(session, ["Session", "Sources"], sources)
    session = insert_children(session, ["Session", "Regions"], regions)
    partial = session_file.with_name(session_file.name + ".tmp")
    partial.write_bytes(with_id_counter(session, next_id))
    os.replace(partial, session_file)
    return region_ids


def _audio_folder(session_file: Path, session_name: str) -> Path:
    """Return the session's audio folder, which may bear an earlier name of the session."""
    folders = sorted(session_file.parent.glob("interchange/*/audiofiles"))
    if not folders:
        raise BadInputError(
            f"{session_file.parent} has no folder interchange/NAME/audiofiles for the stems; give the "
            "session file inside its session's folder"
        )
    return next((folder for folder in folders if folder.parent.name == session_name), folders[0])


def _first_free_id(root: ET.Element) -> int:
    """Return an id above all that the file uses; the file's own counter can lag behind them."""
    used = [int(element.attrib["id"]) for element in root.iter() if element.get("id", "").isdigit()]
    return max([int(root.get("id-counter", "0")), *(used_id + 1 for used_id in used)])


def _with_other_audio(original: ET.Element, name: str) -> ET.Element:
    """Return a copy of a region, with gain and fades, that plays new audio from its first frame."""
    region = copy.deepcopy(original)
    for attribute in [key for key in region.attrib if re.fullmatch(r"(master-)?source-\d+", key)]:
        del region.attrib[attribute]
    region.attrib |= {"name": name, "start": "a0", "whole-file": "0", "muted": "0", "sync-position": "a0"}
    return region


def _write_channels(stem: Path, folder: Path, name: str) -> list[Path]:
    """Write each channel of a stem as a file of its own, under a name that is free.

    Ardour keeps its own recordings like this.
    """
    samples, rate_hz = soundfile.read(stem, dtype="float64", always_2d=True)  # [T, C]
    channels = samples.shape[1]
    endings = (
        ("",) if channels == 1 else ("%L", "%R") if channels == 2 else tuple(f"%{c}" for c in range(channels))
    )
    safe_name, number = re.sub(r'[/\\:*?"<>|]', "_", name), 1
    while any((folder / f"{_numbered(safe_name, number)}{ending}.wav").exists() for ending in endings):
        number += 1
    files = []
    for channel, ending in enumerate(endings):
        file = folder / f"{_numbered(safe_name, number)}{ending}.wav"
        partial = file.with_name(file.name + ".tmp")
        subtype = soundfile.info(stem).subtype
        soundfile.write(partial, samples[:, channel], rate_hz, subtype=subtype, format="WAV")
        os.replace(partial, file)
        files.append(file)
    return files


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"
