"""The front process does not grow with the length of a song."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers.server import StartServer
from ugosa_client import UgosaClient

RATE = 44100
HOUR_S = 3600
FRONT_LIMIT_MB = 300


def peak_mb(pid: int) -> float:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


def write_long_song(path: Path, duration_s: int) -> Path:
    block = np.random.default_rng(0).integers(-3000, 3000, (10 * RATE, 2), dtype=np.int16)
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as file:
        for _ in range(duration_s // 10):
            file.write(block)
    return path


@pytest.fixture(autouse=True)
def need_room_on_disk(tmp_path: Path) -> None:
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    if free_gb < 5:
        pytest.skip(f"an hour of audio needs 5 GB in {tmp_path}, but {free_gb:.1f} GB are free")


@pytest.mark.slow
def test_an_hour_of_stereo_passes_the_front_in_bounded_memory(start_server: StartServer, tmp_path: Path):
    server = start_server()
    with UgosaClient(server.target, timeout_s=600) as client:
        upload = client.upload(write_long_song(tmp_path / "an hour.wav", HOUR_S))
    assert upload.audio is not None
    assert upload.audio.frames == HOUR_S * RATE
    assert peak_mb(server.process.pid) < FRONT_LIMIT_MB
