"""`make soak`: many clients against one real server for a set time, and what is to be said of it afterwards.

The server is a process of its own with a tiny network, on a Unix socket; nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np

from tests.helpers.server import Server
from tests.helpers.tiny_model import write_tiny_model
from tests.soak.clients import Soak, canceller, flooder, musician, persistent, prober, sluggard
from tests.soak.memory import MemoryLog

MAX_MINUTES = 24 * 60
MAX_CLIENTS = 200
CLIENTS_OF_KIND = {musician: 5, canceller: 2, flooder: 2, sluggard: 2, prober: 1}  # of every dozen
DRAIN_S = 120.0


def main() -> int:
    """Run it; the exit status is 0 when the checker has found nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=12, help="at least a dozen are started")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not 0 < arguments.minutes <= MAX_MINUTES or not 0 < arguments.clients <= MAX_CLIENTS:
        parser.error(f"at most {MAX_MINUTES} minutes and {MAX_CLIENTS} clients")
    with tempfile.TemporaryDirectory(prefix="ugosa-soak-") as folder:
        return soak_for(Path(folder), arguments.minutes * 60, arguments.clients, arguments.seed)


def soak_for(folder: Path, duration_s: float, clients: int, seed: int) -> int:
    models = folder / "models"
    models.mkdir()
    write_tiny_model(models / "tiny.safetensors")
    stopping = threading.Event()
    with Server(folder / "state", models, ["--log-level", "WARNING"]) as server:
        server.wait_ready()
        soak = Soak(server.target, folder, stopping, seed)
        threads = [
            threading.Thread(target=partial(persistent, kind, soak, f"{kind.__name__} {number}"))
            for kind, share in CLIENTS_OF_KIND.items()
            for number in range(max(1, round(share * clients / 12)))
        ]
        begun_s = time.monotonic()
        for thread in threads:
            thread.start()
        memory = MemoryLog(server)
        while time.monotonic() < begun_s + duration_s and server.process.poll() is None:
            stopping.wait(1.0)
            memory.look()
        took_s = time.monotonic() - begun_s
        stopping.set()
        for thread in threads:
            thread.join(DRAIN_S)
        stuck = [thread.name for thread in threads if thread.is_alive()]
        with soak.client() as client:
            for job in client.list_jobs():
                list(client.watch(job.job_id))
            problems = soak.history.verdict(client.list_jobs())
        if stuck:
            problems.append(f"{len(stuck)} clients did not come to an end")
        if server.stop() != 0:
            problems.append(f"the server ended with status {server.process.returncode}: {server.log_tail()}")
    problems += memory.problems()
    print_report(soak, took_s, len(threads), memory, problems)
    return 1 if problems else 0


def print_report(soak: Soak, took_s: float, threads: int, memory: MemoryLog, problems: list[str]) -> None:
    print(f"\n{threads} clients for {took_s / 60:.1f} minutes")
    for what, count in sorted(soak.counts.items()):
        if what.startswith("bytes"):
            print(f"  {what:32} {count / 1e6:10.1f} MB   {count / 1e6 / took_s:8.2f} MB/s")
        else:
            print(f"  {what:32} {count:10d}      {count / took_s:8.2f} /s")
    print("\nunary calls             count    p50 ms    p99 ms    max ms")
    for method, latencies_s in sorted(soak.latencies_s.items()):
        p50, p99, most = (1000 * np.quantile(latencies_s, q) for q in (0.5, 0.99, 1.0))
        print(f"  {method:16} {len(latencies_s):10d} {p50:9.1f} {p99:9.1f} {most:9.1f}")
    print(f"\n{memory.table()}")
    print(f"\nchecked: {', '.join(f'{n} {what}' for what, n in soak.history.counts.items())}")
    print(
        "verdict: nothing lost, nothing doubled, nothing out of order" if not problems else "verdict: FAILED"
    )
    for problem in problems[:50]:
        print(f"  {problem}")


if __name__ == "__main__":
    sys.exit(main())
