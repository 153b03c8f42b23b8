"""Make the sampler bank from packages of the distribution and a folder of voices (`train data`)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ugosa_research.songs.bank.drums import build_drums
from ugosa_research.songs.bank.grooves import grooves_of, played_styles
from ugosa_research.songs.bank.loops import build_loops
from ugosa_research.songs.bank.midi_songs import midi_song_patterns
from ugosa_research.songs.bank.notes import build_notes
from ugosa_research.songs.bank.pools import save_table
from ugosa_research.songs.bank.voices import build_syllables
from ugosa_server.errors import ConfigError

# Best first: bank_notes.SHARE_OF_PROGRAMS says how much of each is taken, in this order.
SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    Path("/usr/share/sounds/sf3/MuseScore_General_Lite.sf3"),
    Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),
)
GROOVE_COUNT = 500
# Debian package: what it gives, under which licence. Goes into the manifest and the model card.
SOURCES = {
    "fluid-soundfont-gm": "instrument notes and drum presets (MIT)",
    "musescore-general-soundfont-small": "instrument notes and drum presets (MIT, public domain, CC0)",
    "timgm6mb-soundfont": "instrument notes and drum presets (GPL-2)",
    "avldrums.lv2-soundfont": "two acoustic drum kits (CC BY-SA 3.0)",
    "hydrogen-drumkits": "sampled drum kits (a licence per kit: GPL-2, CC BY 3.0, CC BY-SA 3.0, CC0)",
    "sonic-pi-samples": "one-shots and drum loops (mostly CC0; some CC BY-SA 4.0, MIT, Zlib)",
    "lmms-common": "one-shots and drum loops (GPL-2+, CC BY-SA and others, see its copyright file)",
    "mma": "accompaniment styles (GPL-2+)",
    "simutrans-data": "MIDI songs as arrangements (Artistic 1.0); the bank goes without where it is absent",
    "openttd-openmsx": "the same (GPL-2)",
    "planetblupi-music-midi": "the same (GPL-3+)",
    "klettres-data": "spoken syllables of many languages (GPL-2+)",
    "espeak-ng": "spoken words (GPL-3+)",
    "fretsonfire-songs-sectoid": "guitar takes of four songs by Carlos Viola Iborra (MIT)",
}


@dataclass(frozen=True)
class BankProgress:
    """One kind of material is done."""

    name: str
    done: int
    of: int


def build_bank(out: Path, voices: Path, recordings: Path | None = None) -> Iterator[BankProgress]:
    """Build what `out` lacks, kind by kind (so an interrupted build resumes), then write the manifest.

    Args:
        out: folder of the bank.
        voices: folder with one UTAU voicebank a folder.
        recordings: folder of recorded notes and kits, see `recordings.py`; None: without.
    """
    needed = (*SOUNDFONTS, voices, *([recordings] if recordings is not None else []))
    absent = [str(path) for path in needed if not path.exists()]
    if absent:
        raise ConfigError(f"the bank needs {', '.join(absent)}; install the packages {', '.join(SOURCES)}")
    builders: dict[str, Callable[[], Any]] = {
        "drums": lambda: build_drums(SOUNDFONTS, recordings),
        "bass": lambda: build_notes("bass", SOUNDFONTS, recordings),
        "other": lambda: build_notes("other", SOUNDFONTS, recordings),
        "loops": build_loops,
        "grooves": lambda: grooves_of([*played_styles(GROOVE_COUNT), *midi_song_patterns()]),
        "syllables": lambda: build_syllables(voices),
    }
    out.mkdir(parents=True, exist_ok=True)
    for done, (name, build) in enumerate(builders.items(), start=1):
        if not (out / f"{name}.npz").exists():
            save_table(out, name, build())
        yield BankProgress(name, done, len(builders))
    manifest = {
        "sources": {
            package: {"gives": gives, "version": _package_version(package)}
            for package, gives in SOURCES.items()
        },
        "voices": sorted(path.name for path in voices.iterdir() if path.is_dir()),
        "recordings": sorted(
            path.parent.name + "/" + path.name for path in (recordings or out).glob("*/*") if path.is_dir()
        ),
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _package_version(package: str) -> str:
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
    )
    return query.stdout or "not installed"
