"""Renders an arrangement as a DAW would: position, offset, rate, length, gain, pan, fades, folders.

Run as a program it is the REAPER stand-in's own renderer of one item, for render mode.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

Audio = NDArray[np.float64]
"""[T, 2]"""

EPSILON_FRAMES = 1e-6  # what is left of seconds times rate in doubles


def render(tracks: list[dict[str, Any]], sample_rate_hz: int, frames: int) -> Audio:
    """Mix all tracks through their folders: [T, 2].

    I_FOLDERDEPTH of a track: 1 opens a folder with the next one, -n closes n folders after it.
    """
    folders: list[tuple[Audio, dict[str, Any] | None]] = [(np.zeros((frames, 2)), None)]
    for track in tracks:
        own = np.zeros((frames, 2))
        for item in track["items"]:
            if item.get("take"):
                own += _place(item, sample_rate_hz, frames)
        depth = int(track["values"]["I_FOLDERDEPTH"])
        if depth == 1:
            folders.append((own, track))
        else:
            folders[-1][0][:] += _through(track, own)
        for _ in range(-depth):
            mix, parent = folders.pop()
            assert parent is not None, "more folders are closed than opened"
            folders[-1][0][:] += _through(parent, mix)
    assert len(folders) == 1, "a folder is left open"
    return folders[0][0]


def _through(track: dict[str, Any], audio: Audio) -> Audio:
    values = track["values"]
    return audio * (0.0 if values["B_MUTE"] else values["D_VOL"]) * balance(values["D_PAN"])


def balance(pan: float) -> NDArray[np.float64]:
    """Return the gains of left and right: [2]."""
    return np.array([min(1.0, 1.0 - pan), min(1.0, 1.0 + pan)])


def _place(item: dict[str, Any], sample_rate_hz: int, frames: int) -> Audio:
    """Return the item's sound at its place in silence: [T, 2]."""
    placed = np.zeros((frames, 2))
    if item["values"]["B_MUTE"]:
        return placed
    position = item["values"]["D_POSITION"] * sample_rate_hz
    first = int(np.ceil(position - EPSILON_FRAMES))
    end = int(np.ceil(position + item["values"]["D_LENGTH"] * sample_rate_hz - EPSILON_FRAMES))
    times_s = np.arange(first, end) / sample_rate_hz - item["values"]["D_POSITION"]
    placed[first:end] = sound_of(item, times_s)
    return placed


def sound_of(item: dict[str, Any], times_s: NDArray[np.float64]) -> Audio:
    """Return what an item sounds like at times from its start, before its track: [len(times_s), 2]."""
    values, take = item["values"], item["take"]["values"]
    source, rate_hz = soundfile.read(item["take"]["path"], always_2d=True)
    if source.shape[1] == 1:
        source = np.repeat(source, 2, axis=1)
    if take["I_CHANMODE"] == 1:  # reverse stereo
        source = source[:, ::-1]
    positions = (times_s * take["D_PLAYRATE"] + take["D_STARTOFFS"]) * rate_hz
    if values["B_LOOPSRC"]:
        positions = positions % len(source)
    nearest = np.round(positions)
    positions = np.where(np.abs(positions - nearest) < EPSILON_FRAMES, nearest, positions)
    grid = np.arange(len(source))
    sound = np.stack(
        [np.interp(positions, grid, channel, left=0.0, right=0.0) for channel in source.T], axis=1
    )
    gain = values["D_VOL"] * take["D_VOL"] * _fades(values, times_s)
    return sound * gain[:, None] * balance(take["D_PAN"])


def _fades(values: dict[str, float], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    def fade(elapsed_s: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        length_s = values[f"D_FADE{name}LEN"]
        if values[f"D_FADE{name}LEN_AUTO"] > 0:
            length_s = values[f"D_FADE{name}LEN_AUTO"]
        if length_s <= 0:
            return np.ones_like(elapsed_s)
        x = np.clip(elapsed_s / length_s, 0, 1)
        # The curves are stand-ins for REAPER's; what counts is that shape and direction both matter.
        return x ** (1 + values[f"C_FADE{name}SHAPE"] / 2 + values[f"D_FADE{name}DIR"] / 4)

    return fade(times_s, "IN") * fade(values["D_LENGTH"] - times_s, "OUT")


def render_item(request: dict[str, Any]) -> None:
    """Write one item as REAPER's "selected media items" does: float WAV at the project's rate."""
    (item,) = (
        item for track in request["tracks"] for item in track["items"] if item["guid"] == request["guid"]
    )
    rate_hz = request["sample_rate_hz"]
    n_frames = int(np.ceil(item["values"]["D_LENGTH"] * rate_hz - EPSILON_FRAMES))
    sound = sound_of(item, np.arange(n_frames) / rate_hz)
    soundfile.write(request["path"], sound.astype(np.float32), rate_hz, subtype="FLOAT")


if __name__ == "__main__":
    render_item(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
