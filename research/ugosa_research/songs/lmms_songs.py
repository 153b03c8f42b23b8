"""Real songs with true stems: the sequencer LMMS plays its musicians' projects stem by stem (`train songs`).

For each stem a copy of the project is rendered in which all other tracks are muted, with the effects that
the song's author chose. What one track does to another (ducking by a kick) is lost with the muting.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import soundfile

from ugosa_research.songs.bank.pools import SAMPLE_RATE_HZ, FloatArray
from ugosa_research.songs.lmms_projects import HELD_OUT_PROJECTS, TRAINING_PROJECTS, LmmsProject
from ugosa_research.songs.stem_songs import KNOWN
from ugosa_server.errors import ConfigError

PARTS = ("train", "test")
PROJECTS_FOLDER = Path("/usr/share/lmms/projects")
INSTRUMENT_TRACK, BEAT_TRACK, SAMPLE_TRACK = "0", "1", "2"  # as LMMS numbers them
DRUM_FOLDERS = ("drums/", "beats/", "drumsynth/")
PITCHED_FOLDER = "drumsynth/instrument/"
LONGEST_RENDER_S = 900.0
TRIES = 4
HIGHEST_PEAK = 0.98


def render_songs(out: Path, parts: Sequence[str] = PARTS) -> Iterator[Path]:
    """Render what `out` lacks into `out`/train and `out`/test, yielding each song's folder.

    A folder has `drums.flac`, `bass.flac`, `other.flac`, a silent `vocals.flac` and `song.json` (author,
    licence), and appears when it is finished, so an interrupted call resumes.

    Raises:
        ConfigError: LMMS or its projects are not installed, or a project cannot be rendered.
    """
    if not PROJECTS_FOLDER.is_dir():
        raise ConfigError(f"{PROJECTS_FOLDER} is not there; install the Debian packages lmms and lmms-common")
    for part in parts:
        projects = TRAINING_PROJECTS if part == "train" else HELD_OUT_PROJECTS
        (out / part).mkdir(parents=True, exist_ok=True)
        for project in projects:
            folder = out / part / project.name
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=out) as scratch:
                    unfinished = Path(scratch) / project.name
                    _render_song(project, unfinished)
                    unfinished.rename(folder)
            yield folder


def _render_song(project: LmmsProject, folder: Path) -> None:
    folder.mkdir()
    song = read_project(PROJECTS_FOLDER / project.path)
    rendered = {stem: _rendered(only_stem(song, project, stem), project.name) for stem in KNOWN}
    n = max(len(audio) for audio in rendered.values())
    rendered["vocals"] = np.zeros((n, 2), np.float32)
    peak = max(float(np.abs(audio).max(initial=0)) for audio in rendered.values())
    gain = np.float32(HIGHEST_PEAK / max(peak, HIGHEST_PEAK))
    for stem, audio in rendered.items():
        whole = np.pad(audio, ((0, n - len(audio)), (0, 0)))
        soundfile.write(folder / f"{stem}.flac", whole * gain, SAMPLE_RATE_HZ)
    about = {"project": project.path, "author": project.author, "licence": project.licence}
    (folder / "song.json").write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n")


def read_project(path: Path) -> ET.Element:
    """The project's document; `.mmpz` is compressed behind four bytes of length."""
    data = path.read_bytes()
    return ET.fromstring(zlib.decompress(data[4:]) if path.suffix == ".mmpz" else data)


def only_stem(song: ET.Element, project: LmmsProject, stem: str) -> ET.Element:
    """A copy in which every track of another stem is muted."""
    copy = deepcopy(song)
    for place, track in tracks_of(copy):
        track.set("solo", "0")
        if stem_of(place, track, project) != stem:
            track.set("muted", "1")
    return copy


def tracks_of(song: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    """Every track that sounds, with its place as `LmmsProject` names it."""
    for index, track in enumerate(song.findall("song/trackcontainer/track")):
        if track.get("type") in (INSTRUMENT_TRACK, SAMPLE_TRACK):
            yield str(index), track
        elif track.get("type") == BEAT_TRACK:
            for inner, beat in enumerate(track.findall("bbtrack/trackcontainer/track")):
                if beat.get("type") == INSTRUMENT_TRACK:
                    yield f"{index}.{inner}", beat


def stem_of(place: str, track: ET.Element, project: LmmsProject) -> str:
    """drums, bass or other."""
    if place in project.bass:
        return "bass"
    sampler = track.find("instrumenttrack/instrument/audiofileprocessor")
    sample = sampler.get("src", "") if sampler is not None else ""
    if place in project.drums or (sample.startswith(DRUM_FOLDERS) and not sample.startswith(PITCHED_FOLDER)):
        return "drums"
    return "other"


def _rendered(song: ET.Element, name: str) -> FloatArray:
    """Render a project with LMMS: [T, 2]."""
    with tempfile.TemporaryDirectory() as scratch:
        project, audio = Path(scratch) / "song.mmp", Path(scratch) / "song.wav"
        ET.ElementTree(song).write(project)
        command = ["lmms", "--allowroot", "--config", f"{scratch}/lmmsrc.xml", "render", str(project)]
        command += ["--format", "wav", "--float", "--samplerate", str(SAMPLE_RATE_HZ)]
        command += ["--interpolation", "sincfastest", "--oversampling", "1", "--output", str(audio)]
        try:
            for _ in range(TRIES):  # LMMS 1.2.2 crashes now and then
                done = subprocess.run(
                    command,
                    env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
                    capture_output=True,
                    check=False,
                    timeout=LONGEST_RENDER_S,
                )
                if done.returncode == 0:
                    break
            done.check_returncode()
            samples, _ = soundfile.read(audio, dtype="float32", always_2d=True)
        except (OSError, subprocess.SubprocessError, soundfile.LibsndfileError) as error:
            raise ConfigError(f"LMMS cannot render {name}: {error}") from error
    finite: FloatArray = np.nan_to_num(samples)
    return finite
