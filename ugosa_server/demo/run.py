"""Demo: a server, a client, one real song with marks, and the gain of adapting to it.

The song is "Feelings" by Sectoid (MIT, see `feelings/LICENSE`): 40 s of which the guitar and the rest of the
band are known apart. It is marked where the guitar's own recording is silent.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ugosa_server.errors import UgosaError
from ugosa_server.marks import Mark, MarkState
from ugosa_server.private_server import ServerProcess

MIX_FILE = "mix.wav"
TITLE = "'Feelings' by Sectoid"
FOLDER = Path(__file__).with_name("feelings")
MARKS_FILE = FOLDER / "marks.txt"
# The guitar is `other` to a network of four stems.
STEM_FILES = {"other": "guitar.ogg", "the rest": "band.ogg"}
PEAK = 0.97  # of the mix, -0.3 dBFS: where mastering usually leaves it


@dataclass(frozen=True)
class DemoSong:
    """A song of which the true stems are known."""

    stems: dict[str, NDArray[np.float32]]
    """The guitar as `other`, and `the rest`: [T, C] each."""
    mix: NDArray[np.float32]
    """The sum of the stems: [T, C]."""
    marks: tuple[Mark, ...]
    """Where the guitar is silent."""
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.mix) / self.sample_rate_hz


def load_demo_song() -> DemoSong:
    """Read the stems and the mark."""
    recorded = {name: soundfile.read(FOLDER / file, dtype="float32") for name, file in STEM_FILES.items()}
    sample_rate_hz: int = recorded["other"][1]
    frames = min(len(audio) for audio, _ in recorded.values())
    mix = sum(audio[:frames] for audio, _ in recorded.values())
    gain = np.float32(PEAK / np.max(np.abs(mix)))
    return DemoSong(
        stems={name: gain * audio[:frames] for name, (audio, _) in recorded.items()},
        mix=gain * mix,
        marks=tuple(read_marks(sample_rate_hz)),
        sample_rate_hz=sample_rate_hz,
    )


def read_marks(sample_rate_hz: int) -> Iterator[Mark]:
    """Read the demo's Audacity label track: start and end in seconds, and `no SOURCE`."""
    for line in MARKS_FILE.read_text(encoding="utf-8").splitlines():
        start_s, end_s, label = line.split("\t")
        start_frame, end_frame = (round(float(time_s) * sample_rate_hz) for time_s in (start_s, end_s))
        yield Mark(label.removeprefix("no "), MarkState.SILENT, start_frame, end_frame)


class DemoFailedError(UgosaError):
    """A step of the demo did not end as it should; the message names it."""


def run_demo(out_dir: Path, model_dirs: Sequence[str] = (), *, opens_page: bool = False) -> int:
    """Separate the demo's song through a real server and client into `out_dir`; return the exit status.

    If it opens the page, `ugosa web` then shows the song, its marks and both separations, until Ctrl-C.
    """
    started_s = time.monotonic()
    song = load_demo_song()
    out_dir.mkdir(parents=True, exist_ok=True)
    mix_path, marks_path = out_dir / MIX_FILE, out_dir / MARKS_FILE.name
    soundfile.write(mix_path, song.mix, song.sample_rate_hz, subtype="PCM_24")  # as finished mixes come
    shutil.copyfile(MARKS_FILE, marks_path)
    print(
        f"{mix_path}: {song.duration_s:.0f} s of {TITLE}, 24-bit WAV, {song.sample_rate_hz} Hz stereo\n"
        f"{marks_path}: {len(song.marks)} region in which the guitar, a part of `other`, is silent",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="ugosa-demo-") as scratch:
        base_dir = Path(scratch, "base")
        arguments = [word for folder in model_dirs for word in ("--model-dir", folder)]
        with ServerProcess(Path(scratch, "state"), arguments) as server:
            server.wait_ready()
            print("\nSeparating with the network as it is (for comparison)", flush=True)
            separate(server.target, mix_path, marks_path, base_dir, "--strategy", "B0")
            print("\nAdapting the network to the song, then separating", flush=True)
            separate(server.target, mix_path, marks_path, out_dir)
            if opens_page:
                print(summary(song, base_dir, out_dir), flush=True)
                with contextlib.suppress(KeyboardInterrupt):  # of the terminal, for both of us
                    run_client(server.target, "web", mix_path, "--marks", marks_path)
                return 0  # Ctrl-C has ended the server as well
            status = server.stop()
            if status != 0:
                raise DemoFailedError(f"the server ended with status {status}:\n{server.log_tail()}")
        print(summary(song, base_dir, out_dir))
    print(f"\nThe demo took {time.monotonic() - started_s:.0f} s. Listen and look: {out_dir / 'report.html'}")
    print(f"To mark, hear and compare it in a browser: ugosa web '{mix_path}' --marks '{marks_path}'")
    return 0


def run_client(target: str, *arguments: str | Path) -> int:
    """Run the client's `ugosa` on this terminal; return its exit status."""
    command = [sys.executable, "-m", "ugosa_client.cli", *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"UGOSA_SERVER": target}, check=False).returncode


def separate(target: str, mix_path: Path, marks_path: Path, out_dir: Path, *options: str) -> None:
    """Run the client's `ugosa separate`."""
    status = run_client(
        target, "separate", mix_path, "--marks", marks_path, "-o", out_dir, "--overwrite", *options
    )
    if status != 0:
        raise DemoFailedError(f"`ugosa separate` ended with status {status}")


def summary(song: DemoSong, base_dir: Path, adapted_dir: Path) -> str:
    """Compare both results with the true stems, which only a demo has, and with the promises."""
    report = json.loads((adapted_dir / "report.json").read_text(encoding="utf-8"))
    silence_dbfs = {stem["source"]: stem["silence_peak_dbfs"] for stem in report["stems"]}
    takes = [_true_groups(song, folder) for folder in (base_dir, adapted_dir)]
    lines = [
        "",
        f"SDR in dB against the true stems, over {song.duration_s:.0f} s (one excerpt: no benchmark),",
        "and the peak where a stem is marked silent:",
        f"  {'':8} {'base':>7} {'adapted':>8}   {'silence':>9}",
    ]
    for source, true_stem in song.stems.items():
        base, adapted = (sdr_db(true_stem, take[source]) for take in takes)
        lines.append(f"  {source:8} {base:7.2f} {adapted:8.2f}   {level(silence_dbfs.get(source)):>9}")
    lines += ["", f"Sum of the four stems minus the mix: {level(report['null_peak_dbfs'])}"]
    return "\n".join(lines)


def _true_groups(song: DemoSong, folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return the stems of a folder as the true ones are grouped: `other`, and the sum of the rest, [T, C]."""
    other, _ = soundfile.read(folder / "other.wav", dtype="float32", always_2d=True)
    return dict(zip(song.stems, (other, song.mix - other), strict=True))


def sdr_db(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """Return 10 log10(|s|^2 / |s - s_hat|^2) in dB; both are [T, C]."""
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    noise = float(np.sum(np.square(reference.astype(np.float64) - estimate)))
    return math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def level(dbfs: float | str | None) -> str:
    """Return a level of report.json for people; it has "-inf" for digital silence and null for no measure."""
    if dbfs is None:
        return "-"
    return "digital 0" if float(dbfs) == -math.inf else f"{float(dbfs):.0f} dBFS"
