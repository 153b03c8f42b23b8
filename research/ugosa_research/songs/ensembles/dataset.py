"""Render training and test data for the Conditioned U-Net: `ugosa-server train cunet-data`.

    OUT/scores.json                                  the parts, read once
    OUT/train/wav11k/<Instrument>/<take>-<part>.wav  Solos layout, 11,025 Hz; OUT/validation likewise
    OUT/test-seen-soundfonts/<piece>/AuMix_*.wav, AuSep_*.wav   URMP layout, 44.1 kHz
    OUT/test-unseen-soundfont/<piece>/...            the same performances on the soundfont held out
    OUT/manifest.json                                what it is made of, with licences

Files of one take share the name before the hyphen, so that trainings can mix parts that belong together. No
score of one split is in another (`scores.split_of`), and `HELD_OUT` plays in no other set than its own.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ugosa_research.songs.ensembles.player import EnsemblePlayer
from ugosa_research.songs.ensembles.scores import (
    COLLECTIONS,
    SOLO_TUNES,
    SPLITS,
    Score,
    ScoreNote,
    corpus_files,
    read_score,
    split_of,
)
from ugosa_research.songs.ensembles.takes import FloatArray, Take, plan_take, render_take
from ugosa_server.errors import ConfigError
from ugosa_server.files import replacing

SOLOS_RATE_HZ = 11025
URMP_RATE_HZ = 44100
MOST_TUNES = 240
WORKER_NICENESS = 19
TEST_SEEN, TEST_UNSEEN = "test-seen-soundfonts", "test-unseen-soundfont"


@dataclass(frozen=True)
class Soundfont:
    """One soundfont of the distribution."""

    package: str
    """Debian package."""
    path: Path
    licence: str


TRAINING_SOUNDFONTS = (
    Soundfont("fluid-soundfont-gm", Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), "MIT"),
    Soundfont(
        "musescore-general-soundfont",
        Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3"),
        "MIT, public domain, CC0",
    ),
    Soundfont("csound-soundfont", Path("/usr/share/sounds/sf2/sf_GMbank.sf2"), "public domain"),
)
# FluidR3 and MuseScore General share samples, so neither would be a fair test of the other.
HELD_OUT = Soundfont("timgm6mb-soundfont", Path("/usr/share/sounds/sf2/TimGM6mb.sf2"), "GPL-2")


@dataclass(frozen=True)
class EnsembleDataPlan:
    """Amount to render."""

    seed: int = 0
    """Seed of all choices."""
    training_takes: int = 500
    validation_takes: int = 40
    test_takes: int = 24
    """Pieces in each of the two test sets."""
    training_s: float = 40.0
    """Length of a training or validation take."""
    test_s: float = 30.0
    """Length of a test piece."""


@dataclass(frozen=True)
class RenderProgress:
    """One more take is there."""

    set_name: str
    done: int
    of: int


@dataclass(frozen=True)
class _Job:
    set_name: str
    take: Take
    score: Score
    soundfonts: tuple[Path, ...]
    out: Path
    duration_s: float


def render_dataset(plan: EnsembleDataPlan, out: Path, workers: int = 1) -> Iterator[RenderProgress]:
    """Render what `out` lacks, and write the manifest at the end.

    Raises:
        ConfigError: a soundfont, music21 or FluidSynth is not installed, or `out` holds other data.
    """
    absent = [font.package for font in (*TRAINING_SOUNDFONTS, HELD_OUT) if not font.path.exists()]
    if absent:
        raise ConfigError(f"soundfonts are missing; install the Debian packages {', '.join(absent)}")
    out.mkdir(parents=True, exist_ok=True)
    _same_plan(plan, out / "plan.json")
    every = plan.training_takes + plan.validation_takes + 2 * plan.test_takes
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=_start_worker) as pool:
        scores = _scores(out / "scores.json", pool)
        jobs = [job for job in _jobs(plan, scores, out) if not _marker(job).exists()]
        done = every - len(jobs)
        for set_name in pool.imap_unordered(_render, jobs):
            done += 1
            yield RenderProgress(set_name, done, every)
    _write_manifest(plan, scores, out)


def _jobs(plan: EnsembleDataPlan, scores: list[Score], out: Path) -> Iterator[_Job]:
    seen, unseen = tuple(font.path for font in TRAINING_SOUNDFONTS), (HELD_OUT.path,)
    counts = (plan.training_takes, plan.validation_takes, plan.test_takes)
    for split, count in zip(SPLITS, counts, strict=True):
        own = [score for score in scores if split_of(score.name) == split]
        by_name = {score.name: score for score in own}
        for number in range(count):
            take = plan_take(plan.seed, split, number, own, len(seen))
            score = by_name[take.score]
            if split != "test":
                yield _Job(split, take, score, seen, out / split, plan.training_s)
                continue
            yield _Job(TEST_SEEN, take, score, seen, out / TEST_SEEN, plan.test_s)
            yield _Job(TEST_UNSEEN, take, score, unseen * len(seen), out / TEST_UNSEEN, plan.test_s)


def _marker(job: _Job) -> Path:
    """Written when all files of a take are."""
    return job.out / "done" / job.take.name


_player: EnsemblePlayer | None = None


def _start_worker() -> None:
    global _player
    os.nice(WORKER_NICENESS - os.nice(0))
    _player = EnsemblePlayer()


def _render(job: _Job) -> str:
    assert _player is not None
    in_urmp_layout = job.set_name in (TEST_SEEN, TEST_UNSEEN)
    rate_hz = URMP_RATE_HZ if in_urmp_layout else SOLOS_RATE_HZ
    parts = render_take(job.take, job.score, job.soundfonts, _player, job.duration_s, rate_hz)
    (write_urmp if in_urmp_layout else _write_solos)(job.out, job.take, parts)
    _marker(job).parent.mkdir(exist_ok=True)
    _marker(job).touch()
    return job.set_name


def _write_solos(out: Path, take: Take, parts: list[FloatArray | None]) -> None:
    for number, (instrument, audio) in enumerate(zip(take.instruments, parts, strict=True), start=1):
        if audio is not None:
            folder = out / "wav11k" / instrument.folder
            folder.mkdir(parents=True, exist_ok=True)
            _write_audio(folder / f"{take.name}-{number}.wav", audio, SOLOS_RATE_HZ)


def write_urmp(out: Path, take: Take, parts: list[FloatArray | None]) -> None:
    """Write a take as URMP does: a folder with the mix and the separate parts."""
    played = [(i, audio) for i, audio in zip(take.instruments, parts, strict=True) if audio is not None]
    if not played:
        return
    title = take.score.split(".", 1)[1].replace(".", "").replace("_", "")
    piece = "_".join([take.name, title, *(instrument.abbreviation for instrument, _ in played)])
    folder = out / piece
    folder.mkdir(parents=True, exist_ok=True)
    for number, (instrument, audio) in enumerate(played, start=1):
        name = f"AuSep_{number}_{instrument.abbreviation}_{take.name}_{title}.wav"
        _write_audio(folder / name, audio, URMP_RATE_HZ)
    mix = np.asarray(np.sum([audio for _, audio in played], axis=0), np.float32)
    _write_audio(folder / f"AuMix_{piece}.wav", mix, URMP_RATE_HZ)


def _write_audio(path: Path, audio: FloatArray, rate_hz: int) -> None:
    with replacing(path) as file:
        soundfile.write(file, audio, rate_hz, format="WAV", subtype="PCM_16")


def _same_plan(plan: EnsembleDataPlan, path: Path) -> None:
    """A folder holds the takes of one plan; more of the same are welcome."""
    fixed = {key: value for key, value in asdict(plan).items() if not key.endswith("_takes")}
    if path.exists() and json.loads(path.read_text(encoding="utf-8")) != fixed:
        raise ConfigError(f"{path.parent} holds data of another plan, see {path}; choose another folder")
    path.write_text(json.dumps(fixed) + "\n", encoding="utf-8")


def _scores(path: Path, pool: Pool) -> list[Score]:
    """All scores, read once: minutes of work."""
    if not path.exists():
        files = corpus_files()
        tunes = [file for file in files if file[0].startswith(SOLO_TUNES)]
        every = max(1, len(tunes) // MOST_TUNES)
        chosen = [file for file in files if not file[0].startswith(SOLO_TUNES)] + tunes[::every]
        scores = [score for score in pool.starmap(read_score, chosen, chunksize=8) if score is not None]
        with replacing(path) as file_out:
            file_out.write(json.dumps([asdict(score) for score in scores]).encode())
    entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        Score(
            entry["name"],
            tuple(tuple(ScoreNote(**note) for note in part) for part in entry["parts"]),
            entry["statement"],
        )
        for entry in entries
    ]


def _write_manifest(plan: EnsembleDataPlan, scores: list[Score], out: Path) -> None:
    manifest = {
        "plan": asdict(plan),
        "scores": {
            "package": f"music21 {version('music21')} (its corpus; see corpus/license.txt in it)",
            "collections": COLLECTIONS,
            "used": {
                split: {score.name: score.statement for score in scores if split_of(score.name) == split}
                for split in SPLITS
            },
        },
        "soundfonts": {
            "training": {font.package: font.licence for font in TRAINING_SOUNDFONTS},
            "held out": {HELD_OUT.package: HELD_OUT.licence},
        },
    }
    with replacing(out / "manifest.json") as file:
        file.write((json.dumps(manifest, indent=1) + "\n").encode())
