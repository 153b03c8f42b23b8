"""Throughput of an upload until it is durable, over a Unix socket and over TCP."""

from __future__ import annotations

import os
import statistics
import time
import uuid
from pathlib import Path

from bench.songs import write_noise_song
from ugosa_client import UgosaClient
from ugosa_research.bench.results import Row

SONG_S = 600
ROUNDS = 5
BLOCK_BYTES = 1 << 20


def measure(unix_target: str, tcp_target: str, scratch: Path) -> list[Row]:
    """Upload the same song by turns over both sockets, and write its bytes plainly as the peer."""
    song = write_noise_song(scratch / "ten minutes.wav", SONG_S)
    rates: dict[str, list[float]] = {"unix": [], "tcp": [], "file": []}
    with UgosaClient(unix_target) as unix_client, UgosaClient(tcp_target) as tcp_client:
        for _ in range(ROUNDS):
            rates["unix"].append(upload_rate(unix_client, song))
            rates["tcp"].append(upload_rate(tcp_client, song))
            rates["file"].append(write_rate(song, scratch / "copy"))
    song.unlink()
    median = {name: statistics.median(values) for name, values in rates.items()}
    peer_name = "writing the same bytes to a file, then fdatasync"
    return [
        Row("upload, client to durable, Unix socket", "MB/s", median["unix"], median["file"], peer_name),
        Row("upload, client to durable, TCP", "MB/s", median["tcp"], median["file"], peer_name),
    ]


def upload_rate(client: UgosaClient, song: Path) -> float:
    """Return megabytes a second from the first byte sent to the acknowledgement of the last one."""
    size = song.stat().st_size
    acknowledged_s: list[float] = []

    def on_progress(durable_bytes: int, _: int) -> None:
        if not acknowledged_s or (durable_bytes == size and len(acknowledged_s) == 1):
            acknowledged_s.append(time.perf_counter())

    # A new request_id, or the server would say that it has this song already.
    client.upload(song, request_id=str(uuid.uuid4()), on_progress=on_progress)
    return size / 1e6 / (acknowledged_s[1] - acknowledged_s[0])


def write_rate(song: Path, path: Path) -> float:
    """Return megabytes a second of writing the song's bytes and making them durable."""
    start_s = time.perf_counter()
    with song.open("rb") as source, path.open("wb") as target:
        while block := source.read(BLOCK_BYTES):
            target.write(block)
        target.flush()
        os.fdatasync(target.fileno())
    took_s = time.perf_counter() - start_s
    path.unlink()
    return song.stat().st_size / 1e6 / took_s
