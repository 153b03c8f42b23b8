"""Measure everything against real servers; print a table and write bench/results.json."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path

from bench import latency, memory, speed, transfer, workers
from bench.results import Row, table, write_json
from ugosa_server.demo.server_process import ServerProcess

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Run all measurements, one after the other."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="ugosa-bench-") as folder:
        scratch = Path(folder)
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
    print(table(rows))
    write_json(rows, RESULTS)
    print(f"\nalso in {RESULTS.parent.name}/{RESULTS.name}")


if __name__ == "__main__":
    main()
