"""The open project: which track, its audio as a file, and stems as new tracks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ugosa_audacity.pipe import AudacityError, AudacityPipe
from ugosa_client.errors import BadInputError

WAV_ENCODING = "/FileFormats/ExportFormat_SF1_Type/WAV_10000"
"""Preference: libsndfile's subtype for exported WAV files; 0x10000 is libsndfile's WAV."""
WAV_FLOAT = "6"  # SF_FORMAT_FLOAT
WAV_DEFAULT = "2"  # SF_FORMAT_PCM_16, what Audacity exports when nothing was ever chosen; it dithers


@dataclass(frozen=True)
class Track:
    """An audio track of the project."""

    index: int
    """Place among all tracks, from 0."""
    name: str
    """Name in its panel."""
    channels: int
    """1 or 2."""
    end_s: float = 0.0
    """End of its audio, in seconds from the start of the project; Audacity reports six digits."""


def selected_track(audacity: AudacityPipe) -> Track:
    """Return the selected audio track, or the only one there is.

    Raises:
        BadInputError: none or several are selected.
    """
    tracks = [
        (Track(index, track["name"], track["channels"], track["end"]), bool(track["selected"]))
        for index, track in enumerate(audacity.info("Tracks"))
        if track["kind"] == "wave"
    ]
    if not tracks:
        raise BadInputError("the project has no audio track; import the song first (File > Import > Audio)")
    selected = [track for track, is_selected in tracks if is_selected] or [track for track, _ in tracks]
    if len(selected) > 1:
        names = ", ".join(repr(track.name) for track in selected)
        raise BadInputError(f"which track, {names}? Select one by a click on its panel, and run this again")
    return selected[0]


def export_track(audacity: AudacityPipe, track: Track, path: Path) -> None:
    """Write a track from the project's start, with its gain and pan, as 32-bit float WAV.

    The user's choice of a format for WAV files is put back afterwards.
    """
    before = audacity.preference(WAV_ENCODING)
    audacity.do("SetPreference", Name=WAV_ENCODING, Value=WAV_FLOAT)
    try:
        select_track(audacity, track)
        audacity.do("SelTrackStartToEnd")
        audacity.do("Export2", Filename=str(path), NumChannels=track.channels)
    finally:
        audacity.do("SetPreference", Name=WAV_ENCODING, Value=before or WAV_DEFAULT)
    if not path.exists():
        raise AudacityError(f"Audacity has not exported the track {track.name!r} to {path}")


def insert_stems(audacity: AudacityPipe, track: Track, stems: Mapping[str, Path]) -> None:
    """Add a track for each stem, from the start of the project on, and mute the original."""
    safe_name = re.sub(r'[/\\"]', "_", track.name)
    for source, path in stems.items():
        # A track is called after its file.
        audacity.do("Import2", Filename=str(path.rename(path.with_name(f"{safe_name} {source}.wav"))))
    select_track(audacity, track)
    audacity.do("SetTrackAudio", Mute=1)


def select_track(audacity: AudacityPipe, track: Track) -> None:
    """Select this track alone, so that the next command finds it."""
    audacity.do("SelectTracks", Track=track.index, TrackCount=1, Mode="Set")
