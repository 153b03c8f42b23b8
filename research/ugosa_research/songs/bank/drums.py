"""Drum hits for the bank: sampled kits, one-shots and the drum presets of soundfonts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ugosa_research.songs.bank.pools import (
    DRUM_ROLES,
    SAMPLE_RATE_HZ,
    DrumHits,
    FloatArray,
    pool_of,
    read_mono,
)
from ugosa_research.songs.bank.recordings import recorded_hits
from ugosa_research.songs.soundfont import DRUM_BANK, SoundfontPlayer

HYDROGEN_KITS = Path("/usr/share/hydrogen/data/drumkits")
ONE_SHOT_FOLDERS = (Path("/usr/share/lmms/samples/drums"), Path("/usr/share/sonic-pi/samples"))
ONE_SHOT_KIT = "oneshots"
DRUM_SOUNDFONTS = (
    Path("/usr/share/sounds/sf2/Black_Pearl_4_LV2.sf2"),
    Path("/usr/share/sounds/sf2/Red_Zeppelin_4_LV2.sf2"),
)
GM_DRUM_PRESETS = (0, 8, 16, 24, 25, 32, 40)
KEY_OF_ROLE = {
    "kick": 36,
    "snare": 38,
    "closed_hat": 42,
    "open_hat": 46,
    "mid_tom": 45,
    "high_tom": 50,
    "low_tom": 41,
    "crash": 49,
    "ride": 51,
    "stick": 37,
    "clap": 39,
    "percussion": 54,
}
LAYERED_ROLES = ("kick", "snare", "closed_hat")  # heard most, so kept at a soft and a hard velocity
LONGEST_S = {"crash": 2.0, "ride": 1.5, "open_hat": 1.0}
LONGEST_OTHER_S = 0.8
PEAK = 0.7
MAX_HITS_A_ROLE = 60

# The first pattern that a file or instrument name matches decides its role.
ROLE_PATTERNS = (
    ("kick", r"kick|bass ?drum|\bbd|\bkdrum|thump"),
    ("stick", r"stick|rim"),
    ("clap", r"clap|snap"),
    ("pedal_hat", r"(pedal|foot).*(h|hat)"),
    ("open_hat", r"open|ohh|hihat_opened"),
    ("closed_hat", r"hat|hh"),
    ("snare", r"snare|\bsn"),
    ("low_tom", r"tom.*(low|floor|3|lo)|floor"),
    ("mid_tom", r"tom.*(mid|2)"),
    ("high_tom", r"tom"),
    ("ride", r"ride"),
    ("crash", r"crash|cymbal|china|splash"),
    ("bell", r"cowbell|bell"),
    ("percussion", r"tamb|shaker|maraca|bongo|conga|clave|wood|perc"),
)
NOT_A_HIT = ("loop", "ambi", "guit", "bass_", "vinyl")


@dataclass(frozen=True)
class Hit:
    """One hit on its way into the bank."""

    kit: str
    role: str
    audio: FloatArray


def build_drums(gm_soundfonts: tuple[Path, ...], recordings: Path | None = None) -> DrumHits:
    """Collect every kit that has at least a kick and a snare."""
    player = SoundfontPlayer()
    found = [*_hydrogen_hits(), *_one_shots(), *_recorded_hits(recordings)]
    for soundfont in gm_soundfonts:
        for preset in GM_DRUM_PRESETS:
            found += _soundfont_hits(player, soundfont, DRUM_BANK, preset, f"{soundfont.name}:{preset}")
    for soundfont in DRUM_SOUNDFONTS:
        found += _soundfont_hits(player, soundfont, 0, 0, soundfont.name)
    roles_of: dict[str, set[str]] = {}
    for hit in found:
        roles_of.setdefault(hit.kit, set()).add(hit.role)
    kits = tuple(sorted(kit for kit, roles in roles_of.items() if {"kick", "snare"} <= roles))
    hits = [hit for hit in found if hit.kit in kits]
    return DrumHits(
        audio=pool_of([hit.audio for hit in hits]),
        roles=np.array([DRUM_ROLES.index(hit.role) for hit in hits]),
        kits=np.array([kits.index(hit.kit) for hit in hits]),
        kit_names=kits,
    )


def role_of(name: str) -> str | None:
    """The drum that a file or instrument name speaks of, if any."""
    name = name.lower()
    return next((role for role, pattern in ROLE_PATTERNS if re.search(pattern, name)), None)


def trimmed_hit(audio: FloatArray, role: str) -> FloatArray | None:
    """Cut silence and overlong tails, fade the end, set the peak; None if there is nothing."""
    loud = np.flatnonzero(np.abs(audio) > 1e-3 * np.abs(audio).max(initial=0))
    if len(loud) < 100 or np.abs(audio).max() < 1e-4:
        return None
    start = max(0, loud[0] - 20)
    longest = int(LONGEST_S.get(role, LONGEST_OTHER_S) * SAMPLE_RATE_HZ)
    hit = audio[start : min(loud[-1] + 1, start + longest)].copy()
    fade = min(len(hit), 1500)
    hit[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.asarray(hit * (PEAK / np.abs(hit).max()), np.float32)


def _hydrogen_hits() -> Iterator[Hit]:
    for folder in sorted(HYDROGEN_KITS.iterdir()):
        text = (folder / "drumkit.xml").read_text("utf8", errors="replace")
        taken: dict[str, int] = {}
        for instrument in re.findall(r"<instrument>(.*?)</instrument>", text, re.S):
            name = re.search(r"<name>(.*?)</name>", instrument)
            role = role_of(html.unescape(name.group(1))) if name else None
            files = [
                folder / html.unescape(file) for file in re.findall(r"<filename>(.*?)</filename>", instrument)
            ]
            files = [file for file in files if file.exists()]
            if role is None or not files or taken.get(role, 0) >= 2:
                continue
            taken[role] = taken.get(role, 0) + 1
            for file in dict.fromkeys([files[len(files) // 2], files[-1]]):
                yield from _file_hits(file, role, folder.name)


def _one_shots() -> Iterator[Hit]:
    taken: dict[str, int] = {}
    for folder in ONE_SHOT_FOLDERS:
        for file in sorted([*folder.glob("*.ogg"), *folder.glob("*.flac")]):
            if file.name.startswith(NOT_A_HIT):
                continue
            plain = re.sub(r"\d|elec_|drum_(?!cymbal|bass|heavy)", "", file.stem)
            for odd, usual in (
                ("cymbal_closed", "hat"),
                ("cymbal_open", "open"),
                ("bass", "kick"),
                ("bd", "kick"),
            ):
                plain = plain.replace(odd, usual)
            role = role_of(plain)
            if role is not None and taken.get(role, 0) < MAX_HITS_A_ROLE:
                taken[role] = taken.get(role, 0) + 1
                yield from _file_hits(file, role, ONE_SHOT_KIT)


def _recorded_hits(recordings: Path | None) -> Iterator[Hit]:
    taken: dict[tuple[str, str], int] = {}
    for kit, name, file in recorded_hits(recordings) if recordings is not None else ():
        role = role_of(name)
        if role is not None and taken.get((kit, role), 0) < MAX_HITS_A_ROLE:
            taken[kit, role] = taken.get((kit, role), 0) + 1
            yield from _file_hits(file, role, kit)


def _file_hits(file: Path, role: str, kit: str) -> Iterator[Hit]:
    try:
        hit = trimmed_hit(read_mono(file), role)
    except soundfile.LibsndfileError:
        return  # a kit may carry a file in a format that libsndfile does not know
    if hit is not None:
        yield Hit(kit, role, hit)


def _soundfont_hits(
    player: SoundfontPlayer, soundfont: Path, bank: int, preset: int, kit: str
) -> Iterator[Hit]:
    for role, key in KEY_OF_ROLE.items():
        for velocity in (70, 120) if role in LAYERED_ROLES else (120,):
            hit = trimmed_hit(player.note(soundfont, bank, preset, key, velocity, 0.3, 1.9), role)
            if hit is not None:
                yield Hit(kit, role, hit)
