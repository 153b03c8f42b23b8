"""Peak memory of both processes, and of the front while an hour of music comes in."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from bench.songs import write_noise_song
from ugosa_client import UgosaClient
from ugosa_research.bench.peak_memory import peak_mb
from ugosa_research.bench.results import Row
from ugosa_server.private_server import ServerProcess

HOUR_S = 3600
FRONT_LIMIT_MB = 300.0


def hour_long_upload(server: ServerProcess, scratch: Path) -> list[Row]:
    """Send an hour of stereo to a fresh server, and say what that took."""
    song = write_noise_song(scratch / "an hour.wav", HOUR_S)
    with UgosaClient(server.target, timeout_s=600) as client:
        start_s = time.perf_counter()
        upload = client.upload(song)
        took_s = time.perf_counter() - start_s
    song.unlink()
    if upload.audio is None or upload.audio.frames != HOUR_S * upload.audio.sample_rate_hz:
        raise RuntimeError(f"the server says of an hour of audio: {upload.audio}")
    return [
        Row("an hour of stereo, upload and decode", "x real time", HOUR_S / took_s),
        Row(
            "peak memory of the front process, an hour of stereo",
            "MB",
            peak_mb(server.process.pid),
            floor=FRONT_LIMIT_MB,
            floor_name="promised limit",
        ),
    ]


def after_jobs(server: ServerProcess) -> list[Row]:
    """Say how much memory the processes of a server that has run jobs took at most."""
    (worker,) = (
        child
        for child in psutil.Process(server.process.pid).children(recursive=True)
        if "ugosa_server.pipeline" in child.cmdline()
    )
    return [
        Row("peak memory of the front process, after jobs", "MB", peak_mb(server.process.pid)),
        Row("peak memory of the worker, after jobs", "MB", peak_mb(worker.pid)),
    ]
